"""`python -m bench.hub_faults --kills 1000 [--workers 2 | --all]`: a hub under load whose processes are killed at random.

A ledger outside knows what was acknowledged: at the end all of it must be there, once, with the right values.
Senders behave as nodes do: they keep what was not acknowledged and send it again, right behind what the hub has.
With `--all` there are real nodes besides, which are killed like the writer, the workers, and the writer in the very moment
in which it seals a day.
"""

import argparse
import asyncio
import http.client
import os
import random
import signal
import sys
import tempfile
import time
import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import msgspec

from bench.hub_nodes import Node
from bench.hub_processes import Hub, Patience
from bench.hub_record import START, record
from bench.hub_sealing import kill_sealing
from nettrace.errors import NetTraceError, Unreachable
from nettrace.hub.enrolment import token_hash
from nettrace.hub.link import HubWriter, WriterLink
from nettrace.hub.open import open_reader, open_writer
from nettrace.hub.place import Data
from nettrace.model.instant import NS_PER_S
from nettrace.model.vantage import Vantage
from nettrace.store.port import Choice, EnrolToken
from nettrace.store.rows import Window
from nettrace.wire.frames import Ack, Report
from nettrace.wire.signing import key_of, signed


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
    """What a storm left.

    Attributes:
        killed: how often each kind of process.
        longest: the longest wait for progress in s, and how much of it a process waited for a CPU.
    """

    kills: int
    acknowledged: int
    rows: int
    lost: int
    doubled: int
    wrong: int
    broken: int
    went_back: tuple[str, ...]
    faults: tuple[str, ...]
    killed: Counter[str] = field(default_factory=Counter)
    longest: tuple[float, float] = (0.0, 0.0)


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


async def sender(node: str, number: int, way: Socket | Http, world: "World", rng: random.Random) -> None:
    """Be a node until the end: send the next batch behind what is acknowledged, whatever happens."""
    ledger = world.ledger
    while not world.ended.is_set():
        await world.go.wait()
        upto = ledger.acknowledged.get(node, 0)
        size = rng.randint(1, 40)
        entries = tuple(record(seq, number) for seq in range(upto + 1, upto + 1 + size))
        sent = Report(node=node, epoch="e", first_seq=upto + 1, entries=entries, sent_at=START)
        try:
            ledger.note(node, await way.send(sent))
        except NetTraceError as error:
            ledger.broken += isinstance(error, Unreachable)
            await asyncio.sleep(0.005)


@dataclass
class World:
    """A storm's hub with who sends to it; `go` is cleared while senders hold their breath for the writer to do chores."""

    data: Data
    hub: Hub
    names: list[str]
    nodes: list[Node]
    ledger: Ledger = field(default_factory=Ledger)
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    go: asyncio.Event = field(default_factory=asyncio.Event)
    killed: Counter[str] = field(default_factory=Counter)
    longest: tuple[float, float] = (0.0, 0.0)

    async def kill(self, kind: str, rng: random.Random) -> None:
        """Kill one process of a kind, and start it again."""
        if kind == NODE:
            await asyncio.to_thread(rng.choice(self.nodes).kill)
        elif kind == SEAL:
            kind = await self._kill_sealing(rng)
        else:
            victim = rng.choice([name for name in self.hub.names if (name == "writer") == (kind == WRITER)])
            await self._end(victim)
        self.killed[kind] += 1

    async def _kill_sealing(self, rng: random.Random) -> str:
        """Kill the writer, and the next one while it seals what that left; which kind it was, by what it left itself."""
        await self.kill(
            WRITER, rng
        )  # of what comes to one that has sealed everything, it takes an hour's worth together
        await _progress(self)
        self.go.clear()
        for node in self.nodes:
            node.signal(signal.SIGSTOP)
        moment = (self.hub.processes["writer"], rng.choice([None, rng.random() * 0.5]))
        with ThreadPoolExecutor(1) as own:
            met = await asyncio.get_running_loop().run_in_executor(own, kill_sealing, self.data, *moment)
        await self._end("writer")
        for node in self.nodes:
            node.signal(signal.SIGCONT)
        self.go.set()
        return SEAL if met else WRITER

    async def _end(self, victim: str) -> None:
        await asyncio.to_thread(self.hub.end, victim, signal.SIGKILL)
        self.hub.start(victim)


WRITER, WORKER, NODE, SEAL = "writer", "API worker", "node", "seal job"


async def storm(
    folder: Path, *, kills: int, workers: int = 0, nodes: int = 4, seed: int = 1, longest_s: float = 0.25,
    real: int = 0,
) -> Remains:  # fmt: skip
    """Kill processes so often at random moments while all nodes send; then count.

    With `workers`, API processes that nodes send through, those are killed too; with 0 they send straight to the
    writer. With `real` nodes besides, these are killed as well, and the writer in the middle of sealing. A kill comes
    at a random moment within `longest_s` after all nodes made progress; every third one comes without waiting for
    any: while the process is still starting.
    """
    rng = random.Random(seed)
    data = Data(folder)
    data.make()
    names = enrol(data, nodes + real)
    hub = Hub(data, workers)
    port = hub.listener.getsockname()[1] if hub.listener else 0
    links = [WriterLink(data.socket) for _ in range(2)]  # two API workers' worth of connections
    for name in hub.names:
        hub.start(name)
    lives = [Node(folder / name, port, name, nodes + place) for place, name in enumerate(names[nodes:])]
    world = World(data, hub, names[:nodes], lives)
    world.go.set()
    ways = [Http(port, name) if workers else Socket(links[number % 2]) for number, name in enumerate(names)]
    senders = [
        asyncio.create_task(sender(name, number, ways[number], world, random.Random(seed + number)))
        for number, name in enumerate(world.names)
    ]
    kinds = [NODE, SEAL] if real else []
    try:
        while (number := world.killed.total()) < kills:
            if number % 3 != 2:
                await _progress(world)
            await asyncio.sleep(rng.random() * longest_s)
            await world.kill(rng.choice([WRITER, *([WORKER] * workers), *(kinds * 2)]), rng)
        await _progress(world)
        for node in lives:
            await asyncio.to_thread(node.drain)
    finally:
        world.ended.set()
        await asyncio.gather(*senders, return_exceptions=True)
        for node in lives:
            node.close()
        for link in links:
            await link.close()
        codes = await asyncio.to_thread(hub.close)
    assert codes[-1] == 0, f"the writer ended with {codes[-1]}"
    left = count(
        data,
        {
            number: [range(1, world.ledger.acknowledged.get(name, 0) + 1)]
            for number, name in enumerate(world.names)
        }
        | {node.number: node.kept for node in lives},
    )
    return replace(
        left,
        kills=kills,
        broken=world.ledger.broken,
        went_back=tuple(world.ledger.went_back),
        killed=world.killed,
        longest=world.longest,
    )


async def _progress(world: World) -> None:
    """Wait until every sender got something more acknowledged: all of the hub is up and storing."""
    ledger = world.ledger
    before = dict(ledger.acknowledged)
    patience = Patience(world.hub)
    for name in world.names:
        while ledger.acknowledged.get(name, 0) <= before.get(name, 0):
            with suppress(TimeoutError):
                async with asyncio.timeout(1):
                    await ledger.beyond(name, before.get(name, 0))
            world.hub.mend()
            patience.look()
    world.longest = max(world.longest, (patience.waited_s, patience.waited_s - patience.spent_s))


def count(data: Data, acknowledged: Mapping[int, Sequence[range]]) -> Remains:
    """Hold the store against the ledger, row by row: by the number of each node, what has to be there."""
    lost = doubled = wrong = rows = 0
    reader = open_reader(data)
    for number, ranges in acknowledged.items():
        seen: Counter[int] = Counter()
        window = Window(START, START + 10**9 * NS_PER_S)
        for page in reader.scan(Choice(vantages=(f"v{number}",)), window):
            for row in page:
                seq, rest = divmod(row.due - START, NS_PER_S)
                seen[seq] += 1
                wrong += rest != 0 or row.rtt_ns != 1_000_000 + 1000 * number + seq % 1000
        lost += sum(seq not in seen for each in ranges for seq in each)
        doubled += seen.total() - len(seen)
        rows += len(seen)
    reader.close()
    writer = open_writer(data)
    faults = [f"{fault.where}: {fault.what}" for fault in writer.check()]
    writer.close()
    wanted = sum(len(each) for ranges in acknowledged.values() for each in ranges)
    return Remains(0, wanted, rows, lost, doubled, wrong, 0, (), tuple(faults))


def main() -> int:
    """Print what a storm left; exit 1 when anything is lost, doubled, wrong or damaged."""
    parser = argparse.ArgumentParser(prog="python -m bench.hub_faults", description=__doc__)
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--workers", type=int, default=0, help="API processes in between, killed too")
    parser.add_argument(
        "--all", action="store_true", help="two workers, two real nodes and the seal job, all killed"
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help="30 kills")
    given = parser.parse_args()
    workers, real = (given.workers or 2, 2) if given.all else (given.workers, 0)
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        kills = 30 if given.quick else given.kills
        left = asyncio.run(
            storm(Path(folder) / "hub", kills=kills, workers=workers, seed=given.seed, real=real)
        )
    kinds = ", ".join(f"{kind} {times}" for kind, times in left.killed.most_common())
    load = ", ".join(f"{each:.0f}" for each in os.getloadavg())
    print(
        f"hub_faults: {left.kills} kills in {time.monotonic() - began:.0f} s, {left.broken} calls cut short (load {load})"
    )
    print(f"  killed: {kinds}")
    print(f"  rows acknowledged {left.acknowledged}, stored {left.rows}")
    print(f"  lost {left.lost}, doubled {left.doubled}, wrong {left.wrong}")
    print(f"  acknowledgements that went back {len(left.went_back)}, faults of the store {len(left.faults)}")
    print(
        f"  longest wait for progress {left.longest[0]:.1f} s, of which without a CPU {left.longest[1]:.1f} s"
    )
    return int(bool(left.lost or left.doubled or left.wrong or left.went_back or left.faults))


if __name__ == "__main__":
    sys.exit(main())
