import pytest

from nettrace.analysis.geo.floor import Floor, fibre_ns, floor_of, possible, reach_km, stretch, vacuum_ns
from nettrace.model.path import Place


def at(longitude: float, radius_km: float = 0) -> Place:
    return Place(name="x", latitude=0, longitude=longitude, radius_km=radius_km, evidence="given")


def test_light_needs_one_millisecond_there_and_back_for_150_kilometres() -> None:
    assert vacuum_ns(149.896229) == pytest.approx(1_000_000, abs=1)
    assert reach_km(1_000_000) == pytest.approx(149.896229)


def test_fibre_is_slower_by_its_index() -> None:
    assert fibre_ns(1000) / vacuum_ns(1000) == pytest.approx(1.468, rel=1e-6)


def test_stretch_is_one_on_perfect_glass_and_says_nothing_without_a_distance_or_a_measurement() -> None:
    floor = floor_of(5000)
    assert stretch(floor.fibre_ns, floor) == 1.0
    assert stretch(None, floor) is None
    assert stretch(10, Floor(0.0, 0, 0)) is None


def test_an_answer_faster_than_light_is_impossible() -> None:
    ten_degrees_ns = vacuum_ns(1111.95)
    assert possible(at(0), at(10), ten_degrees_ns)
    assert not possible(at(0), at(10), int(ten_degrees_ns * 0.99))


def test_doubt_counts_for_the_place() -> None:
    just_below = vacuum_ns(1111.95) - 10_000
    assert possible(at(0), at(10), just_below), "the sphere's own error"
    fast = vacuum_ns(1000)
    assert not possible(at(0), at(10, 50), fast)
    assert possible(at(0), at(10, 120), fast), "the place's radius"
    assert possible(at(0, 120), at(10), fast), "the vantage's radius"
    assert possible(at(0), at(10), None), "nothing was measured"
