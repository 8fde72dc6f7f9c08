"""Badges and sparklines: valid XML for every name, and never a lie about age or absence."""

from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nettrace.model.instant import NS_PER_S
from nettrace.web.badge import Tone, rtt_badge, shields, svg
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
