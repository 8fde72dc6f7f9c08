"""The soak's ledger, outside of nodes and hub: every report passes here, and so does the answer that acknowledges it."""

import asyncio
import socket
import threading
import time
import zlib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field

import msgspec

from nettrace.model.instant import Instant
from nettrace.wire.frames import Ack, Gap, Record, Report

REPORT = b"POST /api/v1/nodes/report "
Name = tuple[str, str, str, str, Instant]
"""Vantage, target, endpoint, method, due: what makes a round one."""


@dataclass
class Ledger:
    """What was seen to be sent, and what was seen to be acknowledged.

    Attributes:
        sent: rounds by node, epoch and number, as they were first seen.
        gaps: stated gaps, the same way.
        heard_at: by node, when its newest report was acknowledged.
        acknowledged: by node and epoch, up to where the hub said that it has it.
        backlog: by node, what its newest report said of its spool, and the version it said it was.
    """

    sent: dict[tuple[str, str, int], Name] = field(default_factory=dict)
    gaps: dict[tuple[str, str, int], Gap] = field(default_factory=dict)
    acknowledged: dict[tuple[str, str], int] = field(default_factory=dict)
    heard_at: dict[str, Instant] = field(default_factory=dict)
    backlog: dict[str, int] = field(default_factory=dict)
    version: dict[str, str] = field(default_factory=dict)
    newest: dict[str, tuple[dict[str, str], bytes]] = field(default_factory=dict)
    changed: int = 0
    went_back: int = 0
    reports: int = 0
    cut: int = 0

    def note_sent(self, region: str, report: Report) -> None:
        """A report on its way to the hub. A number that comes to mean something else is counted."""
        for entry in report.entries:
            key = (report.node, report.epoch, entry.seq)
            if isinstance(entry, Record):
                name = (region, entry.target, entry.endpoint, entry.method.value, entry.due)
                self.changed += self.sent.setdefault(key, name) != name
            else:
                self.gaps[key] = entry
        self.version[report.node] = report.version

    def note_acknowledged(self, report: Report, ack: Ack) -> None:
        """The hub's answer on its way to the node; it can only grow."""
        key = (report.node, report.epoch)
        self.reports += 1
        self.went_back += ack.upto_seq < self.acknowledged.get(key, 0)
        self.acknowledged[key] = max(ack.upto_seq, self.acknowledged.get(key, 0))
        self.heard_at[report.node] = time.time_ns()
        self.backlog[report.node] = report.backlog - len(report.entries)

    def safe(self) -> list[Name]:
        """Every round that was acknowledged."""
        return [
            name
            for (node, epoch, seq), name in self.sent.items()
            if seq <= self.acknowledged.get((node, epoch), 0)
        ]


class Gate:
    """Carries requests from sockets inside the vantages to the hub, one asyncio loop in a thread of its own."""

    def __init__(self, listeners: Mapping[str, socket.socket], hub_port: int) -> None:
        self.ledger = Ledger()
        self._listeners = listeners
        self._hub_port = hub_port
        self._cut: set[str] = set()
        self._open: dict[str, set[asyncio.StreamWriter]] = {region: set() for region in listeners}
        self._carrying: set[asyncio.Task[None]] = set()
        self._servers: list[asyncio.Server] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="gate", daemon=True)

    def start(self) -> None:
        """Begin to carry."""
        self._thread.start()

    def partition(self, region: str) -> None:
        """Nothing passes between this vantage and the hub: what is open breaks, what is new is hung up on."""
        self._cut.add(region)
        self._loop.call_soon_threadsafe(self._break, region)

    def heal(self, region: str) -> None:
        """Let it pass again."""
        self._cut.discard(region)

    def close(self) -> None:
        """Carry nothing more."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        for region, listener in self._listeners.items():
            self._loop.run_until_complete(self._serve(region, listener))
        self._loop.run_forever()
        for server in self._servers:
            server.close()
        for task in (tasks := asyncio.all_tasks(self._loop)):
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        self._loop.close()

    async def _serve(self, region: str, listener: socket.socket) -> None:
        async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            self._carrying.add(task)  # the loop itself holds tasks weakly
            task.add_done_callback(self._carrying.discard)
            await self._carry(region, reader, writer)

        self._servers.append(await asyncio.start_server(carry, sock=listener))

    def _break(self, region: str) -> None:
        for writer in self._open[region]:
            self.ledger.cut += 1
            writer.transport.abort()

    async def _carry(self, region: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        hub: asyncio.StreamWriter | None = None
        self._open[region].add(writer)
        try:
            if region in self._cut:
                return
            back, hub = await asyncio.open_connection("127.0.0.1", self._hub_port)
            while True:
                await self._exchange(region, (reader, writer), (back, hub))
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            return  # either side went away, or the soak is over: the other one is told by closing
        finally:
            self._open[region].discard(writer)
            for each in (writer, hub):
                if each is not None:
                    with suppress(OSError):
                        each.close()

    async def _exchange(
        self,
        region: str,
        node: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        hub: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    ) -> None:
        """One request and its answer. What is cut off in between was not acknowledged."""
        head, body = await _message(node[0])
        report = None
        if head.startswith(REPORT):
            report = msgspec.msgpack.decode(zlib.decompress(body), type=Report)
            self.ledger.note_sent(region, report)
            self.ledger.newest[region] = (_headers(head), body)
        hub[1].write(head + body)
        await hub[1].drain()
        answer, content = await _message(hub[0])
        if region in self._cut:
            raise ConnectionResetError
        if report is not None and answer.split(b" ", 2)[1] == b"200":
            self.ledger.note_acknowledged(report, msgspec.msgpack.decode(content, type=Ack))
        node[1].write(answer + content)
        await node[1].drain()


async def _message(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(_headers(head).get("content-length", "0"))
    return head, await reader.readexactly(length)


def _headers(head: bytes) -> dict[str, str]:
    lines = head.decode("latin-1").split("\r\n")[1:]
    pairs = (line.partition(":") for line in lines if line)
    return {name.lower(): value.strip() for name, _, value in pairs}
