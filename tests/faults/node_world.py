"""What the node's fault tests share: a hub double and node processes that can be killed at any moment."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any, Self

import msgspec

from nettrace.wire.frames import Assignment

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
PATIENCE_S = 20.0
SECRET = "s3cret"


def wait_for(what: Callable[[], object], patience_s: float = PATIENCE_S) -> None:
    """Return when it is true; fail when it does not become so."""
    until = time.monotonic() + patience_s
    while not what():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.01)


class Double:
    """A hub on a port of its own that stays the same through kills."""

    def __init__(self, folder: Path, assignment: Assignment, prefix: tuple[str, ...] = ()) -> None:
        self.folder = folder
        self.prefix = prefix
        folder.mkdir()
        (folder / "secret").write_text(SECRET)
        self.assign(assignment)
        with socket.socket() as sock:
            sock.bind(("127.0.0.1", 0))
            self.port = int(sock.getsockname()[1])
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def assign(self, assignment: Assignment) -> None:
        fresh = self.folder / "assignment.new"
        fresh.write_bytes(msgspec.msgpack.encode(assignment))
        fresh.replace(self.folder / "assignment.msgpack")

    def start(self) -> Self:
        command = [
            *self.prefix,
            sys.executable,
            str(HERE / "hub_double.py"),
            str(self.folder),
            str(self.port),
        ]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE)
        assert self.process.stdout is not None
        assert self.process.stdout.readline(), "the hub did not start"
        return self

    def kill(self) -> None:
        if self.process is not None and self.process.stdout is not None:
            self.process.kill()
            self.process.wait(PATIENCE_S)
            self.process.stdout.close()
            self.process = None

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

    def start(self, **environment: str) -> Self:
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
        return self.said.read_text() if self.said.exists() else ""


def load(folder: Path, port: int, records: int, most_bytes: int = 1 << 28) -> "subprocess.Popen[bytes]":
    """`node_load.py` as a process."""
    command = [
        sys.executable,
        "-m",
        "tests.faults.node_load",
        str(folder),
        str(port),
        str(records),
        str(most_bytes),
    ]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=ROOT)


def check_ledger(rows: list[dict[str, Any]]) -> None:
    """Numbers without holes in every epoch, and no round twice."""
    for epoch in {row["epoch"] for row in rows}:
        spans = [(row["seq"], row["last_seq"]) for row in rows if row["epoch"] == epoch]
        assert spans[0][0] == 1
        assert all(after[0] == before[1] + 1 for before, after in pairwise(spans)), "a hole or a repeat"
    names = [
        (row["target"], row["endpoint"], row["method"], row["due"]) for row in rows if row["type"] == "record"
    ]
    assert len(set(names)) == len(names), "a round twice"
