"""Sheets as version 3 of the schema wrote them: a body without `packed.NOW` in its first number. Read, never written.

A body is a header of five 16-bit numbers (buckets, runs, bytes of the runs, bytes of the places, entries of all sketches) and:
- runs: for as many buckets in a row as are alike in them, their number and the six counts, LEB128;
- places: of each bucket how many places it lies behind the one before, less one, the zigzag of what its minimum differs from
  that one's (plus one: 0 is "nothing answered"), maximum above minimum, sum above so many minima, entries of its sketch;
- entries: one byte each, distance to the entry before less one (of the first: to the bucket of the minimum) and count
  less one in four bits each; 15 says that the rest follows behind the entries, LEB128.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from nettrace.analysis.sketches.quantile import BUCKETS, Sketches, bucket_of, read_varints
from nettrace.store.embedded.tally import NONE, Tally

Ints = npt.NDArray[np.int64]
Bytes = npt.NDArray[np.uint8]

_SPAN = 24
_HEADER = 10
_FULL = 15


def decode_first(sheets: Sequence[tuple[int, bytes]], step: int) -> Tally:
    """The buckets of some sheets of this kind and one step, sheet by sheet. Raises ValueError or IndexError for others."""
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
    start = (np.repeat(numbers >> 32 & 0xFFFFFF, held) * _SPAN + place) * step
    counts = np.repeat(run_numbers[:, 1:], run_numbers[:, 0], axis=0).T
    series = np.repeat(numbers & 0xFFFFFFFF, held)
    total = over + sketches.totals() * np.maximum(low, 0)
    return Tally._make([series, start, *counts, low, high, total, sketches])


def _pieces(sheets: Sequence[tuple[int, bytes]], sizes: Ints) -> Iterator[Bytes]:
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


def _sketches(packed: Bytes, rest: Bytes, entries: Ints, low: Ints) -> Sketches:
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
