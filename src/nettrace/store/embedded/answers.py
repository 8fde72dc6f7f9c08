"""Buckets and sums turned into what a reader is given: columns of a series, and summaries of a window."""

import itertools
from bisect import bisect_left
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from nettrace.analysis.sketches.quantile import ESTIMATE, FIRST, LAST, estimates, median_ranks, rank
from nettrace.model.instant import NS_PER_S
from nettrace.model.target import Series
from nettrace.store.embedded import tally
from nettrace.store.embedded.dense import Total
from nettrace.store.embedded.hot import quantile_name
from nettrace.store.embedded.tally import Tally
from nettrace.store.rows import Columns, Resolution, Summary, Window

Ints = npt.NDArray[np.int64]

_ENDS: list[list[int]] = np.stack((FIRST, LAST, ESTIMATE), axis=1).tolist()
"""Of each bucket of a sketch its smallest and largest value and what stands for them, as numbers that need no array."""


def separate(parts: Sequence[Tally], quantiles: Sequence[float]) -> list[Tally]:
    """Parts that have no bucket in common: those that know these quantiles by themselves, all others as one."""
    held = [each for each in parts if len(each.series)]
    knowing = [each for each in held if each.sketches.knows(quantiles)]
    if len(knowing) == len(held):
        return held
    return [*knowing, tally.joined([each for each in held if not each.sketches.knows(quantiles)])]


def _answers(buckets: Tally, quantiles: Sequence[float]) -> list[Ints]:
    """Series, start, the six counts, minimum, maximum, mean and quantiles; -1 is "nothing answered"."""
    answered = buckets.sketches.totals()
    if answered.all():
        mean = buckets.total // answered
    else:
        mean = buckets.total // np.maximum(answered, 1)
        mean[answered == 0] = tally.NONE
    found = _bounded(buckets, buckets.sketches.quantiles(quantiles))
    return [*buckets[:10], mean, *found.T]


def columns(
    parts: Sequence[Tally], series: Mapping[int, Series], resolution: Resolution, quantiles: Sequence[float]
) -> list[Columns]:
    """Buckets that no two parts have in common, a column set a series, by series."""
    if not parts:
        return []
    known = _answers(parts[0], quantiles)
    if len(parts) > 1:
        rest = (_answers(each, quantiles) for each in parts[1:])
        known = [np.concatenate(each) for each in zip(known, *rest, strict=True)]
    order = (known[0] << 33) + known[1]
    if (order[1:] < order[:-1]).any():
        places = order.argsort()
        known = [each[places] for each in known]
    known[1] = known[1] * NS_PER_S
    names = [quantile_name(each) for each in quantiles]
    turns = (known[0][1:] != known[0][:-1]).nonzero()[0] + 1
    made: list[Columns] = []
    for a, b in itertools.pairwise([0, *turns.tolist(), len(order)]):
        starts, rounds, measured, failed, not_measured, sent, received, *values = (
            each[a:b].tolist() for each in known[1:]
        )
        for place in (known[8][a:b] < 0).nonzero()[0].tolist():
            for column in values:
                column[place] = None
        made.append(
            Columns(
                series=series[int(known[0][a])], resolution=resolution, start=starts, rounds=rounds,
                measured=measured, failed=failed, not_measured=not_measured, sent=sent, received=received,
                min_ns=values[0], max_ns=values[1], mean_ns=values[2],
                quantiles_ns=dict(zip(names, values[3:], strict=True)),
            )
        )  # fmt: skip
    return sorted(made, key=lambda each: each.series)


def summaries(
    whole_of: Tally, series: Mapping[int, Series], window: Window, quantiles: Sequence[float]
) -> list[Summary]:
    """One bucket of each series, by series."""
    sketches = whole_of.sketches
    answered = sketches.totals()
    median = np.array([median_ranks(count) or (0, 0) for count in answered.tolist()], np.int64).reshape(-1, 2)
    at = sketches.at_ranks(np.concatenate((median, sketches.ranks(quantiles)), axis=1))
    found = estimates(at)
    # outwards to the buckets' ends: that holds the median at least as surely
    found[:, 0], found[:, 1] = FIRST[at[:, 0]], LAST[at[:, 1]]
    found = _bounded(whole_of, found)
    found[at < 0] = -1
    names = [quantile_name(each) for each in quantiles]
    mean = np.where(answered > 0, whole_of.total // np.maximum(answered, 1), -1)
    rows = zip(np.array([*whole_of[2:10], mean]).T.tolist(), found.tolist(), strict=True)
    made = [
        _summary(series[number], window, known, values, names)
        for number, (known, values) in zip(whole_of.series.tolist(), rows, strict=True)
    ]
    return sorted(made, key=lambda each: each.series)


def summary(series: Series, window: Window, total: Total, quantiles: Sequence[float]) -> Summary:
    """The same of one series whose sum is known: without arrays for what are a few numbers."""
    counts: list[int] = total.counts.tolist()
    sums = list(itertools.accumulate(counts))
    answered = sums[-1]
    mean, values = -1, [-1] * (2 + len(quantiles))
    if answered:
        mean = total.total // answered
        median = median_ranks(answered)
        ranks = [*(median or (1, 1)), *[rank(each, answered) for each in quantiles]]
        at = [total.column + bisect_left(sums, each) for each in ranks]
        values = [_ENDS[at[0]][0], _ENDS[at[1]][1], *[_ENDS[place][2] for place in at[2:]]]
        values = [min(max(value, total.low), total.high) for value in values]
        if median is None:
            values[:2] = -1, -1
    names = [quantile_name(each) for each in quantiles]
    return _summary(series, window, [*total.rounds, total.low, total.high, mean], values, names)


def _summary(
    series: Series, window: Window, known: Sequence[int], values: Sequence[int], names: Sequence[str]
) -> Summary:
    """`known` is the six counts, minimum, maximum and mean, `values` the median's interval and the quantiles."""
    return Summary(
        series=series, window=window, rounds=known[0], measured=known[1], failed=known[2],
        not_measured=known[3], sent=known[4], received=known[5], min_ns=_or_none(known[6]),
        max_ns=_or_none(known[7]), mean_ns=_or_none(known[8]),
        quantiles_ns=dict(zip(names, map(_or_none, values[2:]), strict=True)),
        low_p50_ns=_or_none(values[0]), high_p50_ns=_or_none(values[1]),
    )  # fmt: skip


def _bounded(buckets: Tally, found: Ints) -> Ints:
    """Quantiles no smaller than the smallest value and no larger than the largest, which are known exactly."""
    return np.minimum(np.maximum(found, buckets.low[:, None]), buckets.high[:, None])  # all -1 of empty ones


def _or_none(value: int) -> int | None:
    return None if value < 0 else value
