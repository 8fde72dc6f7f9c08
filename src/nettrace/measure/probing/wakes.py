"""When each machine wants to be asked: in buckets, because a tick takes out many at once and thousands wait."""

import heapq

from nettrace.model.instant import Instant

_BUCKET_BITS = 24
"""A bucket is 2**24 ns, 17 ms: shorter than any tick, so a tick looks at few of what it leaves in place."""

Wake = tuple[Instant, int]
"""The moment, and the serial number of who wants to be asked then."""


class Wakes:
    """Moments in order, as a heap gives them; of a heap with 1,000 moments each is a walk through cold memory.

    >>> wakes = Wakes()
    >>> for moment, serial in ((50_000_000, 1), (20_000_000, 2), (20_000_001, 3)):
    ...     wakes.add(moment, serial)
    >>> wakes.first(), wakes.due(20_000_000), wakes.due(90_000_000), wakes.first()
    (20000000, [(20000000, 2)], [(20000001, 3), (50000000, 1)], None)
    """

    __slots__ = ("_buckets", "_order")

    def __init__(self) -> None:
        self._buckets: dict[int, list[Wake]] = {}
        self._order: list[int] = []

    def add(self, moment: Instant, serial: int) -> None:
        """Note that `serial` wants to be asked at `moment`."""
        number = moment >> _BUCKET_BITS
        bucket = self._buckets.get(number)
        if bucket is None:
            self._buckets[number] = [(moment, serial)]
            heapq.heappush(self._order, number)
        else:
            bucket.append((moment, serial))

    def due(self, now: Instant) -> list[Wake]:
        """All whose moment has come, the earliest first; they are forgotten here."""
        found: list[Wake] = []
        order, last = self._order, now >> _BUCKET_BITS
        while order and order[0] <= last:
            bucket = sorted(self._buckets.pop(order[0]))
            if order[0] == last and bucket[-1][0] > now:
                self._buckets[last] = [wake for wake in bucket if wake[0] > now]
                found += bucket[: len(bucket) - len(self._buckets[last])]
                break
            heapq.heappop(order)
            found += bucket
        return found

    def first(self) -> Instant | None:
        """The earliest moment; None when nobody waits."""
        return min(self._buckets[self._order[0]])[0] if self._order else None
