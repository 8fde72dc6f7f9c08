"""Quantile sketches that merge by addition: how many values fell into each of 1,600 fixed buckets.

The buckets are those of DDSketch (Masson, Rim, Lee: "DDSketch", VLDB 2019), rounded to whole numbers so that the bound
holds without a floating-point logarithm: bucket `b` is all integers of which `ESTIMATE[b]` is within 1 %. Buckets never
move, so merging is exact addition in any order, and the error of a quantile is that of one bucket at any depth of merging.

Many sketches are worked on at once, as three parallel arrays; a store keeps each as a few bytes (`Sketches.encode`).
"""

import itertools
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Final

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]

RELATIVE_ERROR: Final = 0.01
"""No quantile is further from the exact one of the same rank, as a part of it."""

LARGEST: Final = 2**50
"""Values above this (13 days in ns) count as this."""

_PARTS: Final = 1_000_000
"""Quantiles are told apart to a millionth: then ranks are whole-number arithmetic."""

_MANTISSA_BITS: Final = 7
_SHIFT: Final = 52 - _MANTISSA_BITS


def _buckets() -> tuple[Ints, Ints, Ints]:
    """First and last value and estimate of each bucket, each as wide as 1 % permits; bucket 0 is 0 alone."""
    rows = [(0, 0, 0)]
    while rows[-1][1] < LARGEST:
        first = rows[-1][1] + 1
        estimate = first * 101 // 100
        rows.append((first, estimate * 100 // 99, estimate))
    table = np.array(rows, dtype=np.int64)
    return table[:, 0].copy(), table[:, 1].copy(), table[:, 2].copy()


FIRST, LAST, ESTIMATE = _buckets()
"""Smallest and largest value of each bucket, and what stands for all of them: each within 1 % of both."""

BUCKETS: Final = len(FIRST)


def _cells() -> npt.NDArray[np.int16]:
    """The bucket of the smallest value with each exponent and leading mantissa bits: a cell is narrower than a bucket."""
    smallest = np.arange((1023 + 51) << _MANTISSA_BITS, dtype=np.int64) << _SHIFT
    values = np.ceil(np.minimum(smallest.view(np.float64), float(LARGEST)))
    return np.searchsorted(LAST, values.astype(np.int64), "left").astype(np.int16)


_CELLS = _cells()


def bucket_of(values: Ints) -> Ints:
    """The bucket of each value. Negative values count as 0, values above `LARGEST` as that.

    >>> import numpy as np
    >>> int(ESTIMATE[bucket_of(np.array([41_500_000]))[0]])
    41840574
    """
    bounded = np.clip(values, 0, LARGEST)
    found = _CELLS[bounded.astype(np.float64).view(np.int64) >> _SHIFT].astype(np.int64)
    found += bounded > LAST[found]  # a cell may reach into the next bucket, never further
    return found


def rank(fraction: float, count: int) -> int:
    """The nearest rank ceil(q n), at least 1: which of `count` sorted values is the quantile, counted from 1.

    In whole numbers, to a millionth of the quantile: 0.55 of 100 values is the 55th, whatever 0.55 * 100 is in floats.

    >>> rank(0.5, 4), rank(0.55, 100), rank(0.99, 60), rank(0.0, 9)
    (2, 55, 60, 1)
    """
    return max(1, -(-_parts(fraction) * count // _PARTS))


@lru_cache(maxsize=10_000)
def median_ranks(count: int) -> tuple[int, int] | None:
    """Ranks (from 1) of the order statistics that hold the median with 95 % confidence; None below 6 values.

    The number of values below the median is binomial (n, 1/2) whatever the distribution (David and Nagaraja, "Order
    Statistics", 7.1): exact up to 200 values, beyond that its normal approximation, rounded outwards.

    >>> median_ranks(5), median_ranks(6), median_ranks(100)
    (None, (1, 6), (40, 61))
    """
    if count < 6:
        return None
    if count > 200:
        low = int((count - 1.96 * count**0.5) / 2)
        return low, count - low + 1
    low, term, below = 0, 1, 1  # below = sum of C(n, 0..low)
    while below * 40 <= 2**count:
        low += 1
        term = term * (count - low + 1) // low
        below += term
    return low, count - low + 1


class Sketches:
    """Many sketches at once: of each (`owners`, 0 to `size` - 1, in order) the buckets in order and their counts."""

    __slots__ = ("_edges", "buckets", "counts", "owners", "size")

    def __init__(self, owners: Ints, buckets: Ints, counts: Ints, size: int) -> None:
        self.owners = owners
        self.buckets = buckets
        self.counts = counts
        self.size = size
        self._edges: tuple[Ints, Ints] | None = None

    @classmethod
    def of_values(cls, values: Ints, owners: Ints, size: int) -> "Sketches":
        """A sketch for each owner over its values; `values` and `owners` are parallel, in any order.

        >>> import numpy as np
        >>> made = Sketches.of_values(np.array([10, 20, 30]), np.array([0, 0, 1]), 2)
        >>> made.quantiles([0.5, 1.0]).tolist()
        [[10, 20], [30, 30]]
        """
        return _summed(owners * BUCKETS + bucket_of(values), np.ones(len(values), np.int64), size)

    @classmethod
    def of_sizes(cls, sizes: Ints, buckets: Ints, counts: Ints) -> "Sketches":
        """Sketches whose buckets and counts are known, so many of each."""
        made = cls(np.repeat(np.arange(len(sizes)), sizes), buckets, counts, len(sizes))
        before = np.concatenate(([0], np.cumsum(counts)))
        made._edges = before, before[np.concatenate(([0], np.cumsum(sizes)))]
        return made

    @classmethod
    def decode(cls, blobs: Sequence[bytes]) -> "Sketches":
        """The sketches that `encode` wrote, one owner a blob; `ValueError` for bytes it did not write."""
        data = np.frombuffer(b"".join(blobs), np.uint8)
        lengths = np.fromiter(map(len, blobs), np.int64, len(blobs))
        numbers, starts = read_varints(data)
        if len(numbers) % 2:
            raise ValueError("a sketch is cut off in the middle of a bucket")
        owners = np.repeat(np.arange(len(blobs)), lengths)[starts[::2]]
        gaps, counts = numbers[::2], numbers[1::2]
        buckets = np.cumsum(gaps)
        if len(gaps):
            first = np.flatnonzero(np.diff(owners, prepend=-1))
            buckets -= np.repeat(buckets[first] - gaps[first], np.diff(first, append=len(gaps)))
            if int(buckets.max()) >= BUCKETS or int(gaps.min()) < 0 or int(counts.min()) < 1:
                raise ValueError("a sketch names a bucket that does not exist, or that is empty")
        return cls(owners, buckets, counts, len(blobs))

    def encode(self) -> list[bytes]:
        """Each sketch as bytes: distance to the bucket before and count, LEB128: two bytes a bucket, mostly.

        An owner without values gets no bytes. Counts are of any size.
        """
        gaps = np.diff(self.buckets, prepend=0)
        first = np.flatnonzero(np.diff(self.owners, prepend=-1))
        gaps[first] = self.buckets[first]
        numbers = np.empty(2 * len(gaps), np.int64)
        numbers[::2], numbers[1::2] = gaps, self.counts
        data, ends = write_varints(numbers)
        last = np.concatenate(([0], ends[1::2]))[np.searchsorted(self.owners, np.arange(self.size), "right")]
        cuts = np.concatenate(([0], last)).tolist()
        return [data[start:end] for start, end in itertools.pairwise(cuts)]

    def merged(self, groups: Ints, size: int) -> "Sketches":
        """Sums: sketch `i` goes into group `groups[i]`, of 0 to `size` - 1; a negative group is left out."""
        where = np.asarray(groups, np.int64)[self.owners]
        kept = where >= 0
        return _summed(where[kept] * BUCKETS + self.buckets[kept], self.counts[kept], size)

    @classmethod
    def joined(cls, parts: Iterable["Sketches"]) -> "Sketches":
        """Sum of sketches with the same owners, e.g. of rollups and of raw edges."""
        held = list(parts)
        size = max(part.size for part in held)
        keys = np.concatenate([part.owners * BUCKETS + part.buckets for part in held])
        return _summed(keys, np.concatenate([part.counts for part in held]), size)

    def totals(self) -> Ints:
        """How many values each sketch holds."""
        return np.diff(self._summed_up()[1])

    def _summed_up(self) -> tuple[Ints, Ints]:
        """How many values lie before each entry, and before the first of each owner; made once."""
        if self._edges is None:
            before = np.concatenate(([0], np.cumsum(self.counts)))
            self._edges = before, before[np.searchsorted(self.owners, np.arange(self.size + 1), "left")]
        return self._edges

    def at_ranks(self, ranks: Ints) -> Ints:
        """The bucket that holds each rank (from 1): `ranks` has a row an owner; -1 where an owner has no such rank."""
        before, edges = self._summed_up()
        base, held = edges[:-1, None], np.diff(edges)[:, None]
        known = (ranks >= 1) & (ranks <= held)
        place = np.searchsorted(before, np.where(known, base + ranks, 1), "left") - 1
        found = self.buckets[np.minimum(place, len(self.buckets) - 1)] if len(self.buckets) else place
        return np.where(known, found, -1)

    def quantiles(self, fractions: Sequence[float]) -> Ints:
        """Nearest-rank quantiles, a row an owner, a column a fraction; -1 in the rows of empty sketches."""
        parts = np.array([_parts(fraction) for fraction in fractions], np.int64)
        totals = self.totals()[:, None]
        found = self.at_ranks(np.where(totals > 0, np.maximum(1, -(-parts[None, :] * totals // _PARTS)), 0))
        return np.where(found >= 0, ESTIMATE[found], -1)


def _parts(fraction: float) -> int:
    if not 0 <= fraction <= 1:
        raise ValueError(f"a quantile is between 0 and 1, not {fraction}")
    return round(fraction * _PARTS)


def _summed(keys: Ints, counts: Ints, size: int) -> Sketches:
    """Sketches from (owner, bucket) keys in any order, equal ones added."""
    if not len(keys):
        return Sketches(keys, keys, counts, size)
    if size * BUCKETS <= 4 * len(keys):  # dense: one pass over all buckets is cheaper than sorting
        sums = np.zeros(size * BUCKETS, np.int64)
        np.add.at(sums, keys, counts)
        unique = np.flatnonzero(sums)
        return Sketches(unique // BUCKETS, unique % BUCKETS, sums[unique], size)
    order = np.argsort(keys, kind="stable")
    sorted_keys = keys[order]
    starts = np.flatnonzero(np.diff(sorted_keys, prepend=-1))
    unique = sorted_keys[starts]
    return Sketches(unique // BUCKETS, unique % BUCKETS, np.add.reduceat(counts[order], starts), size)


def read_varints(data: npt.NDArray[np.uint8]) -> tuple[Ints, Ints]:
    """LEB128 numbers of a byte array, and where each begins."""
    ends = np.flatnonzero(data < 128)
    if len(data) and (not len(ends) or ends[-1] != len(data) - 1):
        raise ValueError("a sketch is cut off in the middle of a number")
    starts = np.concatenate(([0], ends[:-1] + 1)) if len(ends) else ends
    numbers = (data[starts] & 127).astype(np.int64)
    extra = ends - starts
    for place in range(1, int(extra.max(initial=0)) + 1):
        long = np.flatnonzero(extra >= place)
        numbers[long] |= (data[starts[long] + place] & 127).astype(np.int64) << (7 * place)
    return numbers, starts


def write_varints(numbers: Ints) -> tuple[bytes, Ints]:
    """LEB128 bytes of whole numbers, and the offset behind each."""
    lengths = np.ones(len(numbers), np.int64)
    rest = numbers >> 7
    while rest.any():
        lengths += rest > 0
        rest >>= 7
    ends = np.cumsum(lengths)
    starts = ends - lengths
    data = np.empty(int(ends[-1]) if len(ends) else 0, np.uint8)
    for place in range(int(lengths.max(initial=0))):
        there = np.flatnonzero(lengths > place)
        more = (lengths[there] > place + 1).astype(np.int64) << 7
        data[starts[there] + place] = ((numbers[there] >> (7 * place)) & 127) | more
    return data.tobytes(), ends
