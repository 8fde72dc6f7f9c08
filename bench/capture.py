"""Truth: every packet on the device with the kernel's own stamp, paired into probes and answers.

An AF_PACKET socket sees a packet where it enters the driver (`dev_queue_xmit_nit`) and where it leaves it
(`netif_receive_skb`): the host's boundary, the same place for every tool. The ring is
read after the tool has ended, so reading takes no CPU from what is measured; if it was too small, that is said.
"""

import contextlib
import mmap
import socket
import struct
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from ipaddress import ip_address
from types import TracebackType
from typing import Self

ETH_P_ALL = 3
SO_TIMESTAMPNS = 35
SOL_PACKET = 263
PACKET_RX_RING, PACKET_STATISTICS, PACKET_VERSION = 5, 6, 10
PACKET_OUTGOING = 4
TPACKET_V2 = 1
TP_STATUS_USER = 1
BLOCK_BYTES = 1 << 16
FRAME = struct.Struct("=IIIHHII")
"""`tpacket2_hdr`: status, length, kept, start of link layer, start of IP, seconds, nanoseconds."""

LINK_ADDRESS = 32
"""Where in a frame `sockaddr_ll` stands."""

ICMP, TCP, UDP, ICMP6 = 1, 6, 17, 58
ECHO = {ICMP: 8, ICMP6: 128}
ECHO_REPLY = {ICMP: 0, ICMP6: 129}
ERRORS = {ICMP: (3, 11), ICMP6: (1, 2, 3)}
FIN, SYN, RST, ACK = 1, 2, 4, 16


@dataclass(frozen=True, slots=True)
class Packet:
    """One IP packet as it passed the device, `at` in UTC nanoseconds."""

    at: int
    out: bool
    source: str
    target: str
    proto: int
    ttl: int
    mark: int
    body: bytes
    length: int


@dataclass(slots=True)
class Probe:
    """One probe seen to leave, and the answer seen to come back.

    Attributes:
        word: the first four transport bytes, what load balancers hash.
        answered_by: who answered, None while nobody did.
        extra: further answers to the same probe.
    """

    target: str
    source: str
    proto: int
    ttl: int
    word: int
    sent: int
    received: int | None = None
    answered_by: str | None = None
    extra: int = 0

    @property
    def rtt(self) -> int | None:
        """Round-trip time in nanoseconds."""
        return None if self.received is None else self.received - self.sent


@dataclass(slots=True)
class Exchange:
    """One TCP connection from the device's point of view; times in UTC nanoseconds.

    Attributes:
        sent: (time, payload) of every outgoing segment that brought new payload; likewise `got`.
        ends: the sequence number behind the last payload, by direction.
    """

    target: str
    port: int
    syn: int
    syn_ack: int | None = None
    syns: int = 1
    sent: list[tuple[int, bytes]] = field(default_factory=list)
    got: list[tuple[int, bytes]] = field(default_factory=list)
    ends: dict[bool, int] = field(default_factory=dict)

    def segment(self, packet: Packet, sequence: int, payload: bytes) -> None:
        """Note a segment with payload; one that brings nothing new (sent again) changes nothing."""
        end = (sequence + len(payload)) & 0xFFFFFFFF
        known = self.ends.get(packet.out)
        if known is not None and (end - known - 1) & 0xFFFFFFFF >= 1 << 31:
            return
        self.ends[packet.out] = end
        (self.sent if packet.out else self.got).append((packet.at, payload))


class Capture:
    """Captures on a device of the current namespace from entering the block to leaving it.

    The kernel copies each packet's head into a ring allocated beforehand (PACKET_RX_RING): nothing is allocated
    on the way of a probe, which would show in the very microseconds that are judged.

    Args:
        device: its name.
        segments: keep whole TCP segments instead of the heads of probes and quotes.

    Raises:
        RuntimeError: at the end of the block, when the ring was too small and packets were missed.
    """

    def __init__(self, device: str, *, segments: bool = False) -> None:
        self.device = device
        self._frame_bytes = 2048 if segments else 256
        self._frames = 1 << 15 if segments else 1 << 16
        self.packets: list[Packet] = []

    def __enter__(self) -> Self:
        tap = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, 0)
        tap.setsockopt(
            socket.SOL_SOCKET, SO_TIMESTAMPNS, 1
        )  # stamps where the device is, not where the copy is
        tap.setsockopt(SOL_PACKET, PACKET_VERSION, TPACKET_V2)
        blocks = self._frames * self._frame_bytes // BLOCK_BYTES
        shape = struct.pack("IIII", BLOCK_BYTES, blocks, self._frame_bytes, self._frames)
        tap.setsockopt(SOL_PACKET, PACKET_RX_RING, shape)
        self._ring = mmap.mmap(tap.fileno(), self._frames * self._frame_bytes)
        tap.bind((self.device, ETH_P_ALL))
        self._tap = tap
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.closing(self._tap), self._ring:
            missed = struct.unpack("II", self._tap.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8))[1]
            if kind is None and missed:
                raise RuntimeError(
                    f"the capture on {self.device} missed {missed} packets: its ring is too small"
                )
            self.packets = list(self._read()) if kind is None else []

    def _read(self) -> Iterator[Packet]:
        """The packets in the ring; it is read once, so frames are not given back."""
        for start in range(0, len(self._ring), self._frame_bytes):
            status, _, kept, _, net, seconds, ns = FRAME.unpack_from(self._ring, start)
            if not status & TP_STATUS_USER:
                return
            out = self._ring[start + LINK_ADDRESS + 10] == PACKET_OUTGOING
            data = self._ring[start + net : start + net + kept]
            packet = parse(seconds * 1_000_000_000 + ns, out, data)
            if packet:
                yield packet


def parse(at: int, out: bool, data: bytes) -> Packet | None:
    """The IP packet in `data`, or None when it is something else or carries extension headers."""
    if len(data) >= 28 and data[0] == 0x45:
        length = int.from_bytes(data[2:4])
        source, target = socket.inet_ntoa(data[12:16]), socket.inet_ntoa(data[16:20])
        mark = int.from_bytes(data[4:6])
        return Packet(at, out, source, target, data[9], data[8], mark, data[20:], length - 20)
    if len(data) >= 48 and data[0] >> 4 == 6:
        source, target = str(ip_address(data[8:24])), str(ip_address(data[24:40]))
        return Packet(at, out, source, target, data[6], data[7], 0, data[40:], int.from_bytes(data[4:6]))
    return None


def probes(packets: Iterable[Packet]) -> list[Probe]:
    """Every echo request, UDP datagram and TCP SYN that left, in order, each with its answer.

    An answer belongs to the oldest unanswered probe that it can belong to: same echo identifier and sequence,
    same quoted header, same TCP ports and number.
    """
    made: list[Probe] = []
    waiting: defaultdict[tuple[object, ...], deque[Probe]] = defaultdict(deque)
    answered: dict[tuple[object, ...], Probe] = {}
    for packet in packets:
        if packet.out:
            keys = _keys_of_probe(packet)
            if keys:
                word = int.from_bytes(packet.body[:4])
                probe = Probe(packet.target, packet.source, packet.proto, packet.ttl, word, packet.at)
                made.append(probe)
                for key in keys:
                    waiting[key].append(probe)
            continue
        key = _key_of_answer(packet)
        queue = waiting.get(key) if key else None
        while queue and queue[0].received is not None:
            queue.popleft()
        if key and queue:
            probe = queue.popleft()
            probe.received, probe.answered_by = packet.at, packet.source
            answered[key] = probe
        elif key in answered:
            answered[key].extra += 1
    return made


def _keys_of_probe(packet: Packet) -> list[tuple[object, ...]]:
    body, proto = packet.body, packet.proto
    quoted = ("quote", packet.target, proto, packet.mark, body[:8])
    if proto in ECHO and body[0] == ECHO[proto]:
        return [("echo", packet.target, body[4:8]), quoted]
    if proto == UDP:
        return [quoted]
    if proto == TCP and body[13] & (SYN | ACK) == SYN:
        following = (int.from_bytes(body[4:8]) + 1) & 0xFFFFFFFF
        return [("tcp", packet.target, body[:4], following), quoted]
    return []


def _key_of_answer(packet: Packet) -> tuple[object, ...] | None:
    body, proto = packet.body, packet.proto
    if proto in ECHO_REPLY and body[0] == ECHO_REPLY[proto]:
        return ("echo", packet.source, body[4:8])
    if proto in ERRORS and body[0] in ERRORS[proto]:
        inner = parse(packet.at, True, body[8:])
        if inner:
            return ("quote", inner.target, inner.proto, inner.mark, inner.body[:8])
    if proto == TCP and len(body) >= 20:
        return ("tcp", packet.source, body[2:4] + body[:2], int.from_bytes(body[8:12]))
    return None


def exchanges(packets: Iterable[Packet]) -> list[Exchange]:
    """Every TCP connection opened from here, in the order of the first SYN."""
    found: dict[tuple[str, int, int], Exchange] = {}
    for packet in packets:
        if packet.proto != TCP or len(packet.body) < 20:
            continue
        body = packet.body
        ports = struct.unpack("!HH", body[:4])
        other, mine, theirs = (packet.target, *ports) if packet.out else (packet.source, ports[1], ports[0])
        key, flags = (other, mine, theirs), body[13]
        header = (body[12] >> 4) * 4
        payload = body[header : packet.length]
        if packet.out and flags & (SYN | ACK) == SYN:
            if key in found and found[key].syn_ack is None:
                found[key].syns += 1
            else:
                found[key] = Exchange(other, mine, packet.at)
            continue
        exchange = found.get(key)
        if exchange is None:
            continue
        if not packet.out and flags & (SYN | ACK) == SYN | ACK:
            exchange.syn_ack = exchange.syn_ack or packet.at
        elif packet.length > header:
            exchange.segment(packet, int.from_bytes(body[4:8]), payload)
    return sorted(found.values(), key=lambda exchange: exchange.syn)


@dataclass(frozen=True, slots=True)
class Stages:
    """True durations of one HTTPS exchange in nanoseconds; None where it did not happen."""

    connect: int | None
    tls: int | None
    first_byte: int | None


TICKET_OR_ALERT_BYTES = 24


def stages(exchange: Exchange) -> Stages:
    """Connect, TLS and first byte of an exchange with one request, as the wire saw them.

    Connect is SYN to SYN-ACK. TLS is the client's hello to the last segment the server sent before the client
    went on. First byte is the request to the last full record: session tickets of TLS 1.3, which answer the
    client's Finished, come before it, and the closing alert behind it is too small to be an answer.
    """
    connect = None if exchange.syn_ack is None else exchange.syn_ack - exchange.syn
    if not exchange.sent or not exchange.got:
        return Stages(connect, None, None)
    hello = exchange.sent[0][0]
    first_flight = exchange.got[0][0]
    later = [at for at, _ in exchange.sent if at > first_flight]
    if not later:
        return Stages(connect, None, None)
    handshake = [at for at, _ in exchange.got if at < later[0]]
    tls = handshake[-1] - hello
    answers = [at for at, payload in exchange.got if at > later[0] and _carries_data(payload)]
    if not answers:
        return Stages(connect, tls, None)
    requests = [at for at in later if at < answers[-1]]
    return Stages(connect, tls, answers[-1] - _request(exchange, requests, answers[-1]))


def _carries_data(payload: bytes) -> bool:
    """True when a segment holds a TLS application record bigger than an alert."""
    at = 0
    while at + 5 <= len(payload):
        size = int.from_bytes(payload[at + 3 : at + 5])
        if payload[at] == 0x17 and size > TICKET_OR_ALERT_BYTES:
            return True
        at += 5 + size
    return False


def _request(exchange: Exchange, requests: list[int], answer: int) -> int:
    """When the request left: the last outgoing segment before the answer that is not the closing alert."""
    real = [at for at, payload in exchange.sent if at in requests and at < answer and _carries_data(payload)]
    return real[-1] if real else requests[-1]
