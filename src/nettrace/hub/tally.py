"""How often each detector spoke, what became of it, and how often it looked and found nothing: kept for as long as the hub.

Counted in the transaction that stores what is counted, a day of UTC at a time, so that a crash counts nothing twice and the
retention of events takes nothing away. A hit is a statement that was confirmed, a miss one that was taken back; the rest was
neither. `looked` is the null result: how many observations the detector judged in all.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime

import msgspec

from nettrace.analysis.signals.catalogue import CATALOGUE
from nettrace.hub.signal_watch import NAMES
from nettrace.model.instant import NS_PER_S, Instant
from nettrace.model.path import Trace
from nettrace.store.port import Conclusion
from nettrace.store.rows import Event
from nettrace.wire.frames import Gap, Record

PREFIX = "tally "
WEEK_S = 7 * 86_400
STATED_CADENCE_S = 240
"""The catalogue states its rates for samples every four minutes."""


class Count(msgspec.Struct, kw_only=True):
    """One detector, one day.

    Attributes:
        looked: observations it judged: rounds, or traces.
        said: statements made; each once, updates are not counted.
        confirmed, taken_back: statements that became one or the other.
        ended: of what has a beginning and an end, how many ended.
    """

    looked: int = 0
    said: int = 0
    confirmed: int = 0
    taken_back: int = 0
    ended: int = 0


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """A detector over some days.

    Attributes:
        hit_rate: confirmed of those that were confirmed or taken back; None when there was none.
        said_a_week: statements in a week of one series with samples every four minutes; None without samples.
        stated: at most so many of those are false while nothing happens; None where the catalogue states nothing.
    """

    detector: str
    days: int
    looked: int
    said: int
    confirmed: int
    taken_back: int
    hit_rate: float | None
    said_a_week: float | None
    stated: float | None


class _Said(msgspec.Struct):
    detector: str | None = None
    tier: str = "confirmed"
    updates: bool = False


class Tally:
    """Counts what watchers conclude.

    Args:
        stored: gives the counts as last stored.
    """

    def __init__(self, stored: Callable[[], Mapping[str, bytes]]) -> None:
        self._stored = stored
        self._days: dict[str, dict[str, Count]] = {}
        self.recall()

    def recall(self) -> None:
        """Know what the store knows."""
        self._days = _read(self._stored())

    def count(self, new: Sequence[Record | Gap], events: Iterable[Event], at: Instant) -> Conclusion:
        """Count records and what was concluded from them."""
        day = datetime.fromtimestamp(at / NS_PER_S, UTC).date().isoformat()
        counts = self._days.setdefault(day, {})
        rounds = sum(isinstance(each, Record) and not isinstance(each.measurement, Trace) for each in new)
        traces = sum(isinstance(each, Record) and isinstance(each.measurement, Trace) for each in new)
        for name in NAMES:
            counts.setdefault(name, Count()).looked += rounds
        for name in ("route_change", "route_change_shared", "degraded_leg", "rank"):
            counts.setdefault(name, Count()).looked += traces if name != "rank" else rounds
        for event in events:
            _add(counts, event)
        self._days = {day: counts}  # those of other days are written and do not change any more
        return Conclusion(detector_state={PREFIX + day: msgspec.msgpack.encode(counts)})


def track_record(stored: Mapping[str, bytes], days: int | None = None) -> list[Standing]:
    """What is known of every detector, over the newest so many days or all.

    >>> track_record({})
    []
    """
    kept = _read(stored)
    chosen = sorted(kept)[-days:] if days else sorted(kept)
    total: dict[str, Count] = {}
    for day in chosen:
        for name, count in kept[day].items():
            mine = total.setdefault(name, Count())
            for field in Count.__struct_fields__:
                setattr(mine, field, getattr(mine, field) + getattr(count, field))
    return [_record(name, count, len(chosen)) for name, count in sorted(total.items())]


def _record(name: str, count: Count, days: int) -> Standing:
    settled = count.confirmed + count.taken_back
    entry = CATALOGUE.get(name)
    weekly = count.said * (WEEK_S / STATED_CADENCE_S) / count.looked if entry and count.looked else None
    return Standing(
        detector=name, days=days, looked=count.looked, said=count.said, confirmed=count.confirmed,
        taken_back=count.taken_back, hit_rate=round(count.confirmed / settled, 4) if settled else None,
        said_a_week=None if weekly is None else round(weekly, 4), stated=entry.stated if entry else None,
    )  # fmt: skip


def _read(stored: Mapping[str, bytes]) -> dict[str, dict[str, Count]]:
    return {
        name.removeprefix(PREFIX): msgspec.msgpack.decode(packed, type=dict[str, Count])
        for name, packed in stored.items()
        if name.startswith(PREFIX)
    }


def _add(counts: dict[str, Count], event: Event) -> None:
    said = msgspec.json.decode(event.body, type=_Said, strict=False)
    name = said.detector.partition("/")[0] if said.detector else event.kind
    mine = counts.setdefault(name, Count())
    mine.said += not said.updates
    # Causes are confirmed when they are told, and updated later.
    once = not said.updates or said.detector is not None
    mine.confirmed += said.tier == "confirmed" and once
    mine.taken_back += said.tier == "transient"
    mine.ended += said.updates and said.tier == "ended"
