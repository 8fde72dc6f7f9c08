"""The caller's own affairs: keys, usage, limits."""

from nettrace.api import asked, schema, shapes
from nettrace.api.asked import Tabled
from nettrace.api.call import Call
from nettrace.api.given import Answer
from nettrace.api.idempotent import identifier
from nettrace.api.operation import NoQuery, Operation
from nettrace.hub import keyring
from nettrace.hub.link import HubWriter
from nettrace.model.account import Scope
from nettrace.model.instant import rfc3339

_DAY_S = 86_400


async def limits(call: Call) -> Answer:
    """What this key may do."""
    caller, tier = call.caller, call.caller.tier
    told = call.service.access.usage(caller, call.now)
    return Answer(
        content=schema.LimitsShape(
            tier=tier.name, account=caller.account, key=caller.key, scopes=sorted(caller.scopes),
            features=sorted(tier.features), history_days=tier.history_days, streams=tier.streams,
            custom_targets=tier.custom_targets,
            policies=[
                schema.PolicyShape(
                    name=each.name, limit=each.limit, used=each.used, remaining=each.remaining,
                    window_s=each.window_s, reset_s=each.reset_s,
                )
                for each in told.policies
            ],
        ),
        fresh_s=None,
    )  # fmt: skip


async def usage(call: Call) -> Answer:
    """Calls of this account today."""
    caller = call.caller
    policies = call.service.access.usage(caller, call.now).policies
    daily = next((each for each in policies if each.window_s == _DAY_S), None)
    calls = daily.used if daily is not None else None
    return Answer(
        content=schema.UsageShape(
            account=caller.account,
            day=rfc3339(call.now)[:10],
            calls=calls,
            limit=daily.limit if daily else None,
        ),
        fresh_s=None,
    )


async def list_keys(call: Call) -> Answer:
    """The account's keys, revoked ones too; never the secrets."""
    account = call.caller.account
    found = await call.service.readers.run(lambda reader: reader.keys(account))
    rows = [shapes.key_shape(key) for key in sorted(found, key=lambda key: (key.created_at, key.id))]
    return Answer(content=schema.Page[schema.KeyShape](data=rows), fresh_s=None)


async def create_key(call: Call) -> Answer:
    """A new key of the same account, tier and no wider scopes."""
    wanted: schema.KeyAsk = call.body
    account = keyring.keeper(call.caller).account
    ask = keyring.Ask(
        name=wanted.name, scopes=tuple(wanted.scopes), live=not wanted.test, id=identifier(call, "key_"),
        expires_at=None if wanted.expires_at is None else asked.instant(wanted.expires_at, "expires_at", "body"),
    )  # fmt: skip
    held = await call.service.readers.run(lambda reader: reader.keys(account))
    made = keyring.grant(call.caller, held, ask, call.now)
    await call.service.writer.call(HubWriter.put_key, made.key)
    await call.service.writer.call(HubWriter.put_audit, made.note)
    return Answer(
        content=shapes.key_shape(made.key, made.secret), status=201, fresh_s=None,
        headers={"Location": f"/api/v1/keys/{made.key.id}"},
    )  # fmt: skip


async def revoke_key(call: Call) -> Answer:
    """Revoke a key of the account; it is dead at once, everywhere."""
    account = call.caller.account
    held = await call.service.readers.run(lambda reader: reader.keys(account))
    done = keyring.withdraw(call.caller, held, call.path["id"], call.now)
    if done.note is not None:
        await call.service.writer.call(HubWriter.put_key, done.key)
        await call.service.writer.call(HubWriter.put_audit, done.note)
    return Answer(content=shapes.key_shape(done.key), fresh_s=None)


OPERATIONS = (
    Operation(
        id="getLimits", method="GET", path="/api/v1/limits", tag="Account", handler=limits, query=NoQuery,
        answer=schema.LimitsShape, scope=None, cost=0, summary="What this key may do; free", example="/api/v1/limits",
        conditional=False,
    ),
    Operation(
        id="getUsage", method="GET", path="/api/v1/usage", tag="Account", handler=usage, query=NoQuery,
        answer=schema.UsageShape, scope=None, cost=0, summary="Calls today; free", example="/api/v1/usage",
        conditional=False,
    ),
    Operation(
        id="listKeys", method="GET", path="/api/v1/keys", tag="Account", handler=list_keys, query=Tabled,
        answer=schema.Page[schema.KeyShape], scope=Scope.KEYS, summary="This account's keys, without their secrets",
        example="/api/v1/keys", conditional=False,
    ),
    Operation(
        id="createKey", method="POST", path="/api/v1/keys", tag="Account", handler=create_key, query=NoQuery,
        body=schema.KeyAsk, answer=schema.KeyShape, scope=Scope.KEYS, status=201, summary="A new key, shown once",
        example="/api/v1/keys", example_body={"name": "ci", "scopes": ["read"]},
    ),
    Operation(
        id="revokeKey", method="DELETE", path="/api/v1/keys/{id}", tag="Account", handler=revoke_key, query=NoQuery,
        answer=schema.KeyShape, scope=Scope.KEYS, summary="Revoke a key, at once and everywhere",
        example="/api/v1/keys/{key}",
    ),
)  # fmt: skip
