"""How a sheet's sketches and what is beside them are written as bytes, and read.

A body is a header of five 16-bit numbers (buckets and `NOW`, runs, bytes of the runs, bytes of the edges, entries of all
sketches), three bytes with a bit for each place that has a bucket, and:
- sizes: entries of each bucket's sketch, a byte each; two with `WIDE` in the header's first number;
- runs: for as many buckets in a row as are alike in them, their number and the six counts, LEB128;
- edges: how far each answered bucket's minimum lies in the sketch's first bucket and its maximum in the last one, then of
  each its sum above so many minima. No number takes a bit more than what is known before it leaves open (`bits`);
- entries: one byte each, distance and count less one in four bits each; with `NARROW` two bits each. The distance is to
  the entry before, less one; of a sketch's first entry the zigzag of that to the first one of the sketch before. All
  bits set say that the rest follows behind the entries, LEB128.

A `READY` sheet has answers (`ready`) before its sizes, instead of runs and edges.
"""

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from nettrace.analysis.sketches.quantile import BUCKETS, FIRST, LAST, Sketches, read_varints, write_varints
from nettrace.store.embedded import ready
from nettrace.store.embedded.bits import MOST_BITS, read_bits, widths_of, write_bits
from nettrace.store.embedded.tally import NONE, Tally

Ints = npt.NDArray[np.int64]
Bytes = npt.NDArray[np.uint8]
Sheet = tuple[int, bytes]
"""A row: id and body."""

NOW, WIDE, NARROW, READY, DENSE, LONG = 0x8000, 0x4000, 0x2000, 0x1000, 0x0800, 0x0400
"""In a header's first number: the sheet is written as here; it has a sketch of more than 255 entries; its entries take
half a byte each; it has answers; it is a table; its answers have counts of 32 bits."""
FLAGS = NOW | WIDE | NARROW | READY | DENSE | LONG
KINDS = NOW | NARROW | READY | DENSE | LONG

HEADER = 13
_FULL, _SHORT_FULL = 15, 3
_LARGEST = int(LAST[-1])
"""What is larger counts as this, as in the sketches."""

_INSIDE = widths_of(LAST - FIRST)
"""How many bits say where in a bucket of a sketch a value lies."""
_BYTES = np.arange(256)
_PAIRS = np.stack((_BYTES >> 6, _BYTES >> 4 & 3, _BYTES >> 2 & 3, _BYTES & 3), axis=1)
"""Of a byte of a `NARROW` sheet distance and count, twice."""


def runs_of(made: Tally, new: npt.NDArray[np.bool_], bounds: Ints) -> tuple[bytes, list[int], list[int]]:
    """The runs of all sheets, where each sheet's begin and the last ones end, and how many each has."""
    counts = np.stack(made[2:8])
    turns = new.copy()
    turns[1:] |= (np.diff(counts, axis=1) != 0).any(axis=0)
    runs = np.flatnonzero(turns)
    rows = np.column_stack((np.diff(runs, append=len(new)), counts[:, runs].T))
    data, ends = write_varints(rows.ravel())
    of_sheets = np.searchsorted(runs, bounds)
    cuts = np.concatenate(([0], ends[rows.shape[1] - 1 :: rows.shape[1]]))[of_sheets]
    return data, cuts.tolist(), np.diff(of_sheets).tolist()


def gaps_of(made: Tally, new: npt.NDArray[np.bool_], entries: Ints) -> Ints:
    """The distance of every entry, as it is written."""
    sketches = made.sketches
    some = np.flatnonzero(entries)
    first = (np.cumsum(entries) - entries)[some]
    gaps = np.diff(sketches.buckets, prepend=0) - 1
    off = np.diff(sketches.buckets[first], prepend=0)
    opens = np.diff(np.cumsum(new)[some], prepend=0) != 0  # of its sheet the first that was answered
    off[opens] = sketches.buckets[first][opens]
    gaps[first] = off << 1 ^ off >> 63
    return gaps


def pack(gaps: Ints, counts: Ints, *, narrow: bool) -> bytes:
    """The entries of a sheet and what is behind them."""
    full, bits = (_SHORT_FULL, 2) if narrow else (_FULL, 4)
    both = np.column_stack((gaps, counts)).ravel()
    rest, _ = write_varints(both[both >= full] - full)
    short = np.minimum(both, full).astype(np.uint8)
    packed = short[::2] << bits | short[1::2]
    if narrow:
        packed = np.append(packed, np.zeros(len(packed) % 2, np.uint8))
        packed = packed[::2] << 4 | packed[1::2]
    return packed.tobytes() + rest


def edges_of(made: Tally, entries: Ints, rows: slice, of: slice) -> bytes:
    """Minimum, maximum and sum of one sheet's answered buckets."""
    some = entries[rows] > 0
    ends = np.cumsum(entries[rows][some])
    buckets = made.sketches.buckets[of]
    if not len(ends):
        return b""
    outer = np.stack((buckets[ends - entries[rows][some]], buckets[ends - 1]))
    low, high = (np.minimum(each[rows][some], _LARGEST) for each in (made.low, made.high))
    answered = made.sketches.totals()[rows][some]
    values = np.concatenate(
        ((np.stack((low, high)) - FIRST[outer]).ravel(), made.total[rows][some] - answered * low)
    )
    most = _most(answered, low, high)
    values[-len(most) :] = np.clip(values[-len(most) :], 0, most)
    return write_bits(values, np.concatenate((_INSIDE[outer].ravel(), widths_of(most)))).tobytes()


def _most(answered: Ints, low: Ints, high: Ints) -> Ints:
    """How far sums can lie above so many minima; what `MOST_BITS` cannot hold are some thousand values of days each."""
    return np.minimum(answered * (high - low), (1 << MOST_BITS) - 1)


def alike_of(runs: Bytes, size: int) -> Ints:
    """The six counts of every bucket."""
    run_numbers = read_varints(runs)[0].reshape(-1, 7)
    alike = run_numbers[:, 1:].T.repeat(run_numbers[:, 0], axis=1)
    if alike.shape[1] != size:
        raise ValueError("it counts other buckets than it has")
    return alike


def sketches_of(entries: Ints, packed: Bytes, rest: Bytes, there: "_Answered", kind: int) -> Sketches:
    """The sketches of all buckets, from how many entries each has, the entries and what is behind these."""
    if kind & NARROW:
        both, full = _halves(packed, there), _SHORT_FULL
    else:
        both, full = np.array((packed >> 4, packed & _FULL)), _FULL
    gaps, counts = both.astype(np.int64)
    if len(rest):
        behind = read_varints(rest)[0]
        # distance and count of the first, of the second, ...
        long = (both.T.reshape(-1) == full).nonzero()[0]
        if len(long) != len(behind):
            raise ValueError("it has more behind its entries than these say")
        odd = long & 1 == 1
        gaps[long[~odd] >> 1] += behind[~odd]
        counts[long[odd] >> 1] += behind[odd]
    counts += 1
    return Sketches.of_sizes(entries, _buckets(gaps, there), counts)


def pieces(sheets: Sequence[Sheet], kind: int, sizes: Ints) -> tuple[Ints, Bytes, Bytes, Bytes, Bytes]:
    """Sizes of the sketches, runs, edges, entries and what is behind them, each of all sheets in a row."""
    held, wide = sizes[:, 0] & ~FLAGS, sizes[:, 0] & WIDE != 0
    packed = sizes[:, 4:] + 1 >> 1 if kind & NARROW else sizes[:, 4:]
    lengths = np.concatenate(((held << wide)[:, None], sizes[:, 2:4], packed), axis=1)
    answers = (ready.LONG if kind & LONG else ready.SHORT).itemsize if kind & READY else 0
    before = HEADER + answers * held
    cuts = (lengths.cumsum(axis=1) + before[:, None]).T.tolist()
    bodies = [body for _, body in sheets]
    if any(map(int.__lt__, map(len, bodies), cuts[3])):
        raise ValueError("it ends too early")
    parts = [
        [body[a:b] for body, a, b in zip(bodies, begins, ends, strict=True)]
        for begins, ends in itertools.pairwise([before.tolist(), *cuts, [None] * len(bodies)])
    ]
    data = [np.frombuffer(b"".join(part), np.uint8) for part in parts]
    if wide.any():
        each = zip(parts[0], wide.tolist(), strict=True)
        entries = np.concatenate([np.frombuffer(part, "<u2" if two else "u1") for part, two in each])
    else:
        entries = data[0]
    return entries.astype(np.int64), data[1], data[2], data[3], data[4]


class _Answered(NamedTuple):
    """The rollups that have entries: which they are, the first of their entries and the one behind their last.

    `opens` are the first of a sheet among them, `held` how many the sheet has, `sheets` which sheets these are.
    """

    some: Ints
    begins: Ints
    ends: Ints
    opens: Ints
    held: Ints
    sheets: Ints


def answered_of(entries: Ints, sheet: Ints) -> _Answered:
    """Those of the rollups that have entries; `sheet` is the sheet of each."""
    some = entries.nonzero()[0]
    sizes, of = entries[some], sheet[some]
    ends = sizes.cumsum()
    opens = np.concatenate(([len(some) > 0], of[1:] != of[:-1])).nonzero()[0]
    held = np.concatenate((opens[1:], [len(some)])) - opens
    return _Answered(some, ends - sizes, ends, opens, held, of[opens])


def _halves(packed: Bytes, there: _Answered) -> Ints:
    """Distance and count of every entry of `NARROW` sheets: a sheet of an odd number has one at its end that is none."""
    both = _PAIRS[packed].reshape(-1, 2).T
    if not len(there.opens):
        return both
    entries = np.add.reduceat(there.ends - there.begins, there.opens)
    odd = entries & 1 == 1
    return np.delete(both, 2 * (entries + 1 >> 1).cumsum()[odd] - 1, axis=1) if odd.any() else both


def _buckets(gaps: Ints, there: _Answered) -> Ints:
    """The bucket of every entry, from their distances."""
    if not len(gaps):
        return gaps
    off = gaps[there.begins]
    begun = _sums((off >> 1) ^ -(off & 1), there.opens, there.held)
    gaps = gaps + 1
    gaps[there.begins] = 0
    inside = np.add.reduceat(gaps, there.begins)
    gaps[there.begins] = begun
    gaps[there.begins[1:]] -= begun[:-1] + inside[:-1]
    buckets = gaps.cumsum()
    if int(buckets.min()) < 0 or int(buckets.max()) >= BUCKETS:
        raise ValueError("a bucket that does not exist")
    return buckets


def values_of(edges: Bytes, lengths: Ints, there: _Answered, sketches: Sketches) -> tuple[Ints, Ints, Ints]:
    """Minimum, maximum and sum of every rollup."""
    if not len(there.some):
        return np.full(sketches.size, NONE), np.full(sketches.size, NONE), np.zeros(sketches.size, np.int64)
    outer = sketches.buckets[np.array((there.begins, there.ends - 1))]
    begins = (8 * (lengths.cumsum() - lengths))[there.sheets]
    widths = _INSIDE[outer]
    each = np.add.reduceat(widths, there.opens, axis=1)
    behind = np.array((begins, begins + each[0]))
    offsets = widths.cumsum(axis=1) - widths
    offsets += (behind - offsets[:, there.opens]).repeat(there.held, axis=1)
    low, high = read_bits(edges, offsets, widths) + FIRST[outer]
    answered = sketches.totals()[there.some]
    most = widths_of(_most(answered, low, high))
    last = most.cumsum() - most
    last += (behind[1] + each[1] - last[there.opens]).repeat(there.held)
    total = read_bits(edges, last, most) + answered * low
    if len(there.some) == sketches.size:
        return low, high, total
    made = np.zeros((3, sketches.size), np.int64)
    made[:2] = NONE
    made[:, there.some] = low, high, total
    return made[0], made[1], made[2]


def _sums(values: Ints, first: Ints, sizes: Ints) -> Ints:
    """Running sums that begin anew at each of `first`."""
    sums = values.cumsum()
    return sums - (sums[first] - values[first]).repeat(sizes)


def sizes_of(sheets: Sequence[Sheet]) -> Ints:
    """The five numbers of each header."""
    heads = b"".join([body[:10] for _, body in sheets])
    return np.frombuffer(heads, "<u2").astype(np.int64).reshape(-1, 5)
