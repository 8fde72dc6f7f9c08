"""How often a shift of this kind is a change that people would mark too.

The confidence of a shift is the share of shifts like it that lie within two samples of a change marked by hand, in 33
labelled series of RIPE Atlas pings (Shao et al., ITC 2017; 4, 8 and 16 minutes between samples): a logistic
regression, fitted and checked on series it had not seen by `python -m bench.signals_fit`. It says
nothing of whether anybody should care; that is severity.
"""

from math import exp, log

from nettrace.analysis.signals.regime import GATE_MS, Change
from nettrace.model.instant import NS_PER_S

CONFIRMED_LEAST = 0.585
"""A level that has held and is at least so likely to be a change is confirmed."""

_TENTATIVE = (0.442, 0.29, 0.877, 0.0196, -0.137)
"""Constant, log of the old regime's length, log of the interval, ratio beyond the threshold, samples tested."""

_HELD = (-1.168, 0.576, 1.011, -0.155, 0.349, 1.532)
"""Constant, the old regime's length, interval, samples tested, step in spreads, share of the step that has held."""


def tentative(change: Change) -> float:
    """The confidence at the moment the change is proven, 0 to 1."""
    constant, known, interval, ratio, tested = _TENTATIVE
    score = constant + known * _length(change) + interval * _cadence(change)
    score += ratio * (min(change.ratio, 45.0) - change.threshold) + tested * (change.tested - 5)
    return _share(score)


def held(change: Change, level: float, spread: float) -> float:
    """The confidence when the new level has held for a while; `level` and `spread` are the new regime's, in ms."""
    constant, known, interval, tested, step, lasting = _HELD
    moved = abs(level - change.before)
    score = constant + known * _length(change) + interval * _cadence(change) + tested * (change.tested - 5)
    score += step * log(max(moved / (change.spread + spread), 0.05))
    score += lasting * min(moved / max(abs(change.after - change.before), GATE_MS), 1.5)
    return _share(score)


def _length(change: Change) -> float:
    return log(min(max(change.known, 1), 256) / 32)


def _cadence(change: Change) -> float:
    """Coarser samples that move prove more. Not extrapolated beyond a factor of four from four minutes."""
    return min(max(log(max(change.interval_ns, 1) / (240 * NS_PER_S)), -1.4), 1.4)


def _share(score: float) -> float:
    return 1.0 / (1.0 + exp(-score))
