"""Claims of the registry, each with what light, the registry and this hub's measurements say of it."""

from typing import Annotated, Literal

import msgspec

from nettrace.api import asked
from nettrace.api.asked import Tabled
from nettrace.api.call import Call
from nettrace.api.given import Answer
from nettrace.api.operation import Operation
from nettrace.api.schema import Page
from nettrace.api.schema.placement import ClaimShape
from nettrace.hub.claims import audit_all
from nettrace.model.instant import NS_PER_S
from nettrace.store.rows import Window

FRESH_S = 60
_HOUR_NS = 3600 * NS_PER_S


class ClaimsQuery(Tabled, frozen=True, kw_only=True):
    """Which claims, and how far back measurements count."""

    finding: (
        Annotated[
            Literal["impossible", "contradicted", "implausible", "possible", "unknown_place"],
            msgspec.Meta(description="Only these."),
        ]
        | None
    ) = None
    venue: Annotated[str, msgspec.Meta(description="Only of this venue of the registry.")] | None = None
    hours: Annotated[float, msgspec.Meta(gt=0, le=24 * 400, description="How far back to look.")] = 48.0


async def claims(call: Call) -> Answer:
    """All of them, in the registry's order; made anew each minute."""
    return await asked.remembered(call, call.now // (FRESH_S * NS_PER_S), lambda: _claims(call))


async def _claims(call: Call) -> Answer:
    wanted: ClaimsQuery = call.query
    window = Window(call.now - round(wanted.hours * _HOUR_NS), call.now + 1)
    window = call.service.access.window(call.caller, window, call.now)
    seen = {target.host for target in call.snapshot.visible(call.caller.account)}
    found = await call.service.readers.run(lambda reader: audit_all(reader, window, seen.__contains__))
    rows = [
        msgspec.convert(each, ClaimShape)
        for each in found
        if wanted.finding in {None, each["finding"]} and wanted.venue in {None, each["venue"]}
    ]
    return Answer(content=Page[ClaimShape](data=rows), fresh_s=FRESH_S)


OPERATIONS = (
    Operation(
        id="listClaims", method="GET", path="/api/v1/claims", tag="Placement", handler=claims, query=ClaimsQuery,
        answer=Page[ClaimShape], table=True, summary="What was claimed of latency and location, and what became of it",
        description="Claims of documents, word for word, held against light, the registry and this hub's measurements.",
        example="/api/v1/claims?finding=impossible",
    ),
)  # fmt: skip
