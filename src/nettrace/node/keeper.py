"""Keeps what was measured: takes records from the measuring thread and commits them in groups to the spool.

A commit ten times a second at most while little comes and the disk is quick, once a second where it is slow, or one a
hundred records. A full disk stops nothing: records wait in
memory, and what memory cannot hold is stated as a gap. A broken spool file is moved aside and a new epoch begins.
"""

import json
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import msgspec

from nettrace.model.instant import NS_PER_S, Instant
from nettrace.node.spool import BATCH, Batch, Bounds, Entry, Spool, damaged
from nettrace.wire.frames import Gap

COMMIT_SOONEST_S, COMMIT_EVERY_S = 0.1, 1.0
COMMIT_AT = 100
REST = 20
"""So many times as long as a commit or a report took is rested after it, within bounds: 5 % of the time at most."""

MOST_WAITING = 5_000
"""Records kept in memory while the disk takes none."""

MARK_EVERY_S = 10.0

T = TypeVar("T")


def rested_s(took_s: float, soonest_s: float, latest_s: float) -> float:
    """How long to rest after work that took so long: the quicker it is done, the sooner it may be done again.

    >>> rested_s(0.002, 0.1, 1.0), rested_s(0.01, 0.1, 1.0), rested_s(0.3, 0.1, 1.0)
    (0.1, 0.2, 1.0)
    """
    return min(latest_s, max(soonest_s, REST * took_s))


class Rest(msgspec.Struct, frozen=True, kw_only=True):
    """What is not measured by the hub's word: since when all of it, or which targets; stated as gaps once it is again.

    Attributes:
        drained_at: 0 while something is measured.
        left: targets that were measured before, and until when.
    """

    drained_at: Instant = 0
    left: dict[str, Instant] = {}


class Mark(msgspec.Struct, frozen=True, kw_only=True):
    """What the node knows of its last life even when the spool is gone.

    Attributes:
        alive_at: when it was last seen to run.
        kept_until: due of the newest record known to be on the hub's disk, or 0.
        life: the schedule's count of clocks set back.
        rest: see `Rest`.
    """

    alive_at: Instant = 0
    kept_until: Instant = 0
    life: int = 0
    rest: Rest = Rest()


class Keeper:
    """The one owner of the spool; safe to call from any thread.

    Args:
        folder: where `spool.sqlite` and `mark.json` are.
        bounds: of the spool.
        say: one line for the operator.
        now: UTC clock.

    Attributes:
        news: set whenever something new is ready to be sent.
        mark: what was known of the life before this one.
    """

    def __init__(
        self,
        folder: Path,
        bounds: Bounds | None = None,
        *,
        say: Callable[[str], None] = lambda _: None,
        now: Callable[[], Instant] = time.time_ns,
    ) -> None:
        self.news = threading.Event()
        self.mark = _read_mark(folder / "mark.json")
        self._path = folder / "spool.sqlite"
        self._mark_path = folder / "mark.json"
        self._bounds = bounds
        self._say = say
        self._now = now
        self._lock = threading.RLock()
        self._mark_lock = threading.Lock()
        self._waiting: deque[Entry] = deque()
        self._urgent = threading.Event()
        self._ending = False
        self._lost: Gap | None = None
        self._trouble: str | None = None
        self._marked_at = float("-inf")
        self._kept_until = self.mark.kept_until
        self.life = self.mark.life
        self.rest = self.mark.rest
        self._gone = False
        self._spool = self._open()
        span = self._spool.span()
        self._alone_since = max(self.mark.alive_at, span[1] if span else 0)
        self._alone_because = "stopped"
        if self._alone_since > now() + NS_PER_S:
            self.life += 1
        self._thread = threading.Thread(target=self._run, name="keeper", daemon=True)

    def start(self) -> None:
        """State the time between the last life and this one as a gap, and begin to commit; measuring has begun."""
        since, now = self._alone_since, self._now()
        if 0 < since < now:
            self.put(Gap(seq=0, last_seq=0, reason=self._alone_because, since=since, until=now))
        self._thread.start()

    def follow(self, silent_since: Instant) -> None:
        """This node takes the place of one of which the hub has nothing newer; said before `start`, and kept."""
        if silent_since:
            self._alone_since, self._alone_because = silent_since, "replaced"
            self._write(Mark(alive_at=silent_since))

    def remember(self, rest: Rest) -> None:
        """Keep what is not measured by the hub's word, at once when it changed."""
        if rest != self.rest:
            self.rest = rest
            self._note_alive(force=True)

    def put(self, entry: Entry) -> None:
        """Take an entry; its number does not matter. It is safe on disk within about a second."""
        self._waiting.append(entry)
        self._urgent.set()

    @property
    def trouble(self) -> str | None:
        """Why records wait in memory, in words; None while all is well."""
        return self._trouble

    @property
    def epoch(self) -> str:
        """The spool's epoch."""
        return self._spool.epoch

    @property
    def backlog(self) -> int:
        """Entries that wait for the hub, on disk and in memory."""
        return self._spool.backlog + len(self._waiting)

    @property
    def ready(self) -> int:
        """Entries on disk that can be sent."""
        return self._spool.backlog

    @property
    def dropped(self) -> int:
        """Records this epoch of the spool had to drop."""
        return self._spool.dropped

    @property
    def next_seq(self) -> int:
        """Number of the next entry that will be committed."""
        return self._spool.next_seq

    def oldest_at(self) -> Instant | None:
        """Due of the oldest entry on disk."""
        span = self._guarded(lambda spool: spool.span(), None)
        return span[0] if span else None

    def read(self, most: int = BATCH) -> tuple[str, Batch]:
        """The epoch and the oldest entries on disk, at most so many."""
        with self._lock:
            empty = Batch(self._spool.next_seq, ())
            batch = self._guarded(lambda spool: spool.read(most), empty)
            return self._spool.epoch, batch

    def acknowledge(self, epoch: str, upto_seq: int, kept_until: Instant) -> None:
        """Forget what is on the hub's disk."""
        with self._lock:
            if epoch == self._spool.epoch:
                self._kept_until = max(self._kept_until, kept_until)
                self._guarded(lambda spool: spool.acknowledge(upto_seq), None)
        self._note_alive()

    def waive(self, seq: int, reason: str) -> None:
        """Replace an entry the hub refuses by a gap."""
        self._guarded(lambda spool: spool.waive(seq, reason), None)

    def renumber(self) -> None:
        """Begin a new epoch with the same entries."""
        self._guarded(lambda spool: spool.renumber(), None)

    def flush(self) -> bool:
        """Commit what waits now; False when the disk did not take it."""
        done = self._commit()
        self.news.set()
        return done

    def stop(self) -> bool:
        """Commit what waits, end, and close; False when the disk did not take everything."""
        self._ending = True
        self._urgent.set()
        if self._thread.ident is not None:
            self._thread.join()
        with self._lock:
            done = self._commit()
            self._note_alive(force=True)
            self._spool.close()
        return done

    # -- the thread ----------------------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._ending:
            self._urgent.wait(COMMIT_EVERY_S * 5)
            self._urgent.clear()
            if self._waiting or self._lost:
                began = time.monotonic()
                if self._commit():
                    self.news.set()
                self._pause(rested_s(time.monotonic() - began, COMMIT_SOONEST_S, COMMIT_EVERY_S))
            self._note_alive()

    def _pause(self, rest_s: float) -> None:
        """Let records gather for so long, or until there are enough of them."""
        until = time.monotonic() + (COMMIT_EVERY_S if self._trouble else rest_s)
        full = self._trouble is not None
        while not self._ending and (left := until - time.monotonic()) > 0:
            if len(self._waiting) >= COMMIT_AT and not full:
                break
            self._urgent.wait(left)
            self._urgent.clear()
        if self._waiting or self._lost:
            self._urgent.set()

    def _commit(self) -> bool:
        """Everything that waits onto the disk, in groups; False when it did not take all of it."""
        mended = False
        with self._lock:
            while self._waiting or self._lost:
                head = [self._lost] if self._lost else []
                group = [self._waiting[index] for index in range(min(len(self._waiting), 10 * COMMIT_AT))]
                try:
                    self._usable().append(head + group, self._now())
                except Exception as error:
                    if not mended and isinstance(error, sqlite3.Error) and damaged(error):
                        mended = True
                        self._set_aside(str(error))
                        continue
                    self._hold(error)
                    return False
                for _ in group:
                    self._waiting.popleft()
                self._lost = None
                if self._trouble:
                    self._say("the disk takes records again")
                self._trouble = None
        return True

    def _hold(self, error: Exception) -> None:
        """The disk takes nothing: keep what memory can hold, state the rest as a gap."""
        if self._trouble is None:
            self._say(
                f"the disk takes no records ({error}); measuring goes on, {MOST_WAITING} are kept in memory"
            )
        self._trouble = f"the disk takes no records: {error}"
        while len(self._waiting) > MOST_WAITING:
            entry = self._waiting.popleft()
            since, until = (entry.since, entry.until) if isinstance(entry, Gap) else (entry.due, entry.due)
            width = entry.last_seq - entry.seq + 1 if isinstance(entry, Gap) else 1
            known = self._lost or Gap(seq=1, last_seq=0, reason="disk_full", since=since, until=until)
            self._lost = msgspec.structs.replace(
                known,
                last_seq=known.last_seq + width,
                since=min(known.since, since),
                until=max(known.until, until),
            )

    def _guarded(self, work: Callable[[Spool], T], otherwise: T) -> T:
        with self._lock:
            try:
                return work(self._usable())
            except sqlite3.Error as error:
                if damaged(error):
                    self._set_aside(str(error))
                else:
                    self._trouble = f"the spool does not answer: {error}"
                return otherwise

    # -- damage --------------------------------------------------------------------------------------------

    def _open(self) -> Spool:
        try:
            return Spool(self._path, self._bounds)
        except sqlite3.Error as error:
            if not damaged(error):
                raise
            self._move_aside(str(error))
            return Spool(self._path, self._bounds)

    def _usable(self) -> Spool:
        """The spool, a new one when the last was set aside."""
        if self._gone:
            self._spool = self._open()
            self._gone = False
        return self._spool

    def _set_aside(self, why: str) -> None:
        with suppress(sqlite3.Error):
            self._spool.close()
        self._gone = True
        self._move_aside(why)
        self._urgent.set()

    def _move_aside(self, why: str) -> None:
        aside = self._path.with_name(self._path.name + ".damaged")
        for suffix in ("", "-wal", "-shm"):
            part = self._path.with_name(self._path.name + suffix)
            with suppress(FileNotFoundError):
                part.replace(f"{aside}{suffix}")
        self._say(f"the spool is damaged ({why}): moved to {aside}, a new one begins")
        now = self._now()
        since = min(self._kept_until or self.mark.alive_at or now, now)
        self._waiting.appendleft(Gap(seq=0, last_seq=0, reason="spool_corrupt", since=since, until=now))

    def _note_alive(self, *, force: bool = False) -> None:
        if not force and time.monotonic() - self._marked_at < MARK_EVERY_S:
            return
        self._marked_at = time.monotonic()
        self._write(Mark(alive_at=self._now(), kept_until=self._kept_until, life=self.life, rest=self.rest))

    def _write(self, mark: Mark) -> None:
        fresh = self._mark_path.with_suffix(".new")
        with self._mark_lock, suppress(OSError):
            fresh.write_bytes(msgspec.json.encode(mark))
            fresh.replace(self._mark_path)


def _read_mark(path: Path) -> Mark:
    try:
        return msgspec.convert(json.loads(path.read_bytes()), Mark)
    except (OSError, ValueError):
        return Mark()
