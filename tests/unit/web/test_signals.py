"""The record of a detector: what it said, what became of it, what chance would say, and that silence is listed."""

import msgspec

from nettrace.hub.signal_watch import NAMES
from nettrace.model.target import RoundMethod, Series
from nettrace.store.rows import Event
from nettrace.web.signals import beliefs, records, stated

SERIES = Series("nyc", "api.example", "rest", RoundMethod.TCP)


def said(number: int, at: int, tier: str, *, updates: bool = False, kind: str = "shift") -> Event:
    body = {"detector": f"{kind}/1", "tier": tier, "updates": updates, "from_ms": 10.0, "to_ms": 20.0}
    return Event(
        id=f"sig_{number}",
        kind=kind,
        at=at,
        detected_at=at + number,
        series=SERIES,
        body=msgspec.json.encode(body),
    )


def test_a_signal_counts_once_and_what_became_of_it_is_its_newest_word() -> None:
    events = [
        said(1, 100, "tentative"), said(2, 100, "confirmed", updates=True),
        said(3, 500, "tentative"), said(4, 500, "transient", updates=True),
        said(5, 900, "tentative"),
    ]  # fmt: skip
    shift = next(each for each in records(events, samples=2520) if each.name == "shift")
    assert (shift.said, shift.confirmed, shift.taken_back) == (3, 1, 1)


def test_detectors_that_said_nothing_are_listed_with_what_chance_allows() -> None:
    silent = records([], samples=2 * 2520)
    assert [each.name for each in silent] == list(NAMES)
    assert all(each.said == 0 and each.expected == 2 * each.stated for each in silent)


def test_an_event_of_a_kind_without_detector_states_no_rate() -> None:
    assert stated(said(1, 100, "tentative")) == 1.0
    assert stated(Event(id="rc_1", kind="route_change", at=0, detected_at=1)) is None


def test_a_belief_is_of_the_shift_it_updates() -> None:
    first, update = said(1, 100, "tentative"), said(2, 100, "confirmed", updates=True)
    body = msgspec.json.decode(update.body) | {
        "of": "sig_1",
        "believed": {"share": 0.1, "q_value": 0.02, "after_s": 900},
    }
    found = beliefs([first, update, msgspec.structs.replace(update, body=msgspec.json.encode(body))])
    assert {name: (each.share, each.after_s) for name, each in found.items()} == {"sig_1": (0.1, 900)}
