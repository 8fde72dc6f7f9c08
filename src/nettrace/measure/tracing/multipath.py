"""Which hops of a path are load-balanced: bounded multipath discovery with its confidence stated."""

from collections.abc import Sequence
from functools import cache
from math import comb

import msgspec

from nettrace.measure.tracing.flight import Flight, Watch
from nettrace.measure.tracing.flow import flow_for
from nettrace.measure.tracing.meaning import Meaning, meaning
from nettrace.measure.tracing.trace import TraceOptions, TraceRun
from nettrace.model.instant import NS_PER_MS, Instant
from nettrace.model.path import Balance, Departure, Flow, Probe, Reply, StopReason, Trace

_FIRST_KEY = 1 << 20
"""Keys of the second phase lie above those of the trace, which counts from zero."""

_PATIENCE = 3
"""Unanswered probes after which a hop that answered nothing but the trace is left alone."""


class MultipathOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How far the search for parallel interfaces goes.

    Attributes:
        trace: how the canonical path is traced first.
        confidence: wanted chance that no further interface of a hop was missed.
        hop_budget: most probes to one TTL.
        total_budget: most probes of this phase; where it ends early the confidence reached is stated.
        hop_interval_ns: between two probes to one TTL; doubles, up to `slowest_ns`, when answers fail to come.
    """

    trace: TraceOptions = TraceOptions()
    confidence: float = 0.95
    hop_budget: int = 32
    total_budget: int = 400
    hop_interval_ns: int = 200 * NS_PER_MS
    slowest_ns: int = 1100 * NS_PER_MS


def confidence_of(interfaces: int, flows: int) -> float:
    """Chance that `flows` random flows would have shown one interface more, had there been one more.

    For K = interfaces + 1 equally likely next hops the chance to see all of them in n flows is
    sum_i (-1)^i C(K,i) (1 - i/K)^n: Augustin, Friedman, Teixeira, "Multipath tracing with Paris traceroute",
    E2EMON 2007; Veitch et al., "Failure control in multipath route tracing", INFOCOM 2009.

    >>> round(confidence_of(1, 6), 4)
    0.9688
    """
    suspects = interfaces + 1
    if flows < suspects:
        return 0.0
    missed = sum(
        (-1) ** (lost + 1) * comb(suspects, lost) * (1 - lost / suspects) ** flows
        for lost in range(1, suspects + 1)
    )
    return 1.0 - missed


@cache
def stopping_point(interfaces: int, confidence: float = 0.95) -> int:
    """Flows after which a hop with this many interfaces seen may be called complete.

    >>> [stopping_point(k) for k in range(1, 7)]
    [6, 11, 16, 21, 27, 33]
    """
    flows = interfaces + 1
    while confidence_of(interfaces, flows) < confidence:
        flows += 1
    return flows


class _Stage:
    """One TTL: which flows were tried, what answered, when it may be asked again."""

    __slots__ = ("answers", "flights", "interval_ns", "next_at", "retries", "silent", "tried", "ttl")

    def __init__(self, ttl: int, interval_ns: int) -> None:
        self.ttl = ttl
        self.interval_ns = interval_ns
        self.flights: list[Flight] = []
        self.answers: dict[int, str] = {}
        self.retries: list[int] = []
        self.tried = 1
        self.silent = 0
        self.next_at: Instant = 0

    @property
    def interfaces(self) -> tuple[str, ...]:
        """Addresses in the order of the flows that found them: arrival order must not matter."""
        return tuple(dict.fromkeys(self.answers[flow] for flow in sorted(self.answers)))

    @property
    def under_way(self) -> bool:
        return any(not flight.closed for flight in self.flights)


class MultipathRun:
    """A `Machine`: the canonical trace first, then further flows at each TTL.

    Every TTL gets the flows that exclude a second interface with the wanted confidence (6 at 95%); only TTLs
    where flows differ get more, up to the next stopping point or the budget. This is MDA-Lite's hop by hop
    counting (Vermeulen et al., "Multilevel MDA-Lite Paris traceroute", IMC 2018) without its node control:
    the confidence holds where balancers are uniform and meshed evenly.
    """

    def __init__(self, target: str, address: str, options: MultipathOptions | None = None) -> None:
        self.target = target
        self.address = address
        self.options = options or MultipathOptions()
        self.trace = TraceRun(target, address, self.options.trace)
        self._watch = Watch()
        self._flows: dict[int, Flow] = {}
        self._stages: list[_Stage] | None = None
        self._stage_of: dict[int, _Stage] = {}
        self._flights: list[Flight] = []
        self._wake: Instant | None = 0
        self._done = False

    @property
    def flow(self) -> Flow:
        """The canonical flow, which its trace has."""
        return self.trace.flow

    @property
    def done(self) -> bool:
        """True when every hop is complete, or as complete as the budgets allow."""
        return self._done

    def due(self, now: Instant, room: int) -> Sequence[Probe]:
        """Probes of the trace, then of the search."""
        if not self.trace.done:
            probes = self.trace.due(now, room)
            if not self.trace.done:
                return probes
        if self._done or (self._wake is not None and now < self._wake):
            return ()
        if self._stages is None:
            self._stages = self._open_stages()
        for stage in self._stages:
            self._close(stage, now)
        chosen = [stage for stage in self._stages if self._wants(stage) and stage.next_at <= now]
        left = self.options.total_budget - len(self._flights)
        probes = [self._probe(stage, now) for stage in chosen[: max(0, min(room, left))]]
        self._schedule(now)
        return probes

    def departed(self, departure: Departure) -> None:
        """Note when a probe left."""
        if departure.key < _FIRST_KEY:
            self.trace.departed(departure)
        elif departure.key - _FIRST_KEY < len(self._flights):
            self._flights[departure.key - _FIRST_KEY].depart(departure)

    def replied(self, reply: Reply) -> None:
        """Note an answer."""
        if reply.key < _FIRST_KEY:
            self.trace.replied(reply)
            return
        index = reply.key - _FIRST_KEY
        if index >= len(self._flights) or self._done:
            return
        flight = self._flights[index]
        said = meaning(reply, self.address, self.options.trace.method)
        flight.hear(reply, said)
        if flight.rank in (Meaning.REACHED, Meaning.PASSED) and flight.answer is not None:
            self._stage_of[index].answers[flight.flow_number] = flight.answer.source
        self._wake = 0

    def stalled(self, start: Instant, end: Instant) -> None:
        """Silence in this window proves nothing."""
        self._watch.stalled(start, end)
        self.trace.stalled(start, end)

    def overflowed(self, start: Instant, end: Instant) -> None:
        """Silence in this window proves nothing."""
        self._watch.overflowed(start, end)
        self.trace.overflowed(start, end)

    def wake_at(self, now: Instant) -> Instant | None:
        """The next probe or timeout."""
        if self._done:
            return None
        if not self.trace.done:
            return self.trace.wake_at(now)
        return None if self._wake is None else max(now, self._wake)

    def result(self) -> Trace:
        """The canonical trace with the balanced hops found so far."""
        trace = self.trace.result()
        balances = tuple(
            Balance(
                ttl=stage.ttl,
                addresses=stage.interfaces,
                flows_probed=len(stage.answers),
                confidence=confidence_of(len(stage.interfaces), len(stage.answers)),
            )
            for stage in self._stages or ()
            if len(stage.interfaces) > 1
        )
        stop = trace.stop if self._done else StopReason.ABORTED
        return msgspec.structs.replace(trace, balances=balances, stop=stop)

    def _open_stages(self) -> list[_Stage]:
        """A stage for each TTL before the end that answered the canonical flow."""
        trace = self.trace.result()
        last = trace.hops[-1].ttl if trace.reached and trace.hops else self.options.trace.max_ttl + 1
        stages: list[_Stage] = []
        for hop in trace.hops:
            if hop.address is not None and hop.ttl < last and hop.annotation is None:
                stage = _Stage(hop.ttl, self.options.hop_interval_ns)
                stage.answers[self.trace.flow.number] = hop.address
                stages.append(stage)
        return stages

    def _wants(self, stage: _Stage) -> bool:
        """True when another flow may show another interface and the budget of the hop allows it.

        Probes under way count as answered, so that no more are sent than the stopping point asks for.
        """
        if len(stage.flights) >= self.options.hop_budget:
            return False
        if stage.silent >= _PATIENCE and len(stage.answers) == 1:
            return False
        if stage.retries:
            return True
        open_probes = sum(not flight.closed for flight in stage.flights)
        wanted = stopping_point(len(stage.interfaces), self.options.confidence)
        return len(stage.answers) + open_probes < wanted

    def _probe(self, stage: _Stage, now: Instant) -> Probe:
        if stage.retries:
            number = stage.retries.pop(0)
        else:
            # 0, 1, 2 ... without the canonical flow, which the trace has tried already.
            number = stage.tried if stage.tried > self.trace.flow.number else stage.tried - 1
            stage.tried += 1
        flow = self._flow(number)
        index = len(self._flights)
        payload_bytes = self.options.trace.payload_bytes
        flight = Flight(_FIRST_KEY + index, now, stage.ttl, payload_bytes, number)
        self._flights.append(flight)
        self._stage_of[index] = stage
        stage.flights.append(flight)
        stage.next_at = now + stage.interval_ns
        return Probe(flight.key, self.address, flow, stage.ttl, payload_bytes)

    def _flow(self, number: int) -> Flow:
        if number not in self._flows:
            trace = self.options.trace
            self._flows[number] = flow_for(self.address, trace.method, number, trace.port)
        return self._flows[number]

    def _close(self, stage: _Stage, now: Instant) -> None:
        for flight in stage.flights:
            if flight.closed:
                continue
            if flight.answer is not None or (flight.refusal is not None and flight.sent_at is None):
                flight.closed = True
            elif now >= flight.deadline(self.options.trace.timeout_ns):
                flight.closed = True
                self._slow_down(stage, flight)

    def _slow_down(self, stage: _Stage, flight: Flight) -> None:
        """No answer where there were answers: most often a rate limit, so ask once more and more slowly."""
        timeout_ns = self.options.trace.timeout_ns
        if flight.sent_at is None or self._watch.spoils(flight.sent_at, flight.sent_at + timeout_ns):
            stage.retries.append(flight.flow_number)
            return
        stage.silent += 1
        stage.interval_ns = min(stage.interval_ns * 2, self.options.slowest_ns)
        stage.next_at = max(stage.next_at, flight.asked_at + stage.interval_ns)
        tries = sum(other.flow_number == flight.flow_number for other in stage.flights)
        if tries == 1:
            stage.retries.append(flight.flow_number)

    def _schedule(self, now: Instant) -> None:
        stages = self._stages or []
        timeout_ns = self.options.trace.timeout_ns
        times = [
            flight.deadline(timeout_ns) for stage in stages for flight in stage.flights if not flight.closed
        ]
        if len(self._flights) < self.options.total_budget:
            times += [max(now, stage.next_at) for stage in stages if self._wants(stage)]
        self._wake = min(times, default=None)
        self._done = not times
