"""Memory and processor time of this program and everything it started, read from /proc."""

import os
import time
from contextlib import suppress
from pathlib import Path

_TICK_S = 1 / os.sysconf("SC_CLK_TCK")
_MIB = 1024


class Footprint:
    """What a process and its descendants take; between two calls of `take` for processor time."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._spent: dict[int, float] = {}
        self._at = time.monotonic()
        self.take()

    def take(self) -> str:
        """In words: `9 processes, 412 MB, 37 % of 2 processors`. Memory shared by several is counted once (PSS)."""
        now, pids = time.monotonic(), family(self._pid)
        spent = {pid: seconds for pid in pids if (seconds := _cpu_s(pid)) is not None}
        used_s = sum(seconds - self._spent.get(pid, seconds) for pid, seconds in spent.items())
        share = used_s / max(now - self._at, 1e-9) / (os.cpu_count() or 1)
        self._spent, self._at = spent, now
        memory = sum(_memory_kib(pid) for pid in pids) // _MIB
        processes = "1 process" if len(pids) == 1 else f"{len(pids)} processes"
        return f"{processes}, {memory} MB, {100 * share:.0f} % of {os.cpu_count()} processors"


def family(pid: int) -> list[int]:
    """A process and all that came from it."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError, ValueError, IndexError):
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                children.setdefault(parent, []).append(int(entry.name))
    found, waiting = [pid], [pid]
    while waiting:
        more = children.get(waiting.pop(), [])
        found += more
        waiting += more
    return found


def _cpu_s(pid: int) -> float | None:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return (int(fields[11]) + int(fields[12])) * _TICK_S


def _memory_kib(pid: int) -> int:
    """Its proportional share, or what is resident where that may not be read."""
    for name, word in (("smaps_rollup", "Pss:"), ("status", "VmRSS:")):
        with suppress(OSError):
            for line in Path(f"/proc/{pid}/{name}").read_text().splitlines():
                if line.startswith(word):
                    return int(line.split()[1])
    return 0
