"""Which shifts to believe among all series at once, so that a stated share of those believed is false on average.

Each sample of each series is an occasion for a false alarm. Once a minute the shifts of the last day, from all series, are
held against the number of samples tested in a day (Benjamini and Hochberg 1995, over `shift_p_value` of one sample). A new
one that stands is said once more, as an update that carries `believed`: the stated share, the q-value (the least share
at which it would have been believed), and how many samples were tested. Nothing is remembered but what is stored, as in
`hub.leg_watch`, so `replayed` says the same as the hub did live, byte for byte.
"""

from collections.abc import Sequence
from hashlib import blake2b
from typing import Any

import msgspec

from nettrace.analysis.signals.control import q_values, shift_p_value
from nettrace.hub.minute_watch import TURN_NS, MinuteWatch, minutes_of
from nettrace.model.instant import NS_PER_S, Instant
from nettrace.model.measurement import Grade
from nettrace.model.signal import Kind
from nettrace.store.port import Choice, StoreReader
from nettrace.store.rows import Event, Window

SHARE = 0.1
"""Of the shifts believed, so many are false on average."""
DAY_NS = 86_400 * NS_PER_S
NEW_NS = 5 * TURN_NS
"""A shift is judged in the minutes after it was stored, and then left alone: what comes later is no news of it."""
_COUNTED_NS = 15 * TURN_NS
_MOST_SHIFTS, _MOST_SAMPLES = 5000, 100_000
_DATED_NS = 2 * 3600 * NS_PER_S
"""How far a shift may be dated before it was stored."""


class _Evidence(msgspec.Struct):
    value: float


class _Shift(msgspec.Struct):
    updates: bool
    evidence: _Evidence
    of: str | None = None


class BeliefWatch(MinuteWatch):
    """Watches for shifts that stand among all series."""

    looks_for = "believed shift"

    def look(self, now: Instant) -> list[Event]:
        """What is to be believed from this minute on."""
        return believed_at(self.reader, now)


def believed_at(reader: StoreReader, now: Instant, told: Sequence[Event] | None = None) -> list[Event]:
    """The new shifts that stand at an instant, from what was stored before it.

    `told` are the updates this watch made before, those of the store when not given.
    """
    stored = reader.events(
        Window(now - DAY_NS - _DATED_NS, now + DAY_NS), kinds=(Kind.SHIFT,), limit=_MOST_SHIFTS, as_of=now - 1
    )
    read = [(each, msgspec.json.decode(each.body, type=_Shift)) for each in stored]
    known = {said.of for _, said in read} if told is None else {_of(each) for each in told}
    shifts = [
        (each, said) for each, said in read if not said.updates and now - DAY_NS <= each.stored_at < now
    ]
    if not any(each.stored_at >= now - NEW_NS and each.id not in known for each, _ in shifts):
        return []
    tested = max(_tested(reader, now), len(shifts))
    found = q_values([shift_p_value(said.evidence.value, 1) for _, said in shifts], tested)
    return [
        _event(each, q_value, tested, now)
        for (each, _), q_value in zip(shifts, found, strict=True)
        if q_value <= SHARE and each.stored_at >= now - NEW_NS and each.id not in known
    ]


def replayed(reader: StoreReader, window: Window) -> list[Event]:
    """The updates the hub made in a window, concluded anew from what had been stored at each of its minutes."""
    told: list[Event] = []
    for turn, stored_at in minutes_of(reader, window, DAY_NS):
        told += [
            msgspec.structs.replace(each, stored_at=stored_at) for each in believed_at(reader, turn, told)
        ]
    return told


def _tested(reader: StoreReader, now: Instant) -> int:
    """How many round trips a day are tested, by those that were due in the last quarter of an hour."""
    window = Window(now - _COUNTED_NS, now)
    found = reader.raw(
        Choice(), window, fields=("rtt_ns", "grade", "request"), limit=_MOST_SAMPLES, as_of=now - 1
    )
    if not found.due:
        return 0
    rows = zip(found.rtt_ns, found.grade, found.request, strict=True)
    count = sum(
        rtt_ns is not None and request is None and grade != Grade.USER for rtt_ns, grade, request in rows
    )
    full = len(found.due) >= _MOST_SAMPLES
    return round(count * DAY_NS / (max(1, found.due[-1] - found.due[0]) if full else _COUNTED_NS))


def _of(event: Event) -> str | None:
    return msgspec.json.decode(event.body, type=_Shift).of


def _event(shift: Event, q_value: float, tested: int, now: Instant) -> Event:
    """The shift once more, as an update that says by how much it stands; its id follows from the shift's."""
    body: dict[str, Any] = msgspec.json.decode(shift.body)
    made = "sig_" + blake2b(f"{shift.id} believed".encode(), digest_size=10).hexdigest()
    body |= {
        "id": made, "updates": True, "detected_at": now / NS_PER_S, "of": shift.id,
        "believed": {"share": SHARE, "q_value": float(f"{q_value:.3g}"), "tested": tested, "window_s": DAY_NS // NS_PER_S},
    }  # fmt: skip
    return msgspec.structs.replace(shift, id=made, detected_at=now, body=msgspec.json.encode(body))
