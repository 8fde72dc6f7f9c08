"""Answers about the past from hot rows, sealed days and rollups together: the `Past` of a folder with history."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nettrace.analysis.sketches.quantile import FIRST, LAST, median_ranks
from nettrace.model.instant import NS_PER_MS, NS_PER_S, Instant
from nettrace.model.measurement import Outcome, Reason
from nettrace.model.target import Series
from nettrace.store.embedded import tally
from nettrace.store.embedded.arrow import Table, pa
from nettrace.store.embedded.cover import Cover
from nettrace.store.embedded.database import Connection
from nettrace.store.embedded.hot import Hot, quantile_name
from nettrace.store.embedded.raw import Raw
from nettrace.store.embedded.rollup import DAY_S, HOUR_S, QUARTER_S
from nettrace.store.embedded.rounds import Names, round_id, round_of
from nettrace.store.embedded.schema import NS_PER_DAY, NS_PER_US, STAGES
from nettrace.store.embedded.segments import read_segment, requested_keys, whole, words
from nettrace.store.embedded.tally import Tally
from nettrace.store.rows import STEP_S, Columns, Resolution, Round, Summary, Window

Ints = npt.NDArray[np.int64]

PAGE = 2_000
SERIES_AT_ONCE = 32
EVERY = 2**31


class History:
    """Everything stored, as one connection sees it; a read transaction is open around each call.

    Counts, means, extremes and rounds are exact. Quantiles come from sketches: within 1 % of the exact ones.
    """

    def __init__(self, connection: Connection, segments: Path, names: Names) -> None:
        self._connection = connection
        self._segments = segments
        self._raw = Raw(connection, segments)
        self._hot = Hot(connection, names)
        self._names = names

    # -- rounds
    def rounds(
        self, series: Mapping[int, Series], window: Window, *, limit: int, newest_first: bool = False,
        after: tuple[Instant, Series] | None = None, as_of: Instant | None = None,
    ) -> list[Round]:  # fmt: skip
        """As `StoreReader.rounds`: day by day as far as sealed days reach, until there are enough."""
        if not series:
            return []
        start, end = window.start, window.end
        if after is not None:
            start, end = (start, min(end, after[0] + 1)) if newest_first else (max(start, after[0]), end)
        found: list[Round] = []
        for low, high in self._spans(start, end, newest_first=newest_first):
            page = self._page(series, Window(low, high), limit + len(series), newest_first, as_of)
            if after is not None:
                page = [each for each in page if _behind((each.due, each.series), after, newest_first)]
            found += page
            if len(found) >= limit:
                break
        return found[:limit]

    def _spans(self, start: Instant, end: Instant, *, newest_first: bool) -> list[tuple[Instant, Instant]]:
        """The window cut at the bounds of sealed days; between them lie hot rows alone."""
        cuts = {start, end}
        for day, _ in self._raw.days(start, end):
            cuts |= {day * NS_PER_DAY, (day + 1) * NS_PER_DAY}
        inside = sorted(cut for cut in cuts if start <= cut <= end)
        spans = list(itertools.pairwise(inside))
        return spans[::-1] if newest_first else spans

    def _page(
        self, series: Mapping[int, Series], window: Window, limit: int, newest_first: bool, as_of: Instant | None  # noqa: FBT001
    ) -> list[Round]:  # fmt: skip
        hot = self._hot.rounds(series, window, limit=limit, newest_first=newest_first, as_of=as_of)
        sealed = self._sealed(series, window, limit, newest_first, as_of)
        return _once(sealed, hot, newest_first)[:limit] if sealed else hot

    def _sealed(
        self, series: Mapping[int, Series], window: Window, limit: int, newest_first: bool, as_of: Instant | None  # noqa: FBT001
    ) -> list[Round]:  # fmt: skip
        """Sealed rounds among which the first `limit` by due are."""
        wanted = np.sort(np.fromiter(series, np.int64, len(series)))
        return [
            each
            for _, path in self._raw.days(window.start, window.end)
            for each in sealed_rounds(
                _first_rows(read_segment(path, wanted, window.start, window.end), limit, newest_first, as_of), series
            )
        ]  # fmt: skip

    def scan(
        self, series: Mapping[int, Series], window: Window, as_of: Instant | None = None
    ) -> Iterator[list[Round]]:
        """As `StoreReader.scan`: some series of one day at a time, in pages."""
        ordered = sorted(series, key=lambda number: series[number])
        first, last = self._hot.bounds()
        days = [day for day, _ in self._raw.days(window.start, window.end)]
        if last >= first:
            days += range(max(window.start, first) // NS_PER_DAY, min(window.end - 1, last) // NS_PER_DAY + 1)
        page: list[Round] = []
        for day in sorted(set(days)):
            span = Window(max(window.start, day * NS_PER_DAY), min(window.end, (day + 1) * NS_PER_DAY))
            for place in range(0, len(ordered), SERIES_AT_ONCE):
                page += self._day(
                    {number: series[number] for number in ordered[place : place + SERIES_AT_ONCE]},
                    span,
                    as_of,
                )
                while len(page) >= PAGE:
                    yield page[:PAGE]
                    page = page[PAGE:]
        if page:
            yield page

    def _day(self, series: Mapping[int, Series], span: Window, as_of: Instant | None) -> list[Round]:
        """All rounds of some series within a day, by (series, due)."""
        hot = [round_of(row, self._names) for number in series for row in self._hot.rows(number, span, as_of)]
        sealed = self._sealed(series, span, EVERY, newest_first=False, as_of=as_of)
        return sorted(_once(sealed, hot, newest_first=False), key=lambda each: (each.series, each.due))

    def round(self, series: int, due: Instant) -> Round | None:
        """The round of a series that was due then."""
        found = self._hot.round(series, due)
        if found is not None:
            return found
        for _, path in self._raw.days(due, due + 1):
            table = read_segment(path, np.array([series]), due, due + 1)
            if table.num_rows:
                return sealed_rounds(table, {series: self._names.series(series)})[0]
        return None

    def requested(self, request: str, window: Window) -> list[Round]:
        """Rounds of an on-demand request: an index finds the hot ones, sealed days are looked through."""
        keys = {
            (int(series), int(due))
            for series, due in self._connection.execute(
                "SELECT series, due FROM round WHERE request = ?", (request,)
            )
        }
        for _, path in self._raw.days(window.start, window.end):
            keys |= requested_keys(path, request)
        found = [self.round(series, due) for series, due in keys]
        return sorted((each for each in found if each is not None), key=lambda each: (each.due, each.series))

    # -- buckets and windows
    def history(
        self, series: Mapping[int, Series], window: Window, resolution: Resolution, quantiles: Sequence[float],
        as_of: Instant | None = None,
    ) -> list[Columns]:  # fmt: skip
        """As `StoreReader.history`."""
        step = STEP_S[resolution]
        found = self._counts(list(series), window, step, as_of)
        buckets = found.merged(found.start // step * step)
        return _columns(buckets, series, resolution, quantiles)

    def summary(
        self,
        series: Mapping[int, Series],
        window: Window,
        quantiles: Sequence[float],
        as_of: Instant | None = None,
    ) -> list[Summary]:
        """As `StoreReader.summary`."""
        found = self._counts(list(series), window, None, as_of)
        return _summaries(found.merged(np.zeros_like(found.start)), series, window, quantiles)

    def _counts(
        self, series: list[int], window: Window, step: int | None, as_of: Instant | None
    ) -> Tally:  # fmt: skip
        """Counts of a window in buckets no wider than `step`, or of any width."""
        if not series or window.start >= window.end:
            return tally.empty()
        bucket = step or DAY_S
        if as_of is not None:
            counted = self._raw.counted(series, window.start, window.end, as_of)
            return tally.of_rounds(counted, counted.due // (bucket * NS_PER_S) * bucket)
        coarsest = max((each for each in (QUARTER_S, HOUR_S, DAY_S) if each <= bucket), default=0)
        return Cover(self._connection, self._segments, bucket).counts(
            series, window.start, window.end, coarsest
        )


def _behind(place: tuple[Instant, Series], after: tuple[Instant, Series], newest_first: bool) -> bool:  # noqa: FBT001
    return place < after if newest_first else place > after


def _first_rows(table: Table, limit: int, newest_first: bool, as_of: Instant | None) -> Table:  # noqa: FBT001
    """The rows that can be among the first `limit` by due, before any of them becomes an object."""
    if as_of is not None:
        table = table.take(pa.array(np.flatnonzero(whole(table, "stored_at") * NS_PER_MS <= as_of)))
    if table.num_rows <= limit:
        return table
    due = whole(table, "due")
    order = np.argsort(-due if newest_first else due, kind="stable")
    edge = due[order[limit - 1]]
    return table.take(pa.array(np.flatnonzero(due >= edge if newest_first else due <= edge)))


def _once(sealed: list[Round], hot: list[Round], newest_first: bool) -> list[Round]:  # noqa: FBT001
    """Both by (due, series), each round once; the sealed one stands where both have it."""
    held = {each.id: each for each in hot}
    held.update({each.id: each for each in sealed})
    return sorted(held.values(), key=lambda each: (each.due, each.series), reverse=newest_first)


def sealed_rounds(table: Table, series: Mapping[int, Series]) -> list[Round]:
    """The rounds of a sealed day's rows."""
    times = (
        whole(table, "due").tolist(), (whole(table, "begun_at") * NS_PER_US).tolist(),
        (whole(table, "stored_at") * NS_PER_MS).tolist(),
    )  # fmt: skip
    stages = [words(table, f"{name}_ns") for name in STAGES]
    others = [words(table, name) for name in _OTHERS]
    return [
        _round(series, *row) for row in zip(*times, zip(*stages, strict=True), *others, strict=True)
    ]  # fmt: skip


_OTHERS = (
    "series", "outcome", "reason", "address", "sent", "received", "not_measured", "rtt_ns", "error_ns", "grade",
    "samples_ns", "status", "tls_version", "route", "hop_count", "clock", "request",
)  # fmt: skip


def _round(series: Mapping[int, Series], due: Instant, at: Instant, stored: Instant, *row: Any) -> Round:
    """A round from the stages and `_OTHERS` of its row."""
    (
        stages, number, outcome, reason, address, sent, received, not_measured, rtt, error, grade, listed, status,
        tls, route, hops, clock, request,
    ) = row  # fmt: skip
    samples = (rtt,) if listed is None else tuple(listed)
    answered = [each for each in samples if each is not None]
    return Round(
        id=round_id(number, due), series=series[number], due=due, at=at, outcome=Outcome(outcome),
        reason=None if reason is None else Reason(reason), address=address, sent=sent, received=received,
        not_measured=not_measured, rtt_ns=rtt, min_ns=min(answered, default=None),
        max_ns=max(answered, default=None), error_ns=error, grade=grade, samples_ns=samples,
        stages_ns={name: each for name, each in zip(STAGES, stages, strict=True) if each is not None},
        status=status, tls_version=tls, route=route, hop_count=hops, clock=clock, request=request, stored_at=stored,
    )  # fmt: skip


def _columns(
    buckets: Tally, series: Mapping[int, Series], resolution: Resolution, quantiles: Sequence[float]
) -> list[Columns]:
    answered = buckets.sketches.totals()
    mean = _or_none(np.where(answered > 0, buckets.total // np.maximum(answered, 1), -1))
    low, high = _or_none(buckets.low), _or_none(buckets.high)
    found = _bounded(buckets, buckets.sketches.quantiles(quantiles))
    values = {quantile_name(each): _or_none(found[:, place]) for place, each in enumerate(quantiles)}
    plain = [each.tolist() for each in buckets[2:8]]
    starts = (buckets.start * NS_PER_S).tolist()
    edges = np.flatnonzero(np.diff(buckets.series, prepend=-1, append=-1)).tolist()
    made = [
        Columns(
            series=series[int(buckets.series[a])], resolution=resolution, start=starts[a:b], rounds=plain[0][a:b],
            measured=plain[1][a:b], failed=plain[2][a:b], not_measured=plain[3][a:b], sent=plain[4][a:b],
            received=plain[5][a:b], min_ns=low[a:b], max_ns=high[a:b], mean_ns=mean[a:b],
            quantiles_ns={name: column[a:b] for name, column in values.items()},
        )
        for a, b in itertools.pairwise(edges)
    ]  # fmt: skip
    return sorted(made, key=lambda each: each.series)


def _summaries(
    whole_of: Tally, series: Mapping[int, Series], window: Window, quantiles: Sequence[float]
) -> list[Summary]:
    answered = whole_of.sketches.totals()
    found = _bounded(whole_of, whole_of.sketches.quantiles(quantiles))
    ranks = [median_ranks(count) or (0, 0) for count in answered.tolist()]
    edges = whole_of.sketches.at_ranks(np.array(ranks, np.int64).reshape(-1, 2))
    interval = np.column_stack((  # outwards to the buckets' ends: it holds the median at least as surely
        np.where(edges[:, 0] >= 0, np.maximum(FIRST[edges[:, 0]], whole_of.low), -1),
        np.where(edges[:, 1] >= 0, np.minimum(LAST[edges[:, 1]], whole_of.high), -1),
    ))  # fmt: skip
    made: list[Summary] = []
    for row, number in enumerate(whole_of.series.tolist()):
        count = int(answered[row])
        counts = [int(each[row]) for each in whole_of[2:8]]
        low, high = _or_none(interval[row])
        values = _or_none(found[row])
        made.append(
            Summary(
                series=series[number], window=window, rounds=counts[0], measured=counts[1], failed=counts[2],
                not_measured=counts[3], sent=counts[4], received=counts[5],
                min_ns=int(whole_of.low[row]) if count else None, max_ns=int(whole_of.high[row]) if count else None,
                mean_ns=int(whole_of.total[row]) // count if count else None,
                quantiles_ns={quantile_name(each): values[place] for place, each in enumerate(quantiles)},
                low_p50_ns=low, high_p50_ns=high,
            )
        )  # fmt: skip
    return sorted(made, key=lambda each: each.series)


def _bounded(buckets: Tally, found: Ints) -> Ints:
    """Quantiles no smaller than the smallest value and no larger than the largest, which are known exactly."""
    return np.where(found >= 0, np.clip(found, buckets.low[:, None], buckets.high[:, None]), -1)


def _or_none(values: Ints) -> list[int | None]:
    return [None if each < 0 else each for each in values.tolist()]
