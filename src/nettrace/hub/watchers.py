"""Several watchers as one: each sees every record once, and what they conclude is stored together."""

from collections.abc import Callable, Sequence
from typing import Protocol

from nettrace.hub.belief_watch import BeliefWatch
from nettrace.hub.leg_watch import LegWatch
from nettrace.hub.rank_watch import RankWatch
from nettrace.hub.shared_watch import SharedWatch
from nettrace.hub.signal_watch import SignalWatch, Since
from nettrace.hub.tally import Tally
from nettrace.hub.watch import RouteWatch
from nettrace.model.instant import Instant
from nettrace.model.vantage import Vantage
from nettrace.store.port import Conclusion, StoreReader, Watcher
from nettrace.wire.frames import Gap, Record


class Recalling(Watcher, Protocol):
    """A watcher whose memory can be put back to what the store holds."""

    def recall(self) -> None:
        """Know what the store knows, and nothing else."""
        ...


class Watchers:
    """Watchers that see the same records, in the order they are given."""

    def __init__(self, watchers: Sequence[Recalling], tally: Tally | None = None) -> None:
        self._watchers = tuple(watchers)
        self._tally = tally

    def recall(self) -> None:
        """All of them know what the store knows, and nothing else."""
        for watcher in self._watchers:
            watcher.recall()
        if self._tally is not None:
            self._tally.recall()

    def conclude(self, node: Vantage, new: Sequence[Record | Gap], at: Instant) -> Conclusion:
        """What all of them conclude."""
        made = [watcher.conclude(node, new, at) for watcher in self._watchers]
        if self._tally is not None:
            made.append(self._tally.count(new, [event for each in made for event in each.events], at))
        return Conclusion(
            events=tuple(event for each in made for event in each.events),
            routes=tuple(route for each in made for route in each.routes),
            route_of={number: route for each in made for number, route in each.route_of.items()},
            detector_state={name: value for each in made for name, value in each.detector_state.items()},
        )


def everything(reader: StoreReader, since: Since, say: Callable[[str], None]) -> Watchers:
    """All that a hub watches for.

    Args:
        reader: of the store's committed state, for the writer's thread.
        since: the rounds of a series stored behind a due time, in order.
        say: told of faults of ours.
    """
    return Watchers(
        [
            RouteWatch(reader.detector_state, say),
            SignalWatch(reader.detector_state, since, say),
            LegWatch(reader, say),
            SharedWatch(reader, say),
            RankWatch(reader, say),
            BeliefWatch(reader, say),
        ],
        Tally(reader.detector_state),
    )
