"""What the hub says of itself: where things are, whether it lives, which version it is."""

import asyncio
import platform

from nettrace import __version__
from nettrace.api import schema, shapes
from nettrace.api.call import Call
from nettrace.api.given import Answer
from nettrace.api.operation import NoQuery, Operation
from nettrace.errors import NetTraceError
from nettrace.hub.link import HubWriter, WriterStatus
from nettrace.model.instant import NS_PER_S
from nettrace.wire.frames import PROTOCOL

PATIENCE_S = 2.0
WRITER_LAG_S, UPKEEP_LAG_S = 5.0, 3600.0
"""From here on a lag is worth a warning."""
SEED_ENDPOINTS = {
    "targets": "GET /api/v1/targets",
    "latency": "GET /api/v1/latency/{host}",
    "history": "GET /api/v1/latency/{host}/history",
    "routes": "GET /api/v1/routes/{host}",
    "route_changes": "GET /api/v1/routes/{host}/changes",
    "rankings": "GET /api/v1/rankings",
    "compare": "GET /api/v1/compare?hosts=a,b",
    "export": "GET /api/v1/export/{host}",
    "signals": "GET /api/v1/signals",
    "stream": "GET /api/v1/stream",
    "vantages": "GET /api/v1/vantages",
    "rounds": "GET /api/v1/rounds",
    "events": "GET /api/v1/events",
    "measurements": "POST /api/v1/measurements",
    "placements": "POST /api/v1/placements",
    "claims": "GET /api/v1/claims",
    "exports": "POST /api/v1/exports",
    "keys": "GET /api/v1/keys",
    "usage": "GET /api/v1/usage",
    "limits": "GET /api/v1/limits",
    "tiers": "GET /api/v1/tiers",
}


async def index(call: Call) -> Answer:
    """The way in."""
    return Answer(
        content=schema.Index(
            api="NetTrace", version=__version__, auth="Authorization: Bearer nt_live_...",
            endpoints=SEED_ENDPOINTS, tiers=_tiers(call), documentation="/docs",
        ),
        fresh_s=60,
    )  # fmt: skip


def _tiers(call: Call) -> list[schema.TierRow]:
    return [shapes.tier_row(tier) for tier in call.service.tiers.all() if tier.name != "test"]


async def tiers(call: Call) -> Answer:
    """What is on offer."""
    return Answer(content=schema.Page[schema.TierRow](data=_tiers(call)), fresh_s=60)


async def livez(call: Call) -> Answer:
    """This process answers."""
    del call
    return Answer(content=schema.Liveness(status="ok"), fresh_s=None)


async def readyz(call: Call) -> Answer:
    """Store, writer, queues and ages; 503 while one of the first two does not answer."""
    service, snapshot = call.service, call.snapshot
    age_s = (call.now - service.newest.looked_at) / NS_PER_S
    store = "ok" if service.problem is None and age_s < PATIENCE_S else service.problem or "slow"
    status: WriterStatus | None = None
    try:
        async with asyncio.timeout(PATIENCE_S):
            status = await service.writer.call(HubWriter.status)
        writer = "ok"
    except TimeoutError:
        writer = "does not answer"
    except NetTraceError as error:
        writer = str(error)
    ready = store == writer == "ok"
    content = schema.Readiness(
        status="ok" if ready else "not ready", store=store, writer=writer, snapshot_age_s=round(age_s, 3),
        regions=[
            schema.RegionAge(region=region, up=not snapshot.down(region), newest_round_age_s=age)
            for region, age in snapshot.ages(call.now).items()
        ],
        why=[f"{part}: {words}" for part, words in (("store", store), ("writer", writer)) if words != "ok"],
        warnings=_warnings(status, [code for code in snapshot.ages(call.now) if snapshot.down(code)]),
    )  # fmt: skip
    return Answer(content=content, status=200 if ready else 503, fresh_s=None)


def _warnings(status: WriterStatus | None, silent: list[str]) -> list[str]:
    """What lags, in words."""
    said = [f"vantage {code}: not heard of for three minutes" for code in silent]
    if status is None:
        return said
    if status.oldest_s > WRITER_LAG_S:
        said.append(f"writer queue: {status.waiting} commands wait, the oldest for {status.oldest_s:.0f} s")
    if status.upkeep_problem:
        said.append(f"upkeep: {status.upkeep_problem}")
    elif status.upkeep_s > UPKEEP_LAG_S:
        said.append(f"upkeep: sealing, rollups and retention are {status.upkeep_s:.0f} s behind")
    return said


async def version(call: Call) -> Answer:
    """Which program this is."""
    del call
    return Answer(
        content=schema.VersionShape(
            version=__version__, api="v1", protocol=PROTOCOL, python=platform.python_version()
        ),
        fresh_s=60,
    )


OPERATIONS = (
    Operation(
        id="index", method="GET", path="/api/v1/", tag="Hub", handler=index, query=NoQuery, answer=schema.Index,
        open=True, summary="Where everything is", example="/api/v1/",
    ),
    Operation(
        id="listTiers", method="GET", path="/api/v1/tiers", tag="Account", handler=tiers, query=NoQuery,
        answer=schema.Page[schema.TierRow], open=True, summary="What each tier holds", example="/api/v1/tiers",
    ),
    Operation(
        id="livez", method="GET", path="/livez", tag="Hub", handler=livez, query=NoQuery, answer=schema.Liveness,
        open=True, summary="Whether the process answers", example="/livez", conditional=False,
    ),
    Operation(
        id="readyz", method="GET", path="/readyz", tag="Hub", handler=readyz, query=NoQuery, answer=schema.Readiness,
        open=True, summary="Whether requests can be answered", example="/readyz", conditional=False,
    ),
    Operation(
        id="version", method="GET", path="/version", tag="Hub", handler=version, query=NoQuery,
        answer=schema.VersionShape, open=True, summary="Which program this is", example="/version",
    ),
)  # fmt: skip
