"""Windows in which this host did nothing: what was in flight then proves no loss.

A program that is not scheduled for a while loses nothing: the kernel goes on stamping and keeps the answers, the
sockets are emptied before anything is judged, and a queue that overflowed says so by itself. Only a host that
stood still may have lost packets without a word. Two witnesses: a wake-up far later than planned, and the
hypervisor's steal time. A paused virtual machine delays even the kernel's reception stamps; that cannot be
repaired from inside, only seen.
"""

import os
from collections.abc import Callable, Sequence
from typing import NamedTuple

from nettrace.model.instant import NS_PER_MS, NS_PER_S, Instant

OVERRUN_NS = 250 * NS_PER_MS
"""Waking later than planned by more than this is a stall: schedulers and CPU quotas hold a program back for less."""

LOOK_EVERY_NS = 250 * NS_PER_MS
"""How often the steal time is read: about 0.01 % of a core."""

STOLEN_PART = 20
"""Steal counts as a stall from one twentieth of the window on: it ticks in 10 ms and is never quite zero."""


class Stall(NamedTuple):
    """The host did nothing for some of the time between the two instants."""

    start: Instant
    end: Instant
    cause: str


def stolen_ns(stat: str, ticks_per_second: int = 100) -> int:
    """Steal time of all processors together, in ns, from the text of `/proc/stat`.

    >>> stolen_ns("cpu  1 2 3 4 5 6 7 8 9 10")
    80000000
    """
    fields = stat.split("\n", 1)[0].split()
    return int(fields[8]) * NS_PER_S // ticks_per_second if len(fields) > 8 else 0


class StallGuard:
    """Tells of every stall since it was last asked.

    Args:
        stolen: total steal time of the host, in ns.
    """

    def __init__(self, stolen: Callable[[], int]) -> None:
        self._stolen = stolen
        self._looked_at: Instant | None = None
        self._seen = 0
        self._explained = 0

    def observe(self, planned: Instant | None, woke: Instant) -> Sequence[Stall]:
        """Stalls known at the moment of waking; `planned` is when that should have been at the latest.

        Stolen time that a late wake-up explains is not told twice.
        """
        stalls: list[Stall] = []
        if planned is not None and woke - planned > OVERRUN_NS:
            stalls.append(Stall(planned, woke, "woke late"))
            self._explained += woke - planned
        since = self._looked_at
        if since is not None and woke - since < LOOK_EVERY_NS:
            return stalls
        stolen, before = self._stolen(), self._seen
        explained, self._explained = self._explained, 0
        self._seen, self._looked_at = stolen, woke
        if since is not None and stolen - before - explained > (woke - since) // STOLEN_PART:
            stalls.append(Stall(since, woke, "processor time stolen by the hypervisor"))
        return stalls


class _ProcStat:
    """`/proc/stat`, held open and read again and again; zero where it cannot be read."""

    def __init__(self) -> None:
        self._ticks_per_second = os.sysconf("SC_CLK_TCK")
        try:
            self._file: int | None = os.open("/proc/stat", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            self._file = None

    def stolen_ns(self) -> int:
        if self._file is None:
            return 0
        return stolen_ns(os.pread(self._file, 4096, 0).decode("ascii", "replace"), self._ticks_per_second)

    def __del__(self) -> None:
        if self._file is not None:
            os.close(self._file)


def host_guard() -> StallGuard:
    """A guard over this host; a witness that cannot be read stays silent."""
    return StallGuard(_ProcStat().stolen_ns)
