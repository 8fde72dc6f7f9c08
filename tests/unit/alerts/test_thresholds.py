"""The seed table's fixed thresholds on rounds, each just below and just above; `down` is in `test_evaluator`, machines in `test_machines`."""

from typing import Any

import pytest
from tests.unit.alerts.test_evaluator import book, preset

from nettrace.analysis.alerts.evaluator import Evaluator
from nettrace.analysis.alerts.fact import RoundSeen
from nettrace.model.instant import NS_PER_S
from nettrace.model.measurement import Outcome
from nettrace.model.target import RoundMethod, Series

START = 1_795_176_000 * NS_PER_S
SERIES = Series("nyc", "api.example", "rest", RoundMethod.ICMP)


def told(name: str, hours: float, rtt_ms: float, fails: int) -> list[Any]:
    """Incidents of a preset after hours of a round a minute, `fails` of every hundred of them failed."""
    evaluator = Evaluator(book(preset(name)))
    found: list[Any] = []
    for minute in range(round(hours * 60)):
        now = START + minute * 60 * NS_PER_S
        failed = (minute * fails) % 100 < fails
        round_ = RoundSeen(
            series=SERIES, due=now, interval_ns=60 * NS_PER_S, outcome=Outcome.FAILED if failed else Outcome.MEASURED,
            rtt_ns=None if failed else round(rtt_ms * 1e6), sent=5, received=0 if failed else 5,
        )  # fmt: skip
        found += evaluator.feed(now, [round_]).incidents
    return found


@pytest.mark.parametrize(
    ("name", "metric", "calm", "bad"),
    [
        ("latency-warning", "p95", {"rtt_ms": 99.0, "fails": 0}, {"rtt_ms": 101.0, "fails": 0}),
        ("latency-critical", "p95", {"rtt_ms": 499.0, "fails": 0}, {"rtt_ms": 501.0, "fails": 0}),
        ("errors-warning", "errors", {"rtt_ms": 9.0, "fails": 3}, {"rtt_ms": 9.0, "fails": 10}),
        ("errors-critical", "errors", {"rtt_ms": 9.0, "fails": 15}, {"rtt_ms": 9.0, "fails": 30}),
    ],
)
def test_a_preset_speaks_above_its_threshold_and_not_below(
    name: str, metric: str, calm: dict[str, Any], bad: dict[str, Any]
) -> None:
    assert told(name, 3, **calm) == []
    assert {why.metric for each in told(name, 3, **bad) for why in each.why} == {metric}
