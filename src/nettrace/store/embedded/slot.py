"""Where hot rounds lie: the quarters of an hour that lead the key of `round`, and how some series are sought in them."""

from collections.abc import Sequence

import msgspec

from nettrace.model.instant import Instant
from nettrace.store.embedded.database import Connection
from nettrace.store.embedded.schema import SLOT_NS

EVER: Instant = 2**62

SOUGHT = (
    "json_each(?2) j CROSS JOIN json_each(?1) q "
    "CROSS JOIN round r ON r.slot = q.value AND r.series = j.value AND r.due >= ?3 AND r.due < ?4"
)
"""The hot rounds of some series due in a window, series by series and slot by slot, one seek each; bind what `sought` gives."""

_DENSE = 1_000
"""So many slots (ten days) are looked into one by one; of more, only those are that hold anything."""

_HELD = """
WITH RECURSIVE held(slot) AS (
  SELECT (SELECT min(slot) FROM round WHERE slot >= ?1)
  UNION ALL SELECT (SELECT min(slot) FROM round WHERE round.slot > held.slot) FROM held WHERE held.slot < ?2)
SELECT slot FROM held WHERE slot <= ?2"""

Bound = tuple[str, str, Instant, Instant]


def held_slots(connection: Connection, start: Instant = 0, end: Instant = EVER) -> Sequence[int]:
    """The slots, in order, in which there may be hot rounds due in [start, end)."""
    bounds = list(connection.execute("SELECT (SELECT min(slot) FROM round), (SELECT max(slot) FROM round)"))
    oldest, newest = bounds[0]
    if oldest is None or start >= end:
        return ()
    first, last = max(start // SLOT_NS, int(oldest)), min((end - 1) // SLOT_NS, int(newest))
    if last - first < _DENSE:
        return range(first, last + 1)
    return [int(slot) for (slot,) in connection.execute(_HELD, (first, last))]


def sought(connection: Connection, series: Sequence[int], start: Instant, end: Instant) -> Bound:
    """What `SOUGHT` is bound to."""
    return bound(held_slots(connection, start, end), series, start, end)


def bound(slots: Sequence[int], series: Sequence[int], start: Instant, end: Instant) -> Bound:
    """The same in slots that are known."""
    return (
        msgspec.json.encode(list(slots)).decode(), msgspec.json.encode(list(series)).decode(), start, end,
    )  # fmt: skip
