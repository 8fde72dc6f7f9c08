"""Steps the packet engine inside the event loop: no thread of its own, so nobody waits for the interpreter.

Kernel stamps make the moment of waking irrelevant for what is measured; a step of a node's load takes a fraction of
a millisecond (docs/decisions/0096-one-loop.md).
"""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress

from nettrace.measure.probing.engine import FEW_RUNS, Engine
from nettrace.measure.probing.ping import Driving, obstacle, open_sockets
from nettrace.measure.probing.run import Aimed
from nettrace.measure.tracing.politeness import Limits, Politeness, Rate
from nettrace.model.instant import NS_PER_S, Instant
from nettrace.model.measurement import Method

TICK_S = 0.02
"""How often the sockets are looked at while little is under way: a trace goes on when its answers are read."""

BURST_S = 0.1


class Driver:
    """An engine with its sockets and budgets. Use it from one event loop only.

    Args:
        rate_pps: most packets a second, whatever is measured.
        failed: told when the engine itself breaks; nothing is measured after that.
    """

    def __init__(self, rate_pps: float, failed: Callable[[Exception], None]) -> None:
        self.rate_pps = rate_pps
        self.politeness = Politeness(Limits(node=Rate(rate_pps, max(20, int(rate_pps * BURST_S)))))
        self.sockets = open_sockets(Driving(rate_pps=rate_pps))
        self.engine = Engine(self.sockets, rate_pps=rate_pps, politeness=self.politeness)
        self.longest_step_s = 0.0
        self._failed = failed
        self._under_way: dict[int, asyncio.Future[None]] = {}
        self._alarm: asyncio.Handle | None = None
        self._retired = False

    def permits(self, method: Method, address: str) -> str | None:
        """Why this host cannot send such probes, in words, or None."""
        problem = obstacle(self.sockets, method, address)
        return None if problem is None else str(problem)

    def traces_by(self, address: str) -> Method | None:
        """The method of traces: TCP where many probes can be under way, else UDP, ICMP, or TCP one by one.

        TCP is what the endpoint's own traffic is, so it takes the same way and firewalls let it pass.
        """
        if self.permits(Method.TCP, address) is None and self.serial_ns(Method.TCP, address) == 0:
            return Method.TCP
        ladder = (Method.UDP, Method.ICMP, Method.TCP)
        return next((method for method in ladder if self.permits(method, address) is None), None)

    def serial_ns(self, method: Method, address: str) -> int:
        """How long one probe of a flow keeps the next waiting; 0 where all may go at once."""
        return self.sockets.transport(method, 6 if ":" in address else 4).serial_ns

    async def measure(self, machine: Aimed) -> None:
        """Return when the machine has ended. Cancelled, it goes on unheard; its `result()` holds at any moment."""
        future = asyncio.get_running_loop().create_future()
        self._under_way[id(machine)] = future
        self.engine.add(machine)
        # Where many are under way it goes with the next tick's packets: a step for each costs more than it.
        if self._alarm is None or len(self._under_way) <= FEW_RUNS:
            self._wake(0.0)
        await future

    async def allowed(self, address: str, packets: int) -> None:
        """Return when so many packets may go to this address by means other than the engine."""
        for _ in range(packets):
            while not self.politeness.allow(now := self.now(), address):  # noqa: ASYNC110 - time alone grants it
                await asyncio.sleep(max(0.001, (self.politeness.next_at(now, address) - now) / NS_PER_S))

    def now(self) -> Instant:
        """The engine's steady time."""
        return self.engine.timeline.from_monotonic(time.monotonic_ns())

    def retire(self) -> None:
        """Close as soon as nothing is under way."""
        self._retired = True
        self._wake(0.0)

    def close(self) -> None:
        """Close now."""
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        self._retired = True
        for future in self._under_way.values():
            future.cancel()
        self._under_way.clear()
        self.sockets.close()

    def _wake(self, delay_s: float) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
        loop = asyncio.get_running_loop()
        self._alarm = loop.call_soon(self._step) if delay_s <= 0 else loop.call_later(delay_s, self._step)

    def _step(self) -> None:
        self._alarm = None
        began = time.perf_counter()
        try:
            until = self.engine.step()
        except Exception as error:
            self._break(error)
            return
        for machine in self.engine.ended():
            future = self._under_way.pop(id(machine), None)
            if future is not None and not future.done():
                future.set_result(None)
        self.longest_step_s = max(self.longest_step_s, time.perf_counter() - began)
        if self._retired and not self.engine.unfinished:
            self.close()
            return
        delay_s = max(0.001, (until - self.now()) / NS_PER_S)
        self._wake(min(delay_s, TICK_S) if 0 < len(self._under_way) <= FEW_RUNS else delay_s)

    def _break(self, error: Exception) -> None:
        for future in self._under_way.values():
            with suppress(asyncio.InvalidStateError):
                future.set_exception(error)
        self._under_way.clear()
        self._failed(error)
