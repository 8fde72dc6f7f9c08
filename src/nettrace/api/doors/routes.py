"""Routes: the way to a target now, and how it changed."""

from nettrace.api import asked, schema, shapes
from nettrace.api.asked import HOUR_NS, Region, Tabled, Windowed
from nettrace.api.call import Call
from nettrace.api.given import Answer
from nettrace.api.operation import Operation
from nettrace.hub import query
from nettrace.model.account import Feature
from nettrace.model.instant import NS_PER_S, Instant, ms
from nettrace.model.target import RoundMethod
from nettrace.store.port import Choice
from nettrace.store.rows import Window

ROUTE_CHANGE = "route_change"
FRESH_S = 5


class RoutesQuery(Tabled, frozen=True, kw_only=True):
    """Of which vantages."""

    region: Region = ()


async def routes(call: Call) -> Answer:
    """The present route of each traced series."""
    target = asked.target_in(call)
    valid = (call.snapshot.versions.get(target.host, 0), call.now // (FRESH_S * NS_PER_S))

    async def make() -> Answer:
        window = call.service.access.window(
            call.caller, Window(call.now - 24 * HOUR_NS, call.now + 1), call.now
        )
        choice = Choice(
            targets=(target.host,), vantages=asked.regions_in(call.snapshot, call.query.region),
            methods=(RoundMethod.TRACE.value,),
        )  # fmt: skip
        found = await call.service.readers.run(lambda reader: query.routes_now(reader, choice, window))
        rows = [route_row(each) for each in found]
        first = rows[0] if rows else None
        return Answer(
            content=schema.RoutePage(
                data=rows, host=target.host, route_hash=first.route if first else None,
                measured_at=first.at if first else None, hops=first.hops if first else [],
            ),
            fresh_s=FRESH_S,
        )  # fmt: skip

    return await asked.remembered(call, valid, make)


def route_row(now: query.RouteNow) -> schema.RouteRow:
    """A route with the hops of a trace that took it: never those of another one."""
    trace = now.trace.trace if now.trace else None
    newest = now.newest.trace if now.newest else None
    return schema.RouteRow(
        region=now.series.vantage, endpoint=now.series.endpoint,
        route=now.state.route if now.state else (now.newest.route if now.newest else None),
        since=shapes.maybe(now.state.since) if now.state else None,
        as_path=list(now.state.as_path) if now.state else [],
        trace=now.trace.id if now.trace else None, at=shapes.maybe(trace.at) if trace else None,
        outcome=newest.outcome if newest else "not_measured", reason=newest.reason if newest else "not_scheduled",
        reached=trace.reached if trace else None, rtt_ms=ms(trace.rtt_ns) if trace and trace.reached else None,
        hop_count=len(trace.hops) if trace else None, hops=[shapes.hop_shape(hop) for hop in trace.hops] if trace else [],
    )  # fmt: skip


class ChangesQuery(Windowed, frozen=True, kw_only=True):
    """Which changes."""

    region: Region = ()


async def changes(call: Call) -> Answer:
    """Route changes of a target, newest first."""
    target = asked.target_in(call)
    wanted: ChangesQuery = call.query
    place = asked.position(call, tuple[Instant, Instant, Instant, str])
    window = asked.window_of(call, wanted.start, wanted.end, 24 * HOUR_NS).window
    if place is not None:
        window = Window(place[0], place[1])
    choice = Choice(targets=(target.host,), vantages=asked.regions_in(call.snapshot, wanted.region))
    found = await call.service.readers.run(
        lambda reader: reader.events(
            window, kinds=(ROUTE_CHANGE,), choice=choice, limit=wanted.limit + 1,
            before=None if place is None else (place[2], place[3]),
        )
    )  # fmt: skip
    page, more = found[: wanted.limit], len(found) > wanted.limit
    cursor = (
        asked.sealed(call, (window.start, window.end, page[-1].detected_at, page[-1].id)) if more else None
    )
    rows = [shapes.change_row(each) for each in page]
    return Answer(
        content=schema.ChangePage(
            data=rows, host=target.host, changes=rows, count=len(rows), has_more=more, next_cursor=cursor
        ),
        next_cursor=cursor, fresh_s=FRESH_S,
    )  # fmt: skip


OPERATIONS = (
    Operation(
        id="getRoutes", method="GET", path="/api/v1/routes/{host}", tag="Routes", handler=routes, query=RoutesQuery,
        answer=schema.RoutePage, table=True, feature=Feature.ROUTES, summary="The routes to a target, hop by hop",
        description="Route and hops of a row always belong to the same trace.",
        example="/api/v1/routes/api.example.com?region=nyc",
    ),
    Operation(
        id="listRouteChanges", method="GET", path="/api/v1/routes/{host}/changes", tag="Routes", handler=changes,
        query=ChangesQuery, answer=schema.ChangePage, table=True, feature=Feature.ROUTES,
        summary="How the routes to a target changed", example="/api/v1/routes/api.example.com/changes",
    ),
)  # fmt: skip
