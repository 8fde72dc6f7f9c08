"""What a sweep is asked to do."""

from typing import NamedTuple

from nettrace.measure.sweeping.targets import Pinned
from nettrace.measure.tracing.flow import DEFAULT_PORT
from nettrace.model.instant import Instant
from nettrace.model.measurement import Method, Outcome, Reason
from nettrace.model.path import StopReason, Trace


class SweepRequest(NamedTuple):
    """What `nettrace sweep` was asked to do.

    Attributes:
        port: destination port of UDP and TCP; None takes the method's default.
        flow: number of the flow.
        rate_pps: probes a second at most, over any stretch of time.
        timeout_s: how long each answer is waited for.
        patience_s: how long at most a target waits for routers that limit their answers.
        raw: False leaves raw sockets alone even where they are permitted.
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
    raw: bool = True
    version: int | None = None


def port_of(request: SweepRequest) -> int | None:
    """The destination port in use, None for ICMP."""
    return None if request.method is Method.ICMP else request.port or DEFAULT_PORT[request.method]


def unmeasured(
    pinned: Pinned, request: SweepRequest, at: Instant, outcome: Outcome, reason: Reason, detail: str
) -> Trace:
    """The trace of a target that could not even be asked."""
    return Trace(
        target=pinned.target,
        address=pinned.address,
        resolved=pinned.resolved,
        at=at,
        outcome=outcome,
        reason=reason,
        detail=detail,
        method=request.method,
        flow=request.flow,
        port=port_of(request),
        reached=False,
        stop=StopReason.ABORTED,
    )
