"""What follows from new records: routes and their changes, concluded inside the transaction that stores the records.

A watcher's memory must be what is stored and nothing more. So its snapshots travel with its conclusions, and when a
transaction fails, `recall` puts it back to what the store holds.
"""

from collections.abc import Callable, Mapping, Sequence
from hashlib import blake2b

import msgspec

from nettrace.analysis.routes.sight import AsnOf
from nettrace.analysis.routes.tracker import RouteTracker
from nettrace.model.instant import Instant
from nettrace.model.path import Trace
from nettrace.model.route import Route, RouteChange, RouteClass
from nettrace.model.target import RoundMethod, Series
from nettrace.model.vantage import Vantage
from nettrace.store.port import Conclusion
from nettrace.store.rows import Event, RouteState
from nettrace.wire.frames import Gap, Record
from nettrace.wire.route_documents import route_change_document

_PREFIX = "route "
_SURE = 0.8
"""A change this sure is a notice; a less sure one, and load balancing, is only information."""

State = Mapping[str, bytes]


class RouteWatch:
    """Follows the route of every series of traces.

    Args:
        stored: gives the snapshots as last stored.
        say: told of a fault of ours; the record is stored all the same, and its series is learnt anew.
        asn_of: address -> AS; without it routes have no AS path.
    """

    def __init__(
        self, stored: Callable[[], State], say: Callable[[str], None], asn_of: AsnOf | None = None
    ) -> None:
        self._stored = stored
        self._say = say
        self._asn_of = asn_of
        self._trackers: dict[Series, RouteTracker] = {}
        self._newest: dict[Series, Instant] = {}
        self.recall()

    def recall(self) -> None:
        """Know what the store knows, and nothing else."""
        self._trackers, self._newest = {}, {}
        for name, snapshot in self._stored().items():
            if name.startswith(_PREFIX):
                kept = msgspec.msgpack.decode(snapshot, type=_Kept)
                self._trackers[kept.series] = RouteTracker.restore(kept.tracker)
                self._newest[kept.series] = kept.newest

    def conclude(self, node: Vantage, new: Sequence[Record | Gap], at: Instant) -> Conclusion:
        """Routes that began, changes, and which record took which route."""
        del at  # what follows from records does not depend on when they arrived
        events: list[Event] = []
        routes: list[RouteState] = []
        state: dict[str, bytes] = {}
        route_of: dict[int, str] = {}
        for entry in new:
            if isinstance(entry, Gap):
                continue
            series = Series(node.code, entry.target, entry.endpoint, RoundMethod.TRACE)
            if isinstance(entry.measurement, Trace) and self._is_next(series, entry):
                self._newest[series] = entry.due
                began, change = self._careful(series, entry.measurement)
                routes += began
                if change is not None:
                    events.append(_event(series, change))
                state[_PREFIX + str(series)] = self._snapshot(series)
            tracker = self._trackers.get(series)
            current = tracker.current if tracker else None
            if current is not None:
                route_of[entry.seq] = current.id
        return Conclusion(events=tuple(events), routes=tuple(routes), route_of=route_of, detector_state=state)

    def _is_next(self, series: Series, entry: Record) -> bool:
        """A trace that comes late, out of a spool's depth, is stored and proves nothing about the present."""
        return entry.due > self._newest.get(series, -1)

    def _careful(self, series: Series, trace: Trace) -> tuple[list[RouteState], RouteChange | None]:
        try:
            return self._feed(series, trace)
        except Exception as error:  # whatever a watcher stumbles over, what was measured has to be stored
            self._say(f"the route of {series} is learnt anew: {error!r}")
            self._trackers[series] = RouteTracker()
            return [], None

    def _feed(self, series: Series, trace: Trace) -> tuple[list[RouteState], RouteChange | None]:
        tracker = self._trackers.setdefault(series, RouteTracker())
        before = tracker.current
        named = msgspec.structs.replace(trace, vantage=series.vantage, target=series.target)
        change = tracker.feed(named, self._asn_of)
        if change is not None and change.kind is not RouteClass.LOAD_BALANCING:
            return [_state(series, change.after)], change
        current = tracker.current
        return ([_state(series, current)] if before is None and current is not None else []), change

    def _snapshot(self, series: Series) -> bytes:
        kept = _Kept(series=series, newest=self._newest[series], tracker=self._trackers[series].snapshot())
        return msgspec.msgpack.encode(kept)


class _Kept(msgspec.Struct, frozen=True, kw_only=True):
    series: Series
    newest: Instant
    tracker: bytes


def _state(series: Series, route: Route) -> RouteState:
    return RouteState(
        series=series, route=route.id, hops=route.hops, as_path=route.as_path, since=route.since
    )


def _event(series: Series, change: RouteChange) -> Event:
    """The change as an event; its id follows from what it says, so the same change is the same event for ever."""
    said = f"{series} {change.kind} {change.at} {change.detected_at} {change.after.id}"
    made = "rc_" + blake2b(said.encode(), digest_size=10).hexdigest()
    plain = change.kind is RouteClass.LOAD_BALANCING or change.confidence < _SURE
    severity = "info" if plain else "notice"
    body = {
        "object": "event", "id": made, "kind": "route_change", "region": series.vantage, "endpoint": series.endpoint,
        "severity": severity, **route_change_document(change),
    }  # fmt: skip
    return Event(
        id=made,
        kind="route_change",
        at=change.at,
        detected_at=change.detected_at,
        series=series,
        target=series.target,
        vantage=series.vantage,
        severity=severity,
        confidence=change.confidence,
        body=msgspec.json.encode(body),
    )
