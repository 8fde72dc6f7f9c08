"""What lies behind events, as lists show it."""

from collections.abc import Iterable

import msgspec

from nettrace.hub.cause import Cause, causes, in_words
from nettrace.hub.latest import Snapshot
from nettrace.model.instant import NS_PER_S
from nettrace.store.rows import Event
from nettrace.web.door import Visit
from nettrace.web.targets import may_see

_ROUNDS_NEAR, _LEAST_NEAR_NS = 3, 20 * NS_PER_S
"""Events so many rounds apart may have one cause; never less than the second."""


class CauseRow(msgspec.Struct, frozen=True):
    """A cause as lists show it."""

    cause: Cause
    words: str
    href: str


def cause_rows(visit: Visit, events: Iterable[Event]) -> list[CauseRow]:
    """What lies behind the events this visitor may see, newest first."""
    found = causes((event for event in events if may_see(visit, event)), nearness_ns(visit.snapshot))
    return [CauseRow(cause, in_words(cause), f"/events/{cause.id}") for cause in found]


def nearness_ns(snapshot: Snapshot) -> int:
    """How far apart events may be and still have one cause: three rounds of the usual interval."""
    intervals = sorted(latest.interval_s for rows in snapshot.newest.values() for latest in rows.values())
    usual = intervals[len(intervals) // 2] if intervals else 60.0
    return max(_LEAST_NEAR_NS, round(_ROUNDS_NEAR * usual * NS_PER_S))
