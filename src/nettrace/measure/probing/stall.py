"""Windows in which this host did nothing: what was in flight then proves no loss.

Three witnesses: the program's own plan (it woke late), the control group's throttling, and the hypervisor's
steal time. A paused virtual machine delays even the kernel's reception stamps; that cannot be repaired from
inside, only seen.
"""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from nettrace.model.instant import NS_PER_MS, NS_PER_S, Instant

OVERRUN_NS = 2 * NS_PER_MS
"""Waking later than planned by more than this is a stall."""

LOOK_EVERY_NS = 250 * NS_PER_MS
"""How often the slow witnesses (control group, steal time) are read: about 0.01 % of a core."""

STOLEN_PART = 20
"""Steal counts as a stall from one twentieth of the window on: it ticks in 10 ms and is never quite zero."""


class Stall(NamedTuple):
    """The host did nothing for some of the time between the two instants."""

    start: Instant
    end: Instant
    cause: str


def throttled_ns(stat: str) -> int:
    r"""Time a control group was throttled, in ns, from the text of its `cpu.stat` (version 1 or 2).

    >>> throttled_ns("usage_usec 5\nnr_throttled 3\nthrottled_usec 40")
    40000
    >>> throttled_ns("nr_periods 7\nnr_throttled 3\nthrottled_time 900")
    900
    """
    for line in stat.splitlines():
        name, _, value = line.partition(" ")
        if name == "throttled_usec":
            return int(value) * 1000
        if name == "throttled_time":
            return int(value)
    return 0


def stolen_ns(stat: str, ticks_per_second: int = 100) -> int:
    """Steal time of all processors together, in ns, from the text of `/proc/stat`.

    >>> stolen_ns("cpu  1 2 3 4 5 6 7 8 9 10")
    80000000
    """
    fields = stat.split("\n", 1)[0].split()
    return int(fields[8]) * NS_PER_S // ticks_per_second if len(fields) > 8 else 0


def cpu_stat_files(cgroup: str, mounts: str) -> tuple[str, ...]:
    """Paths of the `cpu.stat` of this process's control groups and their parents, innermost first.

    Args:
        cgroup: the text of `/proc/self/cgroup`.
        mounts: the text of `/proc/self/mountinfo`.
    """
    found: list[str] = []
    for line in mounts.splitlines():
        left, _, right = line.partition(" - ")
        places, kinds = left.split(), right.split()
        if len(places) < 5 or len(kinds) < 3:
            continue
        if kinds[0] == "cgroup2":
            inside = _group(cgroup, "")
        elif kinds[0] == "cgroup" and "cpu" in kinds[2].split(","):
            inside = _group(cgroup, "cpu")
        else:
            continue
        if inside is not None:
            found += _with_parents(places[4], inside.removeprefix(places[3].rstrip("/")))
    return tuple(found)


def _group(cgroup: str, controller: str) -> str | None:
    for line in cgroup.splitlines():
        _, controllers, path = [*line.split(":", 2), "", ""][:3]
        if controller in controllers.split(","):
            return path
    return None


def _with_parents(mount: str, inside: str) -> list[str]:
    parts = [part for part in inside.split("/") if part and part != ".."]
    return ["/".join([mount, *parts[:depth], "cpu.stat"]) for depth in range(len(parts), -1, -1)]


class StallGuard:
    """Tells of every stall since it was last asked.

    Args:
        throttled: total throttled time of this process's control groups, in ns.
        stolen: total steal time of the host, in ns.
    """

    def __init__(self, throttled: Callable[[], int], stolen: Callable[[], int]) -> None:
        self._throttled = throttled
        self._stolen = stolen
        self._looked_at: Instant | None = None
        self._seen = (0, 0)
        self._explained = 0

    def observe(self, planned: Instant | None, woke: Instant) -> Sequence[Stall]:
        """Stalls known at the moment of waking; `planned` is when that should have been at the latest.

        Throttled and stolen time that a late wake-up explains is not told twice.
        """
        stalls: list[Stall] = []
        if planned is not None and woke - planned > OVERRUN_NS:
            stalls.append(Stall(planned, woke, "woke late"))
            self._explained += woke - planned
        since = self._looked_at
        if since is not None and woke - since < LOOK_EVERY_NS:
            return stalls
        throttled, stolen = self._throttled(), self._stolen()
        before_throttled, before_stolen = self._seen
        explained, self._explained = self._explained, 0
        self._seen = (throttled, stolen)
        self._looked_at = woke
        if since is not None:
            if throttled - before_throttled - explained > OVERRUN_NS:
                stalls.append(Stall(since, woke, "throttled by its control group"))
            if stolen - before_stolen - explained > max(OVERRUN_NS, (woke - since) // STOLEN_PART):
                stalls.append(Stall(since, woke, "processor time stolen by the hypervisor"))
        return stalls


class _Files:
    """Small kernel files held open and read again and again."""

    def __init__(self, paths: Sequence[str]) -> None:
        self._open: list[int] = []
        for path in paths:
            try:
                self._open.append(os.open(path, os.O_RDONLY | os.O_CLOEXEC))
            except OSError:
                continue

    def total(self, parse: Callable[[str], int]) -> int:
        return sum(parse(os.pread(file, 4096, 0).decode("utf-8", "replace")) for file in self._open)

    def __del__(self) -> None:
        for file in self._open:
            os.close(file)


def host_guard() -> StallGuard:
    """A guard over this host; a witness that cannot be read stays silent."""
    try:
        paths = cpu_stat_files(
            Path("/proc/self/cgroup").read_text(encoding="utf-8", errors="replace"),
            Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="replace"),
        )
    except OSError:
        paths = ()
    groups, processors = _Files(paths), _Files(("/proc/stat",))
    ticks = os.sysconf("SC_CLK_TCK")
    return StallGuard(
        lambda: groups.total(throttled_ns), lambda: processors.total(lambda text: stolen_ns(text, ticks))
    )
