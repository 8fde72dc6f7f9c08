"""Which way packets go: shortest paths by delay and policy, recomputed when something breaks.

Routes are trees towards a destination (Dijkstra 1959 on the reversed links), as in hop-by-hop forwarding;
only transit networks carry what is not theirs. Next hops within the world's tolerance share the load.
"""

from array import array
from collections.abc import Iterable
from heapq import heappop, heappush

import msgspec

from nettrace.lab.fabric import Group, Link, Router
from nettrace.lab.topology import Topology
from nettrace.lab.world import Event

_MASK = (1 << 64) - 1


class Congestion(msgspec.Struct, frozen=True):
    """What a congested cable adds, each way."""

    delay_ns: int
    jitter_ns: int
    loss: float


class Conditions(msgspec.Struct, frozen=True, kw_only=True):
    """What is broken or changed just now."""

    cut: frozenset[str] = frozenset()
    dead: frozenset[str] = frozenset()
    congested: dict[str, Congestion] = {}
    preference_ns: dict[int, int] = {}

    def after(self, event: Event) -> "Conditions":
        """The conditions once the event has happened."""
        cut, dead = set(self.cut), set(self.dead)
        congested, preference = dict(self.congested), dict(self.preference_ns)
        match event.kind:
            case "cut":
                cut.add(event.subject)
            case "restore":
                cut.discard(event.subject)
            case "kill":
                dead.add(event.subject)
            case "revive":
                dead.discard(event.subject)
            case "congest":
                congested[event.subject] = Congestion(
                    round(event.delay_ms * 1e6), round(event.jitter_ms * 1e6), event.loss
                )
            case "clear":
                congested.pop(event.subject, None)
            case "reroute":
                preference[int(event.subject)] = round(event.preference_ms * 1e6)
        return Conditions(
            cut=frozenset(cut), dead=frozenset(dead), congested=congested, preference_ns=preference
        )

    def delay_ns(self, link: Link) -> int:
        """The link's delay now."""
        if link.cable and link.cable.code in self.congested:
            return link.delay_ns + self.congested[link.cable.code].delay_ns
        return link.delay_ns

    def impairment(self, link: Link) -> tuple[float, int] | None:
        """(loss, mean jitter in ns) of the link now, or None when it has neither."""
        loss, jitter_ns = link.loss, link.jitter_ns
        if link.cable and link.cable.code in self.congested:
            more = self.congested[link.cable.code]
            loss, jitter_ns = 1 - (1 - loss) * (1 - more.loss), jitter_ns + more.jitter_ns
        return (loss, jitter_ns) if loss or jitter_ns else None


class Tree:
    """Next hops of every group towards one destination: links[offsets[g]:offsets[g+1]], flat to be cheap."""

    __slots__ = ("links", "offsets")

    def __init__(self, offsets: "array[int]", links: "array[int]") -> None:
        self.offsets = offsets
        self.links = links

    @classmethod
    def of(cls, offsets: bytes, links: bytes) -> "Tree":
        """The tree of two arrays' bytes."""
        made = cls(array("i"), array("i"))
        made.offsets.frombytes(offsets)
        made.links.frombytes(links)
        return made


def mixed(flow: int, salt: int) -> int:
    """32 well-mixed bits of a flow at one router: neighbours choose independently (no polarisation)."""
    word = ((flow ^ salt) * 0x9E3779B97F4A7C15) & _MASK
    word = ((word ^ (word >> 32)) * 0xD6E8FEB86659FD93) & _MASK
    return word >> 32


class Routes:
    """Routing as it is under some conditions; trees are computed once and kept."""

    def __init__(self, topology: Topology, conditions: Conditions | None = None) -> None:
        self.topology = topology
        self.conditions = conditions or Conditions()
        self.trees: dict[tuple[int, ...], Tree] = {}

    def prepare(self) -> None:
        """Compute every tree towards a host now, so that no packet waits for one."""
        for host in {*self.topology.vantages.values(), *self.topology.targets.values()}:
            self.tree(host.groups)
            for group in host.groups:
                self.tree((group,))

    def alive(self, group: Group) -> bool:
        """False when the group's site is dead."""
        return group.site.code not in self.conditions.dead

    def tree(self, goals: Iterable[Group]) -> Tree:
        """Next hops towards the nearest of these groups."""
        key = tuple(sorted(group.number for group in goals))
        found = self.trees.get(key)
        if found is None:
            found = self.trees[key] = self._tree(key)
        return found

    def next_link(self, group: Group, tree: Tree, flow: int) -> Link | None:
        """Where a flow goes on from here; None at the goal and without a route."""
        first, last = tree.offsets[group.number], tree.offsets[group.number + 1]
        if first == last:
            return None
        choice = 0 if last - first == 1 else mixed(flow, group.salt) % (last - first)
        return self.topology.links[tree.links[first + choice]]

    def next_links(self, group: Group, tree: Tree) -> list[Link]:
        """All links that share the load from here."""
        first, last = tree.offsets[group.number], tree.offsets[group.number + 1]
        return [self.topology.links[number] for number in tree.links[first:last]]

    def nearest(self, start: Group, goals: tuple[Group, ...]) -> Group | None:
        """Which of several places announcing one address attracts traffic from here (anycast)."""
        if len(goals) == 1:
            return goals[0]
        tree = self.tree(goals)
        numbers = {group.number for group in goals if self.alive(group)}
        here = start
        while here.number not in numbers:
            links = self.next_links(here, tree)
            if not links:
                return None
            here = links[0].far
        return here

    def walk(self, start: Group, goal: Group, flow: int) -> tuple[list[Link], bool]:
        """The links a flow takes, and whether they lead to the goal."""
        tree = self.tree((goal,))
        taken: list[Link] = []
        here = start
        while here is not goal:
            link = self.next_link(here, tree, flow)
            if link is None:
                return taken, False
            taken.append(link)
            here = link.far
        return taken, self.alive(goal)

    def usable(self, link: Link) -> bool:
        """True when the link carries packets now."""
        cable = link.cable
        return (cable is None or cable.code not in self.conditions.cut) and (
            self.alive(link.near) and self.alive(link.far)
        )

    def _cost(self, link: Link) -> int:
        if link.near.network.asn == link.far.network.asn:
            return link.cost_ns
        return link.cost_ns + self.conditions.preference_ns.get(link.far.network.asn, 0)

    def _tree(self, goals: tuple[int, ...]) -> Tree:
        groups = self.topology.groups
        home = self._home(goals)
        distance = self._distances(goals, home)
        tolerance = round(self.topology.world.ecmp_tolerance_ms * 1e6)
        offsets: array[int] = array("i", [0])
        links: array[int] = array("i")
        ends = set(goals)
        for group in groups:
            here = distance.get(group.number)
            if here is not None and group.number not in ends:
                good: list[tuple[int, int]] = []
                for link in group.links:
                    there = distance.get(link.far.number)
                    if there is None or there >= here or not self._carries(link, home):
                        continue
                    cost = self._cost(link) + there
                    if cost <= here + tolerance:
                        good.append((cost, link.number))
                links.extend(number for _, number in sorted(good))
            offsets.append(len(links))
        return Tree(offsets, links)

    def _home(self, goals: tuple[int, ...]) -> set[int]:
        """The groups from which the goals are reached without leaving their own network."""
        groups = self.topology.groups
        home: set[int] = set()
        open_ = [groups[number] for number in goals]
        while open_:
            group = open_.pop()
            if group.number in home:
                continue
            home.add(group.number)
            own = (link for link in group.links if link.far.network.asn == group.network.asn)
            open_ += [link.far for link in own if self.usable(self.topology.links[link.number ^ 1])]
        return home

    def _distances(self, goals: tuple[int, ...], home: set[int]) -> dict[int, int]:
        groups = self.topology.groups
        distance: dict[int, int] = {}
        heap = [(0, number) for number in goals if self.alive(groups[number])]
        while heap:
            cost, number = heappop(heap)
            if number in distance:
                continue
            distance[number] = cost
            for link in groups[number].links:  # every link has a twin; walk it backwards
                back = self.topology.links[link.number ^ 1]
                if back.near.number not in distance and self._carries(back, home):
                    heappush(heap, (cost + self._cost(back), back.near.number))
        return distance

    def _carries(self, link: Link, home: set[int]) -> bool:
        """Only a transit network, or the destination's own where it leads home, takes others' packets."""
        far = link.far
        if link.near.network.asn != far.network.asn and not far.network.transit and far.number not in home:
            return False
        return self.usable(link)


def router_for(group: Group, flow: int) -> Router:
    """Which of the group's equal routers a flow meets."""
    routers = group.routers
    return routers[0] if len(routers) == 1 else routers[mixed(flow, ~group.salt & _MASK) % len(routers)]
