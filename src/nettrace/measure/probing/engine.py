"""Drives many machines over few sockets: reads, delivers, decides and sends in ticks, never beyond its rate.

Accuracy does not come from waking early: the kernel stamps both ends. So the engine works in ticks of 20 to
100 ms, and wakes for single packets only while little is going on, when nobody would notice the cost.
"""

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from nettrace.errors import Unmeasurable
from nettrace.measure.kernel.clock import Timeline
from nettrace.measure.kernel.stall import StallGuard, host_guard
from nettrace.measure.packets.probe import signature
from nettrace.measure.probing.doubt import HOLD_NS, Doubts
from nettrace.measure.probing.ledger import Ledger
from nettrace.measure.probing.pace import Pace, Tick, burst_of
from nettrace.measure.probing.run import Aimed, Course, Run
from nettrace.measure.probing.shared_flow import SharedFlows
from nettrace.measure.probing.sockets import Sockets
from nettrace.measure.probing.transport import Intake, Shipment, Transport
from nettrace.measure.probing.wakes import Wakes
from nettrace.measure.tracing.politeness import Politeness
from nettrace.model.instant import NS_PER_MS, NS_PER_S, Instant
from nettrace.model.measurement import Grade, Reason
from nettrace.model.path import Departure, Probe, Reply

FEW_RUNS = 8
"""Up to this many machines are served to the millisecond; more are served by ticks."""

MOST_PER_RUN = 16
MOST_PER_STEP = 256
EARLY_WAKES_PER_S = 50
LONELY_NS = 1 * NS_PER_S
"""How long each probe is waited for where only its being alone tells what an answer belongs to."""

ATTENTIVE_NS = 3 * NS_PER_S
"""So long after the last packet went the sockets are looked at in every tick."""

_IDLE_NS = 250 * NS_PER_MS
_MOST_WAYS = 255
_MOST_COURSES = 4096
"""Flows whose way is remembered: the rounds of a series all take the same."""


M = TypeVar("M", bound=Aimed)


class Engine:
    """Runs machines to their end.

    Args:
        sockets: where probes go; closed by whoever opened them.
        rate_pps: most packets a second, all machines together.
        politeness: further budgets by target and network; None on the local command line.
        timeline: for tests.
        guard: for tests.
        tick_ns: how often the sockets are looked at while much is going on; None decides by what goes.
    """

    def __init__(
        self,
        sockets: Sockets,
        *,
        rate_pps: float = 1000.0,
        politeness: Politeness | None = None,
        timeline: Timeline | None = None,
        guard: StallGuard | None = None,
        tick_ns: int | None = None,
    ) -> None:
        self.sockets = sockets
        self.timeline = timeline or Timeline()
        self.sent = 0
        self.rejected = 0
        self._guard = guard or host_guard()
        self._politeness = politeness
        self._tick = Tick(rate_pps, tick_ns)
        self._pace = Pace(rate_pps, 2 * tick_ns if tick_ns else burst_of(rate_pps))
        self._ledger = Ledger(sockets.tags, self.timeline)
        self._transports: list[Transport] = []
        self._ways: dict[tuple[int, int], int] = {}
        self._courses: dict[int, Course] = {}
        self._runs: dict[int, Run] = {}
        self._shared_flows = SharedFlows()
        self._serial = 0
        self._ready: deque[Run] = deque()
        self._left = 0
        self._touched: dict[int, Run] = {}
        self._wakes = Wakes()
        self._ended: list[Aimed] = []
        self._planned: Instant | None = None
        self._last_sent: Instant = 0
        self._early_wakes = float(EARLY_WAKES_PER_S)
        self._doubts = Doubts(self._ledger.answered)
        self._coming = Intake()

    # -- for callers ---------------------------------------------------------------------------------------

    def add(self, machine: Aimed) -> Run:
        """Take a machine in; it is served from the next step on."""
        self._serial += 1
        run = Run(self._serial, machine)
        self._runs[run.serial] = run
        if self._shared_flows.enter(run):
            self._queue(run)
        return run

    @property
    def unfinished(self) -> list[Aimed]:
        """The machines in progress, oldest first: their `result()` is what is known so far."""
        return [run.machine for run in self._runs.values()]

    def drop(self, run: Run) -> None:
        """Send nothing more of a machine that nobody waits for; what comes of its probes is told to no one."""
        if self._runs.pop(run.serial, None) is None:
            return
        self._let_next(run)
        self._touched.pop(run.serial, None)
        if run.queued:
            self._ready.remove(run)

    def ended(self) -> list[Aimed]:
        """The machines that ended since this was last asked, in the order they ended."""
        ended, self._ended = self._ended, []
        return ended

    def run(
        self, machines: Iterable[M], concurrency: int = 1000, stop: Callable[[], bool] | None = None
    ) -> Iterator[M]:
        """Every machine as it ends. Interrupt at any time (or let `stop` say so) and read `unfinished`."""
        waiting = iter(machines)
        machine = next(waiting, None)
        while (machine is not None or self._runs) and not (stop and stop()):
            while machine is not None and len(self._runs) < concurrency:
                self.add(machine)
                machine = next(waiting, None)
            until = self.step()
            ended = self.ended()
            yield from ended  # pyright: ignore[reportReturnType] - only what was put in comes out
            if ended:
                self._planned = None  # what the caller did with them is no stall of this host
            else:
                self.wait(until)

    def step(self) -> Instant:
        """Read, deliver, decide, send. When to be called again at the latest, on `timeline`."""
        intake, self._coming = self._coming, Intake()
        self.sockets.poller.collect(intake)
        now = self.timeline.tick()
        self._early_wakes = min(
            float(EARLY_WAKES_PER_S),
            self._early_wakes + (now - self.timeline.before) * EARLY_WAKES_PER_S / NS_PER_S,
        )
        self._note_trouble(intake, now)
        self._deliver(intake)
        self._ledger.expire(now)
        self._advance(now)
        self._planned = self._next_wake(now)
        return self._planned

    def wait(self, until: Instant) -> None:
        """Sleep until then, or until something arrives while little is going on."""
        now = self.timeline.from_monotonic(time.monotonic_ns())
        if until <= now:
            return
        if len(self._runs) <= FEW_RUNS and self._early_wakes >= 1:
            self._early_wakes -= 1
            self.sockets.poller.wait(until - now)
            return
        self._planned = min(until, now + self._tick.ns)
        time.sleep((self._planned - now) / NS_PER_S)

    # -- what arrived --------------------------------------------------------------------------------------

    def _note_trouble(self, intake: Intake, now: Instant) -> None:
        stalls = self._guard.observe(self._planned, now)
        if not stalls and not intake.overflowed and not intake.link_lost:
            return
        for run in self._runs.values():
            if not run.in_flight:
                continue
            for stall in stalls:
                run.machine.stalled(stall.start, stall.end)
            if intake.overflowed or intake.link_lost:
                run.machine.overflowed(self.timeline.before, now)

    def _deliver(self, intake: Intake) -> None:
        """Departures first; an answer that overtook its probe's stamp makes us look for the stamp again."""
        ledger, runs = self._ledger, self._runs
        self._take_stamps(intake)
        for tag, departure in ledger.overdue(self.timeline.now):
            self._depart(tag, departure)
        intake.answers = self._doubts.sift(intake.answers, self.timeline.now)
        settled = self._doubts.settled(self.timeline.now)
        intake.answers += settled
        if ledger.any_waits(intake.answers):
            self._look_again(intake)
            for answer, _ in intake.answers:
                self._bracket(answer.tag)
        for tag, owner, reply, first in ledger.replies(intake.answers):
            run = runs.get(owner)
            if run is not None:
                self._reply(run, tag, reply, first)
        if intake.clocked:
            self._tick.by_looking()
        for answer, received_ns, half_ns, grade in intake.clocked:
            self._bracket(answer.tag)
            at = self.timeline.from_monotonic(received_ns)
            reply, first = ledger.clocked(answer, at, half_ns, grade)
            run = runs.get(ledger.owner(answer.tag))
            if run is not None:
                self._reply(run, answer.tag, reply, first)
        for answer, _ in settled:
            ledger.drop(answer.tag)  # whoever claims it now comes too late
        self._separate(intake.ambiguous)
        for tag in intake.finished:
            run = runs.get(ledger.owner(tag))
            if run is not None and run.tag == tag:  # an earlier one's end must not hurry the one under way
                run.busy_until = 0
                self._queue(run)
        self.rejected += intake.rejected

    def _look_again(self, intake: Intake) -> None:
        """Read the sockets once more, for stamps; answers that come with them are dealt with in their turn."""
        again = Intake()
        self.sockets.poller.collect(again)
        now = self.timeline.tick()
        self._take_stamps(again)
        if again.overflowed or again.link_lost:
            self._note_trouble(again, now)
        intake.answers += self._doubts.sift(again.answers, now)
        intake.clocked += again.clocked
        intake.ambiguous += again.ambiguous
        intake.finished += again.finished
        intake.rejected += again.rejected

    def _separate(self, ambiguous: list[int]) -> None:
        """Somewhere on these flows routers quote so little that an answer fits several probes.

        From now on such a flow's probes go one by one, each alone until nothing can come any more for the one
        before. What was under way may have been answered, so its silence proves nothing; only an answer that
        names it still counts, and none does once the next probe is on its way.
        """
        for tag in ambiguous:
            run = self._runs.get(self._ledger.owner(tag))
            if run is not None and not run.lonely:
                run.lonely = True
                run.serial_ns = LONELY_NS
                run.busy_until = self.timeline.now + LONELY_NS
                run.earlier = [each for each in ambiguous if self._ledger.owner(each) == run.serial]
                run.machine.overflowed(self.timeline.before, self.timeline.now)

    def _take_stamps(self, intake: Intake) -> None:
        runs = self._runs
        if intake.queued:
            self._ledger.queued(intake.queued)
        for owner, departure in self._ledger.departures(intake.stamps):
            run = runs.get(owner)
            if run is not None:
                run.machine.departed(departure)

    def _bracket(self, tag: int) -> None:
        """An answered probe without a departure stamp left while the system call took it."""
        if self._ledger.waits_for_stamp(tag):
            self._depart(tag, self._ledger.by_bracket(tag))

    def _depart(self, tag: int, departure: Departure) -> None:
        run = self._runs.get(self._ledger.owner(tag))
        if run is not None:
            run.machine.departed(departure)

    def _reply(self, run: Run, tag: int, reply: Reply, first: bool) -> None:  # noqa: FBT001
        run.in_flight -= first
        run.busy_until = 0
        if run.lonely:
            run.busy_until = self.timeline.now + HOLD_NS
            self._ledger.drop(tag)
        unchanged = run.machine.replied(reply)
        if not run.queued and (run.serial_ns or not unchanged):
            self._touched[run.serial] = run

    # -- what goes -----------------------------------------------------------------------------------------

    def _queue(self, run: Run) -> None:
        if not run.queued:
            run.queued = True
            self._ready.append(run)

    def _let_next(self, ended: Run) -> None:
        following = self._shared_flows.leave(ended)
        if following is not None:
            self._queue(following)

    def _advance(self, now: Instant) -> None:
        runs, ready = self._runs, self._ready
        for wake, serial in self._wakes.due(now):
            run = runs.get(serial)
            if run is not None and run.wake == wake:
                run.wake = None
                if not run.queued:
                    run.queued = True
                    ready.append(run)
        self._look_after(now)
        budget = min(self._pace.room(now), MOST_PER_STEP, self._ledger.free)
        cargo: list[list[Shipment]] = [[] for _ in self._transports]
        served: list[Run] = []
        for _ in range(len(ready) if budget else 0):
            run = ready.popleft()
            run.queued = False
            asked = self._ask(run, now, budget, cargo)
            budget -= asked
            served.append(run)
            if budget <= 0:
                break
        self._note_waiting(len(served))
        going = sum(map(len, cargo))
        self._tick.went(going, waiting=bool(ready) or (going > 0 and budget <= 0))
        self._ship(cargo, now)
        for run in served:
            self._schedule(run, now)

    def _note_waiting(self, served: int) -> None:
        """Count the machines that newly wait for the rate of the node itself: those served waited longest."""
        if self._politeness is not None:
            before = max(0, self._left - served)
            self._left = len(self._ready)
            self._politeness.waited["node"] += max(0, self._left - before)

    def _ask(self, run: Run, now: Instant, budget: int, cargo: list[list[Shipment]]) -> int:
        """Ask a machine for probes and load them; how many."""
        room = min(budget, MOST_PER_RUN)
        if run.serial_ns != 0:  # unknown as yet, or one at a time
            room = 0 if run.busy_until > now else 1
        if self._politeness is not None and room:
            room = self._allowed(self._politeness, run, now, room)
        if room <= 0:
            return 0
        count = 0
        for probe in run.machine.due(now, room):
            count += self._load(run, probe, now, cargo)
        if count and self._politeness is not None:
            self._politeness.spend(now, run.machine.address, count)
        return count

    def _allowed(self, politeness: Politeness, run: Run, now: Instant, room: int) -> int:
        """How many probes of a machine its budgets let go now; with none it sleeps until its turn."""
        address = run.machine.address
        granted = politeness.grant(now, address, room, run.turn)
        if granted:
            run.turn = 0
            return granted
        wake = run.machine.wake_at(now)
        if wake is not None and wake <= now:  # else it has nothing to send and takes no place in the line
            run.turn, run.spent = politeness.wait(now, address, run.turn)
        return 0

    def _load(self, run: Run, probe: Probe, now: Instant, cargo: list[list[Shipment]]) -> int:
        route = run.route
        if route is None or route[0] is not probe.flow or route[1] is not probe.address:
            route = run.route = self._route(probe)
            if route is None:
                run.machine.departed(Departure(probe.key, None, 0, Grade.USER, Reason.NOT_PERMITTED))
                return 0
            run.serial_ns = max(run.serial_ns or 0, self._transports[route[3]].serial_ns)
            while len(cargo) <= route[3]:
                cargo.append([])
        tag = self._ledger.open(run.serial, probe.key, route[2], route[4])
        if tag is None:
            run.machine.departed(Departure(probe.key, None, 0, Grade.USER, "too many probes under way"))
            return 0
        cargo[route[3]].append((tag, probe, route[2]))
        run.in_flight += 1
        if run.lonely:
            for each in (run.tag, *run.earlier):
                self._ledger.drop(each)
            run.earlier.clear()
        run.tag = tag
        if run.serial_ns:
            run.busy_until = now + run.serial_ns
        return 1

    def _route(self, probe: Probe) -> Course | None:
        """How a probe goes, packed and numbered; None when the host permits no way."""
        known = self._courses.get(id(probe.flow))
        if known is not None and known[0] is probe.flow and known[1] == probe.address:
            via = known[3]
            way = self._ways.get((via, self._interface(probe.address)))
            if way == known[4]:
                return known
        version = 6 if ":" in probe.address else 4
        try:
            transport = self.sockets.transport(probe.flow.method, version)
        except Unmeasurable:
            return None
        if transport not in self._transports:
            self._transports.append(transport)
        via = self._transports.index(transport)
        # Whether departures are stamped depends on the interface too: tunnels stamp none.
        way = self._ways.setdefault((via, self._interface(probe.address)), min(len(self._ways), _MOST_WAYS))
        course = probe.flow, probe.address, signature(probe.address, probe.flow), via, way
        if len(self._courses) >= _MOST_COURSES:
            self._courses.clear()
        self._courses[id(probe.flow)] = course  # it holds the flow, so nothing else gets its number meanwhile
        return course

    def _interface(self, address: str) -> int:
        try:
            return self.sockets.routes.to(address).interface
        except OSError:  # the transport will say why
            return 0

    def _ship(self, cargo: list[list[Shipment]], now: Instant) -> None:
        intake = Intake()
        ledger = self._ledger
        for transport, batch in zip(self._transports, cargo, strict=False):
            if not batch:
                continue
            self.sent += len(batch)
            self._last_sent = left = now
            sent_before = len(intake.sent)
            transport.send(batch, intake)
            for tags, before, after in intake.sent[sent_before:]:
                ledger.sent(tags, before, after)
                left = self.timeline.from_monotonic(after)
                if not transport.stamps_departures:
                    for tag in tags:
                        self._bracket(tag)
            # From when they had left: what a busy host hands over late must not go beside what may go then.
            self._pace.spend(len(batch), left)
        self._coming = intake.postpone()
        for tag, why in intake.refused:
            run = self._runs.get(ledger.owner(tag))
            departure = ledger.refused(tag, why)
            if run is not None:
                run.in_flight -= 1
                run.busy_until = 0
                run.machine.departed(departure)
        if intake.clocked or intake.finished:
            self._deliver(intake)

    def _look_after(self, now: Instant) -> None:
        """Machines that heard something may have ended, or want to go on at another time than they said."""
        while self._touched:
            _, run = self._touched.popitem()
            if not run.queued:
                self._schedule(run, now)

    def _schedule(self, run: Run, now: Instant) -> None:
        machine = run.machine
        if run.queued and not machine.done:
            return
        wake = machine.wake_at(now)
        if (
            wake is None or run.queued
        ) and machine.done:  # some only find out while they look for the next moment
            if self._runs.pop(run.serial, None) is not None:
                self._ended.append(machine)
                self._let_next(run)
            return
        if wake is not None:
            wake = max(wake, run.busy_until, run.turn)
            if wake <= now:
                self._queue(run)
            elif wake != run.wake:
                self._wakes.add(wake, run.serial)
        run.wake = wake

    def _next_wake(self, now: Instant) -> Instant:
        few = len(self._runs) <= FEW_RUNS
        until = now + _IDLE_NS
        until = min(until, self._wakes.first() or until)
        until = min(until, self._doubts.next_at() or until)
        if self._ready:
            starved = not self._ledger.free
            until = min(until, now + self._tick.ns if starved else self._pace.next_at(now))
        if few:
            return until
        tick = now + self._tick.ns
        if now - self._last_sent < ATTENTIVE_NS:
            return tick
        return max(until, tick)
