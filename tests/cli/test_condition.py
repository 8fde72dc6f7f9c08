"""`--fail-if`: says yes only to what was measured, and refuses what it does not understand."""

import pytest

from nettrace.cli.condition import parse_condition
from nettrace.errors import Invalid

PING = {"sent": 100, "received": 98, "p50_ms": 10.0, "p95_ms": 60.0, "min_ms": 9.0, "max_ms": 80.0}


@pytest.mark.parametrize(
    ("text", "broken"),
    [
        ("p95>50ms", True),
        ("p95>0.05s", True),
        ("p95>59999us", True),
        ("p95 > 60", False),
        ("loss>1%", True),
        ("loss >= 2", True),
        ("loss>2.5%", False),
        ("p50>50 or loss>1%", True),
        ("p50>50 and loss>1%", False),
        ("p50>50 or p95>50 and loss>1%", True),
        ("min!=9", False),
        ("max==80", True),
    ],
)
def test_conditions_over_a_ping(text: str, *, broken: bool) -> None:
    assert parse_condition(text).broken_by(PING) is broken


@pytest.mark.parametrize("text", ["p95>50ms", "loss>1%", "loss<1%", "p50<5", "status!=200", "hops>3"])
def test_what_was_not_measured_never_breaks_a_condition(text: str) -> None:
    nothing = {
        "sent": 0,
        "received": 0,
        "p95_ms": None,
        "p50_ms": None,
        "status": None,
        "reached": False,
        "hops": [],
    }
    assert parse_condition(text).broken_by(nothing) is False


def test_hops_and_status_are_counts() -> None:
    assert parse_condition("hops>2").broken_by({"reached": True, "hops": [{}, {}, {}]})
    assert parse_condition("status>=400").broken_by({"status": 503})


@pytest.mark.parametrize(
    "text", ["", "p95", "p95>fast", "speed>1", "p95>50%", "loss>1ms", "p95>50ms or", "rm -rf /"]
)
def test_nonsense_is_refused_with_a_hint(text: str) -> None:
    with pytest.raises(Invalid) as refused:
        parse_condition(text)
    assert refused.value.hint
    assert refused.value.exit_code == 2
