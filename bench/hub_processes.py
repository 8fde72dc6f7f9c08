"""The processes of a hub that `bench.hub_faults` kills and starts again, and how long to wait for them."""

import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from nettrace.hub.place import Data


class Hub:
    """The real processes of a hub, killed and started again: the writer, and API workers on one shared socket."""

    def __init__(self, data: Data, workers: int) -> None:
        self.data = data
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=256) if workers else None
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.names = ["writer", *(f"api-{number}" for number in range(workers))]

    def start(self, name: str) -> None:
        """Start one of them; it is not waited for."""
        command = [sys.executable, "-m", "nettrace.hub.writer", "--data", str(self.data.folder)]
        fds: list[int] = []
        if name != "writer":
            assert self.listener is not None
            fds = [self.listener.fileno()]
            command = [sys.executable, "-m", "nettrace.serve.worker", "--data", str(self.data.folder)]
            command += ["--fd", str(fds[0]), "--bind", "127.0.0.1:0"]
        self.processes[name] = subprocess.Popen(command, stderr=subprocess.DEVNULL, pass_fds=fds)

    def mend(self) -> None:
        """Start again who ended by itself, as the supervisor does: a worker may give up while there is no writer."""
        for name, process in list(self.processes.items()):
            if process.poll() is not None:
                self.start(name)

    def end(self, name: str, number: int) -> int:
        """Send one of them a signal and wait for its end."""
        process = self.processes.pop(name)
        process.send_signal(number)
        return process.wait(20)

    def close(self) -> list[int]:
        """End all, the writer last; their exit codes."""
        codes = [self.end(name, signal.SIGTERM) for name in reversed(self.names) if name in self.processes]
        if self.listener is not None:
            self.listener.close()
        return codes


class Patience:
    """How long nothing has come of a hub that could have run: time in which one of its processes waited for a CPU is not counted.

    Starting an API worker takes two seconds of CPU. On a machine that others use too that is half a minute, in which a
    hub that hangs and one that starts look alike to a clock.
    """

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._at = time.monotonic()
        self._queued = {each.pid: queued_s(each.pid) for each in hub.processes.values()}
        self.spent_s = self.waited_s = 0.0

    def look(self) -> None:
        """Note what passed since the last look.

        Raises:
            Stuck: a hub that could run made no progress for half a minute.
        """
        now, queued = (
            time.monotonic(),
            {each.pid: queued_s(each.pid) for each in self._hub.processes.values()},
        )
        waited = max((each - self._queued.get(pid, 0.0) for pid, each in queued.items()), default=0.0)
        self.spent_s += max(0.0, now - self._at - waited)
        self.waited_s += now - self._at
        self._at, self._queued = now, queued
        if self.spent_s > STUCK_S:
            states = ", ".join(
                f"{name} {each.poll()} after {ran_s(each.pid):.1f} s of CPU and {queued_s(each.pid):.1f} s waiting for one"
                for name, each in self._hub.processes.items()
            )
            raise Stuck(f"no progress in {STUCK_S} s of a hub that could run (exit codes: {states})")


STUCK_S = 30


class Stuck(Exception):
    """A hub that does nothing though it could."""


def queued_s(pid: int) -> float:
    """How long the main thread of a process was ready to run and had no CPU, since it began (`/proc/PID/schedstat`)."""
    return _scheduled_s(pid)[1]


def ran_s(pid: int) -> float:
    """How long it ran."""
    return _scheduled_s(pid)[0]


def _scheduled_s(pid: int) -> tuple[float, float]:
    with suppress(OSError):
        ran, queued, _ = Path(f"/proc/{pid}/schedstat").read_text().split()
        return int(ran) / 1e9, int(queued) / 1e9
    return 0.0, 0.0
