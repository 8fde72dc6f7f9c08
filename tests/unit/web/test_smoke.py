"""The smoke chart: every kind of absence looks different, and nothing is drawn that was not measured."""

from xml.etree import ElementTree as ET

from hypothesis import given
from hypothesis import strategies as st

from nettrace.model.instant import NS_PER_MS, NS_PER_S
from nettrace.model.target import RoundMethod, Series
from nettrace.store.rows import Columns, Resolution, Window
from nettrace.web.frame import PLANE
from nettrace.web.smoke import Mark, smoke

HOUR_NS = 3600 * NS_PER_S
START = 1_790_000_000 // 3600 * HOUR_NS
DAY = Window(START, START + 24 * HOUR_NS)


def columns(medians_ms: dict[int, float | None], lost: int = 0) -> Columns:
    """Hourly buckets by hour; None is an hour in which every probe was lost."""
    values = [None if each is None else round(each * NS_PER_MS) for each in medians_ms.values()]
    ones, zeros = [1] * len(values), [0] * len(values)
    return Columns(
        series=Series("nyc", "api.example", "rest", RoundMethod.TCP), resolution=Resolution.HOUR,
        start=[START + hour * HOUR_NS for hour in medians_ms], rounds=ones,
        measured=[int(value is not None) for value in values], failed=[int(value is None) for value in values],
        not_measured=zeros, sent=[10] * len(values), received=[0 if value is None else 10 - lost for value in values],
        min_ns=values, max_ns=values, mean_ns=values,
        quantiles_ns=dict.fromkeys(("p5", "p25", "p50", "p75", "p95"), values),
    )  # fmt: skip


def classes(drawn: str) -> list[str]:
    return [node.attrib["class"] for node in ET.fromstring(drawn).iter() if "class" in node.attrib]


def test_not_measured_no_answer_and_zero_look_different() -> None:
    drawn = smoke(columns({0: 5.0, 1: 5.0, 2: None, 10: 0.0, 11: 0.0}), DAY, "x")
    names = classes(drawn)
    assert names.count("failed") == 1
    assert names.count("unmeasured") == 2  # the hours between, and those after
    assert names.count("median loss-0") == 2  # one stroke on either side of the gap, none across


def test_minutes_in_which_nothing_was_due_are_not_called_unmeasured() -> None:
    every_four = dict.fromkeys(range(0, 24, 4), 5.0)
    assert "unmeasured" not in classes(smoke(columns(every_four), DAY, "x"))
    assert "unmeasured" in classes(
        smoke(columns({**dict.fromkeys(range(8), 5.0), 20: 5.0, 21: 5.0}), DAY, "x")
    )


def test_what_was_lost_stands_in_words_too() -> None:
    drawn = ET.fromstring(smoke(columns({0: 5.0, 1: 5.0}, lost=2), DAY, "x"))
    assert any((node.text or "").startswith("2 of 10 probes lost") for node in drawn.iter())


def test_loss_colours_the_median() -> None:
    assert "median loss-0" in classes(smoke(columns({0: 5.0, 1: 5.0}), DAY, "x"))
    assert "median loss-3" in classes(smoke(columns({0: 5.0, 1: 5.0}, lost=2), DAY, "x"))


def test_what_light_allows_is_on_the_chart_even_when_it_lies_below_everything() -> None:
    drawn = smoke(columns({0: 150.0, 1: 150.0}), DAY, "x", floor_ns=102 * NS_PER_MS)
    tree = ET.fromstring(drawn)
    floor = next(node for node in tree.iter() if node.attrib.get("class") == "floor")
    median = next(node for node in tree.iter() if node.attrib.get("class") == "median loss-0")
    height = float(floor.attrib["d"].split()[1].split("h")[0])
    assert 0 <= float(median.attrib["d"].removeprefix("M").split("L")[0].split(",")[1]) < height < PLANE


def test_the_plane_is_stretched_and_no_word_or_hatching_lies_in_it() -> None:
    drawn = smoke(
        columns({0: 5.0, 2: None, 4: 6.0}), DAY, "x", floor_ns=NS_PER_MS, marks=[Mark(START, "m", "/e")]
    )
    plot, words = (
        next(node for node in ET.fromstring(drawn) if node.attrib.get("class") == name)
        for name in ("plot", "words")
    )
    assert plot.attrib["preserveAspectRatio"] == "none"
    assert {node.tag.rpartition("}")[2] for node in plot.iter()} <= {"svg", "path", "polygon", "title"}
    placed = [
        node.attrib["x"]
        for node in words.iter()
        if node.attrib.get("class", "").startswith(("tick", "failed", "flag"))
    ]
    assert placed
    assert all(place.endswith("%") or place == "0" for place in placed)


def test_a_bucket_without_neighbours_is_a_dot() -> None:
    assert "median dot loss-0" in classes(smoke(columns({0: 5.0, 12: None}), DAY, "x"))


def test_marks_lead_to_what_happened_and_only_within_the_window() -> None:
    marks = [
        Mark(START + HOUR_NS, 'route "A" & B', "/events/rc_1"),
        Mark(START - 1, "before", "/events/rc_0"),
    ]
    drawn = smoke(columns({0: 5.0, 1: 6.0}), DAY, "x", marks=marks)
    links = [node.attrib["href"] for node in ET.fromstring(drawn).iter() if node.tag.endswith("}a")]
    assert links == ["/events/rc_1"]


@given(
    st.dictionaries(st.integers(0, 23), st.one_of(st.none(), st.floats(0, 1e5)), max_size=24),
    st.text(max_size=40),
)
def test_any_history_is_a_valid_picture(medians: dict[int, float | None], title: str) -> None:
    drawn = ET.fromstring(smoke(columns(dict(sorted(medians.items()))), DAY, title))
    for node in drawn.iter():
        assert not [
            name for name, value in node.attrib.items() if name != "aria-label" and "nan" in value.lower()
        ]
