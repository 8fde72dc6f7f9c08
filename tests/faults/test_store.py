"""What happens to a store when its writer is killed, its disk fills, its clock steps or its file is damaged."""

import json
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest
from bench.faults import BATCH, EPOCH, NODE, START, enrol, record

from nettrace.errors import NetTraceError, StoreBusy, StoreCorrupt, StoreError, StoreFull
from nettrace.model.instant import NS_PER_S
from nettrace.outside.market_ledger import Ledger
from nettrace.store.embedded.integrity import check_folder
from nettrace.store.embedded.keeping import restore, write_backup
from nettrace.store.embedded.reader import EmbeddedReader
from nettrace.store.embedded.writer import EmbeddedWriter
from nettrace.store.port import Choice
from nettrace.store.rows import LiveKind, Window
from nettrace.wire.frames import Report

ALL = Window(0, 2**62)
MIB = 2**20


def report(first: int, count: int = BATCH) -> Report:
    entries = tuple(record(seq) for seq in range(first, first + count))
    return Report(node=NODE, epoch=EPOCH, first_seq=first, entries=entries, sent_at=START)


def stored(folder: Path) -> list[int]:
    with EmbeddedReader(folder) as reader:
        return sorted(each.due for page in reader.scan(Choice(), ALL) for each in page)


def dues(last: int) -> list[int]:
    return [record(seq).due for seq in range(1, last + 1)]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    enrol(folder)
    return folder


@pytest.mark.parametrize(
    ("kills", "step_s", "reports"), [(20, 60, 20), (8, 900, 40)], ids=["one day", "days sealed meanwhile"]
)
def test_nothing_acknowledged_is_lost_or_doubled_when_writers_are_killed(
    kills: int, step_s: int, reports: int
) -> None:
    given = ("--kills", str(kills), "--step-s", str(step_s), "--reports", str(reports))
    done = subprocess.run(
        [sys.executable, "-m", "bench.faults", *given],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr + done.stdout
    told = json.loads(done.stdout)
    assert told["stored"] >= told["acknowledged"] >= kills
    assert (told["lost"], told["doubled"], told["wrong"], told["faults"]) == (0, 0, 0, 0)
    assert (told["sealed_days"] > 0) == (step_s > 60)


FOLLOWER = """
import sys
from pathlib import Path
from nettrace.store.embedded.reader import EmbeddedReader
from nettrace.store.port import Choice
from nettrace.store.rows import LiveKind, Window
with EmbeddedReader(Path(sys.argv[1])) as reader:
    last = reader.head()
    print("ready", flush=True)
    seen = 0
    while seen < int(sys.argv[2]):
        if reader.head() == last:
            continue
        page = reader.live(last)
        for event in page.events:
            assert event.seq == last + 1, (event.seq, last)
            last = event.seq
            seen += event.kind is LiveKind.ROUND
        assert max(each.seq for each in reader.latest()) >= last
    print(len(reader.rounds(Choice(), Window(0, 2**62), limit=10**6)))
"""


def test_readers_in_other_processes_follow_without_a_hole(data: Path) -> None:
    rounds = 3_000
    followers = [
        subprocess.Popen(
            [sys.executable, "-c", FOLLOWER, data, str(rounds)], stdout=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    try:
        for follower in followers:
            assert follower.stdout is not None
            assert follower.stdout.readline() == "ready\n"
        writer = EmbeddedWriter(data)
        for first in range(1, rounds, 60):
            writer.accept(report(first, 60), START + 3600 * NS_PER_S)
        for follower in followers:
            out, _ = follower.communicate(timeout=300)
            assert (out, follower.returncode) == (f"{rounds}\n", 0)
        writer.close()
    finally:
        for follower in followers:
            follower.kill()
            follower.wait()


@contextmanager
def files_no_larger_than(size: int) -> Generator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def fill(writer: EmbeddedWriter, acknowledged: int = 0) -> int:
    """Report until there is no room; the number acknowledged last."""
    with pytest.raises(StoreFull, match=r"room|grow"):
        for _ in range(2_000):
            acknowledged = writer.accept(report(acknowledged + 1), START).upto_seq
    return acknowledged


def test_a_file_that_may_not_grow_loses_nothing_and_goes_on_later(data: Path) -> None:
    writer = EmbeddedWriter(data)
    with files_no_larger_than(MIB):
        acknowledged = fill(writer)
        assert acknowledged >= BATCH
        with pytest.raises(StoreFull):  # and again, not once only
            writer.accept(report(acknowledged + 1), START)
        assert stored(data) == dues(acknowledged)
    assert writer.accept(report(acknowledged + 1), START).upto_seq == acknowledged + BATCH
    assert writer.check() == []
    writer.close()
    assert stored(data) == dues(acknowledged + BATCH)


@pytest.mark.root
@pytest.mark.tool("mount")
def test_a_full_disk_loses_nothing_and_goes_on_when_there_is_room(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=6m", "nettrace-test", disk], check=False, capture_output=True
    )
    if mounted.returncode:
        pytest.skip("needs root")
    try:
        ballast = disk / "ballast"
        ballast.write_bytes(bytes(2 * MIB))
        enrol(disk / "data")
        writer = EmbeddedWriter(disk / "data")
        acknowledged = fill(writer)
        assert acknowledged >= BATCH
        ballast.unlink()
        assert writer.accept(report(acknowledged + 1), START).upto_seq == acknowledged + BATCH
        assert writer.check() == []
        writer.close()
        assert stored(disk / "data") == dues(acknowledged + BATCH)
    finally:
        subprocess.run(["umount", disk], check=True)


def test_a_clock_that_steps_changes_no_round(data: Path) -> None:
    writer = EmbeddedWriter(data)
    times = [START + 3600 * NS_PER_S, START - 86_400 * NS_PER_S, START + 400 * 86_400 * NS_PER_S, START]
    for number, at in enumerate(times):
        writer.accept(report(1 + 10 * number, 10), at)
        writer.maintain(at)
    with EmbeddedReader(data) as reader:
        assert [each.due for each in reader.rounds(Choice(), ALL, limit=99)] == dues(40)
        assert [each.stored_at for each in reader.rounds(Choice(), ALL, limit=99)][::10] == times
        assert {each.round.due for each in reader.latest()} == set(dues(40)[-10:])
        page = reader.live(0)
        assert [each.seq for each in page.events] == list(range(page.oldest, page.head + 1))
    assert writer.check() == []
    writer.close()


def backed_up(data: Path, to: Path) -> int:
    """A store of 4,000 rounds with its backup; the newest number of the live log."""
    writer = EmbeddedWriter(data)
    for first in range(1, 4_000, BATCH):
        writer.accept(report(first), START)
    writer.backup(str(to))
    with EmbeddedReader(data) as reader:
        head = reader.head()
    writer.close()
    return head


def damage(path: Path, how: str) -> None:
    size = path.stat().st_size
    if how == "truncated":
        os.truncate(path, size // 2)
    elif how == "garbled inside":
        with path.open("r+b") as file:
            for place in range(size // 4, size - 8192, size // 16):
                file.seek(place)
                file.write(b"\xa5" * 4096)
    else:
        path.write_bytes(b"\x00garbage" * (size // 8))


@pytest.mark.parametrize("how", ["truncated", "garbled inside", "garbled altogether"])
def test_a_damaged_file_is_named_and_a_backup_brings_everything_back(
    data: Path, tmp_path: Path, how: str
) -> None:
    head = backed_up(data, tmp_path / "backup")
    damage(data / "hub.sqlite", how)
    found = check_folder(data)
    assert found
    assert all("nettrace store restore" in fault.remedy for fault in found)
    with pytest.raises(StoreCorrupt, match="nettrace store restore"):
        stored(data)
        writer = EmbeddedWriter(data)
        writer.accept(report(4_001), START)
    again = tmp_path / "again"
    restore(tmp_path / "backup", again)
    assert check_folder(again) == []
    assert stored(again) == dues(4_000)
    writer = EmbeddedWriter(again)
    assert writer.accept(report(4_001), START).upto_seq == 4_000 + BATCH
    with EmbeddedReader(again) as reader:
        page = reader.live(head)
        assert page.oldest - 1 > head  # whoever resumes behind the backup is told of the gap
        assert [each.kind for each in page.events] == [LiveKind.ROUND] * BATCH
    writer.close()


def test_a_backup_holds_the_market_data_and_every_test_ever_made(data: Path, tmp_path: Path) -> None:
    Ledger(data).add([{"test": "a", "p": 0.5}, {"test": "b", "p": 0.01}])
    (data / "market" / "x.parquet").write_bytes(b"bars")
    (data / "market" / "y.part").write_bytes(b"half of some")
    backed_up(data, tmp_path / "backup")
    again = tmp_path / "again"
    restore(tmp_path / "backup", again)
    assert Ledger(again).rows() == Ledger(data).rows()
    assert sorted(path.name for path in (again / "market").iterdir()) == ["ledger.ndjson", "x.parquet"]
    (again / "hub.sqlite").unlink()
    with pytest.raises(NetTraceError, match="has a store already"):
        restore(tmp_path / "backup", again)


def test_a_backup_holds_what_the_operator_wrote_and_no_secrets(data: Path, tmp_path: Path) -> None:
    written = {"tiers.toml": b"# tiers", "alerts.toml": b"# rules", "fleet.toml": b"# machines"}
    for name, text in written.items():
        (data / name).write_bytes(text)
    (data / "secrets").mkdir(exist_ok=True)
    (data / "secrets" / "webhook").write_bytes(b"hidden")
    (data / "cursor.key").write_bytes(b"hidden")
    backed_up(data, tmp_path / "backup")
    assert not [
        path for path in (tmp_path / "backup").rglob("*") if path.is_file() and b"hidden" in path.read_bytes()
    ]
    again = tmp_path / "again"
    again.mkdir()
    (again / "alerts.toml").write_bytes(b"mine")
    with pytest.raises(NetTraceError, match=r"has alerts\.toml already"):
        restore(tmp_path / "backup", again)
    assert (again / "alerts.toml").read_bytes() == b"mine"
    (again / "alerts.toml").unlink()
    restore(tmp_path / "backup", again)
    assert {name: (again / name).read_bytes() for name in written} == written


def test_a_manifest_that_names_files_elsewhere_is_no_backup(data: Path, tmp_path: Path) -> None:
    backed_up(data, tmp_path / "backup")
    path = tmp_path / "backup" / "manifest.json"
    written = path.read_text()
    for name in ("../hub.sqlite", "/tmp/hub.sqlite", "segments/../../hub.sqlite", ".."):
        path.write_text(written.replace('"hub.sqlite"', f'"{name}"'))
        with pytest.raises(NetTraceError, match="files outside of a store"):
            restore(tmp_path / "backup", tmp_path / "again")


def test_a_backup_with_a_damaged_file_is_not_restored(data: Path, tmp_path: Path) -> None:
    backed_up(data, tmp_path / "backup")
    damage(tmp_path / "backup" / "hub.sqlite", "truncated")
    with pytest.raises(StoreCorrupt, match="older backup"):
        restore(tmp_path / "backup", tmp_path / "again")
    with pytest.raises(NetTraceError, match="no whole backup"):
        restore(data, tmp_path / "other")
    with pytest.raises(NetTraceError, match="has a store already"):
        shutil.copytree(tmp_path / "backup", tmp_path / "good")
        restore(tmp_path / "good", data)


def test_a_backup_is_one_moment_while_another_process_writes(data: Path, tmp_path: Path) -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", WRITER, data], stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True
    )
    try:
        assert child.stdout is not None
        assert child.stdout.readline() == "writing\n"
        made = [write_backup(data, tmp_path / f"backup{number}") for number in range(3)]
        assert child.poll() is None
    finally:
        child.kill()
        child.communicate()
    for number, manifest in enumerate(made):
        restore(tmp_path / f"backup{number}", tmp_path / f"copy{number}")
        assert check_folder(tmp_path / f"copy{number}") == []
        found = stored(tmp_path / f"copy{number}")
        assert found == dues(len(found))
        assert len(found) + 1 == manifest.head  # one event a round, and the node's


WRITER = """
import sys
from pathlib import Path
from bench.faults import EPOCH, NODE, START, record
from nettrace.store.embedded.writer import EmbeddedWriter
from nettrace.wire.frames import Report
writer = EmbeddedWriter(Path(sys.argv[1]))
seq = 1
while True:
    entries = tuple(record(number) for number in range(seq, seq + 50))
    seq = writer.accept(Report(node=NODE, epoch=EPOCH, first_seq=seq, entries=entries, sent_at=START), START).upto_seq + 1
    if seq == 51:
        print("writing", flush=True)
"""


def test_a_second_writer_is_told_who_has_the_folder(data: Path) -> None:
    writer = EmbeddedWriter(data)
    with pytest.raises(StoreBusy, match=str(os.getpid())):
        EmbeddedWriter(data)
    writer.close()
    EmbeddedWriter(data).close()


def test_a_folder_without_a_hub_is_said_to_be_one(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="nettrace up"):
        EmbeddedReader(tmp_path)


def test_check_names_a_damaged_a_missing_and_a_stray_day(data: Path) -> None:
    writer = EmbeddedWriter(data)
    day = 86_400 * NS_PER_S
    entries = tuple(record(seq, 10 * day) for seq in range(1, 6))  # one round a day
    writer.accept(Report(node=NODE, epoch=EPOCH, first_seq=1, entries=entries, sent_at=START), START)
    while writer.maintain(START + 30 * day):
        pass
    assert writer.check() == []
    files = sorted((data / "segments").iterdir())
    assert len(files) == 5
    damage(files[0], "garbled altogether")
    files[1].unlink()
    shutil.copy(files[2], data / "segments" / "2020-01-01.0001.parquet")
    assert [(Path(fault.where).name, fault.what) for fault in writer.check()] == [
        (files[0].name, "not what was sealed"),
        (files[1].name, "missing"),
        ("2020-01-01.0001.parquet", "no day names this file"),
    ]
    with pytest.raises(StoreCorrupt, match=r"not what was sealed|missing"):
        write_backup(data, data.parent / "backup")
    writer.close()
