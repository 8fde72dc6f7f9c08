"""The account: what it used of what it may, its keys, and the end of a session. Forms work without JavaScript."""

from typing import Any

from litestar import Request, Response, post
from litestar.handlers import HTTPRouteHandler
from litestar.response import Redirect

from nettrace.errors import NetTraceError, NotAllowed
from nettrace.hub import keyring
from nettrace.hub.access import Caller
from nettrace.hub.link import HubWriter
from nettrace.model.account import Scope
from nettrace.web import sessions
from nettrace.web.door import Visit, door, guarded, refused, visit_of
from nettrace.web.hub import Hub
from nettrace.web.visitor import own_form


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

    @post("/account/sessions/end", include_in_schema=False, status_code=303)
    async def end(request: Request[Any, Any, Any]) -> Response[Any]:
        visit = visit_of(hub, request)
        try:
            form = await _form(hub, request)
            await sessions.end(visit, _holder(visit), form.get("name") or None)
        except NetTraceError as error:
            return guarded(refused(error, visit.now))
        return guarded(Redirect("/account", status_code=303))

    return [door(hub, "/account", account_page), create, revoke, end]


async def account_page(visit: Visit) -> Response[Any]:
    """Usage against limits, and keys."""
    return await _page(visit)


async def _page(visit: Visit, made: str = "") -> Response[Any]:
    caller = _holder(visit)
    held = await visit.hub.readers.run(lambda reader: reader.keys(caller.account)) if caller.key else []
    keys = [
        (key, keyring.state(key, visit.now))
        for key in sorted(held, key=lambda key: (-key.created_at, key.id))
    ]
    told = {
        "page": "account", "caller": caller, "keys": keys, "made": made, "sessions": await sessions.listed(visit, caller), "token": visit.token,
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
    """The secret of a new key of the same account and tier, with the scopes that were ticked."""
    caller = _keeper(visit)
    ask = keyring.Ask(
        name=form.get("name", "").strip(), live="test" not in form,
        scopes=tuple(scope for scope in Scope if f"scope-{scope}" in form),
    )  # fmt: skip
    held = await visit.hub.readers.run(lambda reader: reader.keys(caller.account))
    made = keyring.grant(caller, held, ask, visit.now)
    await visit.hub.writer.call(HubWriter.put_key, made.key)
    await visit.hub.writer.call(HubWriter.put_audit, made.note)
    return made.secret


async def _revoke(visit: Visit, wanted: str) -> None:
    """Revoke a key of the account."""
    caller = _keeper(visit)
    held = await visit.hub.readers.run(lambda reader: reader.keys(caller.account))
    done = keyring.withdraw(caller, held, wanted, visit.now)
    if done.note is not None:
        await visit.hub.writer.call(HubWriter.put_key, done.key)
        await visit.hub.writer.call(HubWriter.put_audit, done.note)


def _holder(visit: Visit) -> Caller:
    if visit.caller is None:
        raise NotAllowed("this session is over", "Sign in again at /login")
    return visit.caller


def _keeper(visit: Visit) -> Caller:
    """The visitor, if they may make and revoke keys."""
    caller = keyring.keeper(_holder(visit))
    visit.hub.access.require(caller, scope=Scope.KEYS)
    return caller
