"""What chance does: one series moved round against the other, by every distance, and by whole days.

A circular shift keeps both series' memory, gaps and bursts as they are and breaks only what joins them. Shifts near zero
are left out, since they would hold the effect itself. Whole-day shifts also keep the time of day: a finding that
whole days reach as well is the day's rhythm and no more.
"""

from dataclasses import dataclass
from math import erfc, sqrt

import numpy as np
from numpy.typing import NDArray

from nettrace.analysis.market.bars import Floats
from nettrace.analysis.market.clock import DAY_NS, Grid

LEAST_SHIFTS = 100
"""With fewer there is no telling what chance does."""
LEAST_P = 1e-9


@dataclass(frozen=True)
class Odds:
    """How often chance does as much.

    Attributes:
        p: share of far shifts that do as much (the true place counted in); beyond their number a normal bound with the
            shifts' own spread, never above 1 / (shifts + 1).
        shifts: how many far shifts there were.
        placebo_p: the same with whole days only; None below `LEAST_DAYS_MOVED` days.
        placebo_shifts: how many whole days.
        by_chance: what one in twenty shifts reaches.
    """

    p: float
    shifts: int
    placebo_p: float | None
    placebo_shifts: int
    by_chance: float

    @property
    def placebo_passed(self) -> bool:
        """No whole-day shift (of twenty or more: at most one in twenty) does as much."""
        return self.placebo_p is not None and self.placebo_p <= max(0.05, 1 / (1 + self.placebo_shifts))


LEAST_DAYS_MOVED = 3


def odds(statistic: Floats, near: int, grid: Grid, tries: int = 1) -> Odds | None:
    """The odds of `statistic[0]` among the shifts of more than `near` buckets; None when there are too few.

    Args:
        statistic: one value a shift, in the order of the shifts; larger is more; NaN where a shift has no data.
        near: shifts up to this far hold the effect itself.
        grid: the buckets, for how many make a day.
        tries: how many single values each statistic is the largest of, for the normal bound.
    """
    count = len(statistic)
    distance = np.minimum(np.arange(count), count - np.arange(count))
    far = (distance > near) & np.isfinite(statistic)
    null = statistic[far]
    seen = float(statistic[0])
    if len(null) < LEAST_SHIFTS or not np.isfinite(seen):
        return None
    reached = int((null >= seen).sum())
    p = (1 + reached) / (1 + len(null))
    if reached == 0:
        p = min(p, _bound(seen, null, tries))
    day = DAY_NS // grid.step_ns if grid.step_ns and DAY_NS % grid.step_ns == 0 else 0
    days = np.zeros(count, dtype=bool)
    if day:
        days[day::day] = True
    moved = statistic[days & far]
    placebo = (1 + int((moved >= seen).sum())) / (1 + len(moved)) if len(moved) >= LEAST_DAYS_MOVED else None
    return Odds(p, len(null), placebo, len(moved), float(np.quantile(null, 0.95)))


def _bound(seen: float, null: Floats, tries: int) -> float:
    """Twice Bonferroni over normal tails whose spread is such that the null's upper percentile is matched."""
    edge = float(np.quantile(null, 0.99))
    if edge <= 0:
        return 1.0
    sigma = edge / _quantile(0.01 / tries)
    return max(LEAST_P, min(1.0, 2 * tries * erfc(seen / sigma / sqrt(2))))


def _quantile(two_sided: float) -> float:
    """The z whose two tails hold this share."""
    low, high = 0.0, 40.0
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if erfc(middle / sqrt(2)) > two_sided else (low, middle)
    return (low + high) / 2


def moved_sums(fixed: Floats, moving: Floats) -> Floats:
    """For every shift s the sum over t of `fixed[t] * moving[t + s]`, round the end.

    >>> moved_sums(np.array([1.0, 0, 0]), np.array([1.0, 2, 3])).round(9).tolist()
    [1.0, 2.0, 3.0]
    """
    return np.fft.irfft(np.conj(np.fft.rfft(fixed)) * np.fft.rfft(moving), len(fixed))


def known(values: Floats) -> tuple[Floats, Floats]:
    """The values with 0 for "not known", and 1 where they are known."""
    mask: NDArray[np.bool_] = np.isfinite(values)
    return np.where(mask, values, 0.0), mask.astype(np.float64)
