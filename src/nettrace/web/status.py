"""Public status pages: they need no key and no script, and say what is not known as plainly as what is."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import groupby
from typing import Any
from urllib.parse import quote

import msgspec
from litestar import Response
from litestar.handlers import HTTPRouteHandler

from nettrace.hub.latest import Snapshot
from nettrace.hub.query import shown, speaking, target_of
from nettrace.model.instant import NS_PER_S, Instant, rfc3339
from nettrace.model.target import Lifecycle, Target
from nettrace.store.port import Choice, StoreReader
from nettrace.store.rows import Columns, Event, Resolution, Window
from nettrace.web import chart
from nettrace.web.badge import METRICS
from nettrace.web.calendar import Entry, calendar
from nettrace.web.causes import cause_rows, event_row
from nettrace.web.door import Visit, door
from nettrace.web.hub import Hub
from nettrace.web.preview import preview
from nettrace.web.site import headers
from nettrace.web.smoke import smoke
from nettrace.web.targets import Row, embedded, row_of
from nettrace.web.xml import text

DAYS = 90
_DAY_NS = 86_400 * NS_PER_S
_WATCHED = (Lifecycle.ACTIVE, Lifecycle.UNVERIFIED)
PUBLIC = ""
"""The account of nobody: strangers see everybody's targets and no custom ones."""


class Day(msgspec.Struct, frozen=True):
    """One day's bar: `ok`, `part` (some rounds failed), `down` (all did) or `none` (nothing measured)."""

    at: Instant
    kind: str
    words: str


def status_doors(hub: Hub) -> list[HTTPRouteHandler]:
    """The pages and their feeds."""
    return [
        door(hub, "/status", status_page, public=True),
        door(hub, "/status/feed.json", status_json, public=True),
        door(hub, "/status/{host:str}", status_of, public=True),
        door(hub, "/status/{host:str}/feed.xml", status_rss, public=True),
        door(hub, "/status/{host:str}/preview.png", status_preview, public=True),
        door(hub, "/status/{host:str}/feed.ics", status_calendar, public=True),
    ]


async def status_page(visit: Visit) -> Response[Any]:
    """Every public target, by category."""
    lines = _lines(visit.snapshot, visit.now)
    grouped = [(name, list(rows)) for name, rows in groupby(lines, key=lambda line: line[0].category)]
    known = [row for _, row in lines if row is not None]
    down = [target.name for target, row in lines if row is not None and row.state == "failed"]
    return visit.page(
        "status.html",
        {"page": "status", "grouped": grouped, "headline": said(len(lines), len(known), down)},
    )


def said(total: int, known: int, down: Sequence[str]) -> tuple[str, str]:
    """The headline and its state.

    >>> said(3, 0, [])
    ('Nothing has been measured yet', 'not_measured')
    """
    if not known:
        return "Nothing has been measured yet", "not_measured"
    if down:
        rest = f" and {len(down) - 3} more" if len(down) > 3 else ""
        return f"No answer from {', '.join(down[:3])}{rest}", "bad"
    return f"{known} of {total} targets answer" if known < total else "Every target answers", "good"


async def status_of(visit: Visit) -> Response[Any]:
    """One target: its state, ninety days, the last day's distribution, what happened."""
    target = target_of(visit.snapshot, visit.path["host"], PUBLIC)
    best = shown(speaking(visit.snapshot, target), visit.now)
    row = row_of(best, visit.now) if best else None
    today = visit.now // _DAY_NS * _DAY_NS
    months, day = Window(today - (DAYS - 1) * _DAY_NS, visit.now), Window(visit.now - _DAY_NS, visit.now)
    choice = Choice(
        targets=(target.host,),
        endpoints=(target.endpoints[0].name,),
        methods=(row.method,) if row else ("tcp",),
    )
    history, near, events = await visit.hub.readers.run(
        lambda reader: (
            reader.history(choice, months, Resolution.DAY, (0.5,)), reader.history(choice, day, Resolution.QUARTER),
            reader.events(months, choice=Choice(targets=(target.host,)), limit=30),
        )
    )  # fmt: skip
    charts, rows = [_chart(target, each, day) for each in near], cause_rows(visit, events)
    part = visit.query.get("embed")
    if part is not None and part != "days":
        return embedded(visit, target, row.method if row else "tcp", charts)
    series = (choice.endpoints[0], choice.methods[0])
    told = {
        "page": "status", "target": target, "row": row, "days": days_of(history, months), "charts": charts,
        "rows": rows, "open_now": [each for each in rows if each.state == "open"], "tools": chart.days(target.host, series, months), "metrics": METRICS,
    }  # fmt: skip
    return visit.page("status_of.html", told, embed=part == "days")


async def status_preview(visit: Visit) -> Response[Any]:
    """The picture of a status page, for whoever shows a link to it."""
    target = target_of(visit.snapshot, visit.path["host"], PUBLIC)
    best = shown(speaking(visit.snapshot, target), visit.now)
    row = row_of(best, visit.now) if best else None
    today = visit.now // _DAY_NS * _DAY_NS
    months = Window(today - (DAYS - 1) * _DAY_NS, visit.now)
    choice = Choice(targets=(target.host,), endpoints=(target.endpoints[0].name,), methods=(row.method,) if row else ("tcp",))  # fmt: skip

    def drawn(reader: StoreReader) -> bytes:
        days = days_of(reader.history(choice, months, Resolution.DAY, (0.5,)), months)
        return preview(target, row, [day.kind for day in days], visit.now)

    picture = await visit.hub.readers.run(drawn)
    told = {**headers(), "Cache-Control": "public, max-age=300"}
    return Response(picture, media_type="image/png", headers=told)


def _chart(target: Target, columns: Columns, window: Window) -> dict[str, Any]:
    series = (columns.series.endpoint, columns.series.method.value)
    tools = chart.history(target.host, columns.series.vantage, series, window, columns.resolution)
    public = f"/status/{quote(target.host)}"
    kept = {"permalink": public, "embed": f"{public}?embed=1&v={quote(columns.series.vantage)}"}
    return {
        "vantage": columns.series.vantage, "columns": columns, "tools": msgspec.structs.replace(tools, **kept),
        "svg": smoke(columns, window, f"{target.name} from {columns.series.vantage}, 24 hours"),
    }  # fmt: skip


def days_of(history: Sequence[Columns], window: Window) -> list[Day]:
    """One bar a day over all vantages; a day nobody measured is said to be one."""
    counted: dict[Instant, tuple[int, int]] = {}
    for columns in history:
        for at, measured, failed in zip(columns.start, columns.measured, columns.failed, strict=True):
            before = counted.get(at, (0, 0))
            counted[at] = before[0] + measured, before[1] + failed
    return [_day(at, counted.get(at)) for at in range(window.start, window.end, _DAY_NS)]


def _day(at: Instant, counts: tuple[int, int] | None) -> Day:
    date = rfc3339(at)[:10]
    measured, failed = counts or (0, 0)
    if not measured and not failed:
        return Day(at, "none", f"{date}: not measured")
    kind = "ok" if not failed else "part" if measured else "down"
    return Day(
        at,
        kind,
        f"{date}: {100 * measured / (measured + failed):.2f} % of {measured + failed} rounds answered",
    )


async def status_json(visit: Visit) -> Response[Any]:
    """The state of all public targets as a JSON document."""
    rows = [_document(target, row) for target, row in _lines(visit.snapshot, visit.now)]
    body = json.dumps({"schema": "nettrace.status/1", "at": rfc3339(visit.now), "targets": rows}).encode()
    return Response(body, media_type="application/json", headers={**headers(), "Cache-Control": "max-age=15"})


async def status_rss(visit: Visit) -> Response[Any]:
    """What happened to a target, as RSS 2.0."""
    target = target_of(visit.snapshot, visit.path["host"], PUBLIC)
    window = Window(visit.now - 30 * _DAY_NS, visit.now)
    events = await visit.hub.readers.run(
        lambda reader: reader.events(window, choice=Choice(targets=(target.host,)), limit=50)
    )
    items = "".join(_item(target, event) for event in events)
    body = (
        f'<?xml version="1.0" encoding="UTF-8"?><rss version="2.0"><channel><title>{text(target.name)}: what happened</title>'
        f"<link>/status/{text(target.host)}</link><description>Changes told apart from noise</description>{items}</channel></rss>"
    )
    return Response(
        body.encode(),
        media_type="application/rss+xml; charset=utf-8",
        headers={**headers(), "Cache-Control": "max-age=60"},
    )


async def status_calendar(visit: Visit) -> Response[Any]:
    """What happened to a target, as a calendar (RFC 5545)."""
    target = target_of(visit.snapshot, visit.path["host"], PUBLIC)
    window = Window(visit.now - 30 * _DAY_NS, visit.now)
    events = await visit.hub.readers.run(lambda reader: reader.events(window, choice=Choice(targets=(target.host,)), limit=50))  # fmt: skip
    entries = [Entry(event.id, event.at, event.detected_at, _words(target, event)) for event in events]
    body = calendar(
        f"{target.name}: what happened", entries, f"{visit.origin}/status/{quote(target.host, safe='')}"
    )
    told = {**headers(), "Cache-Control": "max-age=60"}
    return Response(body.encode(), media_type="text/calendar; charset=utf-8", headers=told)


def _words(target: Target, event: Event) -> str:
    return f"{target.name}: {event_row(event)['words']}" + (f" from {event.vantage}" if event.vantage else "")


def _item(target: Target, event: Event) -> str:
    date = datetime.fromtimestamp(event.detected_at // NS_PER_S, UTC).strftime("%a, %d %b %Y %H:%M:%S GMT")
    words = text(_words(target, event))
    return f'<item><title>{words}</title><guid isPermaLink="false">{text(event.id)}</guid><pubDate>{date}</pubDate></item>'


def _lines(snapshot: Snapshot, now: Instant) -> list[tuple[Target, Row | None]]:
    lines: list[tuple[Target, Row | None]] = []
    for target in snapshot.visible(PUBLIC):
        if target.lifecycle in _WATCHED:
            best = shown(speaking(snapshot, target), now)
            lines.append((target, row_of(best, now) if best else None))
    return sorted(lines, key=lambda line: (line[0].category, line[0].name.lower()))


def _document(target: Target, row: Row | None) -> dict[str, Any]:
    return {
        "host": target.host, "name": target.name, "category": target.category, "state": row.state if row else "not_measured",
        "rtt_ms": None if row is None or row.rtt_ns is None or row.state != "measured" else round(row.rtt_ns / 1e6, 4),
        "vantage": row.vantage if row else None,
    }  # fmt: skip
