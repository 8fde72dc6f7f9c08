"""Probe packets with a constant flow and a changing tag, written in place at a few operations each.

What load balancers hash never changes within a flow (Augustin et al., IMC 2006; RFC 6438): addresses, protocol,
the transport header's first four bytes, the IPv6 flow label. The 30-bit tag lives elsewhere:

- UDP: 15 bits in the IPv4 identification, 15 in the checksum;
- ICMP: 15 bits in the IPv4 identification, 15 in the sequence number, the checksum held;
- TCP: the SYN's sequence number (and the IPv4 identification, which only tells rewriting);
- IPv6 has no identification: errors there quote the payload (RFC 4443), which holds the whole tag.

Behind UDP and ICMP headers stand two balancing bytes, four bytes of tag, then a note that says who probes.
Checksums are kept by arithmetic modulo 0xFFFF over the few fields that change.
"""

from struct import Struct

from nettrace.errors import Invalid
from nettrace.measure.packets.checksum import word_sum
from nettrace.measure.packets.ip import ICMP, ICMPV6, TCP, UDP, packed
from nettrace.measure.packets.note import NOTE
from nettrace.measure.packets.tcp import SYN, syn_options
from nettrace.model.measurement import Method
from nettrace.model.path import Flow, Probe

MIN_PAYLOAD_BYTES = 6
"""Two balancing bytes and the tag."""

COOKIE_AT = 2
"""Where in the payload the tag stands."""

Signature = bytes
"""What every genuine answer to a flow's probes must quote: protocol, flow label, flow words, destination."""

_FLOW = Struct("!IHH")
_UDP4 = Struct("!HHHHBBHIIHHHHHI")
_ICMP4 = Struct("!HHHHBBHIIHHHHHI")
_TCP4 = Struct("!HHHHBBHIIHHIIHHHH")
_UDP6 = Struct("!IHBB16s16sHHHHHI")
_ICMP6 = Struct("!IHBB16s16sHHHHHI")
_TCP6 = Struct("!IHBB16s16sHHIIHHHH")

_ONES = 0xFFFF
_LABEL = 0xFFFFF
_HALF = 0x7FFF
_WINDOW = 64_240
_DONT_FRAGMENT = 0x4000
_ECHO4 = 8 << 8
_ECHO6 = 128 << 8


def signature(destination: str, flow: Flow) -> Signature:
    """The flow's packed identity: 12 bytes for IPv4, 24 for IPv6. Raises Invalid on what is no address."""
    address = packed(destination)
    v6 = len(address) == 16
    match flow.method:
        case Method.ICMP:
            protocol, first, second = ICMPV6 if v6 else ICMP, flow.icmp_checksum, flow.icmp_identifier
            if not 0 < first < _ONES:
                raise Invalid(f"an ICMP flow cannot hold the checksum {first}")
        case Method.UDP:
            protocol, first, second = UDP, flow.source_port, flow.destination_port
        case Method.TCP:
            protocol, first, second = TCP, flow.source_port, flow.destination_port
    label = flow.ipv6_flow_label & _LABEL if v6 else 0
    return _FLOW.pack(protocol << 24 | label, first, second) + address


class Template:
    """One kind of probe from one source address: `blank` once, then `write` over it for every probe.

    Attributes:
        size: bytes of a packet.
        header_bytes: bytes of its IP header.
        blank: a packet with the note in place and no flow.
    """

    protocol: int
    header_bytes: int
    transport_bytes: int

    def __init__(self, source: bytes, payload: bytes) -> None:
        self.source = source
        self.source_number = int.from_bytes(source)
        self.payload_bytes = len(payload)
        self.size = self.header_bytes + self.transport_bytes + len(payload)
        self.blank = bytes(self.header_bytes + self.transport_bytes) + payload
        if self.size > _ONES:
            raise Invalid(f"a probe of {self.size} bytes does not exist")

    def write(self, into: bytearray | memoryview, at: int, flow: Signature, ttl: int, wire: int) -> None:
        """Writes the probe's changing bytes over a `blank` packet at `at`; `wire` is the hidden tag."""
        raise NotImplementedError

    def packet(self, flow: Signature, ttl: int, wire: int) -> bytes:
        """One whole packet, IP header first."""
        made = bytearray(self.blank)
        self.write(made, 0, flow, ttl, wire)
        return bytes(made)

    def transport(self, flow: Signature, wire: int) -> bytes:
        """The packet without its IP header: what an ICMP datagram socket sends, checksum held."""
        return self.packet(flow, 1, wire)[self.header_bytes :]

    def payload(self, flow: Signature, wire: int) -> bytes:
        """What stands behind the transport header: what an ordinary UDP socket sends.

        Its kernel then computes the very checksum `packet` has, provided the socket has this source address
        and the flow's ports.
        """
        return self.packet(flow, 1, wire)[self.header_bytes + self.transport_bytes :]


class _Template4(Template):
    header_bytes = 20

    def __init__(self, source: bytes, payload: bytes) -> None:
        super().__init__(source, payload)
        length = self.size - 20
        # The constant words of the IP header, and of the transport checksum with its pseudo header.
        self.ip_sum = 0x4500 + self.size + _DONT_FRAGMENT + self.protocol + self.source_number
        self.pseudo_sum = self.source_number + self.protocol + length


class _Template6(Template):
    header_bytes = 40

    def __init__(self, source: bytes, payload: bytes) -> None:
        super().__init__(source, payload)
        self.length = self.size - 40
        self.pseudo_sum = self.source_number + self.protocol + self.length


class _Udp4(_Template4):
    protocol = UDP
    transport_bytes = 8

    def __init__(self, source: bytes, payload: bytes) -> None:
        super().__init__(source, payload)
        self.constant = self.pseudo_sum + self.size - 20 + word_sum(payload)

    def write(self, into: bytearray | memoryview, at: int, flow: Signature, ttl: int, wire: int) -> None:
        _, source_port, destination_port = _FLOW.unpack_from(flow)
        destination = int.from_bytes(flow[8:])
        identification = (wire >> 15) + 1
        check = (wire & _HALF) + 1
        balancing = -(self.constant + destination + source_port + destination_port + check + wire) % _ONES
        _UDP4.pack_into(
            into,
            at,
            0x4500,
            self.size,
            identification,
            _DONT_FRAGMENT,
            ttl,
            UDP,
            -(self.ip_sum + identification + (ttl << 8) + destination) % _ONES,
            self.source_number,
            destination,
            source_port,
            destination_port,
            self.size - 20,
            check,
            balancing,
            wire,
        )


class _Icmp4(_Template4):
    protocol = ICMP
    transport_bytes = 8

    def __init__(self, source: bytes, payload: bytes) -> None:
        super().__init__(source, payload)
        self.constant = _ECHO4 + word_sum(payload)

    def write(self, into: bytearray | memoryview, at: int, flow: Signature, ttl: int, wire: int) -> None:
        _, check, identifier = _FLOW.unpack_from(flow)
        destination = int.from_bytes(flow[8:])
        identification = (wire >> 15) + 1
        sequence = wire & _HALF
        _ICMP4.pack_into(
            into,
            at,
            0x4500,
            self.size,
            identification,
            _DONT_FRAGMENT,
            ttl,
            ICMP,
            -(self.ip_sum + identification + (ttl << 8) + destination) % _ONES,
            self.source_number,
            destination,
            _ECHO4,
            check,
            identifier,
            sequence,
            -(self.constant + check + identifier + sequence + wire) % _ONES,
            wire,
        )


class _Tcp4(_Template4):
    protocol = TCP
    transport_bytes = 32

    def __init__(self, source: bytes, payload: bytes) -> None:
        options = syn_options(1460)
        super().__init__(source, b"")
        self.blank = self.blank[:40] + options
        self.constant = self.pseudo_sum + (32 << 10 | SYN) + _WINDOW + word_sum(options)

    def write(self, into: bytearray | memoryview, at: int, flow: Signature, ttl: int, wire: int) -> None:
        _, source_port, destination_port = _FLOW.unpack_from(flow)
        destination = int.from_bytes(flow[8:])
        identification = (wire >> 15) + 1
        _TCP4.pack_into(
            into,
            at,
            0x4500,
            self.size,
            identification,
            _DONT_FRAGMENT,
            ttl,
            TCP,
            -(self.ip_sum + identification + (ttl << 8) + destination) % _ONES,
            self.source_number,
            destination,
            source_port,
            destination_port,
            wire,
            0,
            32 << 10 | SYN,
            _WINDOW,
            -(self.constant + destination + source_port + destination_port + wire) % _ONES,
            0,
        )


class _Udp6(_Template6):
    protocol = UDP
    transport_bytes = 8

    def __init__(self, source: bytes, payload: bytes) -> None:
        super().__init__(source, payload)
        self.constant = self.pseudo_sum + self.length + word_sum(payload)

    def write(self, into: bytearray | memoryview, at: int, flow: Signature, ttl: int, wire: int) -> None:
        head, source_port, destination_port = _FLOW.unpack_from(flow)
        destination = flow[8:]
        check = (wire & _HALF) + 1
        others = self.constant + int.from_bytes(destination) + source_port + destination_port
        _UDP6.pack_into(
            into,
            at,
            6 << 28 | head & _LABEL,
            self.length,
            UDP,
            ttl,
            self.source,
            destination,
            source_port,
            destination_port,
            self.length,
            check,
            -(others + check + wire) % _ONES,
            wire,
        )


class _Icmp6(_Template6):
    protocol = ICMPV6
    transport_bytes = 8

    def __init__(self, source: bytes, payload: bytes) -> None:
        super().__init__(source, payload)
        self.constant = self.pseudo_sum + _ECHO6 + word_sum(payload)

    def write(self, into: bytearray | memoryview, at: int, flow: Signature, ttl: int, wire: int) -> None:
        head, check, identifier = _FLOW.unpack_from(flow)
        destination = flow[8:]
        sequence = wire & _HALF
        others = self.constant + int.from_bytes(destination) + check + identifier + sequence
        _ICMP6.pack_into(
            into,
            at,
            6 << 28 | head & _LABEL,
            self.length,
            ICMPV6,
            ttl,
            self.source,
            destination,
            _ECHO6,
            check,
            identifier,
            sequence,
            -(others + wire) % _ONES,
            wire,
        )


class _Tcp6(_Template6):
    protocol = TCP
    transport_bytes = 32

    def __init__(self, source: bytes, payload: bytes) -> None:
        options = syn_options(1440)
        super().__init__(source, b"")
        self.blank = self.blank[:60] + options
        self.constant = self.pseudo_sum + (32 << 10 | SYN) + _WINDOW + word_sum(options)

    def write(self, into: bytearray | memoryview, at: int, flow: Signature, ttl: int, wire: int) -> None:
        head, source_port, destination_port = _FLOW.unpack_from(flow)
        destination = flow[8:]
        others = self.constant + int.from_bytes(destination) + source_port + destination_port
        _TCP6.pack_into(
            into,
            at,
            6 << 28 | head & _LABEL,
            self.length,
            TCP,
            ttl,
            self.source,
            destination,
            source_port,
            destination_port,
            wire,
            0,
            32 << 10 | SYN,
            _WINDOW,
            -(others + wire) % _ONES,
            0,
        )


_TEMPLATES: dict[tuple[Method, int], type[Template]] = {
    (Method.UDP, 4): _Udp4,
    (Method.ICMP, 4): _Icmp4,
    (Method.TCP, 4): _Tcp4,
    (Method.UDP, 16): _Udp6,
    (Method.ICMP, 16): _Icmp6,
    (Method.TCP, 16): _Tcp6,
}


def template(source: str, method: Method, payload_bytes: int = 56, note: bytes = NOTE) -> Template:
    """The template of a method's probes from `source`; TCP probes are bare SYNs whatever `payload_bytes` says.

    >>> template("192.0.2.1", Method.UDP).size
    84
    """
    if method is not Method.TCP and payload_bytes < MIN_PAYLOAD_BYTES:
        raise Invalid(f"a probe needs {MIN_PAYLOAD_BYTES} bytes of payload, not {payload_bytes}")
    address = packed(source)
    room = payload_bytes - MIN_PAYLOAD_BYTES
    payload = bytes(MIN_PAYLOAD_BYTES) + note[: max(0, room)].ljust(room, b"\0")
    return _TEMPLATES[method, len(address)](address, payload)


def probe_packet(source: str, probe: Probe, wire: int) -> bytes:
    """One probe's whole packet. For many, keep `template` and `signature` and `write` into one buffer."""
    flow = signature(probe.address, probe.flow)
    made = template(source, probe.flow.method, probe.payload_bytes)
    return made.packet(flow, probe.ttl, wire)
