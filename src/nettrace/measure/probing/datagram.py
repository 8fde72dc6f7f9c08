"""Ping and traceroute for everybody: ICMP datagram sockets, and UDP sockets with their error queue.

Both send the very bytes a raw socket would, so both take the same path; both get kernel stamps at both ends
and the routers' addresses from the error queue. What they cannot see is the quoted IP header.
"""

import errno
import socket
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence

from nettrace.measure.kernel.errorqueue import SendNumbers, drain_errors, prepare, stamp_and_ttl, ttl_control
from nettrace.measure.kernel.flow_label import claim_label
from nettrace.measure.kernel.stamps import FIRST_SENDS, LEFT
from nettrace.measure.packets.ip import ICMP, ICMPV6, UDP, packed
from nettrace.measure.packets.probe import MIN_PAYLOAD_BYTES, Signature, Template, template
from nettrace.measure.probing.routes import Routes
from nettrace.measure.probing.transport import Intake, Poller, Shipment, Tags, refusal
from nettrace.measure.tracing.match import Answer, QueuedError
from nettrace.model.measurement import Method
from nettrace.model.path import Flow, Probe

MOST_SOCKETS = 512
"""Beyond this many the socket used longest ago is closed, if it has been quiet for `QUIET_NS`."""

QUIET_NS = 10_000_000_000

MANY_ERRORS = 128
"""So many messages at once may have filled the error queue; what it has no room for the kernel drops untold."""

_REMEMBERED = 64


class _FlowSocket:
    """One socket with the probes lately sent on it."""

    def __init__(self, sock: socket.socket, numbers: SendNumbers, version: int, *, stamped: bool) -> None:
        self.sock = sock
        self.version = version
        self.numbers = numbers
        self.stamped = stamped
        self.recent: deque[int] = deque(maxlen=_REMEMBERED)
        self.used_at = 0
        self.dropped = 0
        self.port = int(sock.getsockname()[1])

    def ship(
        self,
        tag: int,
        ttl: int,
        message: tuple[bytes, tuple[str, int] | None],
        intake: Intake,
        *,
        enclosed: bool,
    ) -> None:
        """Send one probe. A pending ICMP error makes the first try fail in its stead, so there are two.

        `enclosed` asks for both stamps of its departure.
        """
        data, to = message
        control = [ttl_control(self.version, ttl), *self.numbers.control(tag, enclosed=enclosed)]
        for last in (False, False, True):
            before = time.monotonic_ns()
            try:
                if to is None:
                    self.sock.sendmsg([data], control)
                else:
                    self.sock.sendmsg([data], control, 0, to)
            except OSError as error:
                self.numbers.refused()
                if last:
                    intake.refused.append((tag, refusal(error)))
            else:
                intake.sent.append(((tag,), before, time.monotonic_ns()))
                self.numbers.sent(tag)
                self.recent.append(tag)
                self.used_at = before
                return

    def under_way(self, tags: Tags) -> list[int]:
        """Tags sent here that may still be answered."""
        return [tag for tag in self.recent if tags.pending.signature(tag) is not None]


class _DatagramTransport:
    """What ICMP and UDP sockets have in common: a socket per flow, closed when quiet."""

    serial_ns = 0
    stamps_departures = True

    def __init__(
        self, version: int, tags: Tags, routes: Routes, poller: Poller, *, sparing: bool = False
    ) -> None:
        self._sparing = sparing
        self._version = version
        self._tags = tags
        self._routes = routes
        self._poller = poller
        self._family = socket.AF_INET if version == 4 else socket.AF_INET6
        self._open: OrderedDict[bytes, _FlowSocket] = OrderedDict()
        self._templates: dict[tuple[str, int], Template] = {}

    def send(self, batch: Sequence[Shipment], intake: Intake) -> None:
        """Send one by one: every flow has its own socket."""
        for tag, probe, flow in batch:
            try:
                source = self._routes.to(probe.address).source
                self._ship(tag, probe, flow, source, intake)
            except OSError as error:
                intake.refused.append((tag, refusal(error)))

    def close(self) -> None:
        """Close its sockets."""
        for held in self._open.values():
            self._poller.forget(held.sock.fileno())
            held.sock.close()
        self._open.clear()

    def _ship(self, tag: int, probe: Probe, flow: Signature, source: str, intake: Intake) -> None:
        raise NotImplementedError

    def _send_on(
        self,
        held: _FlowSocket,
        flow: Signature | None,
        probe: tuple[int, int],
        message: tuple[bytes, tuple[str, int] | None],
        intake: Intake,
    ) -> None:
        """Send a probe, (tag, TTL), and unless sparing read its stamps at once.

        So the kernel has their memory at hand for the next packet's (docs/decisions/0270).
        """
        enclosed = not self._sparing or len(intake.sent) < FIRST_SENDS
        held.ship(*probe, message, intake, enclosed=enclosed)
        if not self._sparing:
            self._drain(held, flow, intake)

    def _template(self, source: str, method: Method, payload_bytes: int) -> Template:
        made = self._templates.get((source, payload_bytes))
        if made is None:
            made = self._templates[source, payload_bytes] = template(source, method, payload_bytes)
        return made

    def _keep(
        self,
        key: bytes,
        make: Callable[[], socket.socket],
        read: Callable[[_FlowSocket], Callable[[Intake], None]],
    ) -> _FlowSocket:
        held = self._open.get(key)
        if held is not None:
            self._open.move_to_end(key)
            return held
        self._make_room()
        sock = make()
        stamped = prepare(sock, self._version)
        held = _FlowSocket(sock, SendNumbers(sock), self._version, stamped=stamped)
        self.stamps_departures = self.stamps_departures and stamped
        self._open[key] = held
        self._poller.watch(sock.fileno(), read(held))
        return held

    def _make_room(self) -> None:
        while len(self._open) >= MOST_SOCKETS:
            key, oldest = next(iter(self._open.items()))
            if time.monotonic_ns() - oldest.used_at < QUIET_NS:
                raise OSError(errno.EMFILE, "too many flows at once")
            self._poller.forget(oldest.sock.fileno())
            oldest.sock.close()
            del self._open[key]

    def _drain(self, held: _FlowSocket, flow: Signature | None, intake: Intake) -> None:
        def stamped(number: int, stamp: int, which: int) -> None:
            tag = held.numbers.tag(number, last=which == LEFT)
            if tag is not None:
                (intake.stamps if which == LEFT else intake.queued).append((tag, stamp))

        def heard(error: QueuedError, stamp: int) -> None:
            asked, signature = (held, flow) if flow else self._asked(held, error)
            answer, under_way = None, asked.under_way(self._tags)
            if signature is not None:
                answer = self._tags.matcher.match_error_queue(signature, error, under_way)
            if answer is None and flow is not None and len(error.quoted) < MIN_PAYLOAD_BYTES:
                intake.ambiguous += under_way
            else:
                self._give(answer, stamp, intake)

        if drain_errors(held.sock, stamped, heard) >= MANY_ERRORS:
            intake.overflowed = True

    def _give(self, answer: Answer | None, stamp: int, intake: Intake) -> None:
        if answer is None:
            intake.rejected += 1
        else:
            self._poller.deliver(answer, stamp, intake)

    def _asked(self, held: _FlowSocket, error: QueuedError) -> tuple[_FlowSocket, Signature | None]:
        raise NotImplementedError


class UdpTransport(_DatagramTransport):
    """UDP probes on connected sockets. Raises nothing: every Linux lets every user do this."""

    def _ship(self, tag: int, probe: Probe, flow: Signature, source: str, intake: Intake) -> None:
        held = self._keep(
            source.encode() + flow,
            lambda: self._connected(probe.address, probe.flow, source),
            lambda held: lambda intake: self._read(held, flow, intake),
        )
        payload = self._template(source, Method.UDP, probe.payload_bytes).payload(
            flow, self._tags.cipher.hide(tag)
        )
        self._send_on(held, flow, (tag, probe.ttl), (payload, None), intake)

    def _connected(self, address: str, flow: Flow, source: str) -> socket.socket:
        sock = socket.socket(self._family, socket.SOCK_DGRAM)
        try:
            if any(held.port == flow.source_port for held in self._open.values()):
                # Our own sockets may share a port; another program's never: it would take our answers.
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind((source, flow.source_port))
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if self._version == 4:
                sock.connect((address, flow.destination_port))
            else:
                label = claim_label(sock, address, flow.ipv6_flow_label)
                sock.connect((address, flow.destination_port, label, 0))
        except OSError:
            sock.close()
            raise
        return sock

    def _read(self, held: _FlowSocket, flow: Signature, intake: Intake) -> None:
        self._drain(held, flow, intake)
        while True:
            try:
                data, ancillary, _, _ = held.sock.recvmsg(64, 256)
            except BlockingIOError:
                break
            except OSError:  # the ICMP error that the queue has already told
                continue
            stamp, ttl, dropped = stamp_and_ttl(ancillary)
            if dropped > held.dropped:
                held.dropped, intake.overflowed = dropped, True
            # The socket has taken the header off; the ports are the flow's, the other way round.
            datagram = flow[6:8] + flow[4:6] + (8 + len(data)).to_bytes(2) + b"\0\0" + data
            self._give(self._tags.matcher.match_body(datagram, UDP, flow[8:], ttl), stamp, intake)

    def _asked(self, held: _FlowSocket, error: QueuedError) -> tuple[_FlowSocket, Signature | None]:
        return held, None


class IcmpTransport(_DatagramTransport):
    """Echo requests on ICMP datagram sockets, one socket per identifier.

    Raises OSError when `net.ipv4.ping_group_range` keeps this user out.
    """

    def __init__(
        self, version: int, tags: Tags, routes: Routes, poller: Poller, *, sparing: bool = False
    ) -> None:
        super().__init__(version, tags, routes, poller, sparing=sparing)
        self._protocol = ICMP if version == 4 else ICMPV6
        socket.socket(self._family, socket.SOCK_DGRAM, self._protocol).close()

    def _ship(self, tag: int, probe: Probe, flow: Signature, source: str, intake: Intake) -> None:
        identifier = probe.flow.icmp_identifier
        label = probe.flow.ipv6_flow_label if self._version == 6 else 0
        key = identifier.to_bytes(2) + (flow[8:] if label else b"")
        held = self._keep(
            key,
            lambda: self._bound(probe.address, identifier, label),
            lambda held: lambda intake: self._read(held, intake),
        )
        message = self._template(source, Method.ICMP, probe.payload_bytes).transport(
            flow, self._tags.cipher.hide(tag)
        )
        to = None if label else (probe.address, 0)
        self._send_on(held, None, (tag, probe.ttl), (message, to), intake)

    def _bound(self, address: str, identifier: int, label: int) -> socket.socket:
        sock = socket.socket(self._family, socket.SOCK_DGRAM, self._protocol)
        try:
            sock.bind(("", identifier))
            if label:
                sock.connect((address, 0, claim_label(sock, address, label), 0))
        except OSError:
            sock.close()
            raise
        return sock

    def _read(self, held: _FlowSocket, intake: Intake) -> None:
        self._drain(held, None, intake)
        matcher = self._tags.matcher
        while True:
            try:
                data, ancillary, _, source = held.sock.recvmsg(2048, 256)
            except BlockingIOError:
                break
            except OSError:
                continue
            stamp, ttl, dropped = stamp_and_ttl(ancillary)
            if dropped > held.dropped:
                held.dropped, intake.overflowed = dropped, True
            answer = matcher.match_body(data, self._protocol, packed(source[0]), ttl)
            self._give(answer, stamp, intake)

    def _asked(self, held: _FlowSocket, error: QueuedError) -> tuple[_FlowSocket, Signature | None]:
        """The socket and flow whose probe is quoted, by the sequence number.

        A socket serves several destinations; and of several with one identifier the kernel tells only one.
        """
        if len(error.quoted) >= 8:
            sequence = int.from_bytes(error.quoted[6:8])
            alike = (other for other in self._open.values() if other.port == held.port and other is not held)
            for each in (held, *alike):
                for tag in reversed(each.recent):
                    flow = self._tags.pending.signature(tag)
                    if flow is not None and self._tags.cipher.hide(tag) & 0x7FFF == sequence:
                        return each, flow
        return held, None
