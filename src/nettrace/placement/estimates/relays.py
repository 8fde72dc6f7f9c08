"""Estimates by way of a third end, for ends whose place nobody knows: the last resort.

From a to b by way of r takes d(a,r) + d(r,b); the direct way is rarely longer and never shorter than the difference of the
two by much. What share of the best detour the direct way takes is learnt from rows that close such triangles.
"""

from typing import NamedTuple

import numpy as np

from nettrace.placement.estimates.kriging import Floats, Whole

_LEAST, _TRIED, _MOST = 30, 300, 4


class Relay(NamedTuple):
    """A detour and what it says.

    Attributes:
        by: the end in between.
        detour_ms, difference_ms: sum of the best detour, and the greatest difference of two legs.
        share, low, high: the direct way as a share of the detour: median and a 90 % interval; None without triangles.
    """

    by: int
    detour_ms: float
    difference_ms: float
    shares: tuple[float, float, float] | None


def relayed(logs: Floats, a: int, b: int, offset_ms: float) -> Relay | None:
    """The best detour between two ends, or None when no third end has rows to both."""
    ms = np.exp(logs) - offset_ms
    over = ms[a] + ms[b]
    usable = np.flatnonzero(~np.isnan(over))
    if not len(usable):
        return None
    best = int(usable[np.argmin(over[usable])])
    apart = float(np.max(abs(ms[a] - ms[b])[usable]))
    return Relay(best, float(over[best]), apart, _shares(ms, len(usable)))


def _shares(ms: Floats, count: int) -> tuple[float, float, float] | None:
    """What share of the best of as many detours, at most four, known direct ways take."""
    draw = np.random.default_rng(0)
    known: Whole = np.argwhere(~np.isnan(ms))
    found: list[float] = []
    for a, b in draw.permutation(known)[:_TRIED].tolist():
        over = ms[a] + ms[b]
        usable = np.flatnonzero(~np.isnan(over))
        if a < b and len(usable) >= min(count, _MOST):
            some = draw.permutation(usable)[: min(count, _MOST)]
            found.append(float(ms[a, b] / np.min(over[some])))
    if len(found) < _LEAST:
        return None
    low, middle, high = np.quantile(found, (0.05, 0.5, 0.95))
    return float(middle), float(low), float(high)
