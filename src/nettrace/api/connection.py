"""Connections that cannot be held open for nothing, and that take ready bytes: what holds before any application code runs.

Both protocols offer the application one thing more than ASGI has, as an extension of it (`wire_of`): a function that puts
whole encoded frames (WebSocket) or chunks (HTTP/1.1) straight to the socket's buffer. It takes all of them or, when the
peer reads too slowly or has gone, none; a thousand receivers of the same bytes cost a thousand writes and nothing else.
"""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any

from litestar.types import Scope
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Frame, Opcode
from websockets.http11 import Request

Wire = Callable[[bytes], bool]
_EXTENSION = "nettrace.wire"

HEAD_PATIENCE_S = 10.0
HEADERS = 200
HEAD_BYTES = 65_536
TOO_LARGE = b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"


class PatientProtocol(HttpToolsProtocol):
    """uvicorn's protocol with a bound on a request's head: its time, its headers, its bytes.

    The parser itself has none: without these, a sender of endless headers fills the memory, and one that sends a
    byte a minute keeps its socket.
    """

    def connection_made(self, transport: asyncio.Transport) -> None:
        """Begin to wait for a request."""
        super().connection_made(transport)
        self._head_bytes = 0
        self._in_head = True
        self._headers_seen = 0
        self._patience = self.loop.call_later(HEAD_PATIENCE_S, self._give_up)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting."""
        self._patience.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Feed the parser; hang up on a head that does not end."""
        if self._in_head:
            self._head_bytes += len(data)
        super().data_received(data)
        if self._in_head and (self._head_bytes > HEAD_BYTES or self._headers_seen > HEADERS):
            self._refuse()

    def on_message_begin(self) -> None:
        """A request starts: its head has to come in time too."""
        super().on_message_begin()
        self._headers_seen = 0
        self._patience.cancel()
        self._patience = self.loop.call_later(HEAD_PATIENCE_S, self._give_up)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header; of too many, only count the rest. The shield refuses the request."""
        self._headers_seen += 1
        if self._headers_seen <= HEADERS:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The head is there."""
        self._patience.cancel()
        self._in_head = False
        before = self.cycle
        super().on_headers_complete()
        if self.cycle is not before and self.scope["method"] == "GET":
            self.scope["extensions"] = {_EXTENSION: {"write": partial(_write_chunks, self.cycle)}}

    def on_message_complete(self) -> None:
        """The next bytes are another head."""
        self._in_head = True
        self._head_bytes = 0
        super().on_message_complete()

    def _refuse(self) -> None:
        transport = self.transport
        if not transport.is_closing():
            transport.write(TOO_LARGE)
            transport.close()

    def _give_up(self) -> None:
        transport = self.transport
        if not transport.is_closing():
            transport.close()


class DirectSocket(WebSocketsSansIOProtocol):
    """uvicorn's WebSocket with our extension. Only for connections without compression."""

    def handle_connect(self, event: Request) -> None:
        """Begin, as uvicorn does; the application starts a turn of the loop later and finds the extension."""
        super().handle_connect(event)
        if self.response.status_code == 101:
            offered = self.scope.get("extensions") or {}
            self.scope["extensions"] = {**offered, _EXTENSION: {"write": self._write_frames}}

    def _write_frames(self, frames: bytes) -> bool:
        open_ = self.handshake_complete and not (self.disconnected or self.close_sent)
        if not open_ or not self.writable.is_set() or self.transport.is_closing():
            return False
        self.transport.write(frames)
        return True


def wire_of(scope: Scope) -> Wire | None:
    """The way straight to a connection's buffer, where its server has one."""
    extensions: Any = dict[str, Any](scope).get("extensions")
    return extensions[_EXTENSION]["write"] if extensions and _EXTENSION in extensions else None


def text_frame(text: bytes) -> bytes:
    r"""A WebSocket text frame of a server (RFC 6455, 5.2), as it goes over the wire.

    >>> text_frame(b"hi")
    b'\x81\x02hi'
    """
    return Frame(Opcode.TEXT, text).serialize(mask=False)


def chunk(body: bytes) -> bytes:
    r"""A chunk of a body (RFC 9112, 7.1).

    >>> chunk(b"data: 1")
    b'7\r\ndata: 1\r\n'
    """
    return b"%x\r\n%b\r\n" % (len(body), body)


def _write_chunks(cycle: RequestResponseCycle, chunks: bytes) -> bool:
    answering = cycle.response_started and cycle.chunked_encoding and not cycle.response_complete
    if not answering or cycle.disconnected or cycle.flow.write_paused or cycle.transport.is_closing():
        return False
    cycle.transport.write(chunks)
    return True
