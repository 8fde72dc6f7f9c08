"""Routes: shortest by delay and policy, following what breaks."""

import pytest

from nettrace.lab.routing import Conditions, Routes, Tree, mixed
from nettrace.lab.topology import Topology
from nettrace.lab.truth import Oracle, TruePath
from nettrace.lab.world import Event
from nettrace.lab.worldfile import load
from nettrace.measure.tracing.flow import flow_for
from nettrace.model.measurement import Method

WORLD = load("small")
FLOW = flow_for("198.18.0.1", Method.UDP)


def path(vantage: str, target: str, *events: Event) -> TruePath:
    conditions = Conditions()
    for event in events:
        conditions = conditions.after(event)
    return Oracle(WORLD, conditions).path(vantage, target, FLOW)


def test_the_shortest_way_is_taken() -> None:
    assert path("nyc", "west.lab").cables == ("east-1", "plains-1", "rockies-1")
    assert path("lon", "west.lab").cables == ("atlantic-1", "east-1", "plains-1", "rockies-1")


def test_a_cut_cable_moves_traffic_and_mending_it_moves_it_back() -> None:
    cut = Event(kind="cut", subject="plains-1")
    assert path("nyc", "west.lab", cut).cables == ("east-1", "southern-1")
    assert path("nyc", "west.lab", cut).rtt_ns > path("nyc", "west.lab").rtt_ns
    assert path("nyc", "west.lab", cut, Event(kind="restore", subject="plains-1")) == path("nyc", "west.lab")


def test_without_any_way_the_target_is_not_reached_and_a_router_says_so() -> None:
    gone = path("lon", "west.lab", *(Event(kind="cut", subject=f"atlantic-{n}") for n in (1, 2)))
    assert not gone.reaches
    assert len(gone.hops) == 1


def test_a_dead_site_moves_an_anycast_address_to_the_next_one() -> None:
    assert path("nyc", "edge.lab").edge == "nyc"
    assert path("lon", "edge.lab").edge == "lon"
    moved = Routes(Topology(WORLD), Conditions(dead=frozenset({"nyc"})))
    topology = moved.topology
    edge = moved.nearest(topology.vantages["lon"].groups[0], topology.targets["edge.lab"].groups)
    assert edge is not None and edge.site.code == "lon"


def test_congestion_adds_delay_but_does_not_move_routes() -> None:
    slow = path("nyc", "west.lab", Event(kind="congest", subject="plains-1", delay_ms=40.0, loss=0.1))
    assert slow.cables == path("nyc", "west.lab").cables
    assert slow.rtt_ns == path("nyc", "west.lab").rtt_ns + 80_000_000
    assert slow.lossy


def test_a_network_made_costly_is_avoided() -> None:
    assert path("nyc", "west.lab").as_path == (64701, 64601, 64702)
    event = Event(kind="reroute", subject="64601", preference_ms=100.0)
    assert path("nyc", "edge.lab", event).as_path == path("nyc", "edge.lab").as_path  # there is no other way
    world = load("world")
    before = Oracle(world).path("ewr", "engine.binance.lab", FLOW).as_path
    shunned = Event(kind="reroute", subject=str(before[1]), preference_ms=500.0)
    assert (
        before[1]
        not in Oracle(world, Conditions().after(shunned)).path("ewr", "engine.binance.lab", FLOW).as_path
    )


def test_only_transit_networks_carry_other_networks_traffic() -> None:
    world = load("world")
    transit = {network.asn for network in world.network if network.transit}
    oracle = Oracle(world)
    for vantage in oracle.topology.vantages:
        for target in oracle.topology.targets:
            middle = oracle.path(vantage, target, FLOW).as_path[1:-1]
            assert set(middle) <= transit


def test_every_pair_of_the_demo_world_is_connected_both_ways_and_no_faster_than_light() -> None:
    oracle = Oracle(load("world"))
    for vantage in oracle.topology.vantages:
        for target in oracle.topology.targets:
            pair = oracle.pair(vantage, target)
            assert pair["reaches"] and pair["rtt_ms"] >= pair["fibre_floor_ms"]


def test_some_return_paths_of_the_demo_world_are_not_the_way_back() -> None:
    oracle = Oracle(load("world"))
    differing = [
        target
        for target in oracle.topology.targets
        if abs((way := oracle.path("sin", target, FLOW)).forward_ns - way.return_ns) > 1_000_000
    ]
    assert differing


def test_a_tree_survives_the_trip_to_the_router() -> None:
    routes = Routes(Topology(WORLD))
    routes.prepare()
    for tree in routes.trees.values():
        again = Tree.of(tree.offsets.tobytes(), tree.links.tobytes())
        assert (again.offsets, again.links) == (tree.offsets, tree.links)


@pytest.mark.parametrize("salts", [(1, 2), (77, 12_345_678_901)])
def test_neighbouring_routers_choose_independently(salts: tuple[int, int]) -> None:
    both = [(mixed(flow, salts[0]) & 1, mixed(flow, salts[1]) & 1) for flow in range(4000)]
    for choice in {(0, 0), (0, 1), (1, 0), (1, 1)}:
        assert 800 < both.count(choice) < 1200
