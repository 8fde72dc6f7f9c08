"""Does latency lead a market, or a market latency? Cross-correlation of what neither series knew of itself.

The statistic is the largest |r| over all lags asked for, so looking at many lags costs what it must: chance gets as many.
"""

from dataclasses import dataclass

import numpy as np

from nettrace.analysis.market.bars import Floats
from nettrace.analysis.market.chance import Odds, known, moved_sums, odds
from nettrace.analysis.market.clock import Grid
from nettrace.analysis.market.rhythm import surprises

LEAST_BUCKETS = 200


@dataclass(frozen=True)
class LeadLag:
    """One pair's answer.

    Attributes:
        lag: where |r| is largest, in buckets; above 0 the market follows latency, below 0 it comes first.
        r: the correlation there.
        by_lag: the correlations from -lags to lags.
        buckets: how many buckets both sides know.
        odds: what chance does; None when there is too little data.
    """

    lag: int
    r: float
    by_lag: list[float]
    buckets: int
    odds: Odds | None


def lead_lag(latency: Floats, market: Floats, grid: Grid, lags: int) -> LeadLag:
    """The lead-lag test of two series on one grid (as `clock` makes them)."""
    return compare(surprises(latency, grid), surprises(market, grid), grid, lags)


def compare(latency: Floats, market: Floats, grid: Grid, lags: int) -> LeadLag:
    """The same of series that are `surprises` already."""
    r = correlations(latency, market)
    size = np.nan_to_num(np.abs(r), nan=-1.0)
    wide = np.arange(-lags, lags + 1)
    by_lag = r[wide % len(r)]
    buckets = int((np.isfinite(latency) & np.isfinite(market)).sum())
    best = int(np.argmax(size[wide % len(r)]))
    judged = None
    if buckets >= LEAST_BUCKETS and len(r) > 8 * lags:
        largest = size.copy()
        for lag in wide:
            np.maximum(largest, np.roll(size, -lag), out=largest)
        judged = odds(np.where(largest < 0, np.nan, largest), 2 * lags + 1, grid, tries=len(wide))
    return LeadLag(int(wide[best]), float(by_lag[best]), [float(each) for each in by_lag], buckets, judged)


def correlations(latency: Floats, market: Floats) -> Floats:
    """The correlations of `latency[t]` and `market[t + s]` for every shift s, over the buckets both know; NaN below 50 of them."""
    x, mx = known(latency)
    y, my = known(market)
    together = moved_sums(mx, my)
    with np.errstate(invalid="ignore", divide="ignore"):
        r = moved_sums(x, y) / np.sqrt(moved_sums(x * x, my) * moved_sums(mx, y * y))
    return np.where(together < 50, np.nan, r)
