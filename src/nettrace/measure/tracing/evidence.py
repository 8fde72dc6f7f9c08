"""From the states of all TTLs to a finished `Trace`: outcome, reason, and doubts put into words."""

from collections.abc import Iterator, Sequence

from nettrace.measure.tracing.flight import Flight, Watch, clock_of, excuses, silence
from nettrace.measure.tracing.hop_state import HopState, smallest_mtu
from nettrace.measure.tracing.loop import loop_end
from nettrace.measure.tracing.meaning import Meaning, annotation
from nettrace.model.instant import Instant
from nettrace.model.measurement import Method, Outcome, Reason, Sample
from nettrace.model.path import Flow, Hop, Reply, StopReason, Trace


def conclude(  # noqa: PLR0913 - the whole state of a trace, by name
    *,
    target: str,
    address: str,
    flow: Flow,
    at: Instant,
    now: Instant,
    timeout_ns: int,
    watch: Watch,
    stop: StopReason,
    path: Sequence[HopState],
    beyond: Sequence[HopState],
) -> Trace:
    """The trace that these hops prove. `beyond` are TTLs that were asked but lie behind the path's end."""
    arrived = _arrivals((*path, *beyond))
    hops = [state.hop(timeout_ns, watch, now) for state in path]
    if arrived and hops and not path[-1].reached:
        hops[-1] = _end_by_length(hops[-1], arrived)
    samples = [sample for hop in hops for sample in hop.samples]
    doubts = list(_doubts(address, stop, path, beyond))
    flights = [flight for state in (*path, *beyond) for flight in state.flights]
    if all(flight.sent_at is None and flight.answer is None for flight in flights):
        # Nothing ever left this host: that says nothing about any hop, and the trace ended for no other reason.
        doubts += excuses(samples)
        hops, stop = [], StopReason.ABORTED
    outcome, reason = _verdict(stop, reached=bool(arrived), samples=samples, states=(*path, *beyond))
    rtts = _reached_rtts_ns(path[-1:], timeout_ns, watch, now) or _reached_rtts_ns(
        (*path, *beyond), timeout_ns, watch, now
    )
    return Trace(
        target=target,
        address=address,
        at=at,
        outcome=outcome,
        reason=reason,
        detail="; ".join(doubts) or None,
        method=flow.method,
        flow=flow.number,
        port=None if flow.method is Method.ICMP else flow.destination_port,
        reached=bool(arrived),
        stop=stop,
        rtt_ns=min(rtts, default=None),
        hops=tuple(hops),
        answered_from=hops[-1].address if arrived and hops[-1].address != address.partition("%")[0] else None,
        path_mtu_bytes=smallest_mtu((*path, *beyond)),
        clock=clock_of(samples),
    )


def _arrivals(states: Sequence[HopState]) -> list[Reply]:
    return [flight.answer for flight in _reaching(states) if flight.answer is not None]


def _reaching(states: Sequence[HopState]) -> Iterator[Flight]:
    for state in states:
        for flight in state.flights:
            if flight.answer is not None and not flight.void and flight.rank == Meaning.REACHED:
                yield flight


def _reached_rtts_ns(states: Sequence[HopState], timeout_ns: int, watch: Watch, now: Instant) -> list[int]:
    samples = (flight.sample(timeout_ns, watch, now) for flight in _reaching(states))
    return [sample.rtt_ns for sample in samples if sample.rtt_ns is not None]


def _end_by_length(hop: Hop, arrived: Sequence[Reply]) -> Hop:
    """The last hop when only a quoted TTL says that it is the destination: its own probes stayed unanswered."""
    end = arrived[0]
    return Hop(ttl=hop.ttl, address=end.source, samples=hop.samples, reply_ttl=end.reply_ttl)


def _verdict(
    stop: StopReason, *, reached: bool, samples: Sequence[Sample], states: Sequence[HopState]
) -> tuple[Outcome, Reason | None]:
    if reached:
        return Outcome.MEASURED, None
    if stop is StopReason.UNREACHABLE:
        return Outcome.FAILED, Reason.UNREACHABLE
    departed = any(flight.sent_at is not None for state in states for flight in state.flights)
    if not departed:
        return silence(samples)
    if stop is StopReason.ABORTED:
        return Outcome.NOT_MEASURED, Reason.ABORTED
    if any(state.answered for state in states):
        return Outcome.FAILED, Reason.TIMEOUT
    return silence(samples)


def _doubts(
    address: str, stop: StopReason, path: Sequence[HopState], beyond: Sequence[HopState]
) -> Iterator[str]:
    """What a reader should know before trusting the hop list blindly."""
    for state in path:
        routers = state.sources(Meaning.PASSED)
        if routers and state.reached:
            yield f"the path changed while tracing: both a router and {address} answered at TTL {state.ttl}"
        elif len(routers) > 1:
            yield f"{len(routers)} routers answered one flow at TTL {state.ttl}"
        for flight in state.flights:
            if flight.answer is not None and flight.rank == Meaning.REFUSED and not flight.void:
                note = annotation(flight.answer) or "unreachable"
                yield f"{flight.answer.source} said {note} at TTL {state.ttl}"
                break
    later = [state.ttl for state in beyond if state.sources(Meaning.PASSED)]
    if stop is StopReason.REACHED and later:
        yield f"the path changed while tracing: a router answered at TTL {later[0]}, behind the destination"
    refusers = {source: None for state in beyond for source in state.sources(Meaning.REFUSED)}
    if stop is StopReason.UNREACHABLE and not any(state.refused for state in path):
        yield f"{', '.join(refusers)} said unreachable to a probe with the highest TTL"
    if stop is StopReason.REACHED and loop_end([state.address for state in path]) is not None:
        yield "addresses repeat along the path"
