"""Round trips by TCP handshake: SYN to SYN-ACK as the kernel measured it, no privilege needed.

A connection is closed with a FIN as soon as it stands: to the server it is a client that said nothing. A
refusal (RST) proves that the host is there and its time is shown, by the user clock (grade U); the outcome is
`failed`, `refused`. A SYN that had to be sent again is a lost sample, however the connection ended.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import NamedTuple

from nettrace.errors import Invalid
from nettrace.measure.kernel.clock import read_clocks
from nettrace.measure.streams.conversation import clock_of
from nettrace.measure.streams.deadline import Broken, Deadline
from nettrace.measure.streams.stream import connect
from nettrace.model.instant import NS_PER_S, Instant
from nettrace.model.measurement import Grade, Method, Outcome, Ping, Reason, Sample, SampleState

DEFAULT_RATE = 100.0

FIRST_RETRY_NS = 1 * NS_PER_S
"""Linux repeats an unanswered SYN after that."""
"""Connection requests a second over all targets together."""


class TcpTarget(NamedTuple):
    """What was asked for, and the resolved address that stands for it."""

    host: str
    address: str
    port: int = 443


_REPEATED = "the request was repeated before it was answered"

_ABORTED = (
    Sample(state=SampleState.NOT_MEASURED, reason=Reason.ABORTED),
    Broken(Reason.ABORTED, "interrupted", outcome=Outcome.NOT_MEASURED),
)


async def connect_ping(
    host: str,
    address: str,
    port: int = 443,
    count: int = 3,
    interval_s: float = 1.0,
    timeout_s: float = 3.0,
    *,
    kernel_stamps: bool = True,
    on_abort: Callable[[Ping], None] | None = None,
) -> Ping:
    """A round of handshakes with exactly `address`, as a `Ping` of method tcp.

    Args:
        host: the name in the result.
        address: what is connected to.
        port: TCP port.
        count: handshakes.
        interval_s: from the start of one to the start of the next; a slow one delays no other.
        timeout_s: how long each is waited for.
        kernel_stamps: False takes times from the user clock (grade U).
        on_abort: given the round so far when it is cancelled.

    Raises:
        Invalid: a count, interval, timeout or port that cannot be.
    """
    if count < 1 or interval_s < 0 or timeout_s <= 0 or not 0 < port < 65_536:
        raise Invalid("Count and timeout must be above zero, and the port between 1 and 65535")
    at = read_clocks().realtime
    attempts: list[asyncio.Task[tuple[Sample, Broken | None]]] = []
    try:
        for number in range(count):
            if number:
                await asyncio.sleep(interval_s)
            attempt = _attempt(address, port, timeout_s, kernel_stamps=kernel_stamps)
            attempts.append(asyncio.create_task(attempt))
        results = await asyncio.gather(*attempts)
    except BaseException:
        for attempt in attempts:
            attempt.cancel()
        ended = await asyncio.gather(*attempts, return_exceptions=True)
        if on_abort:
            known = [_ABORTED if isinstance(result, BaseException) else result for result in ended]
            on_abort(_round(TcpTarget(host, address, port), at, known))
        raise
    return _round(TcpTarget(host, address, port), at, results)


def _round(target: TcpTarget, at: Instant, results: Sequence[tuple[Sample, Broken | None]]) -> Ping:
    samples = _judged([sample for sample, _ in results])
    outcome, reason, detail = _verdict(samples, [broken for _, broken in results])
    return Ping(
        target=target.host,
        address=target.address,
        at=at,
        outcome=outcome,
        reason=reason,
        detail=detail,
        method=Method.TCP,
        port=target.port,
        samples=samples,
        clock=clock_of(sample.grade for sample in samples),
    )


def _judged(samples: Sequence[Sample]) -> tuple[Sample, ...]:
    """The samples, with those of a repeated request as losses where others were answered at once.

    Where none was, the way may just be longer than the kernel's patience: then they stay answered, with a bar
    that spans both requests.
    """
    if all(sample.reason == _REPEATED or sample.state is not SampleState.ANSWERED for sample in samples):
        return tuple(samples)
    return tuple(
        Sample(state=SampleState.LOST, sent_at=sample.sent_at, reason="answered only after one more")
        if sample.reason == _REPEATED
        else sample
        for sample in samples
    )


async def connect_pings(
    targets: Sequence[TcpTarget],
    count: int = 3,
    interval_s: float = 1.0,
    timeout_s: float = 3.0,
    *,
    rate: float = DEFAULT_RATE,
    kernel_stamps: bool = True,
    on_abort: Callable[[Ping], None] | None = None,
) -> AsyncGenerator[Ping]:
    """Rounds of many targets side by side, each as it ends, with at most `rate` handshakes a second in all.

    Args:
        targets: what to measure.
        count: handshakes for each.
        interval_s: between two of one target; stretched when the rate does not allow it.
        timeout_s: for each handshake.
        rate: handshakes a second over everything.
        kernel_stamps: False takes times from the user clock.
        on_abort: given every round under way, as far as it came, when this is cancelled.
    """
    if rate <= 0:
        raise Invalid("The rate must be above zero")
    # Targets start evenly spread over one interval; later probes of each keep that phase and so the rate.
    spacing_s = 1 / rate
    interval_s = max(interval_s, len(targets) * spacing_s)

    async def one(number: int, target: TcpTarget) -> Ping:
        await asyncio.sleep(number * spacing_s)
        return await connect_ping(
            target.host,
            target.address,
            target.port,
            count,
            interval_s,
            timeout_s,
            kernel_stamps=kernel_stamps,
            on_abort=on_abort,
        )

    runs = [asyncio.create_task(one(number, target)) for number, target in enumerate(targets)]
    try:
        for run in asyncio.as_completed(runs):
            yield await run
    finally:
        for run in runs:
            run.cancel()
        await asyncio.gather(*runs, return_exceptions=True)


async def _attempt(
    address: str, port: int, timeout_s: float, *, kernel_stamps: bool
) -> tuple[Sample, Broken | None]:
    started = read_clocks().realtime
    deadline = Deadline(timeout_s)
    try:
        stream = await connect(address, port, deadline, kernel_stamps=kernel_stamps, metered=True)
    except Broken as broken:
        return _unconnected(broken, started, deadline), broken
    stream.close()
    stage = stream.connect
    if stream.first_answered is False:
        lost = Sample(
            state=SampleState.LOST,
            sent_at=started,
            stalled=deadline.stalled,
            reason=f"answered only after {stream.retransmitted} more",
        )
        return lost, None
    unsure = stream.first_answered is None
    answered = Sample(
        state=SampleState.ANSWERED,
        sent_at=started,
        rtt_ns=stage.duration_ns,
        error_ns=max(stage.error_ns or 0, FIRST_RETRY_NS) if unsure else stage.error_ns,
        grade=stage.grade,
        stalled=deadline.stalled,
        reason=_REPEATED if unsure else None,
    )
    return answered, None


def _unconnected(broken: Broken, started: int, deadline: Deadline) -> Sample:
    if broken.outcome is Outcome.NOT_MEASURED or (broken.reason is Reason.TIMEOUT and deadline.stalled):
        return Sample(
            state=SampleState.NOT_MEASURED, sent_at=started, stalled=deadline.stalled, reason=broken.detail
        )
    if broken.reason is Reason.REFUSED and broken.elapsed_ns is not None:
        error_ns, reason = broken.error_ns or 0, "refused"
        if broken.retransmitted:  # a reset carries no timestamp
            error_ns, reason = max(error_ns, FIRST_RETRY_NS), _REPEATED
        return Sample(
            state=SampleState.ANSWERED,
            sent_at=started,
            rtt_ns=broken.elapsed_ns,
            error_ns=error_ns,
            grade=Grade.USER,
            stalled=deadline.stalled,
            reason=reason,
        )
    return Sample(state=SampleState.LOST, sent_at=started, reason=broken.detail)


def _verdict(
    samples: Sequence[Sample], problems: Sequence[Broken | None]
) -> tuple[Outcome, Reason | None, str | None]:
    """Measured when one handshake was answered; otherwise what the target (or else this host) said."""
    connected = [sample for sample, broken in zip(samples, problems, strict=True) if broken is None]
    if any(sample.state is SampleState.ANSWERED for sample in connected):
        return Outcome.MEASURED, None, None
    told = [broken for broken in problems if broken]
    for preferred in (Reason.REFUSED, Reason.UNREACHABLE):
        for broken in told:
            if broken.reason is preferred and broken.outcome is Outcome.FAILED:
                return broken.outcome, broken.reason, broken.detail
    if all(sample.state is SampleState.NOT_MEASURED for sample in samples):
        return Outcome.NOT_MEASURED, told[-1].reason, told[-1].detail
    lost = next((broken for broken in told if broken.outcome is Outcome.FAILED), None)
    return Outcome.FAILED, Reason.TIMEOUT, lost.detail if lost else "every first connection request was lost"
