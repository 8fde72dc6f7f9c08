"""Reading tools about change: events, signals, routes that changed, what happened around a time, which leg is to blame."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from statistics import median
from typing import Annotated, Any

import msgspec

from nettrace.analysis.routes.blame import blame as find_blame
from nettrace.errors import Invalid
from nettrace.mcp.plain import Document, size
from nettrace.mcp.port import SIGNALS
from nettrace.mcp.stored import Stored
from nettrace.mcp.tool import Answer, Asked, Call, Host, Hours, Region, Time, Tool
from nettrace.model.account import Feature
from nettrace.model.instant import NS_PER_S, Instant
from nettrace.model.path import Trace
from nettrace.store.rows import StoredTrace, Window
from nettrace.wire.route_documents import blame_document
from nettrace.wire.traces import instant_of

MINUTE_NS = 60 * NS_PER_S
MOST_TRACES = 5000
_LARGEST_DOCUMENT = 3000
_SHOWN = (
    "direction",
    "from_ms",
    "to_ms",
    "from_loss",
    "to_loss",
    "class",
    "from",
    "to",
    "rtt_delta_ms",
    "tier",
)


class _Listed(Asked, frozen=True, kw_only=True):
    """Which part of a list of events."""

    region: Region | None = None
    hours: Hours = 24
    end: Time | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=200)] = 20
    detail: bool = False


class Events(_Listed, frozen=True, kw_only=True):
    """Events of a target, or of all."""

    host: Host | None = None


class AnyEvents(Events, frozen=True, kw_only=True):
    """Events of some kinds."""

    kinds: Annotated[
        tuple[Annotated[str, msgspec.Meta(max_length=40)], ...], msgspec.Meta(max_length=20)
    ] = ()


class Changes(_Listed, frozen=True, kw_only=True):
    """Changes of the routes to a target."""

    host: Host


async def list_events(call: Call) -> Answer:
    """Everything that happened."""
    return await _events(call, call.asked.kinds)


async def list_signals(call: Call) -> Answer:
    """What detectors concluded."""
    return await _events(call, SIGNALS)


async def route_changes(call: Call) -> Answer:
    """How the routes to a target changed."""
    return await _events(call, ("route_change",))


async def _events(call: Call, kinds: Sequence[str]) -> Answer:
    wanted: Events | Changes = call.asked
    found, more = await call.there.events(
        call.caller, kinds, (wanted.host, wanted.region), call.window(wanted.hours, wanted.end), wanted.limit
    )
    counts = Counter(row["kind"] for row in found)
    said = ", ".join(f"{count} {kind}" for kind, count in counts.most_common()) or "Nothing"
    said += " in the window, newest first." + (" There are more: raise limit or move `end`." if more else "")
    return Answer(
        said=said, rows=[_event(row, full=wanted.detail) for row in found], fields={"truncated": more}
    )


def _event(row: Document, *, full: bool) -> Document:
    """An event with what matters of its document, or with all of it."""
    said = row.get("document")
    if not isinstance(said, dict):
        return {**row, "what": None}
    document: Document = said  # pyright: ignore[reportUnknownVariableType] - a JSON edge
    if full and size(document) <= _LARGEST_DOCUMENT:
        return {**row, "what": document}
    return {
        **row,
        "what": {name: _short(document[name]) for name in _SHOWN if document.get(name) is not None},
    }


def _short(value: Any) -> Any:
    """A route by its name, anything large left out."""
    if isinstance(value, dict):
        return value.get("id")  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType]
    return value if size(value) < 100 else None


class Explain(Asked, frozen=True, kw_only=True):
    """Which change."""

    host: Host
    at: Time
    region: Region | None = None
    minutes: Annotated[int, msgspec.Meta(ge=5, le=240)] = 30


async def explain_change(call: Call) -> Answer:
    """A target before and after an instant, from each vantage, with the events around it."""
    wanted: Explain = call.asked
    at = instant_of(wanted.at)
    window = Window(max(0, at - wanted.minutes * MINUTE_NS), at + wanted.minutes * MINUTE_NS)
    if at > call.now:
        raise Invalid("`at` lies in the future")
    rows: list[Document] = []
    codes = (
        [wanted.region] if wanted.region else [row["code"] for row in await call.there.vantages(call.caller)]
    )
    for code in codes[:20]:
        rows.append({"region": code, **await _before_and_after(call, code, at, window)})
    found, more = await call.there.events(call.caller, (), (wanted.host, wanted.region), window, 15)
    events = [_event(row, full=False) for row in found]
    moved = [row for row in rows if row["moved_ms"] is not None and abs(row["moved_ms"]) >= 1]
    return Answer(
        said=f"{len(moved)} of {len(rows)} vantages moved by 1 ms or more; {len(events)} events within "
        f"{wanted.minutes} minutes. before/after: median of 1-minute medians.",
        rows=rows,
        fields={
            "events": [{name: row.get(name) for name in _EVENT} for row in events], "truncated": more,
        },
    )  # fmt: skip


async def _before_and_after(call: Call, region: str, at: Instant, window: Window) -> Document:
    levels: list[float | None] = []
    failed: list[int] = []
    for part in (Window(window.start, at), Window(at, window.end)):
        found = await call.there.history(call.caller, call.asked.host, region, part, 300)
        known = [float(row["p50_ms"]) for row in found["data"] if row["p50_ms"] is not None]
        levels.append(round(median(known), 4) if known else None)
        failed.append(sum(row["failed"] for row in found["data"]))
    before, after = levels
    moved = None if before is None or after is None else round(after - before, 4)
    return {
        "before_ms": before, "after_ms": after, "moved_ms": moved, "failed_before": failed[0], "failed_after": failed[1],
    }  # fmt: skip


class Blame(Asked, frozen=True, kw_only=True):
    """Since when something is worse."""

    since: Time
    host: Host | None = None
    hours: Annotated[float, msgspec.Meta(gt=0, le=72)] = 6


async def blame(call: Call) -> Answer:
    """The leg whose added delay or loss explains what got worse, from stored traces."""
    wanted: Blame = call.asked
    since = instant_of(wanted.since)
    reach = round(wanted.hours * 60 * MINUTE_NS)
    if not isinstance(call.hub, Stored):
        raise Invalid("blame reads stored traces", "Start this server with --data DIR on the hub's machine")
    found = await call.hub.traces(
        call.caller, wanted.host, Window(max(0, since - reach), since + reach), MOST_TRACES
    )
    document = await asyncio.to_thread(_blamed, found, since)
    words = {
        "leg": "These legs are at fault.",
        "cannot_tell": "Cannot tell which of these legs.",
        "none": "Nothing got worse.",
    }
    early = sum(each.trace.at < since for each in found)
    return Answer(
        said=f"{words[document['verdict']]} {early} traces before, {len(found) - early} after, {document['paths']} pairs compared.",
        rows=[{**leg, "tied": len(leg["tied"])} for leg in document["legs"]],
        fields={
            "verdict": document["verdict"], "scope": document["scope"], "paths": document["paths"],
            "affected": document["affected"][:20],
        },
    )  # fmt: skip


def _blamed(found: Sequence[StoredTrace], since: Instant) -> Document:
    return blame_document(find_blame([_named(each) for each in found], since))


def _named(stored: StoredTrace) -> Trace:
    return msgspec.structs.replace(stored.trace, vantage=stored.series.vantage, target=stored.series.target)


_EVENT = ("id", "kind", "host", "region", "at", "severity", "confidence", "what")
TOOLS = (
    Tool(
        name="list_events", says="Signals, route and address changes, newest first.", run=list_events, asks=AnyEvents,
        feature=Feature.SIGNALS, row=_EVENT, fields={"truncated": "boolean"},
    ),
    Tool(
        name="list_signals", says="Statements of detectors: shifts, anomalies, trends, loss, degraded legs.",
        run=list_signals, asks=Events, feature=Feature.SIGNALS, row=_EVENT, fields={"truncated": "boolean"},
    ),
    Tool(
        name="route_changes", says="Route changes to a target, with their class.", run=route_changes, asks=Changes,
        feature=Feature.ROUTES, row=_EVENT, fields={"truncated": "boolean"},
    ),
    Tool(
        name="explain_change", says="What happened to a target around `at`: before/after by vantage, events.",
        run=explain_change, asks=Explain, feature=Feature.SIGNALS, fields={"events": "array", "truncated": "boolean"},
        row=("region", "before_ms", "after_ms", "moved_ms", "failed_before", "failed_after"),
    ),
    Tool(
        name="blame", says="Which leg got worse `since`, by stored traces of many vantages.", run=blame, asks=Blame,
        feature=Feature.ROUTES, needs="folder",
        fields={"verdict": "string", "scope": "", "paths": "integer", "affected": "array"},
        row=("a", "b", "added_ms", "loss", "confidence", "tied"),
    ),
)  # fmt: skip
