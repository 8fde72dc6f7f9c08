"""Latency: the newest rounds of a target, its history, single rounds."""

from collections.abc import Sequence
from functools import cache
from typing import Annotated, Any

import msgspec

from nettrace.api import asked, schema, shapes
from nettrace.api.asked import HOUR_NS, AsOf, Region, Tabled, Windowed
from nettrace.api.call import Call
from nettrace.api.given import Answer, Format, encoded
from nettrace.api.operation import NoQuery, Operation
from nettrace.api.points import FIELDS, bucket_points, points
from nettrace.api.problems import BadRequest, Fault
from nettrace.errors import NotFound
from nettrace.hub import query
from nettrace.model.instant import NS_PER_S, Instant
from nettrace.model.target import RoundMethod, Series, Target
from nettrace.store.port import QUANTILES, Choice, StoreReader
from nettrace.store.rows import Resolution, Round

ALL = "all"
DEFAULT_NS = 24 * HOUR_NS
_encode = msgspec.json.Encoder().encode


class LatencyQuery(Tabled, frozen=True, kw_only=True):
    """Of which vantages."""

    region: Region = ()


async def latency(call: Call) -> Answer:
    """The newest round of every series, from memory."""
    target = asked.target_in(call)
    regions = asked.regions_in(call.snapshot, call.query.region)
    rows = query.readings(call.snapshot, target, regions)
    fresh_s = asked.until_next(rows, call.now) if rows else 1
    if call.form is not Format.JSON:
        return Answer(content=_latency(call, target, regions), fresh_s=fresh_s)
    body = call.snapshot.of_target(
        target.host, ("latency", regions), lambda: _encode(_latency(call, target, regions))
    )
    return Answer(content=body, fresh_s=fresh_s)


def _latency(call: Call, target: Target, regions: tuple[str, ...]) -> schema.LatencyPage:
    snapshot = call.snapshot
    rows = query.readings(snapshot, target, regions)
    whole = shapes.target_row(snapshot, target, regions[0] if len(regions) == 1 else None)
    return schema.LatencyPage(
        data=[shapes.reading(row, target, snapshot.at) for row in rows], host=target.host, name=target.name,
        category=target.category, outcome=whole.outcome, reason=whole.reason, rtt_ms=whole.rtt_ms,
        region=whole.region, at=whole.at, stale=whole.stale, last_measured=whole.last_measured,
        latency=schema.SeedLatency(total_rtt=whole.rtt_ms), hop_count=whole.hop_count, route_hash=whole.route,
        measured_at=whole.at, lent=[shapes.reading(row, target, snapshot.at) for row in query.lent(snapshot, target)],
    )  # fmt: skip


class HistoryQuery(Windowed, frozen=True, kw_only=True):
    """Which stretch of which series, how finely cut."""

    resolution: Annotated[
        str, msgspec.Meta(description="`raw`, `1m`, `15m`, `1h`, `1d`, or `auto`: at most 500 buckets.")
    ] = "auto"
    region: Region = ()
    endpoint: (
        Annotated[str, msgspec.Meta(description="Its name, or `all`; the target's first when left out.")]
        | None
    ) = None
    method: Annotated[
        str, msgspec.Meta(description="`icmp tcp udp http ws dns trace`, or `all`; what speaks for the endpoint when left out.")
    ] | None = None  # fmt: skip
    percentiles: Annotated[tuple[str, ...], msgspec.Meta(description="Like `50,95,99.9`.")] = ()
    limit: Annotated[int, msgspec.Meta(ge=1, le=10_000, description="Points on a page.")] = 500
    order: Annotated[str, msgspec.Meta(description="`asc`, or `desc` of raw rounds.")] = "asc"
    as_of: AsOf | None = None
    columnar: Annotated[bool, msgspec.Meta(description="Columns instead of rows, a list for each field.")] = (
        False
    )


Place = tuple[Instant, Instant, Instant, Series]
"""A place in a history: the window as it was first resolved, then the last row given."""


async def history(call: Call) -> Answer:
    """The history of a target: kept while nothing new came of it."""
    target = asked.target_in(call)
    valid = (call.snapshot.versions.get(target.host, 0), call.now // (5 * NS_PER_S))
    return await asked.remembered(call, valid, lambda: _history(call, target))


async def _history(call: Call, target: Target) -> Answer:
    wanted: HistoryQuery = call.query
    place = asked.position(call, Place)
    step_ns = 60 * NS_PER_S
    found = asked.window_of(call, wanted.start, wanted.end, DEFAULT_NS, step_ns)
    window = found.window if place is None else query.Window(place[0], place[1])
    resolution = (
        query.resolution_for(window) if wanted.resolution == "auto" else _resolution(wanted.resolution)
    )
    known_by = asked.as_of(call, wanted.as_of)
    question = query.Question(
        choice=_choice(call, target), window=window, resolution=resolution,
        quantiles=_quantiles(wanted.percentiles), as_of=known_by, limit=wanted.limit,
    )  # fmt: skip
    if wanted.order not in {"asc", "desc"}:
        raise _wrong("order", "order is asc or desc")
    if wanted.order != "asc" and resolution is not Resolution.RAW:
        raise _wrong("order", "buckets come in ascending order; resolution=raw knows desc")
    read = _raw if resolution is Resolution.RAW else _buckets

    def page(reader: StoreReader) -> Answer:
        rows, more, last = read(call, reader, question, place)
        cursor = asked.sealed(call, (window.start, window.end, *last)) if more and last is not None else None
        made = schema.HistoryPage(
            data=[] if wanted.columnar and call.form is Format.JSON else rows, host=target.host,
            window=shapes.window_shape(window), resolution=resolution.value, as_of=shapes.maybe(known_by),
            history_days=call.caller.tier.history_days, tier=call.caller.tier.name, clamped=found.clamped,
            data_points=len(rows), series=_columns(rows) if wanted.columnar else None, has_more=more,
            next_cursor=cursor,
        )  # fmt: skip
        return Answer(
            content=encoded(made) if call.form is Format.JSON else made, next_cursor=cursor,
            immutable=asked.closed(call, window, known_by),
            row_type=schema.RawRow if resolution is Resolution.RAW else _shape(tuple(wanted.percentiles)),
            fresh_s=asked.until_next(query.readings(call.snapshot, target), call.now),
        )  # fmt: skip

    return await call.service.readers.run(page)


Rows = tuple[list[Any], bool, tuple[Instant, Series] | None]


def _raw(call: Call, reader: StoreReader, question: query.Question, place: Place | None) -> Rows:
    after = None if place is None else (place[2], place[3])
    found, more = query.raw_page(
        reader, question, after, fields=FIELDS, newest_first=call.query.order == "desc"
    )
    last = (found.due[-1], found.series[-1]) if found.due else None
    return points(found), more, last


def _buckets(call: Call, reader: StoreReader, question: query.Question, place: Place | None) -> Rows:
    after = None if place is None else (place[2], place[3])
    make = _shape(tuple(call.query.percentiles))
    found, more = query.buckets(reader, question, after)
    last = (found[-1].start, found[-1].columns.series) if found else None
    made = {id(each.columns): each.columns for each in found}
    rows = {number: bucket_points(columns, make) for number, columns in made.items()}
    return [rows[id(each.columns)][each.index] for each in found], more, last


@cache
def _shape(percentiles: tuple[str, ...]) -> type[Any]:
    """The rows' shape: the usual percentiles, or those that were asked for."""
    if not percentiles:
        return schema.HistoryRow
    kept = [
        field for field in msgspec.structs.fields(schema.HistoryRow)
        if not (field.name.startswith("p") and field.name.endswith("_ms"))
    ]  # fmt: skip
    asked_for = [(f"p{each.replace('.', '_')}_ms", float | None, None) for each in percentiles]
    fields: list[Any] = [
        (field.name, field.type)
        if field.default is msgspec.NODEFAULT
        else (field.name, field.type, field.default)
        for field in kept
    ]
    return msgspec.defstruct("HistoryRowOf", [*fields, *asked_for], gc=False)


def _quantiles(percentiles: Sequence[str]) -> tuple[float, ...]:
    if not percentiles:
        return QUANTILES
    if len(percentiles) > 20 or len(set(percentiles)) != len(percentiles):
        raise _wrong("percentiles", "at most 20, each once")
    found = {0.5}
    for text in percentiles:
        try:
            value = float(text)
        except ValueError:
            value = -1.0
        if not 0 <= value <= 100 or len(text) > 8 or not text.replace(".", "", 1).isdigit():
            raise _wrong("percentiles", f"'{text[:20]}' is not a percentile; write 50,95,99.9")
        found.add(value / 100)
    return tuple(sorted(found))


def _resolution(text: str) -> Resolution:
    try:
        return Resolution(text)
    except ValueError:
        raise _wrong(
            "resolution", f"no resolution '{text[:20]}'; there are raw, 1m, 15m, 1h, 1d, auto"
        ) from None


def _choice(call: Call, target: Target) -> Choice:
    wanted: HistoryQuery = call.query
    endpoint = None if wanted.endpoint == ALL else query.endpoint_of(target, wanted.endpoint)
    if wanted.method == ALL:
        methods: tuple[str, ...] = tuple(each.value for each in RoundMethod if each is not RoundMethod.TRACE)
    elif wanted.method is not None:
        if wanted.method not in set(RoundMethod):
            raise _wrong(
                "method", f"no method '{wanted.method[:20]}'; there are {', '.join(RoundMethod)}, all"
            )
        methods = (wanted.method,)
    else:
        methods = (query.method_of(call.snapshot, target, endpoint or target.endpoints[0]).value,)
    return Choice(
        targets=(target.host,), vantages=asked.regions_in(call.snapshot, wanted.region),
        endpoints=() if endpoint is None else (endpoint.name,), methods=methods,
    )  # fmt: skip


def _columns(rows: list[Any]) -> list[schema.SeriesColumns]:
    """Rows turned into columns, series by series."""
    found: dict[tuple[str, str, str], dict[str, list[Any]]] = {}
    for row in rows:
        names = [name for name in row.__struct_fields__ if name not in _NAMES]
        columns = found.setdefault((row.region, row.endpoint, row.method), {name: [] for name in names})
        for name in names:
            columns[name].append(getattr(row, name))
    return [
        schema.SeriesColumns(region=region, endpoint=endpoint, method=method, columns=columns)
        for (region, endpoint, method), columns in sorted(found.items())
    ]


_NAMES = {"region", "endpoint", "method", "total_rtt", "route_hash", "timestamp"}


def _wrong(name: str, detail: str) -> BadRequest:
    return BadRequest((Fault(pointer=f"#/query/{name}", detail=detail),))


class RoundsQuery(Windowed, frozen=True, kw_only=True):
    """Which rounds."""

    host: Annotated[str, msgspec.Meta(description="A target; all when left out.")] | None = None
    region: Region = ()
    endpoint: str | None = None
    method: RoundMethod | None = None
    order: Annotated[str, msgspec.Meta(description="`desc` or `asc`.")] = "desc"
    as_of: AsOf | None = None


async def rounds(call: Call) -> Answer:
    """Rounds as they were measured, newest first."""
    wanted: RoundsQuery = call.query
    if wanted.order not in {"asc", "desc"}:
        raise _wrong("order", "order is asc or desc")
    place = asked.position(call, Place)
    window = asked.window_of(call, wanted.start, wanted.end, HOUR_NS).window
    if place is not None:
        window = query.Window(place[0], place[1])
    known_by = asked.as_of(call, wanted.as_of)
    hosts = [wanted.host] if wanted.host is not None else []
    visible = [query.target_of(call.snapshot, host, call.caller.account).host for host in hosts]
    if not visible:
        visible = [target.host for target in call.snapshot.visible(call.caller.account)]
    question = query.Question(
        choice=Choice(
            targets=tuple(visible), vantages=asked.regions_in(call.snapshot, wanted.region),
            endpoints=() if wanted.endpoint is None else (wanted.endpoint,),
            methods=() if wanted.method is None else (wanted.method.value,),
        ),
        window=window, resolution=Resolution.RAW, quantiles=(), as_of=known_by, limit=wanted.limit,
    )  # fmt: skip
    after = None if place is None else (place[2], place[3])

    def read(reader: StoreReader) -> tuple[list[Round], list[schema.RoundRow], bool]:
        columns, more = query.raw_page(reader, question, after, newest_first=wanted.order == "desc")
        found = columns.rounds()
        return found, [shapes.round_row(each) for each in found], more

    if not visible:
        return Answer(content=schema.Page[schema.RoundRow](data=[]), fresh_s=1)
    rows, shown, more = await call.service.readers.run(read)
    cursor = asked.sealed(call, (window.start, window.end, rows[-1].due, rows[-1].series)) if more else None
    page = schema.Page[schema.RoundRow](data=shown, has_more=more, next_cursor=cursor)
    return Answer(content=page, next_cursor=cursor, fresh_s=1, immutable=asked.closed(call, window, known_by))


async def one_round(call: Call) -> Answer:
    """A round by its id; it never changes."""
    wanted = call.path["id"]
    found = await call.service.readers.run(lambda reader: reader.round(wanted))
    if found is not None:
        target = call.snapshot.targets.get(found.series.target)
        foreign = target is not None and target.account not in {None, call.caller.account}
        held = call.service.access.window(call.caller, query.Window(found.due, found.due + 1), call.now)
        if not foreign and held.start == found.due:
            return Answer(content=shapes.round_row(found), immutable=True)
    raise NotFound(f"no round '{wanted[:60]}' within your history", "Ids come from /api/v1/rounds")


OPERATIONS = (
    Operation(
        id="getLatency", method="GET", path="/api/v1/latency/{host}", tag="Latency", handler=latency,
        query=LatencyQuery, answer=schema.LatencyPage, table=True,
        summary="The newest round of every series of a target", example="/api/v1/latency/api.example.com?region=nyc",
    ),
    Operation(
        id="getHistory", method="GET", path="/api/v1/latency/{host}/history", tag="Latency", handler=history,
        query=HistoryQuery, answer=schema.HistoryPage, table=True,
        summary="The history of a target: raw rounds or buckets with percentiles",
        description="The last 24 hours of the target's first endpoint unless said otherwise. Rows of `resolution=raw` "
        "are rounds (schema `RawRow`); `percentiles=` replaces the usual ones.",
        example="/api/v1/latency/api.example.com/history?resolution=15m&region=nyc&limit=4",
    ),
    Operation(
        id="listRounds", method="GET", path="/api/v1/rounds", tag="Latency", handler=rounds, query=RoundsQuery,
        answer=schema.Page[schema.RoundRow], table=True, summary="Rounds with every probe, newest first",
        description="The last hour unless `start` or `end` say otherwise.",
        example="/api/v1/rounds?host=api.example.com&limit=2",
    ),
    Operation(
        id="getRound", method="GET", path="/api/v1/rounds/{id}", tag="Latency", handler=one_round, query=NoQuery,
        answer=schema.RoundRow, summary="One round", example="/api/v1/rounds/{round}",
    ),
)  # fmt: skip
