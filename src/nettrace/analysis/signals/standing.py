"""How surely a shift still stands, judged by what came since: a test of two regimes against one.

A shift is told at the first sample that passes a threshold, so its ratio says little more than that. Later there is more
to say. With f of `regime.py`, each with the median and mean absolute deviation of the samples named:

    ratio = sum ln f_before(before) + sum ln f_since(since) - sum ln f_all(before and since) - 2 ln n_since

The third term matters: a regime known by a dozen samples is off by chance, and everything later lies beside it for ever.
Against that regime alone noise seems surer with each sample (docs/decisions/0252-a-shift-is-judged-again.md).
"""

from collections.abc import Sequence
from math import exp, log

from nettrace.analysis.signals.regime import (
    FLOOR_MS,
    FLOOR_SHARE,
    LENGTH_PENALTY,
    THRESHOLD,
    log_density,
    middle,
)

KEPT_BEFORE, KEPT_SINCE = 72, 240
"""Samples that it looks at, at most: the newest before the shift and the first since."""
LEAST_BEFORE, LEAST_SINCE = 6, 3
STANDING_RATE, STANDING_FOLD = 1e-4, 4.8
"""Of samples of noise that are called a shift and have a ratio of `THRESHOLD` later, at most; what makes it e times rarer."""


def standing_ratio(before: Sequence[float], since: Sequence[float]) -> float | None:
    """How much likelier (ln) two levels are than one, in ms; None with too little on either side.

    >>> noise = [40.0, 40.4, 40.1, 40.3, 40.2, 40.5] * 6
    >>> round(standing_ratio(noise, [value + 5 for value in noise[:9]]))
    85
    >>> standing_ratio(noise, noise[:9]) < 0
    True
    """
    if len(before) < LEAST_BEFORE or len(since) < LEAST_SINCE:
        return None
    apart = _likelihood(before) + _likelihood(since)
    return apart - _likelihood([*before, *since]) - LENGTH_PENALTY * log(len(since))


def standing_p_value(ratio: float) -> float:
    """How likely a sample of steady noise tells a shift that has so large a ratio later, whenever one looks, at most.

    An upper bound over the two worst kinds of noise, as for `control.shift_p_value`.

    >>> standing_p_value(24.0), standing_p_value(300.0) < 1e-20
    (0.0001, True)
    """
    return min(1.0, STANDING_RATE * exp((THRESHOLD - ratio) / STANDING_FOLD))


def _likelihood(values: Sequence[float]) -> float:
    """Ln of how likely the values are around their own level."""
    level = middle(sorted(values))
    distances = [abs(value - level) for value in values]
    spread = max(sum(distances) / len(distances), FLOOR_MS, FLOOR_SHARE * abs(level))
    return sum(log_density(distance, spread) for distance in distances)
