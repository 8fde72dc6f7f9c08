"""Rollups of closed days, 24 buckets of a series to a row of `sheet`: six hours of quarters, or a day of hours.

A month of hours is then 30 rows instead of 720, and a third of the room. A row's `id` is step, span of time and series, so
that spans of one time lie together: they are appended as days close and forgotten from the other end.

A body is a header of five 16-bit numbers (buckets, runs, bytes of the runs, bytes of the places, entries of all sketches) and:
- runs: for as many buckets in a row as are alike in them, their number and the six counts, LEB128;
- places: of each bucket how many places it lies behind the one before, less one, the zigzag of what its minimum differs from
  that one's (plus one: 0 is "nothing answered"), maximum above minimum, sum above so many minima, entries of its sketch;
- entries: one byte each, distance to the entry before less one (of the first: to the bucket of the minimum) and count
  less one in four bits each; 15 says that the rest follows behind the entries, LEB128.
"""

from collections.abc import Iterator, Sequence

import msgspec
import numpy as np
import numpy.typing as npt

from nettrace.analysis.sketches.quantile import BUCKETS, Sketches, bucket_of, read_varints, write_varints
from nettrace.errors import StoreCorrupt
from nettrace.store.embedded import tally
from nettrace.store.embedded.database import RESTORE, Connection
from nettrace.store.embedded.tally import NONE, Tally

Ints = npt.NDArray[np.int64]
Sheet = tuple[int, bytes]
"""A row: id and body."""

SPAN = 24
"""Buckets a sheet has room for."""

_SHORTEST_S = 900
_HEADER = 10
_FULL = 15


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
    counts = np.stack(made[2:8])
    turns = new.copy()
    turns[1:] |= (np.diff(counts, axis=1) != 0).any(axis=0)
    runs = np.flatnonzero(turns)
    run_bytes, run_cuts = _written(np.column_stack((np.diff(runs, append=len(span)), counts[:, runs].T)))
    run_bounds = np.searchsorted(runs, bounds)
    entries = np.bincount(made.sketches.owners, minlength=len(span)).astype(np.int64)
    place_bytes, place_cuts = _written(np.column_stack(_places(made, step, first, entries)))
    nibbles, entry_bounds = _nibbles(made, entries), np.concatenate(([0], np.cumsum(entries)))[bounds]
    long = nibbles >= _FULL
    rest, rest_cuts = _written((nibbles[long] - _FULL)[:, None])
    rest_bounds = np.concatenate(([0], np.cumsum(long)))[2 * entry_bounds]
    short = np.minimum(nibbles, _FULL).astype(np.uint8)
    packed = (short[::2] << 4 | short[1::2]).tobytes()
    pieces = [
        (data, cuts.tolist()) for data, cuts in (
            (run_bytes, run_cuts[run_bounds]), (place_bytes, place_cuts[bounds]), (packed, entry_bounds),
            (rest, rest_cuts[rest_bounds]),
        )
    ]  # fmt: skip
    sizes = [np.diff(each) for each in (bounds, run_bounds, *(np.array(cuts) for _, cuts in pieces[:3]))]
    headers = np.column_stack(sizes).astype("<u2").tobytes()
    return [
        (
            sheet_id(step, int(made.start[at]), int(made.series[at])),
            headers[row * _HEADER : (row + 1) * _HEADER]
            + b"".join(data[cuts[row] : cuts[row + 1]] for data, cuts in pieces),
        )
        for row, at in enumerate(first.tolist())
    ]


def _written(rows: Ints) -> tuple[bytes, Ints]:
    """Rows of numbers as LEB128, and where each row begins and the last one ends."""
    data, ends = write_varints(rows.ravel())
    width = rows.shape[1]
    return data, np.concatenate(([0], ends[width - 1 :: width]))


def _places(made: Tally, step: int, first: Ints, entries: Ints) -> tuple[Ints, ...]:
    place = made.start // step % SPAN
    gaps = np.diff(place, prepend=0) - 1
    gaps[first] = place[first]
    off = np.diff(made.low + 1, prepend=0)
    off[first] = made.low[first] + 1
    answered = made.sketches.totals()
    least = np.maximum(made.low, 0)
    above = np.where(made.high >= 0, made.high - made.low, 0)
    return gaps, off << 1 ^ off >> 63, above, made.total - answered * least, entries


def _nibbles(made: Tally, entries: Ints) -> Ints:
    """Of every entry of every sketch the distance and the count, in turn."""
    sketches = made.sketches
    found = np.empty(2 * len(sketches.buckets), np.int64)
    found[::2] = np.diff(sketches.buckets, prepend=0) - 1
    first = (np.cumsum(entries) - entries)[entries > 0]
    found[2 * first] = sketches.buckets[first] - bucket_of(made.low[entries > 0])
    found[1::2] = sketches.counts - 1
    return found


def decode(sheets: Sequence[Sheet], step: int) -> Tally:
    """The buckets of some sheets of one step, sheet by sheet. Raises StoreCorrupt for bytes that `encode` did not write."""
    if not sheets:
        return tally.empty()
    try:
        return _decode(sheets, step)
    except (ValueError, IndexError) as error:
        raise StoreCorrupt(f"a sheet of rollups of {step} s is damaged ({error})", RESTORE) from error


def _decode(sheets: Sequence[Sheet], step: int) -> Tally:
    sizes = (
        np.frombuffer(b"".join(body[:_HEADER] for _, body in sheets), "<u2").reshape(-1, 5).astype(np.int64)
    )
    runs, places, packed, rest = _pieces(sheets, sizes)
    run_numbers = read_varints(runs)[0].reshape(-1, 7)
    gaps, off, above, over, entries = read_varints(places)[0].reshape(-1, 5).T
    held = sizes[:, 0]
    first = np.cumsum(held) - held
    place = _sums(gaps + 1, first, held) - 1
    low = _sums((off >> 1) ^ -(off & 1), first, held) - 1
    numbers = np.array([number for number, _ in sheets], np.int64)
    sketches = _sketches(packed, rest, entries, low)
    high = np.where(low >= 0, low + above, NONE)
    start = (np.repeat(numbers >> 32 & 0xFFFFFF, held) * SPAN + place) * step
    counts = np.repeat(run_numbers[:, 1:], run_numbers[:, 0], axis=0).T
    series = np.repeat(numbers & 0xFFFFFFFF, held)
    total = over + sketches.totals() * np.maximum(low, 0)
    return Tally._make([series, start, *counts, low, high, total, sketches])


def _pieces(sheets: Sequence[Sheet], sizes: Ints) -> Iterator[npt.NDArray[np.uint8]]:
    """Runs, places, entries and what is behind them, each of all sheets in a row."""
    cuts = (
        np.concatenate((np.zeros((len(sizes), 1), np.int64), np.cumsum(sizes[:, 2:], axis=1)), axis=1)
        + _HEADER
    )
    if any(len(body) < cut for (_, body), cut in zip(sheets, cuts[:, 3].tolist(), strict=True)):
        raise ValueError("it ends too early")
    for place in range(3):
        ends = cuts[:, place : place + 2].tolist()
        yield np.frombuffer(
            b"".join(body[a:b] for (_, body), (a, b) in zip(sheets, ends, strict=True)), np.uint8
        )
    yield np.frombuffer(
        b"".join(body[a:] for (_, body), a in zip(sheets, cuts[:, 3].tolist(), strict=True)), np.uint8
    )


def _sums(values: Ints, first: Ints, sizes: Ints) -> Ints:
    """Running sums that begin anew at each of `first`."""
    sums = np.cumsum(values)
    return sums - np.repeat(sums[first] - values[first], sizes)


def _sketches(
    packed: npt.NDArray[np.uint8], rest: npt.NDArray[np.uint8], entries: Ints, low: Ints
) -> Sketches:
    gaps, counts = (packed >> 4).astype(np.int64), (packed & _FULL).astype(np.int64)
    if len(rest):
        far, many = np.flatnonzero(gaps == _FULL), np.flatnonzero(counts == _FULL)
        behind = np.empty(len(far) + len(many), np.int64)
        behind[np.argsort(np.concatenate((2 * far, 2 * many + 1)))] = read_varints(rest)[0]
        gaps[far] += behind[: len(far)]
        counts[many] += behind[len(far) :]
    some = entries > 0
    first = (np.cumsum(entries) - entries)[some]
    gaps += 1
    gaps[first] += bucket_of(low[some]) - 1
    buckets = _sums(gaps, first, entries[some])
    if len(buckets) and int(buckets.max()) >= BUCKETS:
        raise ValueError("a bucket that does not exist")
    return Sketches(np.repeat(np.arange(len(entries)), entries), buckets, counts + 1, len(entries))


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
