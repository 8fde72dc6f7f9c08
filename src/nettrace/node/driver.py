"""Steps the packet engine inside the event loop: no thread of its own, so nobody waits for the interpreter.

Kernel stamps make the moment of waking irrelevant for what is measured; a step of a node's load takes a fraction of
a millisecond (docs/decisions/0096-one-loop.md).
"""

import asyncio
import errno
import time
from collections import Counter
from collections.abc import Callable
from math import inf

from nettrace.measure.probing.engine import FEW_RUNS, Engine
from nettrace.measure.probing.ping import Driving, obstacle, open_sockets
from nettrace.measure.probing.run import Aimed, Run
from nettrace.measure.tracing.politeness import Limits, Politeness, Rate
from nettrace.model.instant import NS_PER_S, Instant
from nettrace.model.measurement import Method

TICK_S = 0.02
"""How often the sockets are looked at while little is under way: a trace goes on when its answers are read."""

BURST_S = 0.1
OVERDUE_EVERY_S = 1.0
"""How often it is looked whether a machine took longer than it may."""

Ended = Callable[[BaseException | None], None]
"""Told once that a machine ended or that its time is up; with the error when the engine broke or was closed under it."""


class Driver:
    """An engine with its sockets and budgets. Use it from one event loop only.

    Args:
        rate_pps: most packets a second, whatever is measured.
        failed: told when the engine itself breaks; nothing is measured after that.

    Attributes:
        before: called before every step, so that what is due then goes with it.
        unsent: rounds whose time was up while they waited for a spent budget, by its name.
    """

    def __init__(self, rate_pps: float, failed: Callable[[Exception], None]) -> None:
        self.rate_pps = rate_pps
        self.politeness = Politeness(Limits(node=Rate(rate_pps, max(20, int(rate_pps * BURST_S)))))
        self.sockets = open_sockets(Driving(rate_pps=rate_pps, sparing=True))
        self.engine = Engine(self.sockets, rate_pps=rate_pps, politeness=self.politeness)
        self.longest_step_s = 0.0
        self.before: Callable[[], None] = _nothing
        self.unsent: Counter[str] = Counter()
        self._failed = failed
        self._under_way: dict[int, tuple[Run, Ended, float]] = {}
        self._look_at = 0.0
        self._alarm: asyncio.Handle | None = None
        self._stepping = self._retired = self._closed = False

    @property
    def busy(self) -> bool:
        """So much is under way that it is served by ticks: what begins now goes with the next one."""
        return len(self._under_way) > FEW_RUNS

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

    def begin(self, machine: Aimed, ended: Ended, limit_s: float = inf) -> None:
        """Serve a machine from the next tick on. It is dropped after `limit_s`: then its `result()` is what is known.

        Raises:
            OSError: this was closed meanwhile.
        """
        if self._closed:
            raise OSError(errno.ESHUTDOWN, "this node measures with other sockets by now")
        self._under_way[id(machine)] = self.engine.add(machine), ended, time.monotonic() + limit_s
        # Where many are under way it goes with the next tick's packets: a step for each costs more than it.
        if not self._stepping and (self._alarm is None or not self.busy):
            self._wake(0.0)

    def leave(self, machine: Aimed) -> None:
        """Nobody waits for the machine any more: nothing more is sent of it, nothing told."""
        known = self._under_way.pop(id(machine), None)
        if known is not None:
            self.engine.drop(known[0])

    def waits_for(self, machine: Aimed) -> str | None:
        """The spent budget (`politeness.BUDGETS`) whose turn the machine waits for, or None."""
        known = self._under_way.get(id(machine))
        return known[0].spent if known is not None and known[0].turn else None

    async def measure(self, machine: Aimed, limit_s: float = inf) -> None:
        """Return when the machine has ended or its time is up. Its `result()` holds at any moment, also when cancelled."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def ended(error: BaseException | None) -> None:
            if not future.done():
                future.set_result(None) if error is None else future.set_exception(error)

        self.begin(machine, ended, limit_s)
        try:
            await future
        finally:
            self.leave(machine)

    async def allowed(self, address: str, packets: int) -> None:
        """Return when so many packets may go to this address by means other than the engine."""
        politeness = self.politeness
        for _ in range(packets):
            promised: Instant = 0
            while politeness.turn(now := self.now(), address, promised) > now:
                promised = politeness.wait(now, address, promised)[0] if promised <= now else promised
                await asyncio.sleep(max(0.001, (promised - now) / NS_PER_S))
            politeness.spend(now, address)

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
        self._retired = self._closed = True
        left = list(self._under_way.values())
        self._under_way.clear()
        self._tell(left, asyncio.CancelledError())
        self.sockets.close()

    def _wake(self, delay_s: float) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
        loop = asyncio.get_running_loop()
        self._alarm = loop.call_soon(self._step) if delay_s <= 0 else loop.call_later(delay_s, self._step)

    def _step(self) -> None:
        self._alarm = None
        began = time.perf_counter()
        self._stepping = True
        try:
            self.before()
            until = self.engine.step()
        except Exception as error:
            self._break(error)
            return
        finally:
            self._stepping = False
        ended = [
            each
            for machine in self.engine.ended()
            if (each := self._under_way.pop(id(machine), None)) is not None
        ]
        ended += self._overdue()
        if not self._retired or self.engine.unfinished:
            delay_s = max(0.001, (until - self.now()) / NS_PER_S)
            self._wake(min(delay_s, TICK_S) if 0 < len(self._under_way) <= FEW_RUNS else delay_s)
        self._tell(ended, None)
        self.longest_step_s = max(self.longest_step_s, time.perf_counter() - began)
        if self._retired and not self.engine.unfinished:
            self.close()

    def _overdue(self) -> list[tuple[Run, Ended, float]]:
        """The machines whose time is up: out of the engine, with what is known of them."""
        now = time.monotonic()
        if now < self._look_at:
            return []
        self._look_at = now + OVERDUE_EVERY_S
        late = [each for each in self._under_way.values() if each[2] <= now]
        for run, _, _ in late:
            del self._under_way[id(run.machine)]
            self.engine.drop(run)
            if run.turn:
                self.unsent[run.spent] += 1
        return late

    def _break(self, error: Exception) -> None:
        broken = list(self._under_way.values())
        self._under_way.clear()
        self._tell(broken, error)
        self._failed(error)

    @staticmethod
    def _tell(which: list[tuple[Run, Ended, float]], error: BaseException | None) -> None:
        for _, ended, _ in which:
            ended(error)


def _nothing() -> None:
    """Nobody wants to know."""
