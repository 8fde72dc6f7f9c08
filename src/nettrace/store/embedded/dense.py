"""Sheets of which every bucket holds many values: a table of counts, a row a bucket, a column a bucket of the sketches.

Adding rows up takes one call, nothing is decoded, and rows outside a window are not touched. Behind a sheet's header are:
- of each bucket the columns of `Tally` from series to maximum but for the rounds, which are the sum of the next three; 64
  bits each;
- the table's first column and its width, 16 bits each, then the lowest 8 bits of its counts, row by row;
- of each count that has more: row, 8 bits, how many columns behind the first, 16 bits, and its higher 8 bits.
"""

from collections.abc import Sequence
from struct import Struct
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from nettrace.analysis.sketches.quantile import BUCKETS, Sketches
from nettrace.store.embedded.tally import Tally

Ints = npt.NDArray[np.int64]


class Table(NamedTuple):
    """The first column, the lowest bits of the counts, and the rest of those that have more."""

    column: int
    counts: npt.NDArray[np.uint8]
    more: npt.NDArray[np.void]

    def kept(self, places: npt.NDArray[np.bool_]) -> "Table":
        """Those rows alone."""
        more = self.more[places[self.more["row"]]]
        if len(more):
            more = more.copy()
            more["row"] = (places.cumsum() - 1)[more["row"]]
        return Table(self.column, self.counts[places], more)


Part = tuple[bytes, int, int, int, int]
"""A sheet, where its header ends, its rows, the first wanted and the one behind the last."""


class Total(NamedTuple):
    """Everything that some rows hold, as one: of the values how many lie in each bucket from `column` on.

    `rounds` are the six counts of `Tally`, from rounds to received.
    """

    rounds: tuple[int, ...]
    low: int
    high: int
    total: int
    column: int
    counts: Ints


DENSER = 8
"""A sheet is dense that holds no fewer values than this for each place of its table."""

_HEAD = Struct("<HH")
_MORE = np.dtype([("row", "u1"), ("place", "<u2"), ("high", "u1")])
_NONE = np.empty(0, _MORE)
_NUMBERS, _EDGES = 10, 8
"""Numbers of a bucket, and which of them is its minimum."""
_LARGEST = 2**16 - 1


def dense(made: Tally, rows: slice, entries: slice) -> bytes | None:
    """Those buckets and the entries of their sketches as a table; None where that does not pay."""
    buckets, counts = made.sketches.buckets[entries], made.sketches.counts[entries]
    if not len(buckets) or int(counts.max()) > _LARGEST:
        return None
    column, size = int(buckets.min()), rows.stop - rows.start
    table = np.zeros((size, int(buckets.max()) + 1 - column), np.uint8)
    if DENSER * table.size > int(counts.sum()) or not _whole(made, rows):
        return None
    row = made.sketches.owners[entries] - rows.start
    table[row, buckets - column] = counts & 0xFF
    many = counts > 0xFF
    more = np.empty(int(many.sum()), _MORE)
    more["row"], more["place"], more["high"] = row[many], buckets[many] - column, counts[many] >> 8
    numbers = np.stack(_columns(made), axis=1)[rows].astype("<i8")
    return numbers.tobytes() + _HEAD.pack(column, table.shape[1]) + table.tobytes() + more.tobytes()


def _columns(made: Tally) -> tuple[Ints, ...]:
    return (
        made.series, made.start, made.measured, made.failed, made.not_measured, made.sent, made.received,
        made.total, made.low, made.high,
    )  # fmt: skip


def _whole(made: Tally, rows: slice) -> bool:
    """True when what is left out can be told from the rest."""
    rounds = made.measured[rows] + made.failed[rows] + made.not_measured[rows]
    answered = made.sketches.totals()[rows]
    return bool((rounds == made.rounds[rows]).all() and (answered == made.received[rows]).all())


def read(parts: Sequence[Part]) -> Tally:
    """The wanted buckets of sheets. Raises ValueError for what is no table."""
    found = [_read(*each) for each in parts]
    numbers, tables = [each for each, _ in found], [each for _, each in found]
    series, start, *counts, total, low, high = np.concatenate(numbers).T
    sketches = Sketches.later(Dense(tables, counts[4]))
    return Tally._make(
        [series, start, counts[0] + counts[1] + counts[2], *counts, low, high, total, sketches]
    )


def total(parts: Sequence[Part]) -> Total:
    """The sum of the wanted buckets, which are at least one. Raises ValueError for what is no table."""
    found = [_read(*each) for each in parts]
    column = min(table.column for _, table in found)
    counts = np.zeros(max(table.column + table.counts.shape[1] for _, table in found) - column, np.int64)
    for _, table in found:
        _add(table, counts, table.column - column)
    numbers = np.concatenate([each for each, _ in found])
    *known, total = np.add.reduce(numbers).tolist()[2:_EDGES]
    low, high = numbers[:, _EDGES], int(numbers[:, _EDGES + 1].max())
    least = int(low.min())
    if least < 0 <= high:
        least = int(low[low >= 0].min())
    return Total((sum(known[:3]), *known), least, high, total, column, counts)


def _add(table: Table, sums: Ints, begin: int) -> None:
    """Add all rows of a table to counts of which the one of its first column is at `begin`."""
    sums[begin : begin + table.counts.shape[1]] += np.add.reduce(table.counts, 0, np.int64)
    if len(table.more):
        place = table.more["place"].astype(np.int64)
        np.add.at(sums, begin + place, table.more["high"].astype(np.int64) << 8)


def _read(body: bytes, head: int, rows: int, first: int, last: int) -> tuple[Ints, Table]:
    """The numbers and the table of the wanted rows."""
    numbers = np.frombuffer(body, "<i8", _NUMBERS * rows, head).reshape(rows, _NUMBERS)[first:last]
    begin = head + 8 * _NUMBERS * rows
    if len(body) < begin + _HEAD.size:
        raise ValueError("it ends too early")
    column, width = _HEAD.unpack_from(body, begin)
    begin += _HEAD.size
    if column + width > BUCKETS:
        raise ValueError("a bucket that does not exist")
    table = np.frombuffer(body, np.uint8, rows * width, begin).reshape(rows, width)[first:last]
    more = _more(body, begin + rows * width, rows, width)
    if len(more) and last - first < rows:
        more = more[(more["row"] >= first) & (more["row"] < last)].copy()
        more["row"] -= first
    return numbers, Table(column, table, more)


def _more(body: bytes, begin: int, rows: int, width: int) -> npt.NDArray[np.void]:
    """What is behind the table."""
    if len(body) == begin:
        return _NONE
    more = np.frombuffer(body, _MORE, -1, begin)
    if int(more["row"].max()) >= rows or int(more["place"].max()) >= width:
        raise ValueError("a place that its table does not have")
    return more


class Dense:
    """A `Source` of sketches in tables, one behind the other."""

    def __init__(self, tables: Sequence[Table], totals: Ints) -> None:
        self._tables = tables
        self.totals = totals

    def knows(self, fractions: Sequence[float]) -> bool:
        """See `Source.knows`: it knows none, and loads quickly."""
        del fractions
        return False

    def buckets(self, fractions: Sequence[float]) -> Ints:
        """See `Source.buckets`."""
        made = self.load()
        return made.at_ranks(made.ranks(fractions))

    def load(self) -> Sketches:
        """See `Source.load`."""
        sizes: list[Ints] = []
        buckets: list[Ints] = []
        counts: list[Ints] = []
        for column, table, more in self._tables:
            whole = table.astype(np.int64)
            whole[more["row"], more["place"]] += more["high"].astype(np.int64) << 8
            row, place = whole.nonzero()
            sizes.append(np.bincount(row, minlength=len(whole)))
            buckets.append(place + column)
            counts.append(whole[row, place])
        return Sketches.of_sizes(*map(np.concatenate, (sizes, buckets, counts)))

    def added(self, groups: Ints, size: int) -> Ints | None:
        """See `Source.added`: where all rows of a table go into one group."""
        tables = [each for each in self._tables if len(each.counts)]
        sizes = np.array([len(each.counts) for each in tables])
        into = groups[sizes.cumsum() - sizes]
        if not len(into) or int(into.min()) < 0 or (into.repeat(sizes) != groups).any():
            return None
        sums = np.zeros(size * BUCKETS, np.int64)
        for table, group in zip(tables, into.tolist(), strict=True):
            _add(table, sums, group * BUCKETS + table.column)
        return sums

    def kept(self, places: npt.NDArray[np.bool_]) -> "Dense":
        """See `Source.kept`."""
        made: list[Table] = []
        row = 0
        for table in self._tables:
            made.append(table.kept(places[row : row + len(table.counts)]))
            row += len(table.counts)
        return Dense(made, self.totals[places])
