"""Signals and other events, newest first."""

from collections import Counter
from collections.abc import Iterable
from typing import Annotated

import msgspec

from nettrace.api import asked, schema, shapes
from nettrace.api.asked import HOUR_NS, AsOf, Region, Windowed
from nettrace.api.call import Call
from nettrace.api.given import Answer
from nettrace.api.operation import NoQuery, Operation
from nettrace.errors import NotFound
from nettrace.hub import query
from nettrace.hub.tally import PREFIX, track_record
from nettrace.model.account import Feature
from nettrace.model.instant import Instant
from nettrace.store.port import Choice
from nettrace.store.rows import Event, Window

SIGNALS = ("anomaly", "shift", "trend", "loss", "divergence", "rank", "route_change_shared", "degraded_leg")
FRESH_S = 5
RECORD_FRESH_S = 60
COUNTED = 10_000


class EventsQuery(Windowed, frozen=True, kw_only=True):
    """Which events."""

    kind: Annotated[tuple[str, ...], msgspec.Meta(description="Kinds, `a,b`; all when left out.")] = ()
    host: Annotated[str, msgspec.Meta(description="A target.")] | None = None
    region: Region = ()
    as_of: AsOf | None = None


class SignalsQuery(EventsQuery, frozen=True, kw_only=True):
    """Which signals; `signal_type` is the earlier name of `kind`."""

    signal_type: str | None = None
    direction: Annotated[str, msgspec.Meta(description="`up` or `down`.")] | None = None


async def signals(call: Call) -> Answer:
    """What detectors concluded."""
    wanted: SignalsQuery = call.query
    kinds = wanted.kind or ((wanted.signal_type,) if wanted.signal_type else SIGNALS)
    return await _page(call, kinds, wanted.direction)


async def events(call: Call) -> Answer:
    """Everything that happened: signals, route changes, address changes."""
    return await _page(call, call.query.kind, None)


async def _page(call: Call, kinds: tuple[str, ...], direction: str | None) -> Answer:
    wanted: EventsQuery = call.query
    place = asked.position(call, tuple[Instant, Instant, Instant, str])
    window = asked.window_of(call, wanted.start, wanted.end, 24 * HOUR_NS).window
    if place is not None:
        window = Window(place[0], place[1])
    known_by = asked.as_of(call, wanted.as_of)
    choice = _choice(call)
    before = None if place is None else (place[2], place[3])
    shown: list[Event] = []
    while len(shown) <= wanted.limit:
        part = await call.service.readers.run(
            lambda reader, before=before: reader.events(
                window, kinds=kinds, choice=choice, limit=wanted.limit + 1, before=before, as_of=known_by
            )
        )
        shown += [each for each in part if _visible(call, each) and _goes(each, direction)]
        if len(part) <= wanted.limit:
            break
        before = (part[-1].detected_at, part[-1].id)
    page, more = shown[: wanted.limit], len(shown) > wanted.limit
    cursor = (
        asked.sealed(call, (window.start, window.end, page[-1].detected_at, page[-1].id)) if more else None
    )
    rows = [shapes.event_row(each) for each in page]
    return Answer(
        content=schema.SignalPage(data=rows, count=len(rows), has_more=more, next_cursor=cursor),
        next_cursor=cursor, fresh_s=FRESH_S, immutable=known_by is not None,
    )  # fmt: skip


def _choice(call: Call) -> Choice | None:
    wanted: EventsQuery = call.query
    regions = asked.regions_in(call.snapshot, wanted.region)
    hosts = ()
    if wanted.host is not None:
        hosts = (query.target_of(call.snapshot, wanted.host, call.caller.account).host,)
    return Choice(targets=hosts, vantages=regions) if hosts or regions else None


def _visible(call: Call, event: Event) -> bool:
    target = call.snapshot.targets.get(event.target or "")
    return target is None or target.account in {None, call.caller.account}


def _goes(event: Event, direction: str | None) -> bool:
    return direction is None or shapes.event_row(event).direction == direction


async def event(call: Call) -> Answer:
    """One event in full; what the caller may not see, or their tier does not reach, is not there."""
    wanted = call.path["id"]
    found = await call.service.readers.run(lambda reader: reader.event(wanted))
    reached = None if found is None else call.service.access.window(
        call.caller, Window(found.detected_at, found.detected_at + 1), call.now
    )  # fmt: skip
    if found is None or reached is None or reached.start > found.detected_at or not _visible(call, found):
        raise NotFound(f"no event '{wanted[:60]}'", "See /api/v1/events")
    return Answer(content=shapes.event_row(found), fresh_s=FRESH_S)


class SummaryQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How far back."""

    hours: Annotated[int, msgspec.Meta(ge=1, le=720)] = 24


async def summary(call: Call) -> Answer:
    """Signals counted; at most the newest 10,000, and then `complete` is false."""
    asked_for = Window(call.now - call.query.hours * HOUR_NS, call.now + 1)
    window = call.service.access.window(call.caller, asked_for, call.now)
    found = await call.service.readers.run(lambda reader: reader.events(window, kinds=SIGNALS, limit=COUNTED))
    rows = [shapes.event_row(each) for each in found if _visible(call, each)]
    return Answer(
        content=schema.SignalSummary(
            window=shapes.window_shape(window), signals_in_window=len(rows),
            latest_signal_at=rows[0].detected_at if rows else None,
            by_type=_counted(row.kind for row in rows), by_direction=_counted(row.direction for row in rows),
            top_targets=_counted(row.host for row in rows)[:10], complete=len(found) < COUNTED,
        ),
        fresh_s=FRESH_S,
    )  # fmt: skip


class RecordQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How far back."""

    days: (
        Annotated[
            int, msgspec.Meta(ge=1, le=36_500, description="The newest so many days; all when left out.")
        ]
        | None
    ) = None


async def record(call: Call) -> Answer:
    """How often each detector looked, spoke and was right: of the whole hub, from what was counted day by day."""
    stored = await call.service.readers.run(lambda reader: reader.detector_state(PREFIX))
    found = [
        schema.DetectorRow(**msgspec.to_builtins(each)) for each in track_record(stored, call.query.days)
    ]
    return Answer(content=schema.SignalRecord(detectors=found), fresh_s=RECORD_FRESH_S)


def _counted(names: Iterable[str | None]) -> list[schema.CountRow]:
    counts = Counter(name for name in names if name is not None)
    return [schema.CountRow(name=name, count=count) for name, count in counts.most_common()]


OPERATIONS = (
    Operation(
        id="listSignals", method="GET", path="/api/v1/signals", tag="Events", handler=signals, query=SignalsQuery,
        answer=schema.SignalPage, table=True, feature=Feature.SIGNALS, summary="What detectors concluded",
        description="The last 24 hours unless `start` or `end` say otherwise.",
        example="/api/v1/signals?host=api.example.com&limit=2",
    ),
    Operation(
        id="summariseSignals", method="GET", path="/api/v1/signals/summary", tag="Events", handler=summary,
        query=SummaryQuery, answer=schema.SignalSummary, feature=Feature.SIGNALS, summary="Signals, counted",
        example="/api/v1/signals/summary?hours=24",
    ),
    Operation(
        id="getSignalRecord", method="GET", path="/api/v1/signals/record", tag="Events", handler=record,
        query=RecordQuery, answer=schema.SignalRecord, feature=Feature.SIGNALS,
        summary="How each detector has done: looked, spoke, was right",
        description="Counted as things are stored, a day of UTC at a time and for as long as the hub: retention takes nothing away. "
        "`looked` holds the null results; `stated` is what the catalogue promises for series in which nothing happens.",
        example="/api/v1/signals/record?days=30",
    ),
    Operation(
        id="listEvents", method="GET", path="/api/v1/events", tag="Events", handler=events, query=EventsQuery,
        answer=schema.SignalPage, table=True, feature=Feature.SIGNALS, summary="Signals, route and address changes",
        example="/api/v1/events?kind=route_change",
    ),
    Operation(
        id="getEvent", method="GET", path="/api/v1/events/{id}", tag="Events", handler=event, query=NoQuery,
        answer=schema.SignalRow, feature=Feature.SIGNALS, summary="One event in full", example="/api/v1/events/{event}",
    ),
)  # fmt: skip
