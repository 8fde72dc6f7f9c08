"""How frames of the live stream leave: as Server-Sent Events or as a WebSocket's text frames, encoded once for all.

What is awaited goes the way of ASGI, with its back-pressure. Where the server offers a way straight to
the connection (`api.connection`) an outlet has one that is not awaited, `straight`: the feed takes it for everybody who keeps up.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, TypeVar

from litestar.types import Receive, Scope, Send

from nettrace.api.connection import chunk, text_frame, wire_of
from nettrace.hub.feed import Pack, Straight
from nettrace.store.rows import Live

_KEPT = 4096
T = TypeVar("T")


class Outlet:
    """How frames leave: what both kinds of stream can do."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, encoded: "Encoded") -> None:
        self._encoded = encoded
        self._receive = receive
        self._send: Callable[[Any], Any] = send
        self._wire = wire_of(scope)

    @property
    def straight(self) -> Straight | None:
        """How events go to the connection without being awaited, where the server can."""
        return None if self._wire is None else (self._pack, self._wire)

    @property
    def _pack(self) -> Pack:
        raise NotImplementedError

    def open(self, headers: Mapping[str, str]) -> Any:
        """A context in which frames may be sent; yields an event that is set when the client has gone."""
        raise NotImplementedError

    async def frame(self, name: str, seq: int, data: bytes, *, numbered: bool = True) -> None:
        """One frame; `numbered` ones may be resumed after."""
        raise NotImplementedError

    async def events(self, events: list[Live]) -> None:
        """Events in order."""
        raise NotImplementedError

    async def close(self, code: int) -> None:
        """End the stream."""
        raise NotImplementedError

    @asynccontextmanager
    async def _watching(self, farewell: str) -> AsyncGenerator[asyncio.Event]:
        gone = asyncio.Event()

        async def watch() -> None:
            while (await self._receive())["type"] != farewell:
                pass
            gone.set()

        watcher = asyncio.create_task(watch())
        try:
            yield gone
        finally:
            watcher.cancel()
            with suppress(asyncio.CancelledError, OSError):
                await watcher


class _Events(Outlet):
    """Server-Sent Events (WHATWG HTML, 9.2)."""

    @asynccontextmanager
    async def open(self, headers: Mapping[str, str]) -> AsyncGenerator[asyncio.Event]:
        told = {
            "Content-Type": "text/event-stream; charset=utf-8", "Cache-Control": "no-store", "X-Accel-Buffering": "no",
            "X-Content-Type-Options": "nosniff", **headers,
        }  # fmt: skip
        raw = [(name.lower().encode(), value.encode()) for name, value in told.items()]
        async with self._watching("http.disconnect") as gone:
            await self._send({"type": "http.response.start", "status": 200, "headers": raw})
            await self._body(b"retry: 1000\n\n")
            yield gone
            with suppress(OSError):
                await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    @property
    def _pack(self) -> Pack:
        return self._encoded.chunks

    async def frame(self, name: str, seq: int, data: bytes, *, numbered: bool = True) -> None:
        number = b"id: %d\n" % seq if numbered else b""
        await self._body(b"%bevent: %b\ndata: %b\n\n" % (number, name.encode(), data))

    async def events(self, events: list[Live]) -> None:
        await self._body(b"".join(map(self._encoded.event, events)))

    async def close(self, code: int) -> None:
        del code

    async def _body(self, body: bytes) -> None:
        if body:
            await self._send({"type": "http.response.body", "body": body, "more_body": True})


class _WebSocket(Outlet):
    """WebSocket text frames (RFC 6455)."""

    @asynccontextmanager
    async def open(self, headers: Mapping[str, str]) -> AsyncGenerator[asyncio.Event]:
        raw = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
        await self._receive()  # the connect event
        await self._send({"type": "websocket.accept", "headers": raw})
        async with self._watching("websocket.disconnect") as gone:
            yield gone

    @property
    def _pack(self) -> Pack:
        return self._encoded.frames

    async def frame(self, name: str, seq: int, data: bytes, *, numbered: bool = True) -> None:
        del numbered
        await self._text(f'{{"type":"{name}","seq":{seq},"data":{data.decode()}}}')

    async def events(self, events: list[Live]) -> None:
        for event in events:
            await self._text(self._encoded.text(event))

    async def close(self, code: int) -> None:
        await self._send({"type": "websocket.close", "code": code})

    async def _text(self, text: str) -> None:
        await self._send({"type": "websocket.send", "text": text})


KINDS: Mapping[str, type[Outlet]] = {"http": _Events, "websocket": _WebSocket}
"""By the kind of an ASGI scope."""


class Encoded:
    """Each event's bytes, made once for all who are sent it."""

    def __init__(self) -> None:
        self._events: dict[int, bytes] = {}
        self._texts: dict[int, str] = {}

    def event(self, event: Live) -> bytes:
        """It as a Server-Sent Event."""
        made = self._events.get(event.seq)
        if made is None:
            made = b"id: %d\nevent: %b\ndata: %b\n\n" % (event.seq, event.kind.encode(), event.body)
            _keep(self._events, event.seq, made)
        return made

    def text(self, event: Live) -> str:
        """It as a WebSocket's frame."""
        made = self._texts.get(event.seq)
        if made is None:
            made = f'{{"type":"{event.kind}","seq":{event.seq},"data":{event.body.decode()}}}'
            _keep(self._texts, event.seq, made)
        return made

    def chunks(self, events: Sequence[Live]) -> bytes:
        """Server-Sent Events, as one chunk of an HTTP/1.1 body."""
        return chunk(b"".join(map(self.event, events)))

    def frames(self, events: Sequence[Live]) -> bytes:
        """A WebSocket's frames, as they go over the wire."""
        return b"".join(text_frame(self.text(event).encode()) for event in events)


def _keep(kept: dict[int, T], seq: int, made: T) -> None:
    if len(kept) >= _KEPT:
        del kept[next(iter(kept))]
    kept[seq] = made
