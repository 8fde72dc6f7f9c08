"""`./dev bench series`: a series of 1,000 raw rounds, read from the store for each request, beside FastAPI in the same run.

FastAPI is no dependency of ours: it is installed by pip into an environment of its own that is removed afterwards. It
serves the very same rows with the same fields from one SQLite table. Ratios are of CPU, so they hold on a busy machine.
"""

import json
import os
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

from bench.api import NS, TARGETS, ended, fill, load, ready, served
from bench.emulator import Unavailable
from bench.figure import OURS, Column, Table
from nettrace.model.instant import rfc3339

POINTS = 1000
ROUNDS_A_DAY = 1440
PLAIN, MODELLED = "FastAPI's default", "FastAPI with a response model"
PACKAGES = ("fastapi", "uvicorn[standard]")


def run(runs: int, quick: bool) -> list[Table]:
    """The figures; with --quick a third of the time for each."""
    seconds = 2.0 if quick else 6.0
    table = Table(
        f"A series of {POINTS} raw rounds, another one every time, one worker",
        [
            Column("CPU a request", "us"),
            Column("requests", "req/s"),
            Column("p99", "ms"),
            Column("CPU of FastAPI's default", "x ours", 4, at_least=True),
            Column("CPU of FastAPI with a response model", "x ours"),
        ],
        note="the same rows and fields; FastAPI reads one plain SQLite table and knows no keys, quotas or validators",
    )
    with tempfile.TemporaryDirectory(prefix="nettrace-bench-") as name:
        folder = Path(name)
        python = installed(folder / "peer")
        fill(folder / "hub", TARGETS * ROUNDS_A_DAY, 1)
        with served(folder / "hub") as ours, peer(python, copied(folder, ours[0])) as theirs:
            for _ in range(runs):
                once(table, ours, theirs, seconds)
    return [table]


def once(table: Table, ours: "Server", theirs: "Server", seconds: float) -> None:
    """One turn of each."""
    now, spent = time.time_ns() // NS * NS, dict[str, float]()
    starts = [now - 86_400 * NS + number * 1_000_003 for number in range(20_000)]
    hosts = [f"h{number % TARGETS:03}.example" for number in range(len(starts))]
    pairs = list(zip(hosts, starts, strict=True))
    questions = {
        OURS: [f"{HISTORY.format(host)}&start={start}" for host, start in pairs],
        PLAIN: [f"/plain/{host}?start={rfc3339(start)}" for host, start in pairs],
        MODELLED: [f"/modelled/{host}?start={rfc3339(start)}" for host, start in pairs],
    }
    for name, paths in questions.items():
        rate, p99, spent[name] = load(*(ours if name == OURS else theirs), paths, seconds)
        table.add(name, {"requests": rate, "p99": p99, "CPU a request": spent[name]})
    table.add(
        OURS,
        {
            "CPU of FastAPI's default": spent[PLAIN] / spent[OURS],
            "CPU of FastAPI with a response model": spent[MODELLED] / spent[OURS],
        },
    )


Server = tuple[tuple[str, int], int]
HISTORY = f"/api/v1/latency/{{}}/history?resolution=raw&limit={POINTS}"


def installed(folder: Path) -> Path:
    """The Python of an environment that has FastAPI.

    Raises:
        Unavailable: it cannot be installed here; the comparison is left out, not guessed.
    """
    python = folder / "bin/python"
    install = [str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check", *PACKAGES]
    for words in ([sys.executable, "-m", "venv", str(folder)], install):
        ran = subprocess.run(words, capture_output=True, text=True, timeout=300, check=False)
        if ran.returncode:
            raise Unavailable(f"FastAPI cannot be installed to compare with: {ran.stderr.strip()[-300:]}")
    return python


def copied(folder: Path, address: tuple[str, int]) -> Path:
    """A database with the rows that our own server shows, of every target."""
    path = folder / "peer.db"
    database = sqlite3.connect(path)
    names: list[str] = []
    for number in range(TARGETS):
        host = f"h{number:03}.example"
        path_of = HISTORY.format(host).replace(f"limit={POINTS}", "limit=10000")
        with urlopen(f"http://{address[0]}:{address[1]}{path_of}", timeout=60) as answer:  # our own server
            rows = json.load(answer)["data"]
        if not names:
            names = list(rows[0])
            database.execute(
                f"CREATE TABLE point (host, {', '.join(names)}, PRIMARY KEY (host, at)) WITHOUT ROWID"
            )
        marks = ", ".join("?" * (1 + len(names)))
        database.executemany(
            f"INSERT INTO point VALUES ({marks})", [(host, *(row[name] for name in names)) for row in rows]
        )
    database.commit()
    database.close()
    return path


@contextmanager
def peer(python: Path, database: Path) -> Iterator[Server]:
    """FastAPI by uvicorn, with the loop and the parser that ours has."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
    words = [
        str(python), "-m", "uvicorn", "fastapi_peer:app", "--fd", str(listener.fileno()), "--no-access-log",
        "--loop", "uvloop", "--http", "httptools", "--log-level", "error", "--app-dir", str(Path(__file__).parent),
    ]  # fmt: skip
    environment = {**os.environ, "PEER_DATABASE": str(database), "PYTHONPATH": ""}
    program = subprocess.Popen(words, pass_fds=(listener.fileno(),), env=environment)
    try:
        yield ready(listener), program.pid
    finally:
        listener.close()
        ended([program])
