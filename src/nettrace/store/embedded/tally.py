"""Counts and sketches of many buckets at once: what a rollup's row says, made from rounds or from finer buckets."""

import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from nettrace.analysis.sketches.quantile import Sketches
from nettrace.store.embedded.raw import Counted

Ints = npt.NDArray[np.int64]

NONE = -1
"""Stands for "nothing was answered" in `low` and `high`."""

_UNREACHED = 2**62

ROLLUP_COLUMNS = (
    "r.series, r.start, r.rounds, r.measured, r.failed, r.not_measured, r.sent, r.received, "
    f"ifnull(r.min_ns, {NONE}), ifnull(r.max_ns, {NONE}), r.sum_ns, ifnull(r.sketch, x'')"
)
"""What `of_rows` takes of `rollup r`."""


class Tally(NamedTuple):
    """Buckets as parallel arrays. `start` is in seconds; `low`, `high`, `total` are min, max and sum of answered ns."""

    series: Ints
    start: Ints
    rounds: Ints
    measured: Ints
    failed: Ints
    not_measured: Ints
    sent: Ints
    received: Ints
    low: Ints
    high: Ints
    total: Ints
    sketches: Sketches

    def kept(self, places: npt.NDArray[np.bool_]) -> "Tally":
        """Those buckets alone."""
        if places.all():
            return self
        return Tally._make([*(each[places] for each in self[:11]), self.sketches.kept(places)])

    def merged(self, start: Ints) -> "Tally":
        """Sums by (series, start), where `start` is the new bucket of each old one; by series, then start."""
        new = _opens(self.series, start)
        if new is not None:
            return self._replace(start=start) if new.all() else self._added(start, new)
        series, starts, groups, size = _groups(self.series, start)
        low = np.full(size, _UNREACHED)
        np.minimum.at(low, groups, np.where(self.low >= 0, self.low, _UNREACHED))
        high = np.full(size, NONE)
        np.maximum.at(high, groups, self.high)
        counts = [_sum(groups, each, size) for each in self[2:8]]
        return Tally._make([
            series, starts, *counts, np.where(high >= 0, low, NONE), high, _sum(groups, self.total, size),
            self.sketches.merged(groups, size),
        ])  # fmt: skip

    def _added(self, start: Ints, new: npt.NDArray[np.bool_]) -> "Tally":
        """Sums of neighbours: each of `new` opens one."""
        first = new.nonzero()[0]
        sums = np.add.reduceat(np.array([*self[2:8], self.total]), first, axis=1)
        low = np.minimum.reduceat(np.where(self.low >= 0, self.low, _UNREACHED), first)
        high = np.maximum.reduceat(self.high, first)
        sketches = self.sketches.merged(new.cumsum() - 1, len(first))
        low = np.where(high >= 0, low, NONE)
        return Tally._make([self.series[first], start[first], *sums[:6], low, high, sums[6], sketches])


def empty() -> Tally:
    """No buckets."""
    none = np.empty(0, np.int64)
    return Tally._make([*([none] * 11), Sketches(none, none, none, 0)])


def joined(parts: Sequence[Tally]) -> Tally:
    """All buckets of all parts, one behind the other."""
    held = [part for part in parts if len(part.series)]
    if len(held) < 2:
        return held[0] if held else empty()
    shifts = np.cumsum([0, *(len(part.series) for part in held[:-1])])
    columns = [np.concatenate(column) for column in zip(*(part[:11] for part in held), strict=True)]
    sketches = Sketches(
        np.concatenate([part.sketches.owners + shift for part, shift in zip(held, shifts, strict=True)]),
        np.concatenate([part.sketches.buckets for part in held]),
        np.concatenate([part.sketches.counts for part in held]),
        int(shifts[-1]) + len(held[-1].series),
    )
    return Tally._make([*columns, sketches])


def summed(parts: Sequence[Tally]) -> Tally:
    """One bucket of each series, from 1970 on, with everything that is in the parts."""
    sums = [_summed(part) for part in parts if len(part.series)]
    if len(sums) == 1:
        return sums[0]
    return _summed(joined(sums))


def _summed(part: Tally) -> Tally:
    start = np.zeros_like(part.start)
    if not len(start) or not (part.series == part.series[0]).all():
        return part.merged(start)
    sums = np.array([*part[2:8], part.total]).sum(axis=1, keepdims=True)
    high = part.high.max(keepdims=True)
    low = part.low if part.low.min() >= 0 else np.where(part.low >= 0, part.low, _UNREACHED)
    low = low.min(keepdims=True) if high[0] >= 0 else high
    sketches = part.sketches.merged(start, 1)
    return Tally._make([part.series[:1], start[:1], *sums[:6], low, high, sums[6], sketches])


def of_rounds(counted: Counted, start: Ints) -> Tally:
    """Buckets of rounds by (series, start), where `start` is each round's bucket in s."""
    series, starts, groups, size = _groups(counted.series, start)
    owners = groups[counted.owners]
    low = np.full(size, _UNREACHED)
    np.minimum.at(low, owners, counted.samples)
    high = np.full(size, NONE)
    np.maximum.at(high, owners, counted.samples)
    outcomes = [_sum(groups, (counted.outcome == code).astype(np.int64), size) for code in range(3)]
    return Tally._make([
        series, starts, np.bincount(groups, minlength=size).astype(np.int64), *outcomes,
        _sum(groups, counted.sent, size), _sum(groups, counted.received, size),
        np.where(high >= 0, low, NONE), high, _sum(owners, counted.samples, size),
        Sketches.of_values(counted.samples, owners, size),
    ])  # fmt: skip


def of_rows(rows: Sequence[tuple[Any, ...]]) -> Tally:
    """Buckets from rows of `rollup`, as `ROLLUP_COLUMNS` gives them."""
    if not rows:
        return empty()
    *columns, sketches = zip(*rows, strict=True)
    numbers = np.fromiter(itertools.chain.from_iterable(columns), np.int64, len(columns) * len(rows))
    return Tally._make([*numbers.reshape(len(columns), len(rows)), Sketches.decode(sketches)])


def rows_of(tally: Tally, step: int) -> list[tuple[Any, ...]]:
    """Rows of `rollup`, in the order of its columns."""
    columns = [each.tolist() for each in tally[:11]]
    series, start, *counts, low, high, total = columns
    return list(
        zip(
            series, [step] * len(series), start, *counts,
            [None if each < 0 else each for each in low], [None if each < 0 else each for each in high], total,
            [each or None for each in tally.sketches.encode()],
            strict=True,
        )
    )  # fmt: skip


def _opens(series: Ints, start: Ints) -> npt.NDArray[np.bool_] | None:
    """Where another (series, start) begins than the one before; None when they are not in order."""
    if not len(series):
        return None
    later, next_series = start[1:] > start[:-1], series[1:] > series[:-1]
    same = series[1:] == series[:-1]
    if not (next_series | same & (start[1:] >= start[:-1])).all():
        return None
    return np.concatenate(([True], next_series | later))


def _groups(series: Ints, start: Ints) -> tuple[Ints, Ints, Ints, int]:
    """Distinct (series, start) in order, the group of each, and how many groups there are."""
    if not len(series):
        return series, start, series, 0
    order = np.lexsort((start, series))
    ordered_series, ordered_start = series[order], start[order]
    new = np.ones(len(order), bool)
    new[1:] = (np.diff(ordered_series) != 0) | (np.diff(ordered_start) != 0)
    groups = np.empty(len(order), np.int64)
    groups[order] = np.cumsum(new) - 1
    return ordered_series[new], ordered_start[new], groups, int(new.sum())


def _sum(groups: Ints, values: Ints, size: int) -> Ints:
    out = np.zeros(size, np.int64)
    np.add.at(out, groups, values)
    return out
