"""What holds for every true place: light never excludes it, and several machines are only claimed when there are several."""

from hypothesis import given
from hypothesis import strategies as st

from nettrace.analysis.geo.floor import vacuum_ns
from nettrace.analysis.geo.locate import Found, Vantaged, apart_sites, common_point, locate, within
from nettrace.analysis.geo.sphere import between_km, distance_km
from nettrace.model.path import Place

latitudes = st.floats(-90, 90)
longitudes = st.floats(-180, 180)
places = st.builds(
    Place, name=st.just("x"), latitude=latitudes, longitude=longitudes, radius_km=st.floats(0, 30), evidence=st.just("given"),
)  # fmt: skip
detours = st.floats(1.0, 4.0)
thinking = st.integers(0, 20_000_000)


def seen(truth: Place, vantages: list[tuple[Place, float, int]]) -> list[Vantaged]:
    """Round trips that respect light: any detour, any waiting."""
    return [
        Vantaged(origin, max(1, round(vacuum_ns(between_km(truth, origin)) * detour) + extra))
        for origin, detour, extra in vantages
    ]


trips = st.lists(st.tuples(places, detours, thinking), min_size=1, max_size=12)


@given(places, trips)
def test_the_true_place_is_never_excluded(truth: Place, vantages: list[tuple[Place, float, int]]) -> None:
    answers = seen(truth, vantages)
    assert all(within(truth, each) for each in answers)
    region = locate(answers, [truth])
    assert region.found is not Found.ANYCAST
    assert region.allowed == 1


@given(places, trips)
def test_one_machine_is_never_taken_for_several(
    truth: Place, vantages: list[tuple[Place, float, int]]
) -> None:
    answers = seen(truth, vantages)
    assert common_point(answers) is not None
    assert len(apart_sites(answers)) == 1


@given(places, trips)
def test_a_common_point_is_within_reach_of_all(
    truth: Place, vantages: list[tuple[Place, float, int]]
) -> None:
    answers = seen(truth, vantages)
    point = common_point(answers)
    assert point is not None
    at = Place(name="p", latitude=point[0], longitude=point[1], radius_km=2.0, evidence="given")
    assert all(within(at, each) for each in answers)


@given(st.lists(st.tuples(places, st.floats(1.0, 1.5)), min_size=2, max_size=8))
def test_machines_too_far_apart_for_light_are_recognised_as_several(sites: list[tuple[Place, float]]) -> None:
    answers = [Vantaged(site, round(1_000_000 * detour)) for site, detour in sites]
    apart = apart_sites(answers)
    far = any(
        distance_km(a.latitude, a.longitude, b.latitude, b.longitude) > 1_000
        for a, _ in sites
        for b, _ in sites
    )
    if far:
        assert len(apart) >= 2
        assert locate(answers, []).found is Found.ANYCAST
    assert all(
        between_km(a.origin, b.origin) > 100 for a in apart for b in apart if a is not b
    )  # each pair of claimed machines is a proof of its own


@given(places, trips, st.randoms(use_true_random=False))
def test_the_order_of_answers_changes_nothing(
    truth: Place, vantages: list[tuple[Place, float, int]], chance
) -> None:
    answers = seen(truth, vantages)
    candidates = [origin for origin, _, _ in vantages] + [truth]
    one = locate(answers, candidates)
    chance.shuffle(answers)
    other = locate(answers, candidates)
    assert (one.found, one.allowed, len(one.candidates)) == (
        other.found,
        other.allowed,
        len(other.candidates),
    )
