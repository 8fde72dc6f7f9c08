"""The past of one series as far as it is filed: what most questions are about, by one statement and without a transaction.

A window of whole buckets that begins and ends in the past is in sheets alone. The statement that reads them also says whether
anything else has to be looked at: rows that are not filed yet, hours that wait for their rollups, buckets that were
forgotten, series that are new. Then, and for whatever else is asked, the answer is None and `History` gives it.
"""

from collections.abc import Sequence
from pathlib import Path

import apsw

from nettrace.model.instant import NS_PER_S
from nettrace.model.target import Series
from nettrace.store.embedded import answers, sheet, tally
from nettrace.store.embedded.database import Connection, explanation
from nettrace.store.embedded.index import SeriesIndex
from nettrace.store.embedded.packed import Sheet
from nettrace.store.embedded.rollup import DAY_S, HOUR_S
from nettrace.store.port import Choice
from nettrace.store.rows import STEP_S, Columns, Resolution, Summary, Window

_ELSE = (
    " OR EXISTS (SELECT 1 FROM dirty WHERE hour >= ? AND hour < ?) OR EXISTS (SELECT 1 FROM series WHERE id > ?) "
    "OR ? < (SELECT value FROM meta WHERE name = ?)"
)
"""What makes sheets less than the whole answer, beside rows of `rollup`."""

_Found = tuple[int, Series, list[Sheet]]
"""A series, its name and its sheets."""


class Filed:
    """What a reader's sheets say for themselves."""

    def __init__(self, connection: Connection, path: Path, index: SeriesIndex) -> None:
        """`path` is the database's, for what errors say."""
        self._connection = connection
        self._path = path
        self._index = index

    def history(
        self, choice: Choice, window: Window, resolution: Resolution, quantiles: Sequence[float]
    ) -> list[Columns] | None:
        """As `StoreReader.history`, of hours and days."""
        step = STEP_S[resolution]
        found = self._sheets(choice, window, step) if step in (HOUR_S, DAY_S) else None
        if found is None:
            return None
        number, series, sheets = found
        start, end = window.start // NS_PER_S, window.end // NS_PER_S
        parts = sheet.within(sheets, step, start, end)
        if step == DAY_S and sum(len(each.series) for each in parts) != (end - start) // DAY_S:
            return None  # there may be hours of a day that has none
        return answers.columns(answers.separate(parts, quantiles), {number: series}, resolution, quantiles)

    def summary(self, choice: Choice, window: Window, quantiles: Sequence[float]) -> list[Summary] | None:
        """As `StoreReader.summary`, of whole days."""
        found = self._sheets(choice, window, DAY_S)
        if found is None:
            return None
        number, series, sheets = found
        start, end = window.start // NS_PER_S, window.end // NS_PER_S
        summed = sheet.total(sheets, DAY_S, start, end)
        if summed is not None:
            total, days = summed
            whole = days == (end - start) // DAY_S
            return [answers.summary(series, window, total, quantiles)] if whole else None
        parts = sheet.within(sheets, DAY_S, start, end)
        if sum(len(each.series) for each in parts) != (end - start) // DAY_S:
            return None
        return answers.summaries(tally.summed(parts), {number: series}, window, quantiles)

    def _sheets(self, choice: Choice, window: Window, step: int) -> _Found | None:
        """The sheets of the one series that is meant, where they are all there is in the window."""
        width = step * NS_PER_S
        if window.start % width or window.end % width or window.start >= window.end:
            return None
        known = self._index.known(choice)
        if len(known) != 1:
            return None
        ((number, series),) = known.items()
        start, end = window.start // NS_PER_S, window.end // NS_PER_S
        few = sheet.fetch_few(number, step, start, end)
        if few is None:
            return None
        statement, bindings = few
        more = (start // HOUR_S, end // HOUR_S, self._index.newest, start, f"rollup_floor_{step}")
        try:
            sheets = list(self._connection.execute(statement + _ELSE, (*bindings, *more)))
        except apsw.Error as error:
            raise explanation(self._path, error) from error
        if sheets and sheets[-1][0] < 0:
            return None
        return number, series, sheets
