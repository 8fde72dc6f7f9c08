"""An account's own targets: watched by the hub's nodes, seen by nobody else."""

from typing import Any

import msgspec

from nettrace.api import schema
from nettrace.api.asked import Tabled
from nettrace.api.call import Call
from nettrace.api.doors.targets import detail
from nettrace.api.given import Answer
from nettrace.api.idempotent import identifier
from nettrace.api.operation import NoQuery, Operation
from nettrace.errors import IdempotencyMismatch, NotAllowed
from nettrace.hub import custom
from nettrace.hub.allotment import paused
from nettrace.hub.assignment import orders
from nettrace.hub.link import HubWriter
from nettrace.model.account import Feature, Scope
from nettrace.model.target import Lifecycle, Target
from nettrace.store.port import StoreReader
from nettrace.store.rows import Audit


async def own_targets(call: Call) -> Answer:
    """The account's own targets, and which of them rest."""
    whose, tiers = call.caller.account, call.service.access.tiers

    def read(reader: StoreReader) -> tuple[list[Target], dict[str, str]]:
        known = reader.targets()
        return known, paused(reader, tiers, known, call.now, whose)

    known, resting = await call.service.readers.run(read)
    rows: Any = [detail(each, resting.get(each.host)) for each in custom.own_targets(known, call.caller)]
    return Answer(content=schema.Page[schema.TargetDetail](data=rows), fresh_s=None)


async def add(call: Call) -> Answer:
    """Watch a host for this account."""
    wanted: schema.CustomTargetAsk = call.body
    known = await _known(call)
    once = identifier(call, "")
    wish = custom.Wish(
        host=wanted.host, name=wanted.name, category=wanted.category, url=wanted.url, port=wanted.port,
        methods=tuple(wanted.methods), once=once,
    )  # fmt: skip
    made = custom.own_target(wish, call.caller.account, known)
    held = custom.own_targets(known, call.caller)
    if once is not None and any(f"once:{once}" in each.tags and each.host != made.host for each in held):
        raise IdempotencyMismatch(
            "this Idempotency-Key came with another host before", "Use a new key for a new target"
        )
    if all(each.host != made.host for each in held):
        await _watch(call, made, len(held))
    return Answer(
        content=detail(made), status=201, headers={"Location": f"/api/v1/targets/{made.host}"}, fresh_s=None
    )


async def _watch(call: Call, made: Target, held: int) -> None:
    """Put the target before the writer, and take it back when another request has taken the last room meanwhile."""
    access = call.service.access
    access.allot(call.caller, held + 1)
    host = made.endpoints[0].host
    addresses = custom.literal(host) or await call.service.resolve(host)
    settings = await call.service.readers.run(lambda reader: reader.settings())
    custom.check_addresses(host, addresses, orders(settings).open_networks)
    await call.service.writer.call(HubWriter.put_targets, [made], call.now)
    now_held = len(custom.own_targets(await _known(call), call.caller))
    try:
        access.allot(call.caller, now_held)
    except NotAllowed:
        await call.service.writer.call(HubWriter.drop_target, made.host, call.now)
        raise
    await _note(call, "target.add", made.host)


async def remove(call: Call) -> Answer:
    """Stop watching; what was measured stays readable."""
    target = custom.found(await _known(call), call.caller, call.path["host"])
    if target.lifecycle is not Lifecycle.RETIRED:
        await call.service.writer.call(HubWriter.drop_target, target.host, call.now)
        await _note(call, "target.remove", target.host)
    retired = msgspec.structs.replace(target, lifecycle=Lifecycle.RETIRED)
    return Answer(content=detail(retired), fresh_s=None)


async def _known(call: Call) -> list[Target]:
    return await call.service.readers.run(lambda reader: reader.targets())


async def _note(call: Call, action: str, subject: str) -> None:
    actor = call.caller.key or call.caller.account
    note = Audit(at=call.now, actor=actor, action=action, subject=subject, outcome="done")
    await call.service.writer.call(HubWriter.put_audit, note)


OPERATIONS = (
    Operation(
        id="listCustomTargets", method="GET", path="/api/v1/targets/custom", tag="Targets", handler=own_targets,
        query=Tabled, answer=schema.Page[schema.TargetDetail], conditional=False,
        summary="Your own targets", example="/api/v1/targets/custom",
        description="`paused` says why nobody measures one: it is beyond what your tier holds. It is kept, and goes on when "
        "the tier holds it again or another is removed; the first by name go on.",
    ),
    Operation(
        id="addCustomTarget", method="POST", path="/api/v1/targets/custom", tag="Targets", handler=add, query=NoQuery,
        body=schema.CustomTargetAsk, answer=schema.TargetDetail, status=201, feature=Feature.CUSTOM_TARGETS,
        scope=Scope.TARGETS, summary="Have a host watched for your account alone",
        description="Its name is `HOST~MARK`; paths take the plain host too. Nodes hear of it within seconds. Private, "
        "loopback and metadata addresses are refused unless the operator opened them, at every round anew.",
        example="/api/v1/targets/custom", example_body={"host": "fix.example.net", "name": "Our gateway", "port": 9880},
    ),
    Operation(
        id="removeCustomTarget", method="DELETE", path="/api/v1/targets/custom/{host}", tag="Targets", handler=remove,
        query=NoQuery, answer=schema.TargetDetail, scope=Scope.TARGETS,
        summary="Stop watching one of your own", example="/api/v1/targets/custom/{custom}",
    ),
)  # fmt: skip
