"""Answers about the past from hot rows, sealed days and rollups together: the `Past` of a folder with history."""

import itertools
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt

from nettrace.model.instant import NS_PER_MS, NS_PER_S, Instant
from nettrace.model.target import Series
from nettrace.store.embedded import answers, tally
from nettrace.store.embedded.arrow import Table
from nettrace.store.embedded.columns import (
    Made,
    hot_columns,
    joined,
    of_hot,
    of_table,
    ordered,
    sealed_columns,
    taken,
)
from nettrace.store.embedded.cover import Cover
from nettrace.store.embedded.database import Connection
from nettrace.store.embedded.hot import Asked, Hot, Sorting
from nettrace.store.embedded.raw import Raw
from nettrace.store.embedded.rollup import DAY_S, HOUR_S, QUARTER_S
from nettrace.store.embedded.rounds import Names
from nettrace.store.embedded.schema import NS_PER_DAY
from nettrace.store.embedded.segments import read_segment, requested_keys, whole
from nettrace.store.embedded.tally import Tally
from nettrace.store.rows import ROUND_FIELDS, STEP_S, Columns, RawColumns, Resolution, Round, Summary, Window

Ints = npt.NDArray[np.int64]

SERIES_AT_ONCE = 32


class History:
    """Everything stored, as one connection sees it; a read transaction is open around each call.

    Counts, means, extremes and rounds are exact. Quantiles come from sketches: within 1 % of the exact ones.
    """

    def __init__(self, connection: Connection, segments: Path, names: Names) -> None:
        self._connection = connection
        self._segments = segments
        self._raw = Raw(connection, segments)
        self._hot = Hot(connection)
        self._names = names

    # -- rounds
    def raw(self, series: Mapping[int, Series], window: Window, asked: Asked) -> RawColumns:
        """As `StoreReader.raw`: day by day as far as sealed days reach, until there are enough."""
        parts: list[Made] = []
        held = 0
        for span, day in self._spans(asked.within(window), newest_first=asked.newest_first):
            left = None if asked.limit is None else asked.limit - held
            part = self._span(series, span, day, msgspec.structs.replace(asked, limit=left))
            if part["due"]:
                parts.append(part)
                held += len(part["due"])
            if asked.limit is not None and held >= asked.limit:
                break
        return joined(parts, asked.fields)

    def _spans(self, window: Window, *, newest_first: bool) -> list[tuple[Window, Path | None]]:
        """The window cut at the bounds of sealed days, each with its file; between them lie hot rows alone."""
        days = dict(self._raw.days(window.start, window.end))
        cuts = {window.start, window.end}
        for day in days:
            cuts |= {day * NS_PER_DAY, (day + 1) * NS_PER_DAY}
        inside = sorted(cut for cut in cuts if window.start <= cut <= window.end)
        spans = [(Window(*span), days.get(span[0] // NS_PER_DAY)) for span in itertools.pairwise(inside)]
        return spans[::-1] if newest_first else spans

    def _span(self, series: Mapping[int, Series], span: Window, day: Path | None, asked: Asked) -> Made:
        """Rounds of a stretch that no bound of a sealed day divides, each once: the sealed one where both have it."""
        hot = self._hot.held(series, span, hot_columns(asked.fields), asked)
        if day is None:
            return of_hot(hot, asked.fields, self._names)
        table = self._sealed(series, day, span, asked)
        sealed = of_table(table, asked.fields, series)
        if not hot["due"]:
            return sealed
        keys = set(zip(whole(table, "series").tolist(), sealed["due"], strict=True))
        places = [at for at, key in enumerate(zip(hot["series"], hot["due"], strict=True)) if key not in keys]
        if not places:
            return sealed
        late = ordered(of_hot(hot, asked.fields, self._names), places)
        both: Made = {field: [*column, *late[field]] for field, column in sealed.items()}
        by_series = asked.order is Sorting.SERIES
        places = sorted(
            range(len(both["due"])),
            key=lambda at: (both["series"][at], both["due"][at]) if by_series else (both["due"][at], both["series"][at]),
            reverse=asked.newest_first,
        )  # fmt: skip
        return ordered(both, places[: asked.limit])

    def _sealed(self, series: Mapping[int, Series], path: Path, span: Window, asked: Asked) -> Table:
        """Rows of a sealed day, those wanted alone and in the order wanted, before any of them becomes an object."""
        columns = (*sealed_columns(asked.fields), *(("stored_at",) if asked.as_of is not None else ()))
        wanted = np.sort(np.fromiter(series, np.int64, len(series)))
        span = _narrowed(path, wanted, span, asked)
        table = read_segment(path, wanted, span.start, span.end, columns)
        names = sorted(series, key=lambda number: series[number])
        rank = np.zeros(int(wanted[-1]) + 1 if len(wanted) else 0, np.int64)
        rank[names] = np.arange(len(names))
        due, place = whole(table, "due"), rank[whole(table, "series")]
        kept = np.ones(len(due), bool)
        if asked.as_of is not None:
            kept &= whole(table, "stored_at") * NS_PER_MS <= asked.as_of
        if asked.after is not None:
            had, name = asked.after
            if asked.newest_first:
                kept &= (due < had) | (
                    (due == had) & (place < bisect_left(names, name, key=series.__getitem__))
                )
            else:
                kept &= (due > had) | (
                    (due == had) & (place >= bisect_right(names, name, key=series.__getitem__))
                )
        places = np.flatnonzero(kept)
        keys = (due, place) if asked.order is Sorting.SERIES else (place, due)
        order = places[np.lexsort([key[places] for key in keys])]
        if asked.newest_first:
            order = order[::-1]
        return taken(table, order[: asked.limit])

    def raw_scan(self, series: Mapping[int, Series], window: Window, asked: Asked) -> Iterator[RawColumns]:
        """As `StoreReader.raw_scan`: some series of one day at a time."""
        asked = msgspec.structs.replace(asked, order=Sorting.SERIES, limit=None)
        ordered_series = sorted(series, key=lambda number: series[number])
        first, last = self._hot.bounds()
        sealed = dict(self._raw.days(window.start, window.end))
        days = set(sealed)
        if last >= first:
            days |= set(
                range(max(window.start, first) // NS_PER_DAY, min(window.end - 1, last) // NS_PER_DAY + 1)
            )
        for day in sorted(days):
            span = Window(max(window.start, day * NS_PER_DAY), min(window.end, (day + 1) * NS_PER_DAY))
            for some in _batches(ordered_series, SERIES_AT_ONCE):
                part = self._span({number: series[number] for number in some}, span, sealed.get(day), asked)
                if part["due"]:
                    yield joined([part], asked.fields)

    def round(self, series: int, due: Instant) -> Round | None:
        """The round of a series that was due then."""
        found = self._hot.row(series, due, hot_columns(ROUND_FIELDS))
        if found["due"]:
            return joined([of_hot(found, ROUND_FIELDS, self._names)], ROUND_FIELDS).rounds()[0]
        for _, path in self._raw.days(due, due + 1):
            table = read_segment(path, np.array([series]), due, due + 1, sealed_columns(ROUND_FIELDS))
            if table.num_rows:
                made = of_table(table, ROUND_FIELDS, {series: self._names.series(series)})
                return joined([made], ROUND_FIELDS).rounds()[0]
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
        parts, rest = self._gathered(list(series), window, step, as_of)
        if rest:
            finer = tally.joined(rest)
            parts = [*parts, finer.merged(finer.start // step * step)]
        return answers.columns(answers.separate(parts, quantiles), series, resolution, quantiles)

    def summary(
        self,
        series: Mapping[int, Series],
        window: Window,
        quantiles: Sequence[float],
        as_of: Instant | None = None,
    ) -> list[Summary]:
        """As `StoreReader.summary`."""
        whole_of, rest = self._gathered(list(series), window, None, as_of)
        return answers.summaries(tally.summed([*whole_of, *rest]), series, window, quantiles)

    def _gathered(
        self, series: list[int], window: Window, step: int | None, as_of: Instant | None
    ) -> tuple[list[Tally], list[Tally]]:
        """Counts of a window in buckets of `step`, or of any width; behind them those of narrower ones."""
        if not series or window.start >= window.end:
            return [], []
        bucket = step or DAY_S
        if as_of is not None:
            counted = self._raw.counted(series, window.start, window.end, as_of)
            return [], [tally.of_rounds(counted, counted.due // (bucket * NS_PER_S) * bucket)]
        coarsest = max((each for each in (QUARTER_S, HOUR_S, DAY_S) if each <= bucket), default=0)
        return Cover(self._connection, self._segments, bucket).gathered(
            series, window.start, window.end, coarsest
        )


def _narrowed(path: Path, series: Ints, span: Window, asked: Asked) -> Window:
    """The part of a span that holds the rows wanted of many series: found by when they were due alone."""
    if asked.limit is None or len(series) <= SERIES_AT_ONCE:
        return span
    keys = read_segment(path, series, span.start, span.end, () if asked.as_of is None else ("stored_at",))
    due = whole(keys, "due")
    if asked.as_of is not None:
        due = due[whole(keys, "stored_at") * NS_PER_MS <= asked.as_of]
    enough = asked.limit + (
        0 if asked.after is None else len(series)
    )  # those due with `after` may have been had
    if len(due) <= enough:
        return span
    if asked.newest_first:
        return Window(int(np.partition(due, -enough)[-enough]), span.end)
    return Window(span.start, int(np.partition(due, enough - 1)[enough - 1]) + 1)


def _batches(numbers: Sequence[int], size: int) -> Iterator[Sequence[int]]:
    return (numbers[place : place + size] for place in range(0, len(numbers), size))
