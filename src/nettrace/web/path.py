"""The page of ways: how every vantage reaches a target, at one instant or at two."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import quote, urlencode

import msgspec
from litestar import Response
from litestar.handlers import HTTPRouteHandler

from nettrace.errors import Invalid
from nettrace.hub.cause import blame_said
from nettrace.hub.leg_event import KIND, standing
from nettrace.hub.query import RouteNow, routes_now, target_of
from nettrace.hub.story import Became
from nettrace.model.account import Feature
from nettrace.model.instant import NS_PER_MS, NS_PER_S, Instant, rfc3339
from nettrace.model.path import Trace
from nettrace.model.route import Blame
from nettrace.store.port import Choice, StoreReader
from nettrace.store.rows import Window
from nettrace.web import chart
from nettrace.web.causes import cause_rows, event_row, judged_leg
from nettrace.web.door import Visit, door
from nettrace.web.hub import Hub
from nettrace.web.pathdraw import draw
from nettrace.web.pathgraph import GROUPS, against, graph, worsened

_BACK_NS = 24 * 3600 * NS_PER_S
_EVENTS = 2000
_STEP_NS = 3600 * NS_PER_S
"""How long after a change every vantage has traced the new way."""


def path_doors(hub: Hub) -> list[HTTPRouteHandler]:
    """The page of a target's paths."""
    return [door(hub, "/t/{host:str}/path", path_page, feature=Feature.ROUTES)]


async def path_page(visit: Visit) -> Response[Any]:
    """The newest path of each vantage before `at`, and what differs from `against`."""
    target = target_of(visit.snapshot, visit.path["host"], visit.account)
    at = _instant(visit.query.get("at"), visit.now)
    other = visit.query.get("against") or visit.query.get("was")
    then = _instant(other, visit.now) if other else None
    group = visit.query.get("group", "") if visit.query.get("group") in GROUPS else ""
    wanted = tuple(code for code in visit.query.get("from", "").split(",") if code)
    choice = Choice(targets=(target.host,), vantages=wanted)
    now_routes, then_routes, changes, found = await visit.hub.readers.run(
        lambda reader: (
            routes_now(reader, choice, Window(at - _BACK_NS, at)),
            routes_now(reader, choice, Window(then - _BACK_NS, then)) if then is not None else [],
            reader.events(Window(at - 7 * _BACK_NS, visit.now), kinds=("route_change",), choice=choice, limit=50),
            _degraded(reader, visit, target.host, at),
        )
    )  # fmt: skip
    paths, before = _paths(now_routes), _paths(then_routes)
    made = graph(target.host, paths, group) if then is None else against(target.host, paths, before, group)
    told = {
        "page": "targets", "target": target, "svg": draw(worsened(made, found.legs)), "paths": paths, "degraded": found,
        "differences": {vantage: _difference(before.get(vantage), trace) for vantage, trace in paths.items()} if then is not None else {},
        "at": rfc3339(at)[:16], "against": rfc3339(then)[:16] if then is not None else "", "changes": [event_row(each) for each in changes],
        "group": group, "groups": GROUPS, "from_": ",".join(wanted), "tools": chart.paths(target.host, at, then, group),
        "replays": _replays(visit, [(each.at, event_row(each)["words"]) for each in changes]),
    }  # fmt: skip
    return visit.page("path.html", told, embed=visit.embed)


class _Degraded(msgspec.Struct, frozen=True):
    """Legs that were degraded on ways to a target.

    Attributes:
        legs: by the addresses of their ends, what each adds.
        where: of those addresses, in which place they stand and whose they are; not all are known.
        event: whose page tells since when, and who else; empty when nothing was degraded.
    """

    legs: dict[tuple[str, str], str] = {}
    where: dict[str, str] = {}
    event: str = ""


def _degraded(reader: StoreReader, visit: Visit, host: str, at: Instant) -> _Degraded:
    """Legs that were degraded at an instant on ways to a target, each with what it adds, and the event that says so.

    What the hub concluded stands before anything else; where it concluded nothing, what is behind the newest change
    for the worse that was open then is asked, once a minute at most.
    """
    window = Window(at - _BACK_NS, at + NS_PER_S)
    told = standing(reader.events(window, kinds=(KIND,), limit=500))
    mine = next((leg for leg in told if any(target == host for _, target in leg.pairs)), None)
    if mine is not None:
        return _worsened(*blame_said(msgspec.json.encode(mine.document), mine.since), mine.id)
    since = Window(window.start, visit.now + NS_PER_S)  # what ended later was open then
    found = [
        row.story
        for row in cause_rows(visit, reader.events(since, choice=Choice(targets=(host,)), limit=_EVENTS))
    ]
    worse = [
        story
        for story in found
        if story.cause.since <= at
        and (story.became is Became.OPEN or (story.became is Became.OVER and (story.over_at or 0) > at))
    ]
    if not worse:
        return _Degraded()
    judged = judged_leg(reader, visit, worse[0])
    return _worsened(judged.blame, judged.where, worse[0].cause.id)


def _worsened(blamed: Blame, places: dict[str, str], event: str) -> _Degraded:
    adds = {(leg.a, leg.b): _adds(None if leg.added_ns is None else leg.added_ns / NS_PER_MS, leg.loss) for leg in blamed.legs}  # fmt: skip
    return _Degraded(adds, places, event)


def _adds(added_ms: float | None, loss: float | None) -> str:
    """What a degraded leg does.

    >>> _adds(34.04, None), _adds(None, 0.25), _adds(None, None)
    ('+34.0 ms', '+25 % loss', 'degraded')
    """
    words = [f"+{added_ms:.1f} ms"] if added_ms is not None else []
    words += [f"+{100 * loss:.0f} % loss"] if loss is not None else []
    return ", ".join(words) or "degraded"


def _replays(visit: Visit, changes: Sequence[tuple[Instant, str]]) -> list[tuple[str, Instant, str]]:
    """For each change an address that shows the graph right behind it against right before."""
    kept = {name: visit.query[name] for name in ("group", "from") if visit.query.get(name)}
    return [
        (f"{quote(visit.url)}?{urlencode({**kept, 'at': rfc3339(at + _STEP_NS)[:19] + 'Z', 'against': rfc3339(at - NS_PER_S)[:19] + 'Z'})}", at, words)
        for at, words in changes[:12]
    ]  # fmt: skip


def _paths(routes: list[RouteNow]) -> dict[str, Trace]:
    """One trace a vantage: the newest on the route that holds."""
    found: dict[str, Trace] = {}
    for each in routes:
        stored = each.trace or each.newest
        if stored is not None:
            found.setdefault(each.series.vantage, stored.trace)
    return found


def _difference(before: Trace | None, after: Trace) -> Mapping[str, list[str]] | None:
    """Addresses that went and that came, or None when there was no path before."""
    if before is None:
        return None
    old = {hop.address for hop in before.hops if hop.address} | {
        each for hop in before.hops for each in hop.also
    }
    new = {hop.address for hop in after.hops if hop.address} | {
        each for hop in after.hops for each in hop.also
    }
    return {"gone": sorted(old - new), "came": sorted(new - old)}


def _instant(words: str | None, now: Instant) -> Instant:
    if not words:
        return now
    try:
        read = datetime.fromisoformat(words if "+" in words or words.endswith("Z") else words + "+00:00")
    except ValueError:
        raise Invalid(f"'{words[:40]}' is not an instant", "Write it as 2026-11-20T12:00 (UTC)") from None
    return min(now, int(read.timestamp() * NS_PER_S))
