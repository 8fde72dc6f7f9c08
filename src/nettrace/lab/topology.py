"""Routers, links and addresses that follow from a world: the same ones for the same file, always.

Every network has rows of routers ("groups") at each of its sites; the routers of one group are equal-cost
neighbours. A router answers with the address of the interface the packet came in by, as real ones do.
"""

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from nettrace.errors import LabError
from nettrace.lab.fabric import Group, Host, Link, Router, fingerprint, share, slug_of
from nettrace.lab.world import Cable, Target, Vantage, World, fibre_ns, great_circle_km

_ROLES = {1: ("cr",), 2: ("br", "cr"), 3: ("br", "cr", "gw"), 4: ("br", "cr", "ar", "gw")}


class Topology:
    """The compiled world.

    Attributes:
        hosts: every known address -> its host.
        owners: router interface address -> its router.
        prefixes: (prefix, AS number) of every block handed out; exchanges' LANs carry AS number 0.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        self.sites = {site.code: site for site in world.site}
        self.networks = {network.asn: network for network in world.network}
        self.groups: list[Group] = []
        self.links: list[Link] = []
        self.hosts: dict[bytes, Host] = {}
        self.owners: dict[bytes, Router] = {}
        self.vantages: dict[str, Host] = {}
        self.targets: dict[str, Host] = {}
        self.prefixes: list[tuple[IPv4Network | IPv6Network, int]] = []
        self._at: dict[tuple[int, str, int], Group] = {}
        self._build_groups()
        self._build_links()
        _Addresses(self).assign()
        self.crowds = [_CrowdPrefix(self, crowd.prefix, number) for number, crowd in enumerate(world.crowd)]
        self.prefixes += [(crowd.prefix, crowd.asn) for crowd in self.crowds]

    def group(self, asn: int, site: str, level: int) -> Group:
        """The routers of a network at a site; level -1 is the row its hosts hang on."""
        levels = self.networks[asn].levels
        return self._at[asn, site, level % levels]

    def host(self, address: bytes) -> Host | None:
        """Who owns an address: a vantage, a target or one of a crowd; None for routers and for nobody."""
        known = self.hosts.get(address)
        if known is not None:
            return known
        for crowd in self.crowds:
            if crowd.holds(address):
                return crowd.host(address)
        return None

    def find(self, name: str) -> Host | None:
        """A vantage by code, a target by name or label, or any host by address text."""
        if name in self.vantages:
            return self.vantages[name]
        if name in self.targets:
            return self.targets[name]
        for host in self.targets.values():
            if host.target and name == host.target.label:
                return host
        try:
            return self.host(ip_address(name).packed)
        except ValueError:
            return None

    def local_prefixes(self) -> list[IPv4Network | IPv6Network]:
        """What the namespace of the targets answers for: every block but the vantages' own addresses."""
        own = {ip_address(a) for v in self.vantages.values() for a in (v.address4, v.address6) if a}
        blocks = [prefix for prefix, _ in self.prefixes]
        if any(network.private_gateways for network in self.world.network):
            blocks.append(ip_network("10.0.0.0/8"))
        return [piece for block in dict.fromkeys(blocks) for piece in _without(block, own)]

    def _build_groups(self) -> None:
        seed = self.world.seed
        for network in self.world.network:
            roles = _ROLES[network.levels]
            slug = slug_of(network)
            for code in network.sites:
                for level, role in enumerate(roles):
                    group = Group(len(self.groups), network, self.sites[code], level)
                    self.groups.append(group)
                    self._at[network.asn, code, level] = group
                    for index in range(network.width):
                        name = f"{role}{index + 1}.{code}.{slug}.lab"
                        router = Router(len(group.routers), group, name)
                        router.silent = bool({"*", code} & set(network.silent)) or (
                            share(seed, "silent", name) < network.silent_share
                        )
                        router.limit = network.limit if {"*", code} & set(network.limited) else None
                        group.routers.append(router)

    def _build_links(self) -> None:
        for network in self.world.network:
            metro_ns = round(network.metro_ms * 1e6)
            for code in network.sites:
                for level in range(network.levels - 1):
                    rows = self.group(network.asn, code, level), self.group(network.asn, code, level + 1)
                    self._join(*rows, metro_ns)
        for cable in self.world.cable:
            km = cable.length_km or great_circle_km(self.sites[cable.a], self.sites[cable.b]) * cable.detour
            for asn in cable.networks:
                level = min(1, self.networks[asn].levels - 1)
                ends = self.group(asn, cable.a, level), self.group(asn, cable.b, level)
                self._join(*ends, fibre_ns(km), cable=cable)
        for number, exchange in enumerate(self.world.exchange):
            rows = [self.group(asn, exchange.site, 0) for asn in exchange.members]
            self._mesh(rows, round(exchange.metro_ms * 1e6), number)
        for peering in self.world.peering:
            members = [self.networks[asn].sites for asn in peering.networks]
            codes = [site.code for site in self.world.site if all(site.code in sites for sites in members)]
            for code in codes:
                if {"*", code} & set(peering.sites):
                    rows = [self.group(asn, code, 0) for asn in peering.networks]
                    self._mesh(rows, round(peering.metro_ms * 1e6), -1)

    def _mesh(self, rows: list[Group], delay_ns: int, exchange: int) -> None:
        for index, one in enumerate(rows):
            for other in rows[index + 1 :]:
                self._join(one, other, delay_ns, exchange=exchange)

    def _join(
        self, a: Group, b: Group, delay_ns: int, *, cable: Cable | None = None, exchange: int = -1
    ) -> None:
        lean_ns = round(cable.lean_ms * 1e6) if cable else 0
        for near, far, lean in ((a, b, lean_ns), (b, a, 0)):
            link = Link(len(self.links), near, far, delay_ns, cable=cable, exchange=exchange, lean_ns=lean)
            self.links.append(link)
            near.links.append(link)


class _CrowdPrefix:
    """The hosts of one crowd, made when they are asked for: they cost nothing."""

    def __init__(self, topology: Topology, prefix: str, number: int) -> None:
        crowd = topology.world.crowd[number]
        self.prefix = ip_network(prefix)
        self.asn = crowd.network
        self._first = int(self.prefix.network_address)
        self._last = int(self.prefix.broadcast_address)
        self._width = self.prefix.max_prefixlen // 8
        codes = topology.networks[crowd.network].sites if "*" in crowd.sites else crowd.sites
        self._groups = [topology.group(crowd.network, code, -1) for code in codes]
        self._answering = crowd.answering
        self._seed = topology.world.seed

    def holds(self, address: bytes) -> bool:
        return len(address) == self._width and self._first <= int.from_bytes(address) <= self._last

    def host(self, address: bytes) -> Host:
        text = str(ip_address(address))
        where = self._groups[fingerprint(self._seed, "place", text) % len(self._groups)]
        dark = share(self._seed, "dark", text) >= self._answering
        target = Target(name=text, network=self.asn, site=where.site.code, dark=dark)
        return Host(text, (where,), address, None, target=target)


class _Addresses:
    """Hands out the blocks: one for each network, one for each exchange, in the order of the file."""

    def __init__(self, topology: Topology) -> None:
        self.topology = topology
        world = topology.world
        self.space = ip_network(world.ipv4)
        self.next4 = int(self.space.network_address)
        self.base6 = int(ip_network(world.ipv6).network_address)
        self.private = 0

    def assign(self) -> None:
        blocks = len(self.topology.networks)
        for index, network in enumerate(self.topology.world.network, start=1):
            hosts = [host for host in self._hosts() if host[0] == network.asn]
            groups = [group for group in self.topology.groups if group.network.asn == network.asn]
            interfaces = sum((len(_far_ends(group)) + 1) * len(group.routers) for group in groups)
            first4 = self._block4(len(hosts) + interfaces + 16, network.asn)
            first6 = self._block6(index, network.asn)
            for number, (_, name, where, vantage, target) in enumerate(hosts, start=10):
                self._host(name, where, vantage, target, (first4 + number, first6 + 0x10000 + number))
            self._routers(groups, first4 + 10 + len(hosts), first6 + (0xA << 64))
        for number, exchange in enumerate(self.topology.world.exchange):
            rows = [self.topology.group(asn, exchange.site, 0) for asn in exchange.members]
            routers = [router for row in rows for router in row.routers]
            first4 = self._block4(len(routers) + 2, 0)
            first6 = self._block6(blocks + 1 + number, 0)
            for place, router in enumerate(routers, start=1):
                self._interface(router, -2 - number, first4 + place, first6 + place)

    def _hosts(self) -> Iterable[tuple[int, str, tuple[Group, ...], Vantage | None, Target | None]]:
        topology = self.topology
        for vantage in topology.world.vantage:
            where = (topology.group(vantage.network, vantage.site, -1),)
            yield vantage.network, vantage.code, where, vantage, None
        for target in topology.world.target:
            codes = (target.site,) if target.site else target.edges
            if "*" in codes:
                codes = topology.networks[target.network].sites
            where = tuple(topology.group(target.network, code, -1) for code in codes if code)
            yield target.network, target.name, where, None, target

    def _block4(self, needed: int, asn: int) -> int:
        size = max(256, 1 << (needed - 1).bit_length())
        first = -(-self.next4 // size) * size
        self.next4 = first + size
        if self.next4 > int(self.space.broadcast_address) + 1:
            raise LabError(
                f"the addresses of {self.space} do not suffice for this world", "Give it a larger `ipv4`"
            )
        prefix = ip_network((first, 32 - (size - 1).bit_length()))
        self.topology.prefixes.append((prefix, asn))
        return first

    def _block6(self, index: int, asn: int) -> int:
        first = self.base6 + (index << 80)
        self.topology.prefixes.append((ip_network((first, 48)), asn))
        return first

    def _host(
        self,
        name: str,
        where: tuple[Group, ...],
        vantage: Vantage | None,
        target: Target | None,
        numbers: tuple[int, int],
    ) -> None:
        topology = self.topology
        address4, address6 = numbers[0].to_bytes(4), numbers[1].to_bytes(16)
        if target and target.address:
            address4 = ip_address(target.address).packed
            topology.prefixes.append((ip_network(target.address), target.network))
        if target and target.address6:
            address6 = ip_address(target.address6).packed
            topology.prefixes.append((ip_network(target.address6), target.network))
        has6 = target is None or target.ipv6
        host = Host(name, where, address4, address6 if has6 else None, vantage=vantage, target=target)
        topology.hosts[address4] = host
        if has6:
            topology.hosts[address6] = host
        if vantage:
            topology.vantages[name] = host
        else:
            topology.targets[name] = host

    def _routers(self, groups: list[Group], next4: int, next6: int) -> None:
        for group in groups:
            last = group.level == group.network.levels - 1
            for router in group.routers:
                ends = [end for end in _far_ends(group) if end >= 0]
                for end in [*ends, -1] if last else ends:
                    v4 = next4
                    if end == -1 and group.network.private_gateways:
                        self.private += 1
                        v4 = (10 << 24) + (self.private << 8) + 1
                    self._interface(router, end, v4, next6)
                    next4 += 1
                    next6 += 1

    def _interface(self, router: Router, end: int, v4: int, v6: int) -> None:
        for version, packed in ((4, v4.to_bytes(4)), (6, v6.to_bytes(16))):
            router.addresses[end, version] = packed
            self.topology.owners[packed] = router


def _far_ends(group: Group) -> list[int]:
    """What the group's interfaces face: other groups by number, exchange n as -2-n; hosts are -1."""
    return sorted({-2 - link.exchange if link.exchange >= 0 else link.far.number for link in group.links})


def _without(
    block: IPv4Network | IPv6Network, holes: set[IPv4Address | IPv6Address]
) -> list[IPv4Network | IPv6Network]:
    """The block cut into the prefixes that leave these addresses out."""
    inside = [hole for hole in holes if hole.version == block.version and hole in block]
    if not inside:
        return [block]
    if block.prefixlen == block.max_prefixlen:
        return []
    return [piece for half in block.subnets() for piece in _without(half, set(inside))]
