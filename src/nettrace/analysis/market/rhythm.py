"""Series without their daily rhythm and memory, so that what is left can be compared with chance.

Two series that both follow the working day agree by that alone, and two that both wander agree by accident: rhythm is
taken off both (median and spread by time of day, working days and weekends apart when there are two weeks), then
ranks become normal scores, then what a series says of itself is taken off (prewhitening by an autoregression; Haugh,
Checking the Independence of Two Covariance-Stationary Time Series, 1976).
"""

from statistics import NormalDist

import numpy as np

from nettrace.analysis.market.bars import Floats
from nettrace.analysis.market.clock import DAY_NS, Grid

LEAST_DAYS = 3
"""With fewer days a rhythm cannot be told from anything else."""
SLOTS_A_DAY = 48
NEIGHBOURS = 2
"""Slots on either side that are taken together."""
LEAST_IN_SLOT = 8
ORDER = 16
_WEEKEND_FROM_DAYS = 14


def without_rhythm(values: Floats, grid: Grid) -> Floats:
    """The values less the median of their time of day, over the spread of that time of day; NaN stays NaN."""
    centred = values - np.nanmedian(values) if np.isfinite(values).any() else values.copy()
    if grid.days() < LEAST_DAYS:
        return centred
    at = grid.at()
    day, slot = at // DAY_NS, at % DAY_NS * SLOTS_A_DAY // DAY_NS
    weekend = (day + 3) % 7 >= 5  # the first day of 1970 was a Thursday
    groups = [weekend, ~weekend] if grid.days() >= _WEEKEND_FROM_DAYS else [np.ones(len(at), dtype=bool)]
    made = np.full(len(values), np.nan)
    whole = _spread(centred)
    for group in groups:
        known = group & np.isfinite(centred)
        rest = centred[known]
        middle, spread = np.median(rest) if len(rest) else 0.0, whole
        for each in range(SLOTS_A_DAY):
            here = group & (slot == each)
            if not here.any():
                continue
            near = known & (
                np.minimum((slot - each) % SLOTS_A_DAY, (each - slot) % SLOTS_A_DAY) <= NEIGHBOURS
            )
            sample = centred[near]
            enough = len(sample) >= LEAST_IN_SLOT
            centre = np.median(sample) if enough else middle
            made[here] = (centred[here] - centre) / max(_spread(sample) if enough else spread, 0.1 * whole)
    return made


def _spread(values: Floats) -> float:
    known = values[np.isfinite(values)]
    if not len(known):
        return 1.0
    low, high = np.quantile(known, [0.1, 0.9])
    return float(high - low) / 2.563 or float(np.std(known)) or 1.0


def normal_scores(values: Floats) -> Floats:
    """Each value's normal quantile of its rank (van der Waerden); ties share their mean rank.

    >>> normal_scores(np.array([5.0, 1.0, np.nan, 3.0])).round(2).tolist()
    [0.67, -0.67, nan, 0.0]
    """
    known = np.isfinite(values)
    made = np.full(len(values), np.nan)
    sample = values[known]
    if not len(sample):
        return made
    _, place, counts = np.unique(sample, return_inverse=True, return_counts=True)
    rank = (np.cumsum(counts) - (counts - 1) / 2)[place]
    table = NormalDist()
    distinct, back = np.unique(rank, return_inverse=True)
    made[known] = np.array([table.inv_cdf(float(each) / (len(sample) + 1)) for each in distinct])[back]
    return made


def innovations(scores: Floats) -> Floats:
    """What an autoregression of order 16 does not know beforehand; a missing past counts as the mean.

    Each residual needs its own value only, so that gaps do not eat their neighbours.
    """
    known = np.isfinite(scores)
    order = min(ORDER, int(known.sum()) // 40)
    if order < 1:
        return scores - (np.nanmean(scores) if known.any() else 0.0)
    filled = np.where(known, scores, 0.0)
    past = np.column_stack(
        [np.r_[np.zeros(lag), filled[:-lag]] for lag in range(1, order + 1)] + [np.ones(len(scores))]
    )
    weights = np.linalg.lstsq(past[known], scores[known], rcond=None)[0]
    made = np.full(len(scores), np.nan)
    made[known] = scores[known] - past[known] @ weights
    return made


def surprises(values: Floats, grid: Grid) -> Floats:
    """The whole way: rhythm off, normal scores, memory off, normal scores again (no bucket outweighs the rest)."""
    return normal_scores(innovations(normal_scores(without_rhythm(values, grid))))
