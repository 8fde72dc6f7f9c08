"""Answers from the hot rows of `round` alone, exact, without numpy.

The past of a hub is the hot rows and the sealed days together; `Past` is what a reader asks it for. This is the half
that SQLite holds, and the whole of it while no day is sealed.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from math import comb
from operator import itemgetter
from typing import Protocol

from nettrace.model.instant import NS_PER_MS, NS_PER_S, Instant
from nettrace.model.measurement import Outcome
from nettrace.model.target import Series
from nettrace.store.embedded.database import Connection
from nettrace.store.embedded.rounds import Names, Row, round_of
from nettrace.store.embedded.schema import NS_PER_DAY, ROUND_COLUMNS, stored_at
from nettrace.store.rows import STEP_S, Columns, Resolution, Round, Summary, Window
from nettrace.wire.documents import percentile

COLUMNS = ", ".join(ROUND_COLUMNS)
FIRST_SLICE_NS = 300 * NS_PER_S
FEW_SERIES = 4
PAGE = 2_000
NO_MEDIAN_BELOW = 6
EXACT_UP_TO = 1_000


class Past(Protocol):
    """Everything a reader asks of stored rounds. `series` is name by number; one read transaction is open."""

    def rounds(
        self, series: Mapping[int, Series], window: Window, *, limit: int, newest_first: bool = False,
        after: tuple[Instant, Series] | None = None, as_of: Instant | None = None,
    ) -> list[Round]:  # fmt: skip
        """As `StoreReader.rounds`."""
        ...

    def scan(
        self, series: Mapping[int, Series], window: Window, as_of: Instant | None = None
    ) -> Iterator[list[Round]]:
        """As `StoreReader.scan`."""
        ...

    def history(
        self, series: Mapping[int, Series], window: Window, resolution: Resolution, quantiles: Sequence[float],
        as_of: Instant | None = None,
    ) -> list[Columns]:  # fmt: skip
        """As `StoreReader.history`."""
        ...

    def summary(
        self,
        series: Mapping[int, Series],
        window: Window,
        quantiles: Sequence[float],
        as_of: Instant | None = None,
    ) -> list[Summary]:
        """As `StoreReader.summary`."""
        ...

    def round(self, series: int, due: Instant) -> Round | None:
        """The round of a series that was due then."""
        ...

    def requested(self, request: str, window: Window) -> list[Round]:
        """The rounds of an on-demand request by (due, series), sealed ones due within the window."""
        ...


class Hot:
    """The past as far as it lies in `round`."""

    def __init__(self, connection: Connection, names: Names) -> None:
        self._connection = connection
        self._names = names

    def rounds(
        self, series: Mapping[int, Series], window: Window, *, limit: int, newest_first: bool = False,
        after: tuple[Instant, Series] | None = None, as_of: Instant | None = None,
    ) -> list[Round]:  # fmt: skip
        """Rounds by (due, series); with many series in slices of time that grow until there are enough."""
        start, end = window.start, window.end
        if after is not None:
            start, end = (start, min(end, after[0] + 1)) if newest_first else (max(start, after[0]), end)
        if len(series) <= FEW_SERIES:
            return self._few(series, Window(start, end), limit, after, as_of, newest_first=newest_first)
        found: list[tuple[Instant, Series, int]] = []
        for low, high in self._slices(start, end, newest_first=newest_first):
            keys = self._keys(series, Window(low, high), limit, as_of, newest_first=newest_first)
            keys.sort(reverse=newest_first)
            found += keys if after is None else [key for key in keys if _behind(key[:2], after, newest_first)]
            if len(found) >= limit:
                break
        made = (self.round(number, due) for due, _, number in found[:limit])
        return [each for each in made if each is not None]

    def _few(
        self, series: Mapping[int, Series], window: Window, limit: int, after: tuple[Instant, Series] | None,
        as_of: Instant | None, *, newest_first: bool,
    ) -> list[Round]:  # fmt: skip
        sql = f"SELECT {COLUMNS} {_found(as_of, newest_first)}"
        rows = [
            (row[1], name, row)
            for number, name in series.items()
            for row in self._connection.execute(sql, (number, window.start, window.end, limit + 1))
            if after is None or _behind((row[1], name), after, newest_first)
        ]
        rows.sort(key=itemgetter(0, 1), reverse=newest_first)
        return [round_of(Row(*row), self._names) for _, _, row in rows[:limit]]

    def _slices(
        self, start: Instant, end: Instant, *, newest_first: bool
    ) -> Iterator[tuple[Instant, Instant]]:
        if start >= end:
            return
        first, last = self.bounds()
        start, end = max(start, first), min(end, last + 1)
        width = FIRST_SLICE_NS
        while start < end:
            if newest_first:
                middle = max(start, end - width)
                yield middle, end
                end = middle
            else:
                middle = min(end, start + width)
                yield start, middle
                start = middle
            width *= 2

    def bounds(self) -> tuple[Instant, Instant]:
        """Due of the oldest and the newest hot round; (0, -1) without any."""
        for low, high in self._connection.execute(
            "SELECT min((SELECT min(due) FROM round WHERE series = id)), max((SELECT max(due) FROM round"
            " WHERE series = id)) FROM series"
        ):
            if low is not None:
                return low, high
        return 0, -1

    def _keys(
        self, series: Mapping[int, Series], window: Window, limit: int, as_of: Instant | None, *, newest_first: bool
    ) -> list[tuple[Instant, Series, int]]:  # fmt: skip
        """What identifies the rounds: of each series one more than the limit, as `after` may be among them."""
        sql = f"SELECT due {_found(as_of, newest_first)}"
        return [
            (due, name, number)
            for number, name in series.items()
            for (due,) in self._connection.execute(sql, (number, window.start, window.end, limit + 1))
        ]

    def scan(
        self, series: Mapping[int, Series], window: Window, as_of: Instant | None = None
    ) -> Iterator[list[Round]]:
        """Pages by day, then series, then due."""
        first, last = self.bounds()
        start, end = max(window.start, first), min(window.end, last + 1)
        ordered = sorted(series, key=lambda number: series[number])
        page: list[Round] = []
        while start < end:
            stop = min(end, (start // NS_PER_DAY + 1) * NS_PER_DAY)
            for number in ordered:
                for row in self.rows(number, Window(start, stop), as_of):
                    page.append(round_of(row, self._names))
                    if len(page) == PAGE:
                        yield page
                        page = []
            start = stop
        if page:
            yield page

    def rows(self, number: int, window: Window, as_of: Instant | None = None) -> Iterator[Row]:
        """The rows of one series by due."""
        for raw in self._connection.execute(
            f"SELECT {COLUMNS} FROM round WHERE series = ? AND due >= ? AND due < ? ORDER BY due",  # noqa: S608
            (number, window.start, window.end),
        ):
            row = Row(*raw)
            if as_of is None or stored_at(row.due, row.stored) <= as_of:
                yield row

    def history(
        self, series: Mapping[int, Series], window: Window, resolution: Resolution, quantiles: Sequence[float],
        as_of: Instant | None = None,
    ) -> list[Columns]:  # fmt: skip
        """Buckets counted from the rounds themselves."""
        step = STEP_S[resolution] * NS_PER_S
        made: list[Columns] = []
        for number in sorted(series, key=lambda each: series[each]):
            rounds = (round_of(row, self._names) for row in self.rows(number, window, as_of))
            columns = columns_of(series[number], resolution, quantiles)
            for start, bucket in groupby(rounds, key=lambda each: each.due // step * step):
                add_bucket(columns, start, list(bucket), quantiles)
            if columns.start:
                made.append(columns)
        return made

    def summary(
        self,
        series: Mapping[int, Series],
        window: Window,
        quantiles: Sequence[float],
        as_of: Instant | None = None,
    ) -> list[Summary]:
        """Whole windows counted from the rounds themselves."""
        made: list[Summary] = []
        for number in sorted(series, key=lambda each: series[each]):
            rounds = [round_of(row, self._names) for row in self.rows(number, window, as_of)]
            if rounds:
                made.append(summarise(series[number], window, rounds, quantiles))
        return made

    def round(self, series: int, due: Instant) -> Round | None:
        """One round by its key."""
        for row in self._connection.execute(
            f"SELECT {COLUMNS} FROM round WHERE series = ? AND due = ?",  # noqa: S608
            (series, due),
        ):
            return round_of(Row(*row), self._names)
        return None


def _found(as_of: Instant | None, newest_first: bool) -> str:  # noqa: FBT001
    """The end of a query for one series' rounds of a window."""
    known = "" if as_of is None else f" AND (due / {NS_PER_MS} + stored) * {NS_PER_MS} <= {int(as_of)}"
    order = "DESC" if newest_first else "ASC"
    return f"FROM round WHERE series = ? AND due >= ? AND due < ?{known} ORDER BY due {order} LIMIT ?"


def _behind(place: tuple[Instant, Series], after: tuple[Instant, Series], newest_first: bool) -> bool:  # noqa: FBT001
    return place < after if newest_first else place > after


def quantile_name(fraction: float) -> str:
    """The key of a quantile: `p50` for 0.5.

    >>> quantile_name(0.999)
    'p99.9'
    """
    return f"p{round(fraction * 100, 6):g}"


def columns_of(series: Series, resolution: Resolution, quantiles: Sequence[float]) -> Columns:
    """Columns without a bucket yet."""
    return Columns(
        series=series, resolution=resolution, start=[], rounds=[], measured=[], failed=[], not_measured=[],
        sent=[], received=[], min_ns=[], max_ns=[], mean_ns=[],
        quantiles_ns={quantile_name(each): [] for each in quantiles},
    )  # fmt: skip


def add_bucket(columns: Columns, start: Instant, rounds: Sequence[Round], quantiles: Sequence[float]) -> None:
    """Put the bucket that these rounds make behind the others."""
    answered = _answered(rounds)
    columns.start.append(start)
    columns.rounds.append(len(rounds))
    for outcome, counts in zip(
        Outcome, (columns.measured, columns.failed, columns.not_measured), strict=True
    ):
        counts.append(sum(each.outcome is outcome for each in rounds))
    columns.sent.append(sum(each.sent for each in rounds))
    columns.received.append(sum(each.received for each in rounds))
    columns.min_ns.append(answered[0] if answered else None)
    columns.max_ns.append(answered[-1] if answered else None)
    columns.mean_ns.append(sum(answered) // len(answered) if answered else None)
    for each in quantiles:
        columns.quantiles_ns[quantile_name(each)].append(percentile(answered, each))


def summarise(series: Series, window: Window, rounds: Sequence[Round], quantiles: Sequence[float]) -> Summary:
    """What these rounds of one series come to."""
    answered = _answered(rounds)
    low, high = median_interval(answered)
    outcomes = [each.outcome for each in rounds]
    return Summary(
        series=series, window=window, rounds=len(rounds),
        measured=outcomes.count(Outcome.MEASURED), failed=outcomes.count(Outcome.FAILED),
        not_measured=outcomes.count(Outcome.NOT_MEASURED),
        sent=sum(each.sent for each in rounds), received=sum(each.received for each in rounds),
        min_ns=answered[0] if answered else None, max_ns=answered[-1] if answered else None,
        mean_ns=sum(answered) // len(answered) if answered else None,
        quantiles_ns={quantile_name(each): percentile(answered, each) for each in quantiles},
        low_p50_ns=low, high_p50_ns=high,
    )  # fmt: skip


def _answered(rounds: Sequence[Round]) -> list[int]:
    return sorted(sample for each in rounds for sample in each.samples_ns if sample is not None)


def median_interval(answered: Sequence[int]) -> tuple[int, int] | tuple[None, None]:
    """The 95 % interval of the median of sorted values by order statistics; (None, None) with fewer than 6.

    Conover, Practical Nonparametric Statistics, 3.2: ranks l and n+1-l with P(Binomial(n, 1/2) < l) <= 2.5 %.

    >>> median_interval([1, 2, 3, 4, 5, 6, 7, 8, 9, 10])
    (2, 9)
    """
    count = len(answered)
    if count < NO_MEDIAN_BELOW:
        return None, None
    rank = median_rank(count)
    return answered[rank - 1], answered[count - rank]


def median_rank(count: int) -> int:
    """The lower rank of the median's 95 % interval, from 1; exact up to 1,000 values, then by the normal law."""
    if count > EXACT_UP_TO:
        return max(1, int((count - 1.959964 * count**0.5) / 2))
    below, rank, bound = 0, 0, 2**count * 25
    while (below := below + comb(count, rank)) * 1000 <= bound:
        rank += 1
    return rank
