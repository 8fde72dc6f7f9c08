"""Sheets of which every bucket holds many values: a table of counts, a row a bucket, a column a bucket of the sketches.

Adding rows up takes one call, nothing is decoded, and rows outside a window are not touched. Behind a sheet's header are:
- of each bucket the columns of `Tally` from series to maximum but for the rounds, which are the sum of the next three; 64
  bits each;
- the table's first column and its width, 16 bits each, then its counts, row by row, 16 bits each.
"""

from collections.abc import Sequence
from struct import Struct

import numpy as np
import numpy.typing as npt

from nettrace.analysis.sketches.quantile import BUCKETS, Sketches
from nettrace.store.embedded.tally import Tally

Ints = npt.NDArray[np.int64]
Counts = npt.NDArray[np.uint16]
Table = tuple[int, Counts]
"""The first column and the counts."""

DENSER = 8
"""A sheet is dense that holds no fewer values than this for each place of its table."""

_HEAD = Struct("<HH")
_NUMBERS = 10
_LARGEST = 2**16 - 1


def dense(made: Tally, rows: slice, entries: slice) -> bytes | None:
    """Those buckets and the entries of their sketches as a table; None where that does not pay."""
    buckets, counts = made.sketches.buckets[entries], made.sketches.counts[entries]
    if not len(buckets) or int(counts.max()) > _LARGEST:
        return None
    column, size = int(buckets.min()), rows.stop - rows.start
    table = np.zeros((size, int(buckets.max()) + 1 - column), "<u2")
    if DENSER * table.size > int(counts.sum()) or not _whole(made, rows):
        return None
    table[made.sketches.owners[entries] - rows.start, buckets - column] = counts
    numbers = np.stack(_columns(made), axis=1)[rows].astype("<i8")
    return numbers.tobytes() + np.array([column, table.shape[1]], "<u2").tobytes() + table.tobytes()


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


def read(bodies: Sequence[tuple[bytes, int, int, int, int]]) -> Tally:
    """The buckets of sheets, each with where its header ends, its rows, the first wanted and the one behind the last.

    Raises ValueError for what is no table.
    """
    numbers: list[Ints] = []
    tables: list[Table] = []
    for body, head, rows, first, last in bodies:
        numbers.append(np.frombuffer(body, "<i8", _NUMBERS * rows, head).reshape(rows, _NUMBERS)[first:last])
        begin = head + 8 * _NUMBERS * rows
        if len(body) < begin + _HEAD.size:
            raise ValueError("it ends too early")
        column, width = _HEAD.unpack_from(body, begin)
        if column + width > BUCKETS or len(body) != begin + _HEAD.size + 2 * rows * width:
            raise ValueError("its table has another size than it says")
        table = np.frombuffer(body, "<u2", rows * width, begin + _HEAD.size).reshape(rows, width)[first:last]
        tables.append((column, table))
    series, start, *counts, total, low, high = np.concatenate(numbers).T
    sketches = Sketches.later(Dense(tables, counts[4]))
    return Tally._make(
        [series, start, counts[0] + counts[1] + counts[2], *counts, low, high, total, sketches]
    )


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
        places = [(column, table, *table.nonzero()) for column, table in self._tables]
        sizes = [np.bincount(rows, minlength=len(table)) for _, table, rows, _ in places]
        buckets = [columns + column for column, _, _, columns in places]
        counts = [table[rows, columns].astype(np.int64) for _, table, rows, columns in places]
        return Sketches.of_sizes(*map(np.concatenate, (sizes, buckets, counts)))

    def added(self, groups: Ints, size: int) -> Ints | None:
        """See `Source.added`: where all rows of a table go into one group."""
        tables = [each for each in self._tables if len(each[1])]
        sizes = np.array([len(table) for _, table in tables])
        into = groups[sizes.cumsum() - sizes]
        if not len(into) or int(into.min()) < 0 or (into.repeat(sizes) != groups).any():
            return None
        sums = np.zeros(size * BUCKETS, np.int64)
        for (column, table), group in zip(tables, into.tolist(), strict=True):
            begin = group * BUCKETS + column
            sums[begin : begin + table.shape[1]] += np.add.reduce(table, 0, np.int64)
        return sums

    def kept(self, places: npt.NDArray[np.bool_]) -> "Dense":
        """See `Source.kept`."""
        made: list[Table] = []
        row = 0
        for column, table in self._tables:
            made.append((column, table[places[row : row + len(table)]]))
            row += len(table)
        return Dense(made, self.totals[places])
