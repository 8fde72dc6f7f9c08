"""What the writer does when nobody waits for it, a slice at a time."""

from collections.abc import Callable
from pathlib import Path
from time import monotonic

from nettrace.model.instant import NS_PER_S, Instant
from nettrace.store.embedded.database import Connection, transaction, value
from nettrace.store.embedded.renewing import Renewer
from nettrace.store.embedded.retention import Forgetter
from nettrace.store.embedded.rollup import Filer, Roller
from nettrace.store.embedded.schema import DATABASE, NS_PER_DAY, SEGMENTS
from nettrace.store.embedded.sealing import Sealer

LIVE_NS = 900 * NS_PER_S
LIVE_ROWS = 100_000
SLICE_ROWS = 5_000

Task = Callable[[Instant, float], bool]
"""Does a slice of something by (now, budget in s); True when more waits."""


class Upkeep:
    """Trims the live log, then rolls up, files, seals, forgets and renews."""

    def __init__(self, connection: Connection, folder: Path) -> None:
        self._connection = connection
        self._path = folder / DATABASE
        segments = folder / SEGMENTS
        self._sealer = Sealer(connection, self._path, segments)
        self._tasks: tuple[Task, ...] = (
            self._trim_live,
            Roller(connection, self._path, segments).slice,
            Filer(connection, self._path).slice,
            self._sealer.slice,
            Forgetter(connection, self._path, segments).slice,
            Renewer(connection, self._path).slice,
        )

    def slice(self, now: Instant, budget_s: float) -> bool:
        """Work for about `budget_s`; True when more waits."""
        end = monotonic() + budget_s
        for task in self._tasks:
            while task(now, max(0.0, end - monotonic())):
                if monotonic() >= end:
                    return True
        return False

    def _trim_live(self, now: Instant, _budget_s: float) -> bool:
        """Keep the log's last 15 minutes and 100,000 events, but no day's worth: a round's body is in its hot row."""
        ask = self._connection
        bounds = list(ask.execute("SELECT min(seq), max(seq) FROM live"))
        first, head = bounds[0]
        if first is None:
            return False
        upto = first + SLICE_ROWS - 1
        many = upto < head - LIVE_ROWS
        age = now - LIVE_NS if many else now - NS_PER_DAY
        if value(ask, "SELECT at FROM live WHERE seq = ?", (first,)) >= age:
            return False
        newest_gone = value(
            ask, "SELECT max(seq) FROM live WHERE seq <= ? AND at < ?", (min(upto, head), age)
        )
        if newest_gone is None:
            return False
        with transaction(ask, self._path):
            ask.execute("UPDATE meta SET value = ? WHERE name = 'live_head'", (head,))
            ask.execute("DELETE FROM live WHERE seq <= ?", (newest_gone,))
        return newest_gone == upto
