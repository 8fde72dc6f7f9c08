"""The lab's name servers: every target's addresses, and reverse names of hosts and routers.

Formats: RFC 1035; AAAA by RFC 3596; PTR trees in-addr.arpa and ip6.arpa.
"""

import contextlib
import socket
from ipaddress import ip_address
from struct import error, pack, unpack

from nettrace.lab.fabric import interface_name
from nettrace.lab.topology import Topology

TTL_S = 30
_A, _PTR, _AAAA, _ANY = 1, 12, 28, 255
_NXDOMAIN, _FORMAT_ERROR = 3, 1
_PKTINFO_BYTES = 64


class Zone:
    """Everything the lab's name servers know."""

    def __init__(self, topology: Topology) -> None:
        self._records: dict[str, list[tuple[int, bytes]]] = {}
        hosts = {host.name: host for host in (*topology.targets.values(), *topology.vantages.values())}
        for name, host in hosts.items():
            full = name if host.target else f"{name}.vantage.lab"
            addresses = [host.address4, *([host.address6] if host.address6 else [])]
            for packed in addresses:
                if not _is_address(full):
                    self._add(full, _A if len(packed) == 4 else _AAAA, packed)
                self._add(ip_address(packed).reverse_pointer, _PTR, _encoded(full))
        for packed, router in topology.owners.items():
            name = interface_name(router, packed)
            self._add(name, _A if len(packed) == 4 else _AAAA, packed)
            self._add(ip_address(packed).reverse_pointer, _PTR, _encoded(name))

    def answer(self, query: bytes) -> bytes | None:
        """The response to a query message; None for what is not one."""
        if len(query) < 17 or query[2] & 0x80:
            return None
        number, flags = unpack("!HH", query[:4])
        try:
            name, end = _read_name(query, 12)
            kind, _ = unpack("!HH", query[end : end + 4])
        except (IndexError, ValueError, error):
            return pack("!HHHHHH", number, 0x8180 | _FORMAT_ERROR, 0, 0, 0, 0)
        known = self._records.get(name.lower())
        found = [record for record in known or () if kind in (record[0], _ANY)]
        code = 0 if known else _NXDOMAIN
        head = pack("!HHHHHH", number, 0x8480 | (flags & 0x0100) | code, 1, len(found), 0, 0)
        body = b"".join(pack("!HHHIH", 0xC00C, kind, 1, TTL_S, len(data)) + data for kind, data in found)
        return head + query[12 : end + 4] + body

    def _add(self, name: str, kind: int, data: bytes) -> None:
        self._records.setdefault(name.lower(), []).append((kind, data))


class NameServer:
    """Answers on UDP port 53 of every address of the namespace, from the address that was asked."""

    def __init__(self, zone: Zone, family: socket.AddressFamily) -> None:
        self._zone = zone
        self.socket = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        if family == socket.AF_INET6:
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
        else:
            self.socket.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)
        self.socket.bind(("::" if family == socket.AF_INET6 else "0.0.0.0", 53))  # noqa: S104

    def serve(self) -> None:
        """Answer everything that waits."""
        with contextlib.suppress(BlockingIOError):
            while True:
                query, control, _, client = self.socket.recvmsg(4096, _PKTINFO_BYTES)
                response = self._zone.answer(query)
                if response is None:
                    continue
                replies = [(level, kind, _reply_from(level, data)) for level, kind, data in control]
                with contextlib.suppress(OSError):
                    self.socket.sendmsg([response], replies, 0, client)


_IP_PKTINFO = 8


def _reply_from(level: int, data: bytes) -> bytes:
    """The control message that sends from the address asked: ipi_spec_dst, or ipi6_addr with no interface."""
    if level == socket.IPPROTO_IP:
        return pack("=I", 0) + data[8:12] + bytes(4)
    return data[:16] + pack("=I", 0)


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _encoded(name: str) -> bytes:
    return b"".join(bytes((len(label),)) + label.encode() for label in name.split(".") if label) + b"\0"


def _read_name(message: bytes, at: int) -> tuple[str, int]:
    labels: list[str] = []
    while size := message[at]:
        if size > 63:
            raise ValueError("a question's name is never compressed")
        labels.append(message[at + 1 : at + 1 + size].decode("ascii"))
        at += 1 + size
    return ".".join(labels), at + 1
