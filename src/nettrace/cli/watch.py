"""What `nettrace trace --watch` has seen so far, hop by hop. Knows no screen and no socket."""

from collections.abc import Iterable
from math import sqrt

import msgspec

from nettrace.model.measurement import SampleState
from nettrace.model.path import Hop, Trace

SPARK = "▁▂▃▄▅▆▇█"
SPARK_LENGTH = 24


class HopHistory(msgspec.Struct):
    """Running figures of one TTL (Welford's algorithm for the spread; times in nanoseconds).

    `sent` counts departures only, so a probe this host spoiled is not a loss.
    """

    ttl: int
    hop: Hop
    addresses: dict[str, int] = {}
    sent: int = 0
    received: int = 0
    last_ns: int | None = None
    best_ns: int | None = None
    worst_ns: int | None = None
    mean_ns: float = 0.0
    squares: float = 0.0
    recent: list[int | None] = []

    @property
    def loss_percent(self) -> float | None:
        """Unanswered share of the probes seen to leave; None before the first."""
        return 100.0 * (1 - self.received / self.sent) if self.sent else None

    @property
    def spread_ns(self) -> float | None:
        """Sample standard deviation, None before the second answer."""
        return sqrt(self.squares / (self.received - 1)) if self.received > 1 else None

    def add(self, hop: Hop) -> None:
        """Take in this TTL of one more trace."""
        self.hop = hop if hop.address is not None or self.hop.address is None else self.hop
        for address in (hop.address, *hop.also):
            if address is not None:
                self.addresses[address] = self.addresses.get(address, 0) + 1
        for sample in hop.samples:
            if sample.state is SampleState.NOT_MEASURED:
                continue
            self.sent += 1
            self.recent = [*self.recent[1 - SPARK_LENGTH :], sample.rtt_ns]
            if sample.rtt_ns is not None:
                self._answered(sample.rtt_ns)

    def _answered(self, rtt_ns: int) -> None:
        self.received += 1
        self.last_ns = rtt_ns
        self.best_ns = rtt_ns if self.best_ns is None else min(self.best_ns, rtt_ns)
        self.worst_ns = rtt_ns if self.worst_ns is None else max(self.worst_ns, rtt_ns)
        step = rtt_ns - self.mean_ns
        self.mean_ns += step / self.received
        self.squares += step * (rtt_ns - self.mean_ns)


class PathHistory:
    """Every TTL seen while watching one target; a path that grew or shrank keeps its old rows apart."""

    def __init__(self) -> None:
        """Nothing seen yet."""
        self._hops: dict[int, HopHistory] = {}
        self.rounds = 0
        self.reached_rounds = 0
        self.length_changes = 0
        self._length: int | None = None

    @property
    def hops(self) -> list[HopHistory]:
        """The rows of the newest path, in TTL order."""
        longest = self._length if self._length is not None else max(self._hops, default=0)
        return [self._hops[ttl] for ttl in sorted(self._hops) if ttl <= longest]

    def add(self, trace: Trace) -> None:
        """Take in one more trace of the same target and flow."""
        self.rounds += 1
        if trace.reached:
            self.reached_rounds += 1
            if self._length is not None and self._length != len(trace.hops):
                self.length_changes += 1
                self._forget(trace.hops)
            self._length = len(trace.hops)
        for hop in trace.hops:
            known = self._hops.setdefault(hop.ttl, HopHistory(ttl=hop.ttl, hop=hop))
            known.add(hop)

    def _forget(self, hops: Iterable[Hop]) -> None:
        """Drop figures of rows whose router changed with the path: loss of a hop that is gone is not loss."""
        for hop in hops:
            known = self._hops.get(hop.ttl)
            if known and hop.address and hop.address not in known.addresses:
                del self._hops[hop.ttl]


def sparkline(values: list[int | None]) -> str:
    """Recent round trips as bars between their own least and most; `·` is a lost one.

    >>> sparkline([10, 20, None, 30])
    '▁▅·█'
    """
    seen = [value for value in values if value is not None]
    if not seen:
        return "·" * len(values)
    low, span = min(seen), (max(seen) - min(seen)) or 1
    return "".join("·" if v is None else SPARK[round((v - low) / span * (len(SPARK) - 1))] for v in values)
