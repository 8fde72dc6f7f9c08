"""Reading tools: targets, newest rounds, history, comparisons, rankings."""

from collections import Counter
from difflib import SequenceMatcher
from typing import Annotated, Any

import msgspec

from nettrace.mcp.plain import Document
from nettrace.mcp.tool import Answer, Asked, Call, Host, Hours, Region, Time, Tool
from nettrace.model.account import Feature
from nettrace.wire.traces import instant_of

Limit = Annotated[int, msgspec.Meta(ge=1, le=200)]
_HOPS = 40


class Detailed(Asked, frozen=True, kw_only=True):
    """Answers that can be had at length."""

    detail: bool = False


async def overview(call: Call) -> Answer:
    """The hub in one look."""
    targets = await call.there.targets(call.caller, None)
    vantages = await call.there.vantages(call.caller)
    watched = [each for each in targets if each["lifecycle"] in {"active", "unverified"}]
    outcomes = Counter("stale" if each["stale"] else each["outcome"] for each in watched)
    down = [each["code"] for each in vantages if not each["up"]]
    troubled = sorted((each for each in watched if _health(each) < 1), key=_health)
    return Answer(
        said=f"{len(watched)} targets: {_counted(outcomes)}. {len(vantages)} vantages, {len(down)} silent"
        + (f" ({', '.join(down[:5])})." if down else ".")
        + " Rows: targets not measured now from every region that watches them, worst first.",
        rows=troubled[:20],
        more=max(0, len(troubled) - 20),
        fields={
            "targets": len(watched), "outcomes": dict(outcomes), "vantages": len(vantages), "vantages_down": down,
            "categories": dict(Counter(each["category"] for each in watched)),
        },
    )  # fmt: skip


def _health(target: Document) -> float:
    """The share of regions from which a target is measured now."""
    return target["regions_measured"] / target["regions"] if target["regions"] else 0.0


class FindTarget(Asked, frozen=True, kw_only=True):
    """What is looked for."""

    text: Annotated[str, msgspec.Meta(max_length=200, description="Part of a host, name or category.")] = ""
    limit: Limit = 20


async def find_target(call: Call) -> Answer:
    """Targets by part of a name."""
    wanted: FindTarget = call.asked
    text = wanted.text.casefold().strip()
    scored = [(_alike(text, each), each) for each in await call.there.targets(call.caller, None)]
    found = [each for score, each in sorted(scored, key=_by_score) if score > 0]
    return Answer(
        said=f"{len(found)} targets match." if found else "No target matches; list_events and rank know others.",
        rows=found[: wanted.limit], more=max(0, len(found) - wanted.limit),
    )  # fmt: skip


def _by_score(scored: tuple[float, Document]) -> tuple[float, str]:
    return -scored[0], scored[1]["host"]


def _alike(text: str, target: Document) -> float:
    names = [str(target[name]).casefold() for name in ("host", "name", "category")]
    if not text or any(text in name for name in names):
        return 1.0 + (text in names)
    best = max(SequenceMatcher(None, text, name[:253]).ratio() for name in names[:2])
    return best if best > 0.7 else 0.0


class OfTarget(Detailed, frozen=True, kw_only=True):
    """A target, from one vantage or all."""

    host: Host
    region: Region | None = None


async def latency_summary(call: Call) -> Answer:
    """The newest round of each series."""
    rows = await call.there.latency(call.caller, call.asked.host, call.asked.region)
    known = [row for row in rows if row["rtt_ms"] is not None and not row["stale"]]
    best = min(known, key=_rtt, default=None)
    said = f"{len(rows)} series, {len(known)} measured and fresh."
    if best:
        said += f" Nearest: {best['region']} {best['rtt_ms']} ms by {best['method']}."
    return Answer(said=said, rows=rows, fields={"host": call.asked.host})


def _rtt(row: Document) -> float:
    return row["rtt_ms"]


class History(OfTarget, frozen=True, kw_only=True):
    """A stretch of a target's history."""

    hours: Hours = 24
    end: Time | None = None


async def history(call: Call) -> Answer:
    """Buckets with percentiles."""
    wanted: History = call.asked
    most = 200 if wanted.detail else 24
    found = await call.there.history(
        call.caller, wanted.host, wanted.region, call.window(wanted.hours, wanted.end), most
    )
    rows = found["data"][:most]
    medians = [row["p50_ms"] for row in rows if row["p50_ms"] is not None]
    said = f"{len(rows)} buckets of {found['resolution']}"
    said += f"; medians {min(medians)} to {max(medians)} ms." if medians else "; nothing was measured."
    if found["has_more"]:
        said += " The window holds more: ask for one region, fewer hours, or detail."
    return Answer(
        said=said, rows=rows, more=len(found["data"]) - len(rows),
        fields={"resolution": found["resolution"], "truncated": found["has_more"], "window": found.get("window")},
    )  # fmt: skip


class Compare(Asked, frozen=True, kw_only=True):
    """What to compare."""

    hosts: Annotated[list[Host], msgspec.Meta(min_length=2, max_length=10)]
    regions: Annotated[tuple[Region, ...], msgspec.Meta(max_length=20)] = ()
    hours: Hours = 1
    end: Time | None = None


async def compare(call: Call) -> Answer:
    """Targets beside each other."""
    wanted: Compare = call.asked
    found = await call.there.compare(
        call.caller, wanted.hosts, wanted.regions, call.window(wanted.hours, wanted.end)
    )
    clear = [pair for pair in found["differences"] if pair["clear"] and pair["comparable"]]
    fastest = found["fastest"]
    said = (
        f"{fastest} is clearly the fastest from everywhere."
        if fastest
        else "No target is clearly fastest from everywhere."
    )
    return Answer(
        said=f"{said} {len(clear)} of {len(found['differences'])} differences are clear.",
        rows=found["data"],
        fields={"fastest": fastest, "differences": _picked(found["differences"][:20])},
    )


def _picked(differences: list[Document]) -> list[Document]:
    names = ("host", "than", "region", "difference_ms", "low_ms", "high_ms", "clear", "comparable")
    return [{name: pair[name] for name in names} for pair in differences]


class Matrix(Asked, frozen=True, kw_only=True):
    """Which part of the matrix."""

    category: Annotated[str, msgspec.Meta(max_length=50)] | None = None
    regions: Annotated[tuple[Region, ...], msgspec.Meta(max_length=20)] = ()
    limit: Limit = 25


async def matrix(call: Call) -> Answer:
    """Targets by vantages: newest medians."""
    wanted: Matrix = call.asked
    regions = list(wanted.regions) or [each["code"] for each in await call.there.vantages(call.caller)][:12]
    cells: dict[str, list[Any]] = {}
    for place, region in enumerate(regions):
        for row in await call.there.targets(call.caller, region):
            if wanted.category in {None, row["category"]} and row["lifecycle"] in {"active", "unverified"}:
                cells.setdefault(row["host"], [None] * len(regions))[place] = _cell(row)
    rows: list[Document] = [{"host": host, "cells": cells[host]} for host in sorted(cells)]
    return Answer(
        said=f"{len(rows)} targets by {len(regions)} regions; a cell is ms, 'failed', or null (not measured or stale).",
        rows=rows[: wanted.limit], more=max(0, len(rows) - wanted.limit), fields={"regions": regions},
    )  # fmt: skip


def _cell(row: Document) -> float | str | None:
    if row["stale"] or row["outcome"] == "not_measured":
        return None
    return row["rtt_ms"] if row["outcome"] == "measured" else "failed"


class PathAt(OfTarget, frozen=True, kw_only=True):
    """A path, now or then."""

    at: Time | None = None


async def path_at(call: Call) -> Answer:
    """The route of each vantage, its hops with detail."""
    wanted: PathAt = call.asked
    at = None if wanted.at is None else instant_of(wanted.at)
    rows = await call.there.routes(call.caller, wanted.host, wanted.region, at)
    shown: list[Document] = [{**row, "hops": _hops(row["hops"], full=wanted.detail)} for row in rows]
    reached = sum(row["reached"] is True for row in rows)
    return Answer(said=f"{len(rows)} traced series, {reached} reached the target.", rows=shown)


def _hops(hops: list[Document], *, full: bool) -> list[Any]:
    """Addresses alone, or every hop with AS, name, place and times; null is a silent hop."""
    if not full:
        return [hop["address"] for hop in hops[:_HOPS]]
    names = ("ttl", "address", "asn", "name", "place", "rtt_ms")
    return [{name: hop.get(name) for name in names} for hop in hops]


class Rank(Asked, frozen=True, kw_only=True):
    """What to rank."""

    category: Annotated[str, msgspec.Meta(max_length=50)] | None = None
    region: Region | None = None
    hours: Hours = 1
    limit: Limit = 20


async def rank(call: Call) -> Answer:
    """Targets by median, with ties."""
    wanted: Rank = call.asked
    found = await call.there.rankings(
        call.caller, wanted.category, wanted.region, call.window(wanted.hours, None)
    )
    rows = found["data"]
    said = f"{len(rows)} targets ranked from {found['region']}, {len(found['unranked'])} without a measured probe."
    return Answer(
        said=said + " Groups (origin, api, edge, web, resolver) are ranked each by themselves.",
        rows=rows[: wanted.limit], more=max(0, len(rows) - wanted.limit),
        fields={"region": found["region"], "unranked": found["unranked"][:30]},
    )  # fmt: skip


async def fleet_status(call: Call) -> Answer:
    """The vantages and how they are."""
    rows = await call.there.vantages(call.caller)
    up = sum(bool(row["up"]) for row in rows)
    return Answer(said=f"{up} of {len(rows)} vantages were heard within three minutes.", rows=rows)


async def limits(call: Call) -> Answer:
    """What the caller may do."""
    found = await call.there.limits(call.caller)
    return Answer(
        said=f"Tier {found['tier']}; scopes {', '.join(found['scopes'])}.",
        rows=found["policies"],
        fields=found,
    )


def _counted(counts: Counter[str]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.most_common()) or "none"


_TARGET = ("host", "category", "outcome", "reason", "rtt_ms", "stale", "regions_measured", "regions")
TOOLS = (
    Tool(
        name="overview", says="State of the hub: targets by outcome, silent vantages, what is in trouble. Start here.",
        run=overview, row=_TARGET,
        fields={"targets": "integer", "outcomes": "object", "vantages": "integer", "vantages_down": "array", "categories": "object"},
    ),
    Tool(
        name="find_target", says="Targets by part of host, name or category; others take the host.",
        run=find_target, asks=FindTarget, row=("host", "name", "category", "lifecycle", "outcome", "rtt_ms", "stale"),
    ),
    Tool(
        name="latency_summary", says="Newest round of every series of a target. floor_ms: what light allows.",
        run=latency_summary, asks=OfTarget, fields={"host": "string"},
        row=("region", "endpoint", "method", "outcome", "reason", "at", "rtt_ms", "min_ms", "max_ms", "loss", "stale", "floor_ms"),
    ),
    Tool(
        name="history", says="Percentiles of a target over time, in up to 24 buckets (detail: 200).",
        run=history, asks=History, fields={"resolution": "string", "truncated": "boolean", "window": ""},
        row=("at", "region", "outcome", "p50_ms", "p95_ms", "loss", "rounds", "failed", "not_measured"),
    ),
    Tool(
        name="compare", says="2-10 targets side by side with intervals; whether differences are clear.",
        run=compare, asks=Compare, feature=Feature.COMPARE, fields={"fastest": "", "differences": "array"},
        row=("host", "region", "group", "outcome", "p50_ms", "low_ms", "high_ms", "p95_ms", "loss"),
    ),
    Tool(
        name="matrix", says="Newest RTT of targets (rows) from regions (cells, in order of `regions`).",
        run=matrix, asks=Matrix, fields={"regions": "array"}, row=("host", "cells"),
    ),
    Tool(
        name="path_at", says="Route to a target from each vantage, now or `at`; detail: hops with AS and RTT.",
        run=path_at, asks=PathAt, feature=Feature.ROUTES,
        row=("region", "route", "since", "as_path", "at", "outcome", "reason", "reached", "rtt_ms", "hops"),
    ),
    Tool(
        name="rank", says="Targets of a category by median RTT from a region, with ties.", run=rank, asks=Rank,
        fields={"region": "", "unranked": "array"},
        row=("rank", "rank_last", "tied", "group", "host", "p50_ms", "low_ms", "high_ms", "loss"),
    ),
    Tool(
        name="fleet_status", alias="status", says="Vantages: up, last heard, clock, problems. Alias: status.",
        run=fleet_status,
        row=("code", "state", "up", "last_seen", "newest_round_at", "clock_offset_ms", "clock_error_ms", "problems", "lost_records"),
    ),
    Tool(
        name="limits", says="Your tier, scopes and quota.", run=limits,
        row=("name", "limit", "used", "remaining", "reset_s"),
        fields={"tier": "string", "scopes": "array", "features": "array", "history_days": ""},
    ),
)  # fmt: skip
