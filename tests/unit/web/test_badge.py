"""Badges and sparklines: valid XML for every name, and never a lie about age or absence."""

from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nettrace.hub.latest import Snapshot
from nettrace.model.instant import NS_PER_S
from nettrace.model.measurement import Outcome
from nettrace.model.target import Endpoint, Role, RoundMethod, Series, Target
from nettrace.store.rows import Latest, Round
from nettrace.web.badge import METRICS, Tone, rtt_badge, shields, svg
from nettrace.web.badges import badge_for
from nettrace.web.spark import sparkline

NOW = 1_790_000_000 * NS_PER_S


@given(st.text(max_size=120), st.one_of(st.none(), st.integers(0, 10**12)))
def test_every_name_makes_a_valid_image(name: str, rtt_ns: int | None) -> None:
    drawn = ET.fromstring(svg(rtt_badge(name, rtt_ns, NOW, NOW, 60)))
    assert drawn.tag.endswith("svg")
    assert float(drawn.attrib["width"]) > 0


@pytest.mark.parametrize(
    ("age_s", "words"),
    [(0, "5.00 ms"), (180, "5.00 ms"), (181, "5.00 ms, 3 min ago"), (86_400 * 3, "5.00 ms, 3 d ago")],
)
def test_a_number_that_is_stale_looks_stale(age_s: int, words: str) -> None:
    badge = rtt_badge("x", 5_000_000, NOW - age_s * NS_PER_S, NOW, 60)
    assert badge.message == words
    assert (badge.tone is Tone.UNKNOWN) == (age_s > 180)


def test_no_data_no_answer_and_nothing_at_all_to_wait_for_are_three_badges() -> None:
    never = rtt_badge("x", None, None, NOW, 60)
    failed = rtt_badge("x", None, NOW, NOW, 60)
    instant = rtt_badge("x", 0, NOW, NOW, 60)
    assert [badge.message for badge in (never, failed, instant)] == ["unknown", "no answer", "0.00 ms"]
    assert [shields(badge)["isError"] for badge in (never, failed, instant)] == [True, True, False]


def test_shields_is_told_to_come_back_in_five_minutes() -> None:
    told = shields(rtt_badge("x", 5_000_000, NOW, NOW, 60))
    assert (told["schemaVersion"], told["cacheSeconds"]) == (1, 300)


@given(st.lists(st.one_of(st.none(), st.floats(-1e9, 1e9)), max_size=200), st.text(max_size=20))
def test_sparklines_are_valid_and_leave_gaps_open(values: list[float | None], title: str) -> None:
    drawn = sparkline(values, title)
    assert bool(drawn) == any(value is not None for value in values)
    if drawn:
        tree = ET.fromstring(drawn)
        marks = sum(
            len(node.attrib["points"].split()) if "points" in node.attrib else "cx" in node.attrib
            for node in tree
        )
        assert marks == sum(value is not None for value in values)


def test_every_metric_has_a_badge_and_an_old_number_says_so_whatever_it_is() -> None:
    target = Target(
        host="a.example", name="<A&B>", category="x",
        endpoints=(Endpoint(name="rest", host="a.example", role=Role.API, methods=(RoundMethod.TCP,)),),
    )  # fmt: skip
    rows = {}
    for method, more in {
        RoundMethod.TCP: {"rtt_ns": 5_000_000, "sent": 10, "received": 9}, RoundMethod.TRACE: {"hop_count": 7},
        RoundMethod.HTTP: {"stages_ns": {"dns": 10**6, "connect": 2 * 10**6, "tls": 3 * 10**6, "ttfb": 4 * 10**6}},
    }.items():  # fmt: skip
        series = Series("nyc", "a.example", "rest", method)
        made = Round(id="ms_1", series=series, due=NOW, at=NOW, outcome=Outcome.MEASURED, **more)
        rows[series] = Latest(seq=1, round=made)
    snapshot = Snapshot(seq=1, at=NOW, targets={"a.example": target}, newest={"a.example": rows})
    said = {metric: badge_for(snapshot, "a.example", metric, NOW).message for metric in METRICS}
    assert said == {
        "rtt": "5.00 ms", "loss": "10 %", "age": "0 s", "hops": "7", "state": "answers", "dns": "1.00 ms",
        "connect": "2.00 ms", "tls": "3.00 ms", "ttfb": "4.00 ms",
    }  # fmt: skip
    for metric in METRICS:
        old = badge_for(snapshot, "a.example", metric, NOW + 3600 * NS_PER_S)
        assert old.tone is Tone.UNKNOWN and ("1 h" in old.message)
        ET.fromstring(svg(old))
    assert badge_for(snapshot, "a.example", "charm", NOW).message == "unknown"
