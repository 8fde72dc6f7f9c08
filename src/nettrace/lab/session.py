"""A lab as a Python object: up while the `with` block runs, gone afterwards, whatever happens to us."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import msgspec

from nettrace.errors import LabError
from nettrace.lab import state
from nettrace.lab.router import Figures
from nettrace.lab.routing import Conditions
from nettrace.lab.truth import Oracle
from nettrace.lab.world import Event
from nettrace.lab.worldfile import parse

_PATIENCE_S = 30


class RunningLab:
    """A lab that is up, seen from outside.

    >>> RunningLab(state.folder("never-up")).status()
    Traceback (most recent call last):
        ...
    nettrace.errors.LabError: no lab named 'never-up' is up. nettrace lab up --name never-up
    """

    def __init__(self, home: Path, process: "subprocess.Popen[bytes] | None" = None) -> None:
        self.home = home
        self.process = process

    @classmethod
    def start(
        cls,
        world: str = "small",
        *,
        name: str | None = None,
        device: str = "auto",
        unprivileged: bool = False,
    ) -> Self:
        """Bring a lab up in a process of its own that ends when this one does.

        Raises:
            LabError: it could not come up; with its own words.
        """
        name = name or f"session-{os.getpid()}"
        command = [sys.executable, "-m", "nettrace", "lab", "up", world, "--name", name, "--device", device]
        command += ["--until-eof", *(["--unprivileged"] if unprivileged else [])]
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        lab = cls(state.folder(name), process)
        line = process.stdout.readline() if process.stdout else b""
        if not line:
            _, words = process.communicate(timeout=_PATIENCE_S)
            raise LabError(f"the lab did not come up: {words.decode().strip()}")
        return lab

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """End the lab and wait until nothing of it is left."""
        if self.process is None:
            state.ask(self.home, {"op": "down"})
            return
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            if stream:
                stream.close()
        try:
            self.process.wait(_PATIENCE_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(_PATIENCE_S)

    def status(self) -> state.Status:
        """What the lab says of itself."""
        return msgspec.json.decode(state.ask(self.home, {"op": "status"}), type=state.Status)

    def conditions(self) -> Conditions:
        """What is broken in it just now."""
        return self.status().conditions

    def figures(self) -> Figures:
        """What its router has done, and how precisely."""
        return msgspec.json.decode(state.ask(self.home, {"op": "figures"}), type=Figures)

    def happen(self, event: Event) -> None:
        """Let something happen in it; the routes have followed when this returns.

        Raises:
            LabError: it cannot happen in this world.
        """
        state.ask(self.home, {"op": "event", "event": msgspec.to_builtins(event)})

    def oracle(self) -> Oracle:
        """The truth about it as it is now."""
        text = (self.home / state.WORLD).read_text(encoding="utf-8")
        return Oracle(parse(text, self.home.name), self.conditions())

    def prefix(self, vantage: str) -> list[str]:
        """What to put before a command to run it at a vantage."""
        return [sys.executable, "-m", "nettrace", "lab", "exec", "--name", self.home.name, vantage, "--"]

    def run(self, vantage: str, command: Sequence[str], **options: Any) -> "subprocess.CompletedProcess[str]":
        """Run a command at a vantage and give back its output as text."""
        return subprocess.run(
            [*self.prefix(vantage), *command], check=False, capture_output=True, text=True, **options
        )
