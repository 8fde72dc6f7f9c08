"""Pages of what is watched: all of it, one target, one pair."""

from collections.abc import Sequence
from typing import Any

import msgspec
from litestar import Response
from litestar.handlers import HTTPRouteHandler

from nettrace.errors import NotFound
from nettrace.hub.floors import floor_to
from nettrace.hub.latest import Snapshot, stale
from nettrace.hub.query import (
    endpoint_of,
    group_of,
    lent,
    readings,
    resolution_for,
    shown,
    speaking,
    target_of,
)
from nettrace.model.instant import NS_PER_S, Instant
from nettrace.model.measurement import Outcome
from nettrace.model.target import Endpoint, Lifecycle, RoundMethod, Target
from nettrace.model.vantage import third_party
from nettrace.store.port import Choice, StoreReader
from nettrace.store.rows import Columns, Latest, Resolution, Round, Window
from nettrace.web import chart
from nettrace.web.ahead import outlook
from nettrace.web.causes import CauseRow, cause_rows, marks
from nettrace.web.door import WINDOWS, Visit, door
from nettrace.web.hub import Hub
from nettrace.web.smoke import smoke
from nettrace.web.spark import sparkline
from nettrace.web.waterfall import Waterfall, waterfalls

_PINGS = ("icmp", "tcp", "udp")
_STAGED = ("http", "ws")
_SPARK_NS = 6 * 3600 * NS_PER_S
_EVENTS, _FLAGS = 2000, 20
_REQUESTS = 400
"""Newest requests a waterfall is drawn from."""
LENT_DAYS = 30


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One reading as a table shows it: a state in words, and a number only where there is one.

    Attributes:
        state: `measured`, `failed`, `not_measured` or `stale`.
        rtt_ns: the newest measured round trip; of a failed series the last one there was.
        age_ns: of that number.
    """

    vantage: str
    endpoint: str
    method: str
    state: str
    words: str
    rtt_ns: int | None
    age_ns: int | None
    sent: int
    received: int
    round_id: str
    address: str | None
    error_ns: int | None
    grade: str | None
    stages_ns: dict[str, int]


def row_of(latest: Latest, now: Instant) -> Row:
    """The newest round of a series in words."""
    newest, last = latest.round, latest.round if latest.round.rtt_ns is not None else latest.measured
    old = stale(latest, now)
    if old:
        state, words = "stale", "nothing new"
    elif newest.outcome is Outcome.MEASURED:
        state, words = "measured", "measured"
    else:
        state = newest.outcome.value
        words = f"{'no answer' if state == 'failed' else 'not measured'}: {newest.reason or 'unknown'}"
    return Row(
        vantage=newest.series.vantage, endpoint=newest.series.endpoint, method=newest.series.method.value, state=state,
        words=words, rtt_ns=last.rtt_ns if last else None, age_ns=now - last.due if last else None, sent=newest.sent,
        received=newest.received, round_id=newest.id, address=newest.address, error_ns=newest.error_ns,
        grade=newest.grade, stages_ns=newest.stages_ns,
    )  # fmt: skip


class Lent(msgspec.Struct, frozen=True, kw_only=True):
    """What one of other people's vantages saw when it was last asked.

    Attributes:
        looks: rounds kept of this series in `LENT_DAYS` days.
    """

    row: Row
    at: Instant
    whose: str
    place: str
    looks: int


def lent_lines(visit: Visit, reader: StoreReader, target: Target, endpoint: Endpoint) -> list[Lent]:
    """Other people's looks at an endpoint, each by its own vantage; [] without asking the store when there is none."""
    found = [each for each in lent(visit.snapshot, target) if each.round.series.endpoint == endpoint.name]
    if not found:
        return []
    codes = tuple(sorted({each.round.series.vantage for each in found}))
    since = Window(visit.now - LENT_DAYS * 86_400 * NS_PER_S, visit.now + NS_PER_S)
    choice = Choice(targets=(target.host,), vantages=codes, endpoints=(endpoint.name,))
    looks = {each.series: each.rounds for each in reader.summary(choice, since)}
    lines: list[Lent] = []
    for each in found:
        series = each.round.series
        known = visit.snapshot.third_parties.get(series.vantage)
        place = " ".join(filter(None, (known.city, known.country))) if known else ""
        lines.append(
            Lent(row=row_of(each, visit.now), at=each.round.at, whose=third_party(series.vantage), place=place,
                 looks=looks.get(series, 0))
        )  # fmt: skip
    return lines


def target_doors(hub: Hub) -> list[HTTPRouteHandler]:
    """The three pages."""
    return [
        door(hub, "/targets", targets_page),
        door(hub, "/t/{host:str}", target_page),
        door(hub, "/t/{host:str}/from/{vantage:str}", pair_page),
    ]


async def targets_page(visit: Visit) -> Response[Any]:
    """Everything that is watched, one row each."""
    snapshot, wanted = visit.snapshot, visit.query.get("cat", "")
    everything = snapshot.visible(visit.account)
    categories = sorted({target.category for target in everything})
    kept = [target for target in everything if wanted in {"", target.category}]
    if "retired" not in visit.query:
        kept = [target for target in kept if target.lifecycle in {Lifecycle.ACTIVE, Lifecycle.UNVERIFIED}]
    window = Window(visit.now - _SPARK_NS, visit.now)
    hosts = tuple(target.host for target in kept)
    history = await visit.hub.readers.run(lambda reader: medians(reader, hosts, window))
    rows = [_target_row(snapshot, target, history, visit.now) for target in kept]
    order = visit.query.get("sort", "name")
    rows.sort(key={"rtt": _by_rtt, "state": _by_trouble}.get(order, _by_name))
    told = {
        "page": "targets", "rows": rows, "categories": categories, "wanted": wanted, "order": order,
        "retired": "retired" in visit.query,
    }  # fmt: skip
    return visit.page("targets.html", told)


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One target in the list: the reading that stands for it, its last hours, and what answers."""

    target: Target
    best: Row | None
    spark: str
    group: str
    vantages: int


def _by_name(line: Line) -> tuple[float, str]:
    return 0.0, line.target.name.lower()


def _by_rtt(line: Line) -> tuple[float, str]:
    known = line.best is not None and line.best.rtt_ns is not None
    return float(line.best.rtt_ns or 0) if known and line.best else float("inf"), line.target.name.lower()


def _by_trouble(line: Line) -> tuple[float, str]:
    return float(line.best is None or line.best.state == "measured"), line.target.name.lower()


def medians(reader: StoreReader, hosts: tuple[str, ...], window: Window) -> dict[str, list[Columns]]:
    """Quarter-hour medians of many targets, by host."""
    found: dict[str, list[Columns]] = {}
    if hosts:
        for columns in reader.history(
            Choice(targets=hosts, methods=_PINGS), window, Resolution.QUARTER, (0.5,)
        ):
            found.setdefault(columns.series.target, []).append(columns)
    return found


def _target_row(snapshot: Snapshot, target: Target, history: dict[str, list[Columns]], now: Instant) -> Line:
    best = shown(speaking(snapshot, target), now)
    spark = ""
    if best is not None:
        columns = next(
            (each for each in history.get(target.host, []) if each.series == best.round.series), None
        )
        spark = (
            sparkline(_evenly(columns, Window(now - _SPARK_NS, now)), f"{target.name}, six hours")
            if columns
            else ""
        )
    return Line(
        target=target, best=row_of(best, now) if best else None, spark=spark,
        group=group_of(target.endpoints[0]).value if target.endpoints else "", vantages=len(speaking(snapshot, target)),
    )  # fmt: skip


def _evenly(columns: Columns, window: Window) -> list[float | None]:
    """The medians on an even grid, None where a quarter has none."""
    step = 900 * NS_PER_S
    known = dict(zip(columns.start, columns.quantiles_ns["p50"], strict=True))
    first = window.start // step * step
    return [known.get(at) for at in range(first, window.end, step)]


async def target_page(visit: Visit) -> Response[Any]:
    """One target from everywhere."""
    target = target_of(visit.snapshot, visit.path["host"], visit.account)
    endpoint = endpoint_of(target, visit.query.get("endpoint"))
    name, window = visit.window("24h")
    rows = [
        row_of(each, visit.now)
        for each in readings(visit.snapshot, target)
        if each.round.series.endpoint == endpoint.name
    ]
    method = _method(visit, rows, endpoint)
    resolution = resolution_for(window)
    here = Choice(targets=(target.host,), endpoints=(endpoint.name,), methods=(method,))
    staged = Choice(targets=(target.host,), endpoints=(endpoint.name,), methods=_STAGED)
    history, events, requests, strangers = await visit.hub.readers.run(
        lambda reader: (
            reader.history(here, window, resolution), reader.events(window, choice=Choice(targets=(target.host,)), limit=_EVENTS),
            reader.rounds(staged, window, limit=_REQUESTS, newest_first=True), lent_lines(visit, reader, target, endpoint),
        )
    )  # fmt: skip
    happened = cause_rows(visit, events)
    charts = [_chart(visit.snapshot, target, endpoint, columns, window, happened) for columns in history]
    told = {
        "page": "targets", "target": target, "endpoint": endpoint, "group": group_of(endpoint).value, "rows": rows,
        "charts": charts, "window": name, "windows": list(WINDOWS), "method": method, "methods": sorted({row.method for row in rows}),
        "happened": happened, "resolution": resolution.value, "zoom": visit.zoom(window), "waterfalls": _falls(target, requests, window, shown=True),
        "lent": strangers, "lent_days": LENT_DAYS,
    }  # fmt: skip
    return embedded(visit, target, method, charts) if visit.embed else visit.page("target.html", told)


def embedded(visit: Visit, target: Target, method: str, charts: list[dict[str, Any]]) -> Response[Any]:
    """The charts alone, without a script, for frames in other people's pages; `v=` picks vantages."""
    wanted = {code for code in visit.query.get("v", "").split(",") if code}
    shown = [chart for chart in charts if not wanted or chart["vantage"] in wanted]
    told = {"page": "embed", "target": target, "method": method, "charts": shown}
    return visit.page("embed.html", told, embed=True)


async def pair_page(visit: Visit) -> Response[Any]:
    """One target from one vantage: history, stages, raw rounds."""
    target = target_of(visit.snapshot, visit.path["host"], visit.account)
    vantage = visit.path["vantage"]
    rows = [row_of(each, visit.now) for each in readings(visit.snapshot, target, (vantage,))]
    if not rows and vantage not in visit.snapshot.vantages:
        raise NotFound(
            f"no vantage '{vantage[:50]}' has measured {target.host}",
            "See the target's page for those that have",
        )
    endpoint = endpoint_of(target, visit.query.get("endpoint"))
    here = [row for row in rows if row.endpoint == endpoint.name]
    method = _method(visit, here, endpoint)
    name, window = visit.window("24h")
    resolution = resolution_for(window)
    choice = Choice(
        targets=(target.host,), vantages=(vantage,), endpoints=(endpoint.name,), methods=(method,)
    )
    everything = Choice(targets=(target.host,), vantages=(vantage,))
    staged = Choice(targets=(target.host,), vantages=(vantage,), endpoints=(endpoint.name,), methods=_STAGED)
    history, rounds, events, summaries, requests, ahead = await visit.hub.readers.run(
        lambda reader: (
            reader.history(choice, window, resolution), reader.rounds(choice, window, limit=50, newest_first=True),
            reader.events(window, choice=everything, limit=_EVENTS), reader.summary(choice, window),
            reader.rounds(staged, window, limit=_REQUESTS, newest_first=True), outlook(reader, visit, choice),
        )
    )  # fmt: skip
    happened = cause_rows(visit, events)
    charts = [_chart(visit.snapshot, target, endpoint, columns, window, happened) for columns in history]
    told = {
        "page": "targets", "target": target, "endpoint": endpoint, "group": group_of(endpoint).value, "ahead": ahead, "vantage": vantage,
        "rows": rows, "charts": charts, "rounds": rounds, "happened": happened,
        "summary": summaries[0] if summaries else None, "window": name, "windows": list(WINDOWS), "method": method,
        "methods": sorted({row.method for row in here}), "resolution": resolution.value,
        "zoom": visit.zoom(window), "waterfalls": _falls(target, requests, window, shown=False), "part": visit.query.get("embed", ""),
        "third_party": third_party(vantage),
    }  # fmt: skip
    return visit.page("pair.html", told, embed=visit.embed)


def _falls(target: Target, requests: Sequence[Round], window: Window, *, shown: bool) -> list[Waterfall]:
    """Waterfalls with their tools; `shown` says that the page has several vantages."""
    found: list[Waterfall] = []
    for each in waterfalls(requests, target.name):
        series = (requests[0].series.endpoint, each.method)
        tools = chart.stages(target.host, each.vantage, series, window)
        found.append(msgspec.structs.replace(each, tools=tools, vantage_shown=shown))
    return found


def _method(visit: Visit, rows: Sequence[Row], endpoint: Endpoint) -> str:
    """The method asked for if there is one, else the first that measured anything."""
    asked = visit.query.get("method", "")
    if asked in {method.value for method in RoundMethod} - {"trace"}:
        return asked
    order = [*_PINGS, "http", "ws", "dns"]
    measured = sorted({row.method for row in rows if row.rtt_ns is not None}, key=order.index)
    return next(iter(measured), next((each.value for each in endpoint.methods if each.value in order), "tcp"))


def _chart(
    snapshot: Snapshot, target: Target, endpoint: Endpoint, columns: Columns, window: Window, happened: Sequence[CauseRow]
) -> dict[str, Any]:  # fmt: skip
    vantage = columns.series.vantage
    floor = floor_to(snapshot.vantages.get(vantage), target)
    here = [row for row in happened if not row.cause.vantages or vantage in row.cause.vantages]
    title = f"{target.name} ({endpoint.name}, {columns.series.method}) from {vantage}"
    series = (endpoint.name, columns.series.method.value)
    return {
        "vantage": vantage, "columns": columns, "floor": floor,
        "tools": chart.history(target.host, vantage, series, window, columns.resolution),
        "svg": smoke(columns, window, title, floor_ns=floor.fibre_ns if floor and floor.fibre_ns else None, marks=marks(here[:_FLAGS])),
    }  # fmt: skip
