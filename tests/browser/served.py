"""A running hub of pages and API: the writer and one worker, as `nettrace up` starts them, on loopback."""

import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import httpx2

from nettrace.hub.link import blocking_link
from nettrace.hub.place import Data

PATIENCE_S = 60.0
"""No test waits for this long: it only turns a hang into a failure."""


def eventually(true: Callable[[], bool], what: str) -> None:
    """Return once it is so."""
    until = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < until, f"in vain: {what}"
        time.sleep(0.05)


class Served:
    """Both processes on a data folder, and where they listen."""

    def __init__(self, folder: Path) -> None:
        self.data = Data(folder)
        self._words = ["--data", str(folder)]
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.host = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self.url = f"http://{self.host}"
        self._writer = subprocess.Popen(
            [sys.executable, "-m", "nettrace.hub.writer", *self._words], stderr=subprocess.DEVNULL
        )
        self._worker: subprocess.Popen[bytes] | None = None
        try:
            eventually(self.data.socket.exists, "the writer's socket")
            self.start_worker()
        except BaseException:  # what did not come up leaves nothing behind either
            self.end()
            raise

    def start_worker(self) -> None:
        """Serve; what connects meanwhile waits in the listening socket."""
        fd = self._listener.fileno()
        self._worker = subprocess.Popen(
            [sys.executable, "-m", "nettrace.serve.worker", "--fd", str(fd), *self._words], pass_fds=(fd,)
        )
        eventually(self._ready, "a ready worker")

    def stop_worker(self) -> None:
        """End the one that serves: its connections break, the socket stays."""
        assert self._worker is not None
        self._worker.terminate()
        self._worker.wait(PATIENCE_S)

    def writer(self):
        """The way to the writer, as a command has it."""
        return blocking_link(self.data.socket)

    def _ready(self) -> bool:
        try:
            return httpx2.get(f"{self.url}/readyz", timeout=2).status_code == 200
        except httpx2.HTTPError:
            return False

    def end(self) -> None:
        """End both."""
        self._listener.close()
        if self._worker is not None:
            self.stop_worker()
        self._writer.terminate()
        self._writer.wait(PATIENCE_S)
