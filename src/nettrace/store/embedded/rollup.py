"""Rollups: rows of `rollup` for each quarter of an hour, hour and day, made again from the rounds, never counted up.

`dirty` names each (hour, series) whose rounds are not, or not all, in rollups. An hour is rolled up when it is over,
and again when a late round touches it; a day when it is over, from its hours. Making them twice gives the same rows.

Quarters, hours and days that are over are filed in sheets (`sheet`). One that is made again is a row once more, which
counts before the sheet it is filed in later.
"""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import msgspec
import numpy as np

from nettrace.model.instant import NS_PER_S, Instant
from nettrace.store.embedded import sheet, tally
from nettrace.store.embedded.database import Connection, transaction, value
from nettrace.store.embedded.raw import COUNTED, Counted, Raw, dirty_counted, joined, table_counted
from nettrace.store.embedded.schema import NS_PER_DAY, NS_PER_HOUR
from nettrace.store.embedded.segments import read_segment
from nettrace.store.embedded.tally import Tally

QUARTER_S, HOUR_S, DAY_S = 900, 3_600, 86_400
RAW_S = 0
"""Stands for single rounds where steps are told apart."""

STEPS = (QUARTER_S, HOUR_S, DAY_S)

ROWS_AT_ONCE, SHEETS_AT_ONCE = 50_000, 2_000

PAIRS = 200
"""(hour, series) pairs rolled up in one transaction: some 20 ms."""

FILED_AT_ONCE, FILED_ROWS = 8, 600
"""Series filed in one transaction, and rows of each: some 20 ms."""

SPARSE_ROUNDS = 4
"""An hour with no more rounds than this has no quarters: they would hold a round each and take more room than it."""

GRACE_NS = 60 * NS_PER_S
"""An hour is rolled up this long after its end: by then nodes have reported it."""

_ROWS = (
    f"SELECT {tally.ROLLUP_COLUMNS} FROM json_each(?) j CROSS JOIN rollup r "  # noqa: S608 - own words
    "ON r.series = j.value AND r.step = ? AND r.start >= ? AND r.start < ?"
)
_PUT = "INSERT OR REPLACE INTO rollup VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"


def put(connection: Connection, made: Tally, step: int) -> None:
    """Store buckets of `step` seconds, in place of those that were there."""
    connection.executemany(_PUT, tally.rows_of(made, step))


def fetch(connection: Connection, series: list[int], step: int, start: int, end: int) -> Tally:
    """Stored buckets of `step` seconds of these series that begin in [start, end), in seconds."""
    return tally.joined(fetch_parts(connection, series, step, start, end))


def fetch_parts(connection: Connection, series: list[int], step: int, start: int, end: int) -> list[Tally]:
    """The same in several parts: what some of them have ready needs no decoding of others."""
    filed, more = sheet.fetch(connection, series, step, start, end)
    if not more:
        return filed
    key = (msgspec.json.encode(series).decode(), step, start, end)
    rows = tally.of_rows(list(connection.execute(_ROWS, key)))
    parts = [*(sheet.without(each, rows) for each in filed), rows]
    return [each for each in parts if len(each.series)]


def all_of(connection: Connection) -> Iterator[tuple[int, Tally]]:
    """Every stored bucket once, some thousand at a time, each lot with its step."""
    for step in STEPS:
        rows = connection.execute(f"SELECT {tally.ROLLUP_COLUMNS} FROM rollup r WHERE r.step = ?", (step,))  # noqa: S608
        while some := list(islice(rows, ROWS_AT_ONCE)):
            yield step, tally.of_rows(some)
        sheets = connection.execute(
            "SELECT id, body FROM sheet WHERE id >= ? AND id < ? ORDER BY id",
            (sheet.sheet_id(step, 0), sheet.sheet_id(step, 0, 1 << 56)),
        )
        while lot := list(islice(sheets, SHEETS_AT_ONCE)):
            made = sheet.decode(lot, step)
            begun = (step, int(made.start.min()), int(made.start.max()))
            newer = list(
                connection.execute(
                    f"SELECT {tally.ROLLUP_COLUMNS} FROM rollup r WHERE r.step = ? AND r.start >= ? AND r.start <= ?",  # noqa: S608
                    begun,
                )
            )
            yield step, sheet.without(made, tally.of_rows(newer))


def worthwhile(quarters: Tally, hours: Tally) -> Tally:
    """The quarters of hours that have more than a round in each."""
    dense = hours.rounds > SPARSE_ROUNDS
    keys = hours.start[dense] << 32 | hours.series[dense]
    return quarters.kept(np.isin(quarters.start // HOUR_S * HOUR_S << 32 | quarters.series, keys))


def sparse(connection: Connection, series: list[int], start: int, end: int) -> dict[int, set[int]]:
    """Which series have no quarters though they have rounds, by hour since 1970; `start`, `end` in s."""
    found: dict[int, set[int]] = {}
    hours = fetch(connection, series, HOUR_S, start // HOUR_S * HOUR_S, end)
    few = np.flatnonzero(hours.rounds <= SPARSE_ROUNDS)
    for number, begin in zip(hours.series[few].tolist(), hours.start[few].tolist(), strict=True):
        found.setdefault(begin // HOUR_S, set()).add(number)
    return found


def floor_s(connection: Connection, step: int) -> int:
    """What is of this step and begins before this (s since 1970) may have been forgotten."""
    return int(value(connection, "SELECT value FROM meta WHERE name = ?", (f"rollup_floor_{step}",)) or 0)


def set_floor(connection: Connection, step: int, start: int) -> None:
    """Note that what is of a step is kept from here on."""
    connection.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (f"rollup_floor_{step}", start))


class Filer:
    """Puts the rollups of days that are over from their rows into sheets, a slice at a time."""

    def __init__(self, connection: Connection, path: Path) -> None:
        """`path` is the database's, for what errors say."""
        self._connection = connection
        self._path = path
        self._waiting: list[tuple[int, int]] | None = None

    def slice(self, now: Instant, _budget_s: float = 0.0) -> bool:
        """File what a few series have; True when more waits."""
        limit = (now - GRACE_NS) // NS_PER_DAY * DAY_S
        if self._waiting is None:
            filed = value(self._connection, "SELECT value FROM meta WHERE name = 'filed_before'")
            if filed is not None and int(filed) >= limit:
                return False
            series = [
                int(number) for (number,) in self._connection.execute("SELECT id FROM series ORDER BY id")
            ]
            self._waiting = [(step, number) for step in (DAY_S, HOUR_S, QUARTER_S) for number in series][::-1]
        with transaction(self._connection, self._path):
            for _ in range(min(FILED_AT_ONCE, len(self._waiting))):
                if not self._file(*self._waiting[-1], limit):
                    self._waiting.pop()
            if self._waiting:
                return True
            self._connection.execute("INSERT OR REPLACE INTO meta VALUES ('filed_before', ?)", (limit,))
        self._waiting = None
        return False

    def _file(self, step: int, series: int, limit: int) -> bool:
        """File the oldest rows of a series; True when there may be more."""
        key = (series, step, limit)
        rows = tally.of_rows(
            list(
                self._connection.execute(
                    f"SELECT {tally.ROLLUP_COLUMNS} FROM rollup r WHERE series = ? AND step = ? AND start < ? "  # noqa: S608
                    f"ORDER BY start LIMIT {FILED_ROWS}",
                    key,
                )
            )
        )
        if not len(rows.series):
            return False
        sheet.put(self._connection, rows, step)
        self._connection.execute(
            "DELETE FROM rollup WHERE series = ? AND step = ? AND start <= ?",
            (series, step, int(rows.start[-1])),
        )
        return len(rows.series) == FILED_ROWS


class Roller:
    """Makes rollups of a data folder, a slice at a time."""

    def __init__(self, connection: Connection, path: Path, segments: Path) -> None:
        """`path` is the database's, for what errors say."""
        self._connection = connection
        self._path = path
        self._raw = Raw(connection, segments)

    def slice(self, now: Instant, _budget_s: float = 0.0) -> bool:
        """Roll up some hours that are over; True when more wait."""
        over = (now - GRACE_NS) // NS_PER_HOUR  # the hour that is not
        pairs = [
            (int(hour), int(series))
            for hour, series in self._connection.execute(
                "SELECT hour, series FROM dirty WHERE hour < ? ORDER BY hour, series LIMIT ?", (over, PAIRS)
            )
        ]
        if not pairs:
            return self._close_days(now)
        day = pairs[0][0] // 24  # one day at a time: its sealed file is read once
        pairs = [pair for pair in pairs if pair[0] // 24 == day]
        with transaction(self._connection, self._path):
            self._roll(pairs, now)
        return True

    def _roll(self, pairs: list[tuple[int, int]], now: Instant) -> None:
        # What is older than the finest rollup that is still whole cannot be made again from what is left: it stays.
        floor_hour = max(floor_s(self._connection, step) for step in (HOUR_S, RAW_S)) // HOUR_S
        made = self.quarters([pair for pair in pairs if pair[0] >= floor_hour])
        hours = made.merged(made.start // HOUR_S * HOUR_S)
        put(self._connection, worthwhile(made, hours), QUARTER_S)
        put(self._connection, hours, HOUR_S)
        self._connection.executemany("DELETE FROM dirty WHERE hour = ? AND series = ?", pairs)
        day = pairs[0][0] // 24
        if self._is_over(day, now) and day * 24 >= floor_hour:
            self._close(day, sorted({series for _, series in pairs}))

    def quarters(self, pairs: list[tuple[int, int]]) -> Tally:
        """Quarter-hour buckets of these (hour, series), from every round stored."""
        parts = [dirty_counted(self._connection, pairs)]
        if pairs:
            parts[:0] = self._sealed(pairs)
        counted = joined(parts)
        return tally.of_rounds(counted, counted.due // (QUARTER_S * NS_PER_S) * QUARTER_S)

    def _sealed(self, pairs: list[tuple[int, int]]) -> list[Counted]:
        low, high = min(hour for hour, _ in pairs), max(hour for hour, _ in pairs) + 1
        series = np.unique(np.array([number for _, number in pairs], np.int64))
        wanted = np.array([hour * 2**32 + number for hour, number in pairs], np.int64)
        parts: list[Counted] = []
        for _, path in self._raw.days(low * NS_PER_HOUR, high * NS_PER_HOUR):
            table = read_segment(path, series, low * NS_PER_HOUR, high * NS_PER_HOUR, COUNTED)
            found = table_counted(table)
            parts.append(found.kept(np.isin(found.due // NS_PER_HOUR * 2**32 + found.series, wanted)))
        return parts

    def _is_over(self, day: int, now: Instant) -> bool:
        return (day + 1) * 24 <= (now - GRACE_NS) // NS_PER_HOUR

    def _close(self, day: int, series: list[int]) -> int:
        """Make the day's buckets of these series from their hours; how many hours there were."""
        hours = fetch(self._connection, series, HOUR_S, day * DAY_S, (day + 1) * DAY_S)
        put(self._connection, hours.merged(hours.start // DAY_S * DAY_S), DAY_S)
        return len(hours.series)

    def _close_days(self, now: Instant) -> bool:
        """Make day buckets of the days that have ended since the last time, for series that were silent at the end."""
        today = (now - GRACE_NS) // NS_PER_HOUR // 24
        closed = value(self._connection, "SELECT value FROM meta WHERE name = 'days_closed'")
        if closed is not None and closed >= today:
            return False
        if closed is None:
            first = value(self._connection, "SELECT min(start) FROM rollup WHERE step = ?", (HOUR_S,))
            closed = today if first is None else first // DAY_S
        series = [number for (number,) in self._connection.execute("SELECT id FROM series")]
        with transaction(self._connection, self._path):
            while closed < today:
                closed += 1
                if self._close(closed - 1, series):
                    break
            self._connection.execute("INSERT OR REPLACE INTO meta VALUES ('days_closed', ?)", (closed,))
        return closed < today
