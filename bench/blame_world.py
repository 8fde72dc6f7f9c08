"""Internets on paper: backbones, clusters of targets and vantages, with links that become slow on purpose.

Three backbones on 14 cities peer where they meet; a packet leaves its backbone at the nearest meeting (hot
potato), so that forward and return ways differ. 15 % of the routers never answer, others answer late at times.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import combinations, pairwise
from math import hypot
from random import Random

from nettrace.model.instant import NS_PER_MS, NS_PER_S, Instant
from nettrace.model.measurement import Method, Outcome, Sample, SampleState
from nettrace.model.path import Hop, StopReason, Trace

SINCE: Instant = 1_767_225_600 * NS_PER_S
CITIES, BACKBONES, CLUSTERS, TARGETS = 14, 3, 25, 50
SCANS, INTERVAL_S = 6, 900
SILENT, SLOW = 0.15, 0.2

Link = tuple[str, str]


@dataclass
class World:
    """A topology with one-way delays in milliseconds; routers are their addresses."""

    random: Random
    vantage_count: int = 8
    links: dict[str, dict[str, float]] = field(default_factory=dict)
    city: dict[str, int] = field(default_factory=dict)
    backbone: dict[str, int] = field(default_factory=dict)
    silent: set[str] = field(default_factory=set)
    slow: dict[str, float] = field(default_factory=dict)
    vantages: list[str] = field(default_factory=list)
    targets: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Build it."""
        places = [(self.random.uniform(0, 60), self.random.uniform(0, 25)) for _ in range(CITIES)]
        for number in range(BACKBONES):
            self._add_backbone(number, places)
        for city in range(CITIES):
            there = [router for router, number in self.backbone.items() if self.city[router] == city]
            for a, b in combinations(there, 2):
                self._join(a, b, self.random.uniform(0.1, 0.4))
        for number in range(CLUSTERS):
            border = self._router(f"10.{100 + number}.0.1", self.random.randrange(CITIES), None)
            self._home(border)
            inner = self._router(f"10.{100 + number}.0.2", self.city[border], None)
            self._join(border, inner, self.random.uniform(0.05, 0.3))
            for host in range(TARGETS // CLUSTERS):
                target = f"198.18.{number}.{host + 1}"
                self._join(inner, target, self.random.uniform(0.05, 0.3))
                self.targets.append(target)
        for number in range(self.vantage_count):
            gate = self._router(f"10.{200 + number}.0.1", number * CITIES // self.vantage_count, None)
            self._home(gate)
            vantage = f"v{number}"
            self._join(vantage, gate, 0.1)
            self.vantages.append(vantage)
        self._ways: dict[str, dict[str, str]] = {}

    def _add_backbone(self, number: int, places: list[tuple[float, float]]) -> None:
        cities = self.random.sample(range(CITIES), self.random.randint(9, 12))
        names = {city: f"10.{number}.{city}.1" for city in cities}
        for city, name in names.items():
            self._router(name, city, number)

        def far(a: int, b: int) -> float:
            return 0.5 + hypot(places[a][0] - places[b][0], places[a][1] - places[b][1])

        joined = [cities[0]]
        for city in cities[1:]:
            near = min(joined, key=lambda other: far(city, other))
            self._join(names[city], names[near], far(city, near) * self.random.uniform(1.1, 1.5))
            joined.append(city)
        for city in cities:
            for other in sorted((each for each in cities if each != city), key=lambda each: far(city, each))[
                :2
            ]:
                if names[other] not in self.links[names[city]]:
                    self._join(names[city], names[other], far(city, other) * self.random.uniform(1.1, 1.5))

    def _router(self, name: str, city: int, backbone: int | None) -> str:
        self.city[name] = city
        self.links.setdefault(name, {})
        if backbone is not None:
            self.backbone[name] = backbone
        if self.random.random() < SILENT:
            self.silent.add(name)
        if self.random.random() < SLOW:
            self.slow[name] = self.random.uniform(0.5, 4.0)
        return name

    def _join(self, a: str, b: str, delay_ms: float) -> None:
        self.links.setdefault(a, {})[b] = delay_ms
        self.links.setdefault(b, {})[a] = delay_ms

    def _home(self, router: str) -> None:
        """Join an edge router to one or two backbones of its city, or to the nearest one elsewhere."""
        here = [each for each in self.backbone if self.city[each] == self.city[router]]
        if not here:
            here = [self.random.choice(list(self.backbone))]
        for each in self.random.sample(here, min(len(here), self.random.choice((1, 2)))):
            self._join(router, each, self.random.uniform(0.2, 1.0))

    def way(self, start: str, end: str) -> list[str]:
        """Routers from start to end. What it costs depends on who starts: each side prefers its own backbone."""
        ways = self._ways.get(start)
        if ways is None:
            ways = self._ways[start] = self._tree(start)
        path = [end]
        while path[-1] != start:
            path.append(ways[path[-1]])
        return path[::-1]

    def _tree(self, start: str) -> dict[str, str]:
        """Shortest paths from start; other backbones than the one entered first seem shorter than they are."""
        queue: list[tuple[float, str, str, int | None]] = [(0.0, start, "", None)]
        parent: dict[str, str] = {}
        while queue:
            cost, here, before, home = heappop(queue)
            if here in parent:
                continue
            parent[here] = before
            number = self.backbone.get(here)
            home = number if home is None else home
            factor = 1.0 if number is None or number == home else 0.4
            came_down = number is None and before in self.backbone
            for there, delay in self.links[here].items():
                if there not in parent and not (
                    came_down and there in self.backbone
                ):  # edges carry no transit
                    heappush(queue, (cost + factor * delay + 0.01, there, here, home))
        return parent


@dataclass(frozen=True)
class Planted:
    """Links that become slow at `SINCE`: milliseconds added to each packet that crosses them."""

    added_ms: dict[Link, float]

    def cost(self, way: list[str]) -> float:
        """What is added on the way."""
        return sum(self.added_ms.get((a, b), 0.0) for a, b in pairwise(way))


def forward_links(world: World) -> dict[Link, frozenset[tuple[str, str]]]:
    """Links between routers that forward ways cross -> the pairs that do."""
    found: dict[Link, set[tuple[str, str]]] = {}
    for vantage in world.vantages:
        for target in world.targets:
            way = world.way(vantage, target)
            for link in pairwise(way[1:]):
                found.setdefault(link, set()).add((vantage, target))
    return {link: frozenset(pairs) for link, pairs in found.items()}


def plant(world: World, count: int, *, both_ways: bool) -> Planted:
    """`count` bad links, each crossed forward by at least four pairs of two vantages."""
    links = forward_links(world)
    good = [
        link
        for link, pairs in links.items()
        if len(pairs) >= 4 and len({vantage for vantage, _ in pairs}) >= 2
    ]
    added: dict[Link, float] = {}
    for a, b in world.random.sample(sorted(good), count):
        added[a, b] = world.random.uniform(3, 40)
        if both_ways:
            added[b, a] = added[a, b]
    return Planted(added)


def traces(world: World, planted: Planted) -> Iterator[Trace]:
    """What all vantages measure, `SCANS` scans on both sides of `SINCE`."""
    random = world.random
    noise = [random.expovariate(1 / 0.15) for _ in range(4096)]
    for vantage in world.vantages:
        back_cost: dict[str, tuple[float, float]] = {}
        for target in world.targets:
            way = world.way(vantage, target)
            levels: list[tuple[str, float, float]] = []
            forth = forth_added = 0.0
            for a, b in pairwise(way):
                forth += world.links[a][b]
                forth_added += planted.added_ms.get((a, b), 0.0)
                if b not in back_cost:
                    back = world.way(b, vantage)
                    back_cost[b] = (
                        sum(world.links[x][y] for x, y in pairwise(back)),
                        planted.cost(back),
                    )
                levels.append((b, forth + back_cost[b][0], forth_added + back_cost[b][1]))
            for scan in range(-SCANS, SCANS):
                yield _trace(world, vantage, target, scan, levels, noise)


def _trace(
    world: World,
    vantage: str,
    target: str,
    scan: int,
    levels: list[tuple[str, float, float]],
    noise: list[float],
) -> Trace:
    random = world.random
    hops: list[Hop] = []
    start = random.randrange(4000)
    for ttl, (address, base, added) in enumerate(levels, 1):
        if address in world.silent:
            hops.append(Hop(ttl=ttl, address=None, samples=(Sample(state=SampleState.LOST),)))
            continue
        rtt = base + noise[start + ttl] + (added if scan >= 0 else 0.0)
        slow = world.slow.get(address)
        if slow is not None:
            rtt += random.expovariate(1 / slow)
        hops.append(
            Hop(
                ttl=ttl,
                address=address,
                samples=(Sample(state=SampleState.ANSWERED, rtt_ns=int(rtt * NS_PER_MS)),),
            )
        )
    return Trace(
        vantage=vantage,
        target=target,
        address=target,
        at=SINCE + scan * INTERVAL_S * NS_PER_S,
        outcome=Outcome.MEASURED,
        method=Method.UDP,
        flow=0,
        reached=True,
        stop=StopReason.REACHED,
        rtt_ns=hops[-1].samples[0].rtt_ns,
        hops=tuple(hops),
    )
