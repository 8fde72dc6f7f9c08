"""Streamable HTTP: who sent each request, under which name, before the protocol sees anything of it."""

from collections.abc import Callable, Sequence
from ipaddress import ip_address
from typing import Any, cast

import msgspec
import uvicorn
from mcp.server.transport_security import TransportSecuritySettings
from starlette.types import ASGIApp, Receive, Scope, Send

from nettrace.errors import MisdirectedRequest, NetTraceError, OriginRefused, Unauthenticated
from nettrace.hub.access import Access, Caller
from nettrace.hub.programs import Bind
from nettrace.mcp.desk import Desk
from nettrace.mcp.plain import plain
from nettrace.mcp.server import make_server
from nettrace.model.instant import Instant

PATH = "/mcp"
MOST_BODY_BYTES = 512 * 1024
GRACE_S = 3
_CALLER = "nettrace.caller"


class Door:
    """An ASGI application that lets nobody in without a key, nor under another name.

    Each request is judged anew: a revoked key is dead at once, and there is no session to be taken over.

    Args:
        app: what is behind the door.
        public_hosts: names this server may be called by beside those of this machine.
        loopback: it is reached from this machine only: a page in a browser that got a name pointed here is refused.
    """

    def __init__(
        self, app: ASGIApp, access: Access, now: Callable[[], Instant], *, public_hosts: Sequence[str], loopback: bool
    ) -> None:  # fmt: skip
        self._app = app
        self._access = access
        self._now = now
        self._hosts = {each.lower() for each in public_hosts}
        self._checked = loopback or bool(public_hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        pairs: list[tuple[bytes, bytes]] = scope["headers"]
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in pairs}
        try:
            self._check_name(headers)
            caller = self._access.caller(headers.get("authorization"), headers.get("x-api-key"), self._now())
        except NetTraceError as error:
            await _refuse(error, send)
            return
        await self._app({**scope, _CALLER: caller}, receive, send)

    def _check_name(self, headers: dict[str, str]) -> None:
        host = headers.get("host", "")
        if self._checked and not self._own(host):
            raise MisdirectedRequest("this server does not answer to that name", "Name it with --public-host")
        origin = headers.get("origin")
        if origin is not None and origin.partition("://")[2].lower() != host.lower():
            raise OriginRefused("pages of other sites are not served")

    def _own(self, authority: str) -> bool:
        name = authority.rpartition(":")[0] if not authority.endswith("]") and ":" in authority else authority
        name = name.strip("[]").lower()
        if name == "localhost" or name in self._hosts:
            return True
        try:
            return ip_address(name).is_loopback
        except ValueError:
            return False


async def _refuse(error: NetTraceError, send: Send) -> None:
    body = msgspec.json.encode(
        {"type": f"/problems/{error.slug}", "status": error.status, "detail": plain(error.detail), "code": error.slug, "hint": plain(error.hint)}
    )  # fmt: skip
    headers = [(b"content-type", b"application/problem+json"), (b"content-length", str(len(body)).encode())]
    if isinstance(error, Unauthenticated):
        headers.append((b"www-authenticate", b'Bearer realm="nettrace"'))
    await send({"type": "http.response.start", "status": error.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def make_app(desk: Desk, access: Access, *, public_hosts: Sequence[str] = (), loopback: bool = True) -> Door:
    """The application that speaks the protocol at `/mcp`.

    Whoever has no key on a single-user hub gets what this machine's user allowed, no more.
    """

    def caller_of(context: Any) -> Caller:
        caller = cast("Caller", context.request.scope[_CALLER])
        return caller if caller.key is not None else desk.owner

    app = make_server(desk, caller_of).streamable_http_app(
        streamable_http_path=PATH, stateless_http=True, json_response=True, max_request_body_size=MOST_BODY_BYTES,
        transport_security=TransportSecuritySettings(enable_dns_rebinding_protection=False),  # the door has looked
    )  # fmt: skip
    return Door(app, access, desk.now, public_hosts=public_hosts, loopback=loopback)


async def serve_http(
    desk: Desk, access: Access, bind: Bind, say: Callable[[str], None], public_hosts: Sequence[str]
) -> None:
    """Answer until a signal."""
    app = make_app(desk, access, public_hosts=public_hosts, loopback=bind.loopback)
    config = uvicorn.Config(
        app, log_config=None, access_log=False, ws="none", lifespan="on", server_header=False,
        timeout_graceful_shutdown=GRACE_S,
    )  # fmt: skip
    server = uvicorn.Server(config)
    with bind.listen() as listener:
        say(
            f"http://{bind.host}:{listener.getsockname()[1]}{PATH}"
            if ":" not in bind.host
            else f"{bind.url}{PATH}"
        )
        try:
            await server.serve([listener])
        finally:
            await desk.close()
