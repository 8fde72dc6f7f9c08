"""Paths of single flows, hop by hop with their delays: what the forwarder obeys and the truth reports."""

from collections.abc import Sequence

from nettrace.lab.fabric import ACCESS_NS, Group, Host, Link, Router, fingerprint, interface_end
from nettrace.lab.routing import Routes, mixed, router_for

Impairment = tuple[float, int]
"""(share lost, mean jitter in ns) of one link crossing."""

_ICMP, _ICMP6 = 1, 58
_ECHO = {8, 128}


class Way:
    """How a router's answer travels back to the asker.

    Attributes:
        hops: routers that take one from its TTL.
    """

    __slots__ = ("delay_ns", "hops", "impairments", "reaches")

    def __init__(
        self, delay_ns: int, hops: int, impairments: tuple[Impairment, ...], *, reaches: bool
    ) -> None:
        self.delay_ns = delay_ns
        self.hops = hops
        self.impairments = impairments
        self.reaches = reaches


class Hop:
    """One router that takes one from the TTL, as this flow meets it.

    Attributes:
        address: the interface it answers with.
        forward_ns: delay from the sender to it.
        exposed: how many of the path's impairments stand before it.
        back: its answer's way.
        labels: MPLS label stack its answer shows, as (label, TTL) pairs, outermost first.
        mtu: of the link behind it.
    """

    __slots__ = ("address", "back", "exposed", "forward_ns", "labels", "mtu", "router")

    def __init__(self, router: Router, address: bytes, forward_ns: int, exposed: int) -> None:
        self.router = router
        self.address = address
        self.forward_ns = forward_ns
        self.exposed = exposed
        self.back: Way | None = None
        self.labels: tuple[tuple[int, int], ...] = ()
        self.mtu = 9000


class Path:
    """What happens to a flow: its hops, and where it ends.

    Attributes:
        delay_ns: one way, to the end.
        reaches: false when the last hop has no route onwards.
        links: crossed on the way.
        due_ns: when the last packet of the flow arrives: queues do not reorder (set by the forwarder).
    """

    __slots__ = ("delay_ns", "due_ns", "end", "hops", "impairments", "links", "mtu", "reaches", "sender")

    def __init__(self, sender: Host | None, end: Host | None) -> None:
        self.sender = sender
        self.end = end
        self.hops: list[Hop] = []
        self.impairments: tuple[Impairment, ...] = ()
        self.links: list[Link] = []
        self.delay_ns = 0
        self.reaches = False
        self.mtu = 9000
        self.due_ns = 0


def flow_hash(source: bytes, destination: bytes, protocol: int, first4: bytes, label: int = 0) -> int:
    """64 bits every balancer on the way works with.

    IPv6 with a flow label hashes the label (RFC 6438), all else the transport header's first four bytes: the
    ports of UDP and TCP, type, code and checksum of an ICMP echo request (so Paris traceroute's constant
    checksum holds a path and classic ping's changing one does not). Other ICMP messages hash addresses only.
    """
    if label:
        return fingerprint(source.hex(), destination.hex(), "label", label)
    if protocol in {_ICMP, _ICMP6} and first4[0] not in _ECHO:
        first4 = b""
    return fingerprint(source.hex(), destination.hex(), protocol, first4.hex())


class Paths:
    """Compiles and keeps paths under one state of the routes."""

    def __init__(self, routes: Routes) -> None:
        self.routes = routes
        self.topology = routes.topology
        self._back: dict[tuple[int, bytes, bytes], Way] = {}

    def forward(self, source: bytes, destination: bytes, flow: int) -> Path:
        """The path of a flow from one address to another.

        The source may be a host or a router; an unknown destination ends at the first router that has no
        route to it.
        """
        topology = self.topology
        version = 4 if len(source) == 4 else 6
        sender = topology.host(source)
        end = topology.host(destination)
        path = Path(sender, end)
        starts = self._places(source, sender)
        goals = self._places(destination, end)
        start = self._start(starts, goals)
        if start is None:
            return path
        goal = self.routes.nearest(start, goals) if goals else None
        if goal is None:
            links, reached = [], False
        else:
            links, reached = self.routes.walk(start, goal, flow)
        whole = _Crossing(self, path, source, version, flow)
        whole.follow(start, links)
        path.reaches = reached
        target_router = topology.owners.get(destination)
        if target_router is not None and reached and path.hops:
            path.hops.pop()  # the last router is the destination itself and takes nothing from the TTL
        elif end is not None:
            path.delay_ns += ACCESS_NS
        return path

    def back(self, router: Router, address: bytes, asker: bytes) -> Way:
        """The way of a router's own message to an asker: hashed by addresses alone."""
        key = (router.group.number, address, asker)
        way = self._back.get(key)
        if way is None:
            way = self._back[key] = self._way(router.group, address, asker)
        return way

    def _way(self, start: Group, address: bytes, asker: bytes) -> Way:
        host = self.topology.host(asker)
        goals = self._places(asker, host)
        goal = self.routes.nearest(start, goals) if goals else None
        if goal is None:
            return Way(0, 0, (), reaches=False)
        flow = flow_hash(address, asker, _ICMP, b"\x00\x00\x00\x00")
        links, reaches = self.routes.walk(start, goal, flow)
        conditions = self.routes.conditions
        delay_ns = sum(conditions.delay_ns(link) for link in links) + ACCESS_NS
        impairments = tuple(found for link in links if (found := conditions.impairment(link)))
        hidden = hidden_indices([start, *(link.far for link in links)])
        return Way(delay_ns, len(links) - len(hidden), impairments, reaches=reaches)

    def _places(self, address: bytes, host: Host | None) -> tuple[Group, ...]:
        if host is not None:
            return host.groups
        router = self.topology.owners.get(address)
        return (router.group,) if router else ()

    def _start(self, starts: tuple[Group, ...], goals: tuple[Group, ...]) -> Group | None:
        """Answers of an anycast address leave from the site that attracted the question."""
        if len(starts) > 1 and goals:
            return self.routes.nearest(goals[0], starts)
        return starts[0] if starts else None


class _Crossing:
    """Fills a path in while walking over its links."""

    def __init__(self, paths: Paths, path: Path, source: bytes, version: int, flow: int) -> None:
        self.paths = paths
        self.path = path
        self.source = source
        self.version = version
        self.flow = flow

    def follow(self, start: Group, links: list[Link]) -> None:
        path, paths = self.path, self.paths
        conditions = paths.routes.conditions
        groups = [start, *(link.far for link in links)]
        hidden = hidden_indices(groups)
        tunnels = tunnel_ends(groups)
        arrivals = [ACCESS_NS if path.sender else 0]
        impairments: list[Impairment] = []
        for index, group in enumerate(groups):
            if index:
                link = links[index - 1]
                arrivals.append(arrivals[-1] + conditions.delay_ns(link))
                found = conditions.impairment(link)
                if found:
                    impairments.append(found)
                if path.hops:
                    path.hops[-1].mtu = min(path.hops[-1].mtu, link.mtu)
            if index in hidden or (index == 0 and not path.sender):
                continue  # a router that is itself the sender takes nothing from its TTL
            router = router_for(group, self.flow)
            end = interface_end(links[index - 1]) if index else -1
            address = router.addresses[end, self.version]
            path.hops.append(Hop(router, address, arrivals[-1], len(impairments)))
        path.links = links
        path.impairments = tuple(impairments)
        path.delay_ns = arrivals[-1]
        path.mtu = min((hop.mtu for hop in path.hops), default=9000)
        self._answers(groups, arrivals, tunnels, hidden)

    def _answers(
        self, groups: Sequence[Group], arrivals: list[int], tunnels: dict[int, int], hidden: set[int]
    ) -> None:
        paths, path = self.paths, self.path
        places = [index for index in range(len(groups)) if index not in hidden and (index or path.sender)]
        for hop, index in zip(path.hops, places, strict=True):
            tail = tunnels.get(index)
            if tail is None:
                hop.back = paths.back(hop.router, hop.address, self.source)
                continue
            # inside a tunnel an answer is label-switched to the tunnel's end first (RFC 3032, 2.3.1)
            router = router_for(groups[tail], self.flow)
            way = paths.back(router, hop.address, self.source)
            hop.back = Way(
                arrivals[tail] - arrivals[index] + way.delay_ns,
                tail - index + way.hops,
                way.impairments,
                reaches=way.reaches,
            )
            label = 16 + mixed(groups[tail].salt, hop.router.salt) % 1_048_560
            hop.labels = ((label, 1),)


def tunnel_ends(groups: Sequence[Group]) -> dict[int, int]:
    """Index of each group inside an MPLS tunnel -> index of the tunnel's last router."""
    inside: dict[int, int] = {}
    first = 0
    for index in range(1, len(groups) + 1):
        asn = groups[first].network.asn
        if index < len(groups) and groups[index].network.asn == asn:
            continue
        if groups[first].network.mpls != "none":
            inside.update(dict.fromkeys(range(first + 1, index - 1), index - 1))
        first = index
    return inside


def hidden_indices(groups: Sequence[Group]) -> set[int]:
    """Groups that take nothing from the TTL: the inside of tunnels that do not propagate it."""
    return {index for index in tunnel_ends(groups) if groups[index].network.mpls == "invisible"}
