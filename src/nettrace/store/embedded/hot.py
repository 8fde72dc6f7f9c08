"""The rounds that are still rows of `round`, found by series and due; and what a reader asks of the whole past."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from enum import Enum
from functools import lru_cache
from typing import Any, Protocol

import msgspec

from nettrace.model.instant import NS_PER_MS, NS_PER_S, Instant
from nettrace.model.target import Series
from nettrace.store.embedded.database import Connection
from nettrace.store.embedded.schema import ROUND_COLUMNS, SLOT_NS
from nettrace.store.embedded.slot import SOUGHT, bound, held_slots, sought
from nettrace.store.rows import Columns, RawColumns, Resolution, Round, Summary, Window

Rows = list[tuple[Any, ...]]
Held = dict[str, Sequence[Any]]
"""Columns of `round` by their names, as they are stored."""

BLOBS = {"samples", "stages"}
"""Columns that JSON cannot hold."""
_decode = msgspec.json.Decoder(list[Any]).decode

FIRST_SLICE_NS = 300 * NS_PER_S
ROUNDS_A_SLOT = 15
"""How many rounds a series is thought to have in a slot: one a minute."""

INSERT_ROUND = f"INSERT INTO round VALUES (?2 / {SLOT_NS}, {', '.join(f'?{place}' for place in range(1, len(ROUND_COLUMNS) + 1))})"  # noqa: S608
"""Puts a row of `ROUND_COLUMNS` where it belongs."""


class Sorting(Enum):
    """How rounds stand: by (due, series), the same backwards, or by (series, due)."""

    DUE = 0
    BACKWARDS = 1
    SERIES = 2


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """Which rounds of a choice are meant, beside their window.

    Attributes:
        fields: of `Round`, the columns that are wanted.
        limit: no more than so many; None for all.
        after: the last one already had.
    """

    fields: tuple[str, ...]
    order: Sorting = Sorting.DUE
    limit: int | None = None
    after: tuple[Instant, Series] | None = None
    as_of: Instant | None = None

    @property
    def newest_first(self) -> bool:
        """Whether the newest come first."""
        return self.order is Sorting.BACKWARDS

    def within(self, window: Window) -> Window:
        """The part of a window in which there may be any that were not had."""
        if self.after is None:
            return window
        if self.newest_first:
            return Window(window.start, min(window.end, self.after[0] + 1))
        return Window(max(window.start, self.after[0]), window.end)

    def behind(self, window: Window, name: Series) -> Window:
        """The part of a window in which rounds of this series were not had."""
        if self.after is None:
            return window
        had, other = self.after
        if self.newest_first:
            return Window(window.start, min(window.end, had + (name < other)))
        return Window(max(window.start, had + (name <= other)), window.end)

    def is_new(self, place: tuple[Instant, Series]) -> bool:
        """Whether this one was not had yet."""
        if self.after is None:
            return True
        return place < self.after if self.newest_first else place > self.after


class Past(Protocol):
    """Everything a reader asks of stored rounds. `series` is name by number; one read transaction is open."""

    def raw(self, series: Mapping[int, Series], window: Window, asked: Asked) -> RawColumns:
        """As `StoreReader.raw`."""
        ...

    def raw_scan(self, series: Mapping[int, Series], window: Window, asked: Asked) -> Iterator[RawColumns]:
        """As `StoreReader.raw_scan`."""
        ...

    def history(
        self, series: Mapping[int, Series], window: Window, resolution: Resolution, quantiles: Sequence[float],
        as_of: Instant | None = None,
    ) -> list[Columns]:  # fmt: skip
        """As `StoreReader.history`."""
        ...

    def summary(
        self,
        series: Mapping[int, Series],
        window: Window,
        quantiles: Sequence[float],
        as_of: Instant | None = None,
    ) -> list[Summary]:
        """As `StoreReader.summary`."""
        ...

    def round(self, series: int, due: Instant) -> Round | None:
        """The round of a series that was due then."""
        ...

    def requested(self, request: str, window: Window) -> list[Round]:
        """The rounds of an on-demand request by (due, series), sealed ones due within the window."""
        ...


class Hot:
    """The past as far as it lies in `round`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def held(
        self, series: Mapping[int, Series], window: Window, columns: Sequence[str], asked: Asked
    ) -> Held:
        """These columns, `series` and `due` first, in the order that is asked for; what was had is left out."""
        if len(series) == 1 and BLOBS.isdisjoint(columns):
            ((number, name),) = series.items()
            return self._one(number, asked.behind(window, name), columns[1:], asked)
        rows = self._rows(series, asked.within(window), columns, asked)
        return in_columns(columns, rows)

    def _one(self, number: int, window: Window, columns: Sequence[str], asked: Asked) -> Held:
        """One series' columns, each as one JSON array: that is cheaper than a tuple for each row."""
        lists = ", ".join(f"json_group_array({column})" for column in columns)
        sql = f"SELECT {lists} FROM (SELECT {', '.join(columns)} FROM {SOUGHT}{_known(asked)})"  # noqa: S608 - own words
        parts: list[Held] = []
        held = 0
        for slots in self._some_slots(window, asked):
            for row in self._connection.execute(sql, bound(slots, (number,), window.start, window.end)):
                part: Held = dict(zip(columns, map(_decode, row), strict=True))
                parts.append(_in_order(part, asked))
                held += len(part["due"])
            if asked.limit is not None and held >= asked.limit:
                break
        found = {
            name: list(itertools.chain.from_iterable(part[name] for part in parts))[: asked.limit]
            for name in columns
        }
        return {"series": [number] * len(found["due"]), **found}

    def _some_slots(self, window: Window, asked: Asked) -> Iterator[Sequence[int]]:
        """The slots of a window from the end that comes first, more at a time as they turn out to hold little."""
        slots = held_slots(self._connection, window.start, window.end)
        if asked.limit is None:
            yield slots
            return
        if asked.newest_first:
            slots = slots[::-1]
        at, size = 0, max(1, asked.limit // ROUNDS_A_SLOT)
        while at < len(slots):
            some = slots[at : at + size]
            yield some[::-1] if asked.newest_first else some
            at, size = at + size, size * 4

    def _rows(
        self, series: Mapping[int, Series], window: Window, columns: Sequence[str], asked: Asked
    ) -> Rows:
        if window.start >= window.end or not series:
            return []
        if asked.limit is None:
            return self._each(series, window, columns, asked)
        if len(series) == 1:
            rows: Rows = []
            for slots in self._some_slots(window, asked):
                if slots:
                    part = Window(
                        max(window.start, slots[0] * SLOT_NS), min(window.end, (slots[-1] + 1) * SLOT_NS)
                    )
                    rows += self._each(series, part, columns, asked)
                if len(rows) >= asked.limit:
                    break
            return rows[: asked.limit]
        found: list[tuple[int, Instant]] = []
        for part in self._slices(window, newest_first=asked.newest_first):
            found += [(number, due) for number, due in self._each(series, part, ("series", "due"), asked)]
            if len(found) >= asked.limit:
                break
        return self._of_keys(found[: asked.limit], columns)

    def _each(
        self, series: Mapping[int, Series], window: Window, columns: Sequence[str], asked: Asked
    ) -> Rows:
        """All of a window, in order."""
        names = ", ".join(f"r.{column}" for column in columns)
        numbers = sorted(series, key=lambda number: series[number])
        rows = list(
            self._connection.execute(
                f"SELECT {names} FROM {SOUGHT}{_known(asked)}",  # noqa: S608 - own words, values bound
                sought(self._connection, numbers, window.start, window.end),
            )
        )
        if asked.after is not None:
            rows = [row for row in rows if asked.is_new((row[1], series[row[0]]))]
        rank = {number: place for place, number in enumerate(numbers)}
        if asked.order is Sorting.SERIES:
            rows.sort(key=lambda row: (rank[row[0]], row[1]))
        else:
            rows.sort(key=lambda row: (row[1], rank[row[0]]), reverse=asked.newest_first)
        return rows

    def _of_keys(self, keys: Sequence[tuple[int, Instant]], columns: Sequence[str]) -> Rows:
        """The rows of these (series, due), in this order."""
        names = ", ".join(f"r.{column}" for column in columns)
        return list(
            self._connection.execute(
                f"SELECT {names} FROM json_each(?) j CROSS JOIN round r ON r.slot = (j.value ->> 1) / {SLOT_NS} "  # noqa: S608
                "AND r.series = j.value ->> 0 AND r.due = j.value ->> 1",
                (msgspec.json.encode(keys).decode(),),
            )
        )

    def row(self, series: int, due: Instant, columns: Sequence[str]) -> Held:
        """The row of one round, if it is here."""
        sql = f"SELECT {', '.join(columns)} FROM round WHERE slot = ? AND series = ? AND due = ?"  # noqa: S608 - own words
        return in_columns(columns, list(self._connection.execute(sql, (due // SLOT_NS, series, due))))

    def _slices(self, window: Window, *, newest_first: bool) -> Iterator[Window]:
        """The window in slices that grow, from the end that comes first."""
        first, last = self.bounds()
        start, end = max(window.start, first), min(window.end, last + 1)
        width = FIRST_SLICE_NS
        while start < end:
            if newest_first:
                middle = max(start, end - width)
                yield Window(middle, end)
                end = middle
            else:
                middle = min(end, start + width)
                yield Window(start, middle)
                start = middle
            width *= 2

    def bounds(self) -> tuple[Instant, Instant]:
        """Between which hot rounds are due, to the slot; (0, -1) without any."""
        slots = held_slots(self._connection)
        return (slots[0] * SLOT_NS, (slots[-1] + 1) * SLOT_NS - 1) if slots else (0, -1)


def in_columns(columns: Sequence[str], rows: Rows) -> Held:
    """Rows turned into columns."""
    return dict(zip(columns, zip(*rows, strict=True), strict=True)) if rows else dict.fromkeys(columns, ())


def _in_order(part: Held, asked: Asked) -> Held:
    """One series' columns by due, or backwards. They come so from the key; that they do is looked at, not believed."""
    due = part["due"]
    if list(due) != sorted(due):
        places = sorted(range(len(due)), key=due.__getitem__)
        part = {name: [column[place] for place in places] for name, column in part.items()}
    return {name: column[::-1] for name, column in part.items()} if asked.newest_first else part


def _known(asked: Asked) -> str:
    """The condition that a round was stored by then."""
    if asked.as_of is None:
        return ""
    return f" AND (r.due / {NS_PER_MS} + r.stored) * {NS_PER_MS} <= {int(asked.as_of)}"


@lru_cache(maxsize=1_000)
def quantile_name(fraction: float) -> str:
    """The key of a quantile: `p50` for 0.5.

    >>> quantile_name(0.999)
    'p99.9'
    """
    return f"p{round(fraction * 100, 6):g}"
