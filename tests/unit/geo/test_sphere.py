import pytest

from nettrace.analysis.geo.sphere import (
    bearing_degrees,
    between_km,
    checked,
    destination,
    distance_km,
    nearest_km,
)
from nettrace.errors import Invalid
from nettrace.model.path import Place


def place(latitude: float, longitude: float, radius_km: float = 0) -> Place:
    return Place(name="x", latitude=latitude, longitude=longitude, radius_km=radius_km, evidence="given")


@pytest.mark.parametrize(
    ("a", "b", "km"),
    [
        ((0, 0), (0, 90), 10_007.557),  # a quarter of the circumference
        ((90, 0), (-90, 0), 20_015.115),
        ((0, 0), (0, 180), 20_015.115),
        ((0, 179.5), (0, -179.5), 111.195),  # across the date line
        ((89.9, 0), (89.9, 180), 22.239),  # across the pole
        ((52.2296756, 21.0122287), (52.406374, 16.9251681), 278.459),
    ],
)
def test_distances_known_from_geometry(a: tuple[float, float], b: tuple[float, float], km: float) -> None:
    assert distance_km(*a, *b) == pytest.approx(km, abs=0.01)


def test_the_sphere_is_within_its_stated_error_of_the_ellipsoid() -> None:
    # WGS 84 geodesics by Vincenty's formula: New York to London, and one degree of meridian at the equator, the worst case.
    assert distance_km(40.6413, -73.7781, 51.4700, -0.4543) == pytest.approx(5_554.909, rel=0.0056)
    assert distance_km(0, 0, 1, 0) == pytest.approx(110.574, rel=0.0057)


def test_nearest_counts_both_radii_and_never_goes_below_zero() -> None:
    far, near = place(0, 10, 100), place(0, 0.5, 100)
    origin = place(0, 0, 10)
    assert nearest_km(origin, near) == 0
    assert nearest_km(origin, far) < between_km(origin, far) - 110
    assert nearest_km(origin, far) > between_km(origin, far) * 0.99 - 110


def test_destination_and_bearing_lead_there() -> None:
    latitude, longitude = destination(
        40.0, -74.0, bearing_degrees(40.0, -74.0, 1.3, 103.8), distance_km(40.0, -74.0, 1.3, 103.8)
    )
    assert (latitude, longitude) == (pytest.approx(1.3), pytest.approx(103.8))


@pytest.mark.parametrize("pair", [(91, 0), (-90.1, 0), (0, 181), (0, float("nan"))])
def test_no_place_off_the_globe(pair: tuple[float, float]) -> None:
    with pytest.raises(Invalid, match="no place on earth"):
        checked(*pair)
