"""IPv4 and IPv6 headers, built and parsed; addresses stay packed bytes until a person reads them."""

from ipaddress import IPv6Address
from struct import Struct

import msgspec

from nettrace.errors import BadChecksum, Invalid, PacketError, Truncated
from nettrace.measure.packets.checksum import Bytes, checksum, holds

ICMP = 1
TCP = 6
UDP = 17
ICMPV6 = 58

HOP_BY_HOP = 0
ROUTING = 43
FRAGMENT = 44
ESP = 50
AUTHENTICATION = 51
NO_NEXT_HEADER = 59
DESTINATION_OPTIONS = 60

_EXTENSIONS = frozenset({HOP_BY_HOP, ROUTING, FRAGMENT, AUTHENTICATION, DESTINATION_OPTIONS})
_V4 = Struct("!BBHHHBBH4s4s")
_V6 = Struct("!IHBB16s16s")
_MOST_EXTENSIONS = 16


class Ipv4(msgspec.Struct, frozen=True, gc=False):
    """An IPv4 header (RFC 791).

    Attributes:
        header_bytes: options included.
        total_bytes: what the header announces, header included.
        fragment_offset: in bytes.
        options: raw, padding included.
    """

    source: bytes
    destination: bytes
    protocol: int
    ttl: int
    identification: int
    header_bytes: int
    total_bytes: int
    traffic_class: int
    dont_fragment: bool
    more_fragments: bool
    fragment_offset: int
    options: bytes


class Ipv6(msgspec.Struct, frozen=True, gc=False):
    """An IPv6 header (RFC 8200) with the extension headers behind it.

    Attributes:
        header_bytes: 40 and all extension headers.
        total_bytes: what the header announces, its 40 bytes included.
        protocol: what follows the extension headers.
        fragment_offset: in bytes; above 0 no transport header follows.
        extensions: (type, whole header) in order.
    """

    source: bytes
    destination: bytes
    protocol: int
    hop_limit: int
    flow_label: int
    header_bytes: int
    total_bytes: int
    traffic_class: int
    fragment_offset: int
    extensions: tuple[tuple[int, bytes], ...]


def packed(address: str) -> bytes:
    """An address as 4 or 16 bytes. Raises Invalid on text that is not one (a zone such as `%eth0` is dropped).

    >>> packed("198.18.0.1").hex()
    'c6120001'
    """
    try:
        if ":" in address:
            return IPv6Address(address.partition("%")[0]).packed
        numbers = [int(part) for part in address.split(".")]
        if len(numbers) != 4 or ".".join(map(str, numbers)) != address:
            raise Invalid(f"'{address}' is not an IP address")
        return bytes(numbers)
    except ValueError as problem:
        raise Invalid(f"'{address}' is not an IP address") from problem


def text(address: Bytes) -> str:
    """A packed address as people write it.

    >>> text(packed("2001:db8:0:0::1"))
    '2001:db8::1'
    """
    if len(address) == 4:
        return f"{address[0]}.{address[1]}.{address[2]}.{address[3]}"
    if len(address) == 16:
        return str(IPv6Address(bytes(address)))
    raise PacketError(f"an address has 4 or 16 bytes, not {len(address)}")


def build_ipv4(  # noqa: PLR0913 - a header has that many fields
    source: bytes,
    destination: bytes,
    protocol: int,
    payload: Bytes,
    *,
    ttl: int = 64,
    identification: int = 0,
    dont_fragment: bool = False,
    traffic_class: int = 0,
    options: bytes = b"",
) -> bytes:
    """An IPv4 packet with its header checksum. Options are padded to 32-bit words."""
    options += bytes(-len(options) % 4)
    header_bytes = 20 + len(options)
    total_bytes = header_bytes + len(payload)
    if header_bytes > 60 or total_bytes > 0xFFFF:
        raise Invalid(f"an IPv4 packet of {header_bytes} + {len(payload)} bytes does not exist")
    header = bytearray(
        _V4.pack(
            0x40 | header_bytes >> 2,
            traffic_class,
            total_bytes,
            identification,
            0x4000 if dont_fragment else 0,
            ttl,
            protocol,
            0,
            source,
            destination,
        )
        + options
    )
    header[10:12] = checksum(header).to_bytes(2)
    return bytes(header) + bytes(payload)


def parse_ipv4(
    data: Bytes, start: int = 0, end: int | None = None, *, quoted: bool = False, verify: bool = False
) -> Ipv4:
    """The IPv4 header at `start`.

    Args:
        data: a buffer that holds the packet between `start` and `end`.
        start: where the packet begins.
        end: where the buffer's filled part ends; None is its end.
        quoted: the packet is quoted by an ICMP error, so it may be cut anywhere behind its header.
        verify: also check the header checksum (quotes often carry a stale one).
    """
    end = len(data) if end is None else min(end, len(data))
    if start < 0 or end - start < 20:
        raise Truncated(f"an IPv4 header needs 20 bytes, {max(0, end - start)} are there")
    first, tos, total, ident, fragment, ttl, protocol, _, source, destination = _V4.unpack_from(data, start)
    header_bytes = (first & 15) << 2
    if first >> 4 != 4 or header_bytes < 20:
        raise PacketError(f"0x{first:02x} does not begin an IPv4 header")
    if end - start < header_bytes:
        raise Truncated(f"the IPv4 header announces {header_bytes} bytes, {end - start} are there")
    if not quoted and total < header_bytes:
        raise PacketError(f"the IPv4 header is longer ({header_bytes}) than its packet ({total})")
    if not quoted and end - start < total:
        raise Truncated(f"the IPv4 header announces {total} bytes, {end - start} are there")
    if verify and not holds(data[start : start + header_bytes]):
        raise BadChecksum("the IPv4 header checksum is wrong")
    return Ipv4(
        source=source,
        destination=destination,
        protocol=protocol,
        ttl=ttl,
        identification=ident,
        header_bytes=header_bytes,
        total_bytes=total,
        traffic_class=tos,
        dont_fragment=fragment & 0x4000 != 0,
        more_fragments=fragment & 0x2000 != 0,
        fragment_offset=(fragment & 0x1FFF) << 3,
        options=bytes(data[start + 20 : start + header_bytes]),
    )


def build_ipv6(
    source: bytes,
    destination: bytes,
    protocol: int,
    payload: Bytes,
    *,
    hop_limit: int = 64,
    flow_label: int = 0,
    traffic_class: int = 0,
    extensions: tuple[tuple[int, bytes], ...] = (),
) -> bytes:
    """An IPv6 packet; `extensions` are (type, whole header) whose first byte is filled in here."""
    kinds = [kind for kind, _ in extensions] + [protocol]
    chain = b"".join(
        bytes((following,)) + body[1:] for (_, body), following in zip(extensions, kinds[1:], strict=True)
    )
    length = len(chain) + len(payload)
    if length > 0xFFFF:
        raise Invalid(f"an IPv6 payload of {length} bytes does not exist")
    first = 6 << 28 | traffic_class << 20 | flow_label & 0xFFFFF
    return _V6.pack(first, length, kinds[0], hop_limit, source, destination) + chain + bytes(payload)


def parse_ipv6(data: Bytes, start: int = 0, end: int | None = None, *, quoted: bool = False) -> Ipv6:
    """The IPv6 header at `start` with its extension headers; arguments as for `parse_ipv4`."""
    stop = len(data) if end is None else min(end, len(data))
    if start < 0 or stop - start < 40:
        raise Truncated(f"an IPv6 header needs 40 bytes, {max(0, stop - start)} are there")
    first, length, protocol, hop_limit, source, destination = _V6.unpack_from(data, start)
    if first >> 28 != 6:
        raise PacketError(f"version {first >> 28} is not IPv6")
    if not quoted:
        if stop - start < 40 + length:
            raise Truncated(f"the IPv6 header announces {40 + length} bytes, {stop - start} are there")
        stop = start + 40 + length
    protocol, at, fragment_offset, extensions = _extension_chain(data, protocol, start + 40, stop)
    return Ipv6(
        source=source,
        destination=destination,
        protocol=protocol,
        hop_limit=hop_limit,
        flow_label=first & 0xFFFFF,
        header_bytes=at - start,
        total_bytes=40 + length,
        traffic_class=first >> 20 & 0xFF,
        fragment_offset=fragment_offset,
        extensions=extensions,
    )


def _extension_chain(
    data: Bytes, protocol: int, at: int, end: int
) -> tuple[int, int, int, tuple[tuple[int, bytes], ...]]:
    extensions: list[tuple[int, bytes]] = []
    fragment_offset = 0
    while protocol in _EXTENSIONS and fragment_offset == 0:
        if len(extensions) == _MOST_EXTENSIONS:
            raise PacketError(f"more than {_MOST_EXTENSIONS} IPv6 extension headers")
        if end - at < 8:
            raise Truncated("the IPv6 extension headers end in the middle")
        if protocol == FRAGMENT:
            size = 8
            fragment_offset = int.from_bytes(data[at + 2 : at + 4]) & 0xFFF8
        elif protocol == AUTHENTICATION:
            size = (data[at + 1] + 2) << 2
        else:
            size = (data[at + 1] + 1) << 3
        if end - at < size:
            raise Truncated("the IPv6 extension headers end in the middle")
        extensions.append((protocol, bytes(data[at : at + size])))
        protocol = data[at]
        at += size
    return protocol, at, fragment_offset, tuple(extensions)
