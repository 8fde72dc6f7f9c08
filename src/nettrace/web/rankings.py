"""Pages that hold many beside each other: leaderboard, matrix, comparison."""

from collections.abc import Sequence
from typing import Any

import msgspec
from litestar import Response
from litestar.handlers import HTTPRouteHandler

from nettrace.errors import Invalid, NotFound
from nettrace.hub.query import (
    Ranked,
    check_regions,
    compare,
    default_region,
    fastest,
    group_of,
    interval,
    known_regions,
    rank,
    resolution_for,
    speaking,
    target_of,
)
from nettrace.model.account import Feature
from nettrace.model.instant import NS_PER_MS
from nettrace.model.target import Lifecycle, Target
from nettrace.store.port import Choice
from nettrace.store.rows import Columns, Summary, Window
from nettrace.web import chart
from nettrace.web.door import WINDOWS, Visit, door
from nettrace.web.hub import Hub
from nettrace.web.smoke import smoke
from nettrace.web.tabular import table
from nettrace.web.targets import row_of

_WATCHED = (Lifecycle.ACTIVE, Lifecycle.UNVERIFIED)
_QUANTILES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
_MOST_COMPARED = 6


class Cell(msgspec.Struct, frozen=True, kw_only=True):
    """One pair in the matrix.

    Attributes:
        shade: 0 (fast) to 6 (slow) of the stylesheet, or `none` and `failed`.
        words: the whole story.
    """

    host: str
    vantage: str
    text: str
    shade: str
    words: str


def ranking_doors(hub: Hub) -> list[HTTPRouteHandler]:
    """The three pages."""
    return [
        door(hub, "/leaderboard", leaderboard_page),
        door(hub, "/leaderboard/{category:str}", leaderboard_page),
        door(hub, "/matrix", matrix_page),
        door(hub, "/compare", compare_page, feature=Feature.COMPARE),
    ]


async def leaderboard_page(visit: Visit) -> Response[Any]:
    """Who is fastest from where: each kind of endpoint for itself, with intervals and ties."""
    everything = [target for target in visit.snapshot.visible(visit.account) if target.lifecycle in _WATCHED]
    categories = sorted({target.category for target in everything})
    category = (
        visit.path.get("category") or visit.query.get("category") or (categories[0] if categories else "")
    )
    if visit.path.get("category") and category not in categories:
        known = ", ".join(categories) or "none yet: nothing is watched"
        raise NotFound(f"no category '{category[:60]}'", f"Categories here: {known}")
    targets = [target for target in everything if target.category == category]
    regions = known_regions(visit.snapshot)
    region = visit.query.get("from") or default_region(visit.snapshot, targets) or ""
    name, window = visit.window("24h")
    rows: list[Ranked] = []
    unranked: list[str] = []
    if region and targets:
        check_regions(visit.snapshot, [region])
        rows, unranked = await visit.hub.readers.run(
            lambda reader: rank(reader, targets, visit.snapshot, region, window)
        )
    slowest = max((interval(row.summary)[1] for row in rows), default=1)
    silent = {
        target.host
        for target in targets
        for latest in speaking(visit.snapshot, target)
        if latest.round.series.vantage == region and row_of(latest, visit.now).state == "failed"
    }
    bars = {row.target.host: _bar(row.summary, slowest) for row in rows}
    groups = sorted({row.group for row in rows}, key=str)
    told = {
        "page": "leaderboard", "groups": [(group, [row for row in rows if row.group is group]) for group in groups], "bars": bars, "silent": silent,
        "unranked": unranked, "categories": categories, "category": category, "regions": regions, "region": region,
        "window": name, "windows": list(WINDOWS), "zoom": visit.zoom(window), "tools": chart.ranking(category, region, window),
    }  # fmt: skip
    return visit.page("leaderboard.html", told, embed=visit.embed)


def _bar(summary: Summary, slowest: int) -> tuple[float, float, float]:
    """Where a median and its interval lie between nothing and the slowest, in per cent."""
    low, high = interval(summary)
    return tuple(round(100 * value / slowest, 2) for value in (low, summary.quantiles_ns["p50"] or 0, high))  # type: ignore[return-value]


async def matrix_page(visit: Visit) -> Response[Any]:
    """Every vantage by every target: now, or against the stretch before."""
    category = visit.query.get("cat", "")
    targets = [
        target
        for target in visit.snapshot.visible(visit.account)
        if target.lifecycle in _WATCHED and category in {"", target.category}
    ]
    regions = known_regions(visit.snapshot)
    quantile = visit.query.get("q", "p50") if visit.query.get("q", "p50") in _QUANTILES else "p50"
    difference = "diff" in visit.query
    name, window = visit.window("3h")
    before = Window(window.start - (window.end - window.start), window.start)
    choice = Choice(targets=tuple(target.host for target in targets))
    now, earlier = await visit.hub.readers.run(
        lambda reader: (
            _by_pair(reader.summary(choice, window, (_QUANTILES[quantile],)) if targets else []),
            _by_pair(reader.summary(choice, before, (_QUANTILES[quantile],)) if targets and difference else []),
        )
    )  # fmt: skip
    speaks = {
        (row.round.series.target, row.round.series.vantage): row.round.series
        for target in targets
        for row in speaking(visit.snapshot, target)
    }
    rows = [
        (
            target,
            [
                _cell(target, region, speaks, (now, earlier if difference else None), quantile)
                for region in regions
            ],
        )
        for target in sorted(targets, key=lambda target: target.name.lower())
    ]
    if visit.query.get("format") == "csv":
        return table(_matrix_lines(rows, regions))
    asked = {name: visit.query[name] for name in ("cat", "q", "diff") if visit.query.get(name)}
    told = {
        "tools": chart.matrix(asked, regions, window), "groups": {target.host: group_of(target.endpoints[0]).value for target in targets}, "zoom": visit.zoom(window), "span": window,
        "page": "matrix", "rows": rows, "regions": regions, "category": category, "window": name, "windows": list(WINDOWS),
        "quantile": quantile, "quantiles": list(_QUANTILES), "difference": difference,
        "categories": sorted({target.category for target in visit.snapshot.visible(visit.account)}),
    }  # fmt: skip
    return visit.page("matrix.html", told, embed=visit.embed)


def _matrix_lines(rows: Sequence[tuple[Target, list[Cell]]], regions: Sequence[str]) -> list[list[str]]:
    """The matrix for a spreadsheet: what each cell shows."""
    return [["host", *regions], *([target.host, *(cell.text for cell in cells)] for target, cells in rows)]


_Pairs = dict[Any, Summary]


def _by_pair(summaries: Sequence[Summary]) -> _Pairs:
    return {summary.series: summary for summary in summaries}


def _cell(
    target: Target, region: str, speaks: dict[tuple[str, str], Any], found: tuple[_Pairs, _Pairs | None], quantile: str
) -> Cell:  # fmt: skip
    series = speaks.get((target.host, region))
    summary = found[0].get(series)
    value = summary.quantiles_ns[quantile] if summary else None

    def cell(text: str, shade: str, words: str) -> Cell:
        return Cell(
            host=target.host,
            vantage=region,
            text=text,
            shade=shade,
            words=f"{target.name} from {region}: {words}",
        )

    if summary is None or not summary.rounds:
        return cell("", "none", "not measured")
    if value is None:
        return cell("no answer", "failed", f"no answer in {summary.failed} rounds")
    told = f"{quantile} {value / NS_PER_MS:.2f} ms by {summary.series.method} over {summary.received} probes{_within(summary)}"
    if found[1] is None:
        return cell(_short(value), str(_shade(value)), told)
    old = found[1].get(series)
    base = old.quantiles_ns[quantile] if old else None
    if base is None:
        return cell("new", "none", told + ", nothing to compare with")
    change = (value - base) / base
    shade = (
        "same"
        if abs(change) < 0.05 or abs(value - base) < NS_PER_MS // 2
        else "worse"
        if change > 0
        else "better"
    )
    text = "=" if shade == "same" else f"{100 * change:+.0f} %"
    return cell(text, shade, f"{told}, {base / NS_PER_MS:.2f} ms before")


def _within(summary: Summary) -> str:
    if summary.low_p50_ns is None or summary.high_p50_ns is None:
        return ""
    return f", median within {summary.low_p50_ns / NS_PER_MS:.2f} to {summary.high_p50_ns / NS_PER_MS:.2f} ms"


def _short(ns: int) -> str:
    value = ns / NS_PER_MS
    return f"{value:.1f}" if value < 100 else f"{value:.0f}"


def _shade(ns: int) -> int:
    """Seven shades, steps of two to three from 2 ms.

    >>> [_shade(ms * 1_000_000) for ms in (1, 3, 30, 500)]
    [0, 1, 4, 6]
    """
    return next((shade for shade, bound in enumerate((2, 5, 10, 25, 75, 150)) if ns < bound * NS_PER_MS), 6)


async def compare_page(visit: Visit) -> Response[Any]:
    """A few targets on the same axes, and whether they differ."""
    hosts = list(
        dict.fromkeys(host.strip() for host in visit.query.get("hosts", "").split(",") if host.strip())
    )
    hosts = hosts[:_MOST_COMPARED]
    targets = [target_of(visit.snapshot, host, visit.account) for host in hosts]
    regions = known_regions(visit.snapshot)
    region = visit.query.get("from") or default_region(visit.snapshot, targets) or ""
    name, window = visit.window("24h")
    told: dict[str, Any] = {
        "page": "compare", "targets": targets, "regions": regions, "region": region, "window": name, "windows": list(WINDOWS),
        "everything": visit.snapshot.visible(visit.account), "rows": [], "differences": [], "charts": [], "fastest": None,
        "group_of": group_of, "hosts": ",".join(hosts), "tools": chart.comparison(hosts, region, window), "zoom": visit.zoom(window),
    }  # fmt: skip
    if targets and region:
        check_regions(visit.snapshot, [region])
        told.update(await _compared(visit, targets, region, window))
    elif targets:
        raise Invalid("no vantage has measured anything yet", "Nodes report within a minute of starting")
    return visit.page("compare.html", told, embed=visit.embed)


async def _compared(visit: Visit, targets: Sequence[Target], region: str, window: Window) -> dict[str, Any]:
    rows, differences = await visit.hub.readers.run(
        lambda reader: compare(reader, visit.snapshot, targets, (region,), window)
    )
    resolution = resolution_for(window)
    series = {(row.target.host, row.endpoint.name, row.method.value) for row in rows}
    history = await visit.hub.readers.run(
        lambda reader: reader.history(
            Choice(targets=tuple(target.host for target in targets), vantages=(region,)), window, resolution
        )
    )
    shown = [
        each
        for each in history
        if (each.series.target, each.series.endpoint, each.series.method.value) in series
    ]
    top = max((value or 0 for each in shown for value in each.quantiles_ns["p95"]), default=0)
    charts = [(each.series.target, _same_axes(each, window, top), each) for each in shown]
    return {"rows": rows, "differences": differences, "charts": charts, "fastest": fastest(rows, differences)}


def _same_axes(columns: Columns, window: Window, top: int) -> str:
    return smoke(columns, window, f"{columns.series.target} from {columns.series.vantage}", span_ns=(0, top))
