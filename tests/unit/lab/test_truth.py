"""The truth a measurement is held against."""

import json

import pytest

from nettrace.errors import LabError
from nettrace.lab.demo import compare
from nettrace.lab.routing import Conditions
from nettrace.lab.truth import Oracle, truth
from nettrace.lab.world import Event
from nettrace.lab.worldfile import load
from nettrace.measure.tracing.flow import flow_for
from nettrace.model.measurement import Method

WORLD = load("small")
ORACLE = Oracle(WORLD)


@pytest.mark.parametrize("method", list(Method))
@pytest.mark.parametrize("version", [4, 6])
def test_every_flow_meets_some_branch_at_every_hop(method: Method, version: int) -> None:
    branches = ORACLE.branches("nyc", "west.lab", version)
    seen: dict[int, set[str]] = {}
    for number in range(200):
        path = ORACLE.path(
            "nyc", "west.lab", flow_for("x:" if version == 6 else "x", method, number), version
        )
        for hop in path.hops:
            seen.setdefault(hop.ttl, set()).add(hop.address)
    assert seen == branches  # 200 flows find them all, and nothing else


def test_two_asks_give_one_answer() -> None:
    flow = flow_for("198.18.3.10", Method.TCP)
    assert truth(WORLD, "nyc", "west.lab", flow) == ORACLE.path("nyc", "west.lab", flow)


def test_truth_follows_the_conditions() -> None:
    cut = Conditions().after(Event(kind="cut", subject="plains-1"))
    assert "plains-1" in ORACLE.pair("nyc", "west.lab")["cables"]
    assert "plains-1" not in Oracle(WORLD, cut).pair("nyc", "west.lab")["cables"]


def test_the_document_says_who_keeps_silent_limits_and_labels() -> None:
    hops = ORACLE.pair("nyc", "quiet.lab")["hops"]
    assert [hop["silent"] for hop in hops] == [False] * 6 + [True] * 2
    assert any(hop["mpls"] for hop in hops)
    assert [hop["limited"] for hop in ORACLE.pair("lon", "slow.lab")["hops"]][-2:] == [True, True]
    assert json.loads(json.dumps(ORACLE.document()))["pairs"]


def test_an_edge_is_near_and_its_first_byte_is_far() -> None:
    pair = ORACLE.pair("nyc", "edge.lab")
    assert pair["edge"] == "nyc" and pair["rtt_ms"] < 1
    far = ORACLE.pair("nyc", "west.lab")["rtt_ms"]
    assert far < pair["first_byte_wait_ms"] < far + 2


def test_a_crowd_member_is_a_target_too() -> None:
    assert ORACLE.pair("nyc", "100.64.0.7")["edge"] == "sfo"


@pytest.mark.parametrize(("vantage", "target"), [("xxx", "west.lab"), ("nyc", "xxx")])
def test_unknown_ends_are_named(vantage: str, target: str) -> None:
    with pytest.raises(LabError, match="'xxx'"):
        ORACLE.pair(vantage, target)


def test_an_ipv4_only_target_has_no_ipv6_truth() -> None:
    with pytest.raises(LabError, match=r"walled\.lab has no IPv6"):
        ORACLE.pair("nyc", "walled.lab", 6)


def test_a_trace_is_compared_hop_by_hop_and_silence_is_no_hop() -> None:
    path = ORACLE.path("nyc", "quiet.lab", flow_for("198.18.4.10", Method.UDP))
    hops = [{"ttl": hop.ttl, "address": hop.address} for hop in path.hops]
    document = {"address": "198.18.4.10", "hops": [*hops, {"ttl": len(hops) + 1, "address": "198.18.4.10"}]}
    assert compare(document, path) == (9, 0)
    hops[2]["address"] = None
    assert compare(document, path) == (8, 0)
    hops[3]["address"] = "198.18.99.99"
    assert compare(document, path) == (7, 1)
