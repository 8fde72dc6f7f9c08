"""Which addresses other people may have a node measure or a hub speak to: none that lead into its own network.

Whoever goes where others send it is a confused deputy waiting to happen: it stands inside somebody's network, next to
a cloud's metadata service. That holds for a node's targets and for the addresses notices are posted to; both ask here.
The check is on the resolved, pinned address, never on the name. What the user of the local command line types is the user's own business and not restricted.

Sources: IANA IPv4 and IPv6 special-purpose address registries (RFC 6890); transition mechanisms that carry an
IPv4 address inside an IPv6 one (RFC 4291, 3056, 4380, 5214, 6052).
"""

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from nettrace.errors import ConfigError, Forbidden, Invalid

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_METADATA = frozenset(
    ip_address(text)
    for text in (
        "169.254.169.254",
        "169.254.170.2",
        "100.100.100.200",
        "168.63.129.16",
        "192.0.0.192",
        "fd00:ec2::254",
    )
)
_CLOSED_IPV4 = tuple(
    (IPv4Network(text), words)
    for text, words in (
        ("0.0.0.0/8", 'an address of "this network"'),
        ("10.0.0.0/8", "a private address"),
        ("100.64.0.0/10", "a carrier's shared address"),
        ("127.0.0.0/8", "a loopback address"),
        ("169.254.0.0/16", "a link-local address"),
        ("172.16.0.0/12", "a private address"),
        ("192.0.0.0/24", "an IETF protocol address"),
        ("192.0.2.0/24", "a documentation address"),
        ("192.88.99.0/24", "a 6to4 relay address"),
        ("192.168.0.0/16", "a private address"),
        ("198.18.0.0/15", "a benchmarking address"),
        ("198.51.100.0/24", "a documentation address"),
        ("203.0.113.0/24", "a documentation address"),
        ("224.0.0.0/4", "a multicast address"),
        ("240.0.0.0/4", "a reserved or broadcast address"),
    )
)
_GLOBAL_IPV6 = IPv6Network("2000::/3")
_CLOSED_IPV6 = tuple(
    (IPv6Network(text), words)
    for text, words in (
        ("::1/128", "a loopback address"),
        ("::/128", "the unspecified address"),
        ("2001::/23", "an IETF protocol, Teredo or benchmarking address"),
        ("2001:db8::/32", "a documentation address"),
        ("3fff::/20", "a documentation address"),
        ("fc00::/7", "a private address"),
        ("fe80::/10", "a link-local address"),
        ("fec0::/10", "a site-local address"),
        ("ff00::/8", "a multicast address"),
    )
)
_MAPPED = IPv6Network("::ffff:0:0/96")
_COMPATIBLE = IPv6Network("::/96")
_TRANSLATED = IPv6Network("64:ff9b::/96")
_SIX_TO_FOUR = IPv6Network("2002::/16")
_ISATAP = (b"\x00\x00\x5e\xfe", b"\x02\x00\x5e\xfe")


def networks_of(texts: Iterable[str]) -> tuple[Network, ...]:
    """Networks as an operator writes them.

    Raises:
        ConfigError: an entry is not a network.

    >>> networks_of(["10.1.0.0/16"])
    (IPv4Network('10.1.0.0/16'),)
    """
    networks: list[Network] = []
    for text in texts:
        try:
            networks.append(ip_network(text))
        except ValueError as error:
            raise ConfigError(f"{text!r} is not a network: {error}", "Write it like 10.1.0.0/16") from None
    return tuple(networks)


class TargetPolicy:
    """What may be measured. Immutable; made by `for_others` or taken as `UNRESTRICTED`.

    >>> TargetPolicy.for_others().refuses("10.0.0.1")
    'a private address'
    >>> TargetPolicy.for_others(["10.1.0.0/16"]).refuses("10.1.2.3") is None
    True
    """

    __slots__ = ("_allowed", "_restricted")

    def __init__(self, allowed: tuple[Network, ...], *, restricted: bool) -> None:
        self._allowed = allowed
        self._restricted = restricted

    @classmethod
    def for_others(cls, allowed: Iterable[str] = ()) -> "TargetPolicy":
        """The policy for targets that come from other people.

        Args:
            allowed: networks the operator of this node opens. A metadata address opens only when it is named
                itself (`169.254.169.254/32`), never as part of a wider network.

        Raises:
            ConfigError: an entry is not a network.
        """
        return cls(networks_of(allowed), restricted=True)

    def refuses(self, address: str) -> str | None:
        """Why this address may not be measured, in words; None when it may.

        Raises:
            Invalid: it is not an IP address.
        """
        try:
            parsed = ip_address(address)
        except ValueError:
            raise Invalid(f"{address!r} is not an IP address") from None
        if not self._restricted:
            return None
        return self._refuses(parsed)

    def check(self, address: str, target: str | None = None) -> None:
        """Return when the address may be measured.

        Raises:
            Forbidden: it may not; the text names `target` and why.
            Invalid: it is not an IP address.
        """
        why = self.refuses(address)
        if why is None:
            return
        asked = address if target in {None, address} else f"{target} ({address})"
        raise Forbidden(
            f"{asked} may not be measured for others: it is {why}",
            "The operator of this node can allow its network explicitly",
        )

    def _refuses(self, address: Address) -> str | None:
        if address in _METADATA:
            alone = any(network.num_addresses == 1 and address in network for network in self._allowed)
            return None if alone else "a cloud's metadata service"
        if isinstance(address, IPv4Address):
            if self._opens(address):
                return None
            return next((words for network, words in _CLOSED_IPV4 if address in network), None)
        address = IPv6Address(int(address))  # without its zone: fe80::1%eth0 is fe80::1
        if address in _METADATA:
            return self._refuses(address)
        carried = embedded_ipv4(address)
        if carried is not None:
            inner = self._refuses(carried)
            if inner is not None:
                return f"{inner} inside an IPv6 address"
        if self._opens(address):
            return None
        if closed := next((words for network, words in _CLOSED_IPV6 if address in network), None):
            return closed
        if carried is None and address not in _GLOBAL_IPV6:
            return "outside the global IPv6 space"
        return None

    def _opens(self, address: Address) -> bool:
        return any(address.version == network.version and address in network for network in self._allowed)


UNRESTRICTED = TargetPolicy((), restricted=False)
"""The local command line's policy: measure whatever its user types."""


def inside(addresses: Iterable[str], allowed: Iterable[str] = ()) -> str | None:
    """Why a name with these addresses may not be reached for others, None when it may.

    The words say what kind of address it is and never which: names of inside are nobody's business.

    >>> inside(["8.8.8.8", "10.9.8.7"]), inside(["10.9.8.7"], ["10.0.0.0/8"])
    ('a private address', None)

    Raises:
        ConfigError: an entry of `allowed` is not a network. Invalid: one is not an address.
    """
    policy = TargetPolicy.for_others(allowed)
    return next((why for each in addresses if (why := policy.refuses(each)) is not None), None)


def embedded_ipv4(address: IPv6Address) -> IPv4Address | None:
    """The IPv4 address that packets to this IPv6 address would end up at, or None.

    >>> embedded_ipv4(IPv6Address("64:ff9b::10.0.0.1"))
    IPv4Address('10.0.0.1')
    """
    packed = address.packed
    if address in _MAPPED or address in _TRANSLATED:
        return IPv4Address(packed[12:])
    if address in _COMPATIBLE and int(address) > 0xFFFF:
        return IPv4Address(packed[12:])
    if address in _SIX_TO_FOUR:
        return IPv4Address(packed[2:6])
    if packed[8:12] in _ISATAP:
        return IPv4Address(packed[12:])
    return None
