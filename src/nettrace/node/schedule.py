"""When each round is due: spread over its interval, never piled up, the same after any restart or change.

Round k of a series is due at `phase + k * interval + jitter(k)` in UTC. Phase and jitter come from a hash of the
series, so nodes do not meet at a target, a target's methods do not meet each other, other tasks come and go without
moving anybody, and a delay never adds up. Pure: the clocks are arguments.

Catch-up rule: a round that cannot begin within its grace (half its interval, at most ten seconds) is not made. It is
counted in `missed` and never given a later round's result; the series goes on at its next own moment.
"""

from collections.abc import Mapping
from hashlib import blake2b
from typing import NamedTuple

from nettrace.measure.probing.wakes import Wakes
from nettrace.model.instant import NS_PER_S, Instant
from nettrace.model.target import Series

SHORTEST_NS = 1 * NS_PER_S
"""No series has rounds closer than this, whatever it asks for."""

FIRST_WITHIN_NS = 30 * NS_PER_S
"""A new series with a longer interval gets one round within this, so that nobody waits hours for a first value."""

GRACE_NS = 10 * NS_PER_S
"""The latest a round may begin; half the interval when that is less."""

JITTER_NS = 2 * NS_PER_S
"""Jitter is below this and below a twentieth of the interval: enough not to beat in time with anything else."""

STEP_NS = 1 * NS_PER_S
"""UTC that moves against the monotonic clock by more than this was set: nothing is steered so fast."""

_FRACTION = 1 << 64


class Moment(NamedTuple):
    """One moment on two clocks, in ns: `utc` may be set by anybody, `monotonic` by nobody."""

    monotonic: int
    utc: Instant


class Due(NamedTuple):
    """A round to begin now; `due` is when it should have begun."""

    series: Series
    due: Instant


class Missed(NamedTuple):
    """Rounds nobody made, and the time they cover."""

    rounds: int
    since: Instant
    until: Instant


class _Entry:
    """Where one series stands."""

    __slots__ = ("due", "interval_ns", "name", "phase_ns", "series", "turn")

    def __init__(self, series: Series, interval_ns: int) -> None:
        self.series = series
        self.interval_ns = interval_ns
        self.name = str(series)
        self.phase_ns = _hash(f"phase {self.name}") * interval_ns // _FRACTION
        self.turn = 0
        self.due: Instant = 0


class Schedule:
    """The rounds of all series of a node.

    Args:
        life: a number that grows with every backward step of the clock, also of earlier runs: the hour that comes
            twice then has other due instants, so that no round is mistaken for one of the hour before.

    Attributes:
        life: as it is now.
    """

    def __init__(self, life: int = 0) -> None:
        self.life = life
        self._entries: dict[Series, _Entry] = {}
        self._order: list[_Entry] = []
        self._wakes = Wakes()
        self._clock: Moment | None = None
        self._missed: Missed | None = None

    def __len__(self) -> int:
        """How many series there are."""
        return len(self._entries)

    def assign(self, intervals: Mapping[Series, int], now: Moment) -> None:
        """Take over what is to be measured: interval in ns by series. What stays as it was keeps its next round."""
        self._follow(now)
        before, self._entries = self._entries, {}
        for series, wanted_ns in intervals.items():
            interval_ns = max(SHORTEST_NS, wanted_ns)
            entry = before.get(series)
            if entry is None:
                entry = _Entry(series, interval_ns)
                self._begin(entry, now.utc)
            elif entry.interval_ns != interval_ns:
                entry = _Entry(series, interval_ns)
                self._seek(entry, now.utc)
            self._entries[series] = entry
        self._rebuild()

    def due(self, now: Moment) -> list[Due]:
        """The rounds to begin now, each at most once; what is too late for it is counted as missed."""
        self._follow(now)
        rounds: list[Due] = []
        # Again and again: of a series that skipped some rounds the next may have come, too.
        while come := self._wakes.due(now.utc):
            for _, number in come:
                entry = self._order[number]
                grace_ns = min(entry.interval_ns // 2, GRACE_NS)
                if now.utc - entry.due <= grace_ns:
                    rounds.append(Due(entry.series, entry.due))
                    entry.turn += 1
                    entry.due = self._due_at(entry, entry.turn)
                else:
                    self._skip(entry, now.utc - grace_ns, now.utc)
                self._wakes.add(entry.due, number)
        return rounds

    def next_at(self) -> Instant | None:
        """When the next round is due, UTC, or None. Look again every second: the clock may be set meanwhile."""
        return self._wakes.first()

    def missed(self) -> Missed | None:
        """What was missed since this was last asked."""
        missed, self._missed = self._missed, None
        return missed

    def _follow(self, now: Moment) -> None:
        """Notice that UTC was set back: every series then seeks its next moment on the new time."""
        before, self._clock = self._clock, now
        if before is None:
            return
        moved = (now.utc - now.monotonic) - (before.utc - before.monotonic)
        if moved < -STEP_NS:
            self.life += 1
            for entry in self._entries.values():
                self._seek(entry, now.utc)
            self._rebuild()

    def _rebuild(self) -> None:
        self._order, self._wakes = list(self._entries.values()), Wakes()
        for number, entry in enumerate(self._order):
            self._wakes.add(entry.due, number)

    def _begin(self, entry: _Entry, now: Instant) -> None:
        self._seek(entry, now)
        if entry.interval_ns <= FIRST_WITHIN_NS or entry.due - now <= FIRST_WITHIN_NS:
            return
        first = now + _hash(f"first {entry.name}") * FIRST_WITHIN_NS // _FRACTION
        self._seek(entry, first + entry.interval_ns // 2)
        entry.turn -= 1  # the first round comes before its turn; behind it the series goes on where it was
        entry.due = first

    def _seek(self, entry: _Entry, start: Instant) -> None:
        """Its first moment from `start` on."""
        turn = (start - entry.phase_ns) // entry.interval_ns - 1
        while self._due_at(entry, turn) < start:
            turn += 1
        entry.turn, entry.due = turn, self._due_at(entry, turn)

    def _skip(self, entry: _Entry, start: Instant, now: Instant) -> None:
        since, turn = entry.due, entry.turn
        self._seek(entry, start)
        if (
            entry.turn <= turn
        ):  # the early first round of a series was missed: its own moments are still to come
            self._seek(entry, self._due_at(entry, turn + 1))
        known = self._missed or Missed(0, since, now)
        self._missed = Missed(known.rounds + entry.turn - turn, min(known.since, since), now)

    def _due_at(self, entry: _Entry, turn: int) -> Instant:
        spread_ns = min(entry.interval_ns // 20, JITTER_NS)
        jitter_ns = _hash(f"{self.life} {turn} {entry.name}") * spread_ns // _FRACTION
        return entry.phase_ns + turn * entry.interval_ns + jitter_ns


def _hash(text: str) -> int:
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest())
