"""The least round-trip time physics allows between two places, and how far a measured one is above it.

Two floors: light in vacuum on the great circle, both ways, is a proof (microwave links come close to it);
light in glass on the same line is what a perfect fibre would do. Below the first a number is impossible, below
the second merely implausible.
"""

from math import floor as whole

import msgspec

from nettrace.analysis.geo.sphere import between_km, nearest_km
from nettrace.model.path import Place

LIGHT_KM_PER_S = 299_792.458
"""The speed of light in vacuum, exact by the definition of the metre."""

FIBRE_INDEX = 1.468
"""Group index of standard single-mode fibre at 1550 nm (ITU-T G.652 fibres: 1.467 to 1.468)."""

_NS_PER_KM_BOTH_WAYS = 2e9 / LIGHT_KM_PER_S


class Floor(msgspec.Struct, frozen=True):
    """The floors between two places.

    Attributes:
        vacuum_ns: least round trip of anything.
        fibre_ns: least round trip through glass.
    """

    distance_km: float
    vacuum_ns: int
    fibre_ns: int


def vacuum_ns(distance_km: float) -> int:
    """Least round-trip time over a distance: 2d/c, rounded down.

    >>> vacuum_ns(149.896229)
    1000000
    """
    return whole(distance_km * _NS_PER_KM_BOTH_WAYS)


def fibre_ns(distance_km: float) -> int:
    """Least round-trip time through fibre laid on the great circle: 2d * 1.468 / c, rounded down.

    >>> round(fibre_ns(15_330.5) / vacuum_ns(15_330.5), 6)
    1.468
    """
    return whole(distance_km * FIBRE_INDEX * _NS_PER_KM_BOTH_WAYS)


def reach_km(rtt_ns: int) -> float:
    """How far away an answer may at most have come from, when it took this round-trip time.

    >>> round(reach_km(1_000_000), 1)
    149.9
    """
    return rtt_ns / _NS_PER_KM_BOTH_WAYS


def floor_between(origin: Place, other: Place) -> Floor:
    """Both floors between the centres of two places."""
    return floor_of(between_km(origin, other))


def floor_of(distance_km: float) -> Floor:
    """Both floors of a distance."""
    return Floor(distance_km, vacuum_ns(distance_km), fibre_ns(distance_km))


def stretch(rtt_ns: int | None, floor: Floor) -> float | None:
    """Measured round trip over the fibre floor: 1.0 is perfect glass on the great circle.

    None without a measurement, or where the floor is zero and a ratio says nothing.

    >>> round(stretch(200_000_000, floor_of(10_000)), 2)
    2.04
    """
    if rtt_ns is None or floor.fibre_ns <= 0:
        return None
    return rtt_ns / floor.fibre_ns


def possible(origin: Place, place: Place, rtt_ns: int | None) -> bool:
    """Whether an answer that took `rtt_ns` may have come from `place`; True when nothing was measured.

    Every doubt counts in the place's favour: both error radii and the sphere's own error.
    """
    return rtt_ns is None or vacuum_ns(nearest_km(origin, place)) <= rtt_ns
