"""/metrics is OpenMetrics that a strict reader takes, and says nothing that was not measured."""

import re

import msgspec
from tests.api.conftest import NOW, Hub, ping

from nettrace.api.queue_metrics import Queues, families
from nettrace.errors import Unreachable
from nettrace.hub.latest import Newest
from nettrace.hub.link import WriterStatus
from nettrace.model.alert import AlertStep, Delivery, NoticeKind
from nettrace.model.vantage import Load
from nettrace.wire.frames import Report

LINE = re.compile(r"^([a-z_0-9]+)(?:\{((?:[a-z_]+=\"(?:[^\"\\\n]|\\.)*\",?)*)\})? (\S+)$")
LABEL = re.compile(r'([a-z_]+)="((?:[^"\\\n]|\\.)*)"')


def read(text: str) -> tuple[dict[str, str], dict[str, list[tuple[dict[str, str], float]]]]:
    """Types by family and samples by name; anything not well-formed stops."""
    lines = text.split("\n")
    assert lines[-2:] == ["# EOF", ""]
    types: dict[str, str] = {}
    samples: dict[str, list[tuple[dict[str, str], float]]] = {}
    seen: set[str] = set()
    family = ""
    for line in lines[:-2]:
        if line.startswith("# TYPE "):
            _, _, family, kind = line.split(" ")
            assert family not in types
            types[family] = kind
        elif line.startswith("# HELP "):
            assert line.split(" ")[2] == family
        else:
            match = LINE.match(line)
            assert match, line
            assert match[1].startswith(family)
            assert line.rpartition(" ")[0] not in seen
            seen.add(line.rpartition(" ")[0])
            samples.setdefault(match[1], []).append((dict(LABEL.findall(match[2] or "")), float(match[3])))
    return types, samples


async def test_names_of_the_earlier_system_are_kept_and_units_are_said(hub: Hub) -> None:
    answer = await hub.get("/metrics")
    assert answer.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    types, samples = read(answer.text)
    rtts = {(labels["host"], labels["region"]): value for labels, value in samples["nettrace_target_rtt_ms"]}
    assert rtts["api.example.com", "nyc"] == 9.02
    assert ("api.example.com", "fra") not in rtts  # silent for ten minutes
    assert ("b.example.com", "sin") not in rtts  # failed: no value, and down
    up = {(labels["host"], labels["region"]): value for labels, value in samples["nettrace_target_up"]}
    assert (up["b.example.com", "sin"], up["api.example.com", "nyc"]) == (0, 1)
    assert samples["nettrace_target_hops"][0][1] == 3
    assert samples["nettrace_route_changes_1h"] == [({}, 1.0)]
    assert samples["nettrace_quant_signals_1h"][0][1] > 0
    assert {labels["region"]: value for labels, value in samples["nettrace_vantage_up"]} == {
        "fra": 0,
        "nyc": 1,
        "sin": 1,
    }
    ages = {
        (labels["host"], labels["region"]): value for labels, value in samples["nettrace_round_age_seconds"]
    }
    assert ages["api.example.com", "fra"] > 600
    assert types["nettrace_rtt_seconds"] == "histogram"


async def test_the_histogram_counts_each_answered_probe_once(hub: Hub) -> None:
    for second in (1, 2):
        due = NOW + second * 10**9
        hub.clock = due + 10**9
        hub.report("nyc", [(due, "api.example.com", ping("api.example.com", 9.0 * second, due))])
        await hub.service.refresh()
        await hub.service.refresh()
    _, samples = read((await hub.get("/metrics")).text)
    mine = {"host": "api.example.com", "region": "nyc"}
    buckets = [
        (float(labels["le"]), value) for labels, value in samples["nettrace_rtt_seconds_bucket"]
        if labels.items() >= mine.items()
    ]  # fmt: skip
    assert len(buckets) == 21
    assert [bound for bound, _ in buckets[:3]] == [0.00005, 0.0001, 0.0002]
    assert [value for _, value in buckets] == sorted(value for _, value in buckets)
    assert buckets[-1] == (float("inf"), 10.0)
    (total,) = [
        value for labels, value in samples["nettrace_rtt_seconds_sum"] if labels.items() >= mine.items()
    ]
    assert round(total, 6) == round(5 * (0.00902 + 0.01802), 6)


async def test_every_queue_of_the_hub_and_every_machine_has_its_lines(hub: Hub) -> None:
    load = Load(cpu_percent=50.0, memory_used_bytes=1, memory_bytes=4, replication_lag_s={"pg-sin": 1.25})
    hub.store.heard(
        "node-nyc", NOW,
        Report(node="node-nyc", epoch="e", first_seq=10**6, sent_at=NOW, load=load, backlog=7, oldest_at=NOW - 3 * 10**9),
        None,
    )  # fmt: skip
    hub.store.put_alerts(AlertStep(deliveries=(
        Delivery(id="msg_1", channel="desk", incident="inc_1", kind=NoticeKind.OPENED, body=b"{}",
                 created_at=NOW - 90 * 10**9, next_at=NOW),
    )))  # fmt: skip
    hub.clock = NOW + 60 * 10**9
    await hub.service.refresh()
    _, samples = read((await hub.get("/metrics")).text)
    nyc = {"region": "nyc"}
    assert {labels["queue"]: value for labels, value in samples["nettrace_queue"]} == {
        "courier": 1, "exports": 0, "measurements": 0,
    }  # fmt: skip
    assert samples["nettrace_queue_age_seconds"] == [
        ({"queue": "courier"}, 150.0)
    ]  # nothing waits in the others
    assert (nyc, 7.0) in samples["nettrace_vantage_spool_entries"]
    # What a report says is true of its moment: the minute since then tells nothing about the spool.
    assert samples["nettrace_vantage_spool_age_seconds"] == [(nyc, 3.0)]
    assert (nyc, 60.0) in samples["nettrace_vantage_report_age_seconds"]
    assert samples["nettrace_vantage_cpu_ratio"] == [(nyc, 0.5)]
    assert samples["nettrace_vantage_replication_lag_seconds"] == [({**nyc, "endpoint": "pg-sin"}, 1.25)]
    assert {
        "nettrace_stream_listeners",
        "nettrace_stream_lag_events",
        "nettrace_reader_queue",
    } <= samples.keys()
    fleet = {row["region"]: row for row in (await hub.json("/api/v1/fleet"))["data"]}
    assert (fleet["nyc"]["load"]["memory_percent"], fleet["nyc"]["backlog"]) == (25.0, 7)
    assert fleet["sin"]["load"] is None


def test_the_writers_own_queue_speaks_when_there_is_a_writer() -> None:
    status = WriterStatus(
        pid=1,
        started_at=0,
        waiting=3,
        waiting_bytes=99,
        oldest_s=1.5,
        upkeep_s=4.0,
        upkeep_problem="disk full",
    )
    found = Queues(
        writer=status, stored={}, alert_lag=5, head=9, listeners=2, longest=4, let_go=1, behind=0, questions=0
    )
    _, samples = read(families(found, Newest(NOW).snapshot, NOW).decode() + "# EOF\n")
    assert samples["nettrace_writer_queue_age_seconds"] == [({}, 1.5)]
    assert samples["nettrace_upkeep_behind_seconds"] == [({}, 4.0)]
    assert samples["nettrace_upkeep_failing"] == [({}, 1.0)]
    assert samples["nettrace_alert_lag_events"] == [({}, 5.0)]
    _, without = read(
        families(msgspec.structs.replace(found, writer=None), Newest(NOW).snapshot, NOW).decode() + "# EOF\n"
    )
    assert without["nettrace_writer_up"] == [({}, 0.0)]
    assert "nettrace_writer_queue" not in without


async def test_readiness_says_what_is_not_ready_and_why(hub: Hub) -> None:
    answer = await hub.get("/readyz")
    assert (answer.status_code, answer.json()["why"]) == (200, [])
    assert "vantage fra: not heard of for three minutes" in answer.json()["warnings"]

    async def away(*_: object, **__: object) -> None:
        raise Unreachable("the hub's writer went away during a call", "Try again")

    hub.service.writer.call = away
    answer = await hub.get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["why"] == ["writer: the hub's writer went away during a call. Try again"]
    assert (await hub.get("/livez")).status_code == 200
