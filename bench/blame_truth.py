"""Which faults of the lab can be told by anybody, and which legs are right: from the world alone, no answer in it.

Every link of the world gets a delay that is a digit of its own, so that the exact round trip to a hop spells out how often
it crosses which links, there and back, through tunnels and over answers' own ways. A fault is identifiable when at least
two pairs cross its link on the way there, and no other link, slow by any amount, would make the same round trips slower by
the same amounts, but for one pair at most. Links that lie in one and the same leg of every trace are one leg.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence

from nettrace.lab.paths import flow_hash
from nettrace.lab.truth import Oracle, TruePath
from nettrace.lab.world import World
from nettrace.measure.tracing.flow import flow_for
from nettrace.model.measurement import Method

LEAST_PAIRS = 2
_BITS, _BELOW = 4, 48
"""Of a link's digit, and of what else a round trip holds."""
_AMOUNTS = (0.5, 1.0, 2.0)
"""What a rival may add for each millisecond of the fault: round trips cross links once or twice."""

Pair = tuple[str, str]
Leg = tuple[str, str]


class Truth:
    """The legs and round trips of canonical flows from every vantage to these targets.

    Attributes:
        legs: link -> the legs (two neighbouring answers of a trace) it lies in -> the pairs whose traces show them. A link is
            its cable's code, or without a cable the numbers of its two groups.
    """

    def __init__(self, world: World, targets: Sequence[str]) -> None:
        self._oracle = Oracle(world)
        self._names: list[str] = []
        self._slow()
        self.legs: defaultdict[str, defaultdict[Leg, set[Pair]]] = defaultdict(lambda: defaultdict(set))
        self._times: defaultdict[str, dict[tuple[Pair, int], int]] = defaultdict(dict)
        for vantage in self._oracle.topology.vantages:
            for target in targets:
                self._follow((vantage, target))

    def identifiable(self, link: str) -> bool:
        """Whether nothing else than this link explains what it makes slow."""
        pairs = set[Pair]()
        if link in self.legs:
            pairs.update(*self.legs[link].values())
        return len(pairs) >= LEAST_PAIRS and not any(self._is_rival(other, link) for other in self._times)

    def _is_rival(self, other: str, link: str) -> bool:
        mine, its = set(self.legs[link]), set(self.legs.get(other, ()))
        if other == link or (its and its <= mine):
            return False
        known = self._times[link].keys() | self._times[other].keys()
        return any(
            len({key[0] for key in known if self._differs(link, other, amount, key)}) < LEAST_PAIRS
            for amount in _AMOUNTS
        )

    def _differs(self, link: str, other: str, amount: float, key: tuple[Pair, int]) -> bool:
        return self._times[link].get(key, 0) != amount * self._times[other].get(key, 0)

    def _slow(self) -> None:
        """A digit for each link, the same in both directions."""
        places: dict[str, int] = {}
        for link in self._oracle.topology.links:
            ends = sorted((link.near.number, link.far.number))
            name = link.cable.code if link.cable else f"{ends[0]}-{ends[1]}"
            link.delay_ns = 1 << (_BELOW + _BITS * places.setdefault(name, len(places)))
        self._names = list(places)

    def _spelt(self, delay_ns: int) -> Mapping[str, int]:
        """Link -> how often it was crossed in this time."""
        digits = delay_ns >> _BELOW
        found: dict[str, int] = {}
        for name in self._names:
            if digits & ((1 << _BITS) - 1):
                found[name] = digits & ((1 << _BITS) - 1)
            digits >>= _BITS
        return found

    def _follow(self, pair: Pair) -> None:
        address = address_of(self._oracle, pair[1])
        path = self._oracle.path(*pair, flow_for(address, Method.UDP))
        steps = [
            (true.address, hop_ns, true.rtt_ns)
            for true, hop_ns in zip(path.hops, self._forward_ns(pair), strict=True)
            if not true.silent
        ]
        near, crossed = pair[0], set[str]()
        for place, (far, forward_ns, rtt_ns) in enumerate([*steps, (address, path.forward_ns, path.rtt_ns)]):
            for link, times in self._spelt(rtt_ns).items():
                self._times[link][pair, place] = times
            behind = set(self._spelt(forward_ns))
            for link in behind - crossed:
                self.legs[link][near, far].add(pair)
            near, crossed = far, behind

    def _forward_ns(self, pair: Pair) -> list[int]:
        topology = self._oracle.topology
        here, there = topology.vantages[pair[0]].address4, topology.targets[pair[1]].address4
        flow = flow_for(address_of(self._oracle, pair[1]), Method.UDP)
        ports = flow.source_port.to_bytes(2) + flow.destination_port.to_bytes(2)
        forward = self._oracle.paths.forward(here, there, flow_hash(here, there, 17, ports))
        return [hop.forward_ns for hop in forward.hops]


def ways(oracle: Oracle, targets: Sequence[str]) -> dict[Pair, TruePath]:
    """The truth of every pair's canonical flow."""
    return {
        (vantage, target): oracle.path(vantage, target, flow_for(address_of(oracle, target), Method.UDP))
        for vantage in oracle.topology.vantages
        for target in targets
    }


def address_of(oracle: Oracle, target: str) -> str:
    """A target's IPv4 address."""
    host = oracle.topology.find(target)
    return ".".join(map(str, host.address4)) if host and host.address4 else ""
