"""How this machine is: CPU, memory, disk, from /proc and statvfs alone; and lags that operators write into gauge files."""

import os
import re
import time
from contextlib import suppress
from math import isfinite
from pathlib import Path

from nettrace.model.vantage import MOST_LAGS, Load

PROC = Path("/proc")
STALE_S = 300.0
"""A gauge file that nobody wrote for so long says nothing of the present."""
_MOST_BYTES = 65_536
_LAG = re.compile(r'nettrace_replication_lag_seconds\{endpoint="([^"\\\n]{1,100})"\} +([0-9.eE+-]+)\s*')


class Machine:
    """Samples of this machine; each counts the CPU since the one before.

    Args:
        folder: the disk that matters is the one this is on.
        gauges: folder of `*.prom` files with replication lags, or None.
        proc: where the kernel tells.
    """

    def __init__(self, folder: Path, gauges: Path | None = None, proc: Path = PROC) -> None:
        self._folder = folder
        self._gauges = gauges
        self._proc = proc
        self._before = self._ticks()
        self._cpu_percent: float | None = None

    def sample(self) -> Load:
        """How it is now; what cannot be read is None."""
        ticks = self._ticks()
        if ticks is not None and self._before is not None and ticks[1] - self._before[1] >= 10:
            busy, total = ticks[0] - self._before[0], ticks[1] - self._before[1]
            self._cpu_percent = round(min(100.0, max(0.0, 100.0 * busy / total)), 1)
            self._before = ticks
        memory = self._fields("meminfo")
        total, available = memory.get("MemTotal"), memory.get("MemAvailable")
        room = self._room()
        return Load(
            cpu_percent=self._cpu_percent,
            cores=os.cpu_count() or 0,
            memory_used_bytes=total - available if total is not None and available is not None else None,
            memory_bytes=total,
            disk_used_bytes=room[0] if room else None,
            disk_bytes=room[1] if room else None,
            rss_bytes=self._fields("self/status").get("VmRSS"),
            replication_lag_s=lags(self._gauges, time.time()) if self._gauges is not None else {},
        )

    def _ticks(self) -> tuple[int, int] | None:
        """(busy, all) clock ticks of all cores since the start (proc(5), /proc/stat)."""
        try:
            words = (self._proc / "stat").read_text().split("\n", 1)[0].split()[1:9]
            user, nice, system, idle, iowait, irq, softirq, steal = map(int, words)
        except (OSError, ValueError):
            return None
        busy = user + nice + system + irq + softirq + steal
        return busy, busy + idle + iowait

    def _fields(self, name: str) -> dict[str, int]:
        """Lines `Name: N kB` of a file below /proc, in bytes."""
        try:
            lines = (self._proc / name).read_text().splitlines()
        except OSError:
            return {}
        found: dict[str, int] = {}
        for line in lines:
            key, _, rest = line.partition(":")
            words = rest.split()
            if len(words) == 2 and words[1] == "kB" and words[0].isdecimal():
                found[key] = int(words[0]) * 1024
        return found

    def _room(self) -> tuple[int, int] | None:
        """(used, all) bytes, as far as this user is concerned."""
        try:
            found = os.statvfs(self._folder)
        except OSError:
            return None
        return (found.f_blocks - found.f_bavail) * found.f_frsize, found.f_blocks * found.f_frsize


def lags(folder: Path, now_s: float) -> dict[str, float]:
    """Replication lags in seconds by endpoint, of the gauge files that were written lately.

    A file holds lines of the Prometheus text format, `nettrace_replication_lag_seconds{endpoint="pg-sin"} 0.25`; others
    are left alone. It is replaced as a whole (write another name, then rename), as node_exporter's textfiles are.
    """
    found: dict[str, float] = {}
    with suppress(OSError):
        for path in sorted(folder.glob("*.prom")):
            with suppress(OSError, UnicodeDecodeError):
                about = path.stat()
                if about.st_size > _MOST_BYTES or not 0 <= now_s - about.st_mtime + 60 <= STALE_S + 60:
                    continue
                for line in path.read_text(encoding="utf-8").splitlines():
                    read = _LAG.fullmatch(line)
                    if read is not None and len(found) < MOST_LAGS:
                        _note(found, read[1], read[2])
    return found


def _note(found: dict[str, float], endpoint: str, text: str) -> None:
    with suppress(ValueError):
        value = float(text)
        if isfinite(value) and 0 <= value <= 1e9:
            found[endpoint] = value
