"""One slow link, seen in round trips whose ways back no trace shows."""

import msgspec
from tests.unit.routes.test_blame import SINCE, measured

from nettrace.analysis.routes.blame import blame
from nettrace.analysis.routes.forest import Link
from nettrace.analysis.routes.roundtrip import single_fault
from nettrace.analysis.routes.tomography import DELAY_MS, Fault, Observation
from nettrace.model.path import Hop, Place, Trace
from nettrace.model.route import BlameVerdict
from nettrace.wire.documents import document
from nettrace.wire.traces import read_trace

SLOW_MS = 12.0


def observed(ways: list[tuple[str, dict[str, int]]]) -> list[Observation]:
    """Ways as `vantage a b c`, and how often round trips to each of its hops cross the slow link."""
    made: list[Observation] = []
    for way, crossed in ways:
        vantage, *hops = way.split()
        near, links = None, tuple[Link, ...]()
        for before, hop in zip([vantage, *hops], hops, strict=False):
            links = (*links, (before, hop))
            shift = SLOW_MS * crossed.get(hop, 0)
            made.append(
                Observation(
                    shift=shift, error=0.1, links=links, near=near, ends=hop == hops[-1], vantage=vantage
                )
            )
            near = len(made) - 1
    return made


def single(ways: list[tuple[str, dict[str, int]]]) -> Fault:
    found = single_fault(observed(ways), DELAY_MS, 2 * SLOW_MS)
    assert found is not None
    return found


def test_what_is_twice_as_slow_excludes_the_link_that_most_slow_ways_share() -> None:
    answers_come_back_over_it = [(f"v{n} x y t{n}", {"y": 1, f"t{n}": 1}) for n in range(3)]
    found = single([*answers_come_back_over_it, ("v9 p q t9", {"q": 2, "t9": 2})])
    assert found.link == ("p", "q")
    assert found.amount == 2 * SLOW_MS


def test_a_link_is_one_whichever_way_it_was_crossed() -> None:
    found = single([("v1 p q t1", {"q": 2, "t1": 2}), ("v2 s q p t2", {"p": 2, "t2": 2})])
    assert set(found.link) == {"p", "q"}
    assert all(set(link) != {"p", "q"} for link, _ in found.rivals)


def test_answers_alone_part_no_two_links() -> None:
    found = single([("v1 a b t1", {"b": 1, "t1": 1}), ("v2 c d t2", {"d": 1, "t2": 1})])
    assert {found.link, found.rivals[0][0]} == {("a", "b"), ("c", "d")}
    assert found.rivals[0][1] == found.gain


def test_two_links_that_add_different_amounts_are_no_single_one() -> None:
    observations = observed([("v1 a b t1", {"b": 2, "t1": 2}), ("v2 c d t2", {"d": 5, "t2": 5})])
    assert single_fault(observations, DELAY_MS, 5 * SLOW_MS) is None


def test_two_operators_between_two_places_have_a_link_each() -> None:
    ways = {
        (f"v{n % 3}", f"t{n}"): [f"10.1.{n % 3}.1", f"10.2.{n}.1", f"10.3.{n}.1", f"198.18.0.{n + 1}"]
        for n in range(8)
    }
    slow = {(way[1], way[2]): 40.0 for (_, target), way in ways.items() if int(target[1:]) % 2}

    def named(trace: Trace) -> Trace:
        operator = ("one", "two")[int(trace.target[1:]) % 2]

        def stands(hop: Hop) -> Hop:
            place = {"10.2": "osl", "10.3": "bgo"}.get((hop.address or "")[:4])
            return msgspec.structs.replace(hop, name=f"ae0.cr1.{place}.{operator}.example" if place else None)

        return msgspec.structs.replace(trace, hops=tuple(map(stands, trace.hops)))

    found = blame([named(trace) for trace in measured(ways, slow)], SINCE)
    assert found.verdict is BlameVerdict.LEG
    assert all((leg.a, leg.b) in slow for leg in found.legs)


def test_a_written_trace_is_read_with_its_hops_names_and_places() -> None:
    place = Place(
        name="Oslo", latitude=59.9, longitude=10.7, country="NO", radius_km=10.0, evidence="rdns: osl"
    )
    trace = next(iter(measured({("v0", "t0"): ["10.1.0.1", "198.18.0.1"]}, {})))
    known = tuple(
        msgspec.structs.replace(hop, name="ae0.cr1.osl.one.example", place=place) for hop in trace.hops
    )
    read = read_trace(msgspec.to_builtins(document(msgspec.structs.replace(trace, hops=known))))
    assert [(hop.name, hop.place) for hop in read.hops] == [(hop.name, hop.place) for hop in known]
