"""`GET /api/v1/stream`: the live log as Server-Sent Events and as a WebSocket, with resume.

Plain ASGI, because a delivery must cost microseconds. Frames of the WebSocket are JSON objects with `type`: `snapshot`,
then a topic's name for each event (`seq`, `data`), `heartbeat`, `gap` (what can no longer be had), `slow_consumer`,
`closed`. The SSE events have the same names and data; `id` is the sequence number, so `Last-Event-ID` resumes.
"""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from http.cookies import SimpleCookie
from typing import Any
from urllib.parse import parse_qsl

import msgspec
from litestar.handlers import ASGIRouteHandler, asgi
from litestar.types import Receive, Scope, Send

from nettrace.api.guard import admit, charge
from nettrace.api.outlet import KINDS, Encoded, Outlet
from nettrace.api.problems import MEDIA_TYPE, headers_of, problem_bytes
from nettrace.api.service import Service
from nettrace.errors import Invalid, NetTraceError, QuotaExceeded, StoreError, Unauthenticated, WrongMethod
from nettrace.hub.access import Caller
from nettrace.hub.feed import Feed, Subscriber, Wanted, wanted_from
from nettrace.hub.session import COOKIE, caller_of, is_over
from nettrace.model.account import Feature
from nettrace.store.documents import round_document

PATH = "/api/v1/stream"
HEARTBEAT_S = 10.0
CHECK_S = 1.0
"""A key that is revoked ends its streams within this time."""

_SLOW, _REVOKED, _GOING, _LATER = 4008, 4401, 1001, 1013


class Opened(msgspec.Struct, frozen=True):
    """A stream that may be served."""

    caller: Caller
    wanted: Wanted
    after: int | None
    headers: Mapping[str, str]


def stream_door(service: Service, feed: Feed) -> ASGIRouteHandler:
    """The handler of both kinds of stream."""
    encoded = Encoded()

    @asgi(PATH, copy_scope=True)
    async def stream(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            opened = _open(service, scope)
            slot = service.quota.stream(opened.caller.account, opened.caller.tier)
        except NetTraceError as error:
            await refuse(scope, receive, send, error)
            return
        with slot as free:
            if not free:
                many = QuotaExceeded(
                    f"the tier '{opened.caller.tier.name}' allows {opened.caller.tier.streams} streams at once",
                    "Close one of them", retry_after_s=10, policies=("streams",),
                )  # fmt: skip
                await refuse(scope, receive, send, many)
                return
            outlet = KINDS[str(scope["type"])](scope, receive, send, encoded)
            with suppress(
                OSError, asyncio.CancelledError
            ):  # gone, or this worker ends: both are how streams end
                await _serve(service, feed, opened, outlet)

    return stream


def _open(service: Service, scope: Scope) -> Opened:
    """Who asks for what.

    Raises:
        NetTraceError: they may not, or the request is wrong.
    """
    if scope["type"] == "http" and scope["method"] != "GET":
        raise WrongMethod(f"{scope['method']} {PATH}", "A stream is read with GET, or as a WebSocket")
    headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
    query = dict(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True))
    known = {"topics", "topic", "host", "hosts", "region", "regions", "after", "since"}
    strange = [name for name in query if name not in known]
    if strange:
        raise Invalid(f"unknown parameter '{strange[0][:40]}'", f"There are: {', '.join(sorted(known))}")
    caller = _caller(service, headers)
    told = charge(service, caller, 1, service.now())
    resume = headers.get("last-event-id") or query.get("after") or query.get("since")
    if resume is not None and not (resume.isascii() and resume.isdigit() and len(resume) < 19):
        raise Invalid(f"'{resume[:40]}' is no event's number", "Send the id of the last event you have")
    return Opened(caller, wanted_from(query, caller.account), int(resume) if resume else None, told)


def _caller(service: Service, headers: Mapping[str, str]) -> Caller:
    """Who listens: by key, or one of our own pages by its session. Other sites' pages never get here (api.shield)."""
    if "authorization" not in headers and "x-api-key" not in headers:
        cookies = SimpleCookie(headers.get("cookie", ""))
        session = cookies[COOKIE].value if COOKIE in cookies else None
        found = caller_of(service.access, service.secret, session, service.now())
        if found is not None:
            service.access.require(found, Feature.STREAM)
            return found
    return admit(service, headers, feature=Feature.STREAM, scope=None)


async def _serve(service: Service, feed: Feed, opened: Opened, outlet: Outlet) -> None:
    """Snapshot or what was missed, then everything as it comes, until either side has enough."""
    async with outlet.open(opened.headers) as gone:
        try:
            after = await _begin(service, feed, opened, (outlet, gone))
            subscriber = await _catch_up(feed, opened.wanted, after, (outlet, gone))
        except StoreError:  # what was sent so far holds; the client comes back behind it
            await outlet.close(_LATER)
            return
        try:
            await _go_on(service, feed, opened, (subscriber, outlet, gone))
        finally:
            feed.leave(subscriber)


async def _begin(service: Service, feed: Feed, opened: Opened, ends: tuple[Outlet, asyncio.Event]) -> int:
    """The number to go on after: that of a snapshot, or the client's own, with a `gap` where the log is shorter."""
    outlet, gone = ends
    position = await feed.ready()
    if opened.after is None:
        snapshot = service.snapshot
        visible = {target.host for target in snapshot.visible(opened.caller.account)}
        rows = [
            round_document(latest.round)
            for host, series in snapshot.newest.items()
            for latest in series.values()
            if host in visible and _in_snapshot(opened.wanted, latest.round.series)
        ]
        await outlet.frame("snapshot", max(0, snapshot.seq), msgspec.json.encode(rows))
        return max(0, snapshot.seq)
    page = await feed.page(opened.after, gone)
    if opened.after > max(page.head, position):
        await outlet.frame(
            "gap",
            page.head,
            msgspec.json.encode({"from": page.head + 1, "to": opened.after, "reason": "unknown"}),
        )
        return page.head
    if opened.after < page.oldest - 1:
        missing = {"from": opened.after + 1, "to": page.oldest - 1, "reason": "expired"}
        await outlet.frame("gap", page.oldest - 1, msgspec.json.encode(missing))
        return page.oldest - 1
    return opened.after


def _in_snapshot(wanted: Wanted, series: Any) -> bool:
    return (not wanted.targets or series.target in wanted.targets) and (
        not wanted.vantages or series.vantage in wanted.vantages
    )


async def _catch_up(feed: Feed, wanted: Wanted, after: int, ends: tuple[Outlet, asyncio.Event]) -> Subscriber:
    """A subscriber that has had everything up to where the feed stands."""
    outlet, gone = ends
    while after < feed.position:
        page = await feed.page(after, gone)
        events = [event for event in page.events if event.seq <= feed.position]
        if not events:
            break
        await outlet.events([event for event in events if wanted.fits(event)])
        after = events[-1].seq
    return feed.join(wanted, after, outlet.straight)


async def _go_on(
    service: Service, feed: Feed, opened: Opened, ends: tuple[Subscriber, Outlet, asyncio.Event]
) -> None:
    subscriber, outlet, gone = ends
    beat = asyncio.get_running_loop().time() + HEARTBEAT_S
    while not gone.is_set():
        taken = await subscriber.news(CHECK_S)
        if taken:
            await outlet.events(taken)
            subscriber.last = taken[-1].seq
        if subscriber.behind:
            last = subscriber.last
            told = {"resume_after": last, "reason": "you read more slowly than events come"}
            await outlet.frame("slow_consumer", last, msgspec.json.encode(told), numbered=False)
            await outlet.close(_SLOW)
            return
        ended = _ended(service, opened.caller)
        if ended:
            await outlet.frame(
                "closed", subscriber.last, msgspec.json.encode({"reason": ended}), numbered=False
            )
            await outlet.close(_REVOKED)
            return
        if asyncio.get_running_loop().time() >= beat:
            if not subscriber.waiting:  # everything handed out was sent or was not wanted
                subscriber.last = max(subscriber.last, feed.handed)
            await outlet.frame("heartbeat", subscriber.last, msgspec.json.encode({"head": feed.position}))
            beat = asyncio.get_running_loop().time() + HEARTBEAT_S


def _ended(service: Service, caller: Caller) -> str | None:
    """Why this caller may listen no longer, or None."""
    try:
        if caller.key is None:
            service.access.caller(None, None, service.now())
        else:
            if is_over(service.access, caller.key, caller.session):
                return "this session was ended"
            held = service.access.holder(caller.key, service.now())
            service.access.require(held, Feature.STREAM)
    except NetTraceError as error:
        return error.detail
    return None


async def refuse(scope: Scope, receive: Receive, send: Send, error: NetTraceError) -> None:
    """Answer with a problem; a WebSocket is refused before it opens, with the same document where the server can."""
    sender: Callable[[Any], Any] = send
    request_id = str(scope.get("request_id", ""))  # type: ignore[call-overload]
    body = problem_bytes(error, instance=PATH, request_id=request_id)
    told = {
        "Content-Type": MEDIA_TYPE,
        "Content-Length": str(len(body)),
        **headers_of(error),
        **getattr(error, "headers", {}),
    }
    raw = [(name.lower().encode(), value.encode()) for name, value in told.items()]
    kind = "http.response"
    if scope["type"] == "websocket":
        await receive()
        if "websocket.http.response" not in (scope.get("extensions") or {}):
            code = _REVOKED if isinstance(error, Unauthenticated) else 4000 + error.status
            await sender({"type": "websocket.close", "code": code, "reason": error.detail[:120]})
            return
        kind = "websocket.http.response"
    await sender({"type": f"{kind}.start", "status": error.status, "headers": raw})
    await sender({"type": f"{kind}.body", "body": body, "more_body": False})
