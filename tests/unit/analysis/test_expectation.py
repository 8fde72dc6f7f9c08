"""Expectations against measurement: within, outside, impossible, an edge's, or nothing known."""

import pytest

from nettrace.analysis.expectation import Expectation, Observed, Verdict, validate
from nettrace.model.instant import NS_PER_MS

FLOOR_NS = 102 * NS_PER_MS


def expected(low_ms: float, high_ms: float) -> Expectation:
    return Expectation(
        target="api.example", vantage="EWR", low_ms=low_ms, high_ms=high_ms, stands="Singapore"
    )


def seen(min_ms: float, p50_ms: float, first_byte_ms: float | None = None) -> Observed:
    first_byte = None if first_byte_ms is None else round(first_byte_ms * NS_PER_MS)
    return Observed(
        min_ns=round(min_ms * NS_PER_MS),
        p50_ns=round(p50_ms * NS_PER_MS),
        first_byte_min_ns=first_byte,
        rounds=100,
    )


@pytest.mark.parametrize(
    ("wanted", "observed", "verdict"),
    [
        (expected(200, 260), seen(210, 230), Verdict.WITHIN),
        (expected(200, 230), seen(210, 230), Verdict.WITHIN),
        (expected(200, 229), seen(210, 230), Verdict.OUTSIDE),
        (expected(240, 260), seen(210, 230), Verdict.OUTSIDE),
        (expected(40, 80), seen(210, 230), Verdict.IMPOSSIBLE),
        (expected(40, 80), seen(3, 50), Verdict.EDGE),
        (expected(200, 260), seen(210, 230, first_byte_ms=400), Verdict.EDGE),
        (expected(200, 260), seen(210, 230, first_byte_ms=212), Verdict.WITHIN),
        (expected(200, 260), Observed(rounds=9, failed=9), Verdict.NO_DATA),
        (expected(40, 80), Observed(), Verdict.IMPOSSIBLE),
    ],
)
def test_each_verdict_has_its_reason(wanted: Expectation, observed: Observed, verdict: Verdict) -> None:
    said = validate(wanted, observed, FLOOR_NS)
    assert said.verdict is verdict
    assert said.why
    assert said.expectation_impossible == (wanted.high_ms < 102)


def test_a_number_inside_the_range_is_no_proof_when_light_says_otherwise() -> None:
    said = validate(expected(40, 80), seen(60, 62), FLOOR_NS)
    assert said.verdict is Verdict.EDGE
    assert "faster than light" in said.why


def test_without_a_place_only_the_range_is_judged() -> None:
    assert validate(expected(1, 5), seen(2, 3), None).verdict is Verdict.WITHIN
    assert validate(expected(1, 5), seen(6, 7), None).verdict is Verdict.OUTSIDE


def test_nothing_measured_is_never_called_down() -> None:
    assert "no round" in validate(expected(200, 260), Observed(), None).why
    assert "9 of them failed" in validate(expected(200, 260), Observed(rounds=9, failed=9), None).why
