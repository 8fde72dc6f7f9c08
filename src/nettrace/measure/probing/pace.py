"""How many packets may go now without ever exceeding a rate."""

from nettrace.model.instant import NS_PER_S, Instant


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
