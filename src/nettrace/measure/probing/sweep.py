"""Traces of thousands of targets at once at a set packet rate: the shell around `tracing.sweep`.

The loop drains, decides, sends and rests; its rest is planned, not woken by each reply, because times come from
the kernel's stamps and not from the moment somebody reads them.
"""

import select
import time
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from nettrace.measure.probing.clock import Timeline
from nettrace.measure.probing.sweep_leg import BATCH, Leg
from nettrace.measure.probing.sweep_lines import About, Lines, document_line
from nettrace.measure.probing.sweep_targets import Pinned, Targets
from nettrace.measure.tracing.flow import DEFAULT_PORT
from nettrace.measure.tracing.pacer import Pacer
from nettrace.measure.tracing.sweep_table import SweepOptions
from nettrace.model.instant import NS_PER_MS, NS_PER_S, Instant
from nettrace.model.measurement import Method, Outcome, Reason
from nettrace.model.path import StopReason, Trace

STALL_NS = 250 * NS_PER_MS
"""Waking later than planned by more than this makes losses under way doubtful. A shorter pause of this process
loses nothing: the kernel goes on stamping and keeping replies, and they are read before anything is given up."""

LONGEST_REST_NS = 20 * NS_PER_MS
_ADMITTED_AT_ONCE = 512
_LINES_AT_ONCE = 64
_SETTLING_S = 0.0003


class SweepRequest(NamedTuple):
    """What `nettrace sweep` was asked to do.

    Attributes:
        port: destination port of UDP and TCP; None takes the method's default.
        flow: number of the flow.
        rate_pps: probes a second at most, over any stretch of time.
        timeout_s: how long each answer is waited for.
        patience_s: how long at most a target waits for routers that limit their answers.
        version: 4 or 6 when names may only be that, else None.
    """

    method: Method = Method.UDP
    port: int | None = None
    flow: int = 0
    max_ttl: int = 32
    probes_per_hop: int = 1
    rate_pps: float = 1000.0
    timeout_s: float = 1.0
    patience_s: float = 55.0
    version: int | None = None


class Tally(NamedTuple):
    """What became of a sweep's targets."""

    measured: int
    failed: int
    not_measured: int


Finished = list["tuple[Leg, int] | Trace"]
"""What one step finished: rows to be read at once, and traces that could not even begin."""


def sweep(targets: Iterable[str], request: SweepRequest) -> Iterator[Trace]:
    """A `Trace` of each target (name or address) as it finishes.

    `targets` is read as rows become free, so it may be endless. Raises Unmeasurable without raw sockets.
    """
    run = Run(targets, request)
    try:
        for finished in run.steps():
            for each in finished:
                yield each if isinstance(each, Trace) else run.trace(*each)
    finally:
        run.close()


def sweep_ndjson(targets: Iterable[str], request: SweepRequest, write: Callable[[bytes], object]) -> Tally:
    """Writes one `nettrace.trace/1` line a target as each finishes; how many came to what.

    Interrupted, what is under way is written as `aborted` before KeyboardInterrupt goes on.
    """
    run = Run(targets, request)
    pending: list[str] = []
    counts = dict.fromkeys(Outcome, 0)

    def flush() -> None:
        if pending:
            write("".join(pending).encode())
            pending.clear()

    try:
        for finished in run.steps():
            for each in finished:
                line, outcome = (
                    (document_line(each), each.outcome) if isinstance(each, Trace) else run.line(*each)
                )
                pending.append(line)
                counts[outcome] += 1
            if len(pending) >= _LINES_AT_ONCE or run.resting:
                flush()
    except KeyboardInterrupt:
        pending.extend(document_line(run.trace(leg, row, aborted=True)) for leg, row in run.under_way())
        raise
    finally:
        flush()
        run.close()
    return Tally(counts[Outcome.MEASURED], counts[Outcome.FAILED], counts[Outcome.NOT_MEASURED])


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

    def line(self, leg: Leg, row: int) -> tuple[str, Outcome]:
        """A finished row's line and outcome."""
        return self._lines[leg].line(row, leg.rows[row])

    def trace(self, leg: Leg, row: int, *, aborted: bool = False) -> Trace:
        """A row as an object."""
        return self._lines[leg].trace(row, leg.rows[row], aborted=aborted)

    def under_way(self) -> list[tuple[Leg, int]]:
        """Rows that are not finished."""
        return [(leg, row) for leg in self._legs.values() for row in leg.sweep.flags]

    def steps(self) -> Iterator[Finished]:
        """Does the sweep; what each step finished must be read before the next."""
        timeline = self._timeline
        planned: Instant | None = None
        while True:
            steps = timeline.steps
            now = timeline.tick()
            if timeline.steps != steps:
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
            finished: Finished = [(leg, row) for leg in self._legs.values() for row in leg.sweep.finished]
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
                failed.append(self._unmeasured(pinned, Outcome.FAILED, Reason.DNS, pinned.problem))
                continue
            try:
                self._leg(6 if ":" in address else 4).admit(pinned, address, now)
            except OSError as problem:
                detail = problem.strerror or str(problem)
                failed.append(self._unmeasured(pinned, Outcome.NOT_MEASURED, Reason.VANTAGE_DOWN, detail))
        return failed

    def _unmeasured(self, pinned: Pinned, outcome: Outcome, reason: Reason, detail: str) -> Trace:
        request = self.request
        return Trace(
            target=pinned.target,
            address=pinned.address,
            resolved=pinned.resolved,
            at=self._timeline.utc(self._timeline.now),
            outcome=outcome,
            reason=reason,
            detail=detail,
            method=request.method,
            flow=request.flow,
            port=port_of(request),
            reached=False,
            stop=StopReason.ABORTED,
        )

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
        """Sends what the rate and the machines allow; True when it is not the rate that holds us back."""
        pacer = self._pacer
        room = pacer.allowance(now)
        if room < min(pacer.quantum, BATCH):
            return False
        blocked = True
        for leg in self._legs.values():
            sent = leg.send(min(room, BATCH), now)
            pacer.spend(sent)
            room -= sent
            blocked &= not sent
            if room <= 0:
                return False
        return blocked

    def _rest_until(self, *, blocked: bool) -> Instant:
        """When to go on: when a tick's packets may leave, or when something has waited long enough."""
        now = self._timeline.now
        if not blocked:
            return max(now, self._pacer.ready_at())
        wakes = [wake for leg in self._legs.values() if (wake := leg.sweep.wake_at()) is not None]
        return max(now, min([*wakes, now + LONGEST_REST_NS]))

    def _rest(self, until: Instant, *, blocked: bool) -> None:
        left_ns = until - self._timeline.now
        if left_ns <= 0:
            return
        if blocked:
            if self._poll.poll(left_ns / NS_PER_MS):
                time.sleep(_SETTLING_S)
        else:
            time.sleep(left_ns / NS_PER_S)


def port_of(request: SweepRequest) -> int | None:
    """The destination port in use, None for ICMP."""
    return None if request.method is Method.ICMP else request.port or DEFAULT_PORT[request.method]
