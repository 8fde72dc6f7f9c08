"""Recorded traces run through the same trackers as live ones, each pair in the order of its traces' times."""

from collections.abc import Iterable, Iterator

import msgspec

from nettrace.analysis.routes.sight import AsnOf
from nettrace.analysis.routes.tracker import RouteTracker
from nettrace.model.measurement import Method
from nettrace.model.path import Hop, Trace
from nettrace.model.route import RouteChange

PairKey = tuple[str | None, str, Method]
"""Vantage, target and method: what one tracker follows."""


class Recording:
    """Traces kept until all are there, because files are seldom in order of time; without their samples."""

    def __init__(self) -> None:
        self._pairs: dict[PairKey, dict[tuple[int, int], Trace]] = {}

    @property
    def pairs(self) -> int:
        """How many pairs of vantage, target and method there are."""
        return len(self._pairs)

    def add(self, trace: Trace) -> None:
        """Keep a trace; one told twice (the same pair, instant and flow) counts once."""
        key = (trace.vantage, trace.target, trace.method)
        hops = tuple(
            Hop(ttl=hop.ttl, address=hop.address, also=hop.also, inferred_from=hop.inferred_from, asn=hop.asn)
            for hop in trace.hops
        )
        thin = msgspec.structs.replace(trace, hops=hops, resolved=(), balances=())
        self._pairs.setdefault(key, {}).setdefault((trace.at, trace.flow), thin)

    def changes(self, asn_of: AsnOf | None = None) -> list[RouteChange]:
        """All changes, in the order in which they were proved."""
        found = [change for traces in self._pairs.values() for change in _followed(traces.values(), asn_of)]
        return sorted(found, key=lambda change: (change.detected_at, change.vantage or "", change.target))


def _followed(traces: Iterable[Trace], asn_of: AsnOf | None) -> Iterator[RouteChange]:
    tracker = RouteTracker()
    for trace in sorted(traces, key=lambda trace: (trace.at, trace.flow)):
        change = tracker.feed(trace, asn_of)
        if change is not None:
            yield change
