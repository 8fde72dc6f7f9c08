"""What every request passes before any handler sees it: sizes, patience, names of this host, an id for the answer.

Pure ASGI around the whole application, so that pages, streams and doors of other rooms are covered alike.
"""

import asyncio
import ipaddress
import os
from collections.abc import Sequence
from urllib.parse import urlsplit

from litestar.types import (
    ASGIApp,
    HTTPReceiveMessage,
    HTTPScope,
    Message,
    Receive,
    Scope,
    Send,
    WebSocketReceiveMessage,
    WebSocketScope,
)

from nettrace.api.problems import problem_bytes
from nettrace.errors import BodyTooLarge, BodyTooSlow, HeadersTooLarge, MisdirectedRequest, OriginRefused
from nettrace.errors import NetTraceError as Refusal

BODY_BYTES = 1 << 20
NODE_BODY_BYTES = 16 << 20
NODE_DOORS = "/api/v1/nodes/"
HEADERS = 100
HEADER_BYTES = 32_768
BODY_PATIENCE_S = 20.0
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_LOOPBACK_NAMES = frozenset({"localhost", "localhost.localdomain", "ip6-localhost"})


class Shield:
    """An application that only gets requests of a sane size for a name that is ours.

    Args:
        hosts: names this hub answers to besides loopback ones; empty with `any_host` is "every name".
        any_host: the hub listens beyond loopback, where a name cannot be checked without configuration.
    """

    def __init__(self, app: ASGIApp, *, hosts: Sequence[str] = (), any_host: bool = False) -> None:
        self._app = app
        self._hosts = frozenset(host.lower().rstrip(".") for host in hosts)
        self._any_host = any_host and not self._hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer it with a problem."""
        if scope["type"] == "http":
            await self._http(scope, receive, send)
        elif scope["type"] == "websocket":
            await self._websocket(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _http(self, scope: HTTPScope, receive: Receive, send: Send) -> None:
        request_id = "rq_" + os.urandom(9).hex()
        scope["request_id"] = request_id  # type: ignore[typeddict-unknown-key]
        head = scope["method"] == "HEAD"
        if head:
            scope["method"] = "GET"
        answer = _Answer(send, request_id, body=not head)
        body = _Body(receive, NODE_BODY_BYTES if scope["path"].startswith(NODE_DOORS) else BODY_BYTES)
        try:
            self._admit(scope)
            body.announced(scope)
            await self._app(scope, body.receive, answer.send)
        except Refusal as refusal:
            if answer.begun:
                raise
            await refuse(answer.send, refusal, scope["path"], request_id)

    async def _websocket(self, scope: WebSocketScope, receive: Receive, send: Send) -> None:
        scope["request_id"] = "rq_" + os.urandom(9).hex()  # type: ignore[typeddict-unknown-key]
        try:
            self._admit(scope)
        except Refusal:
            await receive()
            await send({"type": "websocket.close", "code": 1008, "reason": "host or origin"})
            return
        await self._app(scope, receive, send)

    def _admit(self, scope: HTTPScope | WebSocketScope) -> None:
        headers = list(scope["headers"])
        if len(headers) > HEADERS or sum(len(name) + len(value) for name, value in headers) > HEADER_BYTES:
            raise HeadersTooLarge(
                f"a request may have {HEADERS} headers of {HEADER_BYTES} bytes together", "Send fewer"
            )
        host = origin = None
        for name, value in headers:
            if name == b"host":
                host = value.decode("latin-1")
            elif name == b"origin":
                origin = value.decode("latin-1")
        if not self._any_host and not self._ours(host):
            raise MisdirectedRequest(
                f"this hub does not answer to the name '{host or ''}'", "Name it: --public-host NAME"
            )
        reads = scope["type"] == "http" and scope["method"] in _SAFE
        if origin is not None and not reads and _authority(origin) != (host or "").lower():
            raise OriginRefused(f"pages of '{origin}' may not speak to this hub", "Use an API client")

    def _ours(self, host: str | None) -> bool:
        name = _name(host or "")
        if name in _LOOPBACK_NAMES or name.endswith(".localhost") or name in self._hosts:
            return True
        try:
            return ipaddress.ip_address(name).is_loopback
        except ValueError:
            return False


class _Answer:
    """Adds what every answer carries unless it brings its own, and drops bodies of HEAD."""

    def __init__(self, send: Send, request_id: str, *, body: bool) -> None:
        self._send = send
        self._added = [
            (b"x-request-id", request_id.encode()),
            (b"x-content-type-options", b"nosniff"),
            (b"referrer-policy", b"no-referrer"),
        ]
        self._body = body
        self.begun = False

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.begun = True
            given = list(message.get("headers", ()))
            # a page's own Referrer-Policy holds: with "no-referrer" besides, its forms would come from nowhere
            names = {name.lower() for name, _ in given}
            message["headers"] = [*given, *(each for each in self._added if each[0] not in names)]
        elif message["type"] == "http.response.body" and not self._body:
            message["body"] = b""
        await self._send(message)


class _Body:
    """Counts a body as it arrives and loses patience with slow ones."""

    def __init__(self, receive: Receive, limit: int) -> None:
        self._receive = receive
        self._limit = limit
        self._got = 0
        self._until: float | None = None
        self._complete = False

    def announced(self, scope: HTTPScope) -> None:
        for name, value in scope["headers"]:
            if name == b"content-length" and value.isdigit() and int(value) > self._limit:
                raise self._too_large()

    async def receive(self) -> HTTPReceiveMessage | WebSocketReceiveMessage:
        if self._complete:  # what follows is only "disconnected", whenever that comes
            return await self._receive()
        loop = asyncio.get_running_loop()
        if self._until is None:
            self._until = loop.time() + BODY_PATIENCE_S
        try:
            async with asyncio.timeout_at(self._until):
                message = await self._receive()
        except TimeoutError:
            raise BodyTooSlow(f"the body did not arrive within {BODY_PATIENCE_S:g} s") from None
        if message["type"] == "http.request":
            self._got += len(message.get("body", b""))
            self._complete = not message.get("more_body", False)
            if self._got > self._limit:
                raise self._too_large()
        return message

    def _too_large(self) -> BodyTooLarge:
        return BodyTooLarge(f"a body may have {self._limit} bytes here", "Send less at once")


async def refuse(send: Send, refusal: Refusal, path: str, request_id: str) -> None:
    """Answer with a problem, and close the connection: what is still coming is not wanted."""
    body = problem_bytes(refusal, instance=path, request_id=request_id)
    await send(
        {
            "type": "http.response.start",
            "status": refusal.status,
            "headers": [
                (b"content-type", b"application/problem+json"),
                (b"content-length", str(len(body)).encode()),
                (b"connection", b"close"),
            ],
        }
    )
    await send({"type": "http.response.body", "body": body, "more_body": False})


def _name(host: str) -> str:
    """The name of a Host header without its port.

    >>> _name("LocalHost.:8787"), _name("[::1]:80"), _name("::1")
    ('localhost', '::1', '::1')
    """
    host = host.lower()
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host if host.count(":") > 1 else host.partition(":")[0].rstrip(".")


def _authority(origin: str) -> str:
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""
