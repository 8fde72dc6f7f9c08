"""Runs programs where a benchmark wants them and says what they cost: wall time, CPU, peak memory, output."""

import os
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from bench.emulator import compiled, scratch
from bench.load import HERE, Place


@dataclass(frozen=True)
class Ran:
    """One program, or several in parallel taken together.

    Attributes:
        wall_s: from the first start to the last end.
        cpu_s: user and system time, children the program waited for included; receive softirq is not.
        rss_mb: peak resident memory of the biggest process, in MB (10^6).
        code: the first exit code that is not 0; -9 when a program was ended at the time limit.
        outs, errs: what each wrote, in the order of the commands.
    """

    wall_s: float
    cpu_s: float
    rss_mb: float
    code: int
    outs: list[str]
    errs: list[str]

    @property
    def out(self) -> str:
        """All output."""
        return "".join(self.outs)

    @property
    def err(self) -> str:
        """All error output."""
        return "".join(self.errs)


def run(command: Sequence[str], place: Place = HERE, limit_s: float = 120.0) -> Ran:
    """Run one program to its end."""
    return run_all([command], place, parallel=1, limit_s=limit_s)


def run_all(
    commands: Sequence[Sequence[str]], place: Place = HERE, parallel: int = 32, limit_s: float = 120.0
) -> Ran:
    """Run programs, at most `parallel` at a time."""
    launcher = compiled("launch.c")
    started = time.monotonic()
    with scratch() as folder:
        waiting = [
            _Child(launcher, place, command, folder / str(number)) for number, command in enumerate(commands)
        ]
        everyone, running = list(waiting), []
        try:
            while waiting or running:
                while waiting and len(running) < parallel:
                    running.append(waiting.pop(0).start())
                running = [child for child in running if not child.ended()]
                if time.monotonic() - started > limit_s:
                    break
                time.sleep(0.002)
        finally:
            for child in running:
                child.end()
        wall_s = time.monotonic() - started
        costs = [child.cost() for child in everyone]
        if len(commands) == 1 and costs[0][3] != -signal.SIGKILL:
            wall_s = costs[0][0]
        texts = [child.texts() for child in everyone]
    return Ran(
        wall_s=wall_s,
        cpu_s=sum(cost[1] for cost in costs),
        rss_mb=max(cost[2] for cost in costs),
        code=next((cost[3] for cost in costs if cost[3]), 0),
        outs=[out for out, _ in texts],
        errs=[err for _, err in texts],
    )


class _Child:
    def __init__(self, launcher: Path, place: Place, command: Sequence[str], folder: Path) -> None:
        self._folder = folder
        self._command = [str(launcher), str(folder / "report"), *place.words(), *command]
        self._process: subprocess.Popen[bytes] | None = None
        self._files: list[IO[bytes]] = []

    def start(self) -> "_Child":
        self._folder.mkdir()
        self._files = [(self._folder / name).open("wb") for name in ("out", "err")]
        out, err = self._files
        self._process = subprocess.Popen(self._command, stdout=out, stderr=err, stdin=subprocess.DEVNULL)
        return self

    def ended(self) -> bool:
        return self._process is not None and self._process.poll() is not None

    def end(self) -> None:
        """Kill the launcher; the program dies with it."""
        if self._process is not None:
            os.kill(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def cost(self) -> tuple[float, float, float, int]:
        """Wall seconds, CPU seconds, peak MB, exit code."""
        report = self._folder / "report"
        if not report.exists():
            return 0.0, 0.0, 0.0, -signal.SIGKILL
        wall_ns, cpu_us, rss_kib, code = map(int, report.read_text().split())
        return wall_ns / 1e9, cpu_us / 1e6, rss_kib * 1024 / 1e6, code

    def texts(self) -> tuple[str, str]:
        """What it wrote to standard output and to standard error."""
        for file in self._files:
            file.close()
        if not self._files:
            return "", ""
        out, err = ((self._folder / name).read_bytes().decode(errors="replace") for name in ("out", "err"))
        return out, err
