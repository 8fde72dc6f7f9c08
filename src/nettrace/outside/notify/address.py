"""Which addresses a notice may be posted to: public ones, and what the operator opened for that channel.

A URL in a file of rules may name anything, also the machine's own services or a cloud's metadata. The check is on the
resolved address, and the connection goes to that very address: a name that changes its mind in between (DNS rebinding)
changes nothing. Sources: IANA special-purpose address registries (RFC 6890), as Python's `ipaddress` knows them.
"""

import socket
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from nettrace.errors import ConfigError, Forbidden, Unreachable

_METADATA = frozenset(
    ip_address(text) for text in ("169.254.169.254", "168.63.129.16", "100.100.100.200", "fd00:ec2::254")
)
_TRANSLATED = ip_network("64:ff9b::/96")


def refusal(text: str, allow: Iterable[str] = ()) -> str | None:
    """Why nothing may be posted to this address, in words; None when it may.

    >>> refusal("10.0.0.1"), refusal("10.0.0.1", ["10.0.0.0/8"]), refusal("8.8.8.8")
    ('not a public address', None, None)
    >>> refusal("::ffff:127.0.0.1"), refusal("169.254.169.254", ["0.0.0.0/0"])
    ('not a public address', "a cloud's metadata service")
    """
    address: IPv4Address | IPv6Address = ip_address(text.partition("%")[0])
    inner = _carried(address)
    if inner is not None:
        return refusal(str(inner), allow)
    networks = [_network(each) for each in allow]
    if address in _METADATA:
        alone = any(network.num_addresses == 1 and address in network for network in networks)
        return None if alone else "a cloud's metadata service"
    if any(address.version == network.version and address in network for network in networks):
        return None
    return None if address.is_global and not address.is_multicast else "not a public address"


def resolved(host: str, port: int, allow: Iterable[str] = ()) -> list[str]:
    """The addresses of a host, all of them checked.

    Raises:
        Unreachable: there are none. Forbidden: one of them may not be posted to.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (socket.gaierror, UnicodeError) as error:
        raise Unreachable(f"{host} has no address ({error})", "Check the channel's url") from error
    addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    for address in addresses:
        why = refusal(address, allow)
        if why is not None:
            raise Forbidden(
                f"{host} leads to what is {why}", "The operator can open it: allow = [...] of the channel"
            )
    return addresses


def _carried(address: IPv4Address | IPv6Address) -> IPv4Address | None:
    """The IPv4 address that packets to this one would end up at, or None."""
    if isinstance(address, IPv4Address):
        return None
    if address.ipv4_mapped is not None or address.sixtofour is not None:
        return address.ipv4_mapped or address.sixtofour
    if address in _TRANSLATED:
        return IPv4Address(address.packed[12:])
    return address.teredo[1] if address.teredo is not None else None


def _network(text: str) -> IPv4Network | IPv6Network:
    try:
        return ip_network(text)
    except ValueError as error:
        raise ConfigError(f"{text!r} is not a network: {error}", "Write it like 10.1.0.0/16") from error
