"""What the node's fault tests share: a hub double and node processes that can be killed at any moment."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any, NoReturn, Self

import msgspec
from tests.faults import hub_double, node_load
from tests.ports import held_port

from nettrace.wire.frames import Assignment

PATIENCE_S = 60.0
"""No test waits for this long: it only turns a hang into a failure."""
SECRET = "s3cret"


def wait_for(what: Callable[[], object], patience_s: float = PATIENCE_S) -> None:
    """Return when it is true; fail when it does not become so."""
    until = time.monotonic() + patience_s
    while not what():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.01)


class Life:
    """A function as a process of its own, to be killed at any moment; what it writes to stdout comes in `said`.

    It is forked: a thousand lives cost no thousand imports.
    """

    def __init__(self, live: Callable[[], object]) -> None:
        read_end, write_end = os.pipe()
        self._pid = os.fork()
        if self._pid == 0:
            self._child(live, write_end)
        os.close(write_end)
        self.said = os.fdopen(read_end, "rb")

    @staticmethod
    def _child(live: Callable[[], object], stdout: int) -> NoReturn:
        code = 1
        try:
            os.dup2(stdout, 1)
            sys.stderr = Path(os.devnull).open("w")  # noqa: SIM115 - as long as this process lives
            live()
            code = 0
        finally:
            os._exit(code)

    def kill(self) -> None:
        """End it without warning, and wait for its end."""
        os.kill(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)

    def wait(self) -> int:
        """Its exit code, once it has ended by itself. One that does not is killed."""
        until = time.monotonic() + 3 * PATIENCE_S
        while not (ended := os.waitpid(self._pid, os.WNOHANG))[0]:
            if time.monotonic() > until:
                self.kill()
                raise AssertionError("it does not end")
            time.sleep(0.01)
        return os.waitstatus_to_exitcode(ended[1])


class Double:
    """A hub on a port of its own that stays the same through kills."""

    def __init__(self, folder: Path, assignment: Assignment, prefix: tuple[str, ...] = ()) -> None:
        self.folder = folder
        self.prefix = prefix
        folder.mkdir()
        (folder / "secret").write_text(SECRET)
        self.assign(assignment)
        self._held = held_port()
        self.port = int(self._held.getsockname()[1])
        self.process: Life | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def assign(self, assignment: Assignment) -> None:
        fresh = self.folder / "assignment.new"
        fresh.write_bytes(msgspec.msgpack.encode(assignment))
        fresh.replace(self.folder / "assignment.msgpack")

    def start(self) -> Self:
        command = [*self.prefix, sys.executable, hub_double.__file__, str(self.folder), str(self.port)]
        self.process = Life(
            lambda: (
                os.execvp(command[0], command) if self.prefix else hub_double.serve(self.folder, self.port)
            )
        )
        assert self.process.said.readline(), "the hub did not start"
        return self

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.said.close()
            self.process = None

    def close(self) -> None:
        """End it and give its port back."""
        self.kill()
        self._held.close()

    def rows(self) -> list[dict[str, Any]]:
        """The ledger."""
        path = self.folder / "ledger.jsonl"
        body = path.read_bytes() if path.exists() else b""
        return [json.loads(line) for line in body[: body.rfind(b"\n") + 1].splitlines()]

    def records(self, **wanted: object) -> list[dict[str, Any]]:
        """Records of the ledger with these values."""
        found = (row for row in self.rows() if row["type"] == "record")
        return [row for row in found if all(row.get(name) == value for name, value in wanted.items())]

    def reports(self) -> list[dict[str, Any]]:
        """What came with each report, without its entries."""
        path = self.folder / "reports.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


class Node:
    """`nettrace node` as a process, with its stderr in a file."""

    def __init__(self, folder: Path, hub: str, *options: str, prefix: tuple[str, ...] = ()) -> None:
        self.folder = folder
        self.said = folder.with_suffix(".stderr")
        token = folder.with_suffix(".token")
        token.write_text("token\n")
        words = ["node", "--hub", hub, "--token-file", str(token), "--region", "nyc", "--data", str(folder)]
        self.command = [*prefix, sys.executable, "-m", "nettrace", *words, *options]
        self.process: subprocess.Popen[bytes] | None = None
        self._before = 0

    def start(self, **environment: str) -> Self:
        self._before = len(self.said.read_bytes()) if self.said.exists() else 0
        with self.said.open("ab") as said:
            self.process = subprocess.Popen(
                self.command, stderr=said, stdout=subprocess.DEVNULL, env={**os.environ, **environment}
            )
        return self

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait(PATIENCE_S)

    def end(self) -> int:
        """SIGTERM; its exit code. Its own waits add up to some three seconds; a busy machine gets more."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE_S)

    def words(self) -> str:
        """What it has said since its newest start: what an earlier life said proves nothing of this one."""
        return self.said.read_bytes()[self._before :].decode() if self.said.exists() else ""


def load(folder: Path, port: int, records: int, most_bytes: int = 1 << 28) -> Life:
    """`node_load.work` as a process."""
    return Life(lambda: node_load.work(folder, port, records, most_bytes))


class Line(msgspec.Struct, gc=False):
    """What tells the entries of a ledger apart: millions of them fit."""

    type: str
    epoch: str
    last_seq: int
    seq: int
    due: int = 0
    target: str = ""
    endpoint: str = ""
    method: str = ""


def check_ledger(double: Double) -> list[Line]:
    """Numbers without holes in every epoch, and no round twice; the lines."""
    with (double.folder / "ledger.jsonl").open("rb") as file:
        decode = msgspec.json.Decoder(Line).decode
        lines = [decode(line) for line in file if line.endswith(b"\n")]
    for epoch in {line.epoch for line in lines}:
        spans = [(line.seq, line.last_seq) for line in lines if line.epoch == epoch]
        assert spans[0][0] == 1
        assert all(after[0] == before[1] + 1 for before, after in pairwise(spans)), "a hole or a repeat"
    names = Counter(
        (line.target, line.endpoint, line.method, line.due) for line in lines if line.type == "record"
    )
    assert max(names.values(), default=1) == 1, "a round twice"
    return lines
