"""Who this node is: the id and secret its hub gave it, kept in its folder, which one process holds at a time."""

import fcntl
import os
from pathlib import Path
from typing import IO

import msgspec

from nettrace.errors import ConfigError, Conflict
from nettrace.wire.frames import Assignment


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """What a node was told when it enrolled.

    Attributes:
        node: its id at the hub.
        secret: what its signatures are made with; only the owner of the folder may read it.
        region: its vantage's code.
        hub: URL of the hub that enrolled it.
    """

    node: str
    secret: str
    region: str
    hub: str


class Folder:
    """A node's folder: `identity.json`, `assignment.msgpack`, `spool.sqlite`, `mark.json`, `node.lock`.

    Held from `__enter__` to `__exit__`; a second process is refused.

    Raises:
        Conflict: another process runs on this folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock: IO[str] | None = None

    def __enter__(self) -> "Folder":
        self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = (self.path / "node.lock").open("a+", encoding="ascii")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.seek(0)
            holder = lock.read().strip()
            lock.close()
            raise Conflict(
                f"a node is running on {self.path} already" + (f" (process {holder})" if holder else ""),
                "End it first, or give this one a folder of its own with --data",
            ) from None
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        self._lock = lock
        return self

    def __exit__(self, *_: object) -> None:
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def identity(self) -> Identity | None:
        """Who this is, or None before it has enrolled.

        Raises:
            ConfigError: the file is there but is not what it should be.
        """
        path = self.path / "identity.json"
        try:
            return msgspec.json.decode(path.read_bytes(), type=Identity)
        except FileNotFoundError:
            return None
        except msgspec.DecodeError as error:
            raise ConfigError(
                f"{path} is not a node's identity: {error}", "Move the folder away and enrol again"
            ) from None

    def keep_identity(self, identity: Identity) -> None:
        """Write it down, on the disk when this returns."""
        _write(self.path / "identity.json", msgspec.json.encode(identity))

    def assignment(self) -> Assignment | None:
        """What was to be measured when we last heard; None when that is not known."""
        try:
            return msgspec.msgpack.decode((self.path / "assignment.msgpack").read_bytes(), type=Assignment)
        except (FileNotFoundError, msgspec.DecodeError):
            return None

    def keep_assignment(self, assignment: Assignment) -> None:
        """Write it down, so that measuring goes on without the hub."""
        _write(self.path / "assignment.msgpack", msgspec.msgpack.encode(assignment))


def _write(path: Path, body: bytes) -> None:
    """The whole file or the old one, whenever the power fails."""
    fresh = path.with_name(path.name + ".new")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(body)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
