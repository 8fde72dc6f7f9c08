"""A sealed day as a Parquet file that anybody can read: its columns, how it is written, and how little of it is read.

Rows are sorted by (series, due), some 8,000 to a row group, so that one series' day is one group. A file is written
under another name, flushed, then renamed: what bears a segment's name is whole, and is never changed again.

`samples_ns` is NULL where the one sample is `rtt_ns` itself, and empty where no probe counted. Smallest and largest RTT
are those of the samples. `begun_at` is in whole us and `stored_at` in whole ms, as in the hot rows.
"""

import os
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from hashlib import file_digest
from pathlib import Path
from typing import Any, NamedTuple, cast

import msgspec
import numpy as np
import numpy.typing as npt

from nettrace.errors import StoreCorrupt, StoreError
from nettrace.model.instant import Instant
from nettrace.store.embedded.arrow import Array, Table, pa, pc, pq
from nettrace.store.embedded.database import flush_folder
from nettrace.store.embedded.schema import NS_PER_DAY, STAGES

Ints = npt.NDArray[np.int64]

GROUP_ROWS = 8_192
MANY_GROUPS = 8
"""Of more groups than this columns are read by several threads."""

PART = ".part"
_WORD = pa.dictionary(pa.int32(), pa.string())

COLUMNS = pa.schema([
    ("series", pa.int32()),
    ("vantage", _WORD),
    ("target", _WORD),
    ("endpoint", _WORD),
    ("method", _WORD),
    ("due", pa.timestamp("ns", "UTC")),
    ("begun_at", pa.timestamp("us", "UTC")),
    ("stored_at", pa.timestamp("ms", "UTC")),
    ("outcome", _WORD),
    ("reason", _WORD),
    ("address", _WORD),
    ("sent", pa.int32()),
    ("received", pa.int32()),
    ("not_measured", pa.int32()),
    ("rtt_ns", pa.int64()),
    ("error_ns", pa.int64()),
    ("grade", _WORD),
    ("samples_ns", pa.list_(pa.field("element", pa.int64()))),
    *((f"{stage}_ns", pa.int64()) for stage in STAGES),
    ("status", pa.int32()),
    ("tls_version", _WORD),
    ("route", _WORD),
    ("hop_count", pa.int32()),
    ("clock", _WORD),
    ("request", _WORD),
    ("server_hints", _WORD),
])  # fmt: skip
"""The columns of a sealed day. Files of earlier versions lack the last ones: they are read as NULL."""

_WORDS = [field.name for field in COLUMNS if pa.types.is_dictionary(field.type)]
_SAYABLE = {
    field.name
    for field in COLUMNS
    if field.name not in ("series", "due") and not pa.types.is_timestamp(field.type)
}
_DELTA = ("series", "due", "begun_at", "stored_at")
"""What grows by steps that hardly change."""
_SPLIT = ("rtt_ns", "error_ns", "samples_ns.list.element", *(f"{stage}_ns" for stage in STAGES))
"""What is noise in its low bytes and alike in its high ones: first bytes lie together, then second ones, and so on."""


class Segment(msgspec.Struct, frozen=True, kw_only=True):
    """A line of the manifest: one sealed day's file. Only files with a line are part of the store."""

    file: str
    day: int
    rows: int
    min_due: Instant
    max_due: Instant
    bytes: int
    sha256: str


class SegmentWriter:
    """Writes one day's file, piece by piece; nothing bears its name before `finish`.

    Args:
        folder: where segments lie.
        day: UTC day since 1970.
        generation: number of this sealing of the day, larger than those before.
    """

    def __init__(self, folder: Path, day: int, generation: int) -> None:
        self.day = day
        self.file = segment_name(day, generation)
        self._folder = folder
        self._part = folder / (self.file + PART)
        self._rows = 0
        self._bounds: list[int] = []
        self._waiting: list[Table] = []
        self._waiting_rows = 0
        self._parquet = pq.ParquetWriter(
            str(self._part), COLUMNS, compression="zstd", compression_level=3, use_dictionary=_WORDS,
            column_encoding=dict.fromkeys(_DELTA, "DELTA_BINARY_PACKED") | dict.fromkeys(_SPLIT, "BYTE_STREAM_SPLIT"),
            # no page index: a group is one page, of which the footer says the same
            write_statistics=[name for name in COLUMNS.names if name != "samples_ns"],
            use_compliant_nested_type=True, store_schema=True,
        )  # fmt: skip

    def add(self, table: Table) -> None:
        """Append rows, in the order of (series, due) and behind those before."""
        if not table.num_rows:
            return
        due = whole(table, "due")
        self._bounds += [int(due.min()), int(due.max())]
        self._waiting.append(table)
        self._waiting_rows += table.num_rows
        if self._waiting_rows >= GROUP_ROWS:
            self._write(self._waiting_rows // GROUP_ROWS * GROUP_ROWS)

    def _write(self, rows: int) -> None:
        """Write that many of the waiting rows, as whole groups."""
        held = pa.concat_tables(self._waiting).unify_dictionaries().combine_chunks()
        self._parquet.write_table(held.slice(0, rows), row_group_size=GROUP_ROWS)
        self._rows += rows
        self._waiting = [held.slice(rows)]
        self._waiting_rows -= rows

    def finish(self) -> Segment:
        """Flush the file, give it its name and flush the folder; what the manifest needs to know."""
        if self._waiting_rows:
            self._write(self._waiting_rows)
        self._parquet.close()
        with self._part.open("rb") as file:
            os.fsync(file.fileno())  # all of the file, whoever wrote it
            digest = file_digest(file, "sha256").hexdigest()
        size = self._part.stat().st_size
        self._part.rename(self._folder / self.file)
        flush_folder(self._folder)
        return Segment(
            file=self.file, day=self.day, rows=self._rows, min_due=min(self._bounds, default=0),
            max_due=max(self._bounds, default=0), bytes=size, sha256=digest,
        )  # fmt: skip

    def abandon(self) -> None:
        """Leave nothing behind."""
        self._parquet.close()
        self._part.unlink(missing_ok=True)


def segment_name(day: int, generation: int) -> str:
    """The file's name: the UTC day and the number of its sealing.

    >>> segment_name(20_454, 1)
    '2026-01-01.0001.parquet'
    """
    return f"{datetime.fromtimestamp(day * 86_400, UTC):%Y-%m-%d}.{generation:04d}.parquet"


def generation_of(name: str) -> int:
    """The number of the sealing, from the file's name.

    >>> generation_of("2026-01-01.0012.parquet")
    12
    """
    return int(name.split(".")[1])


def whole(table: Table, name: str, missing: int = -1) -> Ints:
    """A column of whole numbers or times as int64, `missing` where there is nothing."""
    column = table.column(name)
    if pa.types.is_timestamp(column.type) or column.null_count:
        column = column.cast(pa.int64())  # `missing` may be wider than the column
    if column.null_count:
        column = column.fill_null(missing)
    return column.to_numpy().astype(np.int64, copy=False)


def samples_of(table: Table) -> tuple[Ints, Ints]:
    """All answered samples, and the row of each."""
    column = table.column("samples_ns").combine_chunks()
    if isinstance(column, pa.ChunkedArray):  # no chunk at all
        return np.empty(0, np.int64), np.empty(0, np.int64)
    alone = np.asarray(column.is_null().to_numpy(zero_copy_only=False), bool)
    sizes = column.value_lengths().fill_null(0).to_numpy(zero_copy_only=False).astype(np.int64)
    owners = np.repeat(np.arange(len(column)), sizes)
    values = column.flatten().fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
    answered = values >= 0
    rtt = whole(table, "rtt_ns")
    single = np.flatnonzero(alone & (rtt >= 0))
    return np.concatenate((values[answered], rtt[single])), np.concatenate((owners[answered], single))


class _File(NamedTuple):
    """A file as it is now: another one of the same name differs."""

    path: str
    inode: int
    mtime_ns: int


class _Groups(NamedTuple):
    """What a file's footer says: row groups by series."""

    file: _File
    metadata: Any
    first: Ints
    last: Ints


def _groups(path: Path) -> _Groups:
    facts = path.stat()
    return _read_groups(_File(str(path), facts.st_ino, facts.st_mtime_ns))


@lru_cache(maxsize=800)
def _read_groups(file: _File) -> _Groups:
    metadata = pq.read_metadata(file.path)
    bounds = [metadata.row_group(number).column(0).statistics for number in range(metadata.num_row_groups)]
    return _Groups(
        file, metadata, np.array([each.min for each in bounds], np.int64), np.array([each.max for each in bounds], np.int64)
    )  # fmt: skip


def read_segment(
    path: Path, series: Ints, start: Instant, end: Instant, columns: Sequence[str] | None = None
) -> Table:
    """The rows of these series (sorted numbers) that were due in [start, end), by (series, due).

    Only the row groups that hold them are read. `columns` always come with `series` and `due`.

    Raises:
        StoreError: the file is not there.
        StoreCorrupt: it is not what it should be.
    """
    names = None if columns is None else list(dict.fromkeys(("series", "due", *columns)))
    try:
        footer = _groups(path)
        low = np.searchsorted(footer.last, series, "left")
        high = np.searchsorted(footer.first, series, "right")
        wanted = sorted(
            {group for a, b in zip(low.tolist(), high.tolist(), strict=True) for group in range(a, b)}
        )
        with pq.ParquetFile(path, metadata=footer.metadata, memory_map=True, pre_buffer=False) as file:
            said = _said(footer, wanted)
            read = [name for name in names or COLUMNS.names if name not in said]
            table = file.read_row_groups(wanted, columns=read, use_threads=len(wanted) > MANY_GROUPS)
    except FileNotFoundError as error:
        raise StoreError(
            f"{path}: a sealed day is not there", "nettrace store check says what is missing"
        ) from error
    except (pa.ArrowInvalid, OSError) as error:
        raise StoreCorrupt(
            f"{path}: {error}", "Copy it back from a backup: nettrace store restore"
        ) from error
    return _with_all(_rows_of(table, series, start, end), names, said)


def _said(footer: _Groups, wanted: Sequence[int]) -> dict[str, Any]:
    """The columns that say one thing, or nothing (None), in all of these groups: each costs a look into each group."""
    if not wanted:
        return {}
    found = _says(footer.file, wanted[0])
    for group in wanted[1:]:
        others = _says(footer.file, group)
        found = {name: said for name, said in found.items() if name in others and others[name] == said}
    return found


@lru_cache(maxsize=4_096)
def _says(file: _File, group: int) -> dict[str, Any]:
    """The columns of which a group holds one value alone, as far as the file says so; None for none."""
    found: dict[str, Any] = {}
    held = _read_groups(file).metadata.row_group(group)
    for place in range(held.num_columns):
        column = held.column(place)
        said, name = column.statistics, column.path_in_schema
        if said is None or name not in _SAYABLE or not said.has_null_count:
            continue
        if said.null_count == held.num_rows:
            found[name] = None
        elif not said.null_count and said.has_min_max and said.min == said.max:
            found[name] = said.min
    return found


def _with_all(table: Table, names: Sequence[str] | None, said: Mapping[str, Any]) -> Table:
    """The table with every column that is wanted: what was said of those not read; NULL in those later than the file."""
    wanted = COLUMNS.names if names is None else names
    if len(table.column_names) == len(wanted):
        return table
    there = dict(zip(table.column_names, table.columns, strict=True))
    arrays = [
        there[name] if name in there else _one_thing(said.get(name), name, table.num_rows) for name in wanted
    ]
    return pa.Table.from_arrays(arrays, names=list(wanted))


def _one_thing(value: Any, name: str, rows: int) -> Array:
    kind = COLUMNS.field(name).type
    if value is None:
        return pa.nulls(rows, kind)
    if name in _WORDS:
        return pa.DictionaryArray.from_arrays(
            pa.array(np.zeros(rows, np.int32)), pa.array([value], pa.string())
        )
    return pa.array(np.full(rows, value), kind)


def _rows_of(table: Table, series: Ints, start: Instant, end: Instant) -> Table:
    there, due = whole(table, "series"), whole(table, "due")
    if not len(there) or not len(series):
        return table.slice(0, 0)
    known = np.zeros(max(int(there.max()), int(series[-1])) + 1, bool)
    known[series] = True
    kept = (due >= start) & (due < end) & known[there]
    if kept.all():
        return table
    places = np.flatnonzero(kept)
    if len(places) and places[-1] - places[0] + 1 == len(places):  # one series: a slice, without a copy
        return table.slice(int(places[0]), len(places))
    return table.take(pa.array(places))


def groups_of(path: Path) -> int:
    """How many row groups a sealed day has."""
    return int(_groups(path).metadata.num_row_groups)


def keys_of(path: Path, group: int) -> list[tuple[int, Instant]]:
    """Series and due of every row of one group."""
    with pq.ParquetFile(path, metadata=_groups(path).metadata) as file:
        table = file.read_row_group(group, columns=["series", "due"])
    return list(zip(whole(table, "series").tolist(), whole(table, "due").tolist(), strict=True))


def requested_keys(path: Path, request: str) -> set[tuple[int, Instant]]:
    """Series and due of the rows that an on-demand request brought."""
    with pq.ParquetFile(path, metadata=_groups(path).metadata) as file:
        table = file.read(columns=["series", "due", "request"])
    table = table.filter(pc.equal(table.column("request").cast(pa.string()), request))
    return set(zip(whole(table, "series").tolist(), whole(table, "due").tolist(), strict=True))


def strays(folder: Path, known: set[str]) -> list[Path]:
    """Files of sealings that never became part of the store, or no longer are."""
    return sorted(
        path for path in folder.glob("*.parquet*") if path.name not in known and path.name[:1].isdigit()
    )  # fmt: skip


def day_of(at: Instant) -> int:
    """The UTC day of an instant, since 1970."""
    return at // NS_PER_DAY


def words(table: Table, name: str) -> list[Any]:
    """A column as Python values."""
    if table.column(name).null_count == table.num_rows:
        return [None] * table.num_rows
    return cast("list[Any]", table.column(name).to_pylist())
