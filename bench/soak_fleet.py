"""What the soak's fleet is made of: a world with enough vantages, node processes, and reports nobody ought to take."""

import signal
import subprocess
import sys
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import msgspec

from nettrace.cli.commands.up import write_token
from nettrace.lab.worldfile import BUILT_IN
from nettrace.model.measurement import Method, Outcome, Ping, Reason
from nettrace.model.target import RoundMethod
from nettrace.node.identity import Identity
from nettrace.wire.frames import Record, Report

FORGED = "forged.example"
PATIENCE_S = 90.0
NODE = "import sys, nettrace; nettrace.__version__ = sys.argv.pop(1); from nettrace.__main__ import main; sys.exit(main())"
"""A node that says it is of another version."""


class Sloppy(Exception):
    """The soak itself could not go on."""


def wait(what: Callable[[], object], why: str, patience_s: float = PATIENCE_S) -> None:
    """Return when it is true.

    Raises:
        Sloppy: it did not become so.
    """
    until = time.monotonic() + patience_s
    while not what():
        if time.monotonic() > until:
            raise Sloppy(f"waited {patience_s:.0f} s in vain: {why}")
        time.sleep(0.1)


def world_text(nodes: int) -> str:
    """The built-in world with so many vantages: those it has, then a second, third ... at each of their sites."""
    text = (BUILT_IN / "world.toml").read_text(encoding="utf-8")
    known = [part.split("\n\n")[0] for part in text.split("[[vantage]]\n")[1:]]
    sites = [part.split('"')[1] for part in known]
    more = [
        f'[[vantage]]\ncode = "{site}{turn}"\nsite = "{site}"\nnetwork = 64700\n'
        for turn in range(2, 2 + nodes // len(sites))
        for site in sites
    ]
    return text.replace("[[vantage]]\n", "\n".join(more[: nodes - len(sites)]) + "\n[[vantage]]\n", 1)


class Node:
    """One vantage's node process, through kills, upgrades and new identities."""

    def __init__(self, region: str, prefix: list[str], folder: Path, url: str, reflect: str) -> None:
        self.region = region
        self.version = "soak-1"
        self._prefix, self._folder, self._url, self._reflect = prefix, folder, url, reflect
        self._life = 0
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def folder(self) -> Path:
        """Of the present identity."""
        return self._folder / f"{self.region}-{self._life}"

    def start(self) -> None:
        """Start it; it is not waited for."""
        words = [
            *self._prefix,
            sys.executable,
            "-c",
            NODE,
            self.version,
            "node",
            "--hub",
            self._url,
            "--region",
            self.region,
        ]
        words += [
            "--token-file",
            str(self.folder) + ".token",
            "--data",
            str(self.folder),
            "--reflect",
            self._reflect,
        ]
        with (self._folder / f"{self.region}.log").open("ab") as log:
            self.process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=log)

    def renew(self, token: str) -> None:
        """A new identity, from a new token, in a new folder."""
        self._life += 1
        write_token(Path(f"{self.folder}.token"), token)

    def end(self, number: int = signal.SIGTERM) -> int:
        """Send it a signal; its exit code."""
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(PATIENCE_S)

    def identity(self) -> Identity:
        """Who it is, once it has enrolled."""
        return msgspec.json.decode((self.folder / "identity.json").read_bytes(), type=Identity)

    @property
    def enrolled(self) -> bool:
        """True once it has an identity."""
        return (self.folder / "identity.json").exists()


def forged(node: str, acknowledged: dict[tuple[str, str], int]) -> bytes:
    """A report with a round that never was, numbered so that the hub would take it."""
    epoch, upto = next(
        ((epoch, upto) for (who, epoch), upto in acknowledged.items() if who == node), ("e", 0)
    )
    now = time.time_ns()
    made = Ping(
        target=FORGED, address=None, at=now, outcome=Outcome.FAILED, reason=Reason.TIMEOUT, method=Method.ICMP
    )
    record = Record(
        seq=upto + 1, target=FORGED, endpoint="x", method=RoundMethod.ICMP, due=now, measurement=made
    )
    report = Report(node=node, epoch=epoch, first_seq=upto + 1, entries=(record,), sent_at=now)
    return zlib.compress(msgspec.msgpack.encode(report))
