"""Waiting for sockets: a deadline that does not blame a target for this host's own slowness."""

import asyncio
import errno
import os
import socket
import time
from typing import Final

from nettrace.model.measurement import Outcome, Reason

BEAT_S: Final = 0.005
STALL_S: Final = 0.05
"""A timer this late was held up here, not by the target."""


class Broken(Exception):
    """A conversation that ended early; probers turn it into an `Outcome`, nobody else sees it.

    Attributes:
        outcome: whether it says something about the target or about this host.
        detail: what happened, in words.
        elapsed_ns: how long the target took to say no (a refusal is an answer), or None.
        error_ns: half-width of the error bar of `elapsed_ns`.
        retransmitted: how many times the connection request had been sent again by then.
    """

    def __init__(
        self,
        reason: Reason,
        detail: str,
        *,
        outcome: Outcome = Outcome.FAILED,
        elapsed_ns: int | None = None,
        error_ns: int | None = None,
        retransmitted: int = 0,
    ) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail
        self.outcome = outcome
        self.elapsed_ns = elapsed_ns
        self.error_ns = error_ns
        self.retransmitted = retransmitted


_WORDS = {
    errno.ECONNREFUSED: (Reason.REFUSED, "the connection was refused"),
    errno.ECONNRESET: (Reason.REFUSED, "the connection was reset by the peer"),
    errno.EPIPE: (Reason.REFUSED, "the connection was reset by the peer"),
    errno.ETIMEDOUT: (Reason.TIMEOUT, "the connection timed out"),
    errno.EHOSTUNREACH: (Reason.UNREACHABLE, "the network says the host is unreachable"),
    errno.ENETUNREACH: (Reason.UNREACHABLE, "the network says the net is unreachable"),
    errno.ENOPROTOOPT: (Reason.UNREACHABLE, "the network says the protocol is unreachable"),
    errno.EACCES: (Reason.UNREACHABLE, "the network says the way is prohibited"),
}
_LOCAL_WORDS = {
    errno.ENETUNREACH: (Reason.UNREACHABLE, "this host has no route there"),
    errno.EHOSTUNREACH: (Reason.UNREACHABLE, "this host has no route there"),
    errno.EADDRNOTAVAIL: (Reason.UNREACHABLE, "this host has no address to send from"),
    errno.EAFNOSUPPORT: (Reason.UNREACHABLE, "this host does not speak this address family"),
    errno.EACCES: (Reason.NOT_PERMITTED, "this host does not permit the connection"),
    errno.EPERM: (Reason.NOT_PERMITTED, "this host does not permit the connection"),
}


def broken_by(
    code: int,
    *,
    local: bool = False,
    elapsed_ns: int | None = None,
    error_ns: int | None = None,
    retransmitted: int = 0,
) -> Broken:
    """The kernel's error number as what it says about the target, or (`local`) about this host."""
    if local and code != errno.ECONNREFUSED:
        reason, words = _LOCAL_WORDS.get(code, (Reason.ABORTED, os.strerror(code)))
        return Broken(reason, words, outcome=Outcome.NOT_MEASURED)
    reason, words = _WORDS.get(code, (Reason.UNREACHABLE, os.strerror(code)))
    return Broken(reason, words, elapsed_ns=elapsed_ns, error_ns=error_ns, retransmitted=retransmitted)


class Deadline:
    """The time a target has: extended by whatever this host itself spent not listening.

    Attributes:
        stalled: this host was held up at least once meanwhile.
    """

    def __init__(self, timeout_s: float) -> None:
        self._loop = asyncio.get_running_loop()
        self.timeout_s = timeout_s
        self.stalled = False
        self._at = self._loop.time() + timeout_s

    @property
    def left_s(self) -> float:
        """Seconds left; negative when it is over."""
        return self._at - self._loop.time()

    def forgive(self, seconds: float) -> None:
        """Give back time that data waited for us, not we for data."""
        self._at += seconds
        self.stalled = self.stalled or seconds >= STALL_S

    async def readable(self, sock: socket.socket, within_s: float | None = None) -> bool:
        """Wait until `sock` has data, an error or an end; False when the time is over."""
        return await self._ready(sock, within_s, writing=False)

    async def writable(self, sock: socket.socket, within_s: float | None = None) -> bool:
        """Wait until `sock` takes data, is connected or has failed; False when the time is over."""
        return await self._ready(sock, within_s, writing=True)

    async def _ready(self, sock: socket.socket, within_s: float | None, *, writing: bool) -> bool:
        loop = self._loop
        until = self._at if within_s is None else min(loop.time() + within_s, self._at)
        if await self._once(sock, until, writing=writing):
            return True
        late_s = loop.time() - until
        if late_s < STALL_S:
            return False
        # The loop slept through the timer. What came meanwhile waits in the socket: look once more.
        self.forgive(late_s)
        return await self._once(sock, loop.time(), writing=writing)

    async def _once(self, sock: socket.socket, until: float, *, writing: bool) -> bool:
        loop = self._loop
        descriptor = sock.fileno()
        future: asyncio.Future[bool] = loop.create_future()
        if writing:
            loop.add_writer(descriptor, _ready, future)
        else:
            loop.add_reader(descriptor, _ready, future)
        timer = loop.call_at(until, _late, future)
        try:
            return await future
        finally:
            timer.cancel()
            if writing:
                loop.remove_writer(descriptor)
            else:
                loop.remove_reader(descriptor)


def _ready(future: "asyncio.Future[bool]") -> None:
    if not future.done():
        future.set_result(True)


def _late(future: "asyncio.Future[bool]") -> None:
    if not future.done():
        future.set_result(False)


class LagMeter:
    """How long this event loop was deaf at worst while the meter ran: the error bar of user-space clocks.

    A beat every 5 ms, shared by all meters of a loop, notes how late it is called. A deaf spell of length d
    hides at least one beat that then comes d - 5 ms late or more, so `bar_ns` bounds every spell.
    """

    def __init__(self) -> None:
        self.started_ns = time.monotonic_ns()
        self.worst_s = 0.0
        self._beat = _beat_of(asyncio.get_running_loop())
        self._beat.meters.add(self)

    @property
    def bar_ns(self) -> int:
        """The longest the loop can have been deaf since the meter started, in nanoseconds."""
        return int((BEAT_S + max(self.worst_s, self._beat.overdue_s())) * 1e9)

    def stop(self) -> None:
        """Stop noting; harmless when stopped already."""
        self._beat.meters.discard(self)


class _Beat:
    """The beat of one loop; it ends by itself when nobody measures any more."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.meters: set[LagMeter] = set()
        self._loop = loop
        self._due = loop.time() + BEAT_S
        loop.call_at(self._due, self._strike)

    def overdue_s(self) -> float:
        return self._loop.time() - self._due

    def _strike(self) -> None:
        late_s = self.overdue_s()
        for meter in self.meters:
            meter.worst_s = max(meter.worst_s, late_s)
        if not self.meters:
            _beats.pop(self._loop, None)
            return
        self._due = self._loop.time() + BEAT_S
        self._loop.call_at(self._due, self._strike)


_beats: dict[asyncio.AbstractEventLoop, _Beat] = {}


def _beat_of(loop: asyncio.AbstractEventLoop) -> _Beat:
    for other in [other for other in _beats if other.is_closed()]:
        del _beats[other]
    beat = _beats.get(loop)
    if beat is None:
        beat = _beats[loop] = _Beat(loop)
    return beat
