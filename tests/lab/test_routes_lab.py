"""Routes and blame on real packets: a cut is told once, balancing never, and a congested cable is blamed."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator

import msgspec
import pytest

from nettrace.analysis.routes.blame import blame
from nettrace.analysis.routes.tracker import RouteTracker
from nettrace.lab.session import RunningLab
from nettrace.lab.state import PREFIXES
from nettrace.lab.world import Event
from nettrace.measure.tracing.flow import flow_for
from nettrace.model.measurement import Method
from nettrace.model.path import Trace
from nettrace.model.route import BlameVerdict, RouteChange, RouteClass
from nettrace.outside.asn import network_lookup
from nettrace.wire.traces import read_trace

pytestmark = [pytest.mark.lab, pytest.mark.usefixtures("lab_permitted")]
PATIENCE_S = 60
SCAN = """
import click, sys
from nettrace.cli.root import group
for flow in sys.argv[1:]:
    try:
        group.main(["trace", "-4", "-o", "ndjson", "--flow", flow, "--timeout", "0.3", "west.lab", "edge.lab"], standalone_mode=False)
    except click.exceptions.Exit as end:
        assert end.exit_code == 0, end.exit_code
"""


@pytest.fixture
def own_lab() -> Iterator[RunningLab]:
    with RunningLab.start("small", name=f"routes-{os.getpid()}") as lab:
        yield lab


def scans(lab: RunningLab, *flows: int) -> list[Trace]:
    """A trace of each flow from both vantages at once to both targets, in order of time."""
    command = [sys.executable, "-c", SCAN, *map(str, flows)]
    running = {
        vantage: subprocess.Popen([*lab.prefix(vantage), *command], stdout=subprocess.PIPE)
        for vantage in ("nyc", "lon")
    }
    made: list[Trace] = []
    for vantage, process in running.items():
        out, _ = process.communicate(timeout=PATIENCE_S)
        assert process.returncode == 0
        found = [read_trace(msgspec.json.decode(line)) for line in out.splitlines()]
        assert len(found) == 2 * len(flows)
        made += [msgspec.structs.replace(trace, vantage=vantage) for trace in found]
    return sorted(made, key=lambda trace: trace.at)


def follow(traces: list[Trace], asn_of: Callable[[str], int | None] | None = None) -> list[RouteChange]:
    trackers: dict[tuple[str | None, str], RouteTracker] = {}
    told = [
        trackers.setdefault((each.vantage, each.target), RouteTracker()).feed(each, asn_of) for each in traces
    ]
    return [change for change in told if change is not None]


def test_congestion_is_blamed_and_a_cut_is_told_once(own_lab: RunningLab) -> None:
    before = scans(
        own_lab, *[0] * 9
    )  # far more than of the congested way: whose noise would be the route's else
    own_lab.happen(Event(kind="congest", subject="rockies-1", delay_ms=20.0))
    slow = scans(own_lab, 0, 0, 0)
    stands = sites(own_lab)
    own_lab.happen(Event(kind="restore", subject="rockies-1"))
    own_lab.happen(Event(kind="cut", subject="plains-1"))
    after = scans(own_lab, 0, 0, 0)

    found = blame([*before, *slow], slow[0].at)
    assert found.verdict is BlameVerdict.LEG
    assert found.affected == (("lon", "west.lab"), ("nyc", "west.lab"))
    (leg,) = found.legs
    assert (stands[leg.a], stands[leg.b]) == ("den", "sfo")
    assert leg.added_ns == pytest.approx(40e6, abs=5e6)

    changes = follow([*before, *slow, *after], networks_of(own_lab))
    assert sorted((change.vantage, change.target) for change in changes) == [
        ("lon", "west.lab"),
        ("nyc", "west.lab"),
    ]
    for change in changes:
        assert change.kind is RouteClass.AS_PATH
        assert 64602 in change.after.as_path and 64602 not in change.before.as_path
        assert change.at == min(
            each.at for each in after if (each.vantage, each.target) == (change.vantage, change.target)
        )
        assert change.rtt_moved and change.rtt_delta_ns is not None and change.rtt_delta_ns > 5e6


def test_hops_that_keep_silent_are_no_change_and_a_cut_is_told_by_the_second_trace(
    own_lab: RunningLab,
) -> None:
    before = scans(own_lab, 0, 0, 0, 0, 0)
    for cable in ("east-1", "atlantic-1", "atlantic-2"):
        own_lab.happen(Event(kind="congest", subject=cable, loss=0.25))
    before += scans(own_lab, 0, 0, 0)
    while not any(hop.address is None for trace in before for hop in trace.hops):
        before += scans(own_lab, 0)
    own_lab.happen(Event(kind="cut", subject="plains-1"))
    after = scans(own_lab, 0, 0)

    changes = follow([*before, *after], networks_of(own_lab))
    assert {(change.vantage, change.target) for change in changes} == {
        ("lon", "west.lab"),
        ("nyc", "west.lab"),
    }
    assert len(changes) == 2
    assert all(change.at >= after[0].at for change in changes), "told before anything was cut"


def test_balanced_flows_are_one_route(own_lab: RunningLab) -> None:
    traces = scans(own_lab, *range(8), *range(4))
    ways = {tuple(hop.address for hop in trace.hops) for trace in traces if trace.target == "west.lab"}
    assert len(ways) > 2, "the lab balances nothing: this test would prove nothing"
    assert [change.kind for change in follow(traces)] == []


def networks_of(lab: RunningLab) -> Callable[[str], int | None]:
    lookup = network_lookup(lab.home / PREFIXES)

    def asn_of(address: str) -> int | None:
        found = lookup(address)
        return found.asn if found else None

    return asn_of


def sites(lab: RunningLab) -> dict[str, str]:
    """Router address -> site, along the whole ways to the west."""
    oracle, found = lab.oracle(), dict[str, str]()
    for vantage in ("nyc", "lon"):
        path = oracle.path(vantage, "west.lab", flow_for("198.18.3.10", Method.UDP))
        found |= {hop.address: hop.site for hop in path.hops}
    return found
