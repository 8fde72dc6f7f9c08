"""A STAMP session-sender on a real socket: kernel stamps on both ends of the round trip, one session at a time."""

import asyncio
import secrets
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress

import msgspec

from nettrace.measure.kernel.clock import Reading, read_clocks
from nettrace.measure.kernel.errorqueue import drain_errors, stamp_and_ttl
from nettrace.measure.kernel.stamps import drift_ns
from nettrace.measure.probing.stamp_socket import Clockwork, StampSocket, kernel_wall
from nettrace.measure.probing.transport import refusal
from nettrace.measure.tracing.match import QueuedError
from nettrace.measure.tracing.stamp import StampOptions, StampRound
from nettrace.model.instant import NS_PER_S
from nettrace.model.measurement import Outcome, Reason, StampTest

Allowed = Callable[[], Awaitable[None]]
"""Returns when one more packet may be sent."""

_REFUSED_V4, _REFUSED_V6 = (3, 3), (1, 4)
"""ICMP type and code of "port unreachable"."""


async def _at_once() -> None:
    return


class Session:
    """One session with one reflector; `run` makes it, `result` holds at any moment.

    Args:
        where: target, address and port.
        options: how many probes, how often.
        key: seals every packet, or None.
        wall: our clock.
        allowed: awaited before each packet.
    """

    def __init__(
        self, where: tuple[str, str, int], options: StampOptions, *, key: bytes | None = None,
        wall: Clockwork = kernel_wall, allowed: Allowed = _at_once,
    ) -> None:  # fmt: skip
        self._where = where
        self._options = options
        self._wall = wall()  # one for the whole session: a correction between two stamps is no travel time
        self._allowed = allowed
        self._round = StampRound(where, options, key, secrets.randbelow(0xFFFF) + 1)
        self._readings: list[Reading] = []
        self._news = asyncio.Event()
        self._complete = False
        self._refused: str | None = None

    async def run(self) -> StampTest:
        """The session's result, whatever happens on the way."""
        try:
            self._socket = StampSocket(6 if ":" in self._where[1] else 4)
        except OSError as error:
            return self._unsent(refusal(error))
        loop = asyncio.get_running_loop()
        try:
            try:
                self._socket.sock.connect((self._where[1], self._where[2]))
            except OSError as error:
                return self._unsent(refusal(error))
            loop.add_reader(self._socket.sock, self._readable)
            await self._send_all()
            self._complete = True
        finally:
            loop.remove_reader(self._socket.sock)
            self._socket.sock.close()
        return self.result()

    def result(self) -> StampTest:
        """What is known so far."""
        made = self._round.result(self._wall.estimate, complete=self._complete)
        if made.outcome is Outcome.FAILED and self._refused is not None:
            return msgspec.structs.replace(made, reason=Reason.REFUSED, detail=self._refused)
        return made

    async def _send_all(self) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        count, interval_s = self._options.count, self._options.interval_ns / NS_PER_S
        for number in range(count):
            await asyncio.sleep(max(0.0, began + number * interval_s - loop.time()))
            await self._allowed()
            self._send(number)
        timeout_s = self._options.timeout_ns / NS_PER_S
        await self._answered(range(count), timeout_s)
        if not all(self._round.waits_for(number) for number in range(count)):
            await self._allowed()
            self._send(count)
            await self._answered(range(count + 1), timeout_s)

    def _send(self, number: int) -> None:
        wall = self._wall
        self._readings.append(read_clocks())
        data = self._round.request(wall.now(), wall.estimate)
        problem: OSError | None = None
        for _ in range(2):  # the first may only deliver an ICMP error of an earlier packet
            try:
                self._socket.sock.sendmsg([data], self._socket.numbers.control(number))
            except OSError as error:
                problem = error
                self._socket.numbers.refused()
                continue
            self._socket.numbers.sent(number)
            self._departures()
            return
        self._round.refused(number, refusal(problem) if problem else "not sent")

    async def _answered(self, numbers: range, timeout_s: float) -> None:
        """Return when none of these waits any more, or their time is over."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while any(self._round.waits_for(number) for number in numbers):
                    self._news.clear()
                    await self._news.wait()

    def _readable(self) -> None:
        self._departures()
        while True:
            try:
                data, ancillary, flags, _ = self._socket.sock.recvmsg(2048, 512)
            except OSError:  # nothing more, or an ICMP error that the error queue has told already
                break
            if flags & socket.MSG_TRUNC:
                continue
            now = read_clocks()
            stamp, ttl, _ = stamp_and_ttl(ancillary)
            offset_ns = self._wall.offset_ns
            arrived = (stamp or now.realtime) + offset_ns
            drifts = [drift_ns(before, now) for before in self._readings]
            self._round.heard(data, arrived, kernel=bool(stamp), ttl=ttl, drift_ns=drifts)
            self._news.set()

    def _departures(self) -> None:
        offset_ns = self._wall.offset_ns

        def stamped(number: int, stamp: int, _which: int) -> None:
            tag = self._socket.numbers.tag(number)
            if tag is not None and stamp:
                self._round.left(tag, stamp + offset_ns)

        def heard(error: QueuedError, _stamp: int) -> None:
            refused = _REFUSED_V4 if self._socket.version == 4 else _REFUSED_V6
            if (error.icmp_type, error.icmp_code) == refused:
                self._refused = "nothing listens on that port there"

        drain_errors(self._socket.sock, stamped, heard)

    def _unsent(self, why: str) -> StampTest:
        target, address, port = self._where
        return StampTest(
            target=target, address=address, port=port, at=self._wall.now(), outcome=Outcome.NOT_MEASURED,
            reason=Reason.NOT_PERMITTED, detail=why,
        )  # fmt: skip
