"""`./dev bench ingest`: reports made durable, rows a second, beside PostgreSQL's COPY of the same rows, in turns.

Every batch is one flushed commit on both sides, with a reader asking meanwhile. Ours does what the hub's writer does:
rounds with samples, the newest of each series, the live log, progress of the node. The peer copies one row a round
(series, due, RTT, outcome, status) into one table with a primary key and nothing else, after a temporary table, so
that a repeated row changes nothing either.
"""

import io
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

from bench.emulator import Unavailable
from bench.figure import OURS, Column, Table
from nettrace.model.instant import NS_PER_S
from nettrace.model.measurement import Clock, Grade, Method, Outcome, Ping, Sample, SampleState
from nettrace.model.target import RoundMethod
from nettrace.model.vantage import Vantage
from nettrace.store.embedded.writer import EmbeddedWriter
from nettrace.store.port import EnrolToken
from nettrace.wire.frames import Record, Report

START = 1_790_035_200 * NS_PER_S
SERIES = 2_800
BATCHES = (100, 1_000)
NODE = "node-a"
PEER = "PostgreSQL COPY"

READER = """
import sys, time
from pathlib import Path
from nettrace.store.embedded.reader import EmbeddedReader
from nettrace.store.port import Choice
from nettrace.store.rows import Window
with EmbeddedReader(Path(sys.argv[1])) as reader:
    print("ready", flush=True)
    while True:
        reader.head()
        reader.rounds(Choice(targets=("t7.example",)), Window(0, 2**62), limit=200, newest_first=True)
        time.sleep(0.05)
"""


def record(seq: int, rng: random.Random) -> Record:
    """Round number `seq` of 2,800 series, five probes each."""
    series, lap = seq % SERIES, seq // SERIES
    due = START + lap * 60 * NS_PER_S + series * 10**6
    target, address = f"t{series // 28}.example", f"198.51.{series // 28}.{series % 28}"
    samples = tuple(
        Sample(
            state=SampleState.ANSWERED, sent_at=due, rtt_ns=10_000_000 + series * 1000 + rng.randrange(200_000),
            error_ns=1_000, grade=Grade.KERNEL,
        )
        for _ in range(5)
    )  # fmt: skip
    ping = Ping(
        target=target, address=address, at=due + 2_500, outcome=Outcome.MEASURED, resolved=(address,),
        method=Method.TCP, port=443, samples=samples, clock=Clock.KERNEL,
    )  # fmt: skip
    return Record(
        seq=seq + 1,
        target=target,
        endpoint=f"e{series % 28}",
        method=RoundMethod.TCP,
        due=due,
        measurement=ping,
    )


def batches(first: int, rows: int, size: int) -> Generator[list[Record]]:
    """The rounds from `first` on in batches, made before the clock runs."""
    rng = random.Random(first)
    for begin in range(first, first + rows, size):
        yield [record(seq, rng) for seq in range(begin, min(begin + size, first + rows))]


@contextmanager
def our_store(folder: Path) -> Generator[Callable[[list[Record]], None]]:
    """Ours, with a reader in another process."""
    writer = EmbeddedWriter(folder)
    writer.put_token(EnrolToken(id="tok", hash=b"h", region="ams", created_at=0, expires_at=START))
    writer.enrol(b"h", Vantage(code="ams", node=NODE), b"key", START - 1)
    reader = subprocess.Popen([sys.executable, "-c", READER, folder], stdout=subprocess.PIPE)
    assert reader.stdout is not None
    reader.stdout.readline()

    def take(rows: list[Record]) -> None:
        at = rows[-1].due + NS_PER_S
        writer.accept(
            Report(node=NODE, epoch="life", first_seq=rows[0].seq, entries=tuple(rows), sent_at=at), at
        )

    try:
        yield take
    finally:
        reader.kill()
        reader.communicate()
        writer.close()


@contextmanager
def their_store(folder: Path) -> Generator[Callable[[list[Record]], None]]:
    """PostgreSQL from the wheel, in a folder of its own, with synchronous commits."""
    try:
        import psycopg

        from bench.postgres import serve
    except ImportError as error:
        raise Unavailable(f"needs the group 'peers': {error}") from error
    with serve(folder) as address, psycopg.connect(address, autocommit=False) as link:
        with link.cursor() as cursor:
            cursor.execute(
                "CREATE TABLE round (series int, due bigint, rtt_ns bigint, outcome smallint, status smallint,"
                " PRIMARY KEY (series, due))"
            )
            cursor.execute("CREATE TEMP TABLE stage (LIKE round)")
        link.commit()

        def take(rows: list[Record]) -> None:
            text = io.StringIO()
            for row in rows:
                assert isinstance(row.measurement, Ping)
                text.write(f"{row.seq % SERIES}\t{row.due}\t{row.measurement.samples[2].rtt_ns}\t0\t\\N\n")
            with link.cursor() as cursor:
                with cursor.copy("COPY stage FROM STDIN") as copy:
                    copy.write(text.getvalue())
                cursor.execute("INSERT INTO round SELECT * FROM stage ON CONFLICT DO NOTHING")
                cursor.execute("TRUNCATE stage")
            link.commit()

        yield take


def run(runs: int, quick: bool) -> list[Table]:
    """Both stores take the same rounds in turns, batch size by batch size."""
    rows = 20_000 if quick else 60_000
    table = Table(
        "Durable ingest with a reader present",
        [Column(f"batch {size}", "rows/s") for size in BATCHES]
        + [Column(f"of COPY at {size}", "x", 0.5, at_least=True) for size in BATCHES],
        note=f"{rows} rounds a run, one flushed commit a batch; ours: round with 5 samples, latest and live",
    )
    with tempfile.TemporaryDirectory(prefix="nettrace-ingest-") as folder:
        try:
            peers = their_store(Path(folder) / "peer")
            with our_store(Path(folder) / "ours") as ours, peers as theirs:
                _measure(table, {OURS: ours, PEER: theirs}, runs, rows)
        except Unavailable as why:
            print(f"{PEER}: {why}")
            with our_store(Path(folder) / "alone") as ours:
                _measure(table, {OURS: ours}, runs, rows)
    return [table]


def _measure(table: Table, stores: dict[str, Callable[[list[Record]], None]], runs: int, rows: int) -> None:
    first = 0
    for _ in range(runs):
        for size in BATCHES:
            made = list(batches(first, rows, size))
            first += rows
            rates = {name: _rate(take, made) for name, take in stores.items()}
            for name, rate in rates.items():
                table.add(name, {f"batch {size}": rate})
            if PEER in rates:
                table.add(OURS, {f"of COPY at {size}": rates[OURS] / rates[PEER]})


def _rate(take: Callable[[list[Record]], None], made: list[list[Record]]) -> float:
    os.sync()
    begun = time.perf_counter()
    for rows in made:
        take(rows)
    return sum(map(len, made)) / (time.perf_counter() - begun)
