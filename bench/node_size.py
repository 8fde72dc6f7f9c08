"""Scenario "node_size": what a node weighs when nothing but a node is installed: on disk, in memory, under 256 MB.

No container tool is needed: the wheel goes into an empty environment with a node's libraries alone, which is what the
image holds beside Python. The node then works for a real hub on loopback, inside a memory cgroup where one can be made.
"""

import os
import signal
import socket
import socketserver
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

from bench.emulator import Unavailable, scratch
from bench.figure import Column, Table
from nettrace.hub.assignment import SETTING, Orders
from nettrace.hub.enrolment import make_token
from nettrace.hub.open import open_writer
from nettrace.hub.place import Data
from nettrace.model.target import Endpoint, Role, RoundMethod, Target
from nettrace.wire.frames import Cadence

ROOT = Path(__file__).parents[1]
LIMIT_MB = 256
TARGETS = 200
MB = 1_000_000


def run(runs: int, quick: bool) -> list[Table]:
    """Sizes once, memory of a node at 200 rounds a second."""
    size = Table(
        "Node: what is installed",
        [
            Column("wheel", "MB", goal=5.0),
            Column("libraries", "MB", goal=20.0),
            Column("NetTrace", "MB", goal=15.0),
            Column("packages", "installed", goal=10.0),
        ],
        "an empty environment, `pip install --no-compile` of the wheel; Python itself and the base image are not counted",
    )
    memory = Table(
        f"Node: memory at {TARGETS} targets a second within {LIMIT_MB} MB",
        [
            Column("RSS", "MB", goal=64.0),
            Column("cgroup peak", "MB", goal=128.0),
            Column("rounds", "stored", goal=10.0 * TARGETS * (0.5 if quick else 2), at_least=True),
            Column("killed", "times", goal=0.0),
        ],
        "a real hub on loopback, TCP and HTTP rounds; cgroup peak counts file cache and is empty where none can be made",
    )
    with scratch() as folder:
        python = install(folder, size)
        for number in range(1 if quick else min(runs, 3)):
            memory.add("nettrace", measure(python, folder / f"run{number}", 12 if quick else 40))
    return [size, memory]


def install(folder: Path, table: Table) -> Path:
    """The Python of an environment with the wheel and what it asks for."""
    _said([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)], ROOT)
    (wheel,) = folder.glob("*.whl")
    _said([sys.executable, "-m", "venv", str(folder / "venv")], folder)
    python = folder / "venv/bin/python"
    _said(
        [
            str(python),
            "-m",
            "pip",
            "install",
            "-q",
            "--no-compile",
            "--disable-pip-version-check",
            str(wheel),
        ],
        folder,
    )
    (site,) = (folder / "venv/lib").glob("python*/site-packages")
    tools = {"pip", "setuptools", "_distutils_hack", "pkg_resources"}
    there = [each for each in site.iterdir() if each.name.partition("-")[0] not in tools]
    own = [each for each in there if each.name.startswith("nettrace")]
    packages = [each for each in there if each.suffix == ".dist-info"]
    table.add(
        "nettrace",
        {
            "wheel": wheel.stat().st_size / MB,
            "libraries": (_bytes(there) - _bytes(own)) / MB,
            "NetTrace": _bytes(own) / MB,
            "packages": float(len(packages)),
        },
    )
    return python


def _said(command: list[str], where: Path) -> None:
    ran = subprocess.run(command, cwd=where, capture_output=True, text=True, timeout=300, check=False)
    if ran.returncode:
        raise Unavailable(f"{' '.join(command[:4])}: {ran.stderr.strip()[-300:]}")


def _bytes(paths: list[Path]) -> int:
    files = [
        file for path in paths for file in (path.rglob("*") if path.is_dir() else (path,)) if file.is_file()
    ]
    return sum(file.stat().st_size for file in files)


def measure(python: Path, folder: Path, seconds: int) -> dict[str, float]:
    """A node's memory after `seconds` of work for a hub."""
    folder.mkdir()
    with web() as port, cgroup() as group:
        data = Data(folder / "hub")
        bind, token = f"127.0.0.1:{_free()}", furnish(data, port)
        (folder / "token").write_text(token)
        hub = [sys.executable, *"-m nettrace up --no-node --workers 1 --bind".split(), bind, "--data"]
        node = [str(python), "-m", "nettrace", "node", "--hub", f"http://{bind}", "--region", "bench"]
        node += ["--token-file", str(folder / "token"), "--data", str(folder / "node")]
        with started([*hub, str(data.folder)], folder / "hub.log"):
            _until(lambda: _metric(bind, "nettrace_writer_up") == 1, folder / "hub.log")
            with started(node, folder / "node.log", group) as ran:
                time.sleep(seconds)
                dead = ran.poll() is not None
                found = {"killed": float(dead)} if dead else {"killed": 0.0, "RSS": _rss(ran.pid)}
                if group is not None:
                    found["cgroup peak"] = _peak(group)
                found["rounds"] = _metric(bind, "nettrace_writer_entries_total")
                if dead:
                    print(
                        f"bench: the node ended: {(folder / 'node.log').read_text()[-300:]}", file=sys.stderr
                    )
    return found


def furnish(data: Data, port: int) -> str:
    """A hub's folder with its targets on loopback; a node's token."""
    methods = (RoundMethod.TCP, RoundMethod.HTTP)
    targets = [
        Target(
            host=f"t{number}.bench", name=f"T{number}", category="bench",
            endpoints=(Endpoint(name="rest", host=f"127.0.1.{number + 1}", role=Role.API, port=port, methods=methods,
                                url=f"http://127.0.1.{number + 1}:{port}/"),),
        )
        for number in range(TARGETS)
    ]  # fmt: skip
    cadence = Cadence(rtt_s=1.0, exchange_s=5.0, trace_s=86_400.0, probes=2, spacing_s=0.05)
    orders = Orders(cadence=cadence, open_networks=("127.0.0.0/8",), rate_pps=2000.0, mesh=False)
    store = open_writer(data)
    try:
        store.put_targets(targets, time.time_ns())
        store.put_setting(SETTING, msgspec.json.encode(orders), time.time_ns())
        return make_token(store, "bench", time.time_ns())
    finally:
        store.close()


@contextmanager
def web() -> Iterator[int]:
    """A server on all of loopback that answers one thing; its port."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with suppress(OSError):
                if self.request.recv(4096):
                    self.request.sendall(
                        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"
                    )

    class Server(socketserver.ThreadingTCPServer):
        request_queue_size = 512
        daemon_threads = True

    with Server(("127.0.0.1", 0), Handler) as asked:
        port = asked.server_address[1]
    with Server(("0.0.0.0", port), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.1,), daemon=True).start()
        yield port
        server.shutdown()


@contextmanager
def cgroup() -> Iterator[Path | None]:
    """A memory cgroup of 256 MB, version 2 or 1; None where none may be made."""
    second = Path("/sys/fs/cgroup/cgroup.controllers").exists()
    group = Path("/sys/fs/cgroup" if second else "/sys/fs/cgroup/memory") / f"nettrace-bench-{os.getpid()}"
    limit = str(LIMIT_MB << 20)
    try:
        group.mkdir()
    except OSError:
        yield None
        return
    try:
        (group / ("memory.max" if second else "memory.limit_in_bytes")).write_text(limit)
        made: Path | None = group
    except OSError:
        made = None
    try:
        yield made
    finally:
        for _ in range(50):
            with suppress(OSError):
                group.rmdir()
            if not group.exists():
                break
            time.sleep(0.1)


def _peak(group: Path) -> float:
    names = ("memory.peak", "memory.max_usage_in_bytes")
    return next(int((group / name).read_text()) for name in names if (group / name).exists()) / MB


@contextmanager
def started(command: list[str], log: Path, group: Path | None = None) -> Iterator[subprocess.Popen[bytes]]:
    """A program until the end of the block, in a cgroup from its first instruction."""
    join = "" if group is None else f"echo $$ > {group}/cgroup.procs && "
    with log.open("wb") as out:
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        ran = subprocess.Popen(
            ["sh", "-c", join + 'exec "$@"', "sh", *command],
            stdout=out,
            stderr=out,
            cwd=log.parent,
            env=environment,
        )
    try:
        yield ran
    finally:
        ran.send_signal(signal.SIGTERM)
        try:
            ran.wait(20)
        except subprocess.TimeoutExpired:
            ran.kill()
            ran.wait()


def _rss(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmRSS")) / MB


def _metric(bind: str, name: str) -> float:
    with urllib.request.urlopen(f"http://{bind}/metrics", timeout=5) as answer:
        lines = answer.read().decode().splitlines()
    return next((float(line.split()[1]) for line in lines if line.startswith(f"{name} ")), 0.0)


def _until(ready: Callable[[], bool], log: Path) -> None:
    for _ in range(300):
        with suppress(OSError):
            if ready():
                return
        time.sleep(0.1)
    raise Unavailable(f"no hub came up: {log.read_text()[-300:]}")


def _free() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return found.getsockname()[1]
