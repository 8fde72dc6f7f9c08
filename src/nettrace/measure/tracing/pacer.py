"""A packet rate that is never exceeded, however the sender is delayed."""

from nettrace.model.instant import NS_PER_MS, NS_PER_S, Instant

LONGEST_TICK_NS = 40 * NS_PER_MS
SHORTEST_TICK_NS = NS_PER_MS
_PACKETS_A_TICK = 256
CATCH_UP_NS = 100 * NS_PER_MS
"""Of a stall, this much is made up for."""


class Pacer:
    """Tells how many packets may leave now. Over any stretch of time t: at most `rate_pps * t + depth`.

    Attributes:
        depth: packets that may leave at once, after a stall: what the rate allows in 100 ms, at least one tick's.
        tick_ns: how often something is sent.
        quantum: packets of one tick: what is waited for before anything is sent.
    """

    def __init__(self, rate_pps: float, now: Instant) -> None:
        self.rate_pps = rate_pps
        self.tick_ns = int(min(LONGEST_TICK_NS, max(SHORTEST_TICK_NS, _PACKETS_A_TICK * NS_PER_S / rate_pps)))
        self.quantum = max(1.0, rate_pps * self.tick_ns / NS_PER_S)
        self.depth = max(self.quantum, rate_pps * CATCH_UP_NS / NS_PER_S)
        self._tokens = self.quantum
        self._at = now

    def allowance(self, now: Instant) -> int:
        """Packets that may leave now."""
        self._tokens = min(self.depth, self._tokens + (now - self._at) * self.rate_pps / NS_PER_S)
        self._at = now
        return int(self._tokens)

    def spend(self, packets: int, now: Instant) -> None:
        """Packets have left, the last of them not after now: what was allowed meanwhile does not go beside them."""
        self.allowance(now)
        self._tokens -= packets

    def ready_at(self) -> Instant:
        """When a whole tick's packets may leave."""
        missing = self.quantum - self._tokens
        return self._at + max(0, int(missing * NS_PER_S / self.rate_pps) + 1)
