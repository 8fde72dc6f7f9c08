"""What `nettrace trace --watch` has seen so far, hop by hop. Knows no screen and no socket."""

from collections.abc import Sequence
from math import sqrt
from typing import NamedTuple

import msgspec

from nettrace.cli.output import milliseconds
from nettrace.model.instant import ms
from nettrace.model.measurement import SampleState
from nettrace.model.path import Hop, Trace

SPARK = "▁▂▃▄▅▆▇█"
SPARK_LENGTH = 24
FRESH_ROUNDS = 20
"""For so many rounds a row shows that its router is new."""

SWINGS = 3
"""A hop that changed so often is balanced by packet, not rerouted: its addresses share a row from then on."""


class HopHistory(msgspec.Struct):
    """Running figures of one TTL (Welford's algorithm for the spread; times in nanoseconds).

    `sent` counts departures only, so a probe this host spoiled is not a loss. `since` is the round in which this
    router took the row over from another, 0 when it was there from the start.
    """

    ttl: int
    hop: Hop
    since: int = 0
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

    @property
    def label(self) -> str:
        """Name or address, and how many others share the row."""
        others = f" +{len(self.addresses) - 1}" if len(self.addresses) > 1 else ""
        return (self.hop.name or self.hop.address or "*") + others

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


class _Arrival(NamedTuple):
    """How the newest trace that reached the target got there."""

    hops: int
    rtt_ns: int | None


class PathHistory:
    """Every TTL seen while watching one target.

    A row whose router changed begins anew: loss of a hop that is gone is no loss.
    """

    def __init__(self) -> None:
        """Nothing seen yet."""
        self._hops: dict[int, HopHistory] = {}
        self._swings: dict[int, int] = {}
        self.rounds = 0
        self.reached_rounds = 0
        self._arrival: _Arrival | None = None

    @property
    def hops(self) -> list[HopHistory]:
        """The rows of the newest path, in TTL order."""
        longest = self._arrival.hops if self._arrival else max(self._hops, default=0)
        return [self._hops[ttl] for ttl in sorted(self._hops) if ttl <= longest]

    def add(self, trace: Trace) -> str | None:
        """Take in one more trace of the same target and flow; how the path changed with it in words, or None."""
        self.rounds += 1
        self.reached_rounds += trace.reached
        before, now = self._arrival, None
        if trace.reached:
            self._arrival = now = _Arrival(len(trace.hops), trace.rtt_ns)
        news: list[int] = []
        for hop in trace.hops:
            known = self._hops.get(hop.ttl)
            if known is not None and self._is_news(known, hop):
                news.append(hop.ttl)
                self._swings[hop.ttl] = self._swings.get(hop.ttl, 0) + 1
                known = None
            if known is None:
                since = self.rounds if self.rounds > 1 else 0
                known = self._hops[hop.ttl] = HopHistory(ttl=hop.ttl, hop=hop, since=since)
            known.add(hop)
        for gone in [ttl for ttl in self._hops if trace.reached and ttl > len(trace.hops)]:
            del self._hops[gone]
        return _in_words(news, before, now)

    def is_fresh(self, row: HopHistory) -> bool:
        """True for a row whose router took over not long ago."""
        return bool(row.since) and self.rounds - row.since < FRESH_ROUNDS

    def _is_news(self, known: HopHistory, hop: Hop) -> bool:
        if hop.address is None or not known.addresses or hop.address in known.addresses:
            return False
        return self._swings.get(hop.ttl, 0) < SWINGS


def _in_words(news: Sequence[int], before: "_Arrival | None", now: "_Arrival | None") -> str | None:
    """What a person wants to know of a change: where it begins, how long the path is now and how slow."""
    facts = [f"{before.hops} → {now.hops} hops"] if before and now and now.hops != before.hops else []
    if not news and not facts:
        return None
    if before and now:
        facts.append(f"{milliseconds(ms(before.rtt_ns), 0)} → {milliseconds(ms(now.rtt_ns), 0)} ms")
    where = f" from hop {news[0]} on" if news else ""
    return f"the path changed{where}" + (f": {', '.join(facts)}" if facts else "")


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
