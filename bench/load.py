"""Loads a measuring program must bear: nothing, busy neighbours on its core, a CPU quota like a small cloud VM's.

Every process started here is ended by its own id and every control group removed when the block ends; the
burners also end when this process is killed.
"""

import contextlib
import os
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from bench.bridge import die_with_parent
from bench.emulator import Unavailable

TOOL_CPU = 0
CGROUP1 = Path("/sys/fs/cgroup/cpu")
CGROUP2 = Path("/sys/fs/cgroup")


@dataclass(frozen=True)
class Place:
    """Where a program runs.

    Attributes:
        cpu: the CPU it is pinned to.
        group: the list of processes of the control group it joins.
        ordinary: without any capability, as an ordinary user has none.
    """

    cpu: int | None = TOOL_CPU
    group: Path | None = None
    ordinary: bool = False

    def words(self) -> list[str]:
        """As bench/launch.c reads it."""
        rights = "none" if self.ordinary else None
        return ["-" if word is None else str(word) for word in (self.cpu, self.group, rights)]


HERE = Place()
IDLE, BURNERS, QUOTA = "idle", "4 busy loops", "5 ms in 80 ms"


@contextlib.contextmanager
def under(load: str, *, ordinary: bool = False) -> Iterator[Place]:
    """The load for the length of the block; gives the place where the measuring program must run."""
    place = Place(ordinary=ordinary)
    if load == IDLE:
        yield place
    elif load == BURNERS:
        with burners(4):
            yield place
    elif load == QUOTA:
        with quota(5_000, 80_000) as group:
            yield replace(place, group=group)
    else:
        raise ValueError(f"no load {load!r}")


@contextlib.contextmanager
def burners(count: int) -> Iterator[None]:
    """`count` busy loops at nice 0 on the tool's CPU."""
    loops = [
        subprocess.Popen(["sh", "-c", "while :; do :; done"], preexec_fn=_pinned)  # noqa: PLW1509
        for _ in range(count)
    ]
    try:
        yield
    finally:
        for loop in loops:
            loop.kill()
        for loop in loops:
            loop.wait()


@contextlib.contextmanager
def quota(quota_us: int, period_us: int) -> Iterator[Path]:
    """A control group that may use `quota_us` of CPU in each `period_us`; gives its list of processes."""
    group = _new_group()
    try:
        if (group / "cpu.max").exists():
            (group / "cpu.max").write_text(f"{quota_us} {period_us}")
        else:
            (group / "cpu.cfs_period_us").write_text(str(period_us))
            (group / "cpu.cfs_quota_us").write_text(str(quota_us))
        yield group / "cgroup.procs"
    finally:
        _remove(group)


def _pinned() -> None:
    die_with_parent()
    with contextlib.suppress(OSError):
        os.sched_setaffinity(0, {TOOL_CPU})


def _new_group() -> Path:
    name = f"nettrace-bench-{os.getpid()}"
    for root, marker in ((CGROUP1, "cpu.cfs_quota_us"), (CGROUP2, "cgroup.controllers")):
        if not (root / marker).exists():
            continue
        for left in root.glob("nettrace-bench-*"):  # of a run that was killed; one in use cannot be removed
            with contextlib.suppress(OSError):
                left.rmdir()
        group = root / name
        with contextlib.suppress(OSError):
            group.mkdir(exist_ok=True)
            if (group / "cpu.max").exists() or (group / "cpu.cfs_quota_us").exists():
                return group
            group.rmdir()
    raise Unavailable(
        "no control group with a CPU quota can be made here (needs root and the cpu controller)"
    )


def _remove(group: Path) -> None:
    """Remove a group; waits for members that are just ending."""
    deadline = time.monotonic() + 5
    while True:
        try:
            group.rmdir()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)
        else:
            return
