"""How many packets may go now without ever exceeding a rate, and how often to look."""

from nettrace.model.instant import NS_PER_MS, NS_PER_S, Instant

LONGEST_TICK_NS = 100 * NS_PER_MS
"""Where little goes. Every waking finds cold caches, which costs as much as some twenty probes."""

TICK_NS = 50 * NS_PER_MS
"""Longest tick where more waits than may go, and where a look at the sockets is all that tells when an answer came."""

SHORT_TICK_NS = 20 * NS_PER_MS
PACKETS_A_TICK = 100
"""Ticks are shortened, down to `SHORT_TICK_NS`, where the rate allows for more packets than this in one."""


def tick_of(rate_pps: float) -> int:
    """How long an engine of this rate sleeps while much is going on, in ns.

    >>> [tick_of(rate) // NS_PER_MS for rate in (100.0, 4_000.0, 20_000.0)]
    [50, 25, 20]
    """
    return max(SHORT_TICK_NS, min(TICK_NS, int(PACKETS_A_TICK * NS_PER_S / rate_pps)))


def burst_of(rate_pps: float) -> int:
    """How long an engine of this rate keeps an unused allowance, in ns: two of its shortest ticks."""
    return 2 * tick_of(rate_pps)


class Tick:
    """How long an engine sleeps between two looks while much is going on: so that some `PACKETS_A_TICK` go in each.

    Where the rate itself is what holds packets back, it leaves a quarter of the burst, so that a late tick loses nothing.

    >>> tick = Tick(2_000.0)
    >>> tick.ns, tick.went(40, waiting=False), tick.ns, tick.went(200, waiting=True), tick.ns
    (50000000, None, 62500000, None, 50000000)

    Args:
        rate_pps: the most that may go.
        fixed_ns: a tick that never changes.

    Attributes:
        ns: the tick now.
    """

    def __init__(self, rate_pps: float, fixed_ns: int | None = None) -> None:
        self._shortest = self.ns = fixed_ns or tick_of(rate_pps)
        self._longest = fixed_ns or LONGEST_TICK_NS
        self._packets = min(PACKETS_A_TICK, max(1, int(rate_pps * burst_of(rate_pps) * 3 / 4 / NS_PER_S)))

    def went(self, packets: int, *, waiting: bool) -> None:
        """Note what a tick sent, and whether more waits than may go."""
        if waiting:
            self.ns = self._shortest
        else:
            wanted = min(self._longest, self.ns * self._packets // max(packets, 1))
            self.ns = max(self._shortest, self.ns + (wanted - self.ns) // 4)

    def by_looking(self) -> None:
        """Answers come without the kernel's stamps: from now on every look counts."""
        self._longest = self.ns = self._shortest


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
        """Note that so many went, the last of them not after now."""
        self._next = self._from(now) + count * self._period_ns

    def next_at(self, now: Instant) -> Instant:
        """From when on the next one may go."""
        return max(now, self._from(now))

    def _from(self, now: Instant) -> Instant:
        return max(self._next, now - (self._most - 1) * self._period_ns)
