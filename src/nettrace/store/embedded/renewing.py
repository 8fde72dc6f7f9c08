"""Sheets that an older program wrote are written again, so that their answers are ready; once, a few at a time."""

from pathlib import Path

from nettrace.model.instant import Instant
from nettrace.store.embedded import sheet
from nettrace.store.embedded.database import Connection, transaction, value
from nettrace.store.embedded.rollup import STEPS

AT_ONCE = 60
"""Sheets read in one transaction: some 20 ms when all of them are written again."""

_DONE = "sheets_renewed"
"""Of `meta`: the newest sheet that was looked at, or `_ALL`."""
_ALL = sheet.sheet_id(STEPS[-1], 0, 1 << 56)


class Renewer:
    """Writes old sheets again, newer steps of time behind older ones."""

    def __init__(self, connection: Connection, path: Path) -> None:
        """`path` is the database's, for what errors say."""
        self._connection = connection
        self._path = path
        self._done = -1

    def slice(self, _now: Instant, _budget_s: float = 0.0) -> bool:
        """Look at some sheets; True when more wait."""
        if self._done < 0:
            self._done = int(value(self._connection, "SELECT value FROM meta WHERE name = ?", (_DONE,)) or 0)
        if self._done >= _ALL:
            return False
        found = list(
            self._connection.execute(
                "SELECT id, body FROM sheet WHERE id > ? ORDER BY id LIMIT ?", (self._done, AT_ONCE)
            )
        )
        done = found[-1][0] if len(found) == AT_ONCE else _ALL
        with transaction(self._connection, self._path):
            for step in STEPS:
                old = [each for each in found if sheet.step_of(each[0]) == step and sheet.is_old(each[1])]
                if old:
                    self._connection.executemany("REPLACE INTO sheet VALUES (?, ?)", sheet.renewed(old, step))
            self._connection.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (_DONE, done))
        self._done = done
        return done != _ALL
