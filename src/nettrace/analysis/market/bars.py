"""Market data as bars: what trades and quotes become, and the three measures that are tested."""

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from nettrace.errors import Invalid
from nettrace.model.instant import Instant

Floats = NDArray[np.float64]
Times = NDArray[np.int64]
COLUMNS = ("open", "high", "low", "close", "volume", "spread")


@dataclass(frozen=True)
class Bars:
    """Bars of one market, by time. A bar is known when it ends, at `at_ns + step_ns`, and not before.

    Attributes:
        at_ns: when each bar begins, rising.
        step_ns: how long a bar is.
        columns: open, high, low, close, volume and spread (share of the mid price); NaN is "not known".
    """

    at_ns: Times
    step_ns: int
    columns: dict[str, Floats]

    def __len__(self) -> int:
        return len(self.at_ns)


def bars_of(rows: Iterable[tuple[Instant, dict[str, float]]], step_ns: int) -> tuple[Bars, int]:
    """Bars from rows in any order, and how many rows were replaced by a later row of the same time."""
    kept: dict[Instant, dict[str, float]] = {}
    replaced = 0
    for at, row in rows:
        replaced += at in kept
        kept[at] = row
    times = sorted(kept)
    columns = {
        name: np.array([kept[at].get(name, np.nan) for at in times], dtype=np.float64) for name in COLUMNS
    }
    return Bars(np.array(times, dtype=np.int64), step_ns, columns), replaced


def joined(old: Bars, new: Bars) -> Bars:
    """Both; where both know a value the new one counts.

    Raises:
        Invalid: bars of different lengths.
    """
    if old.step_ns != new.step_ns:
        raise Invalid(
            f"bars of {new.step_ns // 10**9} s cannot join bars of {old.step_ns // 10**9} s",
            "Import them under another name",
        )
    at = np.union1d(old.at_ns, new.at_ns)
    columns: dict[str, Floats] = {}
    for name in COLUMNS:
        column = np.full(len(at), np.nan)
        for bars in (old, new):
            known = ~np.isnan(bars.columns[name])
            column[np.searchsorted(at, bars.at_ns[known])] = bars.columns[name][known]
        columns[name] = column
    return Bars(at, old.step_ns, columns)


@dataclass
class Builder:
    """Bars out of trades or quotes, one at a time, in any order; memory grows with bars, not with rows.

    >>> builder = Builder(60)
    >>> builder.trade(5, 100.0, 2.0); builder.trade(30, 101.0, 1.0)
    >>> {name: float(values[0]) for name, values in builder.bars().columns.items() if name in ("open", "close", "volume")}
    {'open': 100.0, 'close': 101.0, 'volume': 3.0}
    """

    step_ns: int
    _kept: dict[Instant, dict[str, float]] = field(default_factory=dict[Instant, dict[str, float]])
    _ends: dict[Instant, tuple[Instant, Instant]] = field(
        default_factory=dict[Instant, tuple[Instant, Instant]]
    )
    _quotes: dict[Instant, int] = field(default_factory=dict[Instant, int])

    def trade(self, at: Instant, price: float, amount: float) -> None:
        """A trade: price and amount above 0."""
        bar = self._price(at, price)
        bar["volume"] = bar.get("volume", 0.0) + amount

    def quote(self, at: Instant, bid: float, ask: float) -> None:
        """The best bid and ask: the price is their middle, the spread a share of it, averaged over a bar's quotes."""
        middle = (bid + ask) / 2
        bar = self._price(at, middle)
        start = at - at % self.step_ns
        count = self._quotes[start] = self._quotes.get(start, 0) + 1
        spread = (ask - bid) / middle
        bar["spread"] = bar.get("spread", 0.0) + (spread - bar.get("spread", 0.0)) / count

    def _price(self, at: Instant, price: float) -> dict[str, float]:
        start = at - at % self.step_ns
        bar = self._kept.get(start)
        if bar is None:
            bar = self._kept[start] = dict.fromkeys(("open", "high", "low", "close"), price)
            self._ends[start] = (at, at)
            return bar
        first, last = self._ends[start]
        if at < first:
            bar["open"] = price
        if at >= last:
            bar["close"] = price
        bar["high"], bar["low"] = max(bar["high"], price), min(bar["low"], price)
        self._ends[start] = (min(first, at), max(last, at))
        return bar

    def bars(self) -> Bars:
        """The bars so far."""
        return bars_of(self._kept.items(), self.step_ns)[0]
