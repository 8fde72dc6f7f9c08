"""Real services behind every address: HTTP, HTTPS and WebSocket on a real kernel's TCP.

An edge ends TCP and TLS near the client; what comes from the origin waits for the way there and back before
the first byte. The waits come from the routes as they are at that moment.
"""

import asyncio
import base64
import contextlib
import hashlib
import json
import os
import socket
import ssl
import time
from collections.abc import Callable
from heapq import heappop, heappush
from ipaddress import ip_address
from itertools import count
from struct import pack

from nettrace.lab import timer
from nettrace.lab.certificates import Authority
from nettrace.lab.dns import NameServer, Zone
from nettrace.lab.fabric import Host, fingerprint, slug_of
from nettrace.lab.routing import Routes
from nettrace.lab.topology import Topology

_WEBSOCKET_SALT = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_LARGEST_HEAD = 65_536
_CLOSE, _PING, _PONG = 0x8, 0x9, 0xA
_REASONS = {200: "OK", 400: "Bad Request", 403: "Forbidden", 429: "Too Many Requests", 451: "Unavailable"}

Waits = dict[str, dict[str, tuple[int, str]]]
"""vantage code -> target name -> (ns before the first byte, site that ends TCP)."""


def waits_of(routes: Routes) -> Waits:
    """How long each target's answer waits for its origin, seen from each vantage."""
    made: Waits = {}
    topology = routes.topology
    for code, vantage in topology.vantages.items():
        seen = made[code] = {}
        for name, host in topology.targets.items():
            edge = routes.nearest(vantage.groups[0], host.groups)
            target = host.target
            if edge is None or target is None:
                continue
            wait_ns = round(target.think_ms * 1e6)
            if target.origin:
                origin = topology.group(target.origin.network, target.origin.site, -1)
                flow = fingerprint("origin", name)
                for start, goal in ((edge, origin), (origin, edge)):
                    links, _ = routes.walk(start, goal, flow)
                    wait_ns += sum(routes.conditions.delay_ns(link) for link in links)
            seen[name] = (wait_ns, edge.site.code)
    return made


class Alarm:
    """Callbacks at nanosecond deadlines: the event loop's own timers are rounded to milliseconds."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._heap: list[tuple[int, int, Callable[[], None]]] = []
        self._order = count()
        self._descriptor = timer.create()
        self._loop = loop
        loop.add_reader(self._descriptor, self._ring)

    def after(self, wait_ns: int, callback: Callable[[], None]) -> None:
        """Call back so many nanoseconds from now."""
        due = time.monotonic_ns() + wait_ns
        heappush(self._heap, (due, next(self._order), callback))
        if self._heap[0][0] == due:
            timer.set_at(self._descriptor, due)

    def close(self) -> None:
        """Ring no more."""
        self._loop.remove_reader(self._descriptor)
        os.close(self._descriptor)

    def _ring(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(self._descriptor, 8)
        while self._heap and self._heap[0][0] <= time.monotonic_ns():
            heappop(self._heap)[2]()
        if self._heap:
            timer.set_at(self._descriptor, self._heap[0][0])


class Internet:
    """All services of the world in one process."""

    def __init__(self, topology: Topology, authority: Authority) -> None:
        self.topology = topology
        self.waits: Waits = {}
        self._authority = authority
        self._contexts: dict[str, ssl.SSLContext] = {}
        self._alarm: Alarm | None = None

    async def start(self) -> None:
        """Listen on every address of the namespace."""
        loop = asyncio.get_running_loop()
        self._alarm = Alarm(loop)
        zone = Zone(self.topology)
        for host in self.topology.targets.values():
            names = [host.name, *(str(ip_address(a)) for a in (host.address4, host.address6) if a)]
            self._contexts[host.name] = self._context(list(dict.fromkeys(names)))
        default = self._context(["default.lab"])
        default.sni_callback = self._choose
        for family in (socket.AF_INET, socket.AF_INET6):
            server = NameServer(zone, family)
            loop.add_reader(server.socket, server.serve)
            for port, context in ((80, None), (443, default)):
                await loop.create_server(
                    lambda: Conversation(self), sock=_listener(family, port), ssl=context, backlog=4096
                )

    def answering(self, server: str, client: str) -> tuple[Host | None, int, str]:
        """(host addressed, ns to wait, site that answers) for a connection."""
        host = self.topology.host(ip_address(server.split("%", maxsplit=1)[0]).packed)
        asker = self.topology.host(ip_address(client.split("%", maxsplit=1)[0]).packed)
        if host is None or host.target is None or asker is None:
            return host, 0, ""
        wait_ns, site = self.waits.get(asker.name, {}).get(host.name, (round(host.target.think_ms * 1e6), ""))
        return host, wait_ns, site

    def later(self, wait_ns: int, callback: Callable[[], None]) -> None:
        """Call back after the wait, to within tens of microseconds."""
        if self._alarm is None:
            raise RuntimeError("services are not started")
        self._alarm.after(wait_ns, callback)

    def _context(self, names: list[str]) -> ssl.SSLContext:
        identity = self._authority.issue(names)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.set_alpn_protocols(["http/1.1"])
        # load_cert_chain reads files only; an anonymous one keeps keys off every disk
        descriptor = os.memfd_create("certificate")
        try:
            os.write(descriptor, (identity.certificate + identity.key).encode())
            context.load_cert_chain(f"/proc/self/fd/{descriptor}")
        finally:
            os.close(descriptor)
        return context

    def _choose(self, connection: ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> None:
        context = self._contexts.get((name or "").lower())
        if context is not None:
            connection.context = context


class Conversation(asyncio.Protocol):
    """One TCP connection: HTTP/1.1 requests one after another, or a WebSocket after an upgrade."""

    def __init__(self, internet: Internet) -> None:
        self._internet = internet
        self._buffer = b""
        self._transport: asyncio.Transport | None = None
        self._websocket = False
        self._server = self._client = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Note who talks to whom."""
        if isinstance(transport, asyncio.Transport):
            self._transport = transport
            self._server = transport.get_extra_info("sockname")[0]
            self._client = transport.get_extra_info("peername")[0]

    def data_received(self, data: bytes) -> None:
        """Take in what came, and answer what is complete."""
        self._buffer += data
        if self._websocket:
            self._frames()
            return
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            if len(self._buffer) > _LARGEST_HEAD and self._transport:
                self._transport.abort()
            return
        head, self._buffer = self._buffer[:end].decode("latin-1"), self._buffer[end + 4 :]
        self._request(head)

    def _request(self, head: str) -> None:
        line, *fields = head.split("\r\n")
        parts = line.split(" ")
        headers = {
            name.strip().lower(): value.strip() for name, _, value in (f.partition(":") for f in fields)
        }
        host, wait_ns, site = self._internet.answering(self._server, self._client)
        if len(parts) != 3:
            answer, keep = _response(400, b"{}", {}, keep=False), False
        elif headers.get("upgrade", "").lower() == "websocket":
            answer, keep = _upgrade(headers.get("sec-websocket-key", "")), True
            self._websocket = True
        else:
            keep = headers.get("connection", "").lower() != "close" and parts[2] == "HTTP/1.1"
            answer = self._resource(parts[0], parts[1], host, site, keep=keep)
        self._internet.later(wait_ns, lambda: self._send(answer, keep=keep))

    def _resource(self, method: str, path: str, host: Host | None, site: str, *, keep: bool) -> bytes:
        status, body = 200, b""
        head, _, tail = path.strip("/").partition("/")
        if head == "status" and tail.isdigit() and 200 <= int(tail) <= 599:
            status = int(tail)
        elif head == "bytes" and tail.isdigit():
            body = bytes(min(int(tail), 16 << 20))
        name = host.name if host else self._server
        network = self._internet.topology.networks[host.target.network] if host and host.target else None
        extra = {"server": slug_of(network) if network else "lab"}
        if site:
            extra["x-served-by"] = f"edge-{site}"
        body = body or json.dumps({"target": name, "site": site or None, "path": path}).encode()
        return _response(status, b"" if method == "HEAD" else body, extra, keep=keep)

    def _send(self, answer: bytes, *, keep: bool) -> None:
        if self._transport and not self._transport.is_closing():
            self._transport.write(answer)
            if not keep:
                self._transport.close()
            elif self._buffer and not self._websocket:
                self.data_received(b"")

    def _frames(self) -> None:
        while self._transport and (frame := read_frame(self._buffer)):
            opcode, payload, used = frame
            self._buffer = self._buffer[used:]
            if opcode == _CLOSE:
                self._transport.write(_frame(_CLOSE, payload[:2]))
                self._transport.close()
                return
            if opcode == _PING:
                self._transport.write(_frame(_PONG, payload))
            elif opcode in {1, 2}:
                self._transport.write(_frame(opcode, payload))


def _listener(family: socket.AddressFamily, port: int) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    sock.bind(("::" if family == socket.AF_INET6 else "0.0.0.0", port))  # noqa: S104 - of its own namespace
    return sock


def _response(status: int, body: bytes, extra: dict[str, str], *, keep: bool) -> bytes:
    fields = {
        **extra,
        "content-type": "application/json",
        "content-length": str(len(body)),
        "connection": "keep-alive" if keep else "close",
    }
    head = f"HTTP/1.1 {status} {_REASONS.get(status, 'Lab')}\r\n"
    return (head + "".join(f"{name}: {value}\r\n" for name, value in fields.items()) + "\r\n").encode() + body


def _upgrade(key: str) -> bytes:
    token = hashlib.sha1(key.encode() + _WEBSOCKET_SALT, usedforsecurity=False).digest()
    return (
        "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\n"
        f"sec-websocket-accept: {base64.b64encode(token).decode()}\r\n\r\n"
    ).encode()


def _frame(opcode: int, payload: bytes) -> bytes:
    size = len(payload)
    if size < 126:
        return pack("!BB", 0x80 | opcode, size) + payload
    if size < 65_536:
        return pack("!BBH", 0x80 | opcode, 126, size) + payload
    return pack("!BBQ", 0x80 | opcode, 127, size) + payload


def read_frame(data: bytes) -> tuple[int, bytes, int] | None:
    """(opcode, payload, bytes used) of the first whole client frame (RFC 6455 5.2), or None."""
    if len(data) < 6:
        return None
    size, at = data[1] & 0x7F, 2
    if size >= 126:
        wide = 2 if size == 126 else 8
        size, at = int.from_bytes(data[2 : 2 + wide]), 2 + wide
    if len(data) < at + 4 + size:
        return None
    mask, payload = data[at : at + 4], data[at + 4 : at + 4 + size]
    key = (mask * (size // 4 + 1))[:size]
    plain = (int.from_bytes(payload) ^ int.from_bytes(key)).to_bytes(size)
    return data[0] & 0x0F, plain, at + 4 + size
