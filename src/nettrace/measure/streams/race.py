"""IPv6 against IPv4: who connects first, and how long each took (RFC 8305, Happy Eyeballs)."""

import asyncio
from collections.abc import Sequence

import msgspec

from nettrace.measure.streams.deadline import Broken, Deadline
from nettrace.measure.streams.stream import Stream, connect
from nettrace.model.measurement import Outcome, Reason, Stage

ATTEMPT_DELAY_S = 0.25
"""RFC 8305 section 5: the recommended Connection Attempt Delay."""


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """One address of the race.

    Attributes:
        head_start_ns: how much later than the first this attempt began.
        connect: its own connect time, without the wait before; None when it did not connect.
    """

    address: str
    head_start_ns: int
    outcome: Outcome
    connect: Stage | None = None
    reason: Reason | None = None
    detail: str | None = None


class Race(msgspec.Struct, frozen=True, kw_only=True):
    """A race's result: attempts in starting order, and the address that won, or None when nobody did."""

    winner: str | None
    attempts: tuple[Attempt, ...]


async def race(
    addresses: Sequence[str],
    port: int,
    *,
    timeout_s: float = 5.0,
    delay_s: float = ATTEMPT_DELAY_S,
    both: bool = True,
    kernel_stamps: bool = True,
) -> tuple[Race, Stream | None]:
    """Connect to the first address of each family; who won, and the winner's stream for the caller to close.

    The order of finishing is head start plus the kernel's connect time, not the order in which this program
    woke up.

    Args:
        addresses: of one or both families, in the resolver's order.
        port: TCP port.
        timeout_s: for each attempt.
        delay_s: head start of IPv6.
        both: also measure the loser, even one that never had to start; False ends the race at the first
            connection, as a browser does, and the loser's attempt is `aborted`.
        kernel_stamps: as for `stream.connect`.
    """
    gate = _Gate(both=both)
    lanes = [
        _Lane(address, port, timeout_s, delay_s if place else 0.0)
        for place, address in enumerate(_first_of_each(addresses))
    ]
    runs = [asyncio.create_task(lane.run(gate, kernel_stamps=kernel_stamps)) for lane in lanes]
    try:
        waiting = set(runs)
        while waiting and (both or not gate.connected):
            _, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        await _cancel(runs)
    except BaseException:
        await _cancel(runs)
        for lane in lanes:
            lane.close()
        raise
    finished = [lane for lane in lanes if lane.stream]
    winner = min(finished, key=_Lane.finish_ns, default=None)
    for lane in finished:
        if lane is not winner:
            lane.close()
    result = Race(winner=winner.address if winner else None, attempts=tuple(lane.attempt() for lane in lanes))
    return result, winner.stream if winner else None


async def _cancel(runs: Sequence["asyncio.Task[None]"]) -> None:
    for run in runs:
        run.cancel()
    await asyncio.gather(*runs, return_exceptions=True)


def _first_of_each(addresses: Sequence[str]) -> tuple[str, ...]:
    six = next((address for address in addresses if ":" in address), None)
    four = next((address for address in addresses if ":" not in address), None)
    return tuple(address for address in (six, four) if address)


class _Gate:
    """Opens for the second family when the first has failed, or has connected and both figures are wanted."""

    def __init__(self, *, both: bool) -> None:
        self.decided = asyncio.Event()
        self.connected = False
        self._both = both

    def through(self, *, connected: bool) -> None:
        self.connected = self.connected or connected
        if self._both or not connected:
            self.decided.set()


class _Lane:
    """One attempt of the race while it runs."""

    def __init__(self, address: str, port: int, timeout_s: float, wait_s: float) -> None:
        self.address = address
        self.stream: Stream | None = None
        self._port = port
        self._timeout_s = timeout_s
        self._wait_s = wait_s
        self._broken: Broken | None = None

    async def run(self, gate: _Gate, *, kernel_stamps: bool) -> None:
        if self._wait_s:
            await self._wait(gate)
        try:
            deadline = Deadline(self._timeout_s)
            self.stream = await connect(self.address, self._port, deadline, kernel_stamps=kernel_stamps)
        except Broken as broken:
            self._broken = broken
        gate.through(connected=self.stream is not None)

    async def _wait(self, gate: _Gate) -> None:
        loop = asyncio.get_running_loop()
        started = loop.time()
        try:
            await asyncio.wait_for(gate.decided.wait(), self._wait_s)
        except TimeoutError:
            return
        if not gate.connected:
            # RFC 8305 section 5: a failure starts the next attempt at once. After a success this attempt
            # only gives a figure for comparison and keeps its nominal, losing, start.
            self._wait_s = loop.time() - started

    def finish_ns(self) -> int:
        return int(self._wait_s * 1e9) + (self.stream.connect.duration_ns if self.stream else 0)

    def attempt(self) -> Attempt:
        head_start_ns = int(self._wait_s * 1e9)
        if self.stream:
            return Attempt(
                address=self.address,
                head_start_ns=head_start_ns,
                outcome=Outcome.MEASURED,
                connect=self.stream.connect,
            )
        broken = self._broken or Broken(
            Reason.ABORTED, "the other family had connected already", outcome=Outcome.NOT_MEASURED
        )
        return Attempt(
            address=self.address,
            head_start_ns=head_start_ns,
            outcome=broken.outcome,
            reason=broken.reason,
            detail=broken.detail,
        )

    def close(self) -> None:
        if self.stream:
            self.stream.close()
