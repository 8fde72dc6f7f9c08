"""`python -m bench.faults --kills 1000`: kills the store's writer without warning, again and again, and counts.

The ledger is this process: it notes what a writer acknowledged before it died, and asks at the end whether all of it
is there, once. Every report's contents follow from its numbers, so that a wrong row shows as well as a missing one.
"""

import argparse
import json
import os
import random
import select
import signal
import struct
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from nettrace.model.instant import NS_PER_S
from nettrace.model.measurement import Method, Outcome, Ping, Sample, SampleState
from nettrace.model.target import RoundMethod
from nettrace.model.vantage import Vantage
from nettrace.store.embedded.integrity import check_folder
from nettrace.store.embedded.reader import EmbeddedReader
from nettrace.store.embedded.writer import EmbeddedWriter
from nettrace.store.port import Choice, EnrolToken
from nettrace.store.rows import Window
from nettrace.wire.frames import Record, Report

START = 1_790_035_200 * NS_PER_S
STEP = 60 * NS_PER_S
SERIES = 10
"""Ten series, one round a second: a day is 8,640 rounds, so that days are sealed while writers die."""
BATCH = 200
NODE, EPOCH = "node-a", "life-1"
WORD = struct.Struct("<q")


@dataclass(frozen=True)
class Outcomes:
    """What the ledger says. `lost`, `doubled`, `wrong` and `faults` must be 0."""

    kills: int
    acknowledged: int
    stored: int
    lost: int
    doubled: int
    wrong: int
    faults: int
    sealed_days: int
    """Sealed while writers died."""


def record(seq: int, step_ns: int = STEP) -> Record:
    """The round of that number."""
    due = START + seq * step_ns // SERIES
    sample = Sample(state=SampleState.ANSWERED, rtt_ns=1_000_000 + seq)
    return Record(
        seq=seq, target=f"t{seq % SERIES}.example", endpoint="rest", method=RoundMethod.TCP, due=due,
        measurement=Ping(
            target=f"t{seq % SERIES}.example", address="192.0.2.1", at=due, outcome=Outcome.MEASURED,
            method=Method.TCP, samples=(sample,),
        ),
    )  # fmt: skip


def enrol(folder: Path) -> None:
    """Let the node in."""
    writer = EmbeddedWriter(folder)
    writer.put_token(EnrolToken(id="tok", hash=b"h", region="ams", created_at=0, expires_at=START))
    assert writer.enrol(b"h", Vantage(code="ams", node=NODE), b"key", START - 1)
    writer.close()


def write_until_killed(folder: Path, ledger: int, first: int, seed: int, step_ns: int) -> None:
    """Report, and tell the ledger; seal and roll up in between. Some of what was acknowledged is said again."""
    rng = random.Random(seed)
    writer = EmbeddedWriter(folder)
    seq = max(1, first - rng.randrange(BATCH))
    while True:
        entries = tuple(record(number, step_ns) for number in range(seq, seq + rng.randint(1, BATCH)))
        at = entries[-1].due + NS_PER_S
        report = Report(node=NODE, epoch=EPOCH, first_seq=seq, entries=entries, sent_at=at)
        seq = writer.accept(report, at).upto_seq + 1
        os.write(ledger, WORD.pack(seq - 1))
        while rng.random() < 0.9 and writer.maintain(at):
            pass


def kill_writers(folder: Path, kills: int, seed: int, step_ns: int, reports: int) -> Outcomes:
    """One writer after the other, each killed with SIGKILL some milliseconds after a report."""
    rng = random.Random(seed)
    enrol(folder)
    acknowledged = 0
    for life in range(kills):
        read_end, write_end = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                os.close(read_end)
                write_until_killed(folder, write_end, acknowledged + 1, seed * 10_000 + life, step_ns)
            except BaseException as error:
                print(f"writer: {error!r}", file=sys.stderr)
            os._exit(1)
        os.close(write_end)
        acknowledged = max(acknowledged, _listen(read_end, child, rng, reports))
        os.close(read_end)
    return count(folder, kills, acknowledged, step_ns)


def _listen(read_end: int, child: int, rng: random.Random, reports: int) -> int:
    """Note acknowledgements; kill some milliseconds after one of them; what the pipe still holds counts."""
    noted = b""
    wanted = rng.randint(1, reports) * WORD.size
    while len(noted) < wanted:
        if not select.select([read_end], [], [], 60.0)[0] or not (more := os.read(read_end, 65_536)):
            raise AssertionError("the writer ended by itself, or hangs")
        noted += more
    time.sleep(rng.uniform(0.0, 0.02))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    while chunk := os.read(read_end, 65_536):
        noted += chunk
    return int(WORD.unpack_from(noted, len(noted) - WORD.size)[0])


def count(folder: Path, kills: int, acknowledged: int, step_ns: int) -> Outcomes:
    """Compare what is stored with the ledger, after a writer has cleared up behind the dead one."""
    sealed = len(list((folder / "segments").glob("*.parquet")))
    writer = EmbeddedWriter(folder)
    while writer.maintain(record(acknowledged + BATCH, step_ns).due):
        pass
    writer.close()
    faults = check_folder(folder)
    for fault in faults:
        print(f"{fault.where}: {fault.what}", file=sys.stderr)
    expected = {
        entry.due: entry for entry in (record(seq, step_ns) for seq in range(1, acknowledged + BATCH + 1))
    }
    stored: list[int] = []
    wrong = 0
    with EmbeddedReader(folder) as reader:
        for page in reader.scan(Choice(), Window(START, START + 2**61)):
            for each in page:
                stored.append(each.due)
                wanted = expected.get(each.due)
                wrong += (
                    wanted is None
                    or each.rtt_ns != 1_000_000 + wanted.seq
                    or each.series.target != wanted.target
                )
    unique = set(stored)
    lost = sum(due not in unique for due, entry in expected.items() if entry.seq <= acknowledged)
    return Outcomes(
        kills, acknowledged, len(stored), lost, len(stored) - len(unique), wrong, len(faults), sealed,
    )  # fmt: skip


def main() -> int:
    """Print the ledger's verdict as JSON; exit 1 when anything was lost, doubled or wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--step-s", type=float, default=STEP / NS_PER_S, help="interval of each series in its own time"
    )
    parser.add_argument(
        "--reports", type=int, default=30, help="most a writer acknowledges before it is killed"
    )
    parser.add_argument("--quick", action="store_true", help="10 kills")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="nettrace-faults-") as folder:
        kills = 10 if given.quick else given.kills
        made = kill_writers(
            Path(folder) / "data", kills, given.seed, int(given.step_s * NS_PER_S), given.reports
        )
    print(json.dumps(asdict(made)))
    return int(bool(made.lost or made.doubled or made.wrong or made.faults))


if __name__ == "__main__":
    sys.exit(main())
