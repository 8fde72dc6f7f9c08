"""A window cut into the coarsest pieces that are stored: days, hours, quarters, and single rounds at the edges.

Every stored round of the window is counted exactly once: what rollups do not hold yet (`dirty`), no longer hold (their
floor) or hold only together with rounds outside the window comes from the rounds themselves.
"""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt

from nettrace.model.instant import NS_PER_S, Instant
from nettrace.store.embedded import tally
from nettrace.store.embedded.database import Connection
from nettrace.store.embedded.raw import Raw
from nettrace.store.embedded.rollup import DAY_S, HOUR_S, QUARTER_S, RAW_S, fetch_parts, floor_s, sparse
from nettrace.store.embedded.schema import NS_PER_DAY, NS_PER_HOUR, SLOT_NS
from nettrace.store.embedded.sheet import SPAN, sheet_id
from nettrace.store.embedded.tally import Tally

CLOSE_HOURS = 4
"""Between hours no further apart the rounds are read at once."""

LONG_NS = 400 * NS_PER_DAY
"""Of a longer window it is asked first in which part of it there can be anything: people ask for "ever"."""

FINER = {DAY_S: HOUR_S, HOUR_S: QUARTER_S, QUARTER_S: 0}


class Cover:
    """Counts of a window for some series, from whatever holds them at the least cost.

    Args:
        bucket_s: width of the buckets that rounds taken singly are counted into; what is coarser stays so.
    """

    def __init__(self, connection: Connection, segments: Path, bucket_s: int) -> None:
        self._connection = connection
        self._raw = Raw(connection, segments)
        self._bucket_s = bucket_s
        self._dirty: dict[int, set[int]] = {}
        self._bounds: tuple[Instant, Instant] | None = None
        self._coarsest_s = 0
        self._whole: list[Tally] = []
        self._parts: list[Tally] = []

    def gathered(
        self, series: Sequence[int], start: Instant, end: Instant, coarsest_s: int
    ) -> tuple[list[Tally], list[Tally]]:
        """Buckets that together hold each round of [start, end) once; `coarsest_s` is the widest rollup to use.

        First the rollups that are so wide, each of which holds all there is in its time; then everything else.
        """
        self._bounds = None
        if end - start > LONG_NS:
            start, end = self._within(series, start, end)
        self._coarsest_s, self._whole, self._parts = coarsest_s, [], []
        self._dirty = self._find_dirty(series, start, end)
        self._gather(list(series), start, end, coarsest_s)
        return self._whole, self._parts

    def _within(self, series: Sequence[int], start: Instant, end: Instant) -> tuple[Instant, Instant]:
        """The part of a window in which there can be anything."""
        if self._bounds is None:
            self._bounds = self._stored(series)
        return max(start, self._bounds[0]), min(end, self._bounds[1])

    def _stored(self, series: Sequence[int]) -> tuple[Instant, Instant]:
        """The first day of which there may be anything, and behind the last thing there is."""
        wanted = msgspec.json.encode(list(series)).decode()
        bounds = list(
            self._connection.execute(
                "SELECT min(l), max(h) FROM ("  # noqa: S608 - own words
                f"SELECT (SELECT min(slot) FROM round) * {SLOT_NS} l, "
                f"(SELECT max(slot) + 1 FROM round) * {SLOT_NS} - 1 h UNION ALL "
                "SELECT min(min_due), max(max_due) FROM segment WHERE state = 'live' UNION ALL "
                "SELECT (SELECT min(start) FROM rollup WHERE series = j.value AND step = 86400) * 1000000000, "
                "(SELECT max(start) + 86400 FROM rollup WHERE series = j.value AND step = 86400) * 1000000000 "
                "FROM json_each(?1) j UNION ALL SELECT "
                "((SELECT min(id) FROM sheet WHERE id >= ?2 AND id < ?3) >> 32 & 16777215) * ?4, "
                "(((SELECT max(id) FROM sheet WHERE id >= ?2 AND id < ?3) >> 32 & 16777215) + 1) * ?4)",
                (wanted, sheet_id(DAY_S, 0), sheet_id(DAY_S, 0, 1 << 56), SPAN * NS_PER_DAY),
            )
        )
        low, high = bounds[0]
        return (0, 0) if low is None else (int(low) // NS_PER_DAY * NS_PER_DAY, int(high) + 1)

    def _find_dirty(self, series: Sequence[int], start: Instant, end: Instant) -> dict[int, set[int]]:
        wanted = set(series)
        found: dict[int, set[int]] = defaultdict(set)
        for hour, number in self._connection.execute(
            "SELECT hour, series FROM dirty WHERE hour >= max(?, "  # noqa: S608 - own words
            # of older hours rollups know more than the rounds that are left
            f"ifnull((SELECT value FROM meta WHERE name = 'rollup_floor_{RAW_S}'), 0) / {HOUR_S}) AND hour <= ?",
            (start // NS_PER_HOUR, max(start, end - 1) // NS_PER_HOUR),
        ):
            if number in wanted:
                found[int(hour)].add(int(number))
        return found

    def _gather(self, series: list[int], start: Instant, end: Instant, step: int) -> None:
        if start >= end or not series:
            return
        if step == 0:
            self._take_rounds(series, start, end)
            return
        width = step * NS_PER_S
        low, high = -(-start // width) * width, end // width * width
        if step != DAY_S:  # day buckets are kept for ever
            low = max(low, min(high, floor_s(self._connection, step) * NS_PER_S))
        if low >= high:
            self._gather(series, start, end, FINER[step])
            return
        self._gather(series, start, low, FINER[step])
        self._gather(series, high, end, FINER[step])
        if step == DAY_S:
            self._take_days(series, low, high)
        else:
            self._take_hours(series, low, high, step)

    def _take_rounds(
        self, series: list[int], start: Instant, end: Instant, keys: npt.NDArray[np.int64] | None = None
    ) -> None:
        """Count the rounds of a stretch; `keys` are the (hour, series) that are meant, when not all are."""
        counted = self._raw.counted(series, start, end)
        if keys is not None:
            counted = counted.kept(np.isin(counted.due // NS_PER_HOUR << 32 | counted.series, keys))
        self._parts.append(
            tally.of_rounds(counted, counted.due // (self._bucket_s * NS_PER_S) * self._bucket_s)
        )

    def _take_days(self, series: list[int], low: Instant, high: Instant) -> None:
        days = fetch_parts(self._connection, series, DAY_S, low // NS_PER_S, high // NS_PER_S)
        first, last = low // NS_PER_DAY, high // NS_PER_DAY
        if sum(len(each.series) for each in days) == len(series) * (last - first) and not any(
            first <= hour // 24 < last for hour in self._dirty
        ):  # a day of every series, and nothing came since it was made
            self._whole += days
            return
        place = {number: row for row, number in enumerate(series)}
        there = np.zeros((len(series), last - first), bool)
        cells = [
            (
                np.array([place[number] for number in each.series.tolist()], np.int64),
                each.start // DAY_S - first,
            )
            for each in days
        ]
        for cell in cells:
            there[cell] = True
        for hour, numbers in self._dirty.items():
            if first <= hour // 24 < last:
                there[[place[number] for number in numbers], hour // 24 - first] = False
        self._whole += [each.kept(there[cell]) for each, cell in zip(days, cells, strict=True)]
        for some, begin, stop in _stretches(series, ~there):
            span = self._within(series, (first + begin) * NS_PER_DAY, (first + stop) * NS_PER_DAY)
            self._gather(some, *span, HOUR_S)

    def _take_hours(self, series: list[int], low: Instant, high: Instant, step: int) -> None:
        """Rollups of a step, and rounds for the hours that these do not hold yet."""
        rolled = fetch_parts(self._connection, series, step, low // NS_PER_S, high // NS_PER_S)
        first, last = low // NS_PER_HOUR, -(-high // NS_PER_HOUR)
        wanted = set(series)
        lacking = {
            hour: some & wanted
            for hour, some in self._dirty.items()
            if first <= hour < last and some & wanted
        }
        if step == QUARTER_S:
            for hour, some in sparse(self._connection, series, low // NS_PER_S, high // NS_PER_S).items():
                lacking[hour] = lacking.get(hour, set()) | some
        missing = {hour: sorted(some) for hour, some in lacking.items()}
        if missing:
            keys = np.array(
                [hour << 32 | number for hour, some in missing.items() for number in some], np.int64
            )
            rolled = [each.kept(~np.isin(each.start // HOUR_S << 32 | each.series, keys)) for each in rolled]
            for hours in _clusters(sorted(missing)):
                self._take_rounds(
                    sorted({number for hour in hours for number in missing[hour]}),
                    max(low, hours[0] * NS_PER_HOUR), min(high, (hours[-1] + 1) * NS_PER_HOUR), keys,
                )  # fmt: skip
        (self._whole if step == self._coarsest_s else self._parts).extend(rolled)


def _stretches(series: list[int], missing: npt.NDArray[np.bool_]) -> list[tuple[list[int], int, int]]:
    """Which series lack which days: consecutive days that the same ones lack go together."""
    found: dict[int, list[int]] = {}
    for day in np.flatnonzero(missing.any(axis=0)).tolist():
        found[day] = [series[row] for row in np.flatnonzero(missing[:, day]).tolist()]
    return _runs(found)


def _clusters(hours: list[int]) -> list[list[int]]:
    """Hours that lie close together: it is cheaper to read what is between them too than to ask twice.

    >>> _clusters([1, 2, 5, 60])
    [[1, 2, 5], [60]]
    """
    found: list[list[int]] = []
    for hour in hours:
        if found and hour - found[-1][-1] <= CLOSE_HOURS:
            found[-1].append(hour)
        else:
            found.append([hour])
    return found


def _runs(wanted: dict[int, list[int]]) -> list[tuple[list[int], int, int]]:
    """Consecutive numbers that want the same series, as (series, first, behind the last)."""
    runs: list[tuple[list[int], int, int]] = []
    for number in sorted(wanted):
        if runs and runs[-1][2] == number and runs[-1][0] == wanted[number]:
            runs[-1] = (runs[-1][0], runs[-1][1], number + 1)
        else:
            runs.append((wanted[number], number, number + 1))
    return runs
