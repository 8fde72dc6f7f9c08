"""`python -m bench.hub_faults --kills 1000 [--workers 2]`: a hub under load whose processes are killed at random.

A ledger outside knows what was acknowledged: at the end all of it must be there, once, with the right values.
Senders behave as nodes do: they keep what was not acknowledged and send it again, right behind what the hub has.
"""

import argparse
import asyncio
import http.client
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
import zlib
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from nettrace.errors import NetTraceError, Unreachable
from nettrace.hub.enrolment import token_hash
from nettrace.hub.link import HubWriter, WriterLink
from nettrace.hub.open import open_reader, open_writer
from nettrace.hub.place import Data
from nettrace.model.instant import NS_PER_S
from nettrace.model.measurement import Grade, Method, Outcome, Ping, Sample, SampleState
from nettrace.model.target import RoundMethod
from nettrace.model.vantage import Vantage
from nettrace.store.port import Choice, EnrolToken
from nettrace.store.rows import Window
from nettrace.wire.frames import Ack, Record, Report
from nettrace.wire.signing import key_of, signed

START = 1_790_000_000 * NS_PER_S
"""Due of the first record; one a second follows."""


def record(seq: int, node: int) -> Record:
    """The record every sender would make with this number: its RTT tells number and node apart."""
    due = START + seq * NS_PER_S
    rtt_ns = 1_000_000 + 1000 * node + seq % 1000
    sample = Sample(
        state=SampleState.ANSWERED, sent_at=due, rtt_ns=rtt_ns, error_ns=10_000, grade=Grade.KERNEL
    )
    ping = Ping(
        target="t.example", address="198.18.0.1", at=due, outcome=Outcome.MEASURED, method=Method.TCP, port=443,
        samples=(sample,),
    )  # fmt: skip
    return Record(
        seq=seq, target="t.example", endpoint="site", method=RoundMethod.TCP, due=due, measurement=ping
    )


@dataclass
class Ledger:
    """What the world outside knows: for each node, up to where the hub has acknowledged."""

    acknowledged: dict[str, int] = field(default_factory=dict)
    broken: int = 0
    went_back: list[str] = field(default_factory=list)

    _news: asyncio.Event = field(default_factory=asyncio.Event)

    async def beyond(self, node: str, upto_seq: int) -> None:
        """Returns when the hub has acknowledged more than this."""
        while self.acknowledged.get(node, 0) <= upto_seq:
            self._news.clear()
            await self._news.wait()

    def note(self, node: str, upto_seq: int) -> None:
        """An acknowledgement: it can only grow."""
        if upto_seq < self.acknowledged.get(node, 0):
            self.went_back.append(f"{node}: {upto_seq} after {self.acknowledged[node]}")
        self.acknowledged[node] = max(upto_seq, self.acknowledged.get(node, 0))
        self._news.set()


@dataclass(frozen=True)
class Remains:
    """What a storm left."""

    kills: int
    rows: int
    lost: int
    doubled: int
    wrong: int
    broken: int
    went_back: tuple[str, ...]
    faults: tuple[str, ...]


def enrol(data: Data, nodes: int) -> list[str]:
    """Make so many nodes known to a new store."""
    made = []
    writer = open_writer(data)
    for number in range(nodes):
        name, code = f"node_{number}", f"v{number}"
        token = EnrolToken(id=code, hash=token_hash(code), region=code, created_at=0, expires_at=2**62)
        writer.put_token(token)
        assert writer.enrol(token.hash, Vantage(code=code, node=name), key_of(name), START) is not None
        made.append(name)
    writer.close()
    return made


class Hub:
    """The real processes of a hub, killed and started again: the writer, and API workers on one shared socket."""

    def __init__(self, data: Data, workers: int) -> None:
        self.data = data
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=256) if workers else None
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.names = ["writer", *(f"api-{number}" for number in range(workers))]

    def start(self, name: str) -> None:
        """Start one of them; it is not waited for."""
        command = [sys.executable, "-m", "nettrace.hub.writer", "--data", str(self.data.folder)]
        fds: list[int] = []
        if name != "writer":
            assert self.listener is not None
            fds = [self.listener.fileno()]
            command = [sys.executable, "-m", "nettrace.serve.worker", "--data", str(self.data.folder)]
            command += ["--fd", str(fds[0]), "--bind", "127.0.0.1:0"]
        self.processes[name] = subprocess.Popen(command, stderr=subprocess.DEVNULL, pass_fds=fds)

    def mend(self) -> None:
        """Start again who ended by itself, as the supervisor does: a worker may give up while there is no writer."""
        for name, process in list(self.processes.items()):
            if process.poll() is not None:
                self.start(name)

    def end(self, name: str, number: int) -> int:
        """Send one of them a signal and wait for its end."""
        process = self.processes.pop(name)
        process.send_signal(number)
        return process.wait(20)

    def close(self) -> list[int]:
        """End all, the writer last; their exit codes."""
        codes = [self.end(name, signal.SIGTERM) for name in reversed(self.names) if name in self.processes]
        if self.listener is not None:
            self.listener.close()
        return codes


class Socket:
    """A node's way to the hub that leaves HTTP out: straight to the writer."""

    def __init__(self, link: WriterLink) -> None:
        self._link = link

    async def send(self, report: Report) -> int:
        """Up to where the hub has it."""
        return (await self._link.call(HubWriter.take, report)).upto_seq


class Http:
    """A node's way to the hub as it really is: signed, packed, over HTTP."""

    def __init__(self, port: int, node: str) -> None:
        self._port = port
        self._node = node

    async def send(self, report: Report) -> int:
        """Up to where the hub has it.

        Raises:
            Unreachable: there was no answer, or none that says so.
        """
        return await asyncio.to_thread(self._send, report)

    def _send(self, report: Report) -> int:
        body = zlib.compress(msgspec.msgpack.encode(report), 1)
        path = "/api/v1/nodes/report"
        headers = signed(self._node, key_of(self._node), ("POST", path), time.time_ns(), body)
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=10)
        try:
            connection.request("POST", path, body, {**headers, "Content-Encoding": "deflate"})
            answer = connection.getresponse()
            content = answer.read()
        except (OSError, http.client.HTTPException) as error:
            raise Unreachable("no answer") from error
        finally:
            connection.close()
        if answer.status != 200:
            raise Unreachable(f"{answer.status} {content[:200]!r}")
        return msgspec.msgpack.decode(content, type=Ack).upto_seq


async def sender(
    node: str, number: int, way: Socket | Http, ledger: Ledger, ended: asyncio.Event, rng: random.Random
) -> None:
    """Be a node until the end: send the next batch behind what is acknowledged, whatever happens."""
    while not ended.is_set():
        upto = ledger.acknowledged.get(node, 0)
        size = rng.randint(1, 40)
        entries = tuple(record(seq, number) for seq in range(upto + 1, upto + 1 + size))
        sent = Report(node=node, epoch="e", first_seq=upto + 1, entries=entries, sent_at=START)
        try:
            ledger.note(node, await way.send(sent))
        except NetTraceError as error:
            ledger.broken += isinstance(error, Unreachable)
            await asyncio.sleep(0.005)


async def storm(
    folder: Path, *, kills: int, workers: int = 0, nodes: int = 4, seed: int = 1, longest_s: float = 0.25
) -> Remains:
    """Kill processes so often at random moments while all nodes send; then count.

    With `workers`, API processes that nodes send through, those are killed too; with 0 they send straight to the
    writer. A kill comes at a random moment within `longest_s` after all nodes made progress; every third one comes
    without waiting for any: while the process is still starting.
    """
    rng = random.Random(seed)
    data = Data(folder)
    data.make()
    names = enrol(data, nodes)
    hub, ledger, ended = Hub(data, workers), Ledger(), asyncio.Event()
    links = [WriterLink(data.socket) for _ in range(2)]  # two API workers' worth of connections
    port = hub.listener.getsockname()[1] if hub.listener else 0
    for name in hub.names:
        hub.start(name)
    senders = [
        asyncio.create_task(
            sender(
                name,
                number,
                Http(port, name) if workers else Socket(links[number % 2]),
                ledger,
                ended,
                random.Random(seed + number),
            )
        )
        for number, name in enumerate(names)
    ]
    try:
        for number in range(kills):
            if number % 3 != 2:
                await _progress(ledger, names, hub)
            await asyncio.sleep(rng.random() * longest_s)
            victim = rng.choice(hub.names)
            await asyncio.to_thread(hub.end, victim, signal.SIGKILL)
            hub.start(victim)
        await _progress(ledger, names, hub)
    finally:
        ended.set()
        await asyncio.gather(*senders, return_exceptions=True)
        for link in links:
            await link.close()
        codes = await asyncio.to_thread(hub.close)
    assert codes[-1] == 0, f"the writer ended with {codes[-1]}"
    return count(data, names, ledger, kills)


class Patience:
    """How long nothing has come of a hub that could have run: time in which one of its processes waited for a CPU is not counted.

    Starting an API worker takes two seconds of CPU. On a machine that others use too that is half a minute, in which a
    hub that hangs and one that starts look alike to a clock.
    """

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._at = time.monotonic()
        self._queued = {each.pid: queued_s(each.pid) for each in hub.processes.values()}
        self.spent_s = 0.0

    def look(self) -> None:
        """Note what passed since the last look.

        Raises:
            Stuck: a hub that could run made no progress for half a minute.
        """
        now, queued = (
            time.monotonic(),
            {each.pid: queued_s(each.pid) for each in self._hub.processes.values()},
        )
        waited = max((each - self._queued.get(pid, 0.0) for pid, each in queued.items()), default=0.0)
        self.spent_s += max(0.0, now - self._at - waited)
        self._at, self._queued = now, queued
        if self.spent_s > STUCK_S:
            states = ", ".join(f"{name} {each.poll()}" for name, each in self._hub.processes.items())
            raise Stuck(f"no progress in {STUCK_S} s of a hub that could run (exit codes: {states})")


STUCK_S = 30


class Stuck(Exception):
    """A hub that does nothing though it could."""


def queued_s(pid: int) -> float:
    """How long the main thread of a process was ready to run and had no CPU, since it began (`/proc/PID/schedstat`)."""
    with suppress(OSError):
        return int(Path(f"/proc/{pid}/schedstat").read_text().split()[1]) / 1e9
    return 0.0


async def _progress(ledger: Ledger, names: list[str], hub: Hub) -> None:
    """Wait until every node got something more acknowledged: all of the hub is up and storing."""
    before = dict(ledger.acknowledged)
    patience = Patience(hub)
    for name in names:
        while ledger.acknowledged.get(name, 0) <= before.get(name, 0):
            with suppress(TimeoutError):
                async with asyncio.timeout(1):
                    await ledger.beyond(name, before.get(name, 0))
            hub.mend()
            patience.look()


def count(data: Data, names: list[str], ledger: Ledger, kills: int) -> Remains:
    """Hold the store against the ledger, row by row."""
    lost = doubled = wrong = rows = 0
    reader = open_reader(data)
    for number, name in enumerate(names):
        seen: dict[int, int] = {}
        window = Window(START, START + 10**9 * NS_PER_S)
        for page in reader.scan(Choice(vantages=(f"v{number}",)), window):
            for row in page:
                seq, rest = divmod(row.due - START, NS_PER_S)
                seen[seq] = seen.get(seq, 0) + 1
                wrong += rest != 0 or row.rtt_ns != 1_000_000 + 1000 * number + seq % 1000
        acknowledged = ledger.acknowledged.get(name, 0)
        lost += sum(seq not in seen for seq in range(1, acknowledged + 1))
        doubled += sum(times - 1 for times in seen.values())
        rows += len(seen)
    reader.close()
    writer = open_writer(data)
    faults = [f"{fault.where}: {fault.what}" for fault in writer.check()]
    writer.close()
    return Remains(kills, rows, lost, doubled, wrong, ledger.broken, tuple(ledger.went_back), tuple(faults))


def main() -> int:
    """Print what a storm left; exit 1 when anything is lost, doubled, wrong or damaged."""
    parser = argparse.ArgumentParser(prog="python -m bench.hub_faults", description=__doc__)
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--workers", type=int, default=0, help="API processes in between, killed too")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help="30 kills")
    given = parser.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        kills = 30 if given.quick else given.kills
        left = asyncio.run(storm(Path(folder) / "hub", kills=kills, workers=given.workers, seed=given.seed))
    print(
        f"hub_faults: {left.kills} kills in {time.monotonic() - began:.0f} s, {left.broken} calls cut short"
    )
    print(f"  rows {left.rows}, lost {left.lost}, doubled {left.doubled}, wrong {left.wrong}")
    print(f"  acknowledgements that went back {len(left.went_back)}, faults of the store {len(left.faults)}")
    return int(bool(left.lost or left.doubled or left.wrong or left.went_back or left.faults))


if __name__ == "__main__":
    sys.exit(main())
