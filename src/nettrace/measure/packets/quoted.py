"""What an ICMP error quotes: the datagram it is about, and the extensions behind it.

RFC 4884 says where the quote ends and the extensions begin; routers older than it (and some newer) set no
length and put the extensions at byte 128. RFC 4950 puts MPLS label stacks there, RFC 5837 interfaces.
"""

from struct import Struct

import msgspec

from nettrace.errors import PacketError, Truncated
from nettrace.measure.packets.checksum import Bytes, checksum, holds
from nettrace.measure.packets.ip import Ipv4, Ipv6, parse_ipv4, parse_ipv6
from nettrace.model.path import Label

LEGACY_QUOTE_BYTES = 128
MPLS_CLASS = 1
INTERFACE_CLASS = 2

_OBJECT = Struct("!HBB")


class Interface(msgspec.Struct, frozen=True, gc=False):
    """An interface that a router names (RFC 5837).

    Attributes:
        role: 0 incoming, 1 sub-IP component of it, 2 outgoing, 3 the next hop.
    """

    role: int
    index: int | None = None
    address: bytes | None = None
    name: str | None = None
    mtu_bytes: int | None = None


class Quoted(msgspec.Struct, frozen=True, gc=False):
    """The datagram an ICMP error quotes.

    Attributes:
        header: its IP header.
        transport_at: where in the buffer its transport header begins.
        end: where the quote ends; at least 8 bytes behind `transport_at` by RFC 792, fewer from broken routers.
        labels: MPLS label stack entries, outermost first.
    """

    header: Ipv4 | Ipv6
    transport_at: int
    end: int
    labels: tuple[Label, ...] = ()
    interfaces: tuple[Interface, ...] = ()


def extensions_at(data: Bytes, quote_at: int, end: int, length_words: int, word_bytes: int) -> int | None:
    """Where the extension structure begins, or None when there is none.

    Args:
        data: the buffer.
        quote_at: where the quoted datagram begins.
        end: where the ICMP message ends.
        length_words: the RFC 4884 length field, 0 from routers that do not set it.
        word_bytes: its unit: 4 in ICMP, 8 in ICMPv6.
    """
    at = quote_at + (length_words * word_bytes or LEGACY_QUOTE_BYTES)
    if end - at < 8 or data[at] >> 4 != 2:
        return None
    if data[at + 2 : at + 4] == b"\0\0":
        # "No checksum" is allowed, but without a length field only a checksum tells extensions from a long quote.
        return at if length_words else None
    return at if holds(data[at:end]) else None


def parse_extensions(data: Bytes, at: int, end: int) -> tuple[tuple[Label, ...], tuple[Interface, ...]]:
    """The MPLS labels and interfaces of the extension structure at `at`. Raises PacketError on a broken one."""
    labels: list[Label] = []
    interfaces: list[Interface] = []
    at += 4
    while at < end:
        if end - at < 4:
            raise Truncated("an ICMP extension object ends in its header")
        size, kind, subtype = _OBJECT.unpack_from(data, at)
        if size < 4 or size & 3 or at + size > end:
            raise PacketError(f"an ICMP extension object cannot have {size} bytes here")
        if kind == MPLS_CLASS and subtype == 1:
            labels += (_label(data, entry) for entry in range(at + 4, at + size, 4))
        elif kind == INTERFACE_CLASS:
            interfaces.append(_interface(bytes(data[at + 4 : at + size]), subtype))
        at += size
    return tuple(labels), tuple(interfaces)


def parse_quoted(data: Bytes, quote_at: int, end: int, length_words: int = 0) -> Quoted:
    """The datagram quoted at `quote_at` and what stands behind it; broken extensions count as none."""
    if end <= quote_at or end > len(data):
        raise Truncated("the ICMP error quotes nothing")
    version = data[quote_at] >> 4
    extensions = extensions_at(data, quote_at, end, length_words, 4 if version == 4 else 8)
    quote_end = end if extensions is None else extensions
    header = (parse_ipv4 if version == 4 else parse_ipv6)(data, quote_at, quote_end, quoted=True)
    if header.fragment_offset:
        raise PacketError("the ICMP error quotes a later fragment, which has no transport header")
    labels, interfaces = (), ()
    if extensions is not None:
        try:
            labels, interfaces = parse_extensions(data, extensions, end)
        except PacketError:
            labels, interfaces = (), ()
    return Quoted(
        header=header,
        transport_at=quote_at + header.header_bytes,
        end=quote_end,
        labels=labels,
        interfaces=interfaces,
    )


def build_extensions(labels: tuple[Label, ...]) -> bytes:
    """An extension structure that holds one MPLS label stack."""
    entries = b"".join(
        (entry.label << 12 | entry.traffic_class << 9 | entry.bottom << 8 | entry.ttl).to_bytes(4)
        for entry in labels
    )
    body = b"\x20\0\0\0" + _OBJECT.pack(4 + len(entries), MPLS_CLASS, 1) + entries
    return body[:2] + checksum(body).to_bytes(2) + body[4:]


def _label(data: Bytes, at: int) -> Label:
    word = int.from_bytes(data[at : at + 4])
    return Label(word >> 12, word >> 9 & 7, word & 0x100 != 0, word & 0xFF)


def _interface(body: bytes, subtype: int) -> Interface:
    index = address = name = mtu_bytes = None
    at = 0
    if subtype & 8:
        index = int.from_bytes(_take(body, at, 4))
        at += 4
    if subtype & 4:
        size = 4 if int.from_bytes(_take(body, at, 2)) == 1 else 16
        address = _take(body, at + 4, size)
        at += 4 + size
    if subtype & 2:
        size = _take(body, at, 1)[0]
        name = _take(body, at, max(1, size))[1:].rstrip(b"\0").decode("utf-8", "replace")
        at += size
    if subtype & 1:
        mtu_bytes = int.from_bytes(_take(body, at, 4))
    return Interface(subtype >> 6, index, address, name, mtu_bytes)


def _take(body: bytes, at: int, size: int) -> bytes:
    if at + size > len(body):
        raise Truncated("an ICMP interface object ends in the middle")
    return body[at : at + size]
