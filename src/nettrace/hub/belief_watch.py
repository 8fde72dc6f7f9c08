"""Which shifts to believe among all series at once, so that a stated share of those believed is false on average.

Each sample of each series is an occasion for a false alarm. Once a minute the shifts of the last day, from all series, are
held against the number of samples tested in a day (Benjamini and Hochberg 1995). A shift is judged four times: when it was
told, by the ratio it was told with (`shift_p_value`), and 5, 15 and 60 minutes later by the rounds stored since
(`signals.standing`); a p-value counts four times, because there were four chances. One that stands is said once more, as an
update that carries `believed`: the stated share, the q-value (the least share at which it would have been believed), and how
many samples were tested. Nothing is remembered but what is stored, as in `hub.leg_watch`, so `replayed` says the same as the
hub did live, byte for byte.
"""

from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Any

import msgspec

from nettrace.analysis.signals.control import q_values, shift_p_value
from nettrace.analysis.signals.regime import KEPT, TESTED_MOST
from nettrace.analysis.signals.standing import KEPT_BEFORE, KEPT_SINCE, standing_p_value, standing_ratio
from nettrace.hub.minute_watch import TURN_NS, MinuteWatch, minutes_of
from nettrace.model.instant import NS_PER_MS, NS_PER_S, Instant
from nettrace.model.measurement import Grade
from nettrace.model.signal import Kind, Tier
from nettrace.model.target import Series
from nettrace.store.port import Choice, StoreReader
from nettrace.store.rows import Event, Window

SHARE = 0.1
"""Of the shifts believed, so many are false on average."""
DAY_NS = 86_400 * NS_PER_S
LOOKS_NS = (0, 5 * TURN_NS, 15 * TURN_NS, 60 * TURN_NS)
"""How long after it was stored a shift is judged."""
NEW_NS = 5 * TURN_NS
"""What a look saw is held against all others for so long; then the shift is left alone until the next look."""
_COUNTED_NS, _SELDOM_NS, _MANY = 15 * TURN_NS, 240 * TURN_NS, 2000
_MOST_SHIFTS, _MOST_SAMPLES, _MOST_LOOKED = 5000, 100_000, 500
_FIELDS = ("rtt_ns", "grade", "request")
_WHOLE = KEPT - TESTED_MOST
"""A shift that rests on so many samples before it had more of them, which may be read."""
_OVER = {Tier.TRANSIENT.value, Tier.ENDED.value}
"""A shift that was taken back, or that another followed, is not judged any more."""
_DATED_NS = 2 * 3600 * NS_PER_S
"""How far a shift may be dated before it was stored."""


class _Evidence(msgspec.Struct):
    value: float
    baseline: int = 0


class _Believed(msgspec.Struct):
    p_value: float | None = None


class _Shift(msgspec.Struct):
    updates: bool
    evidence: _Evidence
    tier: str = ""
    of: str | None = None
    believed: _Believed | None = None


class _Look(msgspec.Struct, frozen=True):
    """What a shift rests on: its p-value for all looks, how long after it was stored it was looked at, samples since."""

    p_value: float
    after_ns: int = 0
    since: int | None = None


_NOTHING = _Look(1.0)


class BeliefWatch(MinuteWatch):
    """Watches for shifts that stand among all series."""

    looks_for = "believed shift"

    def look(self, now: Instant) -> list[Event]:
        """What is to be believed from this minute on."""
        return believed_at(self.reader, now)


def believed_at(reader: StoreReader, now: Instant, told: Sequence[Event] | None = None) -> list[Event]:
    """The shifts that stand from an instant on, from what was stored before it.

    `told` are the updates this watch made before, those of the store when not given.
    """
    stored = reader.events(
        Window(now - DAY_NS - _DATED_NS, now + DAY_NS), kinds=(Kind.SHIFT,), limit=_MOST_SHIFTS, as_of=now - 1
    )
    read = [(each, _read(each)) for each in stored]
    known = _known([said for _, said in read] if told is None else [_read(each) for each in told])
    latest = _latest(read)
    shifts = [
        (each, said) for each, said in read if not said.updates and now - DAY_NS <= each.stored_at < now
    ]
    due = [
        each.id for each, _ in shifts
        if each.id not in known and _due(now - each.stored_at) is not None and _read(latest[_key(each)]).tier not in _OVER
    ][:_MOST_LOOKED]  # fmt: skip
    if not due:
        return []
    looks = [_look(reader, each, said, now, known, due) for each, said in shifts]
    p_values = [look.p_value for look in looks]
    rows, tested = _counted(reader, now, _COUNTED_NS)
    tested = max(tested, len(shifts))
    found = q_values(p_values, tested)
    if rows < _MANY and any(
        value <= SHARE and each.id in due for (each, _), value in zip(shifts, found, strict=True)
    ):  # rounds are seldom: the longer count is dearer, and can only deny
        tested = max(tested, _counted(reader, now, _SELDOM_NS)[1])
        found = q_values(p_values, tested)
    return [
        _event(each, latest[_key(each)], look, (q_value, tested), now)
        for (each, _), look, q_value in zip(shifts, looks, found, strict=True)
        if q_value <= SHARE and each.id in due
    ]


def replayed(reader: StoreReader, window: Window) -> list[Event]:
    """The updates the hub made in a window, concluded anew from what had been stored at each of its minutes."""
    early = Window(window.start - DAY_NS - _DATED_NS, window.start + DAY_NS)
    stored = reader.events(early, kinds=(Kind.SHIFT,), limit=_MOST_SHIFTS, as_of=window.start - 1)
    before = [each for each in stored if _read(each).of is not None]
    told: list[Event] = []
    for turn, stored_at in minutes_of(reader, window, DAY_NS):
        found = believed_at(reader, turn, [*before, *told])
        told += [msgspec.structs.replace(each, stored_at=stored_at) for each in found]
    return told


def _known(said: Sequence[_Shift]) -> dict[str, float | None]:
    """The shifts that are believed already, each with the p-value it was believed by."""
    return {each.of: each.believed and each.believed.p_value for each in said if each.of is not None}


def _key(event: Event) -> tuple[Series | None, Instant]:
    return event.series, event.at


def _latest(read: Sequence[tuple[Event, _Shift]]) -> dict[tuple[Series | None, Instant], Event]:
    """By shift what its detector said of it last, from events of which the newest come first."""
    made: dict[tuple[Series | None, Instant], Event] = {}
    for each, said in read:
        if said.of is None:
            made.setdefault(_key(each), each)
    return made


def _due(age_ns: int) -> int | None:
    """The look whose turn it is at this age, or None."""
    return next((after_ns for after_ns in LOOKS_NS if after_ns < age_ns <= after_ns + NEW_NS), None)


def _look(
    reader: StoreReader, shift: Event, said: _Shift, now: Instant, known: Mapping[str, float | None], due: Sequence[str]
) -> _Look:  # fmt: skip
    """What there is to say for a shift now: as it was told, or by the rounds that came since.

    One that was judged before, and did not stand, says nothing until its next look.
    """
    before = known.get(shift.id)
    if before is not None:
        return _Look(before)
    if shift.id not in due:
        return _NOTHING
    first = _Look(min(1.0, len(LOOKS_NS) * shift_p_value(said.evidence.value, 1)))
    after_ns = _due(now - shift.stored_at)
    if not after_ns or shift.series is None:
        return first
    wanted = KEPT_BEFORE if said.evidence.baseline >= _WHOLE else said.evidence.baseline
    earlier = _answered(reader, shift.series, Window(shift.at - DAY_NS, shift.at), -wanted, now)
    since = _answered(
        reader, shift.series, Window(shift.at, max(shift.at, shift.stored_at + after_ns)), KEPT_SINCE, now
    )
    ratio = standing_ratio(earlier, since)
    if ratio is None:
        return first
    return _Look(min(1.0, len(LOOKS_NS) * standing_p_value(ratio)), after_ns, len(since))


def _answered(reader: StoreReader, series: Series, window: Window, most: int, now: Instant) -> list[float]:
    """Round trips in ms as the shift detector saw them: the first `most` of a window, or the last where it is negative."""
    chosen = Choice(
        targets=(series.target,), vantages=(series.vantage,), endpoints=(series.endpoint,), methods=(series.method,)
    )  # fmt: skip
    found = reader.raw(
        chosen, window, fields=_FIELDS, limit=2 * abs(most), newest_first=most < 0, as_of=now - 1
    )
    rows = zip(found.rtt_ns, found.grade, found.request, strict=True)
    return [rtt_ns / NS_PER_MS for rtt_ns, *how in rows if rtt_ns is not None and _is_tested(*how)][
        : abs(most)
    ]


def _is_tested(grade: str | None, request: str | None) -> bool:
    """Whether detectors see such a round: none that somebody asked for, and none timed by the program alone."""
    return request is None and grade != Grade.USER


def _counted(reader: StoreReader, now: Instant, span_ns: int) -> tuple[int, int]:
    """Rounds that were due so lately, and how many round trips a day that makes."""
    found = reader.raw(
        Choice(), Window(now - span_ns, now), fields=_FIELDS, limit=_MOST_SAMPLES, as_of=now - 1
    )
    if not found.due:
        return 0, 0
    rows = zip(found.rtt_ns, found.grade, found.request, strict=True)
    count = sum(rtt_ns is not None and _is_tested(*how) for rtt_ns, *how in rows)
    full = len(found.due) >= _MOST_SAMPLES
    lasted = max(1, found.due[-1] - found.due[0]) if full else span_ns
    return len(found.due), round(count * DAY_NS / lasted)


def _read(event: Event) -> _Shift:
    return msgspec.json.decode(event.body, type=_Shift)


def _event(shift: Event, latest: Event, look: _Look, stands: tuple[float, int], now: Instant) -> Event:
    """What was said last of a shift, once more, as an update that says by how much it stands; its id follows from the shift's."""
    q_value, tested = stands
    body: dict[str, Any] = msgspec.json.decode(latest.body)
    made = "sig_" + blake2b(f"{shift.id} believed".encode(), digest_size=10).hexdigest()
    body |= {
        "id": made, "updates": True, "detected_at": now / NS_PER_S, "of": shift.id,
        "believed": {
            "share": SHARE, "q_value": float(f"{q_value:.3g}"), "p_value": float(f"{look.p_value:.3g}"), "tested": tested,
            "window_s": DAY_NS // NS_PER_S, "after_s": look.after_ns // NS_PER_S, "since": look.since,
        },
    }  # fmt: skip
    return msgspec.structs.replace(latest, id=made, detected_at=now, body=msgspec.json.encode(body))
