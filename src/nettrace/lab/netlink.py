"""Links, addresses and routes set up by rtnetlink alone, so that a bare machine needs no `ip` program.

Formats: linux/netlink.h, linux/rtnetlink.h, linux/if_link.h (all in host byte order).
"""

import os
import socket
from ipaddress import IPv4Network, IPv6Network
from struct import calcsize, pack, unpack_from
from typing import Self

from nettrace.errors import LabError

_REQUEST, _ACK, _ROOT_CREATE = 0x1, 0x4, 0x400 | 0x200
_NEWLINK, _SETLINK, _NEWADDR, _NEWROUTE = 16, 19, 20, 24
_ERROR = 2
_IFLA_ADDRESS, _IFLA_IFNAME, _IFLA_MTU, _IFLA_LINKINFO, _IFLA_AF_SPEC, _IFLA_NET_NS_FD = 1, 3, 4, 18, 26, 28
_IFLA_TXQLEN = 13
_INFO_KIND, _INFO_DATA, _VETH_PEER = 1, 2, 1
_INET6_ADDR_GEN_MODE, _ADDR_GEN_NONE = 8, 1
_IFA_ADDRESS, _IFA_LOCAL, _IFA_FLAGS, _NODAD = 1, 2, 8, 0x02
_RTA_DST, _RTA_OIF, _RTA_PREFSRC = 1, 4, 7
_TABLE_MAIN, _TABLE_LOCAL = 254, 255
_PROTOCOL_STATIC, _SCOPE_UNIVERSE, _SCOPE_LINK, _SCOPE_HOST = 4, 0, 253, 254
_TYPE_UNICAST, _TYPE_LOCAL = 1, 2
_UP, _NOARP = 0x1, 0x80


class Netlink:
    """A conversation with the kernel about the network namespace it was opened in."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 0)
        self._socket.bind((0, 0))
        self._sequence = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def up(self, name: str, *, mtu: int | None = None, arp: bool = True) -> None:
        """Set a link up; without `arp` neighbours are never asked for.

        IPv6 makes no link-local address of its own: a namespace of the lab says nothing by itself.
        """
        flags = _UP if arp else _UP | _NOARP
        body = _link_header(socket.if_nametoindex(name), flags, flags)
        if mtu:
            body += _attribute(_IFLA_MTU, pack("=I", mtu))
        body += _attribute(_IFLA_TXQLEN, pack("=I", 10_000))
        if name != "lo":
            quiet = _attribute(_INET6_ADDR_GEN_MODE, pack("=B", _ADDR_GEN_NONE))
            spec = _attribute(_IFLA_AF_SPEC, _attribute(socket.AF_INET6, quiet))
            self._ask(_SETLINK, _link_header(socket.if_nametoindex(name), 0, 0) + spec, 0, f"quiet {name}")
        self._ask(_NEWLINK, body, 0, f"set {name} up")

    def add_veth(self, name: str, mac: bytes, peer: str, peer_mac: bytes, peer_namespace: int) -> None:
        """Create a pair of links: `name` here and `peer` in the namespace of that file descriptor."""
        far = _link_header(0, 0, 0)
        far += _attribute(_IFLA_IFNAME, peer.encode() + b"\0") + _attribute(_IFLA_ADDRESS, peer_mac)
        far += _attribute(_IFLA_NET_NS_FD, pack("=I", peer_namespace))
        info = _attribute(_INFO_KIND, b"veth") + _attribute(_INFO_DATA, _attribute(_VETH_PEER, far))
        body = _link_header(0, 0, 0)
        body += _attribute(_IFLA_IFNAME, name.encode() + b"\0") + _attribute(_IFLA_ADDRESS, mac)
        body += _attribute(_IFLA_LINKINFO, info)
        self._ask(_NEWLINK, body, _ROOT_CREATE, f"create the link {name}")

    def add_address(self, name: str, address: bytes, prefix_length: int) -> None:
        """Give a link an address (without duplicate address detection)."""
        family = socket.AF_INET if len(address) == 4 else socket.AF_INET6
        body = pack("=BBBBI", family, prefix_length, 0, _SCOPE_UNIVERSE, socket.if_nametoindex(name))
        body += _attribute(_IFA_ADDRESS, address) + _attribute(_IFA_LOCAL, address)
        body += _attribute(_IFA_FLAGS, pack("=I", _NODAD))
        self._ask(_NEWADDR, body, _ROOT_CREATE, f"give {name} an address")

    def add_default_route(self, name: str, family: socket.AddressFamily, source: bytes | None = None) -> None:
        """Send everything out of a link, from the given address if there is one."""
        scope = _SCOPE_LINK if family == socket.AF_INET else _SCOPE_UNIVERSE
        body = _route_header(family, 0, _TABLE_MAIN, scope, _TYPE_UNICAST)
        body += _attribute(_RTA_OIF, pack("=I", socket.if_nametoindex(name)))
        body += _attribute(_RTA_PREFSRC, source) if source else b""
        self._ask(_NEWROUTE, body, _ROOT_CREATE, f"route everything over {name}")

    def add_local_prefix(self, prefix: IPv4Network | IPv6Network) -> None:
        """Make every address of a prefix this namespace's own: thousands of hosts for one route."""
        family = socket.AF_INET if prefix.version == 4 else socket.AF_INET6
        body = _route_header(family, prefix.prefixlen, _TABLE_LOCAL, _SCOPE_HOST, _TYPE_LOCAL)
        body += _attribute(_RTA_DST, prefix.network_address.packed)
        body += _attribute(_RTA_OIF, pack("=I", socket.if_nametoindex("lo")))
        self._ask(_NEWROUTE, body, _ROOT_CREATE, f"own {prefix}")

    def _ask(self, kind: int, body: bytes, flags: int, purpose: str) -> None:
        self._sequence += 1
        head = pack("=IHHII", 16 + len(body), kind, _REQUEST | _ACK | flags, self._sequence, 0)
        self._socket.send(head + body)
        answer = self._socket.recv(65_536)
        (answered,) = unpack_from("=H", answer, 4)
        if answered != _ERROR:
            raise LabError(f"the kernel gave no answer when asked to {purpose}")
        (code,) = unpack_from("=i", answer, calcsize("=IHHII"))
        if code:
            raise LabError(f"cannot {purpose}: {os.strerror(-code)}")


def _attribute(kind: int, value: bytes) -> bytes:
    return pack("=HH", 4 + len(value), kind) + value + b"\0" * (-len(value) % 4)


def _link_header(index: int, flags: int, change: int) -> bytes:
    return pack("=BBHiII", socket.AF_UNSPEC, 0, 0, index, flags, change)


def _route_header(family: int, prefix_length: int, table: int, scope: int, kind: int) -> bytes:
    return pack("=BBBBBBBBI", family, prefix_length, 0, 0, table, _PROTOCOL_STATIC, scope, kind, 0)
