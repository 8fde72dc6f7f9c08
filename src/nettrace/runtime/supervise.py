"""Keeps the programs of one service running: starts them in order, restarts what crashed, ends them in reverse order.

One thread, no event loop: pidfds and a signal pipe in one selector. Children are in process groups of their own, so
that Ctrl-C reaches only the supervisor, and the kernel ends them when it dies, however it dies (PR_SET_PDEATHSIG).
"""

import ctypes
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from nettrace.errors import NetTraceError
from nettrace.runtime.logs import Log

_PR_SET_PDEATHSIG = 1
_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.1, 10.0
_SETTLED_S = 10.0
"""Who lived so long is started again at once; who did not waits twice as long as before."""
_LOOK_S = 0.05


class Startup(NetTraceError):
    """A program of the service did not come up."""

    slug = "startup"


@dataclass(frozen=True, kw_only=True)
class Program:
    """A program to keep running.

    Attributes:
        stage: lower ones are started, and ready, before higher ones, and ended after them.
        ready: asked until it says yes; None is ready at once.
        fds: descriptors it inherits, under the same numbers.
        end_s: what it gets to end by itself after SIGTERM.
        needed: without it the service cannot start at all.
        log: where what it says on stderr is appended; None is the supervisor's own stderr.
    """

    name: str
    command: Sequence[str]
    stage: int
    ready: Callable[[], bool] | None = None
    fds: tuple[int, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict[str, str])
    end_s: float = 1.5
    needed: bool = True
    log: Path | None = None


@dataclass
class _Child:
    program: Program
    process: "subprocess.Popen[bytes] | None" = None
    pidfd: int = -1
    started: float = 0.0
    wait_s: float = _FIRST_WAIT_S
    again_at: float | None = None


class Supervisor:
    """Runs programs until it is told to end.

    Args:
        start_s: how long all of it may take to be ready: beyond it something hangs. A program that ends is said at once.
    """

    def __init__(self, programs: Sequence[Program], log: Log, *, start_s: float = 120.0) -> None:
        self._children = [_Child(program) for program in sorted(programs, key=lambda each: each.stage)]
        self._log = log
        self._start_s = start_s
        self._selector = selectors.DefaultSelector()
        self._reading, self._writing = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._selector.register(self._reading, selectors.EVENT_READ, None)
        self._ended_by: int | None = None
        self._closing = False
        self._before: dict[int, object] = {}

    def __enter__(self) -> "Supervisor":
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            self._before[number] = signal.signal(number, self._on_signal)
        signal.set_wakeup_fd(self._writing, warn_on_full_buffer=False)
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.end()
        finally:
            signal.set_wakeup_fd(-1)
            for number, before in self._before.items():
                signal.signal(number, before)  # pyright: ignore[reportArgumentType]
            self._selector.close()
            os.close(self._reading)
            os.close(self._writing)

    @property
    def ending(self) -> bool:
        """True once a signal asked for the end, or it has begun."""
        return self._ended_by is not None or self._closing

    def pids(self) -> dict[str, int]:
        """The processes that run, by their program's name."""
        return {
            child.program.name: child.process.pid for child in self._children if child.process is not None
        }

    def add(self, program: Program) -> None:
        """Keep one more program running, from now on."""
        child = _Child(program)
        self._children.append(child)
        self._start(child)

    def start(self) -> None:
        """Start everything, stage by stage; returns when all are ready, or a signal came.

        Raises:
            Startup: a program that is needed ended, or was not ready in time.
        """
        deadline = time.monotonic() + self._start_s
        for stage in sorted({child.program.stage for child in self._children}):
            members = [child for child in self._children if child.program.stage == stage]
            for child in members:
                self._start(child)
            for child in members:
                self._await_ready(child, deadline)

    def watch(self, seconds: float | None = None) -> None:
        """Restart what crashes, until a signal asks for the end or the time is over."""
        until = None if seconds is None else time.monotonic() + seconds
        while not self.ending and (until is None or time.monotonic() < until):
            self._turn(self._patience(until))

    def end(self) -> None:
        """End everything, the last stage first; who does not end in its time is killed."""
        self._closing = True
        for stage in sorted({child.program.stage for child in self._children}, reverse=True):
            members = [child for child in self._children if child.program.stage == stage and child.process]
            for child in members:
                self._send(child, signal.SIGTERM)
            began = time.monotonic()
            for child in members:
                self._await_end(child, began + child.program.end_s)

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        self._ended_by = number

    def _start(self, child: _Child) -> None:
        program, parent = child.program, os.getpid()
        with program.log.open("ab") if program.log else nullcontext() as log:
            child.process = subprocess.Popen(  # noqa: S603 - commands of our own making
                list(program.command),
                stdin=subprocess.DEVNULL,
                stderr=log,
                pass_fds=program.fds,
                env={**os.environ, **program.environment},
                process_group=0,
                preexec_fn=lambda: _die_with(parent),  # noqa: PLW1509 - this process has one thread
            )
        child.pidfd = os.pidfd_open(child.process.pid)
        child.started, child.again_at = time.monotonic(), None
        self._selector.register(child.pidfd, selectors.EVENT_READ, child)

    def _await_ready(self, child: _Child, deadline: float) -> None:
        ready = child.program.ready
        while not self.ending and child.program.needed:
            if child.process is None:
                raise Startup(f"{child.program.name} ended instead of starting", "Its message stands above")
            if ready is None or ready():
                return
            if time.monotonic() > deadline:
                raise Startup(f"{child.program.name} was not ready within {self._start_s:g} s")
            self._turn(_LOOK_S)

    def _patience(self, until: float | None) -> float | None:
        times = [child.again_at for child in self._children if child.again_at is not None]
        times += [until] if until is not None else []
        return max(0.0, min(times) - time.monotonic()) if times else None

    def _turn(self, patience_s: float | None) -> None:
        """Wait for something to happen and deal with it."""
        for key, _ in self._selector.select(patience_s):
            if key.data is None:
                with suppress(BlockingIOError):
                    os.read(self._reading, 512)
            else:
                self._bury(key.data)
        now = time.monotonic()
        for child in self._children:
            if child.again_at is not None and now >= child.again_at and not self.ending:
                self._start(child)

    def _bury(self, child: _Child) -> None:
        if child.process is None:
            return
        code = child.process.wait()
        self._selector.unregister(child.pidfd)
        os.close(child.pidfd)
        child.process, child.pidfd = None, -1
        if self.ending:
            return
        now = time.monotonic()
        child.wait_s = (
            _FIRST_WAIT_S if now - child.started >= _SETTLED_S else min(2 * child.wait_s, _LONGEST_WAIT_S)
        )
        child.again_at = now + child.wait_s
        self._log.say("child.ended", name=child.program.name, how=_how(code), again_in_s=child.wait_s)

    def _send(self, child: _Child, number: int) -> None:
        if child.process is not None:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(child.pidfd, number)

    def _await_end(self, child: _Child, deadline: float) -> None:
        process = child.process
        if process is None:
            return
        try:
            process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            self._log.say("child.killed", name=child.program.name, after_s=child.program.end_s)
            self._send(child, signal.SIGKILL)
            process.wait()
        self._bury(child)


def _how(code: int) -> str:
    return f"exit {code}" if code >= 0 else f"signal {signal.Signals(-code).name}"


_libc = ctypes.CDLL(None, use_errno=True)


def _die_with(parent: int) -> None:
    """In a child, before its program: let the kernel end it when its parent dies."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != parent:  # it died between the fork and the call
        os._exit(1)
