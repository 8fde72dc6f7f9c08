"""The Equal Earth map projection, and great circles on it: areas stay true, and so do impressions.

Šavrič, Patterson and Jenny, "The Equal Earth map projection", International Journal of Geographical Information
Science 33(3), 2019. Centred on 11° E, so that the map is cut through the Bering Strait.
"""

from collections.abc import Sequence
from math import asin, atan2, cos, degrees, radians, sin, sqrt

CENTRE_DEGREES = 11.0
_A1, _A2, _A3, _A4 = 1.340264, -0.081106, 0.000893, 0.003796
_M = sqrt(3) / 2
HALF_WIDTH, HALF_HEIGHT = 2.7066, 1.3173
"""The map reaches so far from its centre, in radii of the sphere."""

Point = tuple[float, float]


def project(latitude: float, longitude: float) -> Point:
    """Where a place lies on the map: x to the right and y upwards, in radii of the sphere.

    >>> [round(value, 3) for value in project(0.0, 11.0)]
    [0.0, 0.0]
    >>> [round(value, 3) for value in project(90.0, 11.0)]
    [0.0, 1.317]
    """
    shifted = radians((longitude - CENTRE_DEGREES + 540.0) % 360.0 - 180.0)
    theta = asin(_M * sin(radians(latitude)))
    square = theta * theta
    sixth = square * square * square
    x = shifted * cos(theta) / (_M * (_A1 + 3 * _A2 * square + sixth * (7 * _A3 + 9 * _A4 * square)))
    return x, theta * (_A1 + _A2 * square + sixth * (_A3 + _A4 * square))


def great_circle(start: Point, end: Point, steps: int = 48) -> list[list[Point]]:
    """The shortest way between two (latitude, longitude) places as projected lines, cut where the map is.

    >>> len(great_circle((35.7, 139.7), (37.8, -122.4)))
    2
    """
    lines: list[list[Point]] = [[]]
    for latitude, longitude in _between(start, end, steps):
        point = project(latitude, longitude)
        if lines[-1] and abs(point[0] - lines[-1][-1][0]) > HALF_WIDTH:
            lines.append([])
        lines[-1].append(point)
    return [line for line in lines if len(line) > 1]


def _between(start: Point, end: Point, steps: int) -> Sequence[Point]:
    """Evenly spaced places on the great circle (spherical linear interpolation)."""
    a, b = _vector(start), _vector(end)
    dot = max(-1.0, min(1.0, sum(p * q for p, q in zip(a, b, strict=True))))
    angle = atan2(sqrt(max(0.0, 1 - dot * dot)), dot)
    if angle < 1e-9:
        return [start, end]
    places: list[Point] = []
    for step in range(steps + 1):
        share = step / steps
        left, right = sin((1 - share) * angle) / sin(angle), sin(share * angle) / sin(angle)
        x, y, z = (left * p + right * q for p, q in zip(a, b, strict=True))
        places.append((degrees(atan2(z, sqrt(x * x + y * y))), degrees(atan2(y, x))))
    return places


def _vector(place: Point) -> tuple[float, float, float]:
    latitude, longitude = radians(place[0]), radians(place[1])
    return cos(latitude) * cos(longitude), cos(latitude) * sin(longitude), sin(latitude)
