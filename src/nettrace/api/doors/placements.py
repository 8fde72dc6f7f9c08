"""Placements: a request in, the plan with its proof out; what cannot be is a problem that names the conflict."""

import msgspec

from nettrace.api.call import Call
from nettrace.api.given import Answer
from nettrace.api.operation import NoQuery, Operation
from nettrace.api.problems import BadRequest, Fault
from nettrace.api.schema.placement import PlacementAsk, PlacementShape
from nettrace.errors import Invalid
from nettrace.hub.placements import Wanted, refuse
from nettrace.hub.solving import PRICE, SOLVER_S, Job, Solved, measured_by
from nettrace.store.rows import Window

MOST_DRAWS = 2000
_HOUR_NS = 3_600_000_000_000


async def place(call: Call) -> Answer:
    """The plan, solved by a process of its own."""
    ask: PlacementAsk = call.body
    if ask.chance is not None and not 1 <= ask.chance <= MOST_DRAWS:
        raise BadRequest((Fault(pointer="#/body/chance", detail=f"1 to {MOST_DRAWS} draws"),))
    if ask.hours is not None and not 0 < ask.hours <= 24 * 400:
        raise BadRequest((Fault(pointer="#/body/hours", detail="more than 0 and at most 9600 hours"),))
    wanted = Wanted(
        pareto=ask.pareto, sensitivity=ask.sensitivity, chance=ask.chance, seed=ask.seed, seconds=SOLVER_S,
        generous=ask.document,
    )  # fmt: skip
    job = Job(request=ask.request, wanted=wanted, estimates=ask.estimates, bare=not ask.document)
    if ask.hours is not None:
        asked = Window(call.now - round(ask.hours * _HOUR_NS), call.now)
        window = call.service.access.window(call.caller, asked, call.now)
        seen = [target.host for target in call.snapshot.visible(call.caller.account)]
        job = measured_by(job, call.service.data, seen, window)
    return Answer(content=await _solved(call, job), fresh_s=None)


async def _solved(call: Call, job: Job) -> bytes:
    try:
        solved: Solved = await call.service.solvers.run(job)
    except Invalid as error:
        raise BadRequest((Fault(pointer="#/body/request", detail=error.detail),), error.hint) from error
    refuse(solved.plan, solved.request)
    return msgspec.json.encode(solved.plan)


_EXAMPLE = {
    "request": {
        "limits": {"budget_usd_month": 120},
        "venue": [{"name": "a", "usd_per_ms_month": 4}, {"name": "b", "usd_per_ms_month": 1}],
        "site": [{"name": "east", "usd_month": 60}, {"name": "west", "usd_month": 40}],
        "latency": [
            {"venue": "a", "site": "east", "p50_ms": 1.2}, {"venue": "a", "site": "west", "p50_ms": 61},
            {"venue": "b", "site": "east", "p50_ms": 70}, {"venue": "b", "site": "west", "p50_ms": 2.5},
        ],
    }
}  # fmt: skip

OPERATIONS = (
    Operation(
        id="createPlacement", method="POST", path="/api/v1/placements", tag="Placement", handler=place, query=NoQuery,
        body=PlacementAsk, answer=PlacementShape, cost=PRICE, summary="Where servers should stand, with the proof",
        description="The request of `nettrace plan`, as its TOML text or as JSON; the answer is what `nettrace plan -o json` "
        "says. 422 `infeasible` names a smallest set of requirements that cannot hold together, each with a pointer into "
        "the request. Nothing is stored. Takes seconds, a minute at most.",
        example="/api/v1/placements", example_body=_EXAMPLE,
    ),
)  # fmt: skip
