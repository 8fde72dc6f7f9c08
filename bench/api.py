"""`./dev bench api`: requests a second and their latencies on a million rounds, beside the earlier system's figures.

One API worker and its writer serve a hub of 109 targets over 90 days; a load generator in a process of its own keeps
eight connections busy. The earlier system's row holds what was measured of it on one machine with the same number
of rows (2026-11-20): it is not run here, so its ratios are across runs. The floor is the same server answering the
same bytes without any application.
"""

import asyncio
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.emulator import Unavailable
from bench.figure import OURS, Column, Table, nearest_rank

TARGETS = 109
DAYS = 90
ROUNDS = 1_000_000
CONNECTIONS = 8
SECONDS = 6.0
EARLIER = {
    "/targets": (9.6, 155.0),
    "/history": (180.0, 73.0),
    "/rankings": (9.9, 138.0),
    "/metrics": (9.2, 808.0),
}
"""Requests a second and p99 in ms of the earlier system with one connection."""
HISTORY = (
    "/api/v1/latency/h000.example/history?resolution=raw&limit=500&order=desc&start=2020-01-01T00:00:00Z"
)
NS = 1_000_000_000
QUESTIONS = (
    "/targets", "/history", "/history columnar", "/history fresh", "/history sealed", "/rankings", "/metrics"
)  # fmt: skip


def run(runs: int, quick: bool) -> list[Table]:
    """The figures; with --quick on a tenth of the rows."""
    rows, days = (ROUNDS // 10, DAYS // 10) if quick else (ROUNDS, DAYS)
    folder = Path(tempfile.mkdtemp(prefix="nettrace-bench-"))
    table = Table(
        f"API: {rows} rounds of {days} days, {CONNECTIONS} connections, one worker",
        [
            Column("/targets", "req/s", 300 * 9.6, at_least=True),
            Column("/targets p99", "ms", 50),
            Column("/history", "req/s", 20 * 180, at_least=True),
            Column("/history p99", "ms", 50),
            Column("/history columnar", "req/s"),
            Column("/history fresh", "req/s"),
            Column("/history fresh p99", "ms", 50),
            Column("/history sealed", "req/s"),
            Column("/rankings", "req/s"),
            Column("/metrics", "req/s"),
            Column("/livez beside exports p99", "ms", 50),
        ],
        note="/history: the newest 500 raw points, asked again and again; fresh: the last day in 15-minute "
        "buckets, another window every time; sealed: 500 raw points of long ago, another window every time",
    )
    cpu = Table(
        "API: CPU of the worker for a request (holds on a busy machine too)",
        [Column(name, "us") for name in QUESTIONS],
        note="beside FastAPI: ./dev bench series",
    )
    try:
        seconds = fill(folder, rows, days)
        print(f"  {rows} rounds stored in {seconds:.0f} s", flush=True)
        with served(folder) as (address, worker):
            for _ in range(runs):
                figures, spent = measured((address, worker), days, SECONDS / 3 if quick else SECONDS)
                table.add(OURS, figures)
                cpu.add(OURS, spent)
            table.add(OURS, {"/livez beside exports p99": beside(address, worker, days)})
            calls(folder, 500_000)
            figures, spent = measured((address, worker), days, SECONDS / 3)
            table.add(f"{OURS}, 500k calls today", figures)
            cpu.add(f"{OURS}, 500k calls today", spent)
        with floor() as (address, server):
            rate, p99, spent_us = load(address, server, ["/"], SECONDS / 3)
            table.add("floor: same server, same bytes", {"/targets": rate, "/targets p99": p99})
            cpu.add("floor: same server, same bytes", {"/targets": spent_us})
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    table.add(
        "earlier system, c=1",
        {name: EARLIER[name][0] for name in EARLIER}
        | {"/targets p99": EARLIER["/targets"][1], "/history p99": EARLIER["/history"][1]},
    )
    return [table, cpu]


def questions(days: int) -> dict[str, list[str]]:
    """The paths asked for in turn, by the name of the figure."""
    now = time.time_ns() // NS * NS
    day = 86_400 * NS
    return {
        "/targets": ["/api/v1/targets"],
        "/history": [HISTORY],
        "/history columnar": [f"{HISTORY}&columnar=true"],
        "/history fresh": [
            f"/api/v1/latency/h{number % TARGETS:03}.example/history?start={now - day - number * NS}"
            f"&end={now - number * NS}"
            for number in range(20_000)
        ],
        "/history sealed": [
            f"/api/v1/latency/h{number % TARGETS:03}.example/history?resolution=raw&limit=500"
            f"&start={now - days * day + number * 61 * NS}"
            for number in range(20_000)
        ],
        "/rankings": ["/api/v1/rankings"],
        "/metrics": ["/metrics"],
    }


def measured(
    server: tuple[tuple[str, int], int], days: int, seconds: float
) -> tuple[dict[str, float | None], dict[str, float | None]]:
    """One run of all questions: rates with p99, and the worker's CPU for a request in us."""
    rates: dict[str, float | None] = {}
    spent: dict[str, float | None] = {}
    for name, paths in questions(days).items():
        rates[name], p99, spent[name] = load(*server, paths, seconds)
        if name in {"/targets", "/history", "/history fresh"}:
            rates[f"{name} p99"] = p99
    return rates, spent


def load(
    address: tuple[str, int], server: int, paths: list[str], seconds: float
) -> tuple[float, float, float]:
    """Requests a second, p99 in ms and the server's CPU for a request in us; the generator is a process of its own."""
    words = [sys.executable, "-m", "bench.api", address[0], str(address[1]), str(seconds)]
    before = cpu_s(server)
    done = subprocess.run(words, input=json.dumps(paths), capture_output=True, text=True, check=True)
    spent = cpu_s(server) - before
    told = json.loads(done.stdout)
    if told["failed"]:
        raise Unavailable(f"{told['failed']} requests of {paths[0]} failed")
    return told["rate"], told["p99_ms"], 1e6 * spent / max(1, told["number"])


def beside(address: tuple[str, int], worker: int, days: int) -> float:
    """p99 of the smallest question in ms while eight clients read 10,000 rounds at a time."""
    start = time.time_ns() - days * 86_400 * NS
    path = f"/api/v1/export/h000.example?limit=10000&start={start}"
    words = [sys.executable, "-m", "bench.api", address[0], str(address[1]), "6"]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as heavy:
        assert heavy.stdin is not None
        heavy.stdin.write(json.dumps([path]))
        heavy.stdin.close()
        time.sleep(1)
        _, p99, _ = load(address, worker, ["/livez"], 4)
    return p99


def cpu_s(pid: int) -> float:
    """CPU seconds a process has used, all its threads together."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def fill(folder: Path, rows: int, days: int) -> float:
    """Store rounds of one vantage, spread over the days; seconds it took."""
    from nettrace.hub.open import open_writer
    from nettrace.hub.place import Data
    from nettrace.model.measurement import Clock, Grade, Method, Outcome, Ping, Sample, SampleState
    from nettrace.model.target import Endpoint, Role, RoundMethod, Target
    from nettrace.model.vantage import Vantage
    from nettrace.store.port import EnrolToken
    from nettrace.wire.frames import Record, Report

    started = time.monotonic()
    store = open_writer(Data(folder))
    now = time.time_ns() // NS * NS
    begin = now - days * 86_400 * NS
    hosts = [f"h{number:03}.example" for number in range(TARGETS)]
    store.put_targets(
        [
            Target(
                host=host, name=host.upper(), category=f"c{number % 7}",
                endpoints=(Endpoint(name="rest", host=host, role=Role.API),),
            )
            for number, host in enumerate(hosts)
        ],
        begin,
    )  # fmt: skip
    store.put_token(EnrolToken(id="t", hash=b"t" * 32, region="nyc", created_at=begin, expires_at=now))
    store.enrol(b"t" * 32, Vantage(code="nyc", node="n", enrolled_at=begin), b"k" * 32, begin)
    each = rows // TARGETS
    step = days * 86_400 * NS // each
    batch: list[Record] = []
    sent = 0
    for place in range(each):
        due = begin + (place + 1) * step
        for number, host in enumerate(hosts):
            rtt = 5_000_000 + number * 100_000 + place * 7919 % 400_000
            sample = Sample(state=SampleState.ANSWERED, rtt_ns=rtt, error_ns=1000, grade=Grade.KERNEL)
            ping = Ping(
                target=host, address="198.18.0.1", at=due, outcome=Outcome.MEASURED, method=Method.TCP,
                samples=(sample,), clock=Clock.KERNEL,
            )  # fmt: skip
            sent += 1
            batch.append(
                Record(
                    seq=sent, target=host, endpoint="rest", method=RoundMethod.TCP, due=due, measurement=ping
                )
            )
            if len(batch) == 1000:
                store.accept(
                    Report(node="n", epoch="e", first_seq=batch[0].seq, entries=tuple(batch), sent_at=due),
                    now,
                )
                batch = []
    if batch:
        store.accept(
            Report(node="n", epoch="e", first_seq=batch[0].seq, entries=tuple(batch), sent_at=now), now
        )
    while store.maintain(now, 1.0):
        pass
    store.close()
    return time.monotonic() - started


def calls(folder: Path, number: int) -> None:
    """Have an account's calls of today counted."""
    from nettrace.hub.place import Data
    from nettrace.hub.quota import Quota
    from nettrace.model.account import Tier

    quota = Quota(Data(folder).quota)
    quota.charge("somebody", Tier(name="t", title="T"), time.time_ns(), number)
    quota.close()


@contextmanager
def served(folder: Path) -> Iterator[tuple[tuple[str, int], int]]:
    """A writer and one API worker; where it listens, and its process."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
    fd = listener.fileno()
    data = ["--data", str(folder)]
    programs = [
        subprocess.Popen([sys.executable, "-m", "nettrace.hub.writer", *data], stderr=subprocess.DEVNULL),
        subprocess.Popen(
            [sys.executable, "-m", "nettrace.api.worker", "--fd", str(fd), *data], pass_fds=(fd,)
        ),
    ]
    try:
        yield ready(listener), programs[1].pid
    finally:
        listener.close()
        ended(programs)


@contextmanager
def floor() -> Iterator[tuple[tuple[str, int], int]]:
    """The same server with an application that only answers 70 kB."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
    words = [
        sys.executable,
        "-m",
        "uvicorn",
        "bench.api:bare",
        "--fd",
        str(listener.fileno()),
        "--no-access-log",
    ]
    words += ["--loop", "uvloop", "--http", "httptools", "--log-level", "error", "--lifespan", "off"]
    program = subprocess.Popen(words, pass_fds=(listener.fileno(),))
    try:
        yield ready(listener), program.pid
    finally:
        listener.close()
        ended([program])


async def bare(scope: object, receive: object, send: object) -> None:
    """An ASGI application without anything."""
    del scope, receive
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"70000")]})  # type: ignore[operator]
    await send({"type": "http.response.body", "body": b"x" * 70_000})  # type: ignore[operator]


def ready(listener: socket.socket) -> tuple[str, int]:
    """Where a server listens, once it answers `/livez`."""
    address = listener.getsockname()
    until = time.monotonic() + 60
    while time.monotonic() < until:
        with socket.create_connection(address, timeout=30) as one:
            one.sendall(b"GET /livez HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
            if one.recv(12) == b"HTTP/1.1 200":
                return address
        time.sleep(0.1)
    raise Unavailable("the server did not start")


def ended(programs: list[subprocess.Popen[bytes]]) -> None:
    """End programs, the last one first."""
    for program in reversed(programs):
        program.send_signal(signal.SIGTERM)
    for program in reversed(programs):
        program.wait(10)


class _Client(asyncio.Protocol):
    """One connection that asks again as soon as it was answered."""

    def __init__(self, asked: Iterator[bytes], took: list[float], until: float) -> None:
        self.asked = asked
        self.took = took
        self.until = until
        self.failed = 0
        self.ended = asyncio.get_running_loop().create_future()
        self._missing = 0
        self._head = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: asyncio.Transport = transport  # type: ignore[assignment]
        self._ask()

    def _ask(self) -> None:
        self._started = time.perf_counter()
        if self._started >= self.until:
            self.transport.close()
            return
        self.transport.write(next(self.asked))

    def data_received(self, data: bytes) -> None:
        if self._missing == 0:
            data = self._head + data
            end = data.find(b"\r\n\r\n")
            if end < 0:
                self._head = data
                return
            self._head = b""
            head = data[:end].lower()
            self.failed += not head.startswith(b"http/1.1 200")
            at = head.index(b"content-length:") + 15
            self._missing = int(head[at : (head + b"\r\n").index(b"\r\n", at)]) - (len(data) - end - 4)
        else:
            self._missing -= len(data)
        if self._missing == 0:
            self.took.append(time.perf_counter() - self._started)
            self._ask()

    def connection_lost(self, exc: Exception | None) -> None:
        self.failed += exc is not None
        self.ended.set_result(None)


async def generate(host: str, port: int, seconds: float, paths: list[str]) -> dict[str, float]:
    """Keep the connections busy; what came of it."""
    head = f"HTTP/1.1\r\nhost: {host}:{port}\r\naccept: application/json\r\n\r\n"
    requests = [f"GET {path} {head}".encode() for path in paths]
    place = iter(range(1 << 60))
    asked = (requests[number % len(requests)] for number in place)
    took: list[float] = []
    started = time.perf_counter()
    loop = asyncio.get_running_loop()
    clients = [
        (await loop.create_connection(lambda: _Client(asked, took, started + seconds), host, port))[1]
        for _ in range(CONNECTIONS)
    ]
    await asyncio.gather(*(client.ended for client in clients))
    spent = time.perf_counter() - started
    return {
        "rate": len(took) / spent,
        "p50_ms": 1000 * (nearest_rank(took, 0.5) or 0),
        "p99_ms": 1000 * (nearest_rank(took, 0.99) or 0),
        "number": len(took),
        "failed": sum(client.failed for client in clients),
    }


if __name__ == "__main__":
    import uvloop

    print(
        json.dumps(
            uvloop.run(generate(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), json.load(sys.stdin)))
        )
    )
