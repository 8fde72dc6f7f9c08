"""What is known so far about one TTL of a trace."""

from collections.abc import Iterable, Iterator

from nettrace.measure.tracing.flight import Flight, Watch
from nettrace.measure.tracing.meaning import Meaning, annotation
from nettrace.model.instant import Instant
from nettrace.model.measurement import Sample, SampleState
from nettrace.model.path import Hop, Reply

SPARE_PROBES = 3
"""Probes that proved nothing (stalled, refused by our own system, too big) are replaced at most this often."""

EXTRA_ATTEMPTS = 3
"""More tries of silent hops where the path was seen to lose packets."""

_TOO_BIG = Sample(state=SampleState.NOT_MEASURED, reason="too big")


class HopState:
    """The probes of one TTL, when the next one is wanted, and the `Hop` they add up to.

    Attributes:
        disputed: other evidence contradicts the answer here, so one probe more is wanted.
    """

    __slots__ = ("disputed", "flights", "ttl")

    def __init__(self, ttl: int) -> None:
        self.ttl = ttl
        self.flights: list[Flight] = []
        self.disputed = False

    @property
    def answered(self) -> bool:
        """True when anybody answered here with something that counts."""
        return any(flight.answer is not None and not flight.void for flight in self.flights)

    @property
    def reached(self) -> bool:
        """True when the destination answered here."""
        return self._any(Meaning.REACHED)

    @property
    def passed(self) -> bool:
        """True when a router answered here that passes probes on."""
        return self._any(Meaning.PASSED)

    @property
    def refused(self) -> bool:
        """True when a router refused to forward from here."""
        return self._any(Meaning.REFUSED)

    @property
    def address(self) -> str | None:
        """The address that stands for this hop, or None while it is silent."""
        answer = self.primary()
        return answer.source if answer else None

    @property
    def first_pending(self) -> Instant | None:
        """When the only probe so far was asked for, while it is still waited for; else None."""
        flights = self.flights
        if len(flights) != 1 or flights[0].closed or flights[0].answer is not None:
            return None
        return flights[0].asked_at

    @property
    def lost_some(self) -> bool:
        """True when somebody answered here, but not every probe."""
        flights = self.flights
        if len(flights) < 2 or not self.answered:
            return False
        return any(flight.closed and flight.answer is None and not flight.void for flight in flights)

    @property
    def under_way(self) -> bool:
        """True while any probe here may still be answered in time."""
        return any(not flight.closed and flight.answer is None for flight in self.flights)

    def wants(
        self, probes: int, attempts: int, pace_ns: int, retry_ns: int, *, lossy: bool = False
    ) -> Instant | None:
        """From when on this hop wants another probe; None when it wants none as things stand.

        It wants `probes` of them, `pace_ns` apart. If none of them is answered it is asked again, up to
        `attempts` tries in all; each waits `retry_ns` (then twice, four times ...) from the last probe, so a
        router that limits its answers has one to give. On a `lossy` path it is asked more often and steadily: there
        the answer is lost by chance.
        """
        flights = self.flights
        if not flights:
            return 0
        counted = open_probes = 0
        answered = False
        for flight in flights:
            if flight.void:
                continue
            counted += 1
            if flight.answer is not None:
                answered = True
            elif not flight.closed:
                open_probes += 1
        probes += self.disputed
        if lossy:
            attempts += EXTRA_ATTEMPTS
        limit = probes + attempts - 1
        if len(flights) >= limit + SPARE_PROBES:
            return None
        last = flights[-1].asked_at
        if counted < probes:
            return last + pace_ns
        if answered or open_probes or counted >= limit:
            return None
        return last + (retry_ns if lossy else retry_ns << counted - probes)

    def primary(self) -> Reply | None:
        """The answer that stands for this hop: the destination's, else of the earliest probe that has one.

        Sending order decides, not arrival: reordering on the way back must not change what a trace says.
        """
        best: Flight | None = None
        for flight in self.flights:
            if flight.answer is not None and not flight.void and (best is None or flight.rank < best.rank):
                best = flight
        return best.answer if best else None

    def hop(self, timeout_ns: int, watch: Watch, now: Instant) -> Hop:
        """This TTL as it stands at `now`."""
        answer = self.primary()
        samples = tuple(
            _TOO_BIG if flight.void and flight.answer else flight.sample(timeout_ns, watch, now)
            for flight in self.flights
        )
        mtu_bytes = smallest_mtu((self,))
        if answer is None:
            return Hop(ttl=self.ttl, address=None, samples=samples, mtu_bytes=mtu_bytes)
        others: dict[str, None] = {}
        if len(self.flights) > 1:
            others = {reply.source: None for flight in self._heard() if (reply := flight.answer)}
            others.pop(answer.source)
        return Hop(
            ttl=self.ttl,
            address=answer.source,
            samples=samples,
            also=tuple(others),
            labels=answer.labels,
            annotation=annotation(answer),
            reply_ttl=answer.reply_ttl,
            quoted_ttl=answer.quoted_ttl,
            mtu_bytes=mtu_bytes,
        )

    def sources(self, meaning: Meaning) -> set[str]:
        """The addresses that answered here with this meaning."""
        return {
            flight.answer.source
            for flight in self.flights
            if flight.answer is not None and not flight.void and flight.rank == meaning
        }

    def _heard(self) -> Iterator[Flight]:
        return (flight for flight in self.flights if flight.answer is not None and not flight.void)

    def _any(self, meaning: Meaning) -> bool:
        for flight in self.flights:
            if flight.answer is not None and flight.rank == meaning and not flight.void:
                return True
        return False


class Hops(dict[int, HopState]):
    """The TTLs of a trace, each made when it is first thought of: most traces end long before the highest."""

    def __missing__(self, ttl: int) -> HopState:
        made = self[ttl] = HopState(ttl)
        return made


def smallest_mtu(states: Iterable[HopState]) -> int | None:
    """The smallest MTU quoted by anyone in these hops, or None."""
    quoted = [
        flight.answer.mtu_bytes
        for state in states
        for flight in state.flights
        if flight.answer is not None and flight.answer.mtu_bytes
    ]
    return min(quoted, default=None)
