"""A route change that many vantages see is one event, with the changes of the pairs as its children.

Once a minute of the hub's own time, from what was stored before it, as in `hub.leg_watch`: changes towards one target, or
of one AS, that so many vantages would hardly make by chance (`analysis.routes.shared`), together with whatever else
changed beside them at a vantage or a target of theirs. Replay from the store says the same.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from hashlib import blake2b
from typing import Any

import msgspec

from nettrace.analysis.routes.shared import Rates, shared_changes
from nettrace.hub.minute_watch import TURN_NS, MinuteWatch
from nettrace.model.instant import NS_PER_S, Instant, rfc3339
from nettrace.model.measurement import Method
from nettrace.model.route import Route, RouteChange, RouteClass, SharedChange
from nettrace.store.port import Choice, StoreReader
from nettrace.store.rows import Event, Window

KIND, SCHEMA = "route_change_shared", "nettrace.route_change_shared/1"
WINDOW_NS = 30 * TURN_NS
"""Two scans of the usual cadence: first traces on the new routes are no further apart."""
LOOK_NS = 3 * WINDOW_NS
NEAR_NS = 10 * TURN_NS
"""Changes at a vantage or target of theirs that began so near belong to them too."""
RATE_DAYS = 30
_DAY_NS = 86_400 * NS_PER_S
LASTING_NS = 7 * _DAY_NS
"""A change that is taken back later than this is a new one."""
_MOST = 10_000


class _Change(msgspec.Struct):
    """What is read of a route change's document."""

    from_as: list[int] = []
    to_as: list[int] = []
    rtt_delta_ms: float | None = None
    rtt_moved: bool | None = None
    klass: str = msgspec.field(default="ip_path", name="class")
    reverted: bool = False


class _Told(msgspec.Struct):
    opened_by: str
    subject: str
    tier: str
    children: list[str]
    affected: list[tuple[str, str]]


class SharedWatch(MinuteWatch):
    """Watches for route changes that several vantages share."""

    looks_for = "shared route change"

    def look(self, now: Instant) -> list[Event]:
        """What is to be told of shared route changes."""
        window = Window(now - LASTING_NS, now + _DAY_NS)
        told = self.reader.events(window, kinds=(KIND,), limit=_MOST, as_of=now - 1)
        return shared_at(self.reader, now, told)


def shared_at(reader: StoreReader, now: Instant, told: Iterable[Event]) -> list[Event]:
    """What is to be told of shared route changes at an instant, from what was stored before it."""
    recent = _changes(reader, Window(now - LOOK_NS, now + _DAY_NS), now)
    known = {each.id: _decoded(each) for each in told}
    explained = {child for each in known.values() for child in each.children}
    if not any(name not in explained for name in recent):
        return []
    if len({change.vantage for change in recent.values()}) < 2:
        return []
    names = {id(change): name for name, change in recent.items()}
    rates, made = _rates(reader, now), list[Event]()
    parents = {child: each.opened_by for each in known.values() for child in each.children}
    ends = {child for each in known.values() if each.tier == "ended" for child in each.children}
    for group in _merged(shared_changes(recent.values(), rates, WINDOW_NS)):
        joined = _with_neighbours(group, recent.values())
        children = sorted(names[id(change)] for change in joined)
        parent = next((parents[child] for child in children if child in parents), None)
        if all(child in explained for child in children):
            continue
        over = None if parent else _taken_back(joined, known.values())
        parts = {names[id(change)]: change for change in joined}
        is_over = over is not None or not ends.isdisjoint(
            children
        )  # pairs that come home late open nothing anew
        made.append(_event(group, parts, over.opened_by if over else parent, now, over=is_over))
    return made


def _taken_back(joined: Sequence[RouteChange], told: Iterable[_Told]) -> _Told | None:
    """The event whose routes these changes restore, if they return to former routes for most of its pairs."""
    back = {(change.vantage or "", change.target) for change in joined if change.reverted}
    for each in reversed(list(told)):
        if each.tier != "ended" and 2 * len(back & set(each.affected)) > len(each.affected):
            return each
    return None


def _changes(reader: StoreReader, window: Window, now: Instant) -> dict[str, RouteChange]:
    found = reader.events(window, kinds=("route_change",), limit=_MOST, as_of=now - 1)
    made = {each.id: _change(each) for each in reversed(found)}
    return {name: change for name, change in made.items() if change.kind is not RouteClass.LOAD_BALANCING}


def _change(event: Event) -> RouteChange:
    """The change behind an event: what matters for telling whether others share it."""
    body = msgspec.json.decode(event.body, type=_Change)
    delta = None if body.rtt_delta_ms is None else round(body.rtt_delta_ms * 1e6)
    return RouteChange(
        vantage=event.vantage, target=event.target or "", method=Method.UDP, at=event.at, detected_at=event.detected_at,
        kind=RouteClass(body.klass), confidence=event.confidence or 0.0, traces=0, rtt_delta_ns=delta, rtt_moved=body.rtt_moved, reverted=body.reverted,
        before=Route(id="", since=0, hops=(), as_path=tuple(body.from_as)),
        after=Route(id="", since=0, hops=(), as_path=tuple(body.to_as)),
    )  # fmt: skip


def _rates(reader: StoreReader, now: Instant) -> Rates:
    """Changes a day of every pair whose route was looked at in the last hours."""
    choice = Choice(methods=("trace",))
    traced = reader.raw(choice, Window(now - LOOK_NS, now), fields=("due",), limit=20 * _MOST, as_of=now - 1)
    past = Window(now - RATE_DAYS * _DAY_NS, now - LOOK_NS)
    counts = Counter((each.vantage, each.target) for each in _changes(reader, past, now).values())
    pairs = {(series.vantage, series.target) for series in traced.series}
    return {pair: counts[pair] / RATE_DAYS for pair in sorted(pairs)}


def _merged(groups: Sequence[SharedChange]) -> list[SharedChange]:
    """Groups that began together at vantages or targets they share are one: a cable carries more than one AS."""
    made: list[SharedChange] = []
    for group in sorted(groups, key=lambda group: (group.p_value, group.at)):
        other = next((each for each in made if _touch(each.changes, group.changes)), None)
        if other is None:
            made.append(group)
        else:
            together = tuple({id(change): change for change in (*other.changes, *group.changes)}.values())
            made[made.index(other)] = msgspec.structs.replace(
                other, changes=together, at=min(other.at, group.at), towards=None
            )
    return made


def _touch(one: Iterable[RouteChange], other: Iterable[RouteChange]) -> bool:
    theirs = list(other)
    return any(
        abs(a.at - b.at) <= NEAR_NS and (a.vantage == b.vantage or a.target == b.target)
        for a in one
        for b in theirs
    )


def _with_neighbours(group: SharedChange, recent: Iterable[RouteChange]) -> list[RouteChange]:
    mine = {id(change): change for change in group.changes}
    for change in recent:
        if id(change) not in mine and _touch(group.changes, (change,)):
            mine[id(change)] = change
    return sorted(mine.values(), key=lambda change: (change.at, change.vantage or "", change.target))


def _event(
    group: SharedChange, children: dict[str, RouteChange], parent: str | None, now: Instant, *, over: bool
) -> Event:
    first = next(iter(children))
    since = min(change.at for change in children.values())
    made = (
        "rs_" + blake2b(f"{parent or ''} {first} {len(children)} {now}".encode(), digest_size=10).hexdigest()
    )
    slower = sum((c.rtt_delta_ns or 0) > 0 and bool(c.rtt_moved) for c in children.values())
    severity = "info" if over else "warning" if 2 * slower >= len(children) else "notice"
    classes = Counter(change.kind for change in children.values())
    pairs = sorted({(change.vantage or "", change.target) for change in children.values()})
    document: dict[str, Any] = {
        "object": "event", "schema": SCHEMA, "id": made, "kind": KIND, "at": rfc3339(since), "detected_at": rfc3339(now),
        "opened_by": parent or made, "updates": parent is not None, "subject": f"route:{parent or made}", "tier": "ended" if over else "confirmed",
        "direction": "down" if over else "up",
        "severity": severity, "confidence": round(1 - group.p_value, 6), "p_value": group.p_value,
        "class": classes.most_common(1)[0][0], "towards": group.towards, "asn": group.asn, "out_of": group.out_of,
        "affected": [list(pair) for pair in pairs], "children": list(children),
        "changes": [
            {
                "event": name, "vantage": change.vantage, "target": change.target, "class": change.kind,
                "at": rfc3339(change.at), "rtt_delta_ms": None if change.rtt_delta_ns is None else change.rtt_delta_ns / 1e6,
            }
            for name, change in children.items()
        ],
    }  # fmt: skip
    return Event(
        id=made, kind=KIND, at=since, detected_at=now, severity=severity, confidence=round(1 - group.p_value, 6),
        target=group.towards, body=msgspec.json.encode(document),
    )  # fmt: skip


def _decoded(event: Event) -> _Told:
    return msgspec.json.decode(event.body, type=_Told)
