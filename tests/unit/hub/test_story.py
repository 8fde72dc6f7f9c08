"""What became of a cause: open, over since when, or only a change for the better."""

import msgspec

from nettrace.hub.story import Became, stories
from nettrace.model.instant import NS_PER_S
from nettrace.model.target import RoundMethod, Series
from nettrace.store.rows import Event

MINUTE = 60 * NS_PER_S


def said(
    at: int, pair: tuple[str, str] = ("nyc", "a"), *, kind: str = "shift", detected: int | None = None, **body: object
) -> Event:  # fmt: skip
    vantage, target = pair
    known: dict[str, object] = {
        "at": at / NS_PER_S, "direction": "up", "delta_ms": 50.0, "from_ms": 30.0, "to_ms": 80.0,
    }  # fmt: skip
    known |= body
    detected = at + MINUTE // 3 if detected is None else detected
    return Event(
        id=f"{kind}_{vantage}{target}_{at}_{detected}", kind=kind, at=at, detected_at=detected, target=target, vantage=vantage,
        series=Series(vantage, target, "rest", RoundMethod.TCP), severity="critical", confidence=0.7, body=msgspec.json.encode(known),
    )  # fmt: skip


def back(at: int, began: int, pair: tuple[str, str] = ("nyc", "a")) -> list[Event]:
    """As the detector says it: the earlier signal was transient, and a change for the better that takes it back."""
    down = said(
        at, pair, direction="down", delta_ms=-50.0, from_ms=80.0, to_ms=30.0, returns_to=began / NS_PER_S
    )
    return [said(began, pair, detected=down.detected_at, updates=True, tier="transient"), down]


PAIRS = [("nyc", "a"), ("nyc", "b"), ("lon", "b")]


def test_what_got_worse_and_was_not_taken_back_is_open_with_the_pairs_that_are_worse() -> None:
    (story,) = stories(said(MINUTE, pair) for pair in PAIRS)
    assert (story.became, story.over_at, set(story.worse)) == (Became.OPEN, None, set(PAIRS))


def test_a_return_is_the_end_of_what_it_takes_back_and_no_cause_of_its_own() -> None:
    events = [said(MINUTE, pair) for pair in PAIRS]
    events += [event for pair in PAIRS for event in back(3 * MINUTE, MINUTE, pair)]
    (story,) = stories(events)
    assert (story.became, story.over_at, story.words.split(":")[0]) == (
        Became.OVER,
        3 * MINUTE,
        "slower by 50 ms",
    )
    assert all(
        story.holds(event)
        for event in events
        if event.id.startswith("shift") and b"updates" not in event.body
    )


def test_as_long_as_more_than_a_fifth_of_the_pairs_is_worse_it_is_open() -> None:
    events = [said(MINUTE, pair) for pair in PAIRS]
    (story,) = stories([*events, *back(3 * MINUTE, MINUTE, PAIRS[0])])
    assert (story.became, set(story.worse)) == (Became.OPEN, set(PAIRS[1:]))


def test_good_news_is_not_critical() -> None:
    (story,) = stories([said(MINUTE, direction="down", delta_ms=-50.0)])
    assert (story.became, story.severity) == (Became.BETTER, "info")


def test_a_leg_that_its_watch_has_closed_is_over() -> None:
    leg = said(MINUTE, kind="degraded_leg", signals=[], affected=PAIRS, opened_by="", verdict="leg", added_ms=50.0,
               legs=[{"a": "10.0.0.1", "b": "10.0.0.2", "a_place": "Mumbai", "b_place": "Chennai"}])  # fmt: skip
    end = said(MINUTE, kind="degraded_leg", detected=9 * MINUTE, updates=True, tier="ended", opened_by=leg.id)
    (story,) = stories([leg])
    assert story.became is Became.OPEN
    assert story.words == "leg Mumbai to Chennai degraded by 50 ms: 3 pairs: 2 targets from 2 vantages"
    (story,) = stories([leg, end])
    assert (story.became, story.over_at) == (Became.OVER, 9 * MINUTE)


def test_a_pair_that_goes_back_and_forth_is_one_line() -> None:
    events: list[Event] = []
    for number in range(4):
        began = (1 + 6 * number) * MINUTE
        events += [said(began), *back(began + 2 * MINUTE, began)]
    (story,) = stories(events)
    assert story.words == "back and forth between 30 and 80 ms, 4 times: a from nyc"
    assert (story.times, story.became) == (4, Became.OVER)


def test_what_only_happens_is_neither_open_nor_over() -> None:
    (story,) = stories([said(MINUTE, kind="route_change", direction=None, delta_ms=None)])
    assert story.became is Became.PASSED
