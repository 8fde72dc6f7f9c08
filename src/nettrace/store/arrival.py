"""What a store keeps of a measurement that arrives: the same numbers whatever the engine and whatever its kind."""

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import NamedTuple

from nettrace.model.measurement import (
    Clock,
    DnsLookup,
    Grade,
    HttpExchange,
    Outcome,
    Ping,
    Sample,
    SampleState,
    Stages,
    StampTest,
    WayTest,
    WebSocketPings,
)
from nettrace.model.path import Trace
from nettrace.wire.frames import Measured

_NOT_MEASURED = SampleState.NOT_MEASURED
_NONE: Mapping[str, int] = MappingProxyType({})
_NO_WORDS: Mapping[str, str] = MappingProxyType({})


class Numbers(NamedTuple):
    """A round's numbers, named as in `rows.Round`."""

    sent: int = 0
    received: int = 0
    not_measured: int = 0
    rtt_ns: int | None = None
    min_ns: int | None = None
    max_ns: int | None = None
    error_ns: int | None = None
    grade: Grade | None = None
    samples_ns: tuple[int | None, ...] = ()
    stages_ns: Mapping[str, int] = _NONE
    status: int | None = None
    tls_version: str | None = None
    hop_count: int | None = None
    clock: Clock | None = None
    server_hints: Mapping[str, str] = _NO_WORDS


def numbers(measured: Measured) -> Numbers:
    """What is kept of a measurement.

    An exchange is one probe whose sample is the time to first byte of the request alone; a lookup is one; a trace is
    one when it reached its target (its samples to the hops stay in its body). One direction of a STAMP session is a round
    whose "round trip" is the one-way delay and whose status is how many packets came out of order.
    """
    match measured:
        case Ping():
            return _distribution(measured.samples, measured.clock)
        case HttpExchange():
            return _exchange(measured)
        case WebSocketPings():
            return _distribution(measured.samples, measured.clock)._replace(
                stages_ns=_stages(measured.stages), status=measured.status, tls_version=measured.tls_version
            )  # fmt: skip
        case DnsLookup():
            samples = () if measured.sample is None else (measured.sample,)
            return _distribution(samples, measured.clock)
        case Trace():
            return _trace(measured)
        case StampTest():
            return _distribution(measured.samples, measured.clock)._replace(hop_count=measured.out.hops)
        case WayTest():
            return _way(measured)


def _distribution(samples: Iterable[Sample], clock: Clock | None) -> Numbers:
    """One pass, a few microseconds: this runs for every round a hub ever stores."""
    counted: list[int | None] = []
    answered: list[int] = []
    silent = 0
    error = grade = None
    for sample in samples:
        if sample.state is _NOT_MEASURED:
            silent += 1
            continue
        rtt, bar, kind = sample.rtt_ns, sample.error_ns, sample.grade
        counted.append(rtt)
        if rtt is None:
            continue
        answered.append(rtt)
        if bar is not None and (error is None or bar > error):
            error = bar
        if kind is not None and (
            grade is None or kind > grade
        ):  # K, R, U: the worse, the later in the alphabet
            grade = kind
    if not answered:
        return Numbers(
            len(counted),
            0,
            silent,
            None,
            None,
            None,
            None,
            None,
            tuple(counted),
            _NONE,
            None,
            None,
            None,
            clock,
        )
    answered.sort()
    middle = answered[(len(answered) - 1) // 2]  # nearest rank
    return Numbers(
        len(counted), len(answered), silent, middle, answered[0], answered[-1], error, grade, tuple(counted), _NONE,
        None, None, None, clock,
    )  # fmt: skip


def _exchange(exchange: HttpExchange) -> Numbers:
    first = exchange.stages.ttfb
    kept = Numbers(
        stages_ns=_stages(exchange.stages), status=exchange.status, tls_version=exchange.tls_version,
        clock=exchange.clock, server_hints=exchange.server_hints,
    )  # fmt: skip
    if first is not None:
        rtt = first.duration_ns
        return kept._replace(
            sent=1, received=1, rtt_ns=rtt, min_ns=rtt, max_ns=rtt, error_ns=first.error_ns, grade=first.grade,
            samples_ns=(rtt,),
        )  # fmt: skip
    if exchange.outcome is Outcome.NOT_MEASURED:
        return kept._replace(not_measured=1)
    return kept._replace(sent=1, samples_ns=(None,))


def _way(way: WayTest) -> Numbers:
    """One direction: its losses, its order and, where the clocks can tell, its delays."""
    if way.received is None:
        return Numbers(not_measured=way.sent, status=way.reordered, hop_count=way.hops)
    known = sorted(way.delays_ns)
    kept = Numbers(
        sent=way.sent, received=way.received, error_ns=way.error_ns, status=way.reordered, hop_count=way.hops
    )  # fmt: skip
    if not known:
        return kept
    return kept._replace(
        rtt_ns=known[(len(known) - 1) // 2],
        min_ns=known[0],
        max_ns=known[-1],
        samples_ns=way.delays_ns,
        clock=Clock.KERNEL,
    )


def _trace(trace: Trace) -> Numbers:
    if not trace.reached:
        return Numbers(clock=trace.clock)
    last = trace.hops[-1] if trace.hops else None
    answered = [sample for sample in last.samples if sample.rtt_ns is not None] if last else []
    bars = [sample.error_ns for sample in answered if sample.error_ns is not None]
    grades = [sample.grade for sample in answered if sample.grade is not None]
    rtt = trace.rtt_ns
    return Numbers(
        sent=int(rtt is not None), received=int(rtt is not None), rtt_ns=rtt, min_ns=rtt, max_ns=rtt,
        error_ns=max(bars, default=None), grade=max(grades, default=None),
        samples_ns=() if rtt is None else (rtt,), hop_count=last.ttl if last else None, clock=trace.clock,
    )  # fmt: skip


def _stages(stages: Stages) -> dict[str, int]:
    steps = {"dns": stages.dns, "connect": stages.connect, "tls": stages.tls, "ttfb": stages.ttfb}
    made = {name: step.duration_ns for name, step in steps.items() if step is not None}
    if stages.total_ns is not None:
        made["total"] = stages.total_ns
    return made
