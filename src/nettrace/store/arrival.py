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
    WebSocketPings,
)
from nettrace.model.path import Trace
from nettrace.wire.documents import percentile
from nettrace.wire.frames import Measured

_WORST = {Grade.KERNEL: 0, Grade.RECEPTION: 1, Grade.USER: 2}


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
    stages_ns: Mapping[str, int] = MappingProxyType({})
    status: int | None = None
    tls_version: str | None = None
    hop_count: int | None = None
    clock: Clock | None = None


def numbers(measured: Measured) -> Numbers:
    """What is kept of a measurement.

    An exchange is one probe whose sample is the time to first byte of the request alone; a lookup is one; a trace is
    one when it reached its target (its samples to the hops stay in its body).
    """
    match measured:
        case Ping():
            return _distribution(measured.samples)._replace(clock=measured.clock)
        case HttpExchange():
            return _exchange(measured)
        case WebSocketPings():
            return _distribution(measured.samples)._replace(
                stages_ns=_stages(measured.stages), status=measured.status,
                tls_version=measured.tls_version, clock=measured.clock,
            )  # fmt: skip
        case DnsLookup():
            samples = () if measured.sample is None else (measured.sample,)
            return _distribution(samples)._replace(clock=measured.clock)
        case Trace():
            return _trace(measured)


def _distribution(samples: Iterable[Sample]) -> Numbers:
    counted: list[int | None] = []
    error = grade = None
    worst = -1
    silent = 0
    for sample in samples:
        if sample.state is SampleState.NOT_MEASURED:
            silent += 1
            continue
        rtt = sample.rtt_ns
        counted.append(rtt)
        if rtt is None:
            continue
        if sample.error_ns is not None and (error is None or sample.error_ns > error):
            error = sample.error_ns
        if sample.grade is not None and _WORST[sample.grade] > worst:
            grade, worst = sample.grade, _WORST[sample.grade]
    answered = sorted(rtt for rtt in counted if rtt is not None)
    if not answered:
        return Numbers(sent=len(counted), not_measured=silent, samples_ns=tuple(counted))
    return Numbers(
        len(counted), len(answered), silent, percentile(answered, 0.5), answered[0], answered[-1],
        error, grade, tuple(counted),
    )  # fmt: skip


def _exchange(exchange: HttpExchange) -> Numbers:
    first = exchange.stages.ttfb
    kept = Numbers(
        stages_ns=_stages(exchange.stages), status=exchange.status, tls_version=exchange.tls_version,
        clock=exchange.clock,
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
        error_ns=max(bars, default=None), grade=max(grades, key=_WORST.__getitem__, default=None),
        samples_ns=() if rtt is None else (rtt,), hop_count=last.ttl if last else None, clock=trace.clock,
    )  # fmt: skip


def _stages(stages: Stages) -> dict[str, int]:
    steps = {"dns": stages.dns, "connect": stages.connect, "tls": stages.tls, "ttfb": stages.ttfb}
    made = {name: step.duration_ns for name, step in steps.items() if step is not None}
    if stages.total_ns is not None:
        made["total"] = stages.total_ns
    return made
