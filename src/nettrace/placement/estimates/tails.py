"""The 95th percentile of pairs nobody measured: how much longer tails are than medians, learnt from rows that have both.

A tail belongs to the ends more than to the way between them: a loaded host or a home line lengthens all its pairs. So the
logarithm of (p95 + 3 ms) over (p50 + 3 ms) is what each end adds to what is usual, drawn towards the usual where few rows
speak of the end. Intervals are conformal, a twentieth on either side: of rows hidden in turn, what was missed in spreads.
"""

from collections.abc import Callable
from math import exp, hypot, log
from typing import NamedTuple

import numpy as np

from nettrace.placement.estimates.kriging import OFFSET_MS, Floats, Whole

LEAST = 30
"""Rows with a 95th percentile below which none is estimated: an interval could not be learnt from fewer."""

_HIDDEN = 200
_DRAWN = 3.0
"""Rows that what is usual weighs beside an end's own."""
_ROUNDS = 3
_SIDE = 0.05

Blind = Callable[[Whole], tuple[Floats, Floats]]
"""rows -> what would be said of their medians if they were unknown: logarithms of (ms + 3) and half widths."""


class Tail(NamedTuple):
    """A 95th percentile and the interval that holds it nine times in ten, in ms."""

    p95_ms: float
    low_ms: float
    high_ms: float


class Tails:
    """What rows with a 95th percentile say of the tails of others."""

    def __init__(self, pairs: Whole, p50_ms: Floats, p95_ms: Floats, ends: int, blind: Blind) -> None:
        """Prepare: rows by their ends (n x 2), of `ends` ends; `blind` says what their medians would be called if hidden."""
        self._pairs = pairs
        self._tail = np.log((np.maximum(p95_ms, p50_ms) + OFFSET_MS) / (p50_ms + OFFSET_MS))
        self._ends = ends
        self._usual = float(np.median(self._tail))
        self._adds, self._counts = self._fitted()
        self._scale = max(1e-3, 1.4826 * float(np.median(abs(self._missed()))))
        self._known = _both_sides(self._missed() / self._scale)
        some = np.sort(np.random.default_rng(0).permutation(len(pairs))[:_HIDDEN])
        logs, halves = blind(some)
        usable = np.isfinite(halves)
        truth = np.log(p50_ms[some] + OFFSET_MS) + self._tail[some]
        missed = (truth - logs - self._hidden(some)) / np.hypot(halves, self._scale)
        self._guessed = _both_sides(missed[usable]) if usable.sum() >= LEAST else None

    def _fitted(self) -> tuple[Floats, Floats]:
        """What each end adds to the usual, and how many rows speak of it."""
        counts = np.bincount(self._pairs.ravel(), minlength=self._ends).astype(float)
        adds = np.zeros(self._ends)
        for _ in range(_ROUNDS):
            for column in (0, 1):
                rest = self._tail - self._usual - adds[self._pairs[:, 1 - column]]
                one = np.bincount(self._pairs[:, column], rest, self._ends)
                other = self._tail - self._usual - adds[self._pairs[:, column]]
                two = np.bincount(self._pairs[:, 1 - column], other, self._ends)
                adds = (one + two) / (counts + _DRAWN)
        return adds, counts

    def _hidden(self, rows: Whole) -> Floats:
        """The tails of known rows as if each were unknown: an end's own share of what the row pulled is taken out."""
        ends = self._pairs[rows]
        own = self._tail[rows][:, None] - self._usual - self.adds_of(ends)[:, ::-1]
        weight = self._counts[ends] + _DRAWN
        without = (self.adds_of(ends) * weight - own) / (weight - 1)
        return np.maximum(self._usual + without.sum(1), 0.0)

    def adds_of(self, ends: Whole) -> Floats:
        """What each of these ends adds."""
        return self._adds[ends]

    def _missed(self) -> Floats:
        every = np.arange(len(self._pairs))
        return self._tail - self._hidden(every)

    def about(self, one: int, other: int, p50_ms: float, half: float | None) -> Tail | None:
        """The 95th percentile of a pair of ends; None when too few rows could be hidden to learn how wide it is.

        `half` is how far the logarithm of its median may be off either way, None when that was measured.
        """
        sides = self._known if half is None else self._guessed
        if sides is None:
            return None
        middle = log(p50_ms + OFFSET_MS) + max(0.0, self._usual + float(self._adds[one] + self._adds[other]))
        spread = hypot(half or 0.0, self._scale)
        low, high = (exp(middle + side * spread) - OFFSET_MS for side in sides)
        p95 = exp(middle) - OFFSET_MS
        return Tail(p95, min(low, p95), max(high, p95))


def _both_sides(missed: Floats) -> tuple[float, float]:
    """Conformal quantiles: with one more, a twentieth of all lie below the first, and above the second."""
    ordered = np.sort(missed)
    out = max(0, int(np.floor((len(ordered) + 1) * _SIDE)) - 1)
    return float(ordered[out]), float(ordered[len(ordered) - 1 - out])
