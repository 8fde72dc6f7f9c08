"""The rounds that are still rows of `round`, found by series and due; and what a reader asks of the whole past."""

from collections.abc import Iterator, Mapping, Sequence
from enum import Enum
from operator import itemgetter
from typing import Any, Protocol

import msgspec

from nettrace.model.instant import NS_PER_MS, NS_PER_S, Instant
from nettrace.model.target import Series
from nettrace.store.embedded.database import Connection
from nettrace.store.rows import Columns, RawColumns, Resolution, Round, Summary, Window

Rows = list[tuple[Any, ...]]
Held = dict[str, Sequence[Any]]
"""Columns of `round` by their names, as they are stored."""

BLOBS = {"samples", "stages"}
"""Columns that JSON cannot hold."""
_decode = msgspec.json.Decoder(list[Any]).decode

FIRST_SLICE_NS = 300 * NS_PER_S
FEW_SERIES = 4


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
        sql = f"SELECT {lists} FROM ({_found(columns, asked)})"  # noqa: S608 - own words, values bound
        limit = -1 if asked.limit is None else asked.limit
        for row in self._connection.execute(sql, (number, window.start, window.end, limit)):
            found: Held = dict(zip(columns, map(_decode, row), strict=True))
            return {"series": [number] * len(found["due"]), **found}
        return in_columns(("series", *columns), [])

    def _rows(
        self, series: Mapping[int, Series], window: Window, columns: Sequence[str], asked: Asked
    ) -> Rows:
        if window.start >= window.end or not series:
            return []
        if len(series) <= FEW_SERIES or asked.limit is None:
            return self._each(series, window, columns, asked)
        found: list[tuple[Instant, Series, int]] = []
        for part in self._slices(window, newest_first=asked.newest_first):
            keys = [
                (due, series[number], number)
                for number, due in self._each(series, part, ("series", "due"), asked)
            ]
            found += keys
            if len(found) >= asked.limit:
                break
        return self._of_keys([(number, due) for due, _, number in found[: asked.limit]], columns)

    def _each(
        self, series: Mapping[int, Series], window: Window, columns: Sequence[str], asked: Asked
    ) -> Rows:
        """Series by series, then put in order."""
        sql = _found(columns, asked)
        limit = -1 if asked.limit is None else asked.limit + (asked.after is not None)
        numbers = sorted(series, key=lambda number: series[number])
        rows: Rows = []
        for number in numbers:
            rows += self._connection.execute(sql, (number, window.start, window.end, limit))
        if asked.after is not None:
            rows = [row for row in rows if asked.is_new((row[1], series[row[0]]))]
        if len(numbers) > 1 and asked.order is not Sorting.SERIES:
            if asked.newest_first:  # stable: what is due at once stands by series, backwards
                rows.reverse()
            rows.sort(key=itemgetter(1), reverse=asked.newest_first)
        return rows if asked.limit is None else rows[: asked.limit]

    def _of_keys(self, keys: Sequence[tuple[int, Instant]], columns: Sequence[str]) -> Rows:
        """The rows of these (series, due), in this order."""
        names = ", ".join(f"r.{column}" for column in columns)
        return list(
            self._connection.execute(
                f"SELECT {names} FROM json_each(?) j CROSS JOIN round r "  # noqa: S608
                "ON r.series = j.value ->> 0 AND r.due = j.value ->> 1",
                (msgspec.json.encode(keys).decode(),),
            )
        )

    def row(self, series: int, due: Instant, columns: Sequence[str]) -> Held:
        """The row of one round, if it is here."""
        sql = f"SELECT {', '.join(columns)} FROM round WHERE series = ? AND due = ?"  # noqa: S608 - own words
        return in_columns(columns, list(self._connection.execute(sql, (series, due))))

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
        """Due of the oldest and the newest hot round; (0, -1) without any."""
        for low, high in self._connection.execute(
            "SELECT min((SELECT min(due) FROM round WHERE series = id)), max((SELECT max(due) FROM round"
            " WHERE series = id)) FROM series"
        ):
            if low is not None:
                return low, high
        return 0, -1


def in_columns(columns: Sequence[str], rows: Rows) -> Held:
    """Rows turned into columns."""
    return dict(zip(columns, zip(*rows, strict=True), strict=True)) if rows else dict.fromkeys(columns, ())


def _found(columns: Sequence[str], asked: Asked) -> str:
    """The query for one series' rounds of a window: bind series, start, end and limit."""
    known = (
        f" AND (due / {NS_PER_MS} + stored) * {NS_PER_MS} <= {int(asked.as_of)}"
        if asked.as_of is not None
        else ""
    )
    order = "DESC" if asked.newest_first else "ASC"
    return (
        f"SELECT {', '.join(columns)} FROM round WHERE series = ? AND due >= ? AND due < ?{known} "  # noqa: S608
        f"ORDER BY due {order} LIMIT ?"
    )


def quantile_name(fraction: float) -> str:
    """The key of a quantile: `p50` for 0.5.

    >>> quantile_name(0.999)
    'p99.9'
    """
    return f"p{round(fraction * 100, 6):g}"
