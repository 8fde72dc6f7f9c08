import pytest

from nettrace.analysis.geo.floor import fibre_ns
from nettrace.analysis.geo.route import route_stretch
from nettrace.model.measurement import Method, Outcome, Sample, SampleState
from nettrace.model.path import Hop, Place, StopReason, Trace

MS = 1_000_000


def place(longitude: float, radius_km: float = 10, latitude: float = 0) -> Place:
    return Place(name="x", latitude=latitude, longitude=longitude, radius_km=radius_km, evidence="given")


def hop(ttl: int, where: Place | None, *rtt_ms: float) -> Hop:
    samples = tuple(Sample(state=SampleState.ANSWERED, rtt_ns=int(rtt * MS)) for rtt in rtt_ms)
    return Hop(ttl=ttl, address=f"192.0.2.{ttl}", samples=samples, place=where)


def trace(*hops: Hop, rtt_ms: float | None = 50) -> Trace:
    return Trace(
        target="t",
        address="192.0.2.9",
        at=0,
        outcome=Outcome.MEASURED,
        method=Method.UDP,
        flow=0,
        reached=rtt_ms is not None,
        stop=StopReason.REACHED,
        rtt_ns=None if rtt_ms is None else int(rtt_ms * MS),
        hops=hops,
    )


HERE, THERE = place(0), place(20)


def test_a_route_along_the_great_circle_has_no_detour() -> None:
    made = route_stretch(trace(hop(1, place(10), 12), hop(2, THERE, 40), rtt_ms=40), HERE, THERE)
    assert made.stretch == pytest.approx(40 * MS / fibre_ns(2223.9), rel=1e-3)
    assert [each.detour_km for each in made.hops] == [0, pytest.approx(0, abs=0.01)]
    assert made.hops[0].stretch == pytest.approx(12 * MS / fibre_ns(1111.95), rel=1e-3)
    assert made.way_floor is not None
    assert made.floor is not None
    assert made.way_floor.distance_km == pytest.approx(made.floor.distance_km)


def test_a_detour_is_told_in_kilometres_and_in_the_fibre_time_of_the_way() -> None:
    via = place(10, latitude=40)
    made = route_stretch(trace(hop(1, via, 80), hop(2, None), hop(3, THERE, 150), rtt_ms=150), HERE, THERE)
    assert made.hops[1].way_km is None
    detour = made.hops[2].detour_km
    assert detour is not None
    assert detour > 6000
    assert made.way_floor is not None
    assert made.floor is not None
    assert made.way_floor.distance_km - made.floor.distance_km == pytest.approx(detour)


def test_a_trace_that_did_not_arrive_has_no_stretch_of_the_whole() -> None:
    made = route_stretch(trace(hop(1, place(10), 12), rtt_ms=None), HERE, THERE)
    assert (made.rtt_ns, made.stretch) == (None, None)
    assert made.floor is not None


def test_without_the_vantages_place_only_times_are_told() -> None:
    made = route_stretch(trace(hop(1, place(10), 12, 11)), None, THERE)
    assert (made.floor, made.stretch) == (None, None)
    assert made.hops[0].rtt_ns == 11 * MS


def test_a_hop_no_farther_than_its_own_radius_has_no_stretch() -> None:
    made = route_stretch(trace(hop(1, place(0.5, radius_km=100), 12)), HERE, THERE)
    assert made.hops[0].floor is not None
    assert made.hops[0].stretch is None


def test_the_destination_is_the_last_hops_place_when_nobody_gave_one() -> None:
    made = route_stretch(trace(hop(1, THERE, 50)), HERE, None)
    assert made.floor is not None
    assert made.floor.distance_km == pytest.approx(2223.9, abs=1)
