"""Rules about nodes' machines: held by what a node reports, by no figure it no longer stands for, and over with it."""

from typing import Any

import pytest
from tests.unit.alerts.test_evaluator import book, preset

from nettrace.analysis.alerts.evaluator import Evaluator
from nettrace.analysis.alerts.fact import Heard
from nettrace.model.instant import NS_PER_S

START = 1_795_176_000 * NS_PER_S
STEP = 10


def live(
    evaluator: Evaluator, since_s: int, until_s: int, load: dict[str, float], *, heard: bool = True
) -> list[Any]:
    """Feed it every ten seconds; every incident as it was at each change."""
    found: list[Any] = []
    for second in range(since_s, until_s, STEP):
        now = START + second * NS_PER_S
        facts = [Heard(vantage="nyc", at=now, load=load)] if heard else []
        found += evaluator.feed(now, facts).incidents
    return found


@pytest.mark.parametrize(
    ("name", "metric", "calm", "bad", "hold_s"),
    [
        ("cpu-warning", "cpu", 79.0, 81.0, 600),
        ("cpu-critical", "cpu", 94.0, 96.0, 600),
        ("memory-warning", "memory", 79.0, 81.0, 300),
        ("memory-critical", "memory", 94.0, 96.0, 120),
        ("disk-warning", "disk", 79.0, 81.0, 300),
        ("disk-critical", "disk", 94.0, 96.0, 60),
        ("replication-warning", "replication", 0.9, 1.1, 60),
        ("replication-critical", "replication", 4.9, 5.1, 60),
    ],
)
def test_a_preset_holds_beyond_its_threshold_for_its_time_and_is_over_when_it_recovered(
    name: str, metric: str, calm: float, bad: float, hold_s: int
) -> None:
    evaluator = Evaluator(book(preset(name)))
    assert live(evaluator, 0, 2 * hold_s, {metric: calm}) == []
    begun = 2 * hold_s
    assert live(evaluator, begun, begun + hold_s, {metric: bad}) == []  # not long enough yet
    (opened,) = live(evaluator, begun + hold_s, begun + hold_s + 20, {metric: bad})
    assert (opened.cause, opened.vantages, opened.why[0].metric) == ("vantage:nyc", ("nyc",), metric)
    after = begun + hold_s + 20
    (closed,) = live(evaluator, after, after + hold_s + 20, {metric: 0.0})
    assert closed.closed_by == "recovered"


def test_a_silent_nodes_last_figures_open_and_close_nothing() -> None:
    evaluator = Evaluator(book(preset("disk-critical")))
    assert live(evaluator, 0, 20, {"disk": 99.0}) == []
    assert live(evaluator, 20, 280, {}, heard=False) == []  # 99 % once, and then nothing is known
    assert live(evaluator, 280, 290, {"disk": 99.0}) == []  # its time begins anew
    assert len(live(evaluator, 290, 420, {"disk": 99.0})) == 1
    assert live(evaluator, 420, 700, {}, heard=False) == []
    assert len(evaluator.open) == 1


def test_a_node_that_tells_nothing_of_its_machine_is_not_judged() -> None:
    evaluator = Evaluator(book(preset("cpu-critical"), preset("replication-warning")))
    assert live(evaluator, 0, 3600, {}) == []
