"""The simulated host's time: a true line, a system clock that steps, and pauses in which nothing runs."""

from bisect import bisect_right
from collections.abc import Iterable

from nettrace.model.instant import Instant


class SimClock:
    """What the host's clocks show at any true instant, and when the host stands still.

    Args:
        steps: (when, by how much) the system clock is set; negative goes back.
        stalls: (start, end) of pauses: no process runs, and packets that arrive are stamped at the end.
    """

    def __init__(
        self,
        steps: Iterable[tuple[Instant, int]] = (),
        stalls: Iterable[tuple[Instant, Instant]] = (),
    ) -> None:
        self._step_times: list[Instant] = []
        self._offsets = [0]
        for at, change in sorted(steps):
            self._step_times.append(at)
            self._offsets.append(self._offsets[-1] + change)
        self.stalls = sorted(stalls)
        self._stall_starts = [start for start, _ in self.stalls]

    def offset(self, at: Instant) -> int:
        """Nanoseconds by which the system clock is ahead of true time at that true instant."""
        return self._offsets[bisect_right(self._step_times, at)]

    def stall_at(self, at: Instant) -> tuple[Instant, Instant] | None:
        """The pause that covers an instant, or None."""
        index = bisect_right(self._stall_starts, at) - 1
        if index >= 0 and at < self.stalls[index][1]:
            return self.stalls[index]
        return None

    def stalls_between(self, start: Instant, end: Instant) -> list[tuple[Instant, Instant]]:
        """The pauses that begin after `start` and not after `end`."""
        return self.stalls[bisect_right(self._stall_starts, start) : bisect_right(self._stall_starts, end)]
