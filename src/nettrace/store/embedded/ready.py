"""The usual answers of a sheet's buckets, side by side in it: counts, minimum, maximum, sum and quantiles.

They are read without decoding a sketch: that waits until somebody asks for another quantile, or for a sum of buckets.
A bucket is minimum and maximum and the lowest bits of the sum, 32 bits each, the sketch's bucket of the first of
`FRACTIONS`, 16 bits, how many buckets further each of the others lies, 8 bits each, and six counts, of 8 or 32 bits each:
rounds of each outcome, probes sent and received, and the rest of the sum. All bits of minimum and maximum set say that nothing was answered.
"""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from nettrace.analysis.sketches.quantile import BUCKETS, Sketches
from nettrace.store.embedded.tally import NONE, Tally

Ints = npt.NDArray[np.int64]
Places = npt.NDArray[np.bool_]
Written = npt.NDArray[np.void]

FRACTIONS = (0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
"""Whose answers are kept. Never to be changed: what is stored means these."""


def _layout(count: str) -> np.dtype[np.void]:
    return np.dtype([
        ("edges", "<u4", (2,)), ("total", "<u4"), ("first", "<u2"), ("steps", "u1", (5,)), ("counts", count, (6,)),
    ])  # fmt: skip


SHORT, LONG = _layout("u1"), _layout("<u4")
"""A bucket with counts of 8 bits and of 32."""

_NOTHING = 2**32 - 1
_LARGEST_STEP, _LARGEST_SHORT = 255, 255


class Ready(NamedTuple):
    """Answers of some buckets; `fit` says which can be written so, `short` which of them with counts of 8 bits."""

    long: Written
    fit: Places
    short: Places

    def written(self, rows: slice, *, long: bool) -> bytes:
        """Those rows as they are stored."""
        made = self.long[rows]
        if not long:
            made = made.astype(SHORT)
        return made.tobytes()


def ready(made: Tally) -> Ready:
    """The answers of these buckets: values of more than 4.2 s do not fit."""
    found = made.sketches.at_ranks(made.sketches.ranks(FRACTIONS))
    steps = found[:, 1:] - found[:, :-1]
    counts = np.stack((*made[3:8], made.total >> 32), axis=1)
    fit = (made.sketches.totals() == made.received) & (made.rounds == counts[:, :3].sum(axis=1))
    fit &= (made.high < _NOTHING) & (counts.max(axis=1, initial=0) <= _NOTHING)
    fit &= (steps <= _LARGEST_STEP).all(axis=1)
    written = np.empty(len(fit), LONG)
    written["edges"] = np.stack((made.low, made.high), axis=1) & _NOTHING
    written["total"] = made.total & _NOTHING
    written["first"], written["steps"] = found[:, 0] & 0xFFFF, steps & 0xFF
    written["counts"] = counts & _NOTHING
    return Ready(written, fit, counts.max(axis=1) <= _LARGEST_SHORT)


class Entries(Protocol):
    """Sketches that are stored behind answers."""

    def load(self) -> Sketches:
        """The sketches themselves."""
        ...

    def added(self, groups: Ints, size: int) -> Ints | None:
        """Counts of all buckets of each group, one group behind the other, where that is cheaper than `load`."""
        ...

    def kept(self, places: Places) -> "Entries":
        """Those sketches alone."""
        ...


class Answers:
    """A `Source` of sketches of which the usual answers are known."""

    def __init__(self, written: Written, totals: Ints, entries: Entries) -> None:
        self._written = written
        self.totals = totals
        self._entries = entries
        self.load = entries.load
        self.added = entries.added

    def knows(self, fractions: Sequence[float]) -> bool:
        """See `Source.knows`."""
        return all(each in FRACTIONS for each in fractions)

    def buckets(self, fractions: Sequence[float]) -> Ints:
        """See `Source.buckets`."""
        # Column by column, for only these are wanted.
        found = np.empty((len(fractions), len(self._written)), np.int64)
        wanted = [FRACTIONS.index(each) for each in fractions]
        last, steps = self._written["first"].astype(np.int64), self._written["steps"]
        for place in range(max(wanted, default=-1) + 1):
            if place:
                last += steps[:, place - 1]
            for row, each in enumerate(wanted):
                if each == place:
                    found[row] = last
        if not self.totals.all():
            found[:, self.totals == 0] = -1
        if found.size and int(found.max()) >= BUCKETS:
            raise ValueError("a bucket that does not exist")
        return found.T

    def kept(self, places: Places) -> "Answers":
        """See `Source.kept`."""
        return Answers(self._written[places], self.totals[places], self._entries.kept(places))


def read(data: bytes, entries: Entries, *, long: bool) -> Tally:
    """The buckets of which these are the answers, all of series 0. Raises ValueError for what is none."""
    written = np.frombuffer(data, LONG if long else SHORT)
    low, high = written["edges"].T.astype(np.int64)
    *counts, total = written["counts"].T.astype(np.int64)
    total <<= 32
    total += written["total"]
    received = counts[4]
    if not received.all():
        none = low == _NOTHING
        low[none] = high[none] = NONE
    sketches = Sketches.later(Answers(written, received, entries))
    return Tally._make([low, low, counts[0] + counts[1] + counts[2], *counts, low, high, total, sketches])
