"""The writer's side of the link: a bounded queue before one thread that commits.

Reports that wait are committed together: while one flush runs, the next batch gathers. Replies leave only after the
flush. When the queue is full, reports are refused at once with `store-busy`; nodes keep what was not acknowledged.
"""

import asyncio
import os
import socket
import time
import traceback
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from math import ceil
from typing import Any

import msgspec

from nettrace.errors import NetTraceError, StoreBusy, StoreError, WireError
from nettrace.hub.link import (
    FORGET,
    Method,
    Reply,
    Request,
    Taken,
    WriterStatus,
    failure,
    frame,
    methods,
    read_frame,
)
from nettrace.hub.recorder import Incoming, Recorder
from nettrace.runtime.logs import Log
from nettrace.runtime.telemetry import OFF, Tracing

MOST_TOGETHER = 64
"""Reports in one transaction."""
MOST_WAITING_BYTES = 32 << 20
"""Reports in the queue; more are refused."""
_CHORE_S, _BUSY_CHORE_S, _MORE_S, _SICK_S = 0.5, 10.0, 0.1, 10.0
_LOOK_S = 1.0
"""Vantages that wait for work are looked after so often besides: a target's turn may have come."""
_UNHURRIED_S = 0.5
"""Nodes are asked to wait when the queue is longer than this."""


@dataclass
class _Job:
    method: Method
    args: list[Any]
    size: int
    source: asyncio.StreamWriter
    number: int
    trace: str = ""
    until: float = 0.0
    came: float = field(default_factory=time.monotonic)

    def answer(self, reply: bytes) -> None:
        """Send the reply, when there still is somebody."""
        if not self.source.is_closing():
            self.source.write(reply)


class WriterServer:
    """Serves commands to any number of connections, in the order they came."""

    def __init__(
        self, recorder: Recorder, thread: ThreadPoolExecutor, log: Log, tracing: Tracing = OFF
    ) -> None:
        self._recorder = recorder
        self._tracing = tracing
        self._thread = thread
        self._log = log
        self._jobs: deque[_Job] = deque()
        self._idlers: list[_Job] = []
        self._bytes = 0
        self._wake = asyncio.Event()
        self._ending = self._ended = False
        self._connections: set[asyncio.StreamWriter] = set()
        self._upkeep_since: float | None = None
        self._upkeep_problem = ""
        self._status = WriterStatus(pid=os.getpid(), started_at=recorder.now())

    async def serve(self, listener: socket.socket, ended: asyncio.Event) -> None:
        """Answer until `ended`; then what is in the queue is still done and answered."""
        server = await asyncio.start_unix_server(self._talk, sock=listener)
        pump = asyncio.create_task(self._pump())
        waiting = asyncio.create_task(ended.wait())
        await asyncio.wait([pump, waiting], return_when=asyncio.FIRST_COMPLETED)
        server.close()
        self._ending = True
        self._wake.set()
        await pump
        self._ended = True
        for writer in list(self._connections):
            writer.close()
        await asyncio.wait([waiting], timeout=0)
        waiting.cancel()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._ended:
            # Accepted just before the end: nobody is left to answer, and the caller would wait for ever.
            writer.close()
            return
        self._connections.add(writer)
        try:
            while (body := await read_frame(reader)) is not None:
                self._receive(body, writer)
                await writer.drain()
        except (WireError, msgspec.DecodeError) as error:
            self._log.say("link.nonsense", error=str(error))
        except OSError:
            pass  # gone while we answered; what it asked for is done all the same
        finally:
            self._connections.discard(writer)
            self._forget(writer)
            writer.close()

    def _receive(self, body: bytes, writer: asyncio.StreamWriter) -> None:
        request = msgspec.msgpack.decode(body, type=Request)
        if request.method == FORGET:
            self._forget(writer, request.id)
            return
        try:
            job = self._job(request, writer, len(body))
        except NetTraceError as error:
            writer.write(frame(Reply(request.id, error=failure(error))))
            return
        if job.method.name == "status":
            job.answer(frame(Reply(request.id, _raw(self.status()))))
            return
        self._jobs.append(job)
        self._wake.set()

    def _job(self, request: Request, source: asyncio.StreamWriter, size: int) -> _Job:
        method = methods().get(request.method)
        if method is None:
            raise WireError(f"the writer knows no '{request.method}'", "Is it of another version?")
        job = _Job(method, method.read(request.args), size, source, request.id, request.trace)
        if method.name == "claim":
            job.until = time.monotonic() + job.args.pop()
        elif method.name == "take":
            if self._bytes + size > MOST_WAITING_BYTES:
                self._status = msgspec.structs.replace(self._status, refused=self._status.refused + 1)
                raise StoreBusy("the hub has more reports than it can store just now", "Send again later")
            self._bytes += size
        return job

    def _forget(self, source: asyncio.StreamWriter, number: int | None = None) -> None:
        """Nobody waits for work on this connection any more, or not with the call of this number."""
        self._idlers = [
            job
            for job in self._idlers
            if job.source is not source or (number is not None and job.number != number)
        ]

    def status(self) -> WriterStatus:
        """How the writer is, now."""
        now = time.monotonic()
        return msgspec.structs.replace(
            self._status, waiting=len(self._jobs), listening=len(self._idlers), waiting_bytes=self._bytes,
            oldest_s=round(now - self._jobs[0].came, 3) if self._jobs else 0.0,
            upkeep_s=0.0 if self._upkeep_since is None else round(now - self._upkeep_since, 3),
            upkeep_problem=self._upkeep_problem,
        )  # fmt: skip

    async def _pump(self) -> None:
        loop = asyncio.get_running_loop()
        pause, last_chore, last_look = _CHORE_S, loop.time(), loop.time()
        while self._jobs or not self._ending:
            if loop.time() - last_look > _LOOK_S:
                self._look_again()
                last_look = loop.time()
            if not self._jobs:
                self._wake.clear()
                try:
                    async with asyncio.timeout(pause):
                        await self._wake.wait()
                except TimeoutError:
                    pause, last_chore = await self._chore(), loop.time()
                continue
            batch = self._next_batch()
            replies = await loop.run_in_executor(self._thread, self._execute, batch)
            for job, reply in zip(batch, replies, strict=True):
                if reply is None:
                    self._idlers.append(job)
                else:
                    job.answer(reply)
            if batch[0].method.name == "put_request":
                self._look_again()
            if loop.time() - last_chore > _BUSY_CHORE_S and not self._ending:
                pause, last_chore = await self._chore(), loop.time()

        for job in self._idlers:
            job.answer(frame(Reply(job.number, _raw(()))))

    def _look_again(self) -> None:
        """Vantages that wait for work are asked after once more."""
        self._jobs.extend(self._idlers)
        self._idlers.clear()

    async def _chore(self) -> float:
        began = time.monotonic()
        try:
            more = await asyncio.get_running_loop().run_in_executor(self._thread, self._recorder.idle)
        except NetTraceError as error:
            self._log.say("maintain.failed", error=str(error))
            self._upkeep_problem, more = str(error), None
        else:
            self._upkeep_problem = ""
        if more is False:
            self._upkeep_since = None
        elif self._upkeep_since is None:
            self._upkeep_since = began
        return _SICK_S if more is None else _MORE_S if more else _CHORE_S

    def _next_batch(self) -> list[_Job]:
        batch = [self._jobs.popleft()]
        if batch[0].method.name == "take":
            while self._jobs and self._jobs[0].method.name == "take" and len(batch) < MOST_TOGETHER:
                batch.append(self._jobs.popleft())
            self._bytes -= sum(job.size for job in batch)
        return batch

    def _execute(self, batch: list[_Job]) -> Sequence[bytes | None]:
        """In the writer's thread: do it, and make the replies ready."""
        with self._tracing.span(
            f"writer {batch[0].method.name}", "server", [job.trace for job in batch]
        ) as span:
            span.note(commands=len(batch))
            return self._done(batch)

    def _done(self, batch: list[_Job]) -> Sequence[bytes | None]:
        if batch[0].method.name != "take":
            return [self._run(job) for job in batch]
        began = time.monotonic()
        incoming: list[Incoming] = [(job.args[0], job.args[1]) for job in batch]
        try:
            results = self._recorder.take_all(incoming)
        except Exception as error:
            results = [self._unforeseen(error)] * len(batch)
        self._count(incoming, time.monotonic() - began)
        wait_s = self._wait_s()
        replies: list[bytes] = []
        for job, result in zip(batch, results, strict=True):
            if isinstance(result, NetTraceError):
                replies.append(frame(Reply(job.number, error=failure(result))))
            else:
                result_ = Taken(upto_seq=result.upto_seq, wait_s=wait_s)
                replies.append(frame(Reply(job.number, _raw(result_))))
        return replies

    def _run(self, job: _Job) -> bytes | None:
        """The reply, or None when a vantage that waits for work has to wait on."""
        if job.method.name == "claim" and job.source.is_closing():
            return frame(Reply(job.number, _raw(())))
        try:
            value = self._recorder.run(job.method.name, job.args)
            if value == () and time.monotonic() < job.until:
                return None
            return frame(Reply(job.number, _raw(value)))
        except NetTraceError as error:
            met = failure(error)
        except Exception as error:
            met = failure(self._unforeseen(error))
        return frame(Reply(job.number, error=met))

    def _unforeseen(self, error: Exception) -> StoreError:
        """A fault of ours: it is told in full on stderr, and the writer goes on with the next command."""
        self._log.say("writer.fault", error=repr(error), trace="".join(traceback.format_exception(error)))
        return StoreError(f"the hub's writer failed: {error!r}", "Its log has more")

    def _count(self, incoming: list[Incoming], spent_s: float) -> None:
        was = self._status
        self._status = msgspec.structs.replace(
            was,
            commits=was.commits + 1,
            reports=was.reports + len(incoming),
            entries=was.entries + sum(len(report.entries) for report, _ in incoming),
            commit_s=spent_s if not was.commits else 0.9 * was.commit_s + 0.1 * spent_s,
        )

    def _wait_s(self) -> float:
        ahead_s = ceil(len(self._jobs) / MOST_TOGETHER) * self._status.commit_s
        return round(ahead_s, 1) if ahead_s > _UNHURRIED_S else 0.0


def _raw(value: Any) -> msgspec.Raw:
    return msgspec.Raw(msgspec.msgpack.encode(value))
