"""What has been learnt of one route: which addresses, networks and ASes its traces cross, and how often.

A regime absorbs load balancing and silence: it only ever counts what answered, keeps at most `MOST_ADDRESSES`
of each, and fades, so that what has not been seen for a long time is new again.
"""

from collections.abc import Iterable, Iterator
from hashlib import blake2b
from typing import Any

import msgspec

from nettrace.analysis.routes.sight import Sight
from nettrace.model.instant import Instant
from nettrace.model.route import Route

MOST_ADDRESSES = 256
MOST_RTTS = 16
_FADE_AT = 512
_CORE = 0.8
_MOST = 0.5
_SOMETIMES = 0.5
_SETTLED = 8


class Regime(msgspec.Struct, kw_only=True):
    """Counts of what the traces of one route crossed.

    Attributes:
        scans: traces learnt, fading.
        destinations: networks the target's address was in.
        rtts_ns: the latest round trips to the target, at most `MOST_RTTS`.
        returns: how often the route came back after another one.
    """

    since: Instant = 0
    id: str | None = None
    scans: int = 0
    addresses: dict[str, int] = {}
    networks: dict[str, int] = {}
    places: dict[str, int] = {}
    steps: dict[str, int] = {}
    ttls: dict[int, int] = {}
    ases: dict[int, int] = {}
    flows: dict[int, int] = {}
    destinations: dict[str, int] = {}
    hops: tuple[str | None, ...] = ()
    as_path: tuple[int, ...] = ()
    rtts_ns: list[int] = []
    balanced: bool = False
    returns: int = 0

    def learn(self, seen: Sight) -> None:
        """Count one trace in."""
        self.scans += 1
        _count(self.addresses, seen.networks)
        _count(self.networks, set(seen.networks.values()))
        _count(self.places, seen.places)
        _count(self.steps, seen.steps)
        _count(self.ttls, set(seen.places.values()))
        _count(self.ases, seen.ases)
        _count(self.flows, (seen.flow,))
        _count(self.destinations, (seen.destination,))
        self.hops, self.as_path = seen.hops, seen.ases
        if seen.rtt_ns is not None:
            self.rtts_ns = [*self.rtts_ns[1 - MOST_RTTS :], seen.rtt_ns]
        if self.scans >= _FADE_AT:
            self._fade()

    def novel(self, seen: Sight) -> dict[str, str]:
        """Addresses, with their networks, the trace met in networks that this route never crossed."""
        return {
            address: network
            for address, network in seen.networks.items()
            if network not in self.networks and address not in self.addresses
        }

    def conflicts(self, seen: Sight) -> set[str]:
        """Networks this route nearly always crosses at one TTL, where another network answered this time.

        Silence there is no conflict, nor is an answer the route is known to give at that TTL, nor a network that
        was merely met at another TTL.
        """
        answered = set(seen.places.values())
        known = {ttl for place, ttl in seen.places.items() if place in self.places}
        contested = answered - known
        crossed = set(seen.networks.values())
        found: set[str] = set()
        for ttl, network in self._steady():
            if ttl in contested and network not in crossed:
                found.add(network)
        return found

    def _steady(self) -> Iterator[tuple[int, str]]:
        """TTLs, with their network, at which whatever answers is nearly always in that network."""
        return self._nearly_always(self.places)

    def _nearly_always(self, counts: dict[str, int]) -> Iterator[tuple[int, str]]:
        for place, count in counts.items():
            ttl, _, what = place.partition(" ")
            if count > _CORE * self.ttls.get(int(ttl), count) and count > _SOMETIMES * self.scans:
                yield int(ttl), what

    def displaced(self, seen: Sight) -> int:
        """How many networks this route nearly always crosses at one TTL were met only at TTLs it never met them at."""
        unmoved = {place.partition(" ")[2] for place in seen.places if place in self.places}
        crossed = set(seen.networks.values()) - unmoved
        return sum(network in crossed for _, network in self._steady())

    @property
    def settled(self) -> bool:
        """Whether it was traced often and on one flow only: then balancing cannot explain what is new."""
        return self.scans >= _SETTLED and len(self.flows) == 1

    def strange(self, seen: Sight) -> set[str]:
        """Steps (TTL and address) of the trace that this route never took."""
        return seen.steps.keys() - self.steps.keys()

    def replaced(self, seen: Sight) -> int:
        """At how many TTLs an address never met there answered in place of the one that nearly always does."""
        strange = {seen.steps[step] for step in self.strange(seen)}
        known = {seen.steps[step] for step in seen.steps.keys() & self.steps.keys()}
        contested = strange - known
        return sum(
            ttl in contested and address not in seen.networks
            for ttl, address in self._nearly_always(self.steps)
        )

    def new_as(self, seen: Sight) -> bool:
        """Whether the trace crosses an AS that this route never did, or misses one it nearly always crosses."""
        if any(number not in self.ases for number in seen.ases):
            return True
        core = {number for number, count in self.ases.items() if count > _CORE * self.scans}
        return len(seen.networks) >= 3 and bool(seen.ases) and not core <= set(seen.ases)

    def holds(self, networks: Iterable[str]) -> float:
        """Share of the networks that this route is known to cross; all, when none is asked about."""
        asked = set(networks)
        return sum(network in self.networks for network in asked) / len(asked) if asked else 1.0

    def absorb(self, other: "Regime") -> None:
        """Take over what another route crosses: both are ways of one balanced route."""
        self.scans += other.scans
        self.balanced = True
        for mine, theirs in zip(self._tables(), other._tables(), strict=True):
            for each, count in theirs.items():
                if each in mine or len(mine) < MOST_ADDRESSES:
                    mine[each] = mine.get(each, 0) + count

    def _tables(self) -> tuple[dict[Any, int], ...]:
        return (
            self.addresses,
            self.networks,
            self.places,
            self.steps,
            self.ttls,
            self.ases,
            self.flows,
            self.destinations,
        )

    def core(self) -> tuple[str, ...]:
        """The networks more than half of its traces crossed, sorted."""
        return tuple(sorted(net for net, count in self.networks.items() if count > _MOST * self.scans))

    def name(self) -> str:
        """The route's public id; given once and kept."""
        if self.id is None:
            core = self.core() or tuple(sorted(self.networks))
            self.id = "rt_" + blake2b("\n".join(core).encode(), digest_size=8).hexdigest()
        return self.id

    def route(self) -> Route:
        """What is told of it."""
        return Route(
            id=self.name(),
            since=self.since,
            hops=self.hops,
            as_path=self.as_path,
            networks=self.core(),
            traces=self.scans,
        )

    def _fade(self) -> None:
        self.scans //= 2
        for table in self._tables():
            for each, count in list(table.items()):
                if count < 2:
                    del table[each]
                else:
                    table[each] = count // 2


def _count(table: dict[Any, int], seen: Iterable[object]) -> None:
    for each in seen:
        if each not in table and len(table) >= MOST_ADDRESSES:
            del table[min(table, key=table.__getitem__)]
        table[each] = table.get(each, 0) + 1
