"""Did the round trip follow the route? Most route changes do not move it (Shao et al., ITC 2017)."""

from collections.abc import Sequence
from math import sqrt
from statistics import median

_FLOOR_NS = 200_000
_RELATIVE = 0.008
_ERRORS = 4.0
_NOISE_FLOOR_NS = 50_000


def rtt_consequence(before_ns: Sequence[int], after_ns: Sequence[int]) -> tuple[int | None, bool | None]:
    """Median after less median before, and whether that is more than noise; None without samples on both sides.

    Moved means: at least 0.2 ms, 0.8 % of the level before and 4 standard errors of the difference of two
    medians, 1.253 * 1.4826 * MAD / sqrt(n) each. A side with one sample borrows the other side's noise.

    >>> rtt_consequence([10_000_000, 10_100_000, 10_050_000], [15_000_000, 15_020_000])
    (4960000, True)
    """
    if not before_ns or not after_ns:
        return None, None
    level, delta = median(before_ns), median(after_ns) - median(before_ns)
    noises = [_mad(side) for side in (before_ns, after_ns) if len(side) > 2]
    noise = max([*noises, _NOISE_FLOOR_NS])
    error = 1.253 * 1.4826 * noise * sqrt(1 / len(before_ns) + 1 / len(after_ns))
    moved = abs(delta) >= max(_FLOOR_NS, _RELATIVE * level, _ERRORS * error)
    return round(delta), moved


def _mad(values: Sequence[int]) -> float:
    middle = median(values)
    return median(abs(value - middle) for value in values)
