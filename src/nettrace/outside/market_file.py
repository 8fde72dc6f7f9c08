"""Other people's market data from files: bars, trades or quotes, as CSV (plain, .gz) or Parquet, one row at a time.

What a file does not say must be said for it: the zone of local times, the unit of numbers, whether a bar is stamped
where it begins or where it ends (that is a bar's worth of look-ahead). A row that cannot be right is skipped and reported.
"""

import csv
import gzip
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from importlib import import_module
from itertools import chain
from math import isfinite, isnan, nan
from pathlib import Path
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from nettrace.analysis.market.bars import Bars, Builder, bars_of
from nettrace.errors import Invalid, MissingExtra, SourceError
from nettrace.model.instant import NS_PER_S, Instant
from nettrace.runtime.named_file import unreadable

KINDS = ("bars", "trades", "quotes")
UNITS = {"s": NS_PER_S, "ms": 1_000_000, "us": 1000, "ns": 1}
_TIMES = ("time", "timestamp", "datetime", "date", "at", "t", "open_time", "ts", "due_ns")
_NAMES: dict[str, dict[str, tuple[str, ...]]] = {
    "bars": {
        "open": ("open", "o"), "high": ("high", "h"), "low": ("low", "l"), "close": ("close", "c"),
        "volume": ("volume", "vol", "v", "amount"), "spread": ("spread",),
    },
    "trades": {"price": ("price", "p"), "amount": ("amount", "size", "quantity", "qty", "volume", "q")},
    "quotes": {
        "bid": ("bid", "bid_price", "bidprice", "best_bid", "b"), "ask": ("ask", "ask_price", "askprice", "best_ask", "a"),
    },
}  # fmt: skip
_OPTIONAL = {"volume", "spread"}
_KEPT = 20
"""So many skipped rows are told one by one."""


class SkippedRow(NamedTuple):
    """A row that cannot be right, by its number from 1, the header counted."""

    row: int
    why: str


@dataclass
class Reading:
    """What came of a file."""

    rows: int = 0
    replaced: int = 0
    skipped: int = 0
    told: list[SkippedRow] = field(default_factory=list[SkippedRow])

    def skip(self, row: int, why: str) -> None:
        """Count a row that was not understood; the first twenty are told."""
        self.skipped += 1
        if len(self.told) < _KEPT:
            self.told.append(SkippedRow(row, why))


@dataclass(frozen=True)
class Layout:
    """What a file's columns mean.

    Attributes:
        kind: one of `KINDS`.
        columns: names of its columns where it has no header.
        time: the column of the time; found by itself when it has a usual name.
        unit: of numeric times (`UNITS`); None: by their size.
        zone: of times that name none; None refuses such times.
        midnight: a day, where times count from its midnight.
        ends: a bar is stamped where it ends.
        step_ns: how long a bar is; trades and quotes become bars of it.
    """

    kind: str = "bars"
    columns: Sequence[str] = ()
    time: str | None = None
    unit: str | None = None
    zone: str | None = None
    midnight: date | None = None
    ends: bool = False
    step_ns: int = 60 * NS_PER_S


class Wrong(Exception):
    """A row that cannot be right."""


def read_market(path: Path, layout: Layout) -> tuple[Bars, Reading]:
    """The bars of a file, and what was skipped.

    Raises:
        SourceError: the file cannot be read, or not one row of it is understood.
        Invalid: a column or zone that is not there.
    """
    rows = _parquet(path) if path.suffix == ".parquet" else _csv(path, layout.columns)
    reading = Reading()
    try:
        bars = _read(rows, layout, reading)
    except (OSError, EOFError, zlib.error, UnicodeDecodeError, csv.Error) as problem:
        raise SourceError(f"{path} cannot be read ({problem})", "Give CSV, CSV.gz or Parquet") from None
    if not len(bars):
        first = f"; row {reading.told[0].row}: {reading.told[0].why}" if reading.told else ""
        raise SourceError(f"not one row of {path} was understood{first}", "nettrace market import --help")
    return bars, reading


def _read(rows: Iterator[tuple[int, dict[str, Any]]], layout: Layout, reading: Reading) -> Bars:
    if layout.kind not in KINDS:
        raise Invalid(f"unknown kind '{layout.kind}'", f"There are {', '.join(KINDS)}")
    numbered = iter(rows)
    first = next(numbered, None)
    if first is None:
        return bars_of((), layout.step_ns)[0]
    time, columns = _columns(list(first[1]), layout)
    instant = clock(layout)

    def each() -> Iterator[tuple[Instant, dict[str, float]]]:
        for number, row in chain((first,), numbered):
            try:
                at = instant(row.get(time))
                values = {
                    name: _number(row.get(column), optional=name in _OPTIONAL)
                    for name, column in columns.items()
                }
                _check(values)
            except Wrong as problem:
                reading.skip(number, str(problem))
                continue
            reading.rows += 1
            yield at, values

    if layout.kind == "bars":
        shift = layout.step_ns if layout.ends else 0
        bars, reading.replaced = bars_of(((at - shift, row) for at, row in each()), layout.step_ns)
        return bars
    builder = Builder(layout.step_ns)
    for at, row in each():
        if layout.kind == "trades":
            builder.trade(at, row["price"], row["amount"])
        else:
            builder.quote(at, row["bid"], row["ask"])
    return builder.bars()


def _columns(names: list[str], layout: Layout) -> tuple[str, dict[str, str]]:
    """The time's column and those of the kind, by their usual names whatever their case."""
    known = {name.strip().lower(): name for name in reversed(names)}
    there = f"The file has {', '.join(names[:20])}"
    wanted = (layout.time.lower(),) if layout.time else _TIMES
    time = next((known[name] for name in wanted if name in known), None)
    if time is None:
        raise Invalid(f"no column of times ({', '.join(wanted)})", f"{there}; name it with --time")
    found: dict[str, str] = {}
    for name, usual in _NAMES[layout.kind].items():
        column = next((known[each] for each in usual if each in known), None)
        if column is not None:
            found[name] = column
        elif name not in _OPTIONAL:
            raise Invalid(
                f"{layout.kind} need a column '{name}'", f"{there}; without a header give --columns"
            )
    return time, found


def _number(text: object, *, optional: bool) -> float:
    if text is None or text == "":
        if optional:
            return nan
        raise Wrong("a value is missing")
    try:
        value = float(str(text))
    except ValueError:
        raise Wrong(f"{str(text)[:40]!r} is no number") from None
    if not isfinite(value):
        if optional and isnan(value):
            return nan
        raise Wrong(f"{str(text)[:40]!r} is no finite number")
    return value


def _check(row: dict[str, float]) -> None:
    """Refuse what no market prints."""
    for name, value in row.items():
        if name in ("volume", "spread"):
            if value < 0:
                raise Wrong(f"{name} {value:g} is below 0")
        elif value <= 0:
            raise Wrong(f"{name} {value:g} is not above 0")
    if "high" in row and not (
        row["low"] <= min(row["open"], row["close"]) and max(row["open"], row["close"]) <= row["high"]
    ):
        raise Wrong("open or close lies outside low and high")
    if "ask" in row and row["ask"] < row["bid"]:
        raise Wrong(f"ask {row['ask']:g} is below bid {row['bid']:g}")


def clock(layout: Layout) -> Callable[[object], Instant]:
    """A function from a cell to an instant; it raises `Wrong`.

    >>> clock(Layout(unit="ms"))("1640995200000")
    1640995200000000000
    >>> clock(Layout(zone="America/New_York"))("2022-01-03 09:30:00")
    1641220200000000000
    """
    if layout.unit is not None and layout.unit not in UNITS:
        raise Invalid(f"unknown unit '{layout.unit}'", f"There are {', '.join(UNITS)}")
    try:
        zone = None if layout.zone is None else UTC if layout.zone.upper() == "UTC" else ZoneInfo(layout.zone)
    except (KeyError, ValueError, OSError):
        raise Invalid(
            f"unknown time zone '{layout.zone}'", "Write UTC or a name as America/New_York"
        ) from None
    midnight = None
    if layout.midnight is not None:
        day = layout.midnight
        midnight = int(datetime(day.year, day.month, day.day, tzinfo=zone or UTC).timestamp()) * NS_PER_S

    def instant(cell: object) -> Instant:
        if isinstance(cell, datetime):
            return _local(cell, zone)
        text = str(cell).strip() if cell is not None else ""
        if text.lstrip("-").replace(".", "", 1).isdigit():
            return _counted(text, layout.unit, midnight)
        try:
            return _local(datetime.fromisoformat(text), zone)
        except ValueError:
            raise Wrong(f"{text[:40]!r} is no time") from None

    return instant


def _counted(text: str, unit: str | None, midnight: Instant | None) -> Instant:
    """A number as an instant, exactly: nanoseconds do not fit a float."""
    whole, _, part = text.partition(".")
    if unit is None:
        if midnight is not None:
            raise Wrong(f"{text} counts from midnight, but in what? Give --unit")
        digits = len(whole.lstrip("-"))
        unit = "s" if digits <= 10 else "ms" if digits <= 13 else "us" if digits <= 16 else "ns"
    scale = UNITS[unit]
    return int(whole) * scale + (round(float(f"0.{part}") * scale) if part else 0) + (midnight or 0)


def _local(moment: datetime, zone: ZoneInfo | Any | None) -> Instant:
    if moment.tzinfo is None:
        if zone is None:
            raise Wrong(f"{moment} names no time zone; give --zone")
        moment = moment.replace(tzinfo=zone)
        if moment.utcoffset() != moment.replace(fold=1).utcoffset():
            raise Wrong(f"{moment.replace(tzinfo=None)} is twice or never in {zone}")
    since = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return since // timedelta(microseconds=1) * 1000


def _csv(path: Path, columns: Sequence[str]) -> Iterator[tuple[int, dict[str, Any]]]:
    """Rows by their number; cells by the header's names, or by `columns` where there is no header."""
    try:
        with gzip.open(path, "rt", encoding="utf-8-sig", newline="") if path.suffix == ".gz" else path.open(encoding="utf-8-sig", newline="") as file:  # fmt: skip
            sample = file.readline()
            file.seek(0)
            separator = max(",;\t", key=sample.count)
            names = list(columns)
            for number, cells in enumerate(csv.reader(file, delimiter=separator), 1):
                if not cells or cells[0].startswith("#"):
                    continue
                if not names:
                    names = cells
                    continue
                yield number, dict(zip(names, cells, strict=False))
    except OSError as problem:
        raise unreadable(str(path), problem, error=SourceError) from None


def _parquet(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    try:
        parquet: Any = import_module("pyarrow.parquet")
        errors: Any = import_module("pyarrow").ArrowException
    except ImportError:
        raise MissingExtra("hub", "reading Parquet") from None
    try:
        number = 0
        for batch in parquet.ParquetFile(path).iter_batches(batch_size=20_000):
            names = batch.schema.names
            for cells in zip(*(column.to_pylist() for column in batch.columns), strict=True):
                number += 1
                yield number, dict(zip(names, cells, strict=True))
    except (OSError, errors) as problem:
        raise SourceError(f"{path} cannot be read ({problem})", "Give CSV, CSV.gz or Parquet") from None
