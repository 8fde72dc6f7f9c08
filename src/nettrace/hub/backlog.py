"""What waits in a hub: notices, exports, on-demand measurements, the alert rules' place in the log. Asked of the store."""

from collections.abc import Iterable

import msgspec

from nettrace.hub.alerting import log_place
from nettrace.model.alert import DeliveryState
from nettrace.model.instant import Instant
from nettrace.store.port import StoreReader
from nettrace.store.rows import ExportState, MeasurementState

MOST = 10_000
"""No queue is counted further."""
_OPEN_EXPORTS = frozenset({ExportState.QUEUED, ExportState.RUNNING})
_OPEN_REQUESTS = frozenset({MeasurementState.QUEUED, MeasurementState.RUNNING})


class Queue(msgspec.Struct, frozen=True):
    """One queue: how many wait, and since when the oldest does; None when nothing waits."""

    waiting: int
    oldest_at: Instant | None


def queues(reader: StoreReader) -> dict[str, Queue]:
    """Every queue that is rows of the store, by name: `courier`, `exports`, `measurements`."""
    pending = reader.deliveries(states=(DeliveryState.PENDING,), limit=MOST)
    exports = (each for each in reader.exports() if each.state in _OPEN_EXPORTS)
    requests = (each for each in reader.requests(limit=MOST) if each.state in _OPEN_REQUESTS)
    return {
        "courier": _queue(each.created_at for each in pending),
        "exports": _queue(each.created_at for each in exports),
        "measurements": _queue(each.created_at for each in requests),
    }


def alert_lag(reader: StoreReader) -> int | None:
    """Events of the live log that the alert rules' stored place is behind; None when no rules ever ran.

    The place is stored every half minute and whenever there is something to tell, so that a few hundred are usual.
    """
    place = log_place(reader)
    return None if place is None else max(0, reader.head() - place)


def _queue(ages: Iterable[Instant]) -> Queue:
    known = list(ages)
    return Queue(len(known), min(known, default=None))
