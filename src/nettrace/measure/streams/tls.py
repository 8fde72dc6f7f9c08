"""TLS on a kernel-clocked stream: the standard library's TLS, our stamps around it.

The stage runs from the departure of the ClientHello's last byte to the arrival of the last byte the handshake
needed. With TLS 1.3 that is one round trip and the server's own work; with TLS 1.2 or a hello-retry the
client's computing between flights lies inside it, and is told apart as `client_cpu_ns`.
"""

import ssl
import time
from collections.abc import Iterator
from contextlib import suppress
from functools import lru_cache
from struct import Struct
from typing import NamedTuple

from nettrace.errors import Invalid
from nettrace.measure.streams.deadline import Broken
from nettrace.measure.streams.stream import Arrival, Mark, Stream
from nettrace.model.measurement import Reason, Stage


class Received(NamedTuple):
    """Application bytes that became readable; empty `data` is the end of the stream.

    Attributes:
        first: the read in which their first byte (of ciphertext, under TLS) came.
        arrival: the read that completed them.
        leading: that byte was the first of that read.
        only_answer: nothing else (no session ticket) came since the last send.
    """

    data: bytes
    first: Arrival
    arrival: Arrival
    leading: bool
    only_answer: bool


_RECORD_HEADER = Struct(">BBBH")
_HEADER_BYTES = 5
_RECORD_TYPES = range(20, 25)
_RECORD_BYTES = 16_384 + 2_048
TICKET_BYTES = 2_048
"""Session tickets are shorter than this: a longer record that begins after a request is its answer."""


class PlainChannel:
    """A stream without TLS, in the shape HTTP and WebSocket talk to."""

    tls: Stage | None = None
    tls_version: str | None = None
    client_cpu_ns: int | None = None

    def __init__(self, stream: Stream) -> None:
        self.stream = stream

    async def send(self, data: bytes) -> Mark:
        """Send; the mark is the departure of the last byte."""
        return await self.stream.send(data, acknowledgement=True)

    async def receive(self) -> Received:
        """The next application bytes."""
        arrival = await self.stream.receive()
        return Received(arrival.data, arrival, arrival, leading=True, only_answer=True)

    async def close(self) -> None:
        """End the connection."""
        self.stream.close()


class TlsChannel:
    """A TLS connection on a stream.

    Attributes:
        tls: the handshake on the wire, after `handshake`.
        client_cpu_ns: processor time of this client's own cryptography in the handshake.
    """

    def __init__(self, stream: Stream, context: ssl.SSLContext, server_name: str) -> None:
        self.stream = stream
        self.tls: Stage | None = None
        self.client_cpu_ns: int | None = None
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=server_name)
        self._records = Records()
        self._only_answer = True
        self._goodbye: Arrival | None = None

    @property
    def tls_version(self) -> str | None:
        """`TLSv1.3` or the like, once the handshake is done."""
        return self._tls.version()

    async def handshake(self) -> None:
        """Do the handshake and time it.

        Raises:
            Broken: with reason `tls` and the certificate's or the protocol's problem in words.
        """
        cpu_ns = 0
        hello: Mark | None = None
        arrival: Arrival | None = None
        while True:
            started = time.thread_time_ns()
            try:
                self._tls.do_handshake()
                done = True
            except ssl.SSLWantReadError:
                done = False
            except ssl.SSLError as error:
                self._flush_quietly()
                raise Broken(Reason.TLS, in_words(error)) from None
            finally:
                cpu_ns += time.thread_time_ns() - started
            try:
                if out := self._outgoing.read():
                    mark = await self.stream.send(out)
                    hello = hello or mark
                if done:
                    break
                arrival = await self.stream.receive()
            except Broken as broken:
                raise _as_tls(broken) from None
            if not arrival.data:
                raise Broken(Reason.TLS, "the peer closed the connection during the TLS handshake")
            for record in self._records.complete(arrival):
                self._incoming.write(record.data)
        self.client_cpu_ns = cpu_ns
        if hello and arrival:
            self.tls = self.stream.until_last_byte(hello, arrival)

    async def send(self, data: bytes) -> Mark:
        """Encrypt and send; the mark is the departure of the last byte."""
        self._tls.write(data)
        self._only_answer = True
        return await self.stream.send(self._outgoing.read(), acknowledgement=True)

    async def receive(self) -> Received:
        """The next application bytes; reads without any (session tickets, parts of records) are passed over.

        Records are decrypted one by one, so that it is known in which read the first one with data began: a
        record of 16 kB takes a round trip more to complete than to begin.
        """
        while True:
            if self._goodbye:  # the peer has said that nothing more comes, whenever it closes the connection
                return Received(b"", self._goodbye, self._goodbye, leading=True, only_answer=False)
            arrival = await self.stream.receive()
            if not arrival.data:
                return Received(b"", arrival, arrival, leading=True, only_answer=self._only_answer)
            first, leading = arrival, True
            parts: list[bytes] = []
            for record in self._records.complete(arrival):
                self._incoming.write(record.data)
                part, ended = self._decrypt()
                if part and not parts:
                    first, leading = record.began, record.leading
                if part:
                    parts.append(part)
                elif not parts:
                    self._only_answer = False
                if ended:
                    self._goodbye = arrival
                    break
            if self._records.unfinished_bytes > TICKET_BYTES:
                self.stream.answer_began()  # nothing but an answer is that long
            if parts or self._goodbye:
                return Received(b"".join(parts), first, arrival, leading, self._only_answer)

    async def close(self) -> None:
        """Say goodbye as TLS does, without waiting for the peer's, and end the connection."""
        # WantRead: our goodbye stands in the buffer; anything else: there is nobody to say it to.
        with suppress(ssl.SSLError, ValueError):
            self._tls.unwrap()
        self._flush_quietly()
        self.stream.close()

    def _decrypt(self) -> tuple[bytes, bool]:
        parts: list[bytes] = []
        while True:
            try:
                part = self._tls.read(65_536)
            except ssl.SSLWantReadError:
                return b"".join(parts), False
            except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
                return b"".join(parts), True
            except ssl.SSLError as error:
                raise Broken(Reason.TLS, in_words(error)) from None
            if not part:
                return b"".join(parts), True
            parts.append(part)

    def _flush_quietly(self) -> None:
        if out := self._outgoing.read():
            self.stream.send_last(out)


class Record(NamedTuple):
    """One TLS record, or bytes that are none.

    Attributes:
        began: the read that brought its first byte.
        leading: that byte was the first of that read.
    """

    data: bytes
    began: Arrival
    leading: bool


class Records:
    """Cuts what is read into TLS records (RFC 8446 section 5.1) and knows in which read each began.

    What is no TLS is passed on as it comes: OpenSSL has the words for it.

    Attributes:
        unfinished_bytes: length of the record that has begun and is not complete, or 0.
    """

    def __init__(self) -> None:
        self.unfinished_bytes = 0
        self._rest = bytearray()
        self._began: tuple[Arrival, bool] | None = None
        self._raw = False

    def complete(self, arrival: Arrival) -> Iterator[Record]:
        """Each record that this read completes."""
        began = self._began or (arrival, True)
        rest = self._rest
        rest += arrival.data
        self.unfinished_bytes = 0
        while len(rest) >= _HEADER_BYTES and not self._raw:
            kind, major, _, length = _RECORD_HEADER.unpack_from(rest)
            self._raw = kind not in _RECORD_TYPES or major != 3 or length > _RECORD_BYTES
            end = _HEADER_BYTES + length
            if self._raw or end > len(rest):
                self.unfinished_bytes = end
                break
            record = bytes(rest[:end])
            del rest[:end]
            yield Record(record, *began)
            began = (arrival, False)
        if self._raw and rest:
            everything = bytes(rest)
            rest.clear()
            yield Record(everything, *began)
        self._began = began if rest else None


def _as_tls(broken: Broken) -> Broken:
    if broken.reason is Reason.REFUSED:
        return Broken(Reason.TLS, broken.detail)
    return broken


def in_words(error: ssl.SSLError) -> str:
    """What a TLS failure means, for a person."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the certificate does not hold: {error.verify_message}"
    reason = (error.reason or "unknown TLS error").replace("_", " ").lower()
    if reason == "wrong version number":
        return "the peer does not speak TLS on this port"
    return f"TLS failed: {reason}"


@lru_cache(maxsize=8)
def client_context(*, insecure: bool = False, ca_file: str | None = None) -> ssl.SSLContext:
    """The TLS settings of every measurement with these options; made once, since loading roots takes 20 ms.

    Args:
        insecure: do not check the certificate at all.
        ca_file: trust exactly the certificates of this PEM file instead of the system's.

    Raises:
        Invalid: `ca_file` is not a readable PEM file.
    """
    if insecure:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif ca_file is not None:
        try:
            context = ssl.create_default_context(cafile=ca_file)
        except ssl.SSLError:
            raise Invalid(f"{ca_file} holds no PEM certificates") from None
        except OSError as error:
            raise Invalid(f"cannot read certificates from {ca_file}: {error.strerror}") from None
    else:
        context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    return context
