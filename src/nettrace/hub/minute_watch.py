"""Watching what only many reports together can say: once a minute of the hub's time, from what is stored and nothing else."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

from nettrace.model.instant import NS_PER_S, Instant
from nettrace.model.vantage import Vantage
from nettrace.store.port import Choice, Conclusion, StoreReader
from nettrace.store.rows import Event, Window
from nettrace.wire.frames import Gap, Record

TURN_NS = 60 * NS_PER_S


def minutes_of(reader: StoreReader, window: Window, early_ns: int) -> list[tuple[Instant, Instant]]:
    """The minutes at whose beginning a hub looked, each with when the first report behind it was stored, oldest first.

    What was stored in the window may have been due up to `early_ns` before it.
    """
    commits: dict[Instant, Instant] = {}
    for page in reader.scan(Choice(), Window(window.start - early_ns, window.end)):
        for each in page:
            if window.start <= each.stored_at < window.end:
                turn = each.stored_at // TURN_NS * TURN_NS
                commits[turn] = min(each.stored_at, commits.get(turn, each.stored_at))
    return sorted(commits.items())


class MinuteWatch(ABC):
    """A watcher that remembers nothing but which minute it looked at: a restart loses nothing, a replay says the same.

    Args:
        reader: sees what is committed, and nothing of the transaction under way.
        say: told of a fault of ours; what was measured is stored all the same.
    """

    looks_for: str

    def __init__(self, reader: StoreReader, say: Callable[[str], None]) -> None:
        self.reader = reader
        self._say = say
        self._turn = -1

    @abstractmethod
    def look(self, now: Instant) -> list[Event]:
        """What is to be told at the beginning of a minute, from what was stored before it."""

    def recall(self) -> None:
        """Know what the store knows."""
        self._turn = -1

    def conclude(self, node: Vantage, new: Sequence[Record | Gap], at: Instant) -> Conclusion:
        """Events of the minute that has just ended, if this is the first report behind it."""
        del node, new
        turn = at // TURN_NS
        if turn == self._turn:
            return Conclusion()
        self._turn = turn
        try:
            return Conclusion(events=tuple(self.look(turn * TURN_NS)))
        except Exception as error:  # whatever a watcher stumbles over, what was measured has to be stored
            self._say(f"no {self.looks_for} was looked for at {turn * TURN_NS}: {error!r}")
            return Conclusion()
