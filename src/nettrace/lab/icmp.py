"""What the lab's routers say: ICMP errors as bytes, built at the speed of a router.

Kept apart from `measure.packets` on purpose: the lab is the judge of the engine, and a judge that shares the
accused's code shares its mistakes.
"""

from struct import pack

TIME_EXCEEDED = (11, 0)
TIME_EXCEEDED6 = (3, 0)
TOO_BIG6 = (2, 0)
NET_UNREACHABLE = (3, 0)
FRAGMENTATION_NEEDED = (3, 4)
PROHIBITED = (3, 13)
NO_ROUTE6 = (1, 0)
PROHIBITED6 = (1, 1)
"""ICMP type and code of each answer."""

_PADDED_QUOTE = 128
"""RFC 4884: a quote before extensions is padded to 128 bytes."""
_LARGEST_QUOTE6 = 1232
"""RFC 4443: the error must fit the minimum IPv6 MTU of 1280 bytes."""


def checksum(data: bytes) -> int:
    """The Internet checksum (RFC 1071): one's complement of the one's complement sum of 16-bit words.

    One's complement addition of words is arithmetic modulo 65535.

    >>> hex(checksum(bytes.fromhex("0001f203f4f5f6f7")))
    '0x220d'
    """
    if len(data) & 1:
        data += b"\0"
    total = int.from_bytes(data)
    return 0xFFFF if total == 0 else 0xFFFF - (total % 0xFFFF or 0xFFFF)


def header4(
    source: bytes, destination: bytes, ttl: int, protocol: int, body_bytes: int, number: int
) -> bytes:
    """An IPv4 header of 20 bytes with its checksum; precedence 6 (internetwork control), as routers set it."""
    head = pack(
        "!BBHHHBBH4s4s", 0x45, 0xC0, 20 + body_bytes, number, 0, ttl, protocol, 0, source, destination
    )
    return head[:10] + checksum(head).to_bytes(2) + head[12:]


def header6(source: bytes, destination: bytes, hop_limit: int, protocol: int, body_bytes: int) -> bytes:
    """An IPv6 header of 40 bytes."""
    return pack("!IHBB16s16s", 6 << 28, body_bytes, protocol, hop_limit, source, destination)


def as_expired(packet: bytes) -> bytes:
    """The packet as the router that expires it sees it: TTL 1, header checksum to match."""
    if packet[0] >> 4 == 6:
        return packet[:7] + b"\1" + packet[8:]
    head = bytearray(packet[: (packet[0] & 15) * 4])
    head[8], head[10], head[11] = 1, 0, 0
    head[10:12] = checksum(bytes(head)).to_bytes(2)
    return bytes(head) + packet[len(head) :]


def mpls_extension(labels: tuple[tuple[int, int], ...]) -> bytes:
    """An RFC 4884 extension structure holding one RFC 4950 label stack object."""
    entries = b"".join(
        (label << 12 | (index == len(labels) - 1) << 8 | ttl).to_bytes(4)
        for index, (label, ttl) in enumerate(labels)
    )
    body = pack("!HBB", 4 + len(entries), 1, 1) + entries
    head = pack("!BBH", 0x20, 0, 0) + body
    return head[:2] + checksum(head).to_bytes(2) + body


def error4(
    packet: bytes,
    source: bytes,
    what: tuple[int, int],
    *,
    ttl: int,
    number: int,
    quote_bytes: int = 576,
    labels: tuple[tuple[int, int], ...] = (),
    mtu: int = 0,
) -> bytes:
    """An ICMP error about an IPv4 packet, to its sender (RFC 792, RFC 1812 4.3.2.3, RFC 4884).

    Args:
        packet: the packet as this router saw it.
        source: the router's address.
        what: ICMP type and code.
        ttl: the error starts with.
        number: its IP identification.
        quote_bytes: most the router quotes; the whole error never exceeds 576 bytes.
        labels: MPLS label stack to show, as (label, TTL) pairs.
        mtu: the next hop's, for "fragmentation needed" (RFC 1191).
    """
    kind, code = what
    quote = packet[: min(quote_bytes, 576 - 28)]
    length = 0
    tail = b""
    if labels:
        quote = packet[:_PADDED_QUOTE].ljust(_PADDED_QUOTE, b"\0")
        length = _PADDED_QUOTE // 4
        tail = mpls_extension(labels)
    body = pack("!BBHBBH", kind, code, 0, 0, length, mtu) + quote + tail
    body = body[:2] + checksum(body).to_bytes(2) + body[4:]
    return header4(source, packet[12:16], ttl, 1, len(body), number) + body


def error6(
    packet: bytes,
    source: bytes,
    what: tuple[int, int],
    *,
    hop_limit: int,
    labels: tuple[tuple[int, int], ...] = (),
    mtu: int = 0,
) -> bytes:
    """An ICMPv6 error about an IPv6 packet, to its sender (RFC 4443, RFC 4884)."""
    kind, code = what
    quote = packet[:_LARGEST_QUOTE6]
    word = mtu
    tail = b""
    if labels:
        quote = packet[:_PADDED_QUOTE].ljust(_PADDED_QUOTE, b"\0")
        word = _PADDED_QUOTE // 8 << 24
        tail = mpls_extension(labels)
    body = pack("!BBHI", kind, code, 0, word) + quote + tail
    pseudo = source + packet[8:24] + pack("!II", len(body), 58)
    body = body[:2] + checksum(pseudo + body).to_bytes(2) + body[4:]
    return header6(source, packet[8:24], hop_limit, 58, len(body)) + body


def reset4(packet: bytes) -> bytes:
    """A TCP RST that refuses an IPv4 SYN, from the address it was sent to, TTL 64 (RFC 9293 3.10.7.1)."""
    segment = packet[(packet[0] & 15) * 4 :]
    tcp = _reset_segment(segment)
    pseudo = packet[16:20] + packet[12:16] + pack("!HH", 6, len(tcp))
    tcp = tcp[:16] + checksum(pseudo + tcp).to_bytes(2) + tcp[18:]
    return header4(packet[16:20], packet[12:16], 64, 6, len(tcp), 0) + tcp


def reset6(packet: bytes) -> bytes:
    """A TCP RST that refuses an IPv6 SYN, from the address it was sent to, hop limit 64."""
    tcp = _reset_segment(packet[40:])
    pseudo = packet[24:40] + packet[8:24] + pack("!II", len(tcp), 6)
    tcp = tcp[:16] + checksum(pseudo + tcp).to_bytes(2) + tcp[18:]
    return header6(packet[24:40], packet[8:24], 64, 6, len(tcp)) + tcp


def _reset_segment(segment: bytes) -> bytes:
    acknowledge = (int.from_bytes(segment[4:8]) + 1) & 0xFFFFFFFF
    return segment[2:4] + segment[0:2] + pack("!IIBBHHH", 0, acknowledge, 0x50, 0x14, 0, 0, 0)


def fragments(packet: bytes, mtu: int) -> list[bytes]:
    """An IPv4 packet cut to fit a link (RFC 791): eight-byte steps, offsets and flags set."""
    size = (packet[0] & 15) * 4
    head, body = packet[:size], packet[size:]
    step = (mtu - size) // 8 * 8
    first = int.from_bytes(head[6:8])
    made: list[bytes] = []
    for start in range(0, len(body), step):
        piece = body[start : start + step]
        more = 0x2000 if start + step < len(body) else first & 0x2000
        flags = more | ((first & 0x1FFF) + start // 8)
        cut = bytearray(head)
        cut[2:4] = (size + len(piece)).to_bytes(2)
        cut[6:8] = flags.to_bytes(2)
        cut[10:12] = b"\0\0"
        cut[10:12] = checksum(bytes(cut)).to_bytes(2)
        made.append(bytes(cut) + piece)
    return made
