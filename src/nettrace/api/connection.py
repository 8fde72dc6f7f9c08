"""HTTP/1.1 connections that cannot be held open for nothing: limits that hold before any application code runs."""

import asyncio

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

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
        super().on_headers_complete()

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
