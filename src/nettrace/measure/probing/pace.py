"""How many packets may go now without ever exceeding a rate, and how often to look."""

from nettrace.model.instant import NS_PER_MS, NS_PER_S, Instant

TICK_NS = 50 * NS_PER_MS
"""Longest tick. Every waking finds cold caches, which costs as much as some ten probes."""

SHORT_TICK_NS = 20 * NS_PER_MS
PACKETS_A_TICK = 100
"""Ticks are shortened, down to `SHORT_TICK_NS`, where the rate allows for more packets than this in one."""


def tick_of(rate_pps: float) -> int:
    """How long an engine of this rate sleeps while much is going on, in ns.

    >>> [tick_of(rate) // NS_PER_MS for rate in (100.0, 4_000.0, 20_000.0)]
    [50, 25, 20]
    """
    return max(SHORT_TICK_NS, min(TICK_NS, int(PACKETS_A_TICK * NS_PER_S / rate_pps)))


class Pace:
    """The generic cell rate algorithm (ITU-T I.371, annex A) for packets taken in handfuls.

    In any window of w seconds at most `rate_pps * (w + burst)` packets go, and at least one is always allowed.

    >>> pace = Pace(100.0, 20_000_000)
    >>> pace.room(10**9), pace.spend(2, 10**9), pace.room(10**9), pace.next_at(10**9)
    (2, None, 0, 1010000000)

    Args:
        rate_pps: packets a second.
        burst_ns: how long an unused allowance is kept.
    """

    def __init__(self, rate_pps: float, burst_ns: int) -> None:
        self._period_ns = -int(-NS_PER_S // rate_pps)
        self._most = max(1, burst_ns // self._period_ns)
        self._next: Instant = 0

    def room(self, now: Instant) -> int:
        """How many may go now."""
        return max(0, (now - self._from(now)) // self._period_ns + 1)

    def spend(self, count: int, now: Instant) -> None:
        """Note that so many went."""
        self._next = self._from(now) + count * self._period_ns

    def next_at(self, now: Instant) -> Instant:
        """From when on the next one may go."""
        return max(now, self._from(now))

    def _from(self, now: Instant) -> Instant:
        return max(self._next, now - (self._most - 1) * self._period_ns)
