"""A node's own /metrics: what it says, to whom, and that nothing unknown has a line."""

import http.client
import threading

import pytest
from tests.api.test_metrics import read

from nettrace.errors import Conflict
from nettrace.model.instant import NS_PER_S
from nettrace.model.measurement import Outcome
from nettrace.model.vantage import Clock, Load
from nettrace.node.metrics import MetricsDoor, NodeFacts, exposition
from nettrace.node.thrift import Held
from nettrace.runtime.openmetrics import MEDIA_TYPE

NOW = 1_000 * NS_PER_S


def facts(**more: object) -> NodeFacts:
    known = {
        "region": 'n"yc', "load": Load(cpu_percent=12.5, memory_bytes=4, replication_lag_s={"pg-sin": 0.2}), "series": 7,
        "rounds": {Outcome.MEASURED: 3}, "held": Held({"network": 1200}, {"network": 40}), "backlog": 2, "oldest_at": NOW - 5 * NS_PER_S, "sent": 9, "dropped": 0,
        "latest_start_s": 0.25, "clock": Clock(offset_ns=-5_000_000, error_ns=1_000_000), "reporting": True,
        "assignment": 4, "heard_at": None,
    }  # fmt: skip
    return NodeFacts(**(known | more))


def test_every_queue_and_age_of_a_node_is_a_metric_a_strict_reader_takes() -> None:
    types, samples = read(exposition(facts(), NOW).decode())
    assert types["nettrace_node_rounds"] == "counter"
    values = {name: found[0][1] for name, found in samples.items()}
    assert values["nettrace_node_spool_entries"] == 2
    assert values["nettrace_node_spool_age_seconds"] == 5
    assert values["nettrace_node_cpu_ratio"] == 0.125
    assert values["nettrace_node_clock_offset_seconds"] == -0.005
    assert values["nettrace_node_reporting"] == 1
    assert samples["nettrace_node_replication_lag_seconds"] == [
        ({"region": 'n\\"yc', "endpoint": "pg-sin"}, 0.2)
    ]
    assert "nettrace_node_report_age_seconds" not in samples  # the hub never took one
    assert "nettrace_node_memory_used_bytes" not in samples
    assert {labels["outcome"]: value for labels, value in samples["nettrace_node_rounds_total"]} == {
        "measured": 3, "failed": 0, "not_measured": 0,
    }  # fmt: skip


def test_an_empty_spool_has_no_age() -> None:
    _, samples = read(exposition(facts(backlog=0), NOW).decode())
    assert "nettrace_node_spool_age_seconds" not in samples


def ask(port: int, path: str, host: str = "127.0.0.1") -> tuple[int, str, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", path, headers={"Host": host})
        answer = connection.getresponse()
        return answer.status, answer.headers.get("content-type", ""), answer.read()
    finally:
        connection.close()


def test_it_is_served_on_loopback_to_names_of_this_machine_and_only_when_asked_for() -> None:
    door = MetricsDoor(0, lambda: exposition(facts(), NOW))
    try:
        assert door.port
        assert ask(door.port, "/metrics") == (200, MEDIA_TYPE, exposition(facts(), NOW))
        assert ask(door.port, "/metrics", f"localhost:{door.port}")[0] == 200
        assert ask(door.port, "/metrics", "evil.example")[0] == 421
        assert ask(door.port, "/")[0] == 404
        with pytest.raises(Conflict, match="cannot serve metrics"):
            MetricsDoor(door.port, bytes)
    finally:
        door.close()
    assert MetricsDoor(None, bytes).port is None
    assert not [each for each in threading.enumerate() if each.name == "metrics" and each.is_alive()]
