"""What networks are made of: routers in groups, links between them, hosts at their ends."""

from hashlib import blake2b

from nettrace.lab.world import Cable, Network, RateLimit, Site, Target, Vantage

ACCESS_NS = 40_000
"""One-way delay between a host and its first router."""


class Router:
    """One router: an addressable member of a group.

    Attributes:
        addresses: (identity of the link's far group or exchange, IP version) -> interface address.
    """

    __slots__ = (
        "addresses",
        "group",
        "limit",
        "name",
        "number",
        "quote_bytes",
        "reply_ttl",
        "salt",
        "silent",
    )

    def __init__(self, number: int, group: "Group", name: str) -> None:
        self.number = number
        self.group = group
        self.name = name
        self.silent = False
        self.limit: RateLimit | None = None
        self.quote_bytes = group.network.quote_bytes
        self.reply_ttl = group.network.reply_ttl
        self.addresses: dict[tuple[int, int], bytes] = {}
        self.salt = fingerprint("router", name)


class Group:
    """A row of equal routers of one network at one site."""

    __slots__ = ("level", "links", "network", "number", "routers", "salt", "site")

    def __init__(self, number: int, network: Network, site: Site, level: int) -> None:
        self.number = number
        self.network = network
        self.site = site
        self.level = level
        self.routers: list[Router] = []
        self.links: list[Link] = []
        self.salt = fingerprint("group", f"{network.asn}/{site.code}/{level}")


class Link:
    """One direction of an adjacency between two groups."""

    __slots__ = (
        "cable",
        "cost_ns",
        "delay_ns",
        "exchange",
        "far",
        "jitter_ns",
        "loss",
        "mtu",
        "near",
        "number",
    )

    def __init__(
        self,
        number: int,
        near: Group,
        far: Group,
        delay_ns: int,
        *,
        cable: Cable | None = None,
        exchange: int = -1,
        lean_ns: int = 0,
    ) -> None:
        self.number = number
        self.near = near
        self.far = far
        self.delay_ns = delay_ns
        self.cable = cable
        self.exchange = exchange
        self.loss = cable.loss if cable else 0.0
        self.jitter_ns = round(cable.jitter_ms * 1e6) if cable else 0
        self.mtu = cable.mtu if cable else 9000
        self.cost_ns = delay_ns + lean_ns
        if near.network.asn != far.network.asn:
            self.cost_ns += round(far.network.preference_ms * 1e6)


class Host:
    """An address that is not a router's: a vantage, a target or a member of a crowd.

    Attributes:
        groups: the routers it hangs on; several for an anycast address.
    """

    __slots__ = ("address4", "address6", "groups", "name", "target", "vantage")

    def __init__(
        self,
        name: str,
        groups: tuple[Group, ...],
        address4: bytes,
        address6: bytes | None,
        *,
        vantage: Vantage | None = None,
        target: Target | None = None,
    ) -> None:
        self.name = name
        self.groups = groups
        self.address4 = address4
        self.address6 = address6
        self.vantage = vantage
        self.target = target


def fingerprint(*words: object) -> int:
    """64 bits that depend on the words alone."""
    return int.from_bytes(blake2b("|".join(map(str, words)).encode(), digest_size=8).digest())


def share(*words: object) -> float:
    """A number in [0, 1) that depends on the words alone."""
    return fingerprint(*words) / 2**64


def interface_end(link: Link) -> int:
    """Which interface of the far router a link arrives at."""
    return -2 - link.exchange if link.exchange >= 0 else link.near.number


def slug_of(network: Network) -> str:
    """The network's name as it stands in host names."""
    return "".join(letter if letter.isalnum() else "-" for letter in network.name.lower()).strip("-")


def interface_name(router: Router, address: bytes) -> str:
    """The reverse-DNS name of an interface: as telling as operators make them.

    The number is the interface's place among the router's own, so that every address has its own name.
    """
    ends = [end for (end, _), packed in router.addresses.items() if packed == address]
    order = sorted({end for end, _ in router.addresses})
    return f"ae{order.index(ends[0])}.{router.name}"
