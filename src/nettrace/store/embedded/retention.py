"""What is forgotten, and when: a few thousand rows or a file at a time, so that nobody waits.

Deleted pages are used again by what is stored next, so the database stops growing without ever being vacuumed.
"""

from pathlib import Path

from nettrace.model.instant import Instant
from nettrace.store.embedded.database import BEFORE, Connection, transaction, value
from nettrace.store.embedded.rollup import DAY_S, HOUR_S, QUARTER_S, RAW_S, floor_s, set_floor
from nettrace.store.embedded.schema import NS_PER_DAY, SLOT_NS
from nettrace.store.embedded.sheet import sheet_id
from nettrace.store.retention import SETTING, Retention, retention_of

SERIES_AT_ONCE = 16
SHEETS_AT_ONCE = 1_000
ROUNDS_AT_ONCE = 5_000
GRACE_NS = NS_PER_DAY
"""How long a file that was replaced stays for those who still read it."""

COPY_NS = 30 * NS_PER_DAY
"""How long the copy stays that an upgrade made of the database before it: whoever goes back does so within days."""


class Forgetter:
    """Forgets what a data folder need not keep, a slice at a time."""

    def __init__(
        self, connection: Connection, path: Path, segments: Path, retention: Retention | None = None
    ) -> None:
        """`path` is the database's, for what errors say; without `retention` the setting holds."""
        self._connection = connection
        self._path = path
        self._segments = segments
        self._given = retention
        self._series: dict[int, list[int]] = {}
        self._looked = -1

    def slice(self, now: Instant, _budget_s: float = 0.0) -> bool:
        """Forget a little; True when more waits. Raises ConfigError for a setting that is none."""
        kept = self._given or retention_of(
            value(self._connection, "SELECT value FROM setting WHERE name = ?", (SETTING,))
        )
        return (
            self._forget_rollups(now, QUARTER_S, kept.quarter_days)
            or self._forget_rollups(now, HOUR_S, kept.hour_days)
            or self._retire(now, kept.raw_days)
            or self._unlink(now)
            or self._remove_copies(now)
            or self._forget_hot(now, kept.raw_days)
        )

    def _forget_rollups(self, now: Instant, step: int, days: int) -> bool:
        """Whole days at once; first said (readers turn to what is left), then done, some series at a time."""
        limit = (now // NS_PER_DAY - days) * DAY_S
        waiting = self._series.get(step)
        if waiting is None:
            if limit <= floor_s(self._connection, step):
                return False
            with transaction(self._connection, self._path):
                set_floor(self._connection, step, limit)
            self._series[step] = [number for (number,) in self._connection.execute("SELECT id FROM series")]
            return True
        some, rest = waiting[:SERIES_AT_ONCE], waiting[SERIES_AT_ONCE:]
        with transaction(self._connection, self._path):
            self._connection.execute(
                "DELETE FROM sheet WHERE id IN (SELECT id FROM sheet WHERE id >= ? AND id < ? LIMIT ?)",
                (sheet_id(step, 0), sheet_id(step, floor_s(self._connection, step)), SHEETS_AT_ONCE),
            )
            if self._connection.changes() == SHEETS_AT_ONCE:
                return True
            self._connection.executemany(
                "DELETE FROM rollup WHERE series = ? AND step = ? AND start < ?",
                [(number, step, floor_s(self._connection, step)) for number in some],
            )
        if rest:
            self._series[step] = rest
        else:
            del self._series[step]
        return bool(rest)

    def _retire(self, now: Instant, days: int) -> bool:
        """Take days that are too old out of the manifest; first said, so that no rollup is made again from what is left."""
        limit = now // NS_PER_DAY - days
        if limit * DAY_S > floor_s(self._connection, RAW_S):
            with transaction(self._connection, self._path):
                set_floor(self._connection, RAW_S, limit * DAY_S)
        found = list(
            self._connection.execute(
                "SELECT file FROM segment WHERE state = 'live' AND day < ? LIMIT 50", (limit,)
            )
        )
        if not found:
            return False
        with transaction(self._connection, self._path):
            self._connection.executemany(
                "UPDATE segment SET state = 'retired', retired_at = ? WHERE file = ?",
                [(now, file) for (file,) in found],
            )
        return True

    def _unlink(self, now: Instant) -> bool:
        """Remove a file that nobody reads any more, then its line."""
        for (file,) in self._connection.execute(
            "SELECT file FROM segment WHERE state = 'retired' AND retired_at <= ? LIMIT 1", (now - GRACE_NS,)
        ):
            (self._segments / file).unlink(missing_ok=True)
            with transaction(self._connection, self._path):
                self._connection.execute("DELETE FROM segment WHERE file = ?", (file,))
            return True
        return False

    def _remove_copies(self, now: Instant) -> bool:
        """Remove what upgrades left (`hub.sqlite.before-N`) when it is old; looked for once a day."""
        if self._looked == now // NS_PER_DAY:
            return False
        for copy in self._path.parent.glob(f"{self._path.name}{BEFORE}*"):
            if copy.stat().st_mtime_ns <= now - COPY_NS:
                copy.unlink(missing_ok=True)
        self._looked = now // NS_PER_DAY
        return False

    def _forget_hot(self, now: Instant, days: int) -> bool:
        """Drop rounds and traces that came, or were kept, for longer than raw data is."""
        limit = (now // NS_PER_DAY - days) * NS_PER_DAY
        done = self._connection.execute("SELECT value FROM meta WHERE name = 'forgotten_before'")
        if any(int(before) >= limit for (before,) in done):
            return False
        with transaction(self._connection, self._path):
            self._connection.execute(
                "DELETE FROM round WHERE (slot, series, due) IN "
                "(SELECT slot, series, due FROM round WHERE slot < ? LIMIT ?)",
                (limit // SLOT_NS, ROUNDS_AT_ONCE),
            )
            if self._connection.changes() == ROUNDS_AT_ONCE:
                return True
        waiting = self._series.get(0)
        if waiting is None:
            waiting = [number for (number,) in self._connection.execute("SELECT id FROM series")]
        some, self._series[0] = waiting[:SERIES_AT_ONCE], waiting[SERIES_AT_ONCE:]
        with transaction(self._connection, self._path):
            self._connection.executemany(
                "DELETE FROM trace WHERE series = ? AND due < ?", [(number, limit) for number in some]
            )
            if not self._series[0]:
                del self._series[0]
                self._connection.execute(
                    "INSERT OR REPLACE INTO meta VALUES ('forgotten_before', ?)", (limit,)
                )
        return 0 in self._series
