"""Probes as whole packets on raw sockets (needs CAP_NET_RAW): every method, many packets a system call."""

import errno
import socket
import struct
import time
from array import array
from collections.abc import Callable, Sequence
from typing import NamedTuple

from nettrace.measure.kernel import ring
from nettrace.measure.kernel.errorqueue import SCM_TS_OPT_ID, encloses_departures, numbers_by_request
from nettrace.measure.kernel.raw_sockets import RECEPTION_STAMPS, attach_filter, only_icmp, stamp, widen
from nettrace.measure.kernel.stamps import (
    ENCLOSING,
    FIRST_SENDS,
    IP_RECVERR,
    IPV6_RECVERR,
    LEFT,
    SO_TIMESTAMPING,
)
from nettrace.measure.packets.probe import Signature, Template, template
from nettrace.measure.probing.routes import Routes
from nettrace.measure.probing.transport import Intake, Poller, Shipment, Tags, refusal
from nettrace.measure.tracing.batch import match_ipv4_batch
from nettrace.measure.tracing.flow import FIRST_SOURCE_PORT
from nettrace.measure.tracing.match import Answer, Matcher
from nettrace.model.measurement import Method
from nettrace.model.path import Probe

_BATCH = 256
_RELAY = 32
"""So many packets go between two readings of their stamps where both are wanted of each. What is read gives the kernel memory
back that it has at hand, and it has none to look for between the next packet's two stamps: a quarter less at p99 (decision 0270)."""
_PACKET_BYTES = 1536
_MOST_TEMPLATES, _MOST_WAYS = 256, 20_000
_QUOTE_BYTES = 704
_BILLION = 1_000_000_000

_STAMPED = "=16xqq52xB3xII"
"""An error-queue message: SCM_TIMESTAMPING's software stamp, then of the next control message, behind its level,
type and error number, origin and, behind type, code and padding, which stamp it is and the number of the send."""
_RECEPTION = "=16xqq"
"""Of a received message: SCM_TIMESTAMPING's software stamp, which stands first where there is one."""
_STAMP_BYTES = 64
_NOTHING_FURTHER = (None, 0)
_MESSAGE = struct.Struct("=QiiIxxxx")
"""A control message of four bytes: what a send asks of its stamps."""
_NUMBER_AT = 16
_ORIGIN_STAMP = 4

_LOAD_HALF, _LOAD_HEADER, _LOAD_HALF_BEHIND, _AT_LEAST, _RETURN = 0x28, 0xB1, 0x48, 0x35, 0x06
_OUR_PORTS4 = (
    (_LOAD_HEADER, 0, 0, 0),
    (_LOAD_HALF_BEHIND, 0, 0, 2),
    (_AT_LEAST, 0, 1, FIRST_SOURCE_PORT),
    (_RETURN, 0, 0, 0x40000),
    (_RETURN, 0, 0, 0),
)
"""A raw IPv4 socket then hears only packets to our source ports; one of IPv6 sees no IP header."""
_OUR_PORTS6 = ((_LOAD_HALF, 0, 0, 2), *_OUR_PORTS4[2:])
_ICMP6_FILTER = 1
_ICMP6_HEARD = (1, 2, 3, 129)
_ICMP4_HEARD = (0, 3, 11)


class _Way(NamedTuple):
    """How a flow's packets are made and where they go.

    Attributes:
        name: the destination as a kernel socket address.
    """

    template: Template
    name: bytes


class RawTransport:
    """Sends any method's probes of one IP version, and hears all their answers.

    `sparing` asks for both stamps of their departure only of the first packets of a call.
    Raises OSError when the host does not permit raw sockets.
    """

    serial_ns = 0

    def __init__(
        self, version: int, tags: Tags, routes: Routes, poller: Poller, *, sparing: bool = False
    ) -> None:
        self._version = version
        self._tags = tags
        self._routes = routes
        self._poller = poller
        self._family = socket.AF_INET if version == 4 else socket.AF_INET6
        self._sockets: list[socket.socket] = []
        self._heard: set[Method] = set()
        self._templates: dict[tuple[str, Method, int], Template] = {}
        self._ways: dict[Signature, _Way] = {}
        self._generation = routes.generation
        self._slots: list[Template | None] = [None] * _BATCH
        self._by_request = numbers_by_request()
        self._sparing = sparing
        self._numbers: array[int] = array("q", bytes(8 << 16))
        self._believed_from = 0
        try:
            self._sender = self._open(socket.IPPROTO_RAW)
            self.stamps_departures = self._prepare_sender()
            icmp = self._open(socket.IPPROTO_ICMP if version == 4 else socket.IPPROTO_ICMPV6)
        except OSError:
            self.close()
            raise
        if version == 4:
            only_icmp(icmp, _ICMP4_HEARD)
        else:
            blocked = [0xFFFF_FFFF] * 8
            for kind in _ICMP6_HEARD:
                blocked[kind >> 5] &= ~(1 << (kind & 31))
            icmp.setsockopt(socket.IPPROTO_ICMPV6, _ICMP6_FILTER, struct.pack("=8I", *blocked))
        self._listen(icmp, socket.IPPROTO_ICMP if version == 4 else socket.IPPROTO_ICMPV6)

    def send(self, batch: Sequence[Shipment], intake: Intake) -> None:
        """Send all of the batch, `_BATCH` at most a system call; unless sparing `_RELAY`, with a look at the stamps between."""
        step = _BATCH if self._sparing else _RELAY
        for start in range(0, len(batch), step):
            self._send(batch[start : start + step], intake)
            if not self._sparing:
                self._read_stamps(intake)

    def close(self) -> None:
        """Close its sockets."""
        for sock in self._sockets:
            self._poller.forget(sock.fileno())
            sock.close()
        self._sockets.clear()

    # -- sending -------------------------------------------------------------------------------------------

    def _send(self, batch: Sequence[Shipment], intake: Intake) -> None:
        outbox = self._outbox
        if self._generation != self._routes.generation:
            self._generation = self._routes.generation
            self._ways.clear()
        tags: list[int] = []
        ways, hide, data, names = self._ways, self._tags.cipher.hide, outbox.data, self._names
        stride, packet_at, name_bytes = outbox.stride, outbox.packet_at, self._name_bytes
        start = 0
        for tag, probe, flow in batch:
            way = ways.get(flow)
            if way is None or way.template.payload_bytes != probe.payload_bytes:
                try:
                    way = self._find_way(probe, flow)
                except OSError as error:
                    intake.refused.append((tag, refusal(error)))
                    continue
            made, name = way
            if self._slots[len(tags)] is not made:
                self._prepare_slot(len(tags), made)
            made.write(data, start + packet_at, flow, probe.ttl, hide(tag))
            names[start : start + name_bytes] = name
            tags.append(tag)
            start += stride
        self._number(tags)
        done = 0
        while done < len(tags):
            before = time.monotonic_ns()
            taken = outbox.send(len(tags) - done, done)
            after = time.monotonic_ns()
            intake.sent.append((tags[done : done + taken], before, after))
            done += taken
            if done < len(tags):
                intake.refused.append((tags[done], refusal(OSError(outbox.failed, ""))))
                self._recount(tags[done + 1 :])
                done += 1

    def _find_way(self, probe: Probe, flow: Signature) -> _Way:
        method = probe.flow.method
        if method not in self._heard:
            self._hear(method)
        route = self._routes.to(probe.address)
        key = route.source, method, probe.payload_bytes
        made = self._templates.get(key)
        if made is None:
            if len(self._templates) > _MOST_TEMPLATES:
                self._templates.clear()
            made = self._templates[key] = template(*key)
        if made.size > _PACKET_BYTES:
            raise OSError(errno.EMSGSIZE, "")
        if len(self._ways) > _MOST_WAYS:
            self._ways.clear()
        way = self._ways[flow] = _Way(made, _name(flow, route.interface))
        return way

    def _prepare_slot(self, index: int, made: Template) -> None:
        outbox = self._outbox
        at = index * outbox.stride + outbox.packet_at
        self._slots[index] = made
        outbox.data[at : at + made.size] = made.blank
        outbox.lengths[index] = made.size

    def _number(self, tags: Sequence[int]) -> None:
        """Say which stamp will be whose."""
        if self._by_request:
            self._requests[: len(tags) * self._request_step : self._request_step] = memoryview(
                array("I", tags)
            )
            return
        first = self._outbox.sent - self._believed_from
        for index, tag in enumerate(tags):
            self._numbers[first + index & 0xFFFF] = tag

    def _recount(self, waiting: Sequence[int]) -> None:
        """After a refusal nobody knows whether the kernel counted it: begin the numbers anew."""
        if self._by_request:
            return
        stamp(self._sender)
        self._believed_from = self._outbox.sent
        for index, tag in enumerate(waiting):
            self._numbers[index & 0xFFFF] = tag

    # -- hearing -------------------------------------------------------------------------------------------

    def _read_stamps(self, intake: Intake) -> None:
        errors = self._errors
        while count := errors.receive():
            stamps = self._every_stamp.iter_unpack(errors.view[: count * errors.stride])
            tag_of = None if self._by_request else self._numbers
            for seconds, ns, origin, which, number in stamps:
                if origin == _ORIGIN_STAMP:
                    tag: int = number if tag_of is None else tag_of[int(number) & 0xFFFF]
                    (intake.stamps if which == LEFT else intake.queued).append((tag, seconds * _BILLION + ns))
            if count < errors.batch:
                return

    def _reader(self, sock: socket.socket, protocol: int) -> Callable[[Intake], None]:
        inbox = ring.Inbox(sock, batch=64, packet_bytes=_QUOTE_BYTES)
        matcher, v4 = self._tags.matcher, self._version == 4
        every_stamp = struct.Struct(f"{_RECEPTION}{inbox.stride - struct.calcsize(_RECEPTION)}x")
        stride, dropped = inbox.stride, 0

        def read(intake: Intake) -> None:
            nonlocal dropped
            while count := inbox.receive():
                sizes, controls = inbox.sizes[:count].tolist(), inbox.control_sizes[:count].tolist()
                further = [_NOTHING_FURTHER] * count
                if max(controls) > _STAMP_BYTES:
                    further = [_look_further(inbox, index) for index in range(count)]
                    lost = max(each[1] for each in further)
                    if lost > dropped:
                        dropped, intake.overflowed = lost, True
                if v4:
                    answers = match_ipv4_batch(matcher, inbox.data, stride, ring.IN_PACKET, sizes)
                else:
                    answers = [
                        _match6(matcher, inbox, index, protocol, hop_limit)
                        for index, (hop_limit, _) in enumerate(further)
                    ]
                stamps = every_stamp.iter_unpack(inbox.view[: count * stride])
                for answer, control, (seconds, ns) in zip(answers, controls, stamps, strict=True):
                    if answer is None:
                        intake.rejected += 1
                    elif control >= _STAMP_BYTES:
                        intake.answers.append((answer, seconds * _BILLION + ns))
                    else:
                        self._poller.deliver(answer, 0, intake)
                if count < inbox.batch:
                    return

        return read

    # -- opening -------------------------------------------------------------------------------------------

    def _open(self, protocol: int) -> socket.socket:
        sock = socket.socket(self._family, socket.SOCK_RAW, protocol)
        self._sockets.append(sock)
        sock.settimeout(0)
        return sock

    def _prepare_sender(self) -> bool:
        sender = self._sender
        if self._version == 4:
            sender.setsockopt(socket.IPPROTO_IP, socket.IP_HDRINCL, 1)
            sender.setsockopt(socket.IPPROTO_IP, IP_RECVERR, 1)  # else a full queue drops in silence
        else:
            sender.setsockopt(socket.IPPROTO_IPV6, IPV6_RECVERR, 1)
        attach_filter(sender, ((_RETURN, 0, 0, 0),))
        widen(sender, 4 << 20)  # departure stamps wait there
        stamped = stamp(sender)
        self._outbox = ring.Outbox(
            sender, batch=_BATCH, packet_bytes=_PACKET_BYTES, control_bytes=2 * _MESSAGE.size
        )
        self._name_bytes = 16 if self._version == 4 else 28
        self._names = self._outbox.view[self._outbox.name_at :]
        self._request_step = self._outbox.stride // 4
        self._requests = self._outbox.view.cast("I")[_NUMBER_AT // 4 :]
        self._ask_for_stamps()
        errors = self._errors = ring.Inbox(sender, batch=_BATCH, packet_bytes=8, error_queue=True)
        self._every_stamp = struct.Struct(f"{_STAMPED}{errors.stride - struct.calcsize(_STAMPED)}x")
        self._poller.watch(sender.fileno(), self._read_stamps)
        return stamped

    def _ask_for_stamps(self) -> None:
        """Each packet says its number, where the kernel lets it, and the first of a call that both stamps are wanted."""
        outbox, numbered = self._outbox, _MESSAGE.size if self._by_request else 0
        outbox.control_length(numbered)
        if numbered:
            for index in range(_BATCH):
                _MESSAGE.pack_into(outbox.data, index * outbox.stride, 20, 1, SCM_TS_OPT_ID, 0)
        if not encloses_departures():
            return
        enclosed = FIRST_SENDS if self._sparing else _RELAY
        outbox.control_length(numbered + _MESSAGE.size, enclosed)
        for index in range(enclosed):
            at = index * outbox.stride + numbered
            _MESSAGE.pack_into(outbox.data, at, 20, 1, SO_TIMESTAMPING, ENCLOSING)

    def _hear(self, method: Method) -> None:
        self._heard.add(method)
        if method is not Method.ICMP:
            protocol = socket.IPPROTO_TCP if method is Method.TCP else socket.IPPROTO_UDP
            sock = self._open(protocol)
            attach_filter(sock, _OUR_PORTS4 if self._version == 4 else _OUR_PORTS6)
            self._listen(sock, protocol)

    def _listen(self, sock: socket.socket, protocol: int) -> None:
        stamp(sock, RECEPTION_STAMPS)
        widen(sock, 8 << 20)
        if self._version == 6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVHOPLIMIT, 1)
        self._poller.watch(sock.fileno(), self._reader(sock, protocol))


def _name(flow: Signature, interface: int) -> bytes:
    """The socket address of a flow's destination, as the kernel wants it."""
    destination = flow[8:]
    if len(destination) == 4:
        return b"\x02\0\0\0" + destination + bytes(8) if _LITTLE else b"\0\x02\0\0" + destination + bytes(8)
    scope = interface if destination[0] == 0xFE and destination[1] & 0xC0 == 0x80 else 0
    return struct.pack("=HHI16sI", socket.AF_INET6, 0, 0, destination, scope)


_LITTLE = struct.pack("=H", 2) == b"\x02\0"


def _match6(
    matcher: Matcher, inbox: ring.Inbox, index: int, protocol: int, hop_limit: int | None
) -> Answer | None:
    start = index * inbox.stride + ring.IN_PACKET
    end = start + min(inbox.sizes[index], inbox.packet_bytes)
    source = bytes(inbox.data[start - 24 : start - 8])
    return matcher.match_ipv6(inbox.data, start, end, protocol, source, hop_limit)


def _look_further(inbox: ring.Inbox, index: int) -> tuple[int | None, int]:
    """(hop limit or None, packets this socket ever dropped) from the control messages behind the stamp."""
    ttl, dropped = None, 0
    for level, kind, data in inbox.control(index):
        if (level, kind) == (socket.SOL_SOCKET, ring.SO_RXQ_OVFL):
            dropped = struct.unpack_from("=I", data)[0]
        elif (level, kind) == (socket.IPPROTO_IPV6, ring.IPV6_HOPLIMIT):
            ttl = struct.unpack_from("=i", data)[0]
    return ttl, dropped
