"""Quantile sketches that merge by addition: how many values fell into each of 1,600 fixed buckets.

The buckets are those of DDSketch (Masson, Rim, Lee: "DDSketch", VLDB 2019), rounded to whole numbers so that the bound
holds without a floating-point logarithm: bucket `b` is all integers of which `ESTIMATE[b]` is within 1 %. Buckets never
move, so merging is exact addition in any order, and the error of a quantile is that of one bucket at any depth of merging.

Many sketches are worked on at once, as three parallel arrays; a store keeps each as a few bytes (`Sketches.encode`).
"""

import itertools
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Final, Protocol

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
_NOTHING: Final = np.empty(0, np.int64)

_VALUES: Final = np.append(ESTIMATE, -1)
"""The estimate of each bucket; -1 for "bucket" -1, which is none."""


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


class Source(Protocol):
    """Where sketches come from that are decoded when somebody looks into them.

    `totals` is how many values each holds.
    """

    totals: Ints

    def knows(self, fractions: Sequence[float]) -> bool:
        """True when these quantiles are known without `load`."""
        ...

    def buckets(self, fractions: Sequence[float]) -> Ints:
        """The bucket of each of these quantiles, a row a sketch; -1 in the rows of empty ones."""
        ...

    def load(self) -> "Sketches":
        """The sketches themselves."""
        ...

    def added(self, groups: Ints, size: int) -> Ints | None:
        """Counts of all buckets of each group, one group behind the other, where that is cheaper than `load`."""
        ...

    def kept(self, places: npt.NDArray[np.bool_]) -> "Source":
        """Those sketches alone."""
        ...


class Sketches:
    """Many sketches at once: of each (`owners`, 0 to `size` - 1, in order) the buckets in order and their counts."""

    __slots__ = ("_buckets", "_counts", "_edges", "_owners", "_sizes", "_source", "size")

    def __init__(self, owners: Ints | None, buckets: Ints, counts: Ints, size: int) -> None:
        self._owners = owners
        self._sizes: Ints | None = None
        self._buckets = buckets
        self._counts = counts
        self.size = size
        self._edges: tuple[Ints, Ints] | None = None
        self._source: Source | None = None

    @classmethod
    def later(cls, source: Source) -> "Sketches":
        """Sketches that are not decoded before somebody asks for more than is known of them."""
        made = cls(None, _NOTHING, _NOTHING, len(source.totals))
        made._source = source
        return made

    def loaded(self) -> "Sketches":
        """The same, decoded."""
        self._load()
        return self

    def _load(self) -> None:
        """Decode what was not yet."""
        if self._source is not None:
            made = self._source.load()
            self._source = None
            self._owners, self._sizes, self._edges = made._owners, made._sizes, made._edges
            self._buckets, self._counts = made._buckets, made._counts

    @property
    def buckets(self) -> Ints:
        """The buckets of all sketches."""
        self._load()
        return self._buckets

    @property
    def counts(self) -> Ints:
        """How many values each of the buckets holds."""
        self._load()
        return self._counts

    @property
    def owners(self) -> Ints:
        """Whose each bucket is; made when it is asked for."""
        self._load()
        if self._owners is None:
            assert self._sizes is not None  # noqa: S101 - one of both is always known
            self._owners = np.repeat(np.arange(self.size), self._sizes)
        return self._owners

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
        made = cls(None, buckets, counts, len(sizes))
        made._sizes = sizes
        before = _running(counts)
        made._edges = before, before[_running(sizes)]
        return made

    @classmethod
    def decode(cls, blobs: Sequence[bytes]) -> "Sketches":
        """The sketches that `encode` wrote, one owner a blob; `ValueError` for bytes it did not write."""
        data = np.frombuffer(b"".join(blobs), np.uint8)
        lengths = np.fromiter(map(len, blobs), np.int64, len(blobs))
        numbers, starts = read_varints(data)
        if len(numbers) % 2:
            raise ValueError("a sketch is cut off in the middle of a bucket")
        gaps, counts = numbers[::2], numbers[1::2]
        edges = starts[::2].searchsorted(_running(lengths))
        sizes = edges[1:] - edges[:-1]
        buckets = gaps.cumsum()
        if len(gaps):
            some = sizes.nonzero()[0] if len(blobs) > 1 and not sizes.all() else slice(None)
            first = edges[:-1][some]
            buckets -= (buckets[first] - gaps[first]).repeat(sizes[some])
            if int(buckets.max()) >= BUCKETS or int(gaps.min()) < 0 or int(counts.min()) < 1:
                raise ValueError("a sketch names a bucket that does not exist, or that is empty")
        return cls.of_sizes(sizes, buckets, counts)

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
        where = np.asarray(groups, np.int64)
        if self._source is not None and size and (sums := self._source.added(where, size)) is not None:
            return _of_keys(sums.nonzero()[0], sums[sums > 0], size)
        if size == 1 and not where.any():  # all of them into one
            return _summed(self.buckets, self.counts, 1)
        where = where[self.owners]
        if int(where.min(initial=0)) >= 0:
            return _summed(where * BUCKETS + self.buckets, self.counts, size)
        kept = where >= 0
        return _summed(where[kept] * BUCKETS + self.buckets[kept], self.counts[kept], size)

    def kept(self, places: npt.NDArray[np.bool_]) -> "Sketches":
        """Those sketches alone."""
        if self._source is not None:
            return Sketches.later(self._source.kept(places))
        numbers = np.where(places, np.cumsum(places) - 1, -1)
        return self.merged(numbers, int(places.sum()))

    @classmethod
    def joined(cls, parts: Iterable["Sketches"]) -> "Sketches":
        """Sum of sketches with the same owners, e.g. of rollups and of raw edges."""
        held = list(parts)
        size = max(part.size for part in held)
        keys = np.concatenate([part.owners * BUCKETS + part.buckets for part in held])
        return _summed(keys, np.concatenate([part.counts for part in held]), size)

    def knows(self, fractions: Sequence[float]) -> bool:
        """True when these quantiles are known without decoding anything."""
        return self._source is not None and self._source.knows(fractions)

    def totals(self) -> Ints:
        """How many values each sketch holds."""
        if self._source is not None:
            return self._source.totals
        edges = self._summed_up()[1]
        return edges[1:] - edges[:-1]

    def _summed_up(self) -> tuple[Ints, Ints]:
        """How many values lie before each entry, and before the first of each owner; made once."""
        if self._edges is None:
            before = _running(self.counts)
            self._edges = before, before[self.owners.searchsorted(np.arange(self.size + 1))]
        return self._edges

    def at_ranks(self, ranks: Ints) -> Ints:
        """The bucket that holds each rank (from 1): `ranks` has a row an owner; -1 where an owner has no such rank."""
        before, edges = self._summed_up()
        base = edges[:-1, None]
        wanted = base + ranks
        known = (wanted > base) & (wanted <= edges[1:, None])
        if known.all():
            return self.buckets[before.searchsorted(wanted) - 1]
        if not len(self.buckets):
            return np.full(ranks.shape, -1)
        place = before.searchsorted(np.where(known, wanted, 1)) - 1
        return np.where(known, self.buckets[place], -1)

    def ranks(self, fractions: Sequence[float]) -> Ints:
        """Nearest ranks of quantiles, a row an owner, a column a fraction; 0 in the rows of empty sketches."""
        parts = np.array([_parts(fraction) for fraction in fractions], np.int64)
        totals = self.totals()[:, None]
        return np.maximum((parts * totals + (_PARTS - 1)) // _PARTS, totals > 0)

    def quantiles(self, fractions: Sequence[float]) -> Ints:
        """Nearest-rank quantiles, a row an owner, a column a fraction; -1 in the rows of empty sketches."""
        if self._source is not None and self._source.knows(fractions):
            return estimates(self._source.buckets(fractions))
        return estimates(self.at_ranks(self.ranks(fractions)))


def estimates(buckets: Ints) -> Ints:
    """What stands for the values of these buckets; -1 for -1.

    >>> import numpy as np
    >>> estimates(np.array([3, -1])).tolist()
    [3, -1]
    """
    return _VALUES[buckets]


@lru_cache(maxsize=1_000)
def _parts(fraction: float) -> int:
    if not 0 <= fraction <= 1:
        raise ValueError(f"a quantile is between 0 and 1, not {fraction}")
    return round(fraction * _PARTS)


def _running(numbers: Ints) -> Ints:
    """The sum before each number, and behind the last."""
    sums = np.zeros(len(numbers) + 1, np.int64)
    numbers.cumsum(out=sums[1:])
    return sums


def _summed(keys: Ints, counts: Ints, size: int) -> Sketches:
    """Sketches from (owner, bucket) keys in any order, equal ones added."""
    if not len(keys):
        return Sketches(keys, keys, counts, size)
    if size * BUCKETS <= 4 * len(keys):  # dense: one pass over all buckets is cheaper than sorting
        sums = np.zeros(size * BUCKETS, np.int64)
        np.add.at(sums, keys, counts)
        unique = sums.nonzero()[0]
        return _of_keys(unique, sums[unique], size)
    order = keys.argsort(kind="stable")
    sorted_keys = keys[order]
    starts = np.concatenate(([0], (sorted_keys[1:] != sorted_keys[:-1]).nonzero()[0] + 1))
    return _of_keys(sorted_keys[starts], np.add.reduceat(counts[order], starts), size)


def _of_keys(keys: Ints, counts: Ints, size: int) -> Sketches:
    """Sketches from different keys in order."""
    if size == 1:
        return Sketches.of_sizes(np.array([len(keys)]), keys, counts)
    return Sketches(keys // BUCKETS, keys % BUCKETS, counts, size)


def read_varints(data: npt.NDArray[np.uint8]) -> tuple[Ints, Ints]:
    """LEB128 numbers of a byte array, and where each begins."""
    ends = (data < 128).nonzero()[0]
    if len(data) and (not len(ends) or ends[-1] != len(data) - 1):
        raise ValueError("a sketch is cut off in the middle of a number")
    if len(ends) == len(data):
        return data.astype(np.int64), ends
    starts = np.zeros_like(ends)
    np.add(ends[:-1], 1, out=starts[1:])
    numbers = (data[starts] & 127).astype(np.int64)
    long = (ends > starts).nonzero()[0]
    place = 1
    while len(long):
        numbers[long] |= (data[starts[long] + place] & 127).astype(np.int64) << (7 * place)
        place += 1
        long = long[ends[long] - starts[long] >= place]
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
