"""Distances on the globe, in kilometres and degrees.

The earth is taken as a sphere of its mean radius (IUGG R1). The true ellipsoid's geodesic differs by at most
0.56%, so nothing is called impossible by less than `ELLIPSOID_ERROR` unless the sphere is the agreed measure.
Haversine is used because it is exact where the law of cosines loses its digits (near) and stable where
Vincenty's ellipsoidal iteration does not converge (near the antipode).
"""

from math import asin, atan2, cos, degrees, radians, sin, sqrt

from nettrace.errors import Invalid
from nettrace.model.path import Place

EARTH_RADIUS_KM = 6371.0088
"""Mean radius R1 of the GRS 80 ellipsoid (Moritz, Geodetic Reference System 1980)."""

HALF_ROUND_KM = 20_015.115
"""Half a great circle: no two places are farther apart."""

ELLIPSOID_ERROR = 0.0056
"""The largest relative error of the sphere against WGS 84 (equator 6378.137 km, pole 6356.752 km)."""


def distance_km(latitude: float, longitude: float, other_latitude: float, other_longitude: float) -> float:
    """Great-circle distance of two points, by the haversine formula (Sinnott, Sky and Telescope 68, 1984).

    >>> round(distance_km(40.78955, -74.05653, 1.28967, 103.85007))
    15331
    """
    phi, other_phi = radians(latitude), radians(other_latitude)
    half_north = sin((other_phi - phi) / 2)
    half_east = sin(radians(other_longitude - longitude) / 2)
    haversine = half_north * half_north + cos(phi) * cos(other_phi) * half_east * half_east
    return 2 * EARTH_RADIUS_KM * asin(sqrt(min(1.0, haversine)))


def between_km(place: Place, other: Place) -> float:
    """Great-circle distance of two places' centres."""
    return distance_km(place.latitude, place.longitude, other.latitude, other.longitude)


def nearest_km(place: Place, other: Place) -> float:
    """The least distance two places can have when each may stand anywhere within its error radius.

    The sphere's own error is counted too, so the true geodesic is never shorter.

    >>> nearest_km(*(Place(name="x", latitude=0, longitude=x, radius_km=30, evidence="given") for x in (0, 0.3)))
    0.0
    """
    return max(0.0, between_km(place, other) * (1 - ELLIPSOID_ERROR) - place.radius_km - other.radius_km)


def destination(
    latitude: float, longitude: float, bearing_degrees: float, distance: float
) -> tuple[float, float]:
    """Latitude and longitude reached by going `distance` kilometres along a great circle from north by east.

    >>> [round(x, 3) for x in destination(0, 0, 90, EARTH_RADIUS_KM)]
    [0.0, 57.296]
    """
    phi, bearing, angle = radians(latitude), radians(bearing_degrees), distance / EARTH_RADIUS_KM
    sine = sin(phi) * cos(angle) + cos(phi) * sin(angle) * cos(bearing)
    arrived = asin(max(-1.0, min(1.0, sine)))
    turned = atan2(sin(bearing) * sin(angle) * cos(phi), cos(angle) - sin(phi) * sine)
    return degrees(arrived), (longitude + degrees(turned) + 540) % 360 - 180


def bearing_degrees(
    latitude: float, longitude: float, other_latitude: float, other_longitude: float
) -> float:
    """Initial course from one point to another, 0 north, 90 east, in [0, 360).

    >>> round(bearing_degrees(51.5, 0, 40.7, -74))
    288
    """
    phi, other_phi = radians(latitude), radians(other_latitude)
    east = radians(other_longitude - longitude)
    y = sin(east) * cos(other_phi)
    x = cos(phi) * sin(other_phi) - sin(phi) * cos(other_phi) * cos(east)
    return degrees(atan2(y, x)) % 360


def checked(latitude: float, longitude: float) -> tuple[float, float]:
    """The pair, or `Invalid` when it is no point of the globe."""
    if not (-90 <= latitude <= 90 and -180 <= longitude <= 180):
        raise Invalid(
            f"{latitude},{longitude} is no place on earth", "Give LAT,LON with -90..90 and -180..180"
        )
    return latitude, longitude
