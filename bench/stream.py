"""`./dev bench stream`: what a delivery costs with a thousand receivers, and whether every one of them gets everything.

One API worker and its writer; receivers are WebSocket clients in a process of their own, which check every number.
`python -m bench.stream --disconnects 1000` resets connections in mid-stream and counts what is lost or comes twice.
Cost is the worker's CPU over the run less what it spends on the same rounds with nobody listening.
"""

import argparse
import asyncio
import json
import os
import random
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from websockets.asyncio.client import connect

from bench.api import fill, served
from bench.figure import OURS, Column, Table

RECEIVERS = 1000
CLIENTS = 20
DISCONNECTS = 1000
ROUNDS_A_TURN = 10
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
    return [table, broken_off(DISCONNECTS // 10 if quick else DISCONNECTS)]


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

    link = blocking_link(Data(folder).socket)
    try:
        for first in range(0, ROUNDS, PER_BATCH):
            link.take(_report(_FILLED + turn * ROUNDS + first + 1, PER_BATCH), None)
            time.sleep(PAUSE_S)
    finally:
        link.close()


def _report(first_seq: int, count: int) -> Any:
    """So many rounds, measured now."""
    from nettrace.model.measurement import Grade, Method, Outcome, Ping, Sample, SampleState
    from nettrace.model.target import RoundMethod
    from nettrace.wire.frames import Record, Report

    now = time.time_ns()
    entries = tuple(
        Record(
            seq=first_seq + number, target="h000.example", endpoint="rest", method=RoundMethod.TCP, due=now + number,
            measurement=Ping(
                target="h000.example", address="198.18.0.1", at=now, outcome=Outcome.MEASURED, method=Method.TCP,
                samples=(Sample(state=SampleState.ANSWERED, rtt_ns=5_000_000, error_ns=1000, grade=Grade.KERNEL),),
            ),
        )
        for number in range(count)
    )  # fmt: skip
    return Report(node="n", epoch="e", first_seq=first_seq, entries=entries, sent_at=now)


# -- forced disconnects
def broken_off(disconnects: int) -> Table:
    """What receivers miss or get twice whose connection is reset again and again, each resuming where it was."""
    table = Table(
        f"Live stream: {disconnects} forced disconnects of {CLIENTS} receivers, rounds all the while",
        [
            Column("disconnects", "", disconnects, at_least=True),
            Column("rounds", ""),
            Column("lost", "", 0),
            Column("twice", "", 0),
            Column("out of order", "", 0),
        ],
        note="half WebSocket, half SSE; what each got against the log as it stands afterwards",
    )
    with tempfile.TemporaryDirectory(prefix="nettrace-bench-") as name:
        folder = Path(name)
        fill(folder, _FILLED, 1)
        with served(folder) as (address, _):
            table.add(OURS, asyncio.run(_break_off(folder, address, disconnects)))
    return table


async def _break_off(folder: Path, address: tuple[str, int], disconnects: int) -> dict[str, float | None]:
    url = f"{address[0]}:{address[1]}/api/v1/stream?topics=round"
    async with connect(f"ws://{url}", max_size=None) as first:
        start = int(json.loads(await first.recv())["seq"])
    ended = threading.Event()
    sending = asyncio.create_task(asyncio.to_thread(_send_until, folder, ended))
    seen: list[list[int]] = [[] for _ in range(CLIENTS)]
    left = [disconnects]

    async def one(place: int) -> None:
        dice, reading = random.Random(place), _over_websocket if place % 2 else _over_events
        while left[0] > 0:
            left[0] -= 1
            goal = len(seen[place]) + dice.randrange(1, 2 * ROUNDS_A_TURN)
            await reading(url, start, seen[place], lambda goal=goal: len(seen[place]) >= goal)

    await asyncio.gather(*(one(place) for place in range(CLIENTS)))
    ended.set()
    await sending
    every: list[int] = []
    await _over_websocket(url, start, every, lambda: False, quiet_s=2.0)
    for place in range(CLIENTS):
        reading = _over_websocket if place % 2 else _over_events
        for _ in range(5):  # a stream that the server ends is resumed, as any client does
            await reading(url, start, seen[place], lambda place=place: seen[place][-1:] == every[-1:])
    return {
        "disconnects": float(disconnects - left[0]), "rounds": float(len(every)),
        "lost": float(sum(len(set(every) - set(each)) for each in seen)),
        "twice": float(sum(len(each) - len(set(each)) for each in seen)),
        "out of order": float(sum(each != sorted(each) for each in seen)),
    }  # fmt: skip


async def _over_websocket(
    url: str, start: int, seen: list[int], enough: Callable[[], bool], quiet_s: float = 30.0
) -> None:
    """Rounds behind the last one that was seen, until it is enough; then the connection is reset."""
    async with connect(f"ws://{url}&after={seen[-1] if seen else start}", max_size=None) as client:
        while not enough():
            try:
                async with asyncio.timeout(quiet_s):
                    frame = str(await client.recv())
            except TimeoutError:
                break
            if frame.startswith('{"type":"round"'):
                seen.append(int(frame[22 : frame.index(",", 22)]))
        client.transport.abort()


async def _over_events(url: str, start: int, seen: list[int], enough: Callable[[], bool]) -> None:
    """The same by Server-Sent Events, with `Last-Event-ID`; it is cut wherever the bytes happen to stand."""
    host, _, path = url.partition("/")
    name, _, port = host.partition(":")
    reader, writer = await asyncio.open_connection(name, int(port))
    last = seen[-1] if seen else start
    writer.write(f"GET /{path} HTTP/1.1\r\nhost: {host}\r\nlast-event-id: {last}\r\n\r\n".encode())
    number = 0
    while not enough():
        async with asyncio.timeout(30):
            line = await reader.readline()
        if not line:
            break  # the server ended it: resume
        if line.startswith(b"id: "):
            number = int(line[4:])
        elif line == b"event: round\n":
            await reader.readline()  # the data; what has come whole counts
            seen.append(number)
    writer.transport.abort()


def _send_until(folder: Path, ended: threading.Event) -> None:
    from nettrace.hub.link import blocking_link
    from nettrace.hub.place import Data

    link, seq = blocking_link(Data(folder).socket), _FILLED + 1
    try:
        while not ended.is_set():
            link.take(_report(seq, PER_BATCH), None)
            seq += PER_BATCH
            time.sleep(0.05)
    finally:
        link.close()


async def receive(host: str, port: str, receivers: str, rounds: str) -> None:
    """Open the receivers, say so, count what comes, say that; run in a process of its own."""
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


def main() -> int:
    """The forced disconnects by themselves; exit 1 when anything was lost or came twice."""
    parser = argparse.ArgumentParser(prog="python -m bench.stream", description=__doc__)
    parser.add_argument("--disconnects", type=int, default=1000)
    table = broken_off(parser.parse_args().disconnects)
    print(table.text())
    return int(bool(table.broken()))


if __name__ == "__main__":
    sys.exit(main())
