"""The simulator itself: what it claims as truth must be true, or nothing proven on it is."""

import pytest

from nettrace.measure.tracing.flow import flow_for
from nettrace.model.instant import NS_PER_MS, NS_PER_S
from nettrace.model.measurement import Method
from nettrace.model.path import Probe, Reply, ReplyKind
from nettrace.testing.simclock import SimClock
from nettrace.testing.simdriver import EPOCH
from nettrace.testing.simnet import Route, Router, SimNet, Site

ADDRESS = "198.18.0.1"
FLOW = flow_for(ADDRESS, Method.UDP)


def net_of(*stages: tuple[Router, ...], **site: object) -> SimNet:
    return SimNet([Site(address=ADDRESS, routes=(Route(stages=stages),), **site)])  # type: ignore[arg-type]


def answer(net: SimNet, ttl: int, at: int = EPOCH, payload_bytes: int = 32) -> Reply | None:
    net.arrivals.clear()
    net.send(at, Probe(1, ADDRESS, FLOW, ttl, payload_bytes))
    return net.arrivals[0][3] if net.arrivals else None


def routers(count: int, **fields: object) -> list[tuple[Router, ...]]:
    return [(Router(address=f"10.0.0.{n}", **fields),) for n in range(1, count + 1)]  # type: ignore[arg-type]


def test_each_ttl_ends_at_its_router_and_the_next_at_the_destination() -> None:
    net = net_of(*routers(2, delay_ms=3), delay_ms=4)

    first, second, third = (answer(net, ttl) for ttl in (1, 2, 3))

    assert first and second and third
    assert (first.source, first.kind, first.received_at - EPOCH) == (
        "10.0.0.1",
        "time_exceeded",
        6 * NS_PER_MS,
    )
    assert (second.source, second.received_at - EPOCH) == ("10.0.0.2", 12 * NS_PER_MS)
    assert (third.source, third.kind, third.received_at - EPOCH) == (ADDRESS, "unreachable", 20 * NS_PER_MS)
    assert (first.quoted_ttl, second.quoted_ttl, third.quoted_ttl) == (1, 1, 1)
    assert answer(net, 32).quoted_ttl == 30  # type: ignore[union-attr]


def test_flows_spread_over_parallel_routers_and_each_flow_stays() -> None:
    stage = tuple(Router(address=f"10.0.{n}.1") for n in range(4))
    net = net_of(stage)
    flows = [flow_for(ADDRESS, Method.UDP, number) for number in range(200)]

    owners = [net.owners(ADDRESS, flow, 1, EPOCH) for flow in flows]

    assert set().union(*owners) == {router.address for router in stage}
    assert owners == [net.owners(ADDRESS, flow, 1, EPOCH) for flow in flows]
    assert all(len(owner) == 1 for owner in owners)


def test_a_limited_router_grants_its_burst_then_one_a_second() -> None:
    net = net_of(*routers(1, answers_per_s=1.0, answer_burst=6))

    granted = [answer(net, 1, EPOCH + tenth * NS_PER_S // 10) is not None for tenth in range(60)]

    assert granted[:6] == [True] * 6
    assert sum(granted) == 6 + 5


def test_loss_is_as_asked_for_both_ways() -> None:
    net = net_of(*routers(1, loss=0.1))
    lost = sum(net.send(EPOCH, Probe(n, ADDRESS, FLOW, 1)).lost == "lost" for n in range(20_000))

    assert lost / 20_000 == pytest.approx(1 - 0.9**2, abs=0.01)


def test_a_packet_too_big_for_the_next_link_is_quoted_by_the_router_before_it() -> None:
    stages = routers(3)
    stages[0] = (Router(address="10.0.0.1", mtu=1400),)
    net = net_of(*stages)

    big, fitting = answer(net, 3, payload_bytes=1472), answer(net, 3, payload_bytes=1372)

    assert big and fitting
    assert (big.kind, big.source, big.mtu_bytes) == (ReplyKind.PACKET_TOO_BIG, "10.0.0.1", 1400)
    assert fitting.source == "10.0.0.3"


def test_a_route_changes_when_it_says() -> None:
    old = Route(stages=tuple(routers(2)))
    new = Route(stages=tuple(routers(5)), since=EPOCH + NS_PER_S)
    net = SimNet([Site(address=ADDRESS, routes=(old, new))])

    assert net.length(ADDRESS, EPOCH + NS_PER_S - 1) == 3
    assert net.length(ADDRESS, EPOCH + NS_PER_S) == 6


def test_the_clock_is_ahead_by_the_sum_of_its_steps() -> None:
    clock = SimClock(steps=[(100, 5), (200, -7)], stalls=[(10, 20), (50, 60)])

    assert [clock.offset(at) for at in (99, 100, 199, 200)] == [0, 5, 5, -2]
    assert [clock.stall_at(at) for at in (9, 10, 19, 20)] == [None, (10, 20), (10, 20), None]
    assert clock.stalls_between(10, 50) == [(50, 60)]


def test_the_same_seed_gives_the_same_day() -> None:
    def fates(seed: int) -> list[object]:
        site = Site(address=ADDRESS, routes=(Route(stages=tuple(routers(3, loss=0.2, jitter_ms=2.0))),))
        net = SimNet([site], seed)
        return [net.send(EPOCH, Probe(n, ADDRESS, FLOW, 3)) for n in range(50)]

    assert fates(3) == fates(3)
    assert fates(3) != fates(4)
