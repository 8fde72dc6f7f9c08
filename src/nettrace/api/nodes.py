"""The doors for nodes: enrol, report, work. Bodies are msgpack; requests are signed, not keyed."""

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from litestar import Request, Response, Router, get, post

from nettrace.errors import NetTraceError, NotAllowed
from nettrace.hub.ingest import MOST_SENT_BYTES, NodeDoors
from nettrace.wire.signing import TIME_HEADER

MSGPACK = "application/vnd.msgpack"
_ENROL_BYTES = 16 << 10
_GONE = 410
"""What a revoked node hears: it ends, and asks no more."""
_WAIT_S = 25.0

Asked = Request[Any, Any, Any]


def nodes_router(doors: NodeDoors) -> Router:
    """Routes below `/api/v1/nodes`; every answer carries the hub's time, so that a node can tell its clock is off."""

    async def answered(ask: Callable[[], Awaitable[Any]]) -> Response[bytes]:
        try:
            body, status, kind = msgspec.msgpack.encode(await ask()), 200, MSGPACK
        except NetTraceError as error:
            status = _GONE if isinstance(error, NotAllowed) else error.status
            body, kind = _problem(error, status), "application/problem+json"
        headers = {TIME_HEADER: str(doors.now()), "Cache-Control": "no-store"}
        if status in {503, 507, 502}:
            headers["Retry-After"] = "5"
        return Response(body, status_code=status, media_type=kind, headers=headers)

    @post("/enrol", status_code=200, request_max_body_size=_ENROL_BYTES, opt={"open": True})
    async def enrol(request: Asked) -> Response[bytes]:
        """A machine with a one-time token becomes a node."""
        body = await request.body()
        return await answered(lambda: doors.enrol(body))

    @post("/report", status_code=200, request_max_body_size=MOST_SENT_BYTES, opt={"open": True})
    async def report(request: Asked) -> Response[bytes]:
        """A node hands over what it measured; 200 means it is on the hub's disk."""
        body = await request.body()
        received_at = doors.now()
        signed = (request.method, request.scope["path"])
        return await answered(lambda: doors.report(signed, dict(request.headers), body, received_at))

    @get("/work", opt={"open": True})
    async def work(request: Asked, wait: float = _WAIT_S) -> Response[bytes]:
        """A node waits for on-demand rounds, `wait` seconds at most."""
        signed = (request.method, request.scope["path"])
        await request.body()
        return await answered(lambda: doors.work(signed, dict(request.headers), wait, lambda: _gone(request)))

    return Router("/api/v1/nodes", route_handlers=[enrol, report, work], include_in_schema=False)


async def _gone(request: Asked) -> None:
    """Returns when the other side has gone."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _problem(error: NetTraceError, status: int) -> bytes:
    document = {
        "type": f"/docs/errors#{error.slug}",
        "title": error.slug,
        "status": status,
        "detail": str(error),
    }
    return msgspec.json.encode(document)
