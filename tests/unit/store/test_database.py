"""Opening a store: the library's version, the file's version, what it is, and who else has it."""

from pathlib import Path

import apsw
import pytest

from nettrace.errors import StoreError
from nettrace.store.embedded.database import (
    migrate,
    open_reader,
    open_writer,
    refuse_old_library,
    transaction,
    value,
    version,
)
from nettrace.store.embedded.hot import INSERT_ROUND
from nettrace.store.embedded.reader import EmbeddedReader
from nettrace.store.embedded.retention import Forgetter
from nettrace.store.embedded.samples import beside, pack
from nettrace.store.embedded.schema import APPLICATION_ID, MIGRATIONS, NS_PER_DAY, SLOT_NS, VERSION
from nettrace.store.port import Choice
from nettrace.store.rows import Window


@pytest.mark.parametrize("old", ["3.7.0", "3.40.1", "3.51.2"])
def test_a_library_that_corrupts_shared_files_is_refused(old: str) -> None:
    with pytest.raises(StoreError, match=f"SQLite {old}.*pip install -U apsw"):
        refuse_old_library(old)


@pytest.mark.parametrize("safe", ["3.51.3", "3.53.0", "4.0.0"])
def test_a_safe_library_is_not(safe: str) -> None:
    refuse_old_library(safe)


def test_commits_are_flushed_and_readers_cannot_write(tmp_path: Path) -> None:
    path = tmp_path / "hub.sqlite"
    writer = open_writer(path)
    assert value(writer, "PRAGMA journal_mode") == "wal"
    assert value(writer, "PRAGMA synchronous") == 2
    reader = open_reader(path)
    with pytest.raises(apsw.ReadOnlyError):
        reader.execute("DELETE FROM meta")
    reader.close()
    writer.close()


NEXT = (
    *MIGRATIONS,
    "ALTER TABLE setting ADD COLUMN note TEXT; INSERT INTO setting VALUES ('a', x'01', 5, 'n')",
)


def test_a_migration_goes_forward_and_keeps_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "hub.sqlite"
    writer = open_writer(path)
    with transaction(writer, path):
        writer.execute("INSERT INTO setting VALUES ('kept', x'00', 1)")
    assert migrate(writer, path, NEXT) == VERSION
    assert version(writer) == VERSION + 1
    assert migrate(writer, path, NEXT) == VERSION + 1
    assert list(writer.execute("SELECT name, note FROM setting ORDER BY name")) == [
        ("a", "n"),
        ("kept", None),
    ]
    writer.close()
    before = apsw.Connection(str(tmp_path / f"hub.sqlite.before-{VERSION + 1}"))
    assert list(before.execute("SELECT name FROM setting")) == [("kept",)]
    before.close()


def test_the_copy_an_upgrade_made_goes_after_a_month(tmp_path: Path) -> None:
    path = tmp_path / "hub.sqlite"
    writer = open_writer(path)
    migrate(writer, path, NEXT)
    copy, others = tmp_path / f"hub.sqlite.before-{VERSION + 1}", tmp_path / "hub.sqlite.mine"
    others.write_bytes(b"kept")
    made = copy.stat().st_mtime_ns
    forget = Forgetter(writer, path, tmp_path / "segments")
    for days, there in ((1, True), (29, True), (31, False)):
        while forget.slice(made + days * NS_PER_DAY):
            pass
        assert copy.exists() == there
    writer.close()
    assert others.exists() and path.exists()


def test_rounds_of_the_second_version_lie_in_their_slots_after_it(tmp_path: Path) -> None:
    path = tmp_path / "hub.sqlite"
    old = apsw.Connection(str(path))
    for script in MIGRATIONS[:2]:
        old.execute(script)
    old.execute(f"PRAGMA application_id={APPLICATION_ID}; PRAGMA user_version=2")
    dues = [20_000 * NS_PER_DAY + 700 * 10**9 * number for number in range(4)]
    old.executemany(
        f"INSERT INTO round VALUES (1, ?, 0, 0, 0, NULL, NULL, 1, 1, 0, 5, 5, 5{', NULL' * 10})",
        [(due,) for due in dues],
    )
    old.close()
    writer = open_writer(path)
    assert list(writer.execute("SELECT slot, series, due, rtt_ns, hints FROM round")) == [
        (due // SLOT_NS, 1, due, 5, None) for due in dues
    ]
    writer.close()


def test_rounds_of_the_third_version_keep_their_extremes_beside_new_ones_that_tell_them(
    tmp_path: Path,
) -> None:
    path = tmp_path / "hub.sqlite"
    old = apsw.Connection(str(path))
    for script in MIGRATIONS[:3]:
        old.execute(script)
    old.execute(f"PRAGMA application_id={APPLICATION_ID}; PRAGMA user_version=3")
    old.execute(
        "INSERT INTO series (vantage, target, endpoint, method) VALUES ('v', 't.example', 'rest', 'icmp')"
    )
    row = (1, 20_000 * NS_PER_DAY, 0, 0, 0, None, None, 3, 2, 0, 9, 7, 9, None, None, pack((7, 9, None), 9))
    old.execute(INSERT_ROUND, (*row, *[None] * 8))
    old.close()
    writer = open_writer(path)
    assert version(writer) == VERSION
    writer.execute(INSERT_ROUND, (1, row[1] + 1, *row[2:11], *beside(7, 9), *row[13:], *[None] * 8))
    writer.close()
    with EmbeddedReader(tmp_path) as reader:
        found = reader.rounds(Choice(), Window(0, 2**62), limit=10)
        assert [(each.min_ns, each.max_ns, each.samples_ns) for each in found] == [(7, 9, (7, 9, None))] * 2
        fields = reader.raw(Choice(), Window(0, 2**62), fields=("min_ns", "max_ns"), limit=10)
        assert (fields.min_ns, fields.max_ns) == ([7, 7], [9, 9])


def test_a_migration_that_fails_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "hub.sqlite"
    writer = open_writer(path)
    with pytest.raises(apsw.SQLError):
        migrate(writer, path, (*NEXT, "CREATE TABLE setting (x)"))
    assert version(writer) == VERSION
    assert list(writer.execute("SELECT * FROM setting")) == []
    writer.close()


def test_a_newer_store_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "hub.sqlite"
    writer = open_writer(path)
    migrate(writer, path, NEXT)
    writer.close()
    for opened in (open_writer, open_reader):
        with pytest.raises(StoreError, match=f"version {VERSION + 1}, this program knows {VERSION}. Install"):
            opened(path)


def test_somebody_elses_database_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "hub.sqlite"
    other = apsw.Connection(str(path))
    other.execute("CREATE TABLE theirs (x)")
    other.close()
    before = path.read_bytes()
    for opened in (open_writer, open_reader):
        with pytest.raises(StoreError, match="not a hub's"):
            opened(path)
    assert path.read_bytes() == before


def test_an_older_store_is_opened_for_reading_only_when_a_writer_has_brought_it_up_to_date(
    tmp_path: Path,
) -> None:
    path = tmp_path / "hub.sqlite"
    empty = apsw.Connection(str(path))
    empty.execute(f"PRAGMA application_id={APPLICATION_ID}")
    empty.close()
    with pytest.raises(StoreError, match="Start the hub once"):
        open_reader(path)
    open_writer(path).close()
    open_reader(path).close()
