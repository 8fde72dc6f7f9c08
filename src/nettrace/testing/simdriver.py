"""Drives measuring machines through virtual time exactly as an engine drives them on the wire."""

from collections.abc import Callable
from dataclasses import dataclass, field
from heapq import heappop, heappush
from random import Random

import msgspec

from nettrace.measure.tracing.machine import Machine
from nettrace.model.instant import NS_PER_MS, NS_PER_S, Instant
from nettrace.model.measurement import Grade
from nettrace.model.path import Departure, Probe, Reply
from nettrace.testing.simclock import SimClock
from nettrace.testing.simnet import Fate, SimNet

EPOCH: Instant = 1_767_225_600 * NS_PER_S
"""Virtual time begins with the year 2026."""

_SEND_GAP_NS = 5_000
_USER_BRACKET_NS = 50_000


class HostFaults(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What goes wrong on the simulated host itself.

    Attributes:
        stamp_missing: chance that a departure has no kernel stamp; it is bracketed in user space instead.
        stamp_late_ms: departures are told up to this much later, so often after the answer.
        refused: chance that the system refuses to send a probe (`queue full`).
        stall_drop: chance that an answer arriving in a pause is thrown away.
        forbidden: nothing may be sent at all (`not_permitted`).
        guarded: stamps around a step of the clock are replaced by what user space knows, as the engine does;
            if not, they are used as they are.
    """

    stamp_missing: float = 0.0
    stamp_late_ms: float = 0.0
    refused: float = 0.0
    stall_drop: float = 0.5
    forbidden: bool = False
    guarded: bool = True


@dataclass
class Job:
    """A machine at work and the truth about each of its probes."""

    machine: Machine
    started_at: Instant
    fates: dict[int, Fate] = field(default_factory=dict[int, Fate])
    dropped_here: set[int] = field(default_factory=set[int])
    finished_at: Instant | None = None
    on_done: Callable[["Job"], None] | None = None


class SimDriver:
    """Runs many machines on one simulated host. Time jumps from tick to tick in which something happens.

    Args:
        tick_ns: the engine's tick: everything the host does falls on a multiple of it.
        room: most probes sent in one tick.
    """

    def __init__(
        self,
        net: SimNet,
        *,
        clock: SimClock | None = None,
        faults: HostFaults | None = None,
        tick_ns: int = 10 * NS_PER_MS,
        room: int = 256,
        seed: int = 0,
    ) -> None:
        self.net = net
        self.clock = clock or SimClock()
        self.faults = faults or HostFaults()
        self.now: Instant = EPOCH
        self._tick_ns = tick_ns
        self._room = room
        self._random = Random(seed)
        self._jobs: dict[int, Job] = {}
        self._wakes: list[tuple[Instant, int]] = []
        self._starts: list[tuple[Instant, int, Callable[[], Machine], Callable[[Job], None] | None]] = []
        self._departures: list[tuple[Instant, int, int, Departure]] = []
        self._serial = 0
        self._looked_at: Instant = EPOCH

    def add(
        self,
        machine: Callable[[], Machine],
        at: Instant | None = None,
        on_done: Callable[[Job], None] | None = None,
    ) -> None:
        """Start a machine at an instant (now, if None)."""
        self._serial += 1
        heappush(self._starts, (self.now if at is None else at, self._serial, machine, on_done))

    def measure(self, machine: Machine, until: Instant | None = None) -> Job:
        """Run one machine to its end (or to an instant) and return it with the truth."""
        finished: list[Job] = []
        self.add(lambda: machine, on_done=finished.append)
        self.run(until)
        return finished[0] if finished else next(iter(self._jobs.values()))

    def run(self, until: Instant | None = None) -> None:
        """Go on until every machine is done, or until an instant."""
        while (self._jobs or self._starts) and self._advance(until):
            self._tick()

    def _advance(self, until: Instant | None) -> bool:
        """Move to the next tick in which something is to do; False when there is none before `until`."""
        queues = (self._starts, self._wakes, self._departures, self.net.arrivals)
        heads = [queue[0][0] for queue in queues if queue]
        if not heads:
            return False
        ticks = -(-(max(min(heads), self.now) - EPOCH) // self._tick_ns)
        at = max(EPOCH + ticks * self._tick_ns, self.now)
        stall = self.clock.stall_at(at)
        if stall is not None:
            at = stall[1]
        if until is not None and at > until:
            self.now = until
            return False
        self.now = at
        return True

    def _tick(self) -> None:
        now = self.now
        stalls = self.clock.stalls_between(self._looked_at, now)
        for start, end in stalls:
            for job in self._jobs.values():
                job.machine.stalled(start, end)
        if not stalls:
            # The host ticks all the time; only the simulator skips the ticks in which nothing happens.
            self._looked_at = max(self._looked_at, now - self._tick_ns)
        stirred: dict[int, None] = {}
        while self._departures and self._departures[0][0] <= now:
            _, _, token, departure = heappop(self._departures)
            self._tell_departure(token, departure, stirred)
        while self.net.arrivals and self.net.arrivals[0][0] <= now:
            _, _, token, reply = heappop(self.net.arrivals)
            self._tell_reply(token, reply, stirred)
        self._looked_at = now
        self._start_machines(now, stirred)
        while self._wakes and self._wakes[0][0] <= now:
            stirred[heappop(self._wakes)[1]] = None
        for token in stirred:
            if token in self._jobs:
                self._step(token, self._jobs[token])
        # Nothing happens twice in one tick: what is due "now" again is due in the next one.
        self.now = now + 1

    def _start_machines(self, now: Instant, stirred: dict[int, None]) -> None:
        while self._starts and self._starts[0][0] <= now:
            _, token, machine, on_done = heappop(self._starts)
            self._jobs[token] = Job(machine(), now, on_done=on_done)
            stirred[token] = None

    def _step(self, token: int, job: Job) -> None:
        now, machine = self.now, job.machine
        for index, probe in enumerate(machine.due(now, self._room)):
            self._send(token, job, probe, now + index * _SEND_GAP_NS)
        if machine.done:
            job.finished_at = now
            del self._jobs[token]
            if job.on_done:
                job.on_done(job)
            return
        wake = machine.wake_at(now)
        if wake is not None:
            heappush(self._wakes, (max(wake, now + 1), token))

    def _send(self, token: int, job: Job, probe: Probe, at: Instant) -> None:
        faults, random = self.faults, self._random
        if faults.forbidden or (faults.refused and random.random() < faults.refused):
            reason = "not_permitted" if faults.forbidden else "queue full"
            departure = Departure(probe.key, None, 0, Grade.USER, reason)
        else:
            job.fates[probe.key] = self.net.send(at, probe, token)
            # The stamp is the system clock's; it is turned into the machine's time when it is read.
            departure = Departure(probe.key, at + self.clock.offset(at), 0, Grade.KERNEL)
            if faults.stamp_missing and random.random() < faults.stamp_missing:
                error = int((random.random() * 2 - 1) * _USER_BRACKET_NS)
                departure = Departure(probe.key, at + error, _USER_BRACKET_NS, Grade.RECEPTION)
        told_at = at + int(random.random() * faults.stamp_late_ms * NS_PER_MS)
        self._serial += 1
        heappush(self._departures, (told_at, self._serial, token, departure))

    def _stepped_since(self, at: Instant) -> bool:
        """True when the system clock was set after the instant, or since the last look at it."""
        return self.clock.offset(min(at, self._looked_at)) != self.clock.offset(self.now)

    def _tell_departure(self, token: int, departure: Departure, stirred: dict[int, None]) -> None:
        job = self._jobs.get(token)
        if job is None:
            return
        if departure.sent_at is not None and departure.grade is Grade.KERNEL:
            sent_at = departure.sent_at - self.clock.offset(self.now)
            true_at = job.fates[departure.key].sent_at
            if self.faults.guarded and self._stepped_since(true_at):
                # Which side of the step the stamp belongs to is unknown; the bracket around the call is not.
                departure = Departure(departure.key, true_at, _USER_BRACKET_NS, Grade.RECEPTION)
            elif sent_at != departure.sent_at:
                departure = Departure(departure.key, sent_at, 0, Grade.KERNEL)
        job.machine.departed(departure)
        stirred[token] = None

    def _tell_reply(self, token: int, reply: Reply, stirred: dict[int, None]) -> None:
        job = self._jobs.get(token)
        if job is None:
            return
        stamped_at, grade, error_ns = reply.received_at, reply.grade, reply.error_ns
        stall = self.clock.stall_at(stamped_at)
        if stall is not None:
            if self._random.random() < self.faults.stall_drop:
                job.dropped_here.add(reply.key)
                return
            stamped_at = stall[1]
        received_at = stamped_at + self.clock.offset(stamped_at) - self.clock.offset(self.now)
        if self.faults.guarded and self._stepped_since(stamped_at):
            received_at = (self._looked_at + self.now) // 2
            error_ns, grade = (self.now - self._looked_at) // 2 + 1, Grade.USER
        if received_at != reply.received_at or grade is not reply.grade:
            reply = msgspec.structs.replace(reply, received_at=received_at, grade=grade, error_ns=error_ns)
        job.machine.replied(reply)
        stirred[token] = None
