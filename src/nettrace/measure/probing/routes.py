"""From which address and through which interface a destination is reached, kept true by the kernel's own news.

A raw socket sends whatever source address it is given, also one this host no longer has; then every answer
would go astray and look like loss. So routes are asked from the kernel (rtnetlink(7)) and forgotten whenever
it announces that a link, an address or a route changed.
"""

import os
import socket
import struct
from typing import NamedTuple

from nettrace.measure.packets.ip import packed
from nettrace.measure.probing.transport import Intake, Poller

_GET_ROUTE, _NEW_LINK, _DEL_LINK, _ERROR = 26, 16, 17, 2
_REQUEST = 1
_DESTINATION, _INTERFACE, _SOURCE = 1, 4, 7
_GROUPS = 0x1 | 0x10 | 0x40 | 0x100 | 0x400
"""Links, IPv4 and IPv6 addresses, IPv4 and IPv6 routes."""

_HEADER = struct.Struct("=IHHII")
_ROUTE = struct.Struct("=BBBBBBBBI")
_LINK = struct.Struct("=BxHiII")
_ATTRIBUTE = struct.Struct("=HH")
_UP_AND_RUNNING = 0x1 | 0x40
_MOST = 20_000


class Route(NamedTuple):
    """How this host reaches a destination.

    Attributes:
        source: the address it sends from.
        interface: index of the interface, 0 when unknown.
    """

    source: str
    interface: int


class Routes:
    """The kernel's routes, asked once per destination and forgotten when anything changes."""

    def __init__(self, poller: Poller) -> None:
        self._known: dict[str, Route] = {}
        self._interfaces: set[int] = set()
        self._poller = poller
        self.generation = 0
        self._asking, self._news = _netlink(0), _netlink(_GROUPS)
        if self._news is not None:
            poller.watch(self._news.fileno(), self._listen)

    def to(self, address: str) -> Route:
        """The route to an address. Raises OSError (ENETUNREACH ...) when there is none."""
        route = self._known.get(address)
        if route is None:
            route = self._ask(address)
            if len(self._known) >= _MOST:
                self._known.clear()
            self._known[address] = route
            self._interfaces.add(route.interface)
        return route

    def close(self) -> None:
        """Close its sockets."""
        for sock in (self._asking, self._news):
            if sock is not None:
                self._poller.forget(sock.fileno())
                sock.close()

    def _ask(self, address: str) -> Route:
        if self._asking is not None:
            self._asking.send(_question(address))
            found = _answer(self._asking.recv(8192))
            if found is not None:
                return found
        return Route(_source_by_connecting(address), 0)

    def _listen(self, intake: Intake) -> None:
        assert self._news is not None  # noqa: S101 - watched only when it exists
        while True:
            try:
                data = self._news.recv(65536)
            except BlockingIOError:
                return
            except OSError:  # ENOBUFS: news was lost, so nothing known can be trusted
                data = b""
            self.generation += 1
            self._known.clear()
            if any(index in self._interfaces for index in _links_lost(data)):
                intake.link_lost = True


def _netlink(groups: int) -> socket.socket | None:
    try:
        sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
    except OSError:
        return None
    try:
        sock.bind((0, groups))
    except OSError:
        sock.close()
        return None
    if groups:
        sock.settimeout(0)
    else:
        # The kernel's own limit, not Python's, which would ask `poll` before every call.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("@ll", 1, 0))
    return sock


def _question(address: str) -> bytes:
    destination = packed(address)
    family = socket.AF_INET if len(destination) == 4 else socket.AF_INET6
    attribute = _ATTRIBUTE.pack(4 + len(destination), _DESTINATION) + destination
    body = _ROUTE.pack(family, 8 * len(destination), 0, 0, 0, 0, 0, 0, 0) + attribute
    return _HEADER.pack(16 + len(body), _GET_ROUTE, _REQUEST, 1, 0) + body


def _answer(data: bytes) -> Route | None:
    size, kind, _, _, _ = _HEADER.unpack_from(data)
    if kind == _ERROR:
        code = -struct.unpack_from("=i", data, 16)[0]
        raise OSError(code, os.strerror(code))
    source, interface = "", 0
    at = 16 + _ROUTE.size
    end = min(size, len(data))
    while at + 4 <= end and not (source and interface):
        length, attribute = _ATTRIBUTE.unpack_from(data, at)
        if length < 4:
            break
        body = data[at + 4 : at + length]
        if attribute == _SOURCE:
            source = socket.inet_ntop(socket.AF_INET if len(body) == 4 else socket.AF_INET6, body)
        elif attribute == _INTERFACE:
            interface = struct.unpack("=i", body)[0]
        at += (length + 3) & ~3
    return Route(source, interface) if source else None


def _links_lost(data: bytes) -> list[int]:
    """Interfaces that a batch of news says are gone, down or without carrier."""
    lost: list[int] = []
    at = 0
    while at + 32 <= len(data):
        size, kind, _, _, _ = _HEADER.unpack_from(data, at)
        if size < 16:
            break
        if kind in {_NEW_LINK, _DEL_LINK}:
            _, _, index, flags, _ = _LINK.unpack_from(data, at + 16)
            if kind == _DEL_LINK or flags & _UP_AND_RUNNING != _UP_AND_RUNNING:
                lost.append(index)
        at += (size + 3) & ~3
    return lost


def _source_by_connecting(address: str) -> str:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.connect((address, 9))
        return str(sock.getsockname()[0])
