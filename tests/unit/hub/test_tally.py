"""What a detector said, what became of it, and how often it looked in vain, kept by day."""

import msgspec
from tests.unit.hub.reports import NOW, record

from nettrace.hub.tally import Tally, track_record
from nettrace.store.rows import Event

DAY = 86_400 * 10**9


def said(tier: str, *, updates: bool = False) -> Event:
    body = {"detector": "shift/1", "tier": tier, "updates": updates}
    return Event(id=tier, kind="shift", at=NOW, detected_at=NOW, body=msgspec.json.encode(body))


def test_hits_misses_and_null_results_are_kept_and_survive_a_restart() -> None:
    stored: dict[str, bytes] = {}
    tally = Tally(lambda: stored)
    rounds = [record(number) for number in range(1, 101)]
    stored.update(
        tally.count(rounds, [said("tentative"), said("confirmed", updates=True)], NOW).detector_state
    )
    tally = Tally(lambda: stored)
    stored.update(
        tally.count(rounds, [said("tentative"), said("transient", updates=True)], NOW).detector_state
    )
    stored.update(tally.count(rounds, [said("tentative")], NOW + DAY).detector_state)

    found = {each.detector: each for each in track_record(stored)}
    shift, loss = found["shift"], found["loss"]
    assert (shift.days, shift.looked, shift.said, shift.confirmed, shift.taken_back) == (2, 300, 3, 1, 1)
    assert shift.hit_rate == 0.5 and shift.said_a_week == 3 * 2520 / 300
    assert (loss.looked, loss.said, loss.hit_rate) == (300, 0, None)
    assert next(each.looked for each in track_record(stored, days=1) if each.detector == "shift") == 100


def test_what_failed_to_be_stored_is_not_counted() -> None:
    tally = Tally(dict)
    tally.count([record(1)], [], NOW)
    tally.recall()
    again = tally.count([record(1)], [], NOW).detector_state
    assert {each.detector: each.looked for each in track_record(again)}["shift"] == 1
