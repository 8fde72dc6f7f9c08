"""What an inbox or a packet ring holds, as the records a sweep takes: all at once where nothing is unusual.

The everyday reply (an ICMP error over IPv4, no IP options, no extensions, stamped by the kernel) is read by
one `Struct.iter_unpack` over the whole ring, after whole columns have been compared. Everything else goes
through the parsers of `measure.packets`, one by one.
"""

import socket
import sys
from array import array
from collections.abc import Callable, Iterable, Iterator
from struct import Struct, error

from nettrace.errors import PacketError
from nettrace.measure.kernel.frame_ring import Frames
from nettrace.measure.kernel.ring import IN_NAME, Inbox
from nettrace.measure.packets.checksum import checksum
from nettrace.measure.sweeping.packets import PROTOCOL, layout_of, word
from nettrace.measure.sweeping.rings import LONGEST_REPLY
from nettrace.measure.tracing.sweep import DIRECT, EXTENDED, Extra, Record
from nettrace.model.instant import NS_PER_S
from nettrace.model.measurement import Method

REPLY_BYTES = 320
"""Room for a reply: RFC 4884 puts extensions behind 128 bytes of quote."""

_PLAIN_HEADER_BYTES = 20
_PLAIN4 = 20 + 8 + 20 + 8
_ECHO_REPLY4, _ECHO_REPLY6 = 0, 129
_inet_ntoa, _packed4 = socket.inet_ntoa, Struct("=I").pack
_octets = Struct("4B").iter_unpack
_LAST = [str(octet) for octet in range(256)]
_DOTTED = [f"{octet}." for octet in _LAST]
_SYN, _RST, _ACK = 0x02, 0x04, 0x10


class Addresses:
    """Tokens for addresses: IPv4 is its own 32-bit number, IPv6 addresses are numbered as they are met.

    Attributes:
        text: the address a token stands for as people write it; empty for 0, which is nobody.
        texts: those of many tokens, none of them nobody, in a third of the time.
    """

    def __init__(self, version: int) -> None:
        self.version = version
        self._tokens: dict[bytes, int] = {}
        self._packed: list[bytes] = [b""]
        self.text: Callable[[int], str] = _text4 if version == 4 else self._text6
        self.texts: Callable[[array[int]], list[str]] = _texts4 if version == 4 else self._texts6

    def token(self, packed: bytes) -> int:
        """The token of a packed address."""
        if self.version == 4:
            return int.from_bytes(packed, sys.byteorder)
        found = self._tokens.get(packed)
        if found is None:
            found = self._tokens[packed] = len(self._packed)
            self._packed.append(packed)
        return found

    def _text6(self, token: int) -> str:
        return socket.inet_ntop(socket.AF_INET6, self._packed[token]) if token else ""

    def _texts6(self, tokens: "array[int]") -> list[str]:
        return [self._text6(token) for token in tokens]


def _text4(token: int) -> str:
    return _inet_ntoa(_packed4(token)) if token else ""


def _texts4(tokens: "array[int]") -> list[str]:
    dotted, last = _DOTTED, _LAST
    return [f"{dotted[a]}{dotted[b]}{dotted[c]}{last[d]}" for a, b, c, d in _octets(tokens)]


class Replies:
    """Reads inboxes and packet rings of one method and IP version.

    Attributes:
        dropped: packets the kernel could not keep for us so far.
        extras: filled by slot for records whose kind has EXTENDED set.
    """

    def __init__(self, method: Method, version: int, inbox: Inbox | Frames, extras: dict[int, Extra]) -> None:
        self.method = method
        self.version = version
        self.addresses = Addresses(version)
        self.extras = extras
        self.dropped = 0
        self._lost: dict[Inbox | Frames, int] = {}
        self._layout = layout_of(method, version)
        self._protocol = PROTOCOL[method, version]
        self.listen(inbox)

    def listen(self, inbox: Inbox | Frames) -> None:
        """From now on everyday replies are in this one."""
        self._usual = inbox
        everyday = f"={inbox.stamp_format}12xI4xH6x4xH2xB7xI6xH"
        size, at = Struct(everyday).size, inbox.packet_at
        self._everyday = Struct(f"{everyday}{inbox.stride - size}x")
        plain = memoryview(bytes((0x45,)) * inbox.batch)
        protocol = memoryview(bytes((self._protocol,)) * inbox.batch)
        self._columns = (at, plain), (at + 28, plain), (at + 37, protocol)
        self._nothing_more = memoryview(bytes(4 * inbox.batch)).cast("I")

    def records(self, inbox: Inbox | Frames, count: int) -> Iterable[Record]:
        """The replies in the first `count` slots of an ICMP inbox."""
        self._lost[inbox] = max(self._lost.get(inbox, 0), inbox.dropped(count))
        self.dropped = sum(self._lost.values())
        if self.version == 4 and inbox is self._usual and self._all_everyday(inbox, count):
            return self._everyday.iter_unpack(inbox.view[: count * inbox.stride])
        return self._each(inbox, count)

    def direct(self, inbox: Inbox, count: int) -> Iterator[Record]:
        """The SYN-ACKs and RSTs in the first `count` slots of a raw TCP inbox."""
        for index in range(count):
            packet, at_ns = inbox.packet(index), inbox.stamp_ns(index)
            at = (packet[0] & 15) * 4 if self.version == 4 and packet else 0
            if at_ns is None or len(packet) < at + 20:
                continue
            flags = packet[at + 13]
            if not flags & _RST and flags & (_SYN | _ACK) != _SYN | _ACK:
                continue
            sequence = (int.from_bytes(packet[at + 8 : at + 12]) - 1) % (1 << 32)
            source = self._source(inbox, index)
            ttl = packet[8] if self.version == 4 else hop_limit(inbox, index)
            yield (
                *divmod(at_ns, NS_PER_S),
                self.addresses.token(source),
                DIRECT | flags,
                word(sequence >> 16),
                ttl,
                self._about(source),
                word(sequence & 0xFFFF),
            )

    def _all_everyday(self, inbox: Inbox | Frames, count: int) -> bool:
        stride = inbox.stride
        end, view = count * stride, inbox.view
        for at, expected in self._columns:
            if view[at:end:stride] != expected[:count]:
                return False
        more = (inbox.packet_at + 24) // 4  # where the length of extensions and an MTU stand, else nothing
        if view.cast("I")[more : end // 4 : stride // 4] != self._nothing_more[:count]:
            return False
        sizes = set(inbox.sizes_of(count))
        return inbox.plainly_stamped(count) and min(sizes) >= _PLAIN4 and max(sizes) <= LONGEST_REPLY

    def _each(self, inbox: Inbox | Frames, count: int) -> Iterator[Record]:
        for index in range(count):
            at_ns = inbox.stamp_ns(index)
            if at_ns is None:
                continue
            try:
                record = self._parsed(inbox.packet(index), at_ns, inbox, index)
            except (PacketError, error, IndexError):
                continue
            if record is not None:
                yield record

    def _parsed(self, packet: bytes, at_ns: int, inbox: Inbox | Frames, index: int) -> Record | None:
        # Loaded here because a sweep of a plain IPv4 net never needs a parser.
        from nettrace.measure.packets.icmp import IcmpError, parse_icmp, parse_icmpv6  # noqa: PLC0415

        at = (packet[0] & 15) * 4 if self.version == 4 else 0
        if at > _PLAIN_HEADER_BYTES and checksum(packet[:at]):
            return None  # a ring's program verifies plain headers only
        if packet[at] in {_ECHO_REPLY4, _ECHO_REPLY6}:
            return self._echo(packet, at, at_ns, inbox, index) if self.method is Method.ICMP else None
        message = parse_icmp(packet, at, verify=False) if self.version == 4 else parse_icmpv6(packet, at)
        if not isinstance(message, IcmpError):
            return None
        quoted = message.quoted
        header = quoted.header
        if header.protocol != self._protocol:
            return None
        start = quoted.transport_at - self._layout.transport
        slot_at = self._layout.slots[0] if self.version == 4 else self._layout.slots[-1]
        # IPv4 options in the quote move the transport header, not the identification.
        slot_base = quoted.transport_at - header.header_bytes if self.version == 4 else start
        slot = int.from_bytes(packet[slot_base + slot_at : slot_base + slot_at + 2], sys.byteorder)
        mark_at = quoted.transport_at + 6
        if len(packet) < max(mark_at + 2, slot_base + slot_at + 2):
            return None
        kind = int.from_bytes(packet[at : at + 2], sys.byteorder)
        if quoted.labels or message.mtu_bytes:
            self.extras[slot] = (quoted.labels, message.mtu_bytes)
            kind |= EXTENDED
        return (
            *divmod(at_ns, NS_PER_S),
            self.addresses.token(self._source(inbox, index)),
            kind,
            slot,
            packet[quoted.transport_at - header.header_bytes + (8 if self.version == 4 else 7)],
            self._about(header.destination),
            int.from_bytes(packet[mark_at : mark_at + 2], sys.byteorder),
        )

    def _echo(self, packet: bytes, at: int, at_ns: int, inbox: Inbox | Frames, index: int) -> Record | None:
        if len(packet) < at + 16:
            return None
        source = self._source(inbox, index)
        return (
            *divmod(at_ns, NS_PER_S),
            self.addresses.token(source),
            DIRECT,
            int.from_bytes(packet[at + 12 : at + 14], sys.byteorder),
            packet[8] if self.version == 4 else hop_limit(inbox, index),
            self._about(source),
            int.from_bytes(packet[at + 6 : at + 8], sys.byteorder),
        )

    def _source(self, inbox: Inbox | Frames, index: int) -> bytes:
        start = index * inbox.stride + (IN_NAME + 8 if self.version == 6 else inbox.packet_at + 12)
        return bytes(inbox.view[start : start + (16 if self.version == 6 else 4)])

    def _about(self, packed: bytes) -> int | bytes:
        return packed if self.version == 6 else int.from_bytes(packed, sys.byteorder)


def hop_limit(inbox: Inbox | Frames, index: int) -> int:
    """The hop limit an IPv6 packet arrived with, from its ancillary data; 0 when it is not there."""
    if isinstance(inbox, Inbox):
        for level, kind, data in inbox.control(index):
            if (level, kind) == (socket.IPPROTO_IPV6, socket.IPV6_HOPLIMIT):
                return int.from_bytes(data[:4], sys.byteorder)
    return 0
