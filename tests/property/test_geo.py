"""What holds for all places: geometry, floors, and that no impossible place is ever kept."""

from hypothesis import given
from hypothesis import strategies as st

from nettrace.analysis.geo.annotate import Lookups, annotate, slowest_least_ns
from nettrace.analysis.geo.claim import Verdict, judge, parse_claim
from nettrace.analysis.geo.floor import fibre_ns, floor_of, possible, reach_km, vacuum_ns
from nettrace.analysis.geo.hints import hinted_place
from nettrace.analysis.geo.sphere import (
    EARTH_RADIUS_KM,
    HALF_ROUND_KM,
    bearing_degrees,
    between_km,
    destination,
    distance_km,
)
from nettrace.errors import Invalid
from nettrace.model.measurement import Method, Outcome, Sample, SampleState
from nettrace.model.path import Hop, Place, StopReason, Trace
from nettrace.outside.hints import router_codes
from nettrace.outside.ranges import RangeTable, compiled, prefix_range

latitudes = st.floats(-90, 90)
longitudes = st.floats(-180, 180)
points = st.tuples(latitudes, longitudes)
places = st.builds(
    Place,
    name=st.just("x"),
    latitude=latitudes,
    longitude=longitudes,
    country=st.none(),
    radius_km=st.floats(0, 2000),
    evidence=st.just("given"),
)
distances = st.floats(0, HALF_ROUND_KM)


@given(points, points)
def test_distance_is_the_same_both_ways_and_never_more_than_half_round(
    a: tuple[float, float], b: tuple[float, float]
) -> None:
    there = distance_km(*a, *b)
    assert abs(there - distance_km(*b, *a)) < 1e-6
    assert 0 <= there <= HALF_ROUND_KM + 1e-3


@given(points)
def test_a_place_is_nowhere_but_at_itself_and_farthest_from_its_antipode(a: tuple[float, float]) -> None:
    latitude, longitude = a
    assert distance_km(*a, *a) < 1e-6
    opposite = (-latitude, longitude - 180 if longitude > 0 else longitude + 180)
    assert abs(distance_km(*a, *opposite) - HALF_ROUND_KM) < 0.5


@given(points, points, points)
def test_a_detour_is_never_shorter(
    a: tuple[float, float], b: tuple[float, float], c: tuple[float, float]
) -> None:
    assert distance_km(*a, *c) <= distance_km(*a, *b) + distance_km(*b, *c) + 1e-3


@given(st.tuples(st.floats(-89, 89), longitudes), st.floats(0, 360), st.floats(0, 19_000))
def test_going_somewhere_takes_one_that_far(
    start: tuple[float, float], bearing: float, distance: float
) -> None:
    assert abs(distance_km(*start, *destination(*start, bearing, distance)) - distance) < 0.01


@given(st.tuples(st.floats(-89, 89), longitudes), st.tuples(st.floats(-89, 89), longitudes))
def test_following_the_bearing_arrives(a: tuple[float, float], b: tuple[float, float]) -> None:
    there = distance_km(*a, *b)
    if there < 0.95 * EARTH_RADIUS_KM * 3.14159:  # at the antipode every course is right
        assert distance_km(*destination(*a, bearing_degrees(*a, *b), there), *b) < 0.1


@given(distances, distances)
def test_floors_grow_with_distance_and_fibre_is_never_faster(a: float, b: float) -> None:
    near, far = sorted((a, b))
    assert vacuum_ns(near) <= vacuum_ns(far)
    assert fibre_ns(near) <= fibre_ns(far)
    assert vacuum_ns(near) <= fibre_ns(near)


@given(distances)
def test_reach_undoes_the_floor(distance: float) -> None:
    assert 0 <= distance - reach_km(vacuum_ns(distance)) < 0.001


@given(places, places, st.integers(0, 300_000_000), st.integers(0, 300_000_000))
def test_a_slower_answer_never_makes_a_place_impossible(origin: Place, other: Place, a: int, b: int) -> None:
    fast, slow = sorted((a, b))
    assert not possible(origin, other, fast) or possible(origin, other, slow)


@given(places, places)
def test_fibre_on_the_great_circle_is_always_possible(origin: Place, other: Place) -> None:
    assert possible(origin, other, floor_of(between_km(origin, other)).vacuum_ns)


@given(
    places,
    st.lists(
        st.tuples(st.none() | st.integers(0, 200_000_000), st.none() | places, st.none() | places), max_size=6
    ),
)
def test_annotation_never_keeps_an_impossible_place_and_never_drops_a_possible_one(
    origin: Place, cases: list[tuple[int | None, Place | None, Place | None]]
) -> None:
    by_name: dict[str, Place | None] = {}
    by_address: dict[str, Place | None] = {}
    hops: list[Hop] = []
    for number, (rtt_ns, hint, found) in enumerate(cases):
        address, name = f"8.8.8.{number}", f"r{number}"
        by_name[name], by_address[address] = hint, found
        state = SampleState.LOST if rtt_ns is None else SampleState.ANSWERED
        hops.append(
            Hop(ttl=number + 1, address=address, name=name, samples=(Sample(state=state, rtt_ns=rtt_ns),))
        )
    trace = Trace(
        target="t",
        address=None,
        at=0,
        outcome=Outcome.MEASURED,
        method=Method.ICMP,
        flow=0,
        reached=False,
        stop=StopReason.GAP,
        hops=tuple(hops),
    )
    made = annotate(trace, Lookups(hint=by_name.__getitem__, database=by_address.__getitem__), origin)
    for hop in made.hops:
        limit = slowest_least_ns(hop)
        offered = [
            each for each in (by_name[hop.name or ""], by_address[hop.address or ""]) if each is not None
        ]
        kept = [each for each in offered if possible(origin, each, limit)]
        assert (hop.place is None) == (not kept)
        assert hop.place is None or hop.place.radius_km == min(each.radius_km for each in kept)


@given(st.text(max_size=60))
def test_any_text_is_a_claim_or_refused(text: str) -> None:
    try:
        claim = parse_claim(text)
    except Invalid:
        return
    assert claim.origin
    assert claim.destination
    assert claim.high_ns is None or 0 <= claim.low_ns <= claim.high_ns


@given(points, points, st.floats(0.001, 1000).map(lambda ms: round(ms, 3)))
def test_verdicts_follow_the_floors(
    a: tuple[float, float], b: tuple[float, float], claimed_ms: float
) -> None:
    sites = {"a": a, "b": b}

    def find(name: str) -> Place:
        return Place(
            name=name, latitude=sites[name][0], longitude=sites[name][1], radius_km=0, evidence="given"
        )

    judged = judge(parse_claim(f"a -> b {claimed_ms:.3f} ms"), find)
    assert judged.floor is not None
    claimed = round(claimed_ms * 1e6)
    expected = (
        Verdict.POSSIBLE
        if claimed >= judged.floor.fibre_ns
        else Verdict.IMPLAUSIBLE
        if claimed >= judged.floor.vacuum_ns
        else Verdict.IMPOSSIBLE
    )
    assert judged.verdict is expected


@given(st.text(max_size=80) | st.from_regex(r"[a-z0-9.\-_]{0,80}", fullmatch=True))
def test_any_router_name_is_read_or_not(name: str) -> None:
    place = hinted_place(name, router_codes())
    assert place is None or place.evidence.startswith("rdns: ")


@given(
    st.lists(st.tuples(st.integers(0, 2**32 - 1), st.integers(0, 32)), max_size=30),
    st.lists(st.integers(0, 2**32 - 1), max_size=30),
)
def test_a_range_table_answers_as_longest_prefix_match_does(
    prefixes: list[tuple[int, int]], questions: list[int]
) -> None:
    def masked(number: int, length: int) -> int:
        return number >> (32 - length) << (32 - length)

    ranges = [
        prefix_range(f"{dotted(masked(number, length))}/{length}", f"{masked(number, length)}/{length}")
        for number, length in prefixes
    ]
    table = RangeTable(compiled(ranges))
    edges = (
        [r.first for r in ranges] + [r.last for r in ranges] + [min(r.last + 1, 2**32 - 1) for r in ranges]
    )
    for question in questions + edges:
        lengths = [
            length for number, length in prefixes if masked(question, length) == masked(number, length)
        ]
        expected = f"{masked(question, max(lengths))}/{max(lengths)}" if lengths else None
        assert table.value(dotted(question)) == expected


def dotted(number: int) -> str:
    return ".".join(str(number >> shift & 255) for shift in (24, 16, 8, 0))


@given(st.lists(st.tuples(st.integers(0, 2**128 - 1), st.integers(0, 128)), max_size=20))
def test_and_so_for_ipv6(prefixes: list[tuple[int, int]]) -> None:
    def masked(number: int, length: int) -> int:
        return number >> (128 - length) << (128 - length)

    ranges = [
        prefix_range(f"{hexed(masked(n, length))}/{length}", f"{masked(n, length)}/{length}")
        for n, length in prefixes
    ]
    table = RangeTable(compiled(ranges))
    for question in [number for number, _ in prefixes] + [r.last for r in ranges]:
        if question >> 32 == 0xFFFF:  # IPv4 written as IPv6 is asked of the IPv4 half
            continue
        lengths = [
            length for number, length in prefixes if masked(question, length) == masked(number, length)
        ]
        assert table.value(hexed(question)) == f"{masked(question, max(lengths))}/{max(lengths)}"


def hexed(number: int) -> str:
    return ":".join(f"{number >> shift & 0xFFFF:x}" for shift in range(112, -1, -16))
