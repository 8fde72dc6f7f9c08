"""The caller's own affairs: keys, usage, limits."""

import msgspec

from nettrace.api import asked, schema, shapes
from nettrace.api.asked import Tabled
from nettrace.api.call import Call
from nettrace.api.given import Answer
from nettrace.api.idempotent import identifier
from nettrace.api.operation import NoQuery, Operation
from nettrace.api.problems import BadRequest, Fault
from nettrace.errors import Conflict, Invalid, NotAllowed, NotFound
from nettrace.hub import keys as secrets_of_keys
from nettrace.hub.link import HubWriter
from nettrace.model.account import Key, Scope
from nettrace.model.instant import rfc3339
from nettrace.store.rows import Audit

MOST_KEYS = 100
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
    caller = call.caller
    if caller.key is None:
        raise NotAllowed(
            "a single-user hub's first key is made on its own machine",
            "nettrace keys create --tier enterprise_pro; from then on every request needs a key",
        )
    scopes = _scopes(call, wanted)
    expires = None if wanted.expires_at is None else asked.instant(wanted.expires_at, "expires_at")
    if expires is not None and expires <= call.now:
        raise BadRequest((Fault(pointer="#/body/expires_at", detail="expires_at lies in the past"),))
    if len(wanted.name) > 100:
        raise BadRequest((Fault(pointer="#/body/name", detail="a name has at most 100 characters"),))
    held = await call.service.readers.run(lambda reader: reader.keys(caller.account))
    made_id = identifier(call, "key_") or secrets_of_keys.identifier("key_")
    if any(key.id == made_id for key in held):
        raise Conflict(
            "a key was made with this Idempotency-Key already", "Its secret was shown then; see /api/v1/keys"
        )
    if sum(key.revoked_at is None for key in held) >= MOST_KEYS:
        raise Conflict(f"an account has at most {MOST_KEYS} keys", "Revoke one")
    own = next((key for key in held if key.id == caller.key), None)
    secret = secrets_of_keys.mint(
        secrets_of_keys.LIVE if caller.live and not wanted.test else secrets_of_keys.TEST
    )
    key = Key(
        id=made_id, hash=secrets_of_keys.digest(secret), hint=secret[-4:], account=caller.account,
        tier=own.tier if own else caller.tier.name, scopes=scopes, live=secret.startswith(secrets_of_keys.LIVE),
        name=wanted.name, created_at=call.now, expires_at=expires,
    )  # fmt: skip
    await call.service.writer.call(HubWriter.put_key, key)
    await _note(call, "key.create", key.id)
    return Answer(
        content=shapes.key_shape(key, secret),
        status=201,
        headers={"Location": f"/api/v1/keys/{key.id}"},
        fresh_s=None,
    )


def _scopes(call: Call, wanted: schema.KeyAsk) -> frozenset[Scope]:
    try:
        scopes = frozenset(Scope(each) for each in wanted.scopes)
    except ValueError:
        raise Invalid(f"unknown scope in {wanted.scopes[:10]}", f"There are {', '.join(Scope)}") from None
    missing = scopes - call.caller.scopes
    if missing:
        raise NotAllowed(
            f"this key lacks {', '.join(sorted(missing))} itself", "A key cannot make a wider one"
        )
    return scopes


async def revoke_key(call: Call) -> Answer:
    """Revoke a key of the account; it is dead at once, everywhere."""
    account, wanted = call.caller.account, call.path["id"]
    held = await call.service.readers.run(lambda reader: reader.keys(account))
    key = next((key for key in held if key.id == wanted), None)
    if key is None:
        raise NotFound(f"no key '{wanted[:60]}'", "See /api/v1/keys")
    if key.revoked_at is None:
        key = msgspec.structs.replace(key, revoked_at=call.now)
        await call.service.writer.call(HubWriter.put_key, key)
        await _note(call, "key.revoke", key.id)
    return Answer(content=shapes.key_shape(key), fresh_s=None)


async def _note(call: Call, action: str, subject: str) -> None:
    actor = call.caller.key or call.caller.account
    await call.service.writer.call(
        HubWriter.put_audit, Audit(at=call.now, actor=actor, action=action, subject=subject, outcome="done")
    )


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
