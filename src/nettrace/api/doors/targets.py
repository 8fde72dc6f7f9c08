"""Targets and vantages: what is watched, from where."""

from difflib import get_close_matches
from typing import Annotated

import msgspec

from nettrace.api import schema, shapes
from nettrace.api.asked import OneRegion, Paged, Tabled, position, regions_in, sealed, target_in, until_next
from nettrace.api.call import Call
from nettrace.api.given import Answer, Format, squeezed, tag_of
from nettrace.api.operation import NoQuery, Operation
from nettrace.errors import Invalid, NotFound
from nettrace.hub import query
from nettrace.hub.latest import Snapshot
from nettrace.model.target import Lifecycle, Target

_encode = msgspec.json.Encoder().encode
EVERY_S = 5


class TargetsQuery(Paged, frozen=True, kw_only=True):
    """Which targets."""

    category: Annotated[str, msgspec.Meta(description="Only this category.")] | None = None
    region: OneRegion | None = None
    lifecycle: Annotated[Lifecycle, msgspec.Meta(description="Only these.")] | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 500


async def targets(call: Call) -> Answer:
    """The list, from bytes that were encoded when a target last changed."""
    asked: TargetsQuery = call.query
    snapshot = call.snapshot
    if asked.region is not None:
        regions_in(snapshot, (asked.region,))
    chosen = _chosen(snapshot, asked, call.caller.account)
    after = position(call, str)
    rest = chosen if after is None else [target for target in chosen if target.host > after]
    page, more = rest[: asked.limit], len(rest) > asked.limit
    cursor = sealed(call, page[-1].host) if more else None
    if call.form is not Format.JSON:
        rows = [shapes.target_row(snapshot, target, asked.region) for target in page]
        return Answer(
            content=schema.TargetPage(data=rows, count=len(rows)),
            next_cursor=cursor,
            fresh_s=_fresh(snapshot),
        )
    owners = tuple(sorted({target.account or "" for target in page}))
    key = ("targets", call.raw_query, owners, cursor)

    def whole() -> tuple[bytes, str]:
        body = _joined(snapshot, page, asked.region, cursor)
        return body, tag_of(body)

    body, tag = snapshot.of_all(key, whole)
    return Answer(
        content=body, tag=tag, next_cursor=cursor, fresh_s=_fresh(snapshot),
        squeeze=lambda: snapshot.of_all(("gzip", key), lambda: squeezed(body)),
    )  # fmt: skip


def _chosen(snapshot: Snapshot, asked: TargetsQuery, account: str) -> list[Target]:
    every = snapshot.visible(account)
    if asked.category is not None:
        known = {target.category for target in every}
        if known and asked.category not in known:
            raise Invalid(f"no category '{asked.category[:50]}'", f"There are: {', '.join(sorted(known))}")
    return [
        target
        for target in every
        if asked.category in {None, target.category} and asked.lifecycle in {None, target.lifecycle}
    ]


def _joined(snapshot: Snapshot, page: list[Target], region: str | None, cursor: str | None) -> bytes:
    rows = [
        snapshot.of_target(target.host, ("row", region), lambda target=target: _row(snapshot, target, region))
        for target in page
    ]
    return b'{"data":[%b],"has_more":%b,"next_cursor":%b,"count":%d}' % (
        b",".join(rows), _encode(cursor is not None), _encode(cursor), len(rows),
    )  # fmt: skip


def _row(snapshot: Snapshot, target: Target, region: str | None) -> bytes:
    return _encode(shapes.target_row(snapshot, target, region))


def _fresh(snapshot: Snapshot) -> int:
    """Seconds to the next round: known from all intervals, worked out once for a snapshot."""
    return snapshot.of_all(
        "fresh", lambda: min(EVERY_S, until_next(_every(snapshot), snapshot.at)) if snapshot.newest else 1
    )


def _every(snapshot: Snapshot) -> list[query.Latest]:
    return [row for rows in snapshot.newest.values() for row in rows.values()]


async def target(call: Call) -> Answer:
    """One target as the catalogue has it."""
    return Answer(content=detail(target_in(call)), fresh_s=60)


def detail(found: Target, paused: str | None = None) -> schema.TargetDetail:
    """A target as the catalogue, or its owner, has it."""
    return schema.TargetDetail(
        host=found.host, name=found.name, category=found.category, lifecycle=found.lifecycle,
        replaced_by=found.replaced_by, note=found.note, source=found.source,
        tags=[each for each in found.tags if not each.startswith("once:")], custom=found.account is not None,
        endpoints=[shapes.endpoint_shape(each) for each in found.endpoints], paused=paused,
    )  # fmt: skip


async def vantages(call: Call) -> Answer:
    """All vantages: our own, then other people's."""
    everybody = (*call.snapshot.vantages.values(), *call.snapshot.third_parties.values())
    rows = [shapes.vantage_row(call.snapshot, each) for each in everybody]
    return Answer(content=schema.Page[schema.VantageRow](data=rows), fresh_s=EVERY_S)


async def vantage(call: Call) -> Answer:
    """One vantage."""
    code = call.path["code"]
    found = call.snapshot.vantages.get(code) or call.snapshot.third_parties.get(code)
    if found is None:
        close = get_close_matches(call.path["code"], call.snapshot.vantages, n=1)
        hint = f"Did you mean '{close[0]}'?" if close else "See /api/v1/vantages"
        raise NotFound(f"no vantage '{call.path['code'][:50]}'", hint)
    return Answer(content=shapes.vantage_row(call.snapshot, found), fresh_s=EVERY_S)


OPERATIONS = (
    Operation(
        id="listTargets", method="GET", path="/api/v1/targets", tag="Targets", handler=targets, query=TargetsQuery,
        answer=schema.TargetPage, table=True, summary="All targets with their newest round",
        description="Of each target the first endpoint, from `region`, else from the nearest vantage that measured.",
        example="/api/v1/targets?category=crypto",
    ),
    Operation(
        id="getTarget", method="GET", path="/api/v1/targets/{host}", tag="Targets", handler=target, query=NoQuery,
        answer=schema.TargetDetail, summary="One target and its endpoints", example="/api/v1/targets/api.example.com",
    ),
    Operation(
        id="listVantages", method="GET", path="/api/v1/vantages", tag="Targets", handler=vantages, query=Tabled,
        answer=schema.Page[schema.VantageRow], table=True, summary="The places we measure from, and how they are",
        example="/api/v1/vantages",
    ),
    Operation(
        id="getVantage", method="GET", path="/api/v1/vantages/{code}", tag="Targets", handler=vantage, query=NoQuery,
        answer=schema.VantageRow, summary="One vantage", example="/api/v1/vantages/nyc",
    ),
)  # fmt: skip
