"""The page of ways: how every vantage reaches a target, at one instant or at two."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from litestar import Response
from litestar.handlers import HTTPRouteHandler

from nettrace.errors import Invalid
from nettrace.hub.query import RouteNow, routes_now, target_of
from nettrace.model.account import Feature
from nettrace.model.instant import NS_PER_S, Instant, rfc3339
from nettrace.model.path import Trace
from nettrace.store.port import Choice
from nettrace.store.rows import Window
from nettrace.web.door import Visit, door
from nettrace.web.hub import Hub
from nettrace.web.pathgraph import draw, graph
from nettrace.web.targets import event_row

_BACK_NS = 24 * 3600 * NS_PER_S


def path_doors(hub: Hub) -> list[HTTPRouteHandler]:
    """The page of a target's paths."""
    return [door(hub, "/t/{host:str}/path", path_page, feature=Feature.ROUTES)]


async def path_page(visit: Visit) -> Response[Any]:
    """The newest path of each vantage before `at`, and what differs from `was`."""
    target = target_of(visit.snapshot, visit.path["host"], visit.account)
    at = _instant(visit.query.get("at"), visit.now)
    was = _instant(visit.query["was"], visit.now) if visit.query.get("was") else None
    choice = Choice(targets=(target.host,))
    now_routes, then_routes, changes = await visit.hub.readers.run(
        lambda reader: (
            routes_now(reader, choice, Window(at - _BACK_NS, at)),
            routes_now(reader, choice, Window(was - _BACK_NS, was)) if was is not None else [],
            reader.events(Window(at - 7 * _BACK_NS, visit.now), kinds=("route_change",), choice=choice, limit=50),
        )
    )  # fmt: skip
    paths, before = _paths(now_routes), _paths(then_routes)
    told = {
        "page": "targets", "target": target, "svg": draw(graph(target.host, paths)) if paths else "", "paths": paths,
        "differences": {vantage: _difference(before.get(vantage), trace) for vantage, trace in paths.items()} if was is not None else {},
        "at": rfc3339(at)[:16], "was": rfc3339(was)[:16] if was is not None else "", "changes": [event_row(event) for event in changes],
    }  # fmt: skip
    return visit.page("path.html", told)


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
