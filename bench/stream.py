"""`./dev bench stream`: what a delivery costs with a thousand receivers, and whether every one of them gets everything.

One API worker and its writer; receivers are WebSocket clients in a process of their own, which check every number.
Cost is the worker's CPU over the run less what it spends on the same rounds with nobody listening.
"""

import asyncio
import json
import os
import sys
import tempfile
import time
from pathlib import Path

from bench.api import fill, served
from bench.figure import OURS, Column, Table

RECEIVERS = 1000
ROUNDS = 120
PER_BATCH = 2
PAUSE_S = 0.1
_FILLED = 1090
_CLIENT = "import asyncio, sys; from bench.stream import receive; asyncio.run(receive(*sys.argv[1:]))"


def run(runs: int, quick: bool) -> list[Table]:
    """The figures; with --quick a fifth of the receivers."""
    receivers = RECEIVERS // 5 if quick else RECEIVERS
    table = Table(
        f"Live stream: {receivers} WebSocket receivers, {ROUNDS} rounds at {PER_BATCH / PAUSE_S:.0f} a second",
        [
            Column("CPU a delivery", "us", 15),
            Column("delivered", "%", 100, at_least=True),
            Column("twice", "frames", 0),
            Column("receivers that missed any", "", 0),
            Column("stored to received p50", "ms"),
            Column("p99", "ms", 400),
        ],
        note="each round is one frame to each receiver, encoded once",
    )
    for _ in range(runs):
        with tempfile.TemporaryDirectory(prefix="nettrace-bench-") as folder:
            table.add(OURS, measured(Path(folder), receivers))
    return [table]


def measured(folder: Path, receivers: int) -> dict[str, float]:
    """One run: quiet first, then with receivers."""
    fill(folder, _FILLED, 1)
    with served(folder) as (address, worker):
        before = cpu_s(worker)
        send(folder, 0)
        quiet = cpu_s(worker) - before
        told = asyncio.run(_listening(folder, (address, worker), receivers))
        spent = told.pop("cpu_s")
        deliveries = told.pop("deliveries")
    return {"CPU a delivery": 1e6 * max(0.0, spent - quiet) / max(1.0, deliveries), **told}


async def _listening(folder: Path, server: tuple[tuple[str, int], int], receivers: int) -> dict[str, float]:
    (host, port), worker = server
    words = [sys.executable, "-c", _CLIENT, host, str(port), str(receivers), str(ROUNDS)]
    process = await asyncio.create_subprocess_exec(*words, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    await process.stdout.readline()  # all of them listen
    before = cpu_s(worker)
    await asyncio.to_thread(send, folder, 1)
    told = json.loads(await process.stdout.readline())
    told["cpu_s"] = cpu_s(worker) - before
    await process.wait()
    return told


def send(folder: Path, turn: int) -> None:
    """Rounds through the writer, a batch at a time; each carries in its sample when it was handed over."""
    from nettrace.hub.link import blocking_link
    from nettrace.hub.place import Data
    from nettrace.model.measurement import Grade, Method, Outcome, Ping, Sample, SampleState
    from nettrace.model.target import RoundMethod
    from nettrace.wire.frames import Record, Report

    link = blocking_link(Data(folder).socket)
    try:
        for first in range(0, ROUNDS, PER_BATCH):
            now = time.time_ns()
            entries = tuple(
                Record(
                    seq=_FILLED + turn * ROUNDS + number + 1, target="h000.example", endpoint="rest", method=RoundMethod.TCP,
                    due=now + number,
                    measurement=Ping(
                        target="h000.example", address="198.18.0.1", at=now, outcome=Outcome.MEASURED, method=Method.TCP,
                        samples=(Sample(state=SampleState.ANSWERED, rtt_ns=5_000_000, error_ns=1000, grade=Grade.KERNEL),),
                    ),
                )
                for number in range(first, first + PER_BATCH)
            )  # fmt: skip
            link.take(
                Report(node="n", epoch="e", first_seq=entries[0].seq, entries=entries, sent_at=now), None
            )
            time.sleep(PAUSE_S)
    finally:
        link.close()


async def receive(host: str, port: str, receivers: str, rounds: str) -> None:
    """Open the receivers, say so, count what comes, say that; run in a process of its own."""
    from websockets.asyncio.client import connect

    seen: list[list[int]] = [[] for _ in range(int(receivers))]
    late: list[float] = []
    opened = asyncio.Semaphore(50)
    ready = asyncio.Event()
    waiting = [int(receivers)]

    async def one(place: int) -> None:
        async with opened:
            client = await connect(
                f"ws://{host}:{port}/api/v1/stream?topics=round", compression=None, max_size=None
            )
            await client.recv()
        waiting[0] -= 1
        if not waiting[0]:
            ready.set()
        async with client, asyncio.timeout(120):
            while len(seen[place]) < int(rounds):
                frame = await client.recv()
                if frame.startswith('{"type":"round"'):
                    seen[place].append(int(frame[22 : frame.index(",", 22)]))
                    if place == 0:
                        late.append((time.time_ns() - _stored(frame)) / 1e6)

    tasks = [asyncio.create_task(one(place)) for place in range(int(receivers))]
    await ready.wait()
    print("{}", flush=True)
    await asyncio.gather(*tasks, return_exceptions=True)
    wanted = set(seen[0])
    late.sort()
    told = {
        "deliveries": float(sum(map(len, seen))),
        "delivered": 100 * sum(map(len, seen)) / (int(receivers) * int(rounds)),
        "twice": float(sum(len(each) - len(set(each)) for each in seen)),
        "receivers that missed any": float(sum(set(each) != wanted for each in seen)),
        "stored to received p50": late[len(late) // 2] if late else 0.0,
        "p99": late[int(0.99 * len(late))] if late else 0.0,
    }
    print(json.dumps(told), flush=True)


def _stored(frame: str) -> int:
    from datetime import datetime

    return round(datetime.fromisoformat(json.loads(frame)["data"]["stored_at"]).timestamp() * 1e9)


def cpu_s(pid: int) -> float:
    """User and system time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
