"""Stages of a request: one after another, and what a standing connection saves is shown or said to be derived."""

from itertools import pairwise
from xml.etree import ElementTree as ET

from hypothesis import given
from hypothesis import strategies as st

from nettrace.model.instant import NS_PER_MS
from nettrace.model.measurement import Outcome
from nettrace.model.target import RoundMethod, Series
from nettrace.store.rows import Round
from nettrace.web.waterfall import COLD, KEPT_ALIVE, bars_of, draw, waterfalls

COLD_MS = {"dns": 4, "connect": 10, "tls": 21, "ttfb": 15, "total": 52}


def request(number: int, **stages_ms: int) -> Round:
    return Round(
        id=f"ms_{number}", series=Series("nyc", "api.example", "rest", RoundMethod.HTTP), due=number, at=number,
        outcome=Outcome.MEASURED, stages_ns={name: value * NS_PER_MS for name, value in stages_ms.items()},
    )  # fmt: skip


def test_each_stage_begins_where_the_one_before_ended() -> None:
    (made,) = waterfalls([request(1, **COLD_MS)], "x")
    cold = [bar for bar in made.bars if bar.row == COLD]
    assert [bar.stage for bar in cold] == ["dns", "connect", "tls", "ttfb", "rest"]
    for before, after in pairwise(cold):
        assert after.start_ns == before.start_ns + before.length_ns
    assert cold[-1].start_ns + cold[-1].length_ns == 52 * NS_PER_MS


def test_a_request_on_a_standing_connection_is_shown_or_its_absence_said() -> None:
    (derived,) = waterfalls([request(1, **COLD_MS)], "x")
    (measured,) = waterfalls([request(1, **COLD_MS), request(2, ttfb=12, total=13)], "x")
    assert (derived.derived, measured.derived) == (True, False)
    kept = [
        [bar.length_ns // NS_PER_MS for bar in made.bars if bar.row == KEPT_ALIVE]
        for made in (derived, measured)
    ]
    assert kept == [[15, 2], [12, 1]]


def test_rounds_without_stages_make_no_picture() -> None:
    assert waterfalls([request(1)], "x") == []
    assert draw((), "x") == ""


lengths = st.dictionaries(st.sampled_from(["dns", "connect", "tls", "ttfb", "rest"]), st.integers(0, 10**11))


@given(lengths, lengths, st.text(max_size=30))
def test_any_stages_are_a_valid_picture(cold: dict[str, int], warm: dict[str, int], title: str) -> None:
    bars = bars_of(cold, warm)
    drawn = draw(bars, title)
    assert bool(drawn) == bool(bars)
    if drawn:
        boxes = [node for node in ET.fromstring(drawn).iter() if node.tag.endswith("}rect")]
        assert len(boxes) == len(bars)
        assert all(float(box.attrib["width"]) >= 1 for box in boxes)
