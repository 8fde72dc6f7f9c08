"""Pages of what happened, and of who is measuring."""

from typing import Any

import msgspec
from litestar import Response
from litestar.handlers import HTTPRouteHandler

from nettrace.errors import NotFound
from nettrace.hub.hindsight import Hindsight
from nettrace.hub.mesh import SUFFIX
from nettrace.hub.query import known_regions
from nettrace.hub.story import Became, Story
from nettrace.hub.trust import Standing, standings
from nettrace.model.account import Feature
from nettrace.model.instant import NS_PER_S, Instant
from nettrace.model.vantage import Vantage
from nettrace.store.port import Choice, StoreReader
from nettrace.store.rows import Columns, Event, Resolution, Window
from nettrace.web import chart
from nettrace.web.causes import (
    CauseRow,
    cause_rows,
    event_row,
    judged_leg,
    may_see,
    nearness_ns,
    open_before,
    pair_href,
    row_of_story,
    story_with,
)
from nettrace.web.door import WINDOWS, Visit, door
from nettrace.web.hub import Hub
from nettrace.web.overview import VantageLine, vantage_lines
from nettrace.web.signals import MEANINGS, stated
from nettrace.web.smoke import Mark, smoke

KINDS = (
    "shift", "anomaly", "trend", "loss", "divergence", "rank", "route_change", "route_change_shared", "degraded_leg",
    "address_change",
)  # fmt: skip
_AROUND_NS, _LEAST_AROUND_NS = 90 * 60 * NS_PER_S, 5 * 60 * NS_PER_S
_SHOWN_PAIRS = 60
_FOLDED_ABOVE = 6
_PINGS = ("icmp", "tcp", "udp")


class Reason(msgspec.Struct, frozen=True):
    """One field of an event's document as a reader sees it; a long list is folded behind the number of its entries."""

    name: str
    text: str
    entries: int = 0


class Fleet(msgspec.Struct, frozen=True):
    """A vantage with all that is known of it."""

    line: VantageLine
    vantage: Vantage | None
    gaps: int
    standing: Standing | None = None


def event_doors(hub: Hub) -> list[HTTPRouteHandler]:
    """Events, one event, the fleet."""
    return [
        door(hub, "/events", events_page, feature=Feature.SIGNALS),
        door(hub, "/events/{id:str}", event_page, feature=Feature.SIGNALS),
        door(hub, "/fleet", fleet_page),
    ]


async def events_page(visit: Visit) -> Response[Any]:
    """Everything that was told apart from noise, newest first."""
    name, window = visit.window("7d")
    kind, host, region = (visit.query.get(each, "") for each in ("kind", "host", "from"))
    choice = Choice(targets=(host,) if host else (), vantages=(region,) if region else ())
    kinds = (kind,) if kind in KINDS else ()

    def look(reader: StoreReader) -> list[CauseRow]:
        found = reader.events(window, kinds=kinds, choice=choice, limit=5000)
        before = open_before(reader, visit, window) if window.end >= visit.now else []
        return cause_rows(
            visit, [*found, *(each for each in before if _asked_for(each, kinds, host, region))]
        )

    told = {
        "page": "events", "rows": await visit.hub.readers.run(look), "kinds": KINDS, "kind": kind,
        "host": host, "region": region, "regions": known_regions(visit.snapshot), "window": name, "windows": list(WINDOWS), "zoom": visit.zoom(window),
    }  # fmt: skip
    return visit.page("events.html", told)


def _asked_for(event: Event, kinds: tuple[str, ...], host: str, region: str) -> bool:
    return (not kinds or event.kind in kinds) and host in {"", event.target} and region in {"", event.vantage}


async def event_page(visit: Visit) -> Response[Any]:
    """One event: what, since when, how sure, who else, and the hours around it."""
    wanted = visit.path["id"]
    event = await visit.hub.readers.run(lambda reader: reader.event(wanted))
    if event is None or not may_see(visit, event):
        raise NotFound(f"no event '{wanted[:60]}'", "Events older than this hub keeps are gone; see the list")
    story, leg = await _story_of(visit, event)
    cause, around = story.cause, stretch_of(story, visit.now)
    host, charts = event.target, list[tuple[str, str, Columns, chart.Tools]]()
    others: list[Event] = []
    if host:
        history, others = await visit.hub.readers.run(
            lambda reader: (
                reader.history(Choice(targets=(host,), methods=_PINGS), around, Resolution.MINUTE),
                reader.events(around, choice=Choice(targets=(host,)), limit=50),
            )
        )  # fmt: skip
        marks = _marks(story, event)
        mine = sorted(history, key=lambda each: (each.series.vantage != event.vantage, each.series))
        charts = [
            (f"{each.series.vantage}, {each.series.endpoint}, {each.series.method}", smoke(each, around, str(each.series), marks=marks), each, _tools(each, around))
            for each in mine[:6]
        ]  # fmt: skip
    alike = {each.vantage for each in others if each.vantage and each.kind == event.kind}
    seen_by = sorted(alike - {event.vantage} if host else cause.vantages)
    row = event_row(event)
    told = {
        "reasons": reasons(row["body"]), "meaning": MEANINGS.get(event.kind, "as its detector states it"), "stated": stated(event),
        "page": "events", "row": row, "charts": charts, "seen_by": seen_by, "cause": cause, "leg": leg.blame if leg else None, "where": leg.where if leg else {}, "concluded": leg is not None and leg.concluded,
        "line": row_of_story(story, visit.now), "worse": set(story.worse), "pair_href": pair_href, "on_mesh": bool(host and host.endswith(SUFFIX)), "words": story.words, "pairs": cause.pairs[:_SHOWN_PAIRS], "more": max(0, len(cause.pairs) - _SHOWN_PAIRS),
        "others": [event_row(each) for each in others if not story.holds(each) and not event_row(each)["body"].get("updates")][:20],
    }  # fmt: skip
    return visit.page("event.html", told, embed=visit.embed)


def reasons(document: dict[str, Any]) -> list[Reason]:
    """An event's document field by field, as JSON where it is no plain text.

    >>> reasons({"kind": "shift", "added_ms": None, "signals": ["a", "b"]})[1:]
    [Reason(name='added_ms', text='null', entries=0), Reason(name='signals', text='["a","b"]', entries=0)]
    """
    return [_reason(name, value) for name, value in document.items()]


def _reason(name: str, value: Any) -> Reason:
    if isinstance(value, str):
        return Reason(name, value)
    entries = len(value) if isinstance(value, list | dict) else 0  # pyright: ignore[reportUnknownArgumentType]
    return Reason(name, msgspec.json.encode(value).decode(), entries if entries > _FOLDED_ABOVE else 0)


def _tools(columns: Columns, window: Window) -> chart.Tools:
    series = (columns.series.endpoint, columns.series.method.value)
    return chart.history(columns.series.target, columns.series.vantage, series, window, columns.resolution)


def stretch_of(story: Story, now: Instant) -> Window:
    """What an event's charts show: as long before and after it as it lasted, so that a minute is no hairline in hours."""
    end = now if story.became is Became.OPEN else max(story.over_at or 0, story.cause.detected_at)
    margin = min(_AROUND_NS, max(_LEAST_AROUND_NS, end - story.cause.since))
    return Window(story.cause.since - margin, min(now, end + margin))


def _marks(story: Story, event: Event) -> list[Mark]:
    """Flags at the beginning, at the record that is looked at, and at the end."""
    found = [Mark(story.cause.since, story.words, f"/events/{story.cause.id}")]
    if event.id != story.cause.id:
        found.append(Mark(event.at, event_row(event)["words"], f"/events/{event.id}"))
    if story.over_at:
        found.append(Mark(story.over_at, "over", f"/events/{story.cause.id}"))
    return found


async def _story_of(visit: Visit, event: Event) -> tuple[Story, Hindsight | None]:
    """The story an event belongs to and, when something got worse, the leg that explains it."""
    near = nearness_ns(visit.snapshot)
    window = Window(event.at - 20 * near, visit.now + NS_PER_S)

    def look(reader: StoreReader) -> tuple[Story, Hindsight | None]:
        events = [each for each in reader.events(window, limit=5000) if may_see(visit, each)]
        story = story_with(event, events, near)
        worse = story.became in {Became.OPEN, Became.OVER}
        return story, judged_leg(reader, visit, story) if worse else None

    return await visit.hub.readers.run(look)


async def fleet_page(visit: Visit) -> Response[Any]:
    """Every vantage: heard of when, permitted what, how far its clock is off, what its spool had to drop."""
    lines = vantage_lines(visit.snapshot, visit.now)
    day = Window(visit.now - 86_400 * NS_PER_S, visit.now)
    gaps = await visit.hub.readers.run(lambda reader: reader.gaps(day))
    standing = {each.vantage.code: each for each in standings(visit.snapshot)}
    rows = [
        Fleet(
            line,
            visit.snapshot.vantages.get(line.code),
            sum(code == line.code and not gap.target for code, gap in gaps),
            standing.get(line.code),
        )
        for line in lines
    ]
    shown = [row.round for found in visit.snapshot.lent.values() for row in found.values()]
    lent = [
        (each, max((one.at for one in shown if one.series.vantage == code), default=None))
        for code, each in visit.snapshot.third_parties.items()
    ]
    return visit.page("fleet.html", {"page": "fleet", "rows": rows, "lent": lent})
