"""A cable with many addresses at each end is one leg, where hops know their places."""

from collections.abc import Mapping

import msgspec
from tests.unit.routes.test_blame import SINCE, Link, measured, named

from nettrace.analysis.routes.blame import blame
from nettrace.model.path import Hop, Place, Trace
from nettrace.model.route import BlameVerdict

PLACES = {"10.1": "Oslo", "10.2": "Bergen", "10.3": "Aberdeen"}


def fanned() -> tuple[dict[tuple[str, str], list[str]], dict[Link, float]]:
    """Six pairs from Oslo over one cable from Bergen to Aberdeen, each between addresses of its own; and the slow links."""
    ways = {
        (f"v{n % 3}", f"t{n}"): [f"10.1.{n % 3}.1", f"10.2.{n}.1", f"10.3.{n}.1", f"198.18.0.{n + 1}"]
        for n in range(6)
    }
    return ways, {(way[1], way[2]): 40.0 for way in ways.values()}


def placed(traces: list[Trace], places: Mapping[str, str]) -> list[Trace]:
    def stands(hop: Hop) -> Hop:
        name = places.get((hop.address or "")[:4])
        known = (
            None
            if name is None
            else Place(name=name, latitude=0.0, longitude=0.0, radius_km=10.0, evidence="rdns")
        )
        return msgspec.structs.replace(hop, place=known)

    return [msgspec.structs.replace(trace, hops=tuple(stands(hop) for hop in trace.hops)) for trace in traces]


def test_links_between_two_places_are_judged_as_one_where_addresses_alone_cannot_tell() -> None:
    traces = measured(*fanned())
    assert blame(traces, SINCE).verdict is BlameVerdict.CANNOT_TELL
    found = blame(placed(traces, PLACES), SINCE)
    assert found.verdict is BlameVerdict.LEG
    ((a, b),) = named(found)
    assert (PLACES[a[:4]], PLACES[b[:4]]) == ("Bergen", "Aberdeen")
    assert found.legs[0].added_ns is not None and abs(found.legs[0].added_ns - 40e6) < 1e6


def test_places_that_are_known_of_one_end_only_name_no_leg() -> None:
    found = blame(placed(measured(*fanned()), {"10.2": "Bergen"}), SINCE)
    assert found.verdict is BlameVerdict.CANNOT_TELL
