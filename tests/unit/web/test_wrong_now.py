"""What is wrong now stands first, in the headline and on the map; charts show the stretch there is."""

from types import SimpleNamespace
from typing import Any, cast

import pytest
from tests.unit.hub.test_cause import event

from nettrace.analysis.signals.suspect import Outside
from nettrace.hub.cause import causes
from nettrace.hub.story import Became, Story
from nettrace.hub.suspicion import Suspected
from nettrace.model.instant import NS_PER_S
from nettrace.web.causes import row_of_story
from nettrace.web.door import Visit
from nettrace.web.events import stretch_of
from nettrace.web.map import Spot, labelled, way
from nettrace.web.overview import CategoryLine, headline
from nettrace.web.suspected import told_already

MINUTE = 60 * NS_PER_S
NOW = 1000 * MINUTE
WELL = [CategoryLine(name="Crypto", total=24, measured=24, failed=0, unknown=0, medians=())]


def story(became: Became, over_at: int | None = None) -> Story:
    (cause,) = causes([event("a", NOW - 4 * MINUTE, "x", "nyc"), event("b", NOW - 4 * MINUTE, "y", "nyc")])
    return Story(cause=cause, became=became, words="slower", over_at=over_at, worse=cause.pairs if became is Became.OPEN else ())  # fmt: skip


def test_the_headline_is_well_only_when_nothing_is_open() -> None:
    assert headline(WELL, [], 0) == ("24 of 24 targets answer.", "good")
    words, state = headline(WELL, [], 0, [row_of_story(story(Became.OPEN), NOW)])
    assert (words, state) == ("2 pairs are degraded now; 24 of 24 targets answer.", "slow")


def test_a_line_says_open_for_how_long_or_over_after_how_long() -> None:
    row = row_of_story(story(Became.OPEN), NOW)
    assert (row.state, row.shade, row.lasted) == ("open", "warning", "4 min")
    row = row_of_story(story(Became.OVER, NOW - 3 * MINUTE), NOW)
    assert (row.state, row.shade, row.lasted) == ("over", "over", "1 min")


def test_an_events_charts_show_as_much_around_it_as_it_lasted_within_bounds() -> None:
    brief = stretch_of(story(Became.OVER, NOW - 3 * MINUTE), NOW)
    assert (brief.start, brief.end) == (NOW - 9 * MINUTE, NOW)
    long = stretch_of(story(Became.OVER, NOW + 5996 * MINUTE), NOW + 9000 * MINUTE)
    assert (long.start, long.end) == (NOW - 94 * MINUTE, NOW + 6086 * MINUTE)


@pytest.mark.parametrize(
    ("age_min", "name"), [(5, "15m"), (40, "1h"), (100, "3h"), (600, "24h"), (9000, "24h")]
)
def test_the_stretch_begins_as_long_as_there_is_data(age_min: int, name: str) -> None:
    known = {"nyc": SimpleNamespace(enrolled_at=NOW - age_min * MINUTE)}

    def visit(query: dict[str, str]) -> Visit:
        return Visit(hub=cast(Any, None), caller=None, query=query, path={}, now=NOW, snapshot=cast(Any, SimpleNamespace(vantages=known)), url="/x")  # fmt: skip

    assert visit({}).window("24h")[0] == name
    assert visit({"w": "7d"}).window("24h")[0] == "7d", "the address wins"


def test_names_that_would_run_into_each_other_stand_on_other_sides() -> None:
    lhr, fra = labelled(
        [Spot(470.0, 68.0, "lhr, London", "", ""), Spot(490.0, 72.0, "fra, Frankfurt", "", "")]
    )
    assert {lhr.label[2], fra.label[2]} == {"end", "start"}


def test_a_way_has_only_the_points_that_matter_and_no_line_along_the_pole() -> None:
    assert way((40.7, -74.0), (51.5, -0.1)).count(" ") + way((40.7, -74.0), (51.5, -0.1)).count("-") < 30
    over_the_pole = way((41.9, -87.6), (22.3, 114.2))
    assert over_the_pole.count("M") == 2


def test_what_is_suspected_stands_in_the_headline_until_it_is_proven() -> None:
    words, state = headline(WELL, [], 0, (), 6)
    assert (words, state) == ("6 pairs are suspected to be worse; 24 of 24 targets answer.", "slow")
    above = Outside(rounds=2, low_ns=20, high_ns=22, usual=30, now_ns=70, far=24.0)
    pairs = tuple(
        ((vantage, target), above) for vantage, target in (("nyc", "x"), ("nyc", "y"), ("lon", "z"))
    )
    found = Suspected(since=NOW, there_by=NOW, pairs=pairs, shared="", rounds=2, far=4, counted=3, of=6, share=0.0027, chance=1e-6, every_s=6e7)  # fmt: skip
    assert not told_already(found, [])
    assert told_already(found, [row_of_story(story(Became.OPEN), NOW)]), "two of its three pairs are proven"
