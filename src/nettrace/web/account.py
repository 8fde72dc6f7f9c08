"""The account: what it used of what it may, its keys, and the end of a session. Forms work without JavaScript."""

from typing import Any

import msgspec
from litestar import Request, Response, post
from litestar.handlers import HTTPRouteHandler
from litestar.response import Redirect

from nettrace.errors import Conflict, Invalid, NetTraceError, NotAllowed, NotFound
from nettrace.hub import keys as secrets_of_keys
from nettrace.hub.access import Caller
from nettrace.hub.keyring import state
from nettrace.hub.link import HubWriter
from nettrace.model.account import Key, Scope
from nettrace.store.rows import Audit
from nettrace.web.door import Visit, door, guarded, refused, visit_of
from nettrace.web.hub import Hub
from nettrace.web.visitor import own_form

MOST_KEYS = 100
_LONGEST_NAME = 100


def account_doors(hub: Hub) -> list[HTTPRouteHandler]:
    """The page and what its forms do."""

    @post("/account/keys", include_in_schema=False, status_code=200)
    async def create(request: Request[Any, Any, Any]) -> Response[Any]:
        visit = visit_of(hub, request)
        try:
            form = await _form(hub, request)
            secret = await _create(visit, form)
        except NetTraceError as error:
            return guarded(refused(error, visit.now))
        return await _page(visit, made=secret)

    @post("/account/keys/revoke", include_in_schema=False, status_code=303)
    async def revoke(request: Request[Any, Any, Any]) -> Response[Any]:
        visit = visit_of(hub, request)
        try:
            form = await _form(hub, request)
            await _revoke(visit, form.get("id", ""))
        except NetTraceError as error:
            return guarded(refused(error, visit.now))
        return guarded(Redirect("/account", status_code=303))

    return [door(hub, "/account", account_page), create, revoke]


async def account_page(visit: Visit) -> Response[Any]:
    """Usage against limits, and keys."""
    return await _page(visit)


async def _page(visit: Visit, made: str = "") -> Response[Any]:
    caller = _holder(visit)
    held = await visit.hub.readers.run(lambda reader: reader.keys(caller.account)) if caller.key else []
    keys = [(key, state(key, visit.now)) for key in sorted(held, key=lambda key: (-key.created_at, key.id))]
    told = {
        "page": "account", "caller": caller, "keys": keys, "made": made, "token": visit.token,
        "policies": visit.hub.access.usage(caller, visit.now).policies,
        "scopes": [scope for scope in Scope if scope in caller.scopes],
        "may_change": caller.key is not None and Scope.KEYS in caller.scopes,
    }  # fmt: skip
    answer = visit.page("account.html", told)
    answer.headers["Cache-Control"] = "no-store"
    return answer


async def _form(hub: Hub, request: Request[Any, Any, Any]) -> dict[str, str]:
    """What a form of ours says; a scope that is ticked is there under its name.

    Raises:
        NotAllowed: it was not made for this session.
    """
    sent = {name: str(value) for name, value in dict(await request.form()).items()}
    if not own_form(request, hub.secret, sent.get("token", "")):
        raise NotAllowed(
            "this form was not made for your session", "Load /account again and send it from there"
        )
    return sent


async def _create(visit: Visit, form: dict[str, str]) -> str:
    """The secret of a new key of the same account and tier, with no scope its maker lacks."""
    caller = _keeper(visit)
    name = form.get("name", "").strip()
    if len(name) > _LONGEST_NAME or not name.isprintable():
        raise Invalid(f"a key's name has at most {_LONGEST_NAME} printable characters", "Choose another one")
    held = await visit.hub.readers.run(lambda reader: reader.keys(caller.account))
    if sum(key.revoked_at is None for key in held) >= MOST_KEYS:
        raise Conflict(f"an account has at most {MOST_KEYS} keys", "Revoke one")
    own = next((key for key in held if key.id == caller.key), None)
    live = caller.live and "test" not in form
    secret = secrets_of_keys.mint(secrets_of_keys.LIVE if live else secrets_of_keys.TEST)
    key = Key(
        id=secrets_of_keys.identifier("key_"), hash=secrets_of_keys.digest(secret), hint=secret[-4:],
        account=caller.account, tier=own.tier if own else caller.tier.name, live=live, name=name, created_at=visit.now,
        scopes=frozenset(scope for scope in caller.scopes if f"scope-{scope}" in form) | {Scope.READ},
    )  # fmt: skip
    await visit.hub.writer.call(HubWriter.put_key, key)
    await _note(visit, "key.create", key.id)
    return secret


async def _revoke(visit: Visit, wanted: str) -> None:
    """Revoke a key of the account; another account's is as if it were not there."""
    caller = _keeper(visit)
    held = await visit.hub.readers.run(lambda reader: reader.keys(caller.account))
    key = next((key for key in held if key.id == wanted), None)
    if key is None:
        raise NotFound(f"no key '{wanted[:60]}'", "Your account's keys are on /account")
    if key.revoked_at is None:
        await visit.hub.writer.call(HubWriter.put_key, msgspec.structs.replace(key, revoked_at=visit.now))
        await _note(visit, "key.revoke", key.id)


def _holder(visit: Visit) -> Caller:
    if visit.caller is None:
        raise NotAllowed("this session is over", "Sign in again at /login")
    return visit.caller


def _keeper(visit: Visit) -> Caller:
    """The visitor, if they may make and revoke keys."""
    caller = _holder(visit)
    if caller.key is None:
        raise NotAllowed(
            "a single-user hub's first key is made on its own machine",
            "nettrace keys create --tier enterprise_pro; from then on every request needs a key",
        )
    visit.hub.access.require(caller, scope=Scope.KEYS)
    return caller


async def _note(visit: Visit, action: str, subject: str) -> None:
    actor = (visit.caller.key or visit.caller.account) if visit.caller else ""
    note = Audit(at=visit.now, actor=actor, action=action, subject=subject, outcome="done")
    await visit.hub.writer.call(HubWriter.put_audit, note)
