"""A round of pings to one address, as a distribution of samples with error bars."""

from collections.abc import Sequence

import msgspec

from nettrace.measure.tracing.flight import Flight, Watch, clock_of, excuses, patience_ns, silence
from nettrace.measure.tracing.flow import flow_for
from nettrace.measure.tracing.half_open import is_hidden, mark_repeated
from nettrace.measure.tracing.meaning import Meaning, annotation, meaning
from nettrace.model.instant import NS_PER_S, Instant
from nettrace.model.measurement import Method, Outcome, Ping, Reason, Sample, SampleState
from nettrace.model.path import Departure, Probe, Reply, ReplyKind


class PingOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a round of pings is done.

    Attributes:
        port: destination port of UDP and TCP; None takes the method's default.
        count: probes in the round.
        interval_ns: from one probe to the next; a delayed probe delays the others, they never bunch up.
        timeout_ns: how long an answer is waited for before silence may be called a loss; longer once an answer came
            later than that.
        payload_bytes: 56 has room for the note that says who probes and why.
        flow_number: which of the endpoint's flows to use; 0 is the canonical one.
    """

    method: Method = Method.ICMP
    port: int | None = None
    count: int = 10
    interval_ns: int = 1 * NS_PER_S
    timeout_ns: int = 1 * NS_PER_S
    payload_bytes: int = 56
    ttl: int = 64
    flow_number: int = 0


_REACHED = int(Meaning.REACHED)
"""Ranks are compared with it for every sample; a plain number is compared without looking anything up."""

_CALM = Watch()
"""What nearly every round knows of its host: nothing was wrong. Never written to."""


class PingRound:
    """A `Machine` that pings one address `count` times; `result()` holds at any moment.

    An answer that comes after its timeout but before the round ends counts as answered, with its true round
    trip, and the others are given as long and a quarter more; after the end the probe stays lost. Copies are
    ignored. A refusal by a router (unreachable, time exceeded, too big) makes the sample lost at once, with the
    refusal as its reason, unless the real answer comes too.
    """

    __slots__ = (
        "_first_open", "_flights", "_fresh", "_latest", "_next_at", "_now", "_sent", "_started_at", "_timeout_ns",
        "_wanted", "_watch", "address", "flow", "options", "target",
    )  # fmt: skip

    def __init__(self, target: str, address: str, options: PingOptions | None = None) -> None:
        self.target = target
        self.address = address
        self.options = options or PingOptions()
        self.flow = flow_for(address, self.options.method, self.options.flow_number, self.options.port)
        self._watch = _CALM
        self._flights: list[Flight] = []
        self._fresh: list[Flight] = []
        self._latest: Instant = 0
        self._wanted = self.options.count
        self._sent = self._first_open = 0
        self._timeout_ns = self.options.timeout_ns
        self._started_at: Instant | None = None
        self._next_at: Instant = 0
        self._now: Instant = 0

    @property
    def done(self) -> bool:
        """True when every probe is answered or its time is up."""
        return self._first_open >= self._sent >= self._wanted

    @property
    def reply_ttls(self) -> tuple[int, ...]:
        """TTLs the target's answers arrived with: what is left of the way back tells its length."""
        answers = [flight.answer for flight in self._flights if flight.rank == _REACHED]
        return tuple([each.reply_ttl for each in answers if each is not None and each.reply_ttl is not None])

    def due(self, now: Instant, room: int) -> Sequence[Probe]:
        """The next probe when its moment has come; never more than one."""
        self._now = now
        if self._fresh:
            self._verify(now)
        sent = self._sent
        if sent >= self._wanted or now < self._next_at or room < 1:
            self._settle(now)
            return ()
        options = self.options
        if self._started_at is None:
            self._started_at = self._next_at = now
        self._next_at += options.interval_ns
        if self._next_at <= now:
            self._next_at = now + options.interval_ns
        self._flights.append(Flight(sent, now))
        self._sent = sent + 1
        return (Probe(sent, self.address, self.flow, options.ttl, options.payload_bytes),)

    def departed(self, departure: Departure) -> None:
        """Note when a probe left. After `not_permitted` no further probe is asked for."""
        if not 0 <= departure.key < self._sent:
            return
        flight = self._flights[departure.key]
        flight.depart(departure)
        if flight.answer is not None:
            self._be_patient(flight)
        if departure.sent_at is None and departure.reason == Reason.NOT_PERMITTED:
            self._wanted = self._sent

    def replied(self, reply: Reply) -> bool:
        """Note an answer. True as long as there are probes to send: their moments do not depend on answers."""
        if not 0 <= reply.key < self._sent or self._first_open >= self._sent >= self._wanted:
            return False
        flight = self._flights[reply.key]
        flight.hear(reply, meaning(reply, self.address, self.options.method))
        self._fresh.append(flight)
        self._latest = max(self._latest, reply.received_at)
        self._be_patient(flight)
        return self._sent < self._wanted

    def stalled(self, start: Instant, end: Instant) -> None:
        """Losses under way in this window prove nothing; answers get a wider bar."""
        self._own_watch().stalled(start, end)

    def overflowed(self, start: Instant, end: Instant) -> None:
        """Losses under way in this window prove nothing."""
        self._own_watch().overflowed(start, end)

    def wake_at(self, now: Instant) -> Instant | None:
        """The next probe's moment, or the first timeout still running when all are sent."""
        if self._sent < self._wanted:
            return now if now > self._next_at else self._next_at
        if self._first_open < self._sent:
            self._settle(now if now > self._now else self._now)
        if self._first_open < self._sent:
            return self._flights[self._first_open].deadline(self._timeout_ns)
        return None

    def result(self) -> Ping:
        """The round so far; probes still under way count as not measured (`aborted`)."""
        if self.options.method is Method.TCP:
            mark_repeated(self._flights)
        samples = tuple([self._sample(flight) for flight in self._flights])
        outcome, reason = self._verdict(samples)
        return Ping(
            target=self.target,
            address=self.address,
            at=self._started_at or self._now,
            outcome=outcome,
            reason=reason,
            detail=self._detail(outcome, samples),
            method=self.options.method,
            port=self.flow.destination_port if self.options.method is not Method.ICMP else None,
            samples=samples,
            clock=clock_of(samples),
        )

    def _own_watch(self) -> Watch:
        if self._watch is _CALM:
            self._watch = Watch()
        return self._watch

    def _verify(self, now: Instant) -> None:
        """Look closer at what was heard only when some of it came from the future."""
        if self._latest > now:
            for flight in self._fresh:
                flight.verify(now)
        self._fresh.clear()

    def _be_patient(self, flight: Flight) -> None:
        """An answer later than its timeout: others are under way for as long, so silence proves less."""
        answer, sent_at = flight.answer, flight.sent_at
        if answer is None or sent_at is None or answer.received_at - sent_at < self._timeout_ns >> 1:
            return
        timeout_ns = patience_ns(answer.received_at - sent_at)
        if timeout_ns > self._timeout_ns:
            self._timeout_ns = timeout_ns
            self._first_open = 0

    def _settle(self, now: Instant) -> None:
        """Move past the probes for which nothing more is waited."""
        at, flights = self._first_open, self._flights
        while at < self._sent:
            flight = flights[at]
            known = flight.sent_at is not None and flight.answer is not None
            if not known and flight.refusal is None and now < flight.deadline(self._timeout_ns):
                break
            at += 1
        self._first_open = at

    def _sample(self, flight: Flight) -> Sample:
        answer = flight.answer
        if answer is None and self.options.method is Method.TCP:
            flight.hidden = is_hidden(flight, self._flights)
        if answer is None or flight.rank == _REACHED:
            return flight.sample(self._timeout_ns, self._watch, self._now)
        return Sample(state=SampleState.LOST, sent_at=flight.sent_at, reason=_refusal(answer))

    def _verdict(self, samples: Sequence[Sample]) -> tuple[Outcome, Reason | None]:
        for sample in samples:
            if sample.state is SampleState.ANSWERED:
                return Outcome.MEASURED, None
        if any(flight.answer is not None and flight.rank != Meaning.REACHED for flight in self._flights):
            return Outcome.FAILED, Reason.UNREACHABLE
        return silence(samples)

    def _detail(self, outcome: Outcome, samples: Sequence[Sample]) -> str | None:
        notes: dict[str, None] = {}
        if outcome is not Outcome.MEASURED:
            for flight in self._flights:
                if flight.answer is not None:
                    notes[f"{flight.answer.source}: {_refusal(flight.answer)}"] = None
            if outcome is Outcome.NOT_MEASURED:
                notes |= dict.fromkeys(excuses(samples))
            return "; ".join(notes) or None
        for flight in self._flights:
            answer = flight.answer
            if answer is None:
                continue
            if answer.kind is ReplyKind.RESET:
                notes["the port is closed (TCP reset)"] = None
            elif answer.source != self.address and answer.source != self.address.partition("%")[0]:
                notes[f"also heard from {answer.source}"] = None
        return "; ".join(notes) or None


def _refusal(answer: Reply) -> str:
    if answer.kind is ReplyKind.TIME_EXCEEDED:
        return "time exceeded"
    return f"unreachable {annotation(answer) or ''}".strip()
