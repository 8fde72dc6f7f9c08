"""The way to the one process that writes: every method of the store's writer, and the hub's own, over a Unix socket.

A frame is a 4-byte length and msgpack: `[id, method, [arguments]]` one way, `[id, value, error]` the other. Types come
from the protocols' annotations, so a method added there travels without a line here. Errors travel by slug.
"""

import asyncio
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cache
from inspect import Parameter, signature
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar, cast, get_type_hints

import msgspec

from nettrace.errors import NetTraceError, Unreachable, WireError
from nettrace.hub.unix_socket import dial
from nettrace.model.instant import Instant
from nettrace.model.target import Target
from nettrace.model.vantage import Clock, Vantage
from nettrace.runtime.telemetry import OFF, Tracing
from nettrace.store.port import StoreWriter
from nettrace.wire.frames import Report, Work

_P = ParamSpec("_P")
_R = TypeVar("_R")
_LENGTH = struct.Struct("!I")
MOST_BYTES = 64 << 20
"""No frame is longer."""
FORGET = "forget"
"""Named instead of a method: whoever made the call of this number no longer waits for it."""
_NOTHING = msgspec.Raw(b"\xc0")
_CONNECT_S = 2.0
"""How long a caller waits for a writer that is just being started again."""


class Taken(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a node's report.

    Attributes:
        upto_seq: everything up to here is on disk.
        wait_s: how long the node had better wait before the next one.
    """

    upto_seq: int
    wait_s: float = 0.0


class WriterStatus(msgspec.Struct, frozen=True, kw_only=True):
    """What the writer says of itself.

    Attributes:
        waiting: commands in its queue.
        commits: group commits since it started; `reports` and `entries` (records and gaps) went into them.
        commit_s: what one takes, smoothed.
        refused: reports it had no room for in its queue.
        listening: calls of vantages that wait for on-demand work.
        waiting_bytes: of the reports in its queue.
        oldest_s: how long the oldest command has waited.
        upkeep_s: for how long sealing, rollups and retention have had more to do than they got done; 0 when all is.
        upkeep_problem: why they cannot, in words.
    """

    pid: int
    started_at: Instant
    waiting: int = 0
    commits: int = 0
    reports: int = 0
    entries: int = 0
    commit_s: float = 0.0
    refused: int = 0
    listening: int = 0
    waiting_bytes: int = 0
    oldest_s: float = 0.0
    upkeep_s: float = 0.0
    upkeep_problem: str = ""


class HubWriter(StoreWriter, Protocol):
    """What the writer process does for others: all of a store's writer, and what only it can know."""

    def take(self, report: Report, clock: Clock | None = None) -> Taken:
        """Store a report with whatever other reports wait, in one transaction.

        Raises:
            NotAllowed: the node is unknown or revoked. StoreFull, StoreBusy: try again later; nothing is lost.
        """
        ...

    def claim(self, vantage: str, wait_s: float = 0.0) -> tuple[Work, ...]:
        """On-demand rounds this vantage is to do now; nobody else is told of them. Waits for some if asked to."""
        ...

    def status(self) -> WriterStatus:
        """How the writer is."""
        ...

    def known_targets(self) -> list[Target]:
        """The targets there are: for commands that write and would not open the store only to look."""
        ...

    def known_nodes(self) -> list[Vantage]:
        """The nodes that ever enrolled."""
        ...

    def setting(self, name: str) -> bytes | None:
        """One of the operator's settings."""
        ...


class Failure(msgspec.Struct, frozen=True, array_like=True):
    """An error on its way through the socket."""

    slug: str
    detail: str
    hint: str = ""


class Request(msgspec.Struct, frozen=True, array_like=True):
    """A call; `args` is decoded once the method is known, `trace` is the W3C traceparent it goes on from."""

    id: int
    method: str
    args: msgspec.Raw
    trace: str = ""


class Reply(msgspec.Struct, frozen=True, array_like=True):
    """Its answer: a value, or an error."""

    id: int
    value: msgspec.Raw = _NOTHING
    error: Failure | None = None


class Method:
    """One method as it travels: how to write and read its arguments and its answer."""

    def __init__(self, name: str, function: Callable[..., Any]) -> None:
        hints = get_type_hints(function)
        fields: list[tuple[str, Any] | tuple[str, Any, Any]] = []
        for parameter in list(signature(function).parameters.values())[1:]:
            if parameter.name == "watcher":  # lives in the writer
                continue
            field = (parameter.name, hints[parameter.name])
            fields.append(field if parameter.default is Parameter.empty else (*field, parameter.default))
        self.name = name
        self.arguments = msgspec.defstruct(f"{name}_arguments", fields, array_like=True, frozen=True)
        self.names = tuple(field[0] for field in fields)
        self.decode_arguments = msgspec.msgpack.Decoder(self.arguments).decode
        self.decode_value: Callable[[bytes | msgspec.Raw], Any] = msgspec.msgpack.Decoder(
            hints["return"]
        ).decode

    def request(self, number: int, args: tuple[Any, ...], keywords: dict[str, Any], trace: str = "") -> bytes:
        """The call as a frame."""
        encoded = msgspec.Raw(msgspec.msgpack.encode(self.arguments(*args, **keywords)))
        return frame(Request(number, self.name, encoded, trace))

    def read(self, raw: msgspec.Raw) -> list[Any]:
        """The arguments in order.

        Raises:
            WireError: they are not what the method takes.
        """
        try:
            arguments = self.decode_arguments(raw)
        except msgspec.DecodeError as error:
            raise WireError(f"'{self.name}' was called with what it does not take: {error}") from error
        return [getattr(arguments, name) for name in self.names]


@cache
def methods() -> dict[str, Method]:
    """Everything that can be called, by name."""
    found: dict[str, Method] = {}
    for kind in (StoreWriter, HubWriter):
        for name, function in vars(kind).items():
            if callable(function) and not name.startswith("_") and name != "close":
                found[name] = Method(name, function)
    return found


def frame(message: Request | Reply) -> bytes:
    """A message with its length before it."""
    body = msgspec.msgpack.encode(message)
    if len(body) > MOST_BYTES:
        raise WireError(f"a frame of {len(body)} bytes is longer than the {MOST_BYTES} that may travel")
    return _LENGTH.pack(len(body)) + body


async def read_frame(reader: asyncio.StreamReader) -> bytes | None:
    """The next message's body, or None when the other side is gone.

    Raises:
        WireError: it announces more than may travel.
    """
    try:
        (length,) = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))
        if length > MOST_BYTES:
            raise WireError(f"a frame of {length} bytes was announced; {MOST_BYTES} may travel")
        return await reader.readexactly(length)
    except (asyncio.IncompleteReadError, OSError):
        return None


def failure(error: NetTraceError) -> Failure:
    """An error made ready to travel."""
    return Failure(error.slug, error.detail, error.hint)


def _family(kind: type[NetTraceError]) -> Iterator[type[NetTraceError]]:
    yield kind
    for child in kind.__subclasses__():
        yield from _family(child)


def raised(met: Failure) -> NetTraceError:
    """The error again, of its own class where that takes two words.

    >>> raised(Failure("store-full", "no room", "make some"))
    StoreFull('no room')
    """
    for kind in _family(NetTraceError):
        if kind.slug == met.slug and kind.__init__ is NetTraceError.__init__:
            return kind(met.detail, met.hint)
    return NetTraceError(met.detail, met.hint)


class WriterLink:
    """The writer as an asyncio program sees it: any number of calls under way at once over one connection.

    `await link.call(HubWriter.take, report)` has the types of the method it names. A call whose connection breaks
    raises Unreachable: it may or may not have happened, as after any crash; the next call connects anew.
    """

    def __init__(self, path: Path, tracing: Tracing = OFF) -> None:
        self._path = path
        self._tracing = tracing
        self._waiting: dict[int, asyncio.Future[Reply]] = {}
        self._number = 0
        self._writer: asyncio.StreamWriter | None = None
        self._reading: asyncio.Task[None] | None = None
        self._connecting = asyncio.Lock()

    async def call(
        self,
        method: Callable[Concatenate[HubWriter, _P], _R],
        *args: _P.args,
        **keywords: _P.kwargs,
    ) -> _R:
        """What the method answers, from the writer's process.

        Raises:
            NetTraceError: whatever the method raised there; Unreachable when there is no writer.
        """
        spec = methods()[method.__name__]
        writer = await self._connected()
        self._number += 1
        number = self._number
        future = asyncio.get_running_loop().create_future()
        self._waiting[number] = future
        try:
            writer.write(spec.request(number, args, keywords, self._tracing.current()))
            with suppress(OSError):  # the reading side tells of a broken connection
                await writer.drain()
            reply = await future
        except asyncio.CancelledError:
            if not writer.is_closing():  # what is answered to nobody is not to be done
                writer.write(frame(Request(number, FORGET, _NOTHING)))
            raise
        finally:
            self._waiting.pop(number, None)
        if reply.error is not None:
            raise raised(reply.error)
        return cast("_R", spec.decode_value(reply.value))

    async def close(self) -> None:
        """Let go of the connection; calls under way raise Unreachable."""
        if self._writer is not None:
            self._writer.close()
        if self._reading is not None:
            await self._reading

    async def _connected(self) -> asyncio.StreamWriter:
        # From here, before the line: whoever stands behind others waits no longer than they do.
        deadline = asyncio.get_running_loop().time() + _CONNECT_S
        async with self._connecting:
            if self._writer is not None and self._reading is not None and not self._reading.done():
                return self._writer
            while True:
                try:
                    link = dial(self._path)
                    break
                except Unreachable:
                    if asyncio.get_running_loop().time() >= deadline:
                        raise
                    await asyncio.sleep(0.02)
            reader, self._writer = await asyncio.open_unix_connection(sock=link)
            self._reading = asyncio.create_task(self._read(reader, self._writer))
            return self._writer

    async def _read(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        decode = msgspec.msgpack.Decoder(Reply).decode
        try:
            while (body := await read_frame(reader)) is not None:
                reply = decode(body)
                future = self._waiting.pop(reply.id, None)
                if future is not None and not future.done():
                    future.set_result(reply)
        finally:
            writer.close()
            for future in self._waiting.values():
                if not future.done():
                    future.set_exception(Unreachable("the hub's writer went away during a call", "Try again"))
            self._waiting.clear()


class BlockingLink:
    """The writer as a plain program sees it: one call after the other, from any thread.

    After a call whose connection broke, which raises Unreachable, the next one connects anew.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._socket: socket.socket | None = dial(path)
        self._lock = threading.Lock()

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("_") or name not in methods():
            raise AttributeError(name)
        spec = methods()[name]

        def ask(*args: Any, **keywords: Any) -> Any:
            with self._lock:
                return self._ask(spec, args, keywords)

        return ask

    def _ask(self, spec: Method, args: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
        link = self._socket = self._socket or dial(self._path)
        try:
            link.sendall(spec.request(1, args, keywords))
            (length,) = _LENGTH.unpack(_exactly(link, _LENGTH.size))
            reply = msgspec.msgpack.decode(_exactly(link, length), type=Reply)
        except OSError as error:
            self._drop()
            raise Unreachable("the hub's writer went away during a call", "Try again") from error
        except (
            BaseException
        ):  # an interrupt in the middle: what comes next on this connection is not our answer
            self._drop()
            raise
        if reply.error is not None:
            raise raised(reply.error)
        return spec.decode_value(reply.value)

    def _drop(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def close(self) -> None:
        """Let go of the connection."""
        self._drop()


def _exactly(link: socket.socket, length: int) -> bytes:
    data = bytearray()
    while len(data) < length:
        more = link.recv(min(length - len(data), 1 << 20))
        if not more:
            raise ConnectionResetError("the other side is gone")
        data += more
    return bytes(data)


def blocking_link(path: Path) -> HubWriter:
    """The writer behind a socket, as if it were here.

    Raises:
        Unreachable: no writer listens there.
    """
    return cast("HubWriter", BlockingLink(path))
