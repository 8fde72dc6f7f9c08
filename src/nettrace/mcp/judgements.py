"""Tools that judge: claims against light, placements against costs, and SQL over what is stored."""

import asyncio
from collections.abc import Iterable
from itertools import islice
from typing import Annotated, Any

import msgspec

from nettrace.analysis.geo.claim import claim_document, judge, parse_claim
from nettrace.errors import Invalid
from nettrace.hub.facts import facts
from nettrace.hub.placements import Wanted
from nettrace.hub.solving import Job, solve
from nettrace.hub.whereabouts import Seen, whereabouts, whereabouts_document
from nettrace.mcp.plain import Document
from nettrace.mcp.stored import Stored
from nettrace.mcp.tool import Answer, Asked, Call, Host, Hours, Tool
from nettrace.model.instant import rfc3339
from nettrace.outside.places import find

SOLVER_S = 20.0
SQL_S = 10.0
SQL_MB = 256
_LONG_LIST = 50


class Claims(Asked, frozen=True, kw_only=True):
    """What is claimed."""

    claims: Annotated[
        list[Annotated[str, msgspec.Meta(max_length=300)]],
        msgspec.Meta(min_length=1, max_length=20, description="'EWR -> SIN 40ms'; place: IATA, city, aws:region, LAT,LON."),
    ]  # fmt: skip


async def check_claim(call: Call) -> Answer:
    """Claims against the speed of light."""
    texts: list[str] = call.asked.claims
    made = await asyncio.to_thread(_judged, texts)
    told = "; ".join(f"{each['verdict']} (light {each['floor_ms']} ms)" for each in made[:5])
    return Answer(said=told, rows=made)


def _judged(texts: list[str]) -> list[Document]:
    return [claim_document(judge(parse_claim(text.strip()), find)) for text in texts]


class Placement(Asked, frozen=True, kw_only=True):
    """A request for a placement."""

    request: Annotated[
        str,
        msgspec.Meta(
            max_length=100_000,
            description="TOML: [limits] budget_usd_month max_sites redundancy; [[venue]] name usd_per_ms_month max_ms; "
            "[[site]] name provider country usd_month; [[latency]] venue site p50_ms low_ms high_ms (else estimated)",
        ),
    ]


async def plan_placement(call: Call) -> Answer:
    """The least cost of sites and latency together, proven."""
    job = Job(request=call.asked.request, bare=True, wanted=Wanted(seconds=SOLVER_S))
    document = (await asyncio.to_thread(solve, job)).plan
    if document["status"] == "infeasible":
        return Answer(
            said=f"No plan is possible: {document['explanation']}",
            fields={**document, "conflict": document["conflict"]},
        )
    return Answer(
        said=f"{document['status']}: {', '.join(document['sites'])}; {document['objective_usd_month']} USD a month, "
        f"sites {document['cost_usd_month']}.",
        rows=document["assignments"], fields=document,
    )  # fmt: skip


class Locate(Asked, frozen=True, kw_only=True):
    """Which host."""

    host: Host
    hours: Hours = 48


async def locate(call: Call) -> Answer:
    """Where a host's edge and origin stand, by what vantages saw."""
    wanted: Locate = call.asked
    if not isinstance(call.hub, Stored):
        raise Invalid(
            "locating reads a hub's folder", "Start this server with --data DIR on the hub's machine"
        )
    seen = await call.hub.seen(call.caller, wanted.host, call.window(wanted.hours, None))
    document = await asyncio.to_thread(_located, wanted.host, seen)
    told = {
        part: document[part]["found"] if document[part] else "not measured" for part in ("edge", "origin")
    }
    return Answer(
        said=f"Edge: {told['edge']}; origin: {told['origin']}; seen from {document['vantages']} places.",
        fields=document,
    )


def _located(host: str, seen: list[Seen]) -> Document:
    return whereabouts_document(whereabouts(host, seen, facts(), find))


class Sql(Asked, frozen=True, kw_only=True):
    """A question in SQL."""

    sql: Annotated[str, msgspec.Meta(max_length=20_000)]
    limit: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 50


async def query(call: Call) -> Answer:
    """Rows of a read-only statement, so many as fit."""
    wanted: Sql = call.asked
    if not isinstance(call.hub, Stored):
        raise Invalid("SQL reads a hub's folder", "Start this server with --data DIR on the hub's machine")
    columns, rows, more = await asyncio.to_thread(_run, call.hub, wanted)
    said = f"{len(rows)} rows of {len(columns)} columns." + (
        " There are more: aggregate, or raise limit." if more else ""
    )
    return Answer(said=said, fields={"columns": columns, "rows": rows, "more": int(more), "truncated": more})


def _run(hub: Stored, wanted: Sql) -> tuple[list[str], list[list[Any]], bool]:
    """Column names, rows, and whether there are more than the limit; DuckDB is loaded only here."""
    from nettrace.hub.sql import Query  # noqa: PLC0415 - DuckDB is slow to load

    opened = Query(hub.data.folder, memory_mb=SQL_MB, timeout_s=SQL_S)
    try:
        columns: list[str] = []
        rows: list[list[Any]] = []
        answer: Any = opened.run(wanted.sql)
        for batch in answer:
            columns = list(batch.schema.names)
            rows += islice(_rows(batch), wanted.limit + 1 - len(rows))
            if len(rows) > wanted.limit:
                break
        answer.close()  # a generator: it lets go of the store
        return columns, rows[: wanted.limit], len(rows) > wanted.limit
    finally:
        opened.close()


def _rows(batch: Any) -> Iterable[list[Any]]:
    columns = [_values(batch.column(place)) for place in range(batch.num_columns)]
    return (list(row) for row in zip(*columns, strict=True))


def _values(column: Any) -> list[Any]:
    """A column as JSON has it: times as text, long lists cut, anything without a JSON form as its text."""
    from nettrace.hub.sql import pa  # noqa: PLC0415

    if pa.types.is_timestamp(column.type):
        ns = column.cast(pa.timestamp("ns", column.type.tz)).cast(pa.int64()).to_pylist()
        return [None if at is None else _time(at) for at in ns]
    return [_value(each) for each in column.to_pylist()]


def _time(at: int) -> str:
    try:
        return rfc3339(at)
    except (ValueError, OverflowError):
        return str(at)


def _value(value: Any) -> Any:
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, int):
        return value if abs(value) < 2**63 else str(value)
    if isinstance(value, float):
        return value if value - value == 0 else None
    if isinstance(value, list):
        every: list[Any] = value  # pyright: ignore[reportUnknownVariableType] - a JSON edge
        return [_value(each) for each in every[:_LONG_LIST]]
    return str(value)


TOOLS = (
    Tool(
        name="check_claim", says="Is a latency claim physically possible? Needs no hub.", run=check_claim, asks=Claims, needs="",
        row=("claim", "verdict", "claimed_ms", "floor_ms", "fibre_ms", "distance_km", "direction"),
    ),
    Tool(
        name="plan_placement", says="Which sites to rent: proven least cost. Needs no hub.", run=plan_placement,
        asks=Placement, needs="",
        fields={
            "status": "string", "objective_usd_month": "", "bound_usd_month": "", "gap": "", "cost_usd_month": "",
            "sites": "", "conflict": "",
        },
        row=("venue", "site", "backup", "p50_ms", "low_ms", "high_ms", "evidence"),
    ),
    Tool(
        name="locate", alias="where", says="Where a target's edge and origin stand, by light.",
        run=locate, asks=Locate, needs="folder", operator=True,
        fields={"vantages": "integer", "edge": "", "origin": "", "behind_ms": "", "relayed": "", "venues": "array"},
    ),
    Tool(
        name="query", says="One read-only SQL statement (DuckDB) over rounds, rollups, targets, vantages, events, gaps; "
        "DESCRIBE shows columns.",
        run=query, asks=Sql, needs="folder", operator=True,
        fields={"columns": "array", "rows": "array", "more": "integer", "truncated": "boolean"},
    ),
)  # fmt: skip
