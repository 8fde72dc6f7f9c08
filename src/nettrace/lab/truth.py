"""What a measurement in the lab must find: the paths of every flow, delays and who keeps silent.

Computed from the world and its conditions alone, by the same compiled paths the forwarder obeys.
"""

from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any

from nettrace.errors import LabError
from nettrace.lab.fabric import Group, Host, Link, Router, interface_end
from nettrace.lab.paths import Hop, Path, Paths, Way, flow_hash, hidden_indices
from nettrace.lab.routing import Conditions, Routes
from nettrace.lab.services import waits_of
from nettrace.lab.topology import Topology
from nettrace.lab.world import World, fibre_ns, great_circle_km
from nettrace.measure.tracing.flow import flow_for
from nettrace.model.instant import ms
from nettrace.model.measurement import Method
from nettrace.model.path import Flow

_MOST_BRANCHES = 64
_PROTOCOLS = {
    4: {Method.ICMP: 1, Method.UDP: 17, Method.TCP: 6},
    6: {Method.ICMP: 58, Method.UDP: 17, Method.TCP: 6},
}


@dataclass(frozen=True, kw_only=True)
class TrueHop:
    """One hop as one flow meets it.

    Attributes:
        rtt_ns: from the probe's departure to its answer, without jitter.
        labels: MPLS labels its answer shows.
    """

    ttl: int
    address: str
    name: str
    asn: int
    site: str
    rtt_ns: int
    reply_ttl: int
    silent: bool
    limited: bool
    labels: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class TruePath:
    """Where one flow goes.

    Attributes:
        hops: the routers; the target itself follows at TTL len(hops) + 1 when `reaches`.
        rtt_ns: floor of the round trip to the target: delays without jitter, no time spent in the target.
        lossy: some link on the way there loses packets.
    """

    reaches: bool
    forward_ns: int
    return_ns: int
    hops: tuple[TrueHop, ...]
    as_path: tuple[int, ...]
    cables: tuple[str, ...]
    edge: str | None
    lossy: bool

    @property
    def rtt_ns(self) -> int:
        """Round trip without jitter."""
        return self.forward_ns + self.return_ns


class Oracle:
    """Answers every question about a world under some conditions."""

    def __init__(self, world: World, conditions: Conditions | None = None) -> None:
        self.world = world
        self.topology = Topology(world)
        self.routes = Routes(self.topology, conditions)
        self.paths = Paths(self.routes)
        self._waits = waits_of(self.routes)

    def path(self, vantage: str, target: str, flow: Flow, version: int = 4) -> TruePath:
        """The truth for one flow; `target` may be a name, a label, a vantage or an address.

        Raises:
            LabError: no such vantage or target, or it has no address of that IP version.
        """
        here, there = self._pair(vantage, target)
        source, destination = _address(here, version), _address(there, version)
        protocol = _PROTOCOLS[version][flow.method]
        forward = self.paths.forward(
            source,
            destination,
            flow_hash(source, destination, protocol, _first4(flow, version), flow.ipv6_flow_label),
        )
        back = self.paths.forward(
            destination, source, flow_hash(destination, source, *_reply(flow, version, protocol))
        )
        return _true_path(forward, back)

    def pair(self, vantage: str, target: str, version: int = 4) -> dict[str, Any]:
        """The public truth document of a pair: canonical UDP flow, and all branches at each TTL."""
        here, there = self._pair(vantage, target)
        address = str(ip_address(_address(there, version)))
        path = self.path(vantage, target, flow_for(address, Method.UDP), version)
        everywhere = self.branches(vantage, target, version)
        edge = self.routes.nearest(here.groups[0], there.groups)
        place = edge.site if edge else there.groups[0].site
        km = great_circle_km(here.groups[0].site, place)
        wait = self._waits.get(here.name, {}).get(there.name)
        return {
            "schema": "nettrace.lab_truth/1",
            "vantage": vantage,
            "target": there.name,
            "address": address,
            "reaches": path.reaches and not (there.target and (there.target.dark or there.target.prohibited)),
            "dark": bool(there.target and there.target.dark),
            "rtt_ms": ms(path.rtt_ns),
            "forward_ms": ms(path.forward_ns),
            "return_ms": ms(path.return_ns),
            "first_byte_wait_ms": ms(wait[0]) if wait else None,
            "edge": place.code,
            "place": place.city,
            "distance_km": round(km, 1),
            "fibre_floor_ms": ms(2 * fibre_ns(km)),
            "as_path": list(path.as_path),
            "cables": list(path.cables),
            "lossy": path.lossy,
            "hops": [
                {**_hop_document(hop), "addresses": sorted(everywhere.get(hop.ttl, {hop.address}))}
                for hop in path.hops
            ],
        }

    def branches(self, vantage: str, target: str, version: int = 4) -> dict[int, set[str]]:
        """Every interface some flow meets at each TTL."""
        here, there = self._pair(vantage, target)
        goal = self.routes.nearest(here.groups[0], there.groups)
        found: dict[int, set[str]] = {}
        if goal is None:
            return found
        for links in self._ways(here.groups[0], goal):
            groups = [here.groups[0], *(link.far for link in links)]
            hidden = hidden_indices(groups)
            ttl = 0
            for index, group in enumerate(groups):
                if index in hidden:
                    continue
                ttl += 1
                end = interface_end(links[index - 1]) if index else -1
                found.setdefault(ttl, set()).update(
                    str(ip_address(router.addresses[end, version])) for router in group.routers
                )
        return found

    def document(self) -> dict[str, Any]:
        """The truth of every pair."""
        pairs = [
            self.pair(vantage, target)
            for vantage in self.topology.vantages
            for target in self.topology.targets
        ]
        return {"schema": "nettrace.lab_world/1", "world": self.world.name, "pairs": pairs}

    def _ways(self, start: Group, goal: Group) -> list[list[Link]]:
        tree = self.routes.tree((goal,))
        done: list[list[Link]] = []
        open_: list[tuple[Group, list[Link]]] = [(start, [])]
        while open_ and len(done) < _MOST_BRANCHES:
            here, taken = open_.pop()
            if here is goal:
                done.append(taken)
            else:
                open_ += [(link.far, [*taken, link]) for link in self.routes.next_links(here, tree)]
        return done

    def _pair(self, vantage: str, target: str) -> tuple[Host, Host]:
        here, there = self.topology.vantages.get(vantage), self.topology.find(target)
        if here is None:
            raise LabError(f"no vantage '{vantage}'", f"There are: {', '.join(self.topology.vantages)}")
        if there is None:
            raise LabError(f"no target '{target}' in the world '{self.world.name}'")
        return here, there


def truth(
    world: World,
    vantage: str,
    target: str,
    flow: Flow,
    *,
    version: int = 4,
    conditions: Conditions | None = None,
) -> TruePath:
    """The path one flow takes in a world: what a trace must find.

    Raises:
        LabError: no such vantage or target.
    """
    return Oracle(world, conditions).path(vantage, target, flow, version)


def _true_path(forward: Path, back: Path) -> TruePath:
    groups = [forward.links[0].near, *(link.far for link in forward.links)] if forward.links else []
    if not groups and forward.hops:
        groups = [forward.hops[0].router.group]
    as_path = [group.network.asn for group in groups]
    return TruePath(
        reaches=forward.reaches and back.reaches,
        forward_ns=forward.delay_ns,
        return_ns=back.delay_ns,
        hops=tuple(_true_hop(index, hop) for index, hop in enumerate(forward.hops, start=1)),
        as_path=tuple(asn for index, asn in enumerate(as_path) if not index or asn != as_path[index - 1]),
        cables=tuple(link.cable.code for link in forward.links if link.cable),
        edge=groups[-1].site.code if groups and forward.reaches else None,
        lossy=any(loss for loss, _ in (*forward.impairments, *back.impairments)),
    )


def _true_hop(ttl: int, hop: Hop) -> TrueHop:
    router: Router = hop.router
    back = hop.back or Way(0, 0, (), reaches=False)
    return TrueHop(
        ttl=ttl,
        address=str(ip_address(hop.address)),
        name=router.name,
        asn=router.group.network.asn,
        site=router.group.site.code,
        rtt_ns=hop.forward_ns + back.delay_ns,
        reply_ttl=max(1, router.reply_ttl - back.hops),
        silent=router.silent or not back.reaches,
        limited=router.limit is not None,
        labels=tuple(label for label, _ in hop.labels),
    )


def _hop_document(hop: TrueHop) -> dict[str, Any]:
    return {
        "ttl": hop.ttl,
        "address": hop.address,
        "name": hop.name,
        "asn": hop.asn,
        "site": hop.site,
        "rtt_ms": ms(hop.rtt_ns),
        "silent": hop.silent,
        "limited": hop.limited,
        "mpls": list(hop.labels) or None,
    }


def _first4(flow: Flow, version: int) -> bytes:
    if flow.method is Method.ICMP:
        return bytes((8 if version == 4 else 128, 0)) + flow.icmp_checksum.to_bytes(2)
    return flow.source_port.to_bytes(2) + flow.destination_port.to_bytes(2)


def _reply(flow: Flow, version: int, protocol: int) -> tuple[int, bytes]:
    """Protocol and first bytes of the target's answer: TCP swaps ports, all else answers by ICMP."""
    if flow.method is Method.TCP:
        return protocol, flow.destination_port.to_bytes(2) + flow.source_port.to_bytes(2)
    return _PROTOCOLS[version][Method.ICMP], bytes(4)


def _address(host: Host, version: int) -> bytes:
    address = host.address4 if version == 4 else host.address6
    if address is None or len(address) != (4 if version == 4 else 16):
        raise LabError(f"{host.name} has no IPv{version} address in this world")
    return address
