"""A node inside the lab: what it reports is what is true there, and it traces at once when a cable is cut."""

import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.faults.node_world import Double, Node, check_ledger, wait_for
from tests.lab.contract import check_times, check_trace, truth_of

from nettrace.lab.session import RunningLab
from nettrace.lab.truth import Oracle
from nettrace.lab.world import Event
from nettrace.measure.tracing.flow import flow_for
from nettrace.model.measurement import Method, Reason
from nettrace.model.target import Endpoint, Role, RoundMethod
from nettrace.wire.documents import document
from nettrace.wire.frames import Assignment, Cadence, Measured, Task

pytestmark = [pytest.mark.lab, pytest.mark.root]

TARGETS = ("west.lab", "quiet.lab", "edge.lab")
METHODS = (
    RoundMethod.ICMP,
    RoundMethod.UDP,
    RoundMethod.TCP,
    RoundMethod.HTTP,
    RoundMethod.WS,
    RoundMethod.TRACE,
)


@pytest.fixture
def lab(lab_permitted: None) -> Iterator[RunningLab]:
    with RunningLab.start("small", name=f"node-{os.getpid()}") as running:
        yield running


def rows_of(double: Double, method: str, **wanted: object) -> list[dict[str, Any]]:
    """The public documents of rounds of one method that took place, each with its record's target.

    A busy machine leaves rounds out, and says so.
    """
    rows = [
        document(msgspec.convert(row["measurement"], Measured, strict=False)) | {"of": row["target"]}
        for row in double.records(method=method, **wanted)
    ]
    return [row for row in rows if row["reason"] != Reason.NOT_SCHEDULED]


def tasks() -> tuple[Task, ...]:
    web = tuple(
        Task(
            target=name,
            endpoint=Endpoint(name="rest", host=name, role=Role.API, url=f"https://{name}/"),
            methods=tuple(method for method in METHODS if method is not RoundMethod.WS),
        )
        for name in TARGETS
    )
    feed = Endpoint(name="feed", host="west.lab", role=Role.DATA, url="wss://west.lab/")
    names = Endpoint(name="names", host="resolver.lab", role=Role.RESOLVER, url="dns:west.lab")
    once = Cadence(rtt_s=1, trace_s=86_400, exchange_s=86_400, probes=2, spacing_s=0.1)
    # By its name its first trace is due soon, and then not for a day: the next one is an extra one.
    moving = Endpoint(name="m24", host="west.lab", role=Role.API)
    return (
        *web,
        Task(target="west.lab", endpoint=feed, methods=(RoundMethod.WS,)),
        Task(target="resolver.lab", endpoint=names, methods=(RoundMethod.DNS,)),
        Task(target="moving", endpoint=moving, methods=(RoundMethod.ICMP, RoundMethod.TRACE), cadence=once),
    )


def test_what_a_node_reports_is_the_truth_and_a_cut_cable_is_traced_at_once(
    lab: RunningLab, tmp_path: Path
) -> None:
    oracle = lab.oracle()
    inside = tuple(lab.prefix("nyc"))
    cadence = Cadence(rtt_s=2, exchange_s=4, trace_s=4, probes=3, spacing_s=0.1)
    assignment = Assignment(version=1, tasks=tasks(), cadence=cadence, open_networks=("0.0.0.0/0", "::/0"))
    double = Double(tmp_path / "hub", assignment, inside)
    node = Node(tmp_path / "node", double.url, prefix=inside)
    try:
        double.start()
        node.start()
        kinds = {
            (name, method.value) for name in TARGETS for method in METHODS if method is not RoundMethod.WS
        }
        kinds |= {("west.lab", "ws"), ("resolver.lab", "dns"), ("moving", "trace")}

        def seen() -> set[tuple[str, str]]:
            return {(row["of"], method.value) for method in RoundMethod for row in rows_of(double, method)}

        wait_for(lambda: kinds <= seen())
        wait_for(lambda: len(rows_of(double, "icmp", target="moving")) > 9)
        check_truth(double, oracle)
        lab.happen(Event(kind="cut", subject="plains-1"))
        cut_at = datetime.now(UTC)  # a trace on its way meanwhile is no answer to the cut

        def extra() -> list[dict[str, Any]]:
            rows = rows_of(double, "trace", target="moving")
            return [row for row in rows if datetime.fromisoformat(row["at"]) > cut_at]

        wait_for(extra)
        made = extra()[0]
        check_trace(made, truth_of(lab.oracle(), "nyc", made))
        assert node.end() == 0
        check_ledger(double)
    finally:
        node.kill()
        double.close()


def check_truth(double: Double, oracle: Oracle) -> None:
    for row in rows_of(double, "trace"):
        assert row["method"] == "tcp", "the way the endpoint's own traffic takes"
        check_trace(row, truth_of(oracle, "nyc", row))
    for method in ("icmp", "udp", "tcp"):
        for row in rows_of(double, method):
            assert (row["outcome"], row["method"], row["clock"]) == ("measured", method, "kernel"), row
            flow = flow_for(row["address"], Method(method), 0, row.get("port"))
            version = 6 if ":" in row["address"] else 4
            floor = min(
                oracle.path("nyc", row["address"], flow, version).rtt_ns,
                *(
                    oracle.path(
                        "nyc", row["address"], flow_for(row["address"], Method(method), each), version
                    ).rtt_ns
                    for each in range(8)
                ),
            )
            check_times(row["rtt_ms"], floor)
    for row in rows_of(double, "http"):
        assert (row["outcome"], row["status"], row["tls_version"]) == ("measured", 200, "TLSv1.3"), row
        assert row["dns_ms"] is not None
        pair = oracle.pair("nyc", row["of"], 6 if ":" in row["address"] else 4)
        check_times([row["connect_ms"]], round(pair["rtt_ms"] * 1e6))
        assert row["ttfb_ms"] >= pair["rtt_ms"] + (pair["first_byte_wait_ms"] or 0)
    (feed, *_) = rows_of(double, "ws")
    assert feed["outcome"] == "measured"
    assert len(feed["rtt_ms"]) == 3
    (names, *_) = rows_of(double, "dns")
    assert (names["outcome"], names["rcode"]) == ("measured", "NOERROR")
