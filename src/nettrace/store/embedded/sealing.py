"""Sealing: a day older than the hot span becomes a Parquet file, a slice at a time; its hot rows go when it is safe.

1. Rows go into `NAME.part`, series by series. 2. The file is flushed, renamed, its folder flushed. 3. One transaction
puts it into the manifest, retires the day's older file and notes that hot rows are to go. 4. Exactly the rows the file
holds are deleted, some thousand at a time. Whoever reads between 3 and 4 takes of two equal rounds one, so nobody ever
sees a round twice or not at all. A crash before 3 leaves a stray file, which the next start removes; after it, 4 goes on.

Rounds that come later lie in the hot rows until the day is sealed again, file and rows together, under a new name.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np

from nettrace.model.instant import NS_PER_MS, Instant
from nettrace.store.embedded.arrow import Array, Table, pa, pc
from nettrace.store.embedded.database import Connection, transaction
from nettrace.store.embedded.raw import Raw
from nettrace.store.embedded.samples import LOST, unpack_many, unpack_stages
from nettrace.store.embedded.schema import (
    CLOCKS,
    NS_PER_DAY,
    NS_PER_HOUR,
    NS_PER_US,
    OUTCOMES,
    REASONS,
    SLOT_NS,
    STAGES,
)
from nettrace.store.embedded.segments import (
    COLUMNS,
    Segment,
    SegmentWriter,
    generation_of,
    groups_of,
    keys_of,
    read_segment,
    strays,
    whole,
)
from nettrace.store.embedded.slot import SOUGHT, held_slots, sought

HOT_NS = 24 * NS_PER_HOUR
"""How long a day that ended stays hot: the last 24 hours, what charts ask for, always are."""
SERIES_AT_ONCE = 8
KEYS_AT_ONCE = 4_000
AGAIN_NS = NS_PER_HOUR
"""How long late rounds of a sealed day may gather before it is sealed again."""

_WORDS_SQL = """
SELECT r.series, s.vantage, s.target, s.endpoint, s.method, r.due, r.begun, r.stored, r.outcome, r.reason, a.text,
  r.sent, r.received, r.not_measured, r.rtt_ns, r.error_ns, r.grade, r.samples, r.stages, r.status, r.tls, t.name,
  r.hop_count, r.clock, r.request, r.hints
"""
_NAMES_SQL = """
JOIN series s ON s.id = r.series LEFT JOIN address a ON a.id = r.address LEFT JOIN route t ON t.id = r.route
"""
ROWS_SQL = f"{_WORDS_SQL} FROM round r {_NAMES_SQL}"
"""All hot rows with their words, for `table_of`."""

_SOME_ROWS_SQL = f"""{_WORDS_SQL}
FROM {SOUGHT} {_NAMES_SQL}
"""


class Sealer:
    """Seals the days of a data folder.

    Args:
        path: the database's, for what errors say.
        hot_ns: how long rounds stay in the hot rows.
    """

    def __init__(self, connection: Connection, path: Path, segments: Path, hot_ns: int = HOT_NS) -> None:
        self._connection = connection
        self._path = path
        self._folder = segments
        self._raw = Raw(connection, segments)
        self._hot_ns = hot_ns
        self._looked_at: Instant | None = None
        self._writer: SegmentWriter | None = None
        self._work: Iterator[Table] = iter(())
        self._trim: tuple[str, int, int] | None = None
        self._clean()

    def _clean(self) -> None:
        """Remove what a crash left behind and go on trimming where it ended."""
        self._folder.mkdir(exist_ok=True, mode=0o700)
        known = {str(file) for (file,) in self._connection.execute("SELECT file FROM segment")}
        for path in strays(self._folder, known):
            path.unlink(missing_ok=True)
        for (file,) in self._connection.execute("SELECT value FROM meta WHERE name = 'trimming'"):
            self._trim = (str(file), 0, 0)

    def slice(self, now: Instant, budget_s: float = 0.0) -> bool:
        """Do a piece of what is due, at least one; True when more waits."""
        end = monotonic() + budget_s
        more = self._step(now)
        while more and monotonic() < end:
            more = self._step(now)
        return more

    def _step(self, now: Instant) -> bool:
        if self._trim is not None:
            self._trim_some(*self._trim)
            return True
        if self._writer is None:
            if self._looked_at is not None and 0 <= now - self._looked_at < AGAIN_NS:
                return False
            day = self._oldest_day()
            if day is None or (day + 1) * NS_PER_DAY > now - self._hot_ns:
                self._looked_at = now
                return False
            self._begin(day)
            return True
        table = next(self._work, None)
        if table is not None:
            self._writer.add(table)
        else:
            self._end(now)
        return True

    def _oldest_day(self) -> int | None:
        """The day of the oldest hot round."""
        slots = held_slots(self._connection)
        return slots[0] * SLOT_NS // NS_PER_DAY if slots else None

    def _begin(self, day: int) -> None:
        generations = [
            generation_of(str(file))
            for (file,) in self._connection.execute("SELECT file FROM segment WHERE day = ?", (day,))
        ]
        self._writer = SegmentWriter(self._folder, day, max(generations, default=0) + 1)
        self._work = self._tables(day)

    def _live(self, day: int) -> list[tuple[int, str]]:
        return [
            (int(found), str(file))
            for found, file in self._connection.execute(
                "SELECT day, file FROM segment WHERE state = 'live' AND day = ?", (day,)
            )
        ]

    def _tables(self, day: int) -> Iterator[Table]:
        """The day's rows, some series at a time, merged with those already sealed."""
        start, end = day * NS_PER_DAY, (day + 1) * NS_PER_DAY
        series = [int(number) for (number,) in self._connection.execute("SELECT id FROM series ORDER BY id")]
        old = [self._folder / file for _, file in self._live(day)]
        for place in range(0, len(series), SERIES_AT_ONCE):
            some = series[place : place + SERIES_AT_ONCE]
            hot = hot_table(self._connection, some, start, end)
            wanted = np.array(some, np.int64)
            yield merged([*(read_segment(path, wanted, start, end) for path in old), hot])

    def _end(self, now: Instant) -> None:
        assert self._writer is not None  # noqa: S101 - only called while there is one
        writer, self._writer = self._writer, None
        segment = writer.finish()
        with transaction(self._connection, self._path):
            self._connection.execute(
                "UPDATE segment SET state = 'retired', retired_at = ? WHERE day = ? AND state = 'live'",
                (now, segment.day),
            )
            enter(self._connection, segment, now)
            self._connection.execute("INSERT OR REPLACE INTO meta VALUES ('trimming', ?)", (segment.file,))
        self._trim = (segment.file, 0, 0)

    def _trim_some(self, file: str, group: int, place: int) -> None:
        """Delete hot rows that the file holds: the next few thousand of its keys."""
        path = self._folder / file
        if group >= groups_of(path):
            with transaction(self._connection, self._path):
                self._connection.execute("DELETE FROM meta WHERE name = 'trimming'")
            self._trim = None
            return
        keys = sorted((due // SLOT_NS, series, due) for series, due in keys_of(path, group))
        some = keys[place : place + KEYS_AT_ONCE]
        with transaction(self._connection, self._path):
            self._connection.executemany("DELETE FROM round WHERE slot = ? AND series = ? AND due = ?", some)
        place += KEYS_AT_ONCE
        self._trim = (file, group, place) if place < len(keys) else (file, group + 1, 0)

    def close(self) -> None:
        """Leave no half-written file."""
        if self._writer is not None:
            self._writer.abandon()
            self._writer = None


def enter(connection: Connection, segment: Segment, sealed_at: Instant) -> None:
    """Put a file into the manifest: from this transaction on it is part of the store."""
    connection.execute(
        "INSERT INTO segment VALUES (?, ?, ?, ?, ?, ?, ?, 'live', ?, NULL)",
        (
            segment.file, segment.day, segment.rows, segment.min_due, segment.max_due, segment.bytes,
            segment.sha256, sealed_at,
        ),
    )  # fmt: skip


def hot_table(connection: Connection, series: Sequence[int], start: Instant, end: Instant) -> Table:
    """Hot rows of these series (in order) due in [start, end), with a sealed day's columns."""
    rows = list(connection.execute(_SOME_ROWS_SQL, sought(connection, series, start, end)))
    return table_of(rows) if rows else COLUMNS.empty_table()


def table_of(rows: Sequence[tuple[Any, ...]]) -> Table:
    """Rows of `round` with their words instead of numbers, as a sealed day's columns."""
    (
        series, vantage, target, endpoint, method, due, begun, stored, outcome, reason, address, sent, received,
        not_measured, rtt, error, grade, samples, stages, status, tls, route, hops, clock, request, hints,
    ) = zip(*rows, strict=True)  # fmt: skip
    dues = np.array(due, np.int64)
    taken = [unpack_stages(blob) if blob else {} for blob in stages] if any(stages) else None
    columns: dict[str, Any] = {
        "series": series, "vantage": vantage, "target": target, "endpoint": endpoint, "method": method, "due": dues,
        "begun_at": dues // NS_PER_US + np.array(begun, np.int64),
        "stored_at": dues // NS_PER_MS + np.array(stored, np.int64),
        "outcome": _words(outcome, OUTCOMES), "reason": _words(reason, REASONS), "address": address, "sent": sent,
        "received": received, "not_measured": not_measured, "rtt_ns": rtt, "error_ns": error, "grade": grade,
        "samples_ns": _samples(samples, rtt),
        **{f"{name}_ns": [each.get(name) for each in taken] if taken else [None] * len(rows) for name in STAGES},
        "status": status, "tls_version": tls, "route": route, "hop_count": hops, "clock": _words(clock, CLOCKS),
        "request": request, "server_hints": hints,
    }  # fmt: skip
    return pa.table(
        [_column(columns[field.name], field.type) for field in COLUMNS], schema=COLUMNS
    )  # fmt: skip


def _column(values: Any, kind: Any) -> Any:
    if isinstance(values, pa.Array):
        return values
    if pa.types.is_dictionary(kind):
        return pa.array(values, pa.string()).dictionary_encode()
    return pa.array(values, kind)


def _words(codes: Sequence[int | None], known: Sequence[str]) -> Array:
    return pa.DictionaryArray.from_arrays(
        pa.array(codes, pa.int32()), pa.array([str(each) for each in known])
    )


def _samples(blobs: Sequence[bytes | None], rtts: Sequence[int | None]) -> Array:
    """Lists of samples; NULL where the one sample is the RTT itself."""
    values, sizes = unpack_many(blobs, rtts)
    alone = np.fromiter((blob == b"\x01" for blob in blobs), bool, len(blobs))
    kept = ~np.repeat(alone, sizes)
    values = values[kept]
    offsets = np.concatenate(([0], np.cumsum(np.where(alone, 0, sizes)))).astype(np.int32)
    inner = pa.array(values, pa.int64(), mask=values == LOST)
    return pa.ListArray.from_arrays(
        pa.array(offsets), inner, type=COLUMNS.field("samples_ns").type, mask=pa.array(alone)
    )


def merged(tables: Sequence[Table]) -> Table:
    """One table by (series, due); of two rows with one key that of the first table."""
    held = [table for table in tables if table.num_rows]
    if not held:
        return COLUMNS.empty_table()
    table = held[0] if len(held) == 1 else pa.concat_tables(held).unify_dictionaries()
    series, due = whole(table, "series"), whole(table, "due")
    order = np.lexsort((due, series))
    ordered_series, ordered_due = series[order], due[order]
    first = np.ones(len(order), bool)
    first[1:] = (np.diff(ordered_series) != 0) | (np.diff(ordered_due) != 0)
    if first.all() and (np.diff(order) == 1).all():
        return table
    return pc.take(table, pa.array(order[first]))
