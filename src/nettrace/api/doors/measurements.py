"""On-demand measurements: asked for now, answered as the vantages report."""

from typing import Annotated, Any

import msgspec

from nettrace.api import asked, schema, shapes
from nettrace.api.asked import Paged
from nettrace.api.call import Call
from nettrace.api.given import Answer
from nettrace.api.idempotent import identifier
from nettrace.api.operation import NoQuery, Operation
from nettrace.api.problems import BadRequest, Fault
from nettrace.errors import IdempotencyMismatch, NotFound
from nettrace.hub.link import HubWriter
from nettrace.hub.request import Wish, cost_of, request_of
from nettrace.model.account import Feature, Scope
from nettrace.model.instant import Instant
from nettrace.store.rows import MeasurementRequest, MeasurementState

LISTED = 1000
_OPEN = {MeasurementState.QUEUED, MeasurementState.RUNNING}


class MeasureQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whether it is meant."""

    dry_run: (
        Annotated[str, msgspec.Meta(description="`1`: say what it would cost, and do nothing.")] | None
    ) = None


async def measure(call: Call) -> Answer:
    """Queue a measurement; 202 with where its results will be."""
    wanted: schema.MeasurementAsk = call.body
    wish = Wish(
        target=wanted.target, regions=None if wanted.regions is None else tuple(wanted.regions), endpoint=wanted.endpoint,
        method=wanted.method, probes=wanted.probes, id=identifier(call, "req_"),
    )  # fmt: skip
    request = request_of(call.snapshot, call.caller.account, wish, call.now)
    if meant_not(call.query.dry_run):
        return Answer(content=_preview(request), fresh_s=None)
    if "idempotency-key" in call.headers:
        known = await _find(call, request.id)
        if known is not None:
            return Answer(
                content=await _shape(call, _same(known, request)), status=202, headers=_where(known.id)
            )
    await call.service.writer.call(HubWriter.put_request, request)
    return Answer(
        content=shapes.measurement_shape(request, []), status=202, headers=_where(request.id), fresh_s=None
    )


def meant_not(text: str | None) -> bool:
    """Whether `dry_run` was said: `1` or `true`.

    Raises:
        BadRequest: it was said in another way; guessing would cost money.
    """
    if text in {None, "0", "false"}:
        return False
    if text in {"1", "true"}:
        return True
    raise BadRequest((Fault(pointer="#/query/dry_run", detail="dry_run is 1 or 0"),))


def _preview(request: MeasurementRequest) -> schema.CostPreview:
    cost = cost_of(request)
    return schema.CostPreview(
        calls=cost.calls, probes=cost.probes, packets=cost.packets, bytes=None, rows=cost.rows, usd=cost.usd,
        eta_s=cost.eta_s,
    )  # fmt: skip


def _same(known: MeasurementRequest, request: MeasurementRequest) -> MeasurementRequest:
    """The request that was made first.

    Raises:
        IdempotencyMismatch: it was another one.
    """
    for name in ("target", "endpoint", "method", "wanted", "probes"):
        if getattr(known, name) != getattr(request, name):
            raise IdempotencyMismatch(
                f"this Idempotency-Key came with another {name} before", "Use a new key for a new request"
            )
    return known


def _where(identity: str) -> dict[str, str]:
    return {"Location": f"/api/v1/measurements/{identity}"}


async def _find(call: Call, identity: str) -> MeasurementRequest | None:
    account = call.caller.account
    found = await call.service.readers.run(lambda reader: reader.requests(account=account, limit=LISTED))
    return next((each for each in found if each.id == identity), None)


async def _shape(call: Call, request: MeasurementRequest) -> schema.MeasurementShape:
    results = await call.service.readers.run(lambda reader: reader.request_rounds(request.id))
    return shapes.measurement_shape(request, results)


async def measurement(call: Call) -> Answer:
    """A measurement with what it has brought so far."""
    request = await _find(call, call.path["id"])
    if request is None:
        raise NotFound(f"no measurement '{call.path['id'][:60]}'", "See /api/v1/measurements")
    return Answer(content=await _shape(call, request), fresh_s=1 if request.state in _OPEN else 60)


async def measurements(call: Call) -> Answer:
    """The account's measurements, newest first."""
    wanted: Paged = call.query
    after = asked.position(call, tuple[Instant, str])
    account = call.caller.account
    found: list[MeasurementRequest] = await call.service.readers.run(
        lambda reader: reader.requests(account=account, limit=LISTED)
    )
    rest = [each for each in found if after is None or (each.created_at, each.id) < after]
    rest.sort(key=lambda each: (each.created_at, each.id), reverse=True)
    page, more = rest[: wanted.limit], len(rest) > wanted.limit
    cursor = asked.sealed(call, (page[-1].created_at, page[-1].id)) if more else None
    rows: Any = [shapes.measurement_row(each) for each in page]
    return Answer(
        content=schema.Page[schema.MeasurementRow](data=rows, has_more=more, next_cursor=cursor), next_cursor=cursor,
        fresh_s=1,
    )  # fmt: skip


OPERATIONS = (
    Operation(
        id="createMeasurement", method="POST", path="/api/v1/measurements", tag="Measurements", handler=measure,
        query=MeasureQuery, body=schema.MeasurementAsk, answer=schema.MeasurementShape, status=202,
        feature=Feature.MEASURE, scope=Scope.MEASURE, summary="Measure a target now",
        description="202 with `Location`; `dry_run=1` answers 200 with a cost preview. Targets are the catalogue's "
        "and your own: nobody's machine is measured because a stranger typed its name.",
        example="/api/v1/measurements", example_body={"target": "api.example.com", "regions": ["nyc"], "probes": 3},
    ),
    Operation(
        id="getMeasurement", method="GET", path="/api/v1/measurements/{id}", tag="Measurements", handler=measurement,
        query=NoQuery, answer=schema.MeasurementShape, feature=Feature.MEASURE,
        summary="A measurement and its results so far", example="/api/v1/measurements/{measurement}",
    ),
    Operation(
        id="listMeasurements", method="GET", path="/api/v1/measurements", tag="Measurements", handler=measurements,
        query=Paged, answer=schema.Page[schema.MeasurementRow], table=True, feature=Feature.MEASURE,
        summary="Your measurements, newest first", example="/api/v1/measurements",
    ),
)  # fmt: skip
