"""A sweep for users without raw sockets: the engine's own traces, some hundreds of targets at a time.

Every target's flow needs its own sockets then, so their number is what limits it. Slower by an order of magnitude
than raw sockets, with the same stamps, the same flows and the same documents; routers that limit their answers are
not waited for.
"""

import time
from collections.abc import Iterable, Iterator

import msgspec

from nettrace.measure.sweeping.request import SweepRequest, unmeasured
from nettrace.measure.sweeping.targets import Pinned, Targets
from nettrace.model.instant import NS_PER_S
from nettrace.model.measurement import Outcome, Reason
from nettrace.model.path import Trace

_RESOLVING_S = 0.01
AT_ONCE = 400
"""Targets traced together: below the 512 sockets the engine opens at most."""


class EngineRun:
    """What `Run` is, on the engine's traces.

    Attributes:
        resting: always: every trace is handed out at once.
    """

    resting = True

    def __init__(self, targets: Iterable[str], request: SweepRequest) -> None:
        self._targets = Targets(targets, request.version)
        self._request = request

    def steps(self) -> Iterator[list[Trace]]:
        """Does the sweep, some hundreds of targets at a time."""
        while not self._targets.done:
            pinned = self._targets.take(AT_ONCE)
            if not pinned:
                time.sleep(_RESOLVING_S)
            for trace in self._traces(pinned):
                yield [trace]

    def aborted(self) -> list[Trace]:
        """Nothing: the engine hands out itself what an interrupt left unfinished."""
        return []

    def close(self) -> None:
        """Stops resolving."""
        self._targets.close()

    def _traces(self, pinned: list[Pinned]) -> Iterator[Trace]:
        # The engine is only loaded where it is needed.
        from nettrace.measure.probing import path  # noqa: PLC0415
        from nettrace.measure.probing.ping import Driving, ProbeTarget  # noqa: PLC0415
        from nettrace.measure.tracing.trace import TraceOptions  # noqa: PLC0415

        request, resolved = self._request, {each.target: each.resolved for each in pinned}
        for each in pinned:
            if each.address is None:
                yield unmeasured(each, request, time.time_ns(), Outcome.FAILED, Reason.DNS, each.problem)
        options = TraceOptions(
            method=request.method,
            port=request.port,
            flow_number=request.flow,
            probes_per_hop=request.probes_per_hop,
            timeout_ns=int(request.timeout_s * NS_PER_S),
            max_ttl=request.max_ttl,
        )
        targets = [ProbeTarget(each.target, each.address) for each in pinned if each.address is not None]
        for trace in path.trace(targets, options, driving=Driving(rate_pps=request.rate_pps, raw=False)):
            yield msgspec.structs.replace(trace, resolved=resolved[trace.target])
