"""Rollups of closed days, 24 buckets of a series to a row of `sheet`: six hours of quarters, or a day of hours.

A month of hours is then 30 rows instead of 720, and a quarter of the room. A row's `id` is step, span of time and series, so
that spans of one time lie together: they are appended as days close and forgotten from the other end.

A body is a header of five 16-bit numbers (buckets and `NOW`, runs, bytes of the runs, bytes of the edges, entries of all
sketches), three bytes with a bit for each place that has a bucket, and:
- sizes: entries of each bucket's sketch, a byte each; two with `WIDE` in the header's first number;
- runs: for as many buckets in a row as are alike in them, their number and the six counts, LEB128;
- edges: how far each answered bucket's minimum lies in the sketch's first bucket and its maximum in the last one, then of
  each its sum above so many minima. No number takes a bit more than what is known before it leaves open (`bits`);
- entries: one byte each, distance and count less one in four bits each; with `NARROW` two bits each. The distance is to
  the entry before, less one; of a sketch's first entry the zigzag of that to the first one of the sketch before. All
  bits set say that the rest follows behind the entries, LEB128.
"""

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from nettrace.analysis.sketches.quantile import BUCKETS, FIRST, LAST, Sketches, read_varints, write_varints
from nettrace.errors import StoreCorrupt
from nettrace.store.embedded import tally
from nettrace.store.embedded.bits import MOST_BITS, read_bits, widths_of, write_bits
from nettrace.store.embedded.database import RESTORE, Connection
from nettrace.store.embedded.first_sheet import decode_first
from nettrace.store.embedded.tally import NONE, Tally

Ints = npt.NDArray[np.int64]
Bytes = npt.NDArray[np.uint8]
Sheet = tuple[int, bytes]
"""A row: id and body."""

SPAN = 24
"""Buckets a sheet has room for."""

NOW, WIDE, NARROW = 0x8000, 0x4000, 0x2000
"""In a header's first number: the sheet is written as above; it has a sketch of more than 255 entries; its entries take
half a byte each."""
_FLAGS = NOW | WIDE | NARROW

FEW = 20
"""A sheet is `NARROW` whose answered buckets hold no more values than this, on average: then most counts are 1 to 3."""

_SHORTEST_S = 900
_HEADER = 13
_FULL, _SHORT_FULL = 15, 3
_LARGEST = int(LAST[-1])
"""What is larger counts as this, as in the sketches."""

_INSIDE = widths_of(LAST - FIRST)
"""How many bits say where in a bucket of a sketch a value lies."""
_BYTES = np.arange(256)
_PLACES = np.unpackbits(_BYTES.astype(np.uint8)[:, None], axis=1, bitorder="little")
_PAIRS = np.stack((_BYTES >> 6, _BYTES >> 4 & 3, _BYTES >> 2 & 3, _BYTES & 3), axis=1)
"""Of a byte its bits as places; of one of a `NARROW` sheet distance and count, twice."""


def sheet_id(step: int, start: int, series: int = 0) -> int:
    """The id of the sheet that holds a bucket of `step` s which begins at `start`, in s since 1970.

    >>> sheet_id(3600, 86_400 * 3, 7) - sheet_id(3600, 0) == (3 << 32) + 7
    True
    """
    return ((step // _SHORTEST_S << 24) + start // (step * SPAN) << 32) + series


def encode(made: Tally, step: int) -> list[Sheet]:
    """Buckets of `step` seconds, by (series, start), as sheets."""
    span = made.start // (step * SPAN)
    new = (np.diff(span, prepend=-1) != 0) | (np.diff(made.series, prepend=-1) != 0)
    first = np.flatnonzero(new)
    bounds = np.append(first, len(span))
    entries = np.bincount(made.sketches.owners, minlength=len(span)).astype(np.int64)
    runs, run_cuts, run_numbers = _runs(made, new, bounds)
    gaps = _gaps(made, new, entries)
    entry_bounds = np.concatenate(([0], np.cumsum(entries)))[bounds]
    sheets: list[Sheet] = []
    for row, at in enumerate(first.tolist()):
        end, (begin, stop) = int(bounds[row + 1]), entry_bounds[row : row + 2].tolist()
        edges = _edges(made, entries, slice(at, end), slice(begin, stop))
        answered = int(made.sketches.counts[begin:stop].sum())
        narrow = answered <= FEW * int((entries[at:end] > 0).sum())
        packed = _packed(gaps[begin:stop], made.sketches.counts[begin:stop] - 1, narrow=narrow)
        wide = int(entries[at:end].max()) > 255
        mask = int((1 << (made.start[at:end] // step % SPAN)).sum())
        numbers = (
            (end - at) | NOW | WIDE * wide | NARROW * narrow,
            run_numbers[row],
            run_cuts[row + 1] - run_cuts[row],
        )
        sheets.append((
            sheet_id(step, int(made.start[at]), int(made.series[at])),
            np.array([*numbers, len(edges), stop - begin], "<u2").tobytes() + mask.to_bytes(3, "little")
            + entries[at:end].astype("<u2" if wide else "u1").tobytes() + runs[run_cuts[row] : run_cuts[row + 1]]
            + edges + packed,
        ))  # fmt: skip
    return sheets


def _runs(made: Tally, new: npt.NDArray[np.bool_], bounds: Ints) -> tuple[bytes, list[int], list[int]]:
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


def _gaps(made: Tally, new: npt.NDArray[np.bool_], entries: Ints) -> Ints:
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


def _packed(gaps: Ints, counts: Ints, *, narrow: bool) -> bytes:
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


def _edges(made: Tally, entries: Ints, rows: slice, of: slice) -> bytes:
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


def decode(sheets: Sequence[Sheet], step: int) -> Tally:
    """The buckets of some sheets of one step, sheet by sheet. Raises StoreCorrupt for bytes that `encode` did not write."""
    if not sheets:
        return tally.empty()
    try:
        kinds = [body[1] & (NOW | NARROW) >> 8 for _, body in sheets]
        if kinds.count(kinds[0]) == len(kinds):
            return _decode(sheets, step, kinds[0] << 8)
        made = [
            _decode([each for each, its in zip(sheets, kinds, strict=True) if its == kind], step, kind << 8)
            for kind in set(kinds)
        ]
        both = tally.joined(made)
        return both.merged(both.start)
    except (ValueError, IndexError) as error:
        raise StoreCorrupt(f"a sheet of rollups of {step} s is damaged ({error})", RESTORE) from error


def _decode(sheets: Sequence[Sheet], step: int, kind: int) -> Tally:
    """The buckets of sheets of one kind."""
    if not kind & NOW:
        return decode_first(sheets, step)
    heads = np.frombuffer(b"".join([body[:_HEADER] for _, body in sheets]), np.uint8).reshape(-1, _HEADER)
    sizes = heads[:, :10].copy().view("<u2").astype(np.int64)
    held, wide = sizes[:, 0] & ~_FLAGS, sizes[:, 0] & WIDE != 0
    if kind & NARROW:
        sizes[:, 4] = sizes[:, 4] + 1 >> 1
    entries, runs, edges, packed, rest = _pieces(sheets, held, wide, sizes)
    run_numbers = read_varints(runs)[0].reshape(-1, 7)
    place = _PLACES[heads[:, 10:]].reshape(-1).nonzero()[0]
    sheet = np.arange(len(sheets)).repeat(held)
    there = _answered(entries, sheet)
    if kind & NARROW:
        both, full = (
            _halves(packed, sizes[:, 4], np.bincount(sheet, entries, len(sheets)).astype(np.int64)),
            _SHORT_FULL,
        )
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
    sketches = Sketches.of_sizes(entries, _buckets(gaps, there), counts)
    low, high, total = _values(edges, sizes[:, 3], there, sketches)
    numbers = np.array([number for number, _ in sheets], np.int64)
    # a place counts on from the sheet's row; its span from 1970
    spans = (numbers >> 32 & 0xFFFFFF) - np.arange(len(sheets))
    start = (spans[sheet] * SPAN + place) * step
    alike = run_numbers[:, 1:].T.repeat(run_numbers[:, 0], axis=1)
    return Tally._make([(numbers & 0xFFFFFFFF)[sheet], start, *alike, low, high, total, sketches])


def _pieces(
    sheets: Sequence[Sheet], held: Ints, wide: npt.NDArray[np.bool_], sizes: Ints
) -> tuple[Ints, Bytes, Bytes, Bytes, Bytes]:
    """Sizes of the sketches, runs, edges, entries and what is behind them, each of all sheets in a row."""
    lengths = np.column_stack((held << wide, sizes[:, 2:]))
    cuts = (lengths.cumsum(axis=1) + _HEADER).T.tolist()
    bodies = [body for _, body in sheets]
    if any(map(int.__lt__, map(len, bodies), cuts[3])):
        raise ValueError("it ends too early")
    parts = [
        [body[a:b] for body, a, b in zip(bodies, begins, ends, strict=True)]
        for begins, ends in itertools.pairwise([[_HEADER] * len(bodies), *cuts, [None] * len(bodies)])
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


def _answered(entries: Ints, sheet: Ints) -> _Answered:
    some = entries.nonzero()[0]
    sizes, of = entries[some], sheet[some]
    ends = sizes.cumsum()
    opens = np.concatenate(([len(some) > 0], of[1:] != of[:-1])).nonzero()[0]
    held = np.concatenate((opens[1:], [len(some)])) - opens
    return _Answered(some, ends - sizes, ends, opens, held, of[opens])


def _halves(packed: Bytes, lengths: Ints, entries: Ints) -> Ints:
    """Distance and count of every entry of `NARROW` sheets: a sheet of an odd number has one at its end that is none."""
    both = _PAIRS[packed].reshape(-1, 2).T
    odd = entries & 1 == 1
    return np.delete(both, 2 * np.cumsum(lengths)[odd] - 1, axis=1) if odd.any() else both


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


def _values(edges: Bytes, lengths: Ints, there: _Answered, sketches: Sketches) -> tuple[Ints, Ints, Ints]:
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


def fetch(connection: Connection, series: Sequence[int], step: int, start: int, end: int) -> Tally:
    """The buckets of these series that begin in [start, end), in s, as far as they are in sheets."""
    spans = range(sheet_id(step, start), sheet_id(step, end - 1) + 1, 1 << 32) if start < end else ()
    found = connection.execute(
        "SELECT sheet.id, body FROM json_each(?) j CROSS JOIN json_each(?) q CROSS JOIN sheet ON sheet.id = j.value + q.value",
        (msgspec.json.encode(sorted(series)).decode(), msgspec.json.encode(list(spans)).decode()),
    )
    made = decode(list(found), step)
    width = step * SPAN
    if start % width == 0 and end % width == 0:  # whole sheets
        return made
    return made.kept((made.start >= start) & (made.start < end))


def put(connection: Connection, made: Tally, step: int) -> None:
    """Store buckets, beside what is in their sheets already and in place of those that were there."""
    sheets = encode(made, step)
    old = connection.execute(
        "SELECT sheet.id, body FROM json_each(?) j CROSS JOIN sheet ON sheet.id = j.value",
        (msgspec.json.encode([number for number, _ in sheets]).decode(),),
    )
    before = without(decode(list(old), step), made)
    if len(before.series):
        both = tally.joined([before, made])
        sheets = encode(both.merged(both.start), step)
    connection.executemany("REPLACE INTO sheet VALUES (?, ?)", sheets)


def without(made: Tally, other: Tally) -> Tally:
    """The buckets that the other does not have."""
    if not len(made.series) or not len(other.series):
        return made
    return made.kept(~np.isin(made.series << 32 | made.start, other.series << 32 | other.start))
