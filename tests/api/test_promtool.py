"""`promtool check metrics` on what hub and node serve; alerts and dashboard ask for nothing that is not served."""

import re
import subprocess

import pytest
from tests.api.conftest import NOW, Hub
from tests.unit.deploy.test_files import RULES, expressions
from tests.unit.node.test_metrics import NOW as NODE_NOW
from tests.unit.node.test_metrics import facts

from nettrace.api.queue_metrics import Queues, families
from nettrace.hub.latest import Newest
from nettrace.hub.link import WriterStatus
from nettrace.node.metrics import exposition
from nettrace.runtime.classic_metrics import classic

OLDER = {"Accept": "text/plain; version=0.0.4"}


def lint(text: str) -> str:
    """What promtool says of metrics; nothing when there is no fault."""
    said = subprocess.run(
        ["promtool", "check", "metrics"], input=text, capture_output=True, text=True, timeout=30, check=False
    )
    assert said.returncode in {0, 3}, said.stderr
    return said.stdout + said.stderr


def of_the_writer() -> str:
    """What a hub says of its writer when there is one."""
    status = WriterStatus(pid=1, started_at=0, waiting=3, waiting_bytes=99, oldest_s=1.5)
    found = Queues(
        writer=status, stored={}, alert_lag=5, head=9, listeners=2, longest=4, let_go=1, behind=0, questions=0
    )
    return classic(families(found, Newest(NOW).snapshot, NOW)).decode()


@pytest.mark.tool("promtool")
def test_a_nodes_metrics_have_no_fault() -> None:
    assert lint(classic(exposition(facts(), NODE_NOW)).decode()) == ""


@pytest.mark.tool("promtool")
def test_a_writers_metrics_have_no_fault() -> None:
    assert lint(of_the_writer()) == ""


async def test_the_older_format_is_for_those_who_name_it(hub: Hub) -> None:
    older, newer = await hub.get("/metrics", headers=OLDER), await hub.get("/metrics")
    assert older.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert newer.headers["content-type"].startswith("application/openmetrics-text")
    assert older.text.count("nettrace_target_rtt_ms{") == newer.text.count("nettrace_target_rtt_ms{") > 0
    assert "# TYPE nettrace_build_info gauge" in older.text
    assert "# EOF" not in older.text


KEPT = {"nettrace_targets_total", "nettrace_target_rtt_ms"}
"""Names of the earlier system that people's dashboards use; the linter would have them otherwise."""


@pytest.mark.tool("promtool")
async def test_the_hubs_metrics_have_no_fault_but_kept_names(hub: Hub) -> None:
    text = (await hub.get("/metrics", headers=OLDER)).text
    said = lint(text)
    assert {line.split()[0] for line in said.splitlines()} <= KEPT, said


async def test_alerts_and_dashboard_ask_for_metrics_that_are_served(hub: Hub) -> None:
    text = (await hub.get("/metrics", headers=OLDER)).text
    served = set(re.findall(r"^# TYPE (\w+)", text + of_the_writer(), re.MULTILINE))
    asked = [rule["expr"] for group in RULES["groups"] for rule in group["rules"]] + expressions()
    names = {name.removesuffix("_bucket") for each in asked for name in re.findall(r"\bnettrace_\w+", each)}
    assert names - served == set()
