"""Bulk exports: a job that writes a file for each UTC day, and a manifest that says what is in them.

`python -m nettrace.hub.export --data DIR` works off what is queued, as a process of its own: no request waits for
it. One runs at a time (a lock on the folder); one that is killed leaves its job `running`, and the next one writes
the file it was at again. Files hold ns integers: RTTs as measured, times as UTC ns.
"""

import argparse
import fcntl
import hashlib
import os
import shutil
import sys
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

import msgspec

from nettrace.errors import NetTraceError, StoreError
from nettrace.hub.open import open_reader, writer
from nettrace.hub.place import Data
from nettrace.model.instant import NS_PER_S, Instant, rfc3339
from nettrace.model.target import Series
from nettrace.store.port import QUANTILES, Choice, StoreReader, StoreWriter
from nettrace.store.rows import Columns, Export, ExportFile, ExportState, RawColumns, Resolution, Window

FORMS = ("parquet", "csv", "ndjson", "arrow")
KEPT_NS = 7 * 86_400 * NS_PER_S
"""How long the files of a finished export are kept."""
DAY_NS = 86_400 * NS_PER_S
_OPEN = (ExportState.QUEUED, ExportState.RUNNING)
BYTES_PER_ROW = {"parquet": 40, "csv": 160, "ndjson": 420, "arrow": 200}
"""What a raw round takes, for previews only."""

Page = dict[str, list[Any]]
"""Rows of a file as columns."""


@cache
def _arrow() -> Any:
    for part in ("csv", "parquet"):
        import_module(f"pyarrow.{part}")
    return import_module("pyarrow")


@cache
def raw_schema() -> Any:
    """The columns of raw rounds."""
    pa = _arrow()
    ns, number, text = pa.int64(), pa.int32(), pa.string()
    return pa.schema(
        [
            ("id", text), ("target", text), ("vantage", text), ("endpoint", text), ("method", text), ("due_ns", ns),
            ("at_ns", ns), ("outcome", text), ("reason", text), ("address", text), ("sent", number),
            ("received", number), ("not_measured", number), ("rtt_ns", ns), ("min_ns", ns), ("max_ns", ns),
            ("error_ns", ns), ("grade", text), ("samples_ns", pa.list_(ns)), ("dns_ns", ns), ("connect_ns", ns),
            ("tls_ns", ns), ("ttfb_ns", ns), ("total_ns", ns), ("status", number), ("tls_version", text),
            ("server_hints", text), ("route", text), ("hop_count", number), ("stored_at_ns", ns),
        ]
    )  # fmt: skip


@cache
def bucket_schema() -> Any:
    """The columns of buckets."""
    pa = _arrow()
    ns, number, text = pa.int64(), pa.int32(), pa.string()
    return pa.schema(
        [
            ("target", text), ("vantage", text), ("endpoint", text), ("method", text), ("start_ns", ns),
            ("rounds", number), ("measured", number), ("failed", number), ("not_measured", number), ("sent", number),
            ("received", number), ("min_ns", ns), ("mean_ns", ns), ("max_ns", ns), ("p5_ns", ns), ("p25_ns", ns),
            ("p50_ns", ns), ("p75_ns", ns), ("p95_ns", ns), ("p99_ns", ns),
        ]
    )  # fmt: skip


_RAW_FIELDS = (
    "id", "at", "outcome", "reason", "address", "sent", "received", "not_measured", "rtt_ns", "min_ns", "max_ns",
    "error_ns", "grade", "samples_ns", "stages_ns", "status", "tls_version", "server_hints", "route", "hop_count", "stored_at",
)  # fmt: skip
_STAGES = ("dns", "connect", "tls", "ttfb", "total")


def raw_page(rounds: RawColumns) -> Page:
    """Rounds as columns of a file."""
    stages = {
        f"{stage}_ns": [each.get(stage) for each in rounds.stages_ns] if any(rounds.stages_ns) else [None] * len(rounds.due)
        for stage in _STAGES
    }  # fmt: skip
    return {
        "id": rounds.id, **_names(rounds.series), "due_ns": rounds.due, "at_ns": rounds.at,
        "outcome": rounds.outcome, "reason": rounds.reason, "address": rounds.address, "sent": rounds.sent,
        "received": rounds.received, "not_measured": rounds.not_measured, "rtt_ns": rounds.rtt_ns,
        "min_ns": rounds.min_ns, "max_ns": rounds.max_ns, "error_ns": rounds.error_ns, "grade": rounds.grade,
        "samples_ns": rounds.samples_ns, **stages, "status": rounds.status, "tls_version": rounds.tls_version,
        "server_hints": [msgspec.json.encode(each).decode() if each else None for each in rounds.server_hints],
        "route": rounds.route, "hop_count": rounds.hop_count, "stored_at_ns": rounds.stored_at,
    }  # fmt: skip


def bucket_page(columns: Columns) -> Page:
    """Buckets as columns of a file."""
    return {
        **_names([columns.series] * len(columns.start)), "start_ns": columns.start, "rounds": columns.rounds,
        "measured": columns.measured, "failed": columns.failed, "not_measured": columns.not_measured,
        "sent": columns.sent, "received": columns.received, "min_ns": columns.min_ns, "mean_ns": columns.mean_ns,
        "max_ns": columns.max_ns, **{f"{name}_ns": values for name, values in columns.quantiles_ns.items()},
    }  # fmt: skip


def _names(series: list[Series]) -> Page:
    return {
        "target": [each.target for each in series], "vantage": [each.vantage for each in series],
        "endpoint": [each.endpoint for each in series], "method": [each.method.value for each in series],
    }  # fmt: skip


def days(window: Window) -> Iterator[Window]:
    """The window cut at UTC midnights.

    >>> [(day.start, day.end) for day in days(Window(DAY_NS - 5, DAY_NS + 5))] == [(DAY_NS - 5, DAY_NS), (DAY_NS, DAY_NS + 5)]
    True
    """
    start = window.start
    while start < window.end:
        end = min(window.end, (start // DAY_NS + 1) * DAY_NS)
        yield Window(start, end)
        start = end


def pages(reader: StoreReader, export: Export, window: Window) -> Iterator[Page]:
    """The rows of a window in pages; memory stays bounded. Nothing stored after the export was asked for."""
    choice = Choice(
        targets=export.targets, vantages=export.vantages, methods=tuple(each.value for each in export.methods)
    )
    if export.resolution is Resolution.RAW:
        for found in reader.raw_scan(choice, window, fields=_RAW_FIELDS, as_of=export.created_at):
            yield raw_page(found)
        return
    for columns in reader.history(choice, window, export.resolution, QUANTILES):
        yield bucket_page(columns)


class Sink(Protocol):
    """Where rows go."""

    def write(self, page: Page) -> None:
        """Append rows, given as columns."""
        ...

    def close(self) -> None:
        """Finish the file."""
        ...


class _Arrow:
    """Parquet, Arrow IPC or CSV."""

    def __init__(self, file: Any, form: str, schema: Any) -> None:
        pa = _arrow()
        self._flat = form == "csv"
        self._schema = schema
        self._shown = _flattened(schema) if self._flat else schema
        if form == "parquet":
            self._writer = pa.parquet.ParquetWriter(file, schema, compression="zstd")
        elif form == "arrow":
            self._writer = pa.ipc.new_file(file, schema)
        else:
            self._writer = pa.csv.CSVWriter(file, self._shown)

    def write(self, page: Page) -> None:
        if self._flat and "samples_ns" in page:
            page = page | {"samples_ns": [msgspec.json.encode(each).decode() for each in page["samples_ns"]]}
        self._writer.write_table(_arrow().Table.from_pydict(page, schema=self._shown))

    def close(self) -> None:
        self._writer.close()


class _Lines:
    """One JSON object a line."""

    def __init__(self, file: Any) -> None:
        self._file = file
        self._encode = msgspec.json.Encoder().encode_lines

    def write(self, page: Page) -> None:
        rows = zip(*page.values(), strict=True)
        self._file.write(self._encode([dict(zip(page, row, strict=True)) for row in rows]))

    def close(self) -> None:
        self._file.flush()


def sink(file: Any, form: str, resolution: Resolution) -> Sink:
    """A writer of rows in this form to an open binary file."""
    if form == "ndjson":
        return _Lines(file)
    return _Arrow(file, form, raw_schema() if resolution is Resolution.RAW else bucket_schema())


def _flattened(schema: Any) -> Any:
    pa = _arrow()
    return pa.schema(
        [pa.field(each.name, pa.string() if pa.types.is_nested(each.type) else each.type) for each in schema]
    )


class _Hashing:
    """A file that knows its SHA-256 and length."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb")
        self.sha = hashlib.sha256()
        self.bytes = 0
        self.closed = False

    def write(self, data: Any) -> int:
        view = memoryview(data).cast("B")
        self.sha.update(view)
        self.bytes += len(view)
        self._file.write(view)
        return len(view)

    def tell(self) -> int:
        return self.bytes

    def flush(self) -> None:
        self._file.flush()

    def writable(self) -> bool:
        return True

    def readable(self) -> bool:
        return False

    def seekable(self) -> bool:
        return False

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()


def write_day(reader: StoreReader, export: Export, window: Window, folder: Path) -> ExportFile | None:
    """Write one day's file under its final name when it is complete; None when there is nothing in it."""
    name = f"nettrace-{rfc3339(window.start)[:10]}.{export.form}"
    part = folder / f"{name}.part"
    file = _Hashing(part)
    rows = 0
    try:
        out = sink(file, export.form, export.resolution)
        for page in pages(reader, export, window):
            rows += len(page["target"])
            out.write(page)
        out.close()
    finally:
        file.close()
    if rows == 0:
        part.unlink()
        return None
    part.rename(folder / name)
    return ExportFile(
        name=name,
        bytes=file.bytes,
        rows=rows,
        sha256=file.sha.hexdigest(),
        start=window.start,
        end=window.end,
    )


def run(
    reader: StoreReader, store: StoreWriter, export: Export, folder: Path, now: Callable[[], Instant]
) -> Export:
    """Do the job and say so in the store after each file; a failure is written down, not raised."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        done: tuple[ExportFile, ...] = ()
        export = _noted(store, export, state=ExportState.RUNNING, files=())
        for window in days(export.window):
            made = write_day(reader, export, window, folder)
            if made is not None:
                done = (*done, made)
                export = _noted(store, export, files=done)
        manifest = msgspec.json.encode({"export": export.id, "files": done})
        (folder / "manifest.json").write_bytes(msgspec.json.format(manifest, indent=1))
        return _noted(store, export, state=ExportState.DONE, finished_at=now())
    except (OSError, StoreError) as error:
        shutil.rmtree(folder, ignore_errors=True)
        return _noted(
            store, export, state=ExportState.FAILED, finished_at=now(), problem=str(error), files=()
        )


def _noted(store: StoreWriter, export: Export, **changes: Any) -> Export:
    changed = msgspec.structs.replace(export, **changes)
    store.put_export(changed)
    return changed


def waiting(exports: Sequence[Export], now: Instant) -> bool:
    """Whether there is anything to do: a job, or files that are kept no longer."""
    return any(each.state in _OPEN or expired(each, now) for each in exports)


def expired(export: Export, now: Instant) -> bool:
    """Whether an export's files are kept no longer."""
    return (
        export.state is ExportState.DONE
        and export.finished_at is not None
        and now > export.finished_at + KEPT_NS
    )


def work(data: Data, now: Callable[[], Instant]) -> int:
    """Do what is queued, the oldest first, until nothing is; how many jobs. 0 at once when another process does it."""
    data.exports.mkdir(parents=True, exist_ok=True)
    with _alone(data.exports / "lock") as alone:
        if not alone:
            return 0
        done = 0
        with writer(data) as store:
            reader = open_reader(data)
            try:
                while (export := _next(reader.exports(), now())) is not None:
                    folder = data.exports / export.id
                    if export.state in _OPEN:
                        run(reader, store, export, folder, now)
                    else:
                        shutil.rmtree(folder, ignore_errors=True)
                        _noted(store, export, state=ExportState.EXPIRED, files=())
                    done += 1
            finally:
                reader.close()
        return done


def _next(exports: Sequence[Export], now: Instant) -> Export | None:
    todo = [each for each in exports if each.state in _OPEN or expired(each, now)]
    return min(todo, key=lambda each: (each.created_at, each.id), default=None)


@contextmanager
def _alone(path: Path) -> Generator[bool]:
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield True
    except BlockingIOError:
        yield False
    finally:
        os.close(file)


def main(words: Sequence[str] | None = None) -> int:
    """Work off the queue and end."""
    parser = argparse.ArgumentParser(prog="python -m nettrace.hub.export", description=__doc__)
    parser.add_argument("--data", required=True, metavar="DIR")
    given = parser.parse_args(words)
    os.nice(10)
    try:
        work(Data(given.data), time.time_ns)
    except NetTraceError as error:
        sys.stderr.write(f"nettrace export: {error}\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
