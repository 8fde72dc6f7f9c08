"""What waits for the hub, on disk: numbered records in a bounded SQLite file. Nothing in it is lost by a kill.

One connection, used by one thread at a time (`keeper` sees to that); write-ahead log, every commit reaches the disk.
When the bound of bytes or age is reached the oldest records make room and a `Gap` takes their numbers. The very
oldest batch stays: it may be at the hub already, with only the answer missing, and numbers must not change meaning.
"""

import secrets
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from nettrace.model.instant import NS_PER_S, Instant
from nettrace.wire.frames import Gap, Record

MOST_BYTES = 256 * 1024 * 1024
"""Some two weeks of a hundred targets at the default cadence."""

OLDEST_S = 14 * 86_400.0
BATCH = 1000
BATCH_BYTES = 4 * 1024 * 1024
_ROOM_PART = 20
"""What is dropped at once is a twentieth of the bound more than needed, so that it is not done for each record."""

_ROW_BYTES = 40
_CORRUPT = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})

Entry = Record | Gap

_SCHEMA = """
create table if not exists entry(seq integer primary key, last_seq integer not null, due integer not null, body blob not null);
create table if not exists fact(name text primary key, value) without rowid;
"""


class Batch(NamedTuple):
    """The oldest entries that wait; `first_seq` is their first number, also of an empty batch."""

    first_seq: int
    entries: tuple[Entry, ...]


class Bounds(msgspec.Struct, frozen=True, kw_only=True):
    """How much a spool may hold.

    Attributes:
        most_bytes: bodies and rows; the file itself is up to a third larger.
        oldest_s: age of a record, by its due.
        batch: entries handed out at once, and never dropped.
    """

    most_bytes: int = MOST_BYTES
    oldest_s: float = OLDEST_S
    batch: int = BATCH


class Spool:
    """The file.

    Args:
        path: made when missing.
        bounds: how much it may hold.

    Attributes:
        epoch: name of this life of the file; numbers begin at 1 in each.
        next_seq: number of the next entry.
        dropped: records that had to make room, in this life.

    Raises:
        sqlite3.DatabaseError: it cannot be opened; `damaged` tells a broken file from a full disk.
    """

    def __init__(self, path: Path, bounds: Bounds | None = None) -> None:
        self.path = path
        self.bounds = bounds or Bounds()
        self._pack = msgspec.msgpack.Encoder()
        self._unpack = msgspec.msgpack.Decoder(Entry)
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=1)
        try:
            self._open()
        except BaseException:
            self._db.close()
            raise

    def _open(self) -> None:
        db = self._db
        for pragma in ("locking_mode=exclusive", "journal_mode=wal", "synchronous=full"):
            db.execute(f"pragma {pragma}").fetchone()
        db.execute("pragma journal_size_limit=4194304")
        db.execute("pragma cache_size=-1024")
        said = db.execute("pragma quick_check(1)").fetchone()[0]
        if said != "ok":
            error = sqlite3.DatabaseError(said)
            error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
            raise error
        db.executescript(_SCHEMA)
        with Transaction(db):
            db.execute("insert or ignore into fact values ('epoch', ?)", (secrets.token_hex(8),))
            db.execute("insert or ignore into fact values ('next_seq', 1), ('dropped', 0)")
        facts = dict(db.execute("select name, value from fact"))
        self.epoch = str(facts["epoch"])
        self.next_seq = int(facts["next_seq"])
        self.dropped = int(facts["dropped"])
        query = "select count(*), coalesce(sum(length(body)), 0), coalesce(min(seq), 0) from entry"
        rows, size, first = (int(each) for each in db.execute(query).fetchone())
        self._rows: int = rows
        self._bytes: int = size + _ROW_BYTES * rows
        self._acked = (first or self.next_seq) - 1

    def close(self) -> None:
        """Give the file back."""
        self._db.close()

    def append(self, entries: Sequence[Entry], now: Instant) -> int:
        """Number the entries and commit them in one go; the last number. When this returns they are on disk.

        A gap keeps its width. On an error nothing has changed.

        Raises:
            sqlite3.DatabaseError: the disk is full, or the file is broken (`damaged`).
        """
        seq, rows = self.next_seq, list[tuple[int, int, Instant, bytes]]()
        for entry in entries:
            numbered = _numbered(entry, seq)
            last = numbered.last_seq if isinstance(numbered, Gap) else seq
            rows.append((seq, last, _due(numbered), self._pack.encode(numbered)))
            seq = last + 1
        kept = self._rows, self._bytes, self.dropped
        try:
            with Transaction(self._db):
                self._insert(rows)
                self._db.execute("update fact set value = ? where name = 'next_seq'", (seq,))
                self._shrink(now)
        except BaseException:
            self._rows, self._bytes, self.dropped = kept
            raise
        self.next_seq = seq
        return seq - 1

    def read(self, most: int = BATCH) -> Batch:
        """The oldest entries, at most a batch, `most` and a few megabytes."""
        entries: list[Entry] = []
        size = 0
        query = "select body from entry where seq > ? order by seq limit ?"
        for (body,) in self._db.execute(query, (self._acked, min(most, self.bounds.batch))):
            size += len(body)
            if entries and size > BATCH_BYTES:
                break
            entries.append(self._unpack.decode(body))
        return Batch(entries[0].seq if entries else self._acked + 1, tuple(entries))

    def acknowledge(self, upto_seq: int) -> None:
        """Forget everything up to this number: it is on the hub's disk. An earlier number changes nothing.

        Raises:
            sqlite3.DatabaseError: it cannot be forgotten on disk; it is not handed out again all the same.
        """
        if upto_seq <= self._acked:
            return
        self._acked = min(upto_seq, self.next_seq - 1)
        with Transaction(self._db):
            gone = self._db.execute(
                "select count(*), coalesce(sum(length(body)), 0) from entry where last_seq <= ?",
                (self._acked,),
            ).fetchone()
            self._db.execute("delete from entry where last_seq <= ?", (self._acked,))
            cut = self._db.execute("select seq, body from entry where seq <= ?", (self._acked,)).fetchone()
            if cut is not None:  # the hub knows a part of what we call a gap by now
                self._replace(
                    cut[0], msgspec.structs.replace(self._unpack.decode(cut[1]), seq=self._acked + 1)
                )
        rows, size = (int(each) for each in gone)
        self._rows -= rows
        self._bytes -= size + _ROW_BYTES * rows

    def waive(self, seq: int, reason: str) -> None:
        """Put a gap where an entry is that the hub will never take, so that the others can pass."""
        row = self._db.execute("select body from entry where seq = ?", (seq,)).fetchone()
        entry = self._unpack.decode(row[0])
        last = entry.last_seq if isinstance(entry, Gap) else seq
        due = _due(entry)
        with Transaction(self._db):
            self._replace(seq, Gap(seq=seq, last_seq=last, reason=reason, since=due, until=due))

    def renumber(self) -> None:
        """Begin a new epoch with what is here: the hub knows numbers of this one that we never gave away."""
        rows = self._db.execute(
            "select body from entry where seq > ? order by seq", (self._acked,)
        ).fetchall()
        entries = [self._unpack.decode(body) for (body,) in rows]
        epoch, seq = secrets.token_hex(8), 1
        with Transaction(self._db):
            self._db.execute("delete from entry")
            for entry in entries:
                numbered = _numbered(entry, seq)
                last = numbered.last_seq if isinstance(numbered, Gap) else seq
                row = (seq, last, _due(numbered), self._pack.encode(numbered))
                self._db.execute("insert into entry values (?, ?, ?, ?)", row)
                seq = last + 1
            self._db.execute("update fact set value = ? where name = 'epoch'", (epoch,))
            self._db.execute("update fact set value = ? where name = 'next_seq'", (seq,))
        self.epoch, self.next_seq, self._acked, self._rows = epoch, seq, 0, len(entries)

    @property
    def backlog(self) -> int:
        """Entries that wait."""
        return self._rows

    def span(self) -> tuple[Instant, Instant] | None:
        """Due of the oldest and of the newest entry that waits."""
        first = self._db.execute("select due from entry where seq > ? order by seq limit 1", (self._acked,))
        last = self._db.execute("select due from entry order by seq desc limit 1")
        ends = first.fetchone(), last.fetchone()
        return (ends[0][0], ends[1][0]) if ends[0] and ends[1] else None

    def _insert(self, rows: Sequence[tuple[int, int, Instant, bytes]]) -> None:
        self._db.executemany("insert into entry values (?, ?, ?, ?)", rows)
        self._rows += len(rows)
        self._bytes += sum(_ROW_BYTES + len(row[3]) for row in rows)

    def _replace(self, seq: int, entry: Entry) -> None:
        last = entry.last_seq if isinstance(entry, Gap) else entry.seq
        row = (entry.seq, last, _due(entry), self._pack.encode(entry), seq)
        self._db.execute("update entry set seq = ?, last_seq = ?, due = ?, body = ? where seq = ?", row)

    def _shrink(self, now: Instant) -> None:
        """Make room: one gap instead of the oldest entries behind the first batch."""
        horizon = now - int(self.bounds.oldest_s * NS_PER_S)
        spare = min(self.bounds.batch, self._rows // 2)
        rows = self._db.execute(
            "select seq, last_seq, due, body from entry order by seq limit -1 offset ?", (spare,)
        )
        excess = self._bytes - self.bounds.most_bytes
        wanted = excess + self.bounds.most_bytes // _ROOM_PART if excess > 0 else 0
        freed, gone = 0, list[Entry]()
        for _, _, due, body in rows:
            if freed >= wanted and due >= horizon:
                break
            gone.append(self._unpack.decode(body))
            freed += _ROW_BYTES + len(body)
        if not gone or (len(gone) == 1 and isinstance(gone[0], Gap)):
            return
        gap = _gap_over(gone)
        self._db.execute("delete from entry where seq between ? and ?", (gap.seq, gap.last_seq))
        self._rows -= len(gone)
        self._bytes -= freed
        self._insert([(gap.seq, gap.last_seq, gap.since, self._pack.encode(gap))])
        self.dropped += sum(isinstance(entry, Record) for entry in gone)
        self._db.execute("update fact set value = ? where name = 'dropped'", (self.dropped,))


class Transaction:
    """A block that is committed as a whole or not at all."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def __enter__(self) -> None:
        self._db.execute("begin immediate")

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            try:
                self._db.execute("commit")
                return
            except BaseException:
                self._undo()
                raise
        self._undo()

    def _undo(self) -> None:
        if self._db.in_transaction:  # some errors have undone it already
            self._db.execute("rollback")


def damaged(error: sqlite3.Error) -> bool:
    """True when the file itself is broken; False for a full disk and everything that may pass."""
    return (getattr(error, "sqlite_errorcode", 0) & 0xFF) in _CORRUPT


def _numbered(entry: Entry, seq: int) -> Entry:
    if isinstance(entry, Gap):
        return msgspec.structs.replace(entry, seq=seq, last_seq=seq + entry.last_seq - entry.seq)
    return msgspec.structs.replace(entry, seq=seq)


def _due(entry: Entry) -> Instant:
    return entry.since if isinstance(entry, Gap) else entry.due


def _gap_over(entries: Sequence[Entry]) -> Gap:
    reasons = {entry.reason if isinstance(entry, Gap) else "spool_full" for entry in entries}
    last = entries[-1]
    return Gap(
        seq=entries[0].seq,
        last_seq=last.last_seq if isinstance(last, Gap) else last.seq,
        reason=reasons.pop() if len(reasons) == 1 else "spool_full",
        since=min(_due(entry) for entry in entries),
        until=max(entry.until if isinstance(entry, Gap) else entry.due for entry in entries),
    )
