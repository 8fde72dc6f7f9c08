"""A sweep over raw sockets: the loop that drains, decides, sends and rests.

Its rest is planned, not woken by each reply, because times come from the kernel's stamps and not from the moment
somebody reads them.
"""

import select
import time
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from nettrace.measure.kernel.clock import Timeline
from nettrace.measure.sweeping.leg import BATCH, Leg
from nettrace.measure.sweeping.lines import About, Lines
from nettrace.measure.sweeping.request import SweepRequest, port_of, unmeasured
from nettrace.measure.sweeping.targets import Pinned, Targets
from nettrace.measure.tracing.pacer import Pacer
from nettrace.measure.tracing.sweep import CLOSED
from nettrace.measure.tracing.sweep_table import SweepOptions
from nettrace.model.instant import NS_PER_MS, NS_PER_S, Instant
from nettrace.model.measurement import Outcome, Reason
from nettrace.model.path import Trace

STALL_NS = 250 * NS_PER_MS
"""Waking later than planned by more than this makes losses under way doubtful. A shorter pause of this process
loses nothing: the kernel goes on stamping and keeping replies, and they are read before anything is given up."""

LONGEST_REST_NS = 20 * NS_PER_MS
_ADMITTED_AT_ONCE = 512
_BATCHES_AT_ONCE = 4
_SETTLING_S = 0.0003


class Ended(NamedTuple):
    """A row to be read before the next step."""

    lines: Lines
    row: int
    pinned: Pinned

    def line(self) -> tuple[str, Outcome]:
        """Its document with a line feed, and its outcome."""
        return self.lines.line(self.row, self.pinned)

    def trace(self, *, aborted: bool = False) -> Trace:
        """It as an object."""
        return self.lines.trace(self.row, self.pinned, aborted=aborted)


Finished = list["Ended | Trace"]
"""What one step finished: rows, and traces that could not even begin."""


class Run:
    """One sweep in progress.

    Attributes:
        resting: the loop is about to sleep: a good moment to write.
    """

    def __init__(self, targets: Iterable[str], request: SweepRequest) -> None:
        self.request = request
        self.resting = False
        self._targets = Targets(targets, request.version)
        self._timeline = Timeline()
        self._pacer = Pacer(request.rate_pps, self._timeline.now)
        self._next_tick: Instant = self._timeline.now
        self._legs: dict[int, Leg] = {}
        self._lines: dict[Leg, Lines] = {}
        self._options = SweepOptions(
            max_ttl=request.max_ttl,
            probes_per_hop=request.probes_per_hop,
            timeout_ns=int(request.timeout_s * NS_PER_S),
            rate_pps=request.rate_pps,
            patience_ns=int(request.patience_s * NS_PER_S),
        )
        self._poll = select.poll()

    def close(self) -> None:
        """Gives the sockets back."""
        for leg in self._legs.values():
            leg.close()
        self._targets.close()

    def aborted(self) -> list[Trace]:
        """What is under way, as far as it came; what a step has finished is not in it."""
        return [
            self._ended(leg, row).trace(aborted=True)
            for leg in self._legs.values()
            for row, flags in leg.sweep.flags.items()
            if not flags & CLOSED
        ]

    def _ended(self, leg: Leg, row: int) -> Ended:
        return Ended(self._lines[leg], row, leg.rows[row])

    def steps(self) -> Iterator[Finished]:
        """Does the sweep; what each step finished must be read before the next."""
        timeline = self._timeline
        planned: Instant | None = None
        steps = timeline.steps
        while True:
            now = timeline.tick()
            if timeline.steps != steps:
                steps = timeline.steps
                for leg in self._legs.values():
                    leg.clock_stepped()
            failed = self._admit(now)
            stalled = planned is not None and now - planned > STALL_NS
            for leg in self._legs.values():
                if stalled:
                    leg.sweep.stalled(now)
                leg.receive(now)
                leg.sweep.expire(now)
            blocked = self._send(now)
            finished: Finished = [
                self._ended(leg, row) for leg in self._legs.values() for row in leg.sweep.finished
            ]
            planned = self._rest_until(blocked=blocked)
            self.resting = planned > now
            if finished or failed:
                yield [*failed, *finished]
                self._release(now)
            if self._targets.done and not any(leg.sweep.active for leg in self._legs.values()):
                return
            self._rest(planned, blocked=blocked)

    def _release(self, now: Instant) -> None:
        for leg in self._legs.values():
            for row in leg.sweep.finished:
                leg.sweep.release(row, now)
            leg.sweep.finished.clear()

    # -- targets in ----------------------------------------------------------------------------------------

    def _admit(self, now: Instant) -> list[Trace]:
        failed: list[Trace] = []
        active = sum(leg.sweep.active for leg in self._legs.values())
        waiting = sum(leg.sweep.unasked for leg in self._legs.values())
        room = min(_ADMITTED_AT_ONCE - waiting, self._options.rows - active)
        for pinned in self._targets.take(room):
            address = pinned.address
            if address is None:
                failed.append(
                    unmeasured(
                        pinned,
                        self.request,
                        self._timeline.utc(now),
                        Outcome.FAILED,
                        Reason.DNS,
                        pinned.problem,
                    )
                )
                continue
            try:
                self._leg(6 if ":" in address else 4).admit(pinned, address, now)
            except OSError as problem:
                detail = problem.strerror or str(problem)
                failed.append(
                    unmeasured(
                        pinned,
                        self.request,
                        self._timeline.utc(now),
                        Outcome.NOT_MEASURED,
                        Reason.VANTAGE_DOWN,
                        detail,
                    )
                )
        return failed

    def _leg(self, version: int) -> Leg:
        leg = self._legs.get(version)
        if leg is None:
            request = self.request
            leg = self._legs[version] = Leg(
                version, request.method, request.port, request.flow, self._options
            )
            about = About(
                request.method,
                version,
                port_of(request),
                request.flow,
                self._timeline.utc,
                lambda: leg.bracket_ns,
            )
            self._lines[leg] = Lines(leg.sweep, leg.replies.addresses, about)
            for descriptor in leg.descriptors:
                self._poll.register(descriptor, select.POLLIN)
        return leg

    # -- packets out ---------------------------------------------------------------------------------------

    def _send(self, now: Instant) -> bool:
        """Sends what the rate and the machines allow, once a tick; True when it is not the rate that holds us back.

        After a stall several batches go at once, as many as the pacer makes up for.
        """
        pacer = self._pacer
        room = pacer.allowance(now)
        if now < self._next_tick or room < min(pacer.quantum, BATCH):
            return False
        sent = 0
        batches = min(1 + (now - self._next_tick) // pacer.tick_ns, _BATCHES_AT_ONCE)
        for leg in self._legs.values():
            for _ in range(batches):
                took = leg.send(min(room - sent, BATCH), now) if sent < room else 0
                sent += took
                if took < BATCH:
                    break
        pacer.spend(sent, self._timeline.from_monotonic(time.monotonic_ns()) if sent else now)
        self._next_tick = now + pacer.tick_ns
        return not sent

    def _rest_until(self, *, blocked: bool) -> Instant:
        """When to go on: when a tick's packets may leave, or when something has waited long enough."""
        now = self._timeline.now
        if not blocked:
            return max(now, self._pacer.ready_at(), self._next_tick)
        wakes = [wake for leg in self._legs.values() if (wake := leg.sweep.wake_at()) is not None]
        return max(now, min([*wakes, now + LONGEST_REST_NS]))

    def _rest(self, until: Instant, *, blocked: bool) -> None:
        left_ns = until - self._timeline.from_monotonic(time.monotonic_ns())
        if left_ns <= 0:
            return
        if blocked:
            if self._poll.poll(left_ns / NS_PER_MS):
                time.sleep(_SETTLING_S)
        else:
            time.sleep(left_ns / NS_PER_S)
