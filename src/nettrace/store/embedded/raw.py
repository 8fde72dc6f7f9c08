"""Stored rounds as columns, hot rows and sealed days alike, each round once."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from nettrace.model.instant import NS_PER_MS, Instant
from nettrace.store.embedded.arrow import Table
from nettrace.store.embedded.database import Connection
from nettrace.store.embedded.samples import unpack_many
from nettrace.store.embedded.schema import NS_PER_DAY, OUTCOMES
from nettrace.store.embedded.segments import read_segment, samples_of, whole
from nettrace.store.embedded.slot import SOUGHT, sought

Ints = npt.NDArray[np.int64]

COUNTED = ("outcome", "sent", "received", "rtt_ns", "samples_ns")
"""What counting needs of a sealed day's columns; what `as_of` asks by is read only for it."""

_OUTCOME_CODE = {str(outcome): code for code, outcome in enumerate(OUTCOMES)}


class Counted(NamedTuple):
    """What is counted of rounds: parallel arrays by round, and every answered sample with the place of its round."""

    series: Ints
    due: Ints
    stored_at: Ints
    outcome: Ints
    sent: Ints
    received: Ints
    samples: Ints
    owners: Ints

    def kept(self, places: npt.NDArray[np.bool_]) -> "Counted":
        """Those rounds alone."""
        if places.all():
            return self
        number = np.cumsum(places) - 1
        mine = places[self.owners]
        return Counted._make(
            [*(each[places] for each in self[:6]), self.samples[mine], number[self.owners[mine]]]
        )


def nothing() -> Counted:
    """No rounds at all."""
    empty = np.empty(0, np.int64)
    return Counted._make([empty] * 8)


def joined(parts: Sequence[Counted]) -> Counted:
    """All of them; of two rounds with one series and due the first one."""
    held = [part for part in parts if len(part.series)]
    if len(held) < 2:
        return held[0] if held else nothing()
    shifts = np.cumsum([0, *(len(part.series) for part in held[:-1])])
    owners = [part.owners + shift for part, shift in zip(held, shifts, strict=True)]
    columns = [np.concatenate(column) for column in zip(*(part[:7] for part in held), strict=True)]
    whole_of = Counted._make([*columns, np.concatenate(owners)])
    order = np.lexsort((whole_of.due, whole_of.series))  # stable: the first part's round stays first
    series, due = whole_of.series[order], whole_of.due[order]
    again = np.zeros(len(order), bool)
    again[order[1:]] = (series[1:] == series[:-1]) & (due[1:] == due[:-1])
    return whole_of.kept(~again)


def hot_counted(connection: Connection, series: Sequence[int], start: Instant, end: Instant) -> Counted:
    """Hot rounds of these series due in [start, end)."""
    return _counted_rows(
        connection.execute(
            "SELECT r.series, r.due, r.stored, r.outcome, r.sent, r.received, r.rtt_ns, r.samples "  # noqa: S608
            f"FROM {SOUGHT}",
            sought(connection, series, start, end),
        )
    )


def dirty_counted(connection: Connection, pairs: Sequence[tuple[int, int]]) -> Counted:
    """Hot rounds of these (hour, series) pairs."""
    return _counted_rows(
        connection.execute(
            "SELECT r.series, r.due, r.stored, r.outcome, r.sent, r.received, r.rtt_ns, r.samples FROM json_each(?) j "
            "CROSS JOIN (VALUES (0), (1), (2), (3)) q "
            "CROSS JOIN round r ON r.slot = (j.value ->> 0) * 4 + q.column1 AND r.series = j.value ->> 1",
            (msgspec.json.encode(list(pairs)).decode(),),
        )
    )


def _counted_rows(rows: Iterator[tuple[Any, ...]]) -> Counted:
    held = list(rows)
    if not held:
        return nothing()
    series, due, stored, outcome, sent, received, rtt, samples = zip(*held, strict=True)
    values, sizes = unpack_many(samples, rtt)
    owners = np.repeat(np.arange(len(held)), sizes)
    answered = values >= 0
    dues = np.array(due, np.int64)
    return Counted(
        np.array(series, np.int64), dues, (dues // NS_PER_MS + np.array(stored, np.int64)) * NS_PER_MS,
        np.array(outcome, np.int64), np.array(sent, np.int64), np.array(received, np.int64),
        values[answered], owners[answered],
    )  # fmt: skip


def table_counted(table: Table) -> Counted:
    """Rounds of a sealed day's table."""
    if not table.num_rows:
        return nothing()
    stored = (
        whole(table, "stored_at") if "stored_at" in table.column_names else np.zeros(table.num_rows, np.int64)
    )
    samples, owners = samples_of(table)
    column = table.column("outcome").unify_dictionaries().combine_chunks()
    codes = np.array([_OUTCOME_CODE[word] for word in column.dictionary.to_pylist()], np.int64)
    return Counted(
        whole(table, "series"), whole(table, "due"), stored * NS_PER_MS,
        codes[column.indices.to_numpy(zero_copy_only=False)], whole(table, "sent"), whole(table, "received"),
        samples, owners,
    )  # fmt: skip


class Raw:
    """Stored rounds of a data folder as one connection sees them; a read transaction makes several reads agree."""

    def __init__(self, connection: Connection, segments: Path) -> None:
        self.connection = connection
        self.segments = segments

    def days(self, start: Instant, end: Instant) -> list[tuple[int, Path]]:
        """The sealed days that hold rounds due in [start, end), by day."""
        return [
            (day, self.segments / file)
            for day, file in self.connection.execute(
                "SELECT day, file FROM segment WHERE state = 'live' AND day >= ? AND day <= ? AND min_due < ? "
                "AND max_due >= ? ORDER BY day",
                (start // NS_PER_DAY, max(start, end - 1) // NS_PER_DAY, end, start),
            )
        ]

    def counted(
        self, series: Sequence[int], start: Instant, end: Instant, as_of: Instant | None = None
    ) -> Counted:
        """Rounds of these series due in [start, end), each once; with `as_of` those stored by then."""
        if start >= end or not series:
            return nothing()
        wanted = np.sort(np.array(series, np.int64))
        parts = [
            table_counted(
                read_segment(path, wanted, start, end, COUNTED if as_of is None else (*COUNTED, "stored_at"))
            )
            for _, path in self.days(start, end)
        ]
        parts.append(hot_counted(self.connection, series, start, end))
        found = joined(parts)
        return found if as_of is None else found.kept(found.stored_at <= as_of)
