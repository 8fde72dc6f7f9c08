"""One clock for both sides: buckets in which everything is known by the bucket's end, and nothing from after it.

A latency sample counts where it was received, a bar where it ended. Nothing is carried forward: a bucket without data
is NaN. So what stands in bucket k could be acted on from the beginning of bucket k + 1, and no earlier.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from nettrace.analysis.market.bars import Bars, Floats, Times
from nettrace.errors import Invalid
from nettrace.model.instant import NS_PER_S, Instant

MEASURES = ("volume", "volatility", "spread")
"""What a market does that latency is held against. Direction is left to the backtest."""
LEAST_COVER = 0.5
"""A bucket with fewer of its bars than this share is not known."""
MOST_BUCKETS = 2_000_000
DAY_NS = 86_400 * NS_PER_S


@dataclass(frozen=True)
class Grid:
    """Buckets of one length from an instant on."""

    start: Instant
    step_ns: int
    count: int

    def places(self, known_at: Times) -> Times:
        """The bucket in which each instant falls; an instant on an edge belongs to the bucket that ends there.

        >>> Grid(0, 10, 3).places(np.array([1, 10, 11])).tolist()
        [0, 0, 1]
        """
        return (known_at - self.start - 1) // self.step_ns

    def at(self) -> Times:
        """When each bucket begins."""
        return self.start + np.arange(self.count, dtype=np.int64) * self.step_ns

    def days(self) -> float:
        """Its length in days."""
        return self.count * self.step_ns / DAY_NS


def grid_of(latency_at: Times, markets: Sequence[Bars], step_ns: int) -> Grid:
    """The buckets that latency and at least one market share.

    Raises:
        Invalid: nothing is shared, buckets shorter than bars, or too many of them.
    """
    known = [bars for bars in markets if len(bars)]
    if not known or not len(latency_at):
        raise Invalid("nothing to align: there is no market data or no latency", "nettrace market list")
    longest = max(bars.step_ns for bars in known)
    if step_ns < longest or step_ns % longest:
        raise Invalid(
            f"buckets of {step_ns // NS_PER_S} s cannot hold bars of {longest // NS_PER_S} s",
            f"Give --step as a multiple of {longest // NS_PER_S}",
        )
    first = max(int(latency_at[0]), min(int(bars.at_ns[0]) for bars in known))
    last = min(int(latency_at[-1]), max(int(bars.at_ns[-1]) + bars.step_ns for bars in known))
    start = first - first % step_ns
    count = -(-(last - start) // step_ns)
    if count < 1:
        raise Invalid("latency and market data share no time", "nettrace market list says what is there")
    if count > MOST_BUCKETS:
        raise Invalid(f"{count:,} buckets are more than {MOST_BUCKETS:,}", "Give a longer --step")
    return Grid(start, step_ns, count)


def latency_on(grid: Grid, sent_at: Times, rtt_ns: Times) -> Floats:
    """The logarithm of the median RTT (ms) of each bucket, by when the answers came; NaN where there is none."""
    measured = rtt_ns > 0
    rtt = rtt_ns[measured]
    place = grid.places(sent_at[measured] + rtt)
    inside = (place >= 0) & (place < grid.count)
    place, rtt = place[inside], np.log(rtt[inside] / 1e6)
    order = np.lexsort((rtt, place))
    place, rtt = place[order], rtt[order]
    found = np.full(grid.count, np.nan)
    if not len(place):
        return found
    starts = np.flatnonzero(np.r_[True, place[1:] != place[:-1]])
    sizes = np.diff(np.r_[starts, len(place)])
    found[place[starts]] = (rtt[starts + (sizes - 1) // 2] + rtt[starts + sizes // 2]) / 2
    return found


def closes_on(grid: Grid, bars: Bars) -> Floats:
    """The last price known at each bucket's end, from within the bucket."""
    place, inside = _inside(grid, bars)
    found = np.full(grid.count, np.nan)
    close = bars.columns["close"][inside]
    known = ~np.isnan(close)
    found[place[known]] = close[known]  # rising: the last one stays
    return found


def measure_on(grid: Grid, bars: Bars, measure: str) -> Floats:
    """The logarithm of a measure in each bucket; NaN where half of the bars or more are missing.

    `volume`: mean per bar. `volatility`: root of the mean variance by the range (Parkinson, The Extreme Value Method for
    Estimating the Variance of the Rate of Return, 1980). `spread`: mean share of the mid price.
    """
    match measure:
        case "volume":
            values = bars.columns["volume"]
        case "volatility":
            with np.errstate(divide="ignore", invalid="ignore"):
                values = np.log(bars.columns["high"] / bars.columns["low"]) ** 2 / (4 * np.log(2))
        case "spread":
            values = bars.columns["spread"]
        case _:
            raise Invalid(f"unknown measure '{measure}'", f"There are {', '.join(MEASURES)}")
    place, inside = _inside(grid, bars)
    values = values[inside]
    known = np.isfinite(values)
    counts = np.bincount(place[known], minlength=grid.count)
    sums = np.bincount(place[known], weights=values[known], minlength=grid.count)
    mean = np.full(grid.count, np.nan)
    enough = counts > LEAST_COVER * grid.step_ns / bars.step_ns
    mean[enough] = sums[enough] / counts[enough]
    above = mean[mean > 0]
    if not len(above):
        return np.full(grid.count, np.nan)
    floor = 0.01 * float(np.median(above))  # a quiet bucket is quiet, not minus infinity
    return np.log(mean + floor) / (2 if measure == "volatility" else 1)


def counts_on(grid: Grid, known_at: Times) -> Floats:
    """How many events became known in each bucket."""
    place = grid.places(known_at)
    place = place[(place >= 0) & (place < grid.count)]
    return np.bincount(place, minlength=grid.count).astype(np.float64)


def _inside(grid: Grid, bars: Bars) -> tuple[Times, np.ndarray]:
    place = grid.places(bars.at_ns + bars.step_ns)
    inside = (place >= 0) & (place < grid.count)
    return place[inside], inside
