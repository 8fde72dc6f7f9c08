"""The lab's folder: who is up, how to talk to it, and that nothing of it stays behind."""

import fcntl
import os
import shutil
import signal
import socket
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import msgspec

from nettrace.errors import LabError
from nettrace.lab.namespaces import name_process
from nettrace.lab.routing import Conditions

CONTROL = "control.sock"
WORLD = "world.toml"
AUTHORITY = "ca.pem"
PREFIXES = "prefixes.csv"
PLACES = "places.csv"
SHADOWS = {"resolv.conf": Path("/etc/resolv.conf"), "nsswitch.conf": Path("/etc/nsswitch.conf")}
"""Files every command inside the lab sees instead of the host's."""

_PATIENCE_S = 5.0


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """What a running lab says of itself.

    Attributes:
        device: `tun` or `veth`.
        unprivileged: it lives in a user namespace of its own.
        notes: what this system does not let it do.
    """

    name: str
    pid: int
    world: str
    device: str
    unprivileged: bool
    vantages: tuple[str, ...]
    targets: int
    conditions: Conditions
    notes: tuple[str, ...] = ()


def folder(name: str) -> Path:
    """Where a lab of this name keeps its state: private to this user."""
    if not name or not all(letter.isalnum() or letter in "-_" for letter in name):
        raise LabError(f"'{name}' is not a name for a lab", "Use letters, digits, - and _")
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    parent = Path(runtime) if runtime and os.access(runtime, os.W_OK) else Path(tempfile.gettempdir())
    return parent / f"nettrace-lab-{os.getuid()}" / name


class Claim:
    """The exclusive right to a lab's name, held by a file lock for as long as this process lives."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self._path = home.with_name(home.name + ".lock")
        self._descriptor = -1

    def take(self) -> None:
        """Take it and make an empty folder; what a dead lab left there goes.

        Raises:
            LabError: when a lab of this name is up.
        """
        parent = self.home.parent
        parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if parent.stat().st_uid != os.getuid():
            raise LabError(
                f"{parent} belongs to somebody else", "Set XDG_RUNTIME_DIR to a folder of your own"
            )
        self._descriptor = _locked(self._path)
        if self._descriptor < 0:
            raise LabError(
                f"a lab named '{self.home.name}' is up already", f"nettrace lab down --name {self.home.name}"
            )
        shutil.rmtree(self.home, ignore_errors=True)
        self.home.mkdir(mode=0o700)

    def forget(self) -> None:
        """Close it in a child that must not hold it."""
        os.close(self._descriptor)

    def clean(self) -> None:
        """Remove the folder and the lock."""
        shutil.rmtree(self.home, ignore_errors=True)
        self._path.unlink(missing_ok=True)
        with suppress(OSError):
            self.home.parent.rmdir()


def _locked(path: Path) -> int:
    """A descriptor that holds the lock, or -1 when another process does."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return -1
        with suppress(OSError):
            if path.stat().st_ino == os.fstat(descriptor).st_ino:
                return descriptor
        os.close(descriptor)  # it was removed while we waited: try the new one


class Guardian:
    """A small process that outlives the lab to clean up after it, even after kill -9."""

    def __init__(self, home: Path) -> None:
        reading, self._writing = os.pipe()
        self.pid = os.fork()
        if self.pid:
            os.close(reading)
            return
        try:
            os.setsid()
            name_process("lab-guardian")
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                signal.signal(number, signal.SIG_IGN)
            silence = os.open(os.devnull, os.O_RDWR)
            for standard in range(3):
                os.dup2(silence, standard)
            os.closerange(3, reading)
            os.closerange(reading + 1, 4096)
            _guard(home, reading)
        finally:
            os._exit(0)

    def note(self, network_namespace: int) -> None:
        """Tell it of a namespace whose processes must not outlive the lab."""
        os.write(self._writing, f"{os.fstat(network_namespace).st_ino}\n".encode())

    def release(self) -> None:
        """Let it go; wait until it has gone."""
        os.close(self._writing)
        with suppress(ChildProcessError):
            os.waitpid(self.pid, 0)

    def forget(self) -> None:
        """Close it in a child, which must not keep the guardian waiting."""
        os.close(self._writing)


def _guard(home: Path, reading: int) -> None:
    noted = b""
    while data := os.read(reading, 65_536):
        noted += data
    namespaces = {int(word) for word in noted.split()}
    deadline = time.monotonic() + _PATIENCE_S
    while kill_inside(namespaces) and time.monotonic() < deadline:
        time.sleep(0.01)
    lock = home.with_name(home.name + ".lock")
    if home.exists() and _locked(lock) >= 0:  # else a new lab has taken the name over
        shutil.rmtree(home, ignore_errors=True)
        lock.unlink(missing_ok=True)
        with suppress(OSError):
            home.parent.rmdir()


def kill_inside(namespaces: set[int]) -> int:
    """Kill every process in these network namespaces (inode numbers); returns how many there were."""
    found = 0
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                if (entry / "ns" / "net").stat().st_ino in namespaces and int(entry.name) != os.getpid():
                    os.kill(int(entry.name), signal.SIGKILL)
                    found += 1
    return found


def connect(home: Path) -> socket.socket:
    """A conversation with the lab that is up in this folder.

    Raises:
        LabError: when none is.
    """
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        place = os.open(home, os.O_PATH | os.O_CLOEXEC)
        try:
            sock.connect(f"/proc/self/fd/{place}/{CONTROL}")  # a socket's path may have 107 bytes, no more
        finally:
            os.close(place)
    except OSError as error:
        sock.close()
        raise LabError(f"no lab named '{home.name}' is up", f"nettrace lab up --name {home.name}") from error
    return sock


def wait_gone(home: Path) -> None:
    """Return once a lab that was asked to end has left nothing behind.

    Raises:
        LabError: it takes longer than it may.
    """
    deadline = time.monotonic() + 2 * _PATIENCE_S
    while home.exists():
        if time.monotonic() > deadline:
            raise LabError(f"the lab '{home.name}' does not end", f"Look at the processes around {home}")
        time.sleep(0.01)


def ask(home: Path, request: dict[str, object]) -> bytes:
    """The lab's JSON answer to one request.

    Raises:
        LabError: when no lab is up, or with the lab's own complaint.
    """
    with connect(home) as sock:
        sock.sendall(msgspec.json.encode(request) + b"\n")
        answer = b""
        while not answer.endswith(b"\n"):
            data = sock.recv(65_536)
            if not data:
                raise LabError("the lab ended while it was asked")
            answer += data
    complaint = msgspec.json.decode(answer, type=_Complaint)
    if complaint.error:
        raise LabError(complaint.error)
    return answer


class _Complaint(msgspec.Struct):
    error: str | None = None
