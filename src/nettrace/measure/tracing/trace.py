"""A Paris traceroute: one flow, many TTLs at once, an honest end."""

from collections.abc import Sequence

import msgspec

from nettrace.measure.packets.probe import MIN_PAYLOAD_BYTES
from nettrace.measure.tracing.evidence import conclude
from nettrace.measure.tracing.flight import LONGEST_WAIT_NS, Flight, Watch, patience_ns
from nettrace.measure.tracing.flow import flow_for
from nettrace.measure.tracing.half_open import follows_unheard, is_hidden, mark_repeated, may_be_repeated
from nettrace.measure.tracing.hop_state import Hops, HopState
from nettrace.measure.tracing.loop import loop_end
from nettrace.measure.tracing.meaning import Meaning, family, meaning
from nettrace.model.instant import NS_PER_MS, NS_PER_S, Instant
from nettrace.model.measurement import Method, Reason
from nettrace.model.path import Departure, Probe, Reply, ReplyKind, StopReason, Trace

_HEADER_BYTES = {
    (Method.ICMP, 4): 28, (Method.UDP, 4): 28, (Method.TCP, 4): 40,
    (Method.ICMP, 6): 48, (Method.UDP, 6): 48, (Method.TCP, 6): 60,
}  # fmt: skip
_INITIAL_TTLS = (64, 128, 255)
_CAREFUL_WINDOW = 2
_PATIENCE = 0.3
"""Share of the timeout after which a first question without an answer no longer holds up further TTLs."""
_LAST_CHANCE = 2
"""Timeouts for which a path's dark end is listened to: behind a satellite every answer may be that late."""


class TraceOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a trace is done.

    Attributes:
        port: destination port of UDP and TCP; None takes the method's default.
        flow_number: which of the endpoint's flows; 0 is the canonical one.
        probes_per_hop: answers wanted from each hop.
        attempts: tries, with growing pauses, before a hop is called silent; three more on a path that was seen to
            lose packets.
        timeout_ns: how long each answer is waited for; longer once an answer came later than that.
        longest_wait_ns: how long that may become.
        window: TTLs asked ahead of the furthest answer while the path's length is unknown.
        gap_limit: silent hops in a row after which the path counts as dark.
        hop_interval_ns: between two probes to one TTL.
        retry_ns: pause before a silent hop is asked again; doubles each time (routers grant about one a second).
        scout: ask the destination itself first; its answer tells the path's length (see decision 0020).
        payload_bytes: 56 has room for the note that says who probes and why.
        expected_ttl: the path's length last time, or None.
    """

    method: Method = Method.UDP
    port: int | None = None
    flow_number: int = 0
    first_ttl: int = 1
    max_ttl: int = 32
    probes_per_hop: int = 1
    attempts: int = 2
    timeout_ns: int = 1 * NS_PER_S
    longest_wait_ns: int = LONGEST_WAIT_NS
    window: int = 3
    gap_limit: int = 6
    hop_interval_ns: int = 100 * NS_PER_MS
    retry_ns: int = 1 * NS_PER_S
    payload_bytes: int = 56
    scout: bool = True
    expected_ttl: int | None = None


class TraceRun:
    """A `Machine` that finds the path of one flow; `result()` holds at any moment (`aborted` before the end).

    Each TTL is judged by the probes sent to it, never by the order in which answers come. The hop list is cut
    at the lowest TTL from which the destination answered, so a path that shrinks or grows meanwhile leaves no
    hop and no loss behind its end; such mixed evidence is told in `detail`.
    """

    def __init__(self, target: str, address: str, options: TraceOptions | None = None) -> None:
        self.target = target
        self.address = address
        self.options = options or TraceOptions()
        self.flow = flow_for(address, self.options.method, self.options.flow_number, self.options.port)
        self._watch = Watch()
        self._flights: list[Flight] = []
        self._waiting: list[Flight] = []
        self._fresh: list[Flight] = []
        self._hops = Hops()
        self._in_order: list[HopState] = []
        self._asked = self.options.first_ttl - 1
        self._reached: int | None = None
        self._refused: int | None = None
        self._looped: int | None = None
        self._first_met: dict[str, int] = {}
        self._repeats = False
        self._exact: int | None = None
        self._guess = self.options.expected_ttl
        self._payload_bytes = self.options.payload_bytes
        self._timeout_ns = self.options.timeout_ns
        self._half_open_ns = 0
        self._passed_to = 0
        self._routers: set[str] = set()
        self._lossy = False
        self._directly = self.options.scout
        self._started_at: Instant | None = None
        self._now: Instant = 0
        self._wake: Instant | None = 0
        self._halted = False
        self._done = False

    @property
    def done(self) -> bool:
        """True when the path is known as far as it can be."""
        return self._done

    def due(self, now: Instant, room: int) -> Sequence[Probe]:
        """Probes to send now: repeats first, then further TTLs as far as the evidence justifies."""
        if self._done or self._wake is None or now < self._wake:
            self._now = max(now, self._now)
            return ()
        self._now = now
        if self._started_at is None:
            self._started_at = now
        for flight in self._fresh:
            flight.verify(now)
        self._fresh.clear()
        self._close(now)
        probes = [self._probe(ttl, now) for ttl in self._choose(now, room)]
        self._schedule(now, full=len(probes) >= room)
        return probes

    def departed(self, departure: Departure) -> None:
        """Note when a probe left. When not even the first one is permitted the trace ends."""
        if not 0 <= departure.key < len(self._flights):
            return
        flight = self._flights[departure.key]
        flight.depart(departure)
        if departure.sent_at is None:
            self._wake = 0
            if departure.reason == Reason.NOT_PERMITTED:
                self._halted = all(flight.sent_at is None for flight in self._flights)
        elif flight.answer is not None:
            self._wake = 0
            self._be_patient(flight)

    def replied(self, reply: Reply) -> None:
        """Note an answer; one that comes after the trace ended changes nothing."""
        if not 0 <= reply.key < len(self._flights) or self._done:
            return
        flight = self._flights[reply.key]
        said = meaning(reply, self.address, self.options.method)
        if self._from_router(reply, said):
            said = Meaning.REFUSED
        smaller = self._fitting(flight, reply) if said is Meaning.TOO_BIG else None
        if said is Meaning.TOO_BIG and smaller is None:
            said = Meaning.REFUSED
        if flight.hear(reply, said) or flight.answer is reply:
            flight.void = smaller is not None
            self._payload_bytes = min(self._payload_bytes, smaller or self._payload_bytes)
            self._learn(flight, reply)
        self._be_patient(flight)
        self._fresh.append(flight)
        self._wake = 0

    def stalled(self, start: Instant, end: Instant) -> None:
        """Silence in this window proves nothing; answers get a wider bar."""
        self._watch.stalled(start, end)

    def overflowed(self, start: Instant, end: Instant) -> None:
        """Silence in this window proves nothing."""
        self._watch.overflowed(start, end)

    def wake_at(self, now: Instant) -> Instant | None:
        """The next repeat or timeout; at once when something was heard since the last `due`."""
        return None if self._done or self._wake is None else max(now, self._wake)

    def result(self) -> Trace:
        """The path as known now."""
        last = self._end()
        cut = last if last is not None else self._asked
        if self._half_open_ns and self._reached is not None:
            for flight in self._hops[self._reached].flights:
                flight.hidden |= flight.answer is None and follows_unheard(flight, self._flights)
        return conclude(
            target=self.target,
            address=self.address,
            flow=self.flow,
            at=self._now if self._started_at is None else self._started_at,
            now=self._now,
            timeout_ns=self._timeout_ns,
            watch=self._watch,
            stop=self._stop() if self._done else StopReason.ABORTED,
            path=[self._hops[ttl] for ttl in range(self.options.first_ttl, cut + 1)],
            beyond=[state for ttl, state in sorted(self._hops.items()) if ttl > cut and state.flights],
        )

    # -- what the answers say ------------------------------------------------------------------------------

    def _learn(self, flight: Flight, reply: Reply) -> None:
        ttl, said = flight.ttl, flight.rank
        self._repeats |= self._first_met.setdefault(reply.source, ttl) != ttl
        self._lossy |= self._hops[ttl].lost_some
        if said == Meaning.REACHED:
            self._reached = ttl if self._reached is None else min(ttl, self._reached)
            self._measure_length(ttl, reply)
        elif said == Meaning.REFUSED and ttl <= self._asked:
            self._refused = ttl if self._refused is None else min(ttl, self._refused)
        elif said == Meaning.PASSED:
            self._passed_to = max(self._passed_to, ttl)
            self._meet_router(reply.source)
            self._find_loop()
        if self._exact is not None and self._contradicted(self._exact):
            # One of the two is old: the path changed in between. Asking there again tells which.
            self._hops[self._exact].disputed = self._exact <= self._asked
            self._exact = None

    def _from_router(self, reply: Reply, said: Meaning) -> bool:
        """True when "port unreachable" comes from a router of this very path: then it is a filter's refusal."""
        return (
            said is Meaning.REACHED and reply.kind is ReplyKind.UNREACHABLE and reply.source in self._routers
        )

    def _meet_router(self, source: str) -> None:
        """Who forwards our probes is not their destination, whatever it said of a port before."""
        if source in self._routers:
            return
        self._routers.add(source)
        doubtful = [
            flight
            for flight in self._flights
            if flight.answer is not None
            and flight.answer.source == source
            and self._from_router(flight.answer, Meaning(flight.rank))
        ]
        if not doubtful:
            return
        self._reached = self._exact = self._guess = None
        for flight in doubtful:
            flight.rank = Meaning.REFUSED
        for flight in self._flights:
            if (
                flight.answer is not None
                and not flight.void
                and flight.rank in (Meaning.REACHED, Meaning.REFUSED)
            ):
                self._learn(flight, flight.answer)

    def _be_patient(self, flight: Flight) -> None:
        """An answer later than its timeout: others are under way for as long, so silence proves less."""
        if flight.answer is None or flight.sent_at is None:
            return
        timeout_ns = patience_ns(flight.answer.received_at - flight.sent_at, self.options.longest_wait_ns)
        if flight.answer.kind is ReplyKind.SYN_ACK:
            self._half_open_ns = max(self._half_open_ns, timeout_ns)
            self._hops[flight.ttl].disputed |= may_be_repeated(flight)
            mark_repeated(self._flights)
        if timeout_ns <= self._timeout_ns:
            return
        self._timeout_ns = timeout_ns
        for other in self._flights:
            if other.closed and other.answer is None and other.deadline(timeout_ns) > self._now:
                other.closed = other.void = False
                self._waiting.append(other)

    def _measure_length(self, ttl: int, reply: Reply) -> None:
        """Read the path's length from the destination's answer: exactly from the quote, roughly from its TTL."""
        if reply.quoted_ttl is not None:
            length = ttl - reply.quoted_ttl + 1
            if self.options.first_ttl <= length <= ttl and (self._exact is None or length < self._exact):
                self._exact = length
        elif reply.reply_ttl is not None:
            initial = next((start for start in _INITIAL_TTLS if start >= reply.reply_ttl), reply.reply_ttl)
            self._guess = initial - reply.reply_ttl + 1

    def _contradicted(self, length: int) -> bool:
        """True when a router answered where, by a quoted TTL, the destination should have."""
        asked = *self._explored()[length - self.options.first_ttl :], self._hops[self.options.max_ttl]
        return any(state.passed and not state.reached for state in asked)

    def _find_loop(self) -> None:
        if not self._repeats:
            return
        explored = [(state.address if state.passed else None) for state in self._explored()]
        at = loop_end(explored)
        self._looped = None if at is None else self.options.first_ttl + at

    def _fitting(self, flight: Flight, reply: Reply) -> int | None:
        """Payload that fits through a quoted MTU, or None when shrinking cannot help."""
        if not reply.mtu_bytes:
            return None
        room = reply.mtu_bytes - _HEADER_BYTES[self.options.method, family(self.address)]
        return room if MIN_PAYLOAD_BYTES <= room < flight.payload_bytes else None

    # -- where the path ends -------------------------------------------------------------------------------

    def _end(self) -> int | None:
        """The last TTL that belongs to the path as known now; None while that is open."""
        if self._reached is not None:
            return self._reached if self._exact is None else min(self._reached, self._exact)
        ends = [end for end in (self._refused, self._looped) if end is not None]
        return min(ends, default=None)

    def _stop(self) -> StopReason:
        if self._halted:
            return StopReason.ABORTED
        if self._reached is not None:
            return StopReason.REACHED
        end = self._end()
        if end is not None:
            return StopReason.UNREACHABLE if end == self._refused else StopReason.LOOP
        if self._hops[self.options.max_ttl].refused:
            return StopReason.UNREACHABLE
        top = self._furthest()
        dark = self._asked - top >= min(self.options.gap_limit, self._asked)
        return StopReason.GAP if dark or self._asked < self.options.max_ttl else StopReason.MAX_TTL

    def _explored(self) -> Sequence[HopState]:
        known, first = self._in_order, self.options.first_ttl
        for ttl in range(first + len(known), self._asked + 1):
            known.append(self._hops[ttl])
        return known

    def _furthest(self) -> int:
        """The highest explored TTL that was answered, or the one before the first."""
        for ttl in range(self._asked, self.options.first_ttl - 1, -1):
            if self._hops[ttl].answered:
                return ttl
        return self.options.first_ttl - 1

    # -- what to ask next ----------------------------------------------------------------------------------

    def _choose(self, now: Instant, room: int) -> list[int]:
        if self._halted:
            return []
        chosen: list[int] = []
        options = self.options
        directly_at = self._direct_at()
        if directly_at is not None and directly_at <= now:
            chosen.append(options.max_ttl)
        last = self._end() or options.max_ttl
        for state in self._explored():
            if state.ttl > last or len(chosen) >= room:
                break
            at = self._wants(state)
            if at is not None and at <= now:
                chosen.append(state.ttl)
        limit = min(last, self._limit(now))
        while self._asked < limit and len(chosen) < room:
            self._asked += 1
            if not self._hops[self._asked].flights and self._asked not in chosen:
                chosen.append(self._asked)
        return chosen[:room]

    def _limit(self, now: Instant) -> int:
        """The highest TTL that may be asked for the first time now."""
        options = self.options
        if self._exact is not None:
            return self._exact
        top = self._furthest()
        window = options.window if self._guess is None else _CAREFUL_WINDOW
        limit = max(top + window, self._guess or 0)
        if now >= self._patient_until(now):
            limit = max(limit, self._asked + window)
        if not self._goes_on():
            dark = max(top + options.gap_limit, options.expected_ttl or 0)
            limit = min(limit, dark)
            if self._asked >= dark:
                self._directly = True
        return min(limit, options.max_ttl)

    def _patient_until(self, now: Instant) -> Instant:
        """Until when the youngest first question may hold up further ones; `now` when none does."""
        pending = [at for state in self._explored() if (at := state.first_pending) is not None]
        return max(pending) + int(self.options.timeout_ns * _PATIENCE) if pending else now

    def _goes_on(self) -> bool:
        """True when an answer from beyond the explored TTLs shows that the path continues."""
        direct = self._hops[self.options.max_ttl]
        return direct.reached or direct.passed

    def _wants(self, state: HopState) -> Instant | None:
        options = self.options
        # The answer's own TTL says that the path ends at this silent hop: then it is asked once more.
        missed = self._reached == state.ttl + 1 and self._guess == state.ttl
        at = state.wants(
            options.probes_per_hop,
            options.attempts + missed,
            options.hop_interval_ns,
            options.retry_ns,
            lossy=self._lossy,
        )
        if at and self._half_open_ns and self._may_arrive(state.ttl):
            last = max(
                (flight.asked_at for flight in self._flights if self._may_arrive(flight.ttl)), default=0
            )
            at = max(at, last + self._half_open_ns)
        return at

    def _direct_at(self) -> Instant | None:
        """When the destination itself wants to be asked (again) with the highest TTL."""
        options = self.options
        if not self._directly or self._end() is not None or self._asked >= options.max_ttl:
            return None
        direct = self._hops[options.max_ttl]
        return direct.wants(1, options.attempts, options.hop_interval_ns, options.retry_ns)

    def _probe(self, ttl: int, now: Instant) -> Probe:
        key = len(self._flights)
        flight = Flight(key, now, ttl, self._payload_bytes)
        self._flights.append(flight)
        self._waiting.append(flight)
        self._hops[ttl].flights.append(flight)
        return Probe(key, self.address, self.flow, ttl, self._payload_bytes)

    # -- time ----------------------------------------------------------------------------------------------

    def _close(self, now: Instant) -> None:
        """Give up waiting where the time is up; what proves nothing is marked to be replaced."""
        timeout_ns = self._timeout_ns
        waiting: list[Flight] = []
        for flight in self._waiting:
            deadline = flight.deadline(timeout_ns)
            known = flight.answer is not None and flight.sent_at is not None
            refused = flight.refusal is not None and flight.sent_at is None
            if not known and not refused and now < deadline:
                waiting.append(flight)
                continue
            flight.closed = True
            if flight.answer is None:
                flight.hidden = self._may_arrive(flight.ttl) and is_hidden(flight, self._flights)
                unproven = flight.sent_at is None or self._watch.spoils(flight.sent_at, deadline)
                flight.void = flight.hidden or bool(unproven)
        self._waiting = waiting

    def _may_arrive(self, ttl: int) -> bool:
        """True unless a router has answered that far out or farther: then a probe with this TTL ends at a router, too."""
        return ttl > self._passed_to or (self._reached is not None and ttl >= self._reached)

    def _schedule(self, now: Instant, *, full: bool) -> None:
        """Work out when to wake, and whether nothing is left to wait for."""
        last = self._end()
        bound = self.options.max_ttl if last is None else last
        times = [
            flight.deadline(self._timeout_ns)
            for flight in self._waiting
            if flight.ttl <= bound or self._reached is None
        ]
        if not self._halted:
            wanted = [self._wants(state) for state in self._explored() if state.ttl <= bound]
            times += [at for at in (*wanted, self._direct_at()) if at is not None]
            if full or self._asked < min(bound, self._limit(now)):
                times.append(now)
            elif self._asked < bound and (until := self._patient_until(now)) > now:
                times.append(until)
            if not times and last is None and (until := self._last_chance()) > now:
                times.append(until)
        self._wake = min(times, default=None)
        self._done = not times

    def _last_chance(self) -> Instant:
        """Until when the dark end of a path that was not reached is listened to."""
        top = self._furthest()
        dark = (flight.asked_at for flight in self._flights if flight.answer is None and flight.ttl > top)
        wait_ns = min(_LAST_CHANCE * self.options.timeout_ns, self.options.longest_wait_ns)
        return max(dark, default=0) + wait_ns
