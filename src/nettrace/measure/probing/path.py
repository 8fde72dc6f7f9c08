"""Traces to many addresses, by the best way this host permits, each as it ends."""

from collections.abc import Iterator, Sequence
from math import inf

import msgspec

from nettrace.measure.probing.engine import Engine
from nettrace.measure.probing.patience import Patience, longest_multipath_s, longest_trace_s
from nettrace.measure.probing.ping import (
    Driving,
    ProbeTarget,
    at_once,
    drive,
    in_time,
    obstacle,
    open_sockets,
)
from nettrace.measure.probing.sockets import Sockets
from nettrace.measure.tracing.flow import DEFAULT_PORT
from nettrace.measure.tracing.multipath import MultipathOptions, MultipathRun
from nettrace.measure.tracing.trace import TraceOptions, TraceRun
from nettrace.model.measurement import Method, Outcome, Reason
from nettrace.model.path import StopReason, Trace


def trace(
    targets: Sequence[ProbeTarget],
    options: TraceOptions | None = None,
    *,
    driving: Driving | None = None,
) -> Iterator[Trace]:
    """A trace per target, each as it ends; what this host does not permit comes out as `not_measured`.

    Without raw sockets TCP probes of one flow go one at a time and wait at most a second each. An interrupt
    (KeyboardInterrupt) hands out what is unfinished, `aborted`, before it is raised again.
    """
    options = options or TraceOptions()
    yield from _traces(targets, options, None, driving or Driving())


def multipath(
    targets: Sequence[ProbeTarget],
    options: MultipathOptions | None = None,
    *,
    driving: Driving | None = None,
) -> Iterator[Trace]:
    """As `trace`, with the load-balanced hops of every path and the confidence that they are all."""
    options = options or MultipathOptions()
    yield from _traces(targets, options.trace, options, driving or Driving())


def _traces(
    targets: Sequence[ProbeTarget], options: TraceOptions, wide: MultipathOptions | None, driving: Driving
) -> Iterator[Trace]:
    with open_sockets(driving) as sockets:
        engine = Engine(sockets, rate_pps=driving.rate_pps, politeness=driving.politeness)
        possible: list[ProbeTarget] = []
        for target in targets:
            problem = obstacle(sockets, options.method, target.address)
            if problem is None:
                possible.append(target)
            else:
                yield _not_permitted(target, options, str(problem), engine.timeline.now)
        machines = (_machine(sockets, target, options, wide) for target in possible)
        patience = Patience(_limit_s(options, wide, len(possible), sockets, driving), driving.stop)
        for machine in drive(engine, machines, at_once(sockets), patience):
            yield in_time(machine.result(), patience, done=machine.done)


def _limit_s(
    options: TraceOptions, wide: MultipathOptions | None, targets: int, sockets: Sockets, driving: Driving
) -> float:
    if driving.politeness is not None:
        return inf
    if wide is None:
        return longest_trace_s(options, targets, at_once(sockets), driving.rate_pps)
    return longest_multipath_s(wide, targets, at_once(sockets), driving.rate_pps)


def _machine(
    sockets: Sockets, target: ProbeTarget, options: TraceOptions, wide: MultipathOptions | None
) -> TraceRun | MultipathRun:
    serial_ns = sockets.transport(options.method, 6 if ":" in target.address else 4).serial_ns
    if serial_ns:
        timeout_ns = min(options.timeout_ns, serial_ns)
        options = msgspec.structs.replace(options, timeout_ns=timeout_ns, longest_wait_ns=timeout_ns)
    if wide is None:
        return TraceRun(target.host, target.address, options)
    return MultipathRun(target.host, target.address, msgspec.structs.replace(wide, trace=options))


def _not_permitted(target: ProbeTarget, options: TraceOptions, why: str, at: int) -> Trace:
    port = options.port if options.port is not None else DEFAULT_PORT[options.method]
    return Trace(
        target=target.host,
        address=target.address,
        at=at,
        outcome=Outcome.NOT_MEASURED,
        reason=Reason.NOT_PERMITTED,
        detail=why,
        method=options.method,
        flow=options.flow_number,
        port=None if options.method is Method.ICMP else port,
        reached=False,
        stop=StopReason.ABORTED,
    )
