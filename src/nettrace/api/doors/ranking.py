"""Rankings and comparisons: with intervals, with ties, never mixing an edge with an origin."""

from typing import Annotated

import msgspec

from nettrace.api import asked, schema, shapes
from nettrace.api.asked import HOUR_NS, End, OneRegion, Region, Start, Tabled
from nettrace.api.call import Call
from nettrace.api.given import Answer
from nettrace.api.operation import Operation
from nettrace.api.problems import BadRequest, Fault
from nettrace.errors import Invalid
from nettrace.hub import query
from nettrace.hub.latest import measured_now, stale
from nettrace.hub.query import Group
from nettrace.model.account import Feature
from nettrace.model.instant import NS_PER_S, ms, rfc3339

FRESH_S = 10
MOST, LEAST = 10, 2


class RankingsQuery(Tabled, frozen=True, kw_only=True):
    """Of what, from where, over which stretch."""

    category: Annotated[str, msgspec.Meta(description="Only this category.")] | None = None
    role: (
        Annotated[Group, msgspec.Meta(description="Only this group; each is ranked by itself anyway.")] | None
    ) = None
    region: OneRegion | None = None
    start: Start | None = None
    end: End | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 100


async def rankings(call: Call) -> Answer:
    """Targets by median; answered from memory, made anew every ten seconds."""
    if call.query.region is not None:
        asked.regions_in(call.snapshot, (call.query.region,))
    return await asked.remembered(call, call.now // (FRESH_S * NS_PER_S), lambda: _rankings(call))


async def _rankings(call: Call) -> Answer:
    wanted: RankingsQuery = call.query
    snapshot = call.snapshot
    every = measured_now(snapshot.visible(call.caller.account))
    known = {target.category for target in every}
    if wanted.category is not None and wanted.category not in known:
        raise Invalid(f"no category '{wanted.category[:50]}'", f"There are: {', '.join(sorted(known))}")
    chosen = [
        target
        for target in every
        if wanted.category in {None, target.category}
        and (wanted.role is None or query.group_of(target.endpoints[0]) is wanted.role)
    ]
    region = wanted.region or query.default_region(snapshot, chosen)
    window = asked.window_of(call, wanted.start, wanted.end, HOUR_NS).window
    places: list[query.Ranked] = []
    unranked = [target.host for target in chosen]
    if region is not None:
        places, unranked = await call.service.readers.run(
            lambda reader: query.rank(reader, chosen, snapshot, region, window)
        )
    rows = [_rank_row(call, place) for place in places[: wanted.limit]]
    return Answer(
        content=schema.RankPage(
            data=rows, category=wanted.category, region=region, window=shapes.window_shape(window),
            unranked=unranked, count=len(rows),
        ),
        fresh_s=FRESH_S,
    )  # fmt: skip


def _rank_row(call: Call, place: query.Ranked) -> schema.RankRow:
    summary, target = place.summary, place.target
    median = ms(summary.quantiles_ns["p50"]) or 0.0
    newest = call.snapshot.newest.get(target.host, {}).get(summary.series)
    at = rfc3339(newest.round.at) if newest else None
    row = shapes.target_row(call.snapshot, target, summary.series.vantage)
    return schema.RankRow(
        rank=place.rank, rank_last=place.rank_last, tied=place.tied, group=place.group, host=target.host,
        name=target.name, category=target.category, endpoint=place.endpoint.name,
        fronted_by=place.endpoint.fronted_by, region=summary.series.vantage, method=summary.series.method,
        p50_ms=median, low_ms=ms(summary.low_p50_ns), high_ms=ms(summary.high_p50_ns),
        p95_ms=ms(summary.quantiles_ns["p95"]), loss=shapes.loss(summary.sent, summary.received),
        rounds=summary.rounds, received=summary.received, at=at,
        stale=newest is None or stale(newest, call.snapshot.at), total_rtt=median, hop_count=row.hop_count,
        last_scan=at,
    )  # fmt: skip


class CompareQuery(Tabled, frozen=True, kw_only=True):
    """What to compare."""

    hosts: Annotated[tuple[str, ...], msgspec.Meta(description="Two to ten targets, `a,b`.")]
    region: Region = ()
    start: Start | None = None
    end: End | None = None


async def compare(call: Call) -> Answer:
    """Two to ten targets beside each other."""
    wanted: CompareQuery = call.query
    hosts = tuple(dict.fromkeys(wanted.hosts))
    if not LEAST <= len(hosts) <= MOST:
        fault = Fault(pointer="#/query/hosts", detail=f"{LEAST} to {MOST} different hosts, not {len(hosts)}")
        raise BadRequest((fault,), "Write hosts=a,b")
    targets = [query.target_of(call.snapshot, host, call.caller.account) for host in hosts]
    regions = asked.regions_in(call.snapshot, wanted.region) or tuple(query.known_regions(call.snapshot))
    versions = tuple(call.snapshot.versions.get(target.host, 0) for target in targets)

    async def make() -> Answer:
        window = asked.window_of(call, wanted.start, wanted.end, HOUR_NS).window
        rows, differences = await call.service.readers.run(
            lambda reader: query.compare(reader, call.snapshot, targets, regions, window)
        )
        medians = [each.summary.quantiles_ns["p50"] for each in rows if each.summary is not None]
        known = [median for median in medians if median is not None]
        return Answer(
            content=schema.ComparePage(
                data=[_compare_row(each) for each in rows], window=shapes.window_shape(window),
                fastest=query.fastest(rows, differences),
                rtt_spread=ms(max(known) - min(known)) if known else None,
                differences=[_difference_row(each) for each in differences],
            ),
            fresh_s=FRESH_S,
        )  # fmt: skip

    return await asked.remembered(call, (versions, call.now // (FRESH_S * NS_PER_S)), make)


def _compare_row(row: query.Compared) -> schema.CompareRow:
    summary = row.summary
    quantiles = summary.quantiles_ns if summary else {}
    measured = summary is not None and summary.measured > 0
    failed = summary is not None and summary.failed > 0
    return schema.CompareRow(
        host=row.target.host, name=row.target.name, category=row.target.category, group=query.group_of(row.endpoint),
        endpoint=row.endpoint.name, method=row.method, region=row.region,
        outcome="measured" if measured else "failed" if failed else "not_measured",
        p50_ms=ms(quantiles.get("p50")), low_ms=ms(summary.low_p50_ns) if summary else None,
        high_ms=ms(summary.high_p50_ns) if summary else None, p95_ms=ms(quantiles.get("p95")),
        p99_ms=ms(quantiles.get("p99")), loss=shapes.loss(summary.sent, summary.received) if summary else None,
        rounds=summary.rounds if summary else 0, received=summary.received if summary else 0,
        total_rtt=ms(quantiles.get("p50")),
    )  # fmt: skip


def _difference_row(pair: query.Difference) -> schema.DifferenceRow:
    return schema.DifferenceRow(
        host=pair.host, than=pair.than, region=pair.region, difference_ms=ms(pair.difference_ns),
        low_ms=ms(pair.low_ns), high_ms=ms(pair.high_ns), clear=pair.clear, comparable=pair.comparable,
    )  # fmt: skip


OPERATIONS = (
    Operation(
        id="getRankings", method="GET", path="/api/v1/rankings", tag="Rankings", handler=rankings,
        query=RankingsQuery, answer=schema.RankPage, table=True, summary="Targets by median RTT, with ties",
        description="The last hour from one vantage: `region`, else the one that measures most. Origins, APIs, "
        "edges, sites and resolvers are ranked each by themselves.",
        example="/api/v1/rankings?category=crypto&region=nyc",
    ),
    Operation(
        id="compareTargets", method="GET", path="/api/v1/compare", tag="Rankings", handler=compare,
        query=CompareQuery, answer=schema.ComparePage, table=True, feature=Feature.COMPARE,
        summary="Two to ten targets side by side, and whether they differ",
        example="/api/v1/compare?hosts=api.example.com,b.example.com&region=nyc",
    ),
)  # fmt: skip
