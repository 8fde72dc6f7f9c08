"""One ledger of what other people's services gave us, shared by every process of this user, and never overdrawn.

An amount is reserved before anything is sent, in one transaction: two processes cannot both take the last test. What a
crash leaves unsettled counts as spent until the window has passed. The window slides, so no window of the service's own,
wherever it begins, ever holds more than the limit (decision 0193).
"""

import sqlite3
import time
from collections.abc import Callable, Generator
from contextlib import closing, contextmanager
from pathlib import Path

import msgspec

from nettrace.errors import QuotaExceeded, SourceError
from nettrace.model.instant import NS_PER_S, Instant

_TABLES = """
CREATE TABLE IF NOT EXISTS spent (
  id INTEGER PRIMARY KEY AUTOINCREMENT, service TEXT NOT NULL, amount INTEGER NOT NULL CHECK (amount >= 0),
  at_ns INTEGER NOT NULL, settled INTEGER NOT NULL DEFAULT 0);
CREATE INDEX IF NOT EXISTS spent_by_time ON spent (service, at_ns);
CREATE TABLE IF NOT EXISTS said (
  service TEXT NOT NULL, account TEXT NOT NULL, remaining INTEGER NOT NULL, asked_ns INTEGER NOT NULL,
  after_id INTEGER NOT NULL, own_id INTEGER NOT NULL, until_ns INTEGER NOT NULL, PRIMARY KEY (service, account));
"""
_PATIENCE_S = 30.0
_KEPT_NS = 7 * 86_400 * NS_PER_S


class Window(msgspec.Struct, frozen=True, kw_only=True):
    """A limit: at most `limit` of `unit` in any `seconds`.

    Attributes:
        account: whose word about what remains holds: `anonymous`, or a token's fingerprint. What was spent is counted
            over all accounts of a service: its terms forbid dodging one's limit with another.
    """

    service: str
    account: str
    unit: str
    limit: int
    seconds: int


class Mark(msgspec.Struct, frozen=True):
    """What the ledger held just before a service was asked something.

    Attributes:
        after: reservations up to this number had been settled: the service's word counts them for certain.
        own: the reservation whose own request this is, or 0: its answer counts it too.
    """

    asked_ns: Instant
    after: int
    own: int = 0


class _Said(msgspec.Struct, frozen=True):
    remaining: int
    asked_ns: Instant
    after: int
    own: int
    until_ns: Instant


class Allowance:
    """The ledger in one SQLite file (rollback journal: any number of processes, any crash)."""

    def __init__(self, file: Path, now: Callable[[], Instant] = time.time_ns) -> None:
        self._file = file
        self._now = now

    def left(self, window: Window) -> int:
        """How much may be reserved now."""
        with self._writing() as ledger:
            return self._left(ledger, window, self._now())

    def reserve(self, window: Window, amount: int) -> int:
        """Take the amount now, before anything is sent; its number is for `settle` or `release`.

        Raises:
            QuotaExceeded: that much is not left; it says when it will be.
        """
        now = self._now()
        with self._writing() as ledger:
            left = self._left(ledger, window, now)
            if amount > left:
                wait_s = self._wait_s(ledger, window, amount, now)
                hint = (
                    f"Try again in {wait_s} s, or ask for less"
                    if amount <= window.limit
                    else "Ask for fewer probes or places"
                )
                raise QuotaExceeded(
                    f"{window.service}: this takes {amount} {window.unit}, and {left} of {window.limit} in "
                    f"{window.seconds // 3600} h are left",
                    hint, retry_after_s=wait_s, policies=(window.service,),
                )  # fmt: skip
            ledger.execute(
                "DELETE FROM spent WHERE at_ns < ?", (now - max(_KEPT_NS, window.seconds * NS_PER_S),)
            )
            made = ledger.execute(
                "INSERT INTO spent (service, amount, at_ns) VALUES (?, ?, ?)", (window.service, amount, now)
            )
            return int(made.lastrowid or 0)

    def settle(self, number: int, amount: int) -> None:
        """The service took this amount for the reservation; more than reserved is written down as it is."""
        with self._writing() as ledger:
            ledger.execute(
                "UPDATE spent SET amount = ?, settled = 1, at_ns = max(at_ns, ?) WHERE id = ?",
                (amount, self._now(), number),
            )

    def release(self, number: int) -> None:
        """Nothing was taken: the service refused before it began."""
        with self._writing() as ledger:
            ledger.execute("DELETE FROM spent WHERE id = ?", (number,))

    def mark(self, window: Window, own: int = 0) -> Mark:
        """What is certain before a request is sent; goes with what its answer says, into `heard`."""
        now = self._now()
        with self._writing() as ledger:
            pending, last = ledger.execute(
                "SELECT min(CASE WHEN settled = 0 AND at_ns > ? AND id <> ? THEN id END), coalesce(max(id), 0) "
                "FROM spent WHERE service = ?",
                (now - window.seconds * NS_PER_S, own, window.service),
            ).fetchone()
        return Mark(now, int(last) if pending is None else int(pending) - 1, own)

    def heard(self, window: Window, remaining: int, reset_s: int, asked: Mark) -> None:
        """The service says how much remains until its own window ends; a word asked for earlier does not undo a later one.

        Every reservation the word may not have counted is subtracted from it, so it errs to the side of less.
        """
        now = self._now()
        with self._writing() as ledger:
            old = self._said(ledger, window, now)
            if old is not None and old.asked_ns > asked.asked_ns:
                return
            ledger.execute(
                "INSERT OR REPLACE INTO said VALUES (?, ?, ?, ?, ?, ?, ?)",
                (
                    window.service, window.account, max(0, remaining), asked.asked_ns, asked.after, asked.own,
                    now + max(0, reset_s) * NS_PER_S,
                ),
            )  # fmt: skip

    def _left(self, ledger: sqlite3.Connection, window: Window, now: Instant) -> int:
        spent = ledger.execute(
            "SELECT coalesce(sum(amount), 0) FROM spent WHERE service = ? AND at_ns > ?",
            (window.service, now - window.seconds * NS_PER_S),
        ).fetchone()[0]
        own = window.limit - int(spent)
        said = self._said(ledger, window, now)
        return max(0, own if said is None else min(own, self._minus(ledger, window, said)))

    def _said(self, ledger: sqlite3.Connection, window: Window, now: Instant) -> _Said | None:
        found = ledger.execute(
            "SELECT remaining, asked_ns, after_id, own_id, until_ns FROM said "
            "WHERE service = ? AND account = ? AND until_ns > ?",
            (window.service, window.account, now),
        ).fetchone()
        return None if found is None else _Said(*map(int, found))

    def _minus(self, ledger: sqlite3.Connection, window: Window, said: _Said) -> int:
        """What the service left, less all we took that it may not have counted then."""
        row = ledger.execute(
            "SELECT coalesce(sum(amount), 0) FROM spent WHERE service = ? AND id > ? AND id <> ?",
            (window.service, said.after, said.own),
        ).fetchone()
        return said.remaining - int(row[0])

    def _wait_s(self, ledger: sqlite3.Connection, window: Window, amount: int, now: Instant) -> int:
        """Seconds until enough has left the window."""
        length = window.seconds * NS_PER_S
        rows = ledger.execute(
            "SELECT amount, at_ns FROM spent WHERE service = ? AND at_ns > ? ORDER BY at_ns",
            (window.service, now - length),
        ).fetchall()
        free = window.limit - sum(int(row[0]) for row in rows)
        said = self._said(ledger, window, now)
        until = said.until_ns if said is not None and self._minus(ledger, window, said) < amount else now
        for taken, at in rows:
            if free >= amount:
                break
            free += int(taken)
            until = max(until, int(at) + length)
        return max(1, -(-(until - now) // NS_PER_S))

    @contextmanager
    def _writing(self) -> Generator[sqlite3.Connection]:
        """One transaction that has the ledger for itself from its first read on."""
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            with closing(sqlite3.connect(self._file, timeout=_PATIENCE_S, isolation_level=None)) as ledger:
                ledger.execute("BEGIN IMMEDIATE")
                try:
                    for statement in _TABLES.split(";")[:-1]:
                        ledger.execute(statement)
                    yield ledger
                except BaseException:
                    ledger.execute("ROLLBACK")
                    raise
                ledger.execute("COMMIT")
        except (sqlite3.Error, OSError) as problem:
            raise SourceError(
                f"the ledger of third-party tests {self._file} cannot be used ({problem})",
                "Check the folder's permissions: without it nothing is sent, because nothing could be counted",
            ) from problem
