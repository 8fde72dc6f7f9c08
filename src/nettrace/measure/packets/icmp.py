"""ICMP (RFC 792) and ICMPv6 (RFC 4443) messages, built and parsed: echoes and errors about our datagrams."""

from struct import Struct

import msgspec

from nettrace.errors import BadChecksum, PacketError, Truncated
from nettrace.measure.packets.checksum import Bytes, checksum, holds, pseudo_sum
from nettrace.measure.packets.ip import ICMPV6
from nettrace.measure.packets.quoted import Quoted, parse_quoted
from nettrace.model.path import ReplyKind

ECHO_REPLY = 0
UNREACHABLE = 3
ECHO_REQUEST = 8
TIME_EXCEEDED = 11
FRAGMENTATION_NEEDED_CODE = 4

V6_UNREACHABLE = 1
V6_PACKET_TOO_BIG = 2
V6_TIME_EXCEEDED = 3
V6_ECHO_REQUEST = 128
V6_ECHO_REPLY = 129

_HEADER = Struct("!BBHHH")


class Echo(msgspec.Struct, frozen=True, gc=False):
    """An echo request or reply; `payload_at` is where in the buffer its payload begins."""

    request: bool
    identifier: int
    sequence: int
    checksum: int
    payload_at: int


class IcmpError(msgspec.Struct, frozen=True, gc=False):
    """An ICMP error with the datagram it quotes.

    Attributes:
        kind: `TIME_EXCEEDED`, `UNREACHABLE` or `PACKET_TOO_BIG` (IPv4's "fragmentation needed" is one).
        mtu_bytes: next hop's MTU, or None; routers older than RFC 1191 say 0, which is None here.
    """

    kind: ReplyKind
    code: int
    mtu_bytes: int | None
    quoted: Quoted


def build_echo(
    identifier: int, sequence: int, payload: Bytes, *, request: bool = True, addresses: bytes = b""
) -> bytes:
    """An echo message; `addresses` (source then destination, 32 bytes) makes it ICMPv6."""
    kinds = (V6_ECHO_REPLY, V6_ECHO_REQUEST) if addresses else (ECHO_REPLY, ECHO_REQUEST)
    return _sealed(_HEADER.pack(kinds[request], 0, 0, identifier, sequence) + bytes(payload), addresses)


def build_error(
    kind: ReplyKind,
    quote: Bytes,
    *,
    code: int = 0,
    mtu_bytes: int = 0,
    extensions: bytes = b"",
    legacy: bool = False,
    addresses: bytes = b"",
) -> bytes:
    """An ICMP error that quotes `quote`; `addresses` (source then destination, 32 bytes) makes it ICMPv6.

    With `extensions` the quote is padded to 128 bytes or cut there (RFC 4884); `legacy` leaves the length
    field zero, as routers did before it.
    """
    body = bytes(quote)
    words = 0
    if extensions:
        body = body[:128].ljust(128, b"\0")
        words = 0 if legacy else 128 // (8 if addresses else 4)
    if addresses:
        types = {
            ReplyKind.UNREACHABLE: V6_UNREACHABLE,
            ReplyKind.PACKET_TOO_BIG: V6_PACKET_TOO_BIG,
            ReplyKind.TIME_EXCEEDED: V6_TIME_EXCEEDED,
        }
        rest = mtu_bytes if kind is ReplyKind.PACKET_TOO_BIG else words << 24
    else:
        types = {
            ReplyKind.UNREACHABLE: UNREACHABLE,
            ReplyKind.PACKET_TOO_BIG: UNREACHABLE,
            ReplyKind.TIME_EXCEEDED: TIME_EXCEEDED,
        }
        rest = words << 16 | mtu_bytes
        code = FRAGMENTATION_NEEDED_CODE if kind is ReplyKind.PACKET_TOO_BIG else code
    message = _HEADER.pack(types[kind], code, 0, rest >> 16, rest & 0xFFFF) + body + extensions
    return _sealed(message, addresses)


def parse_icmp(
    data: Bytes, start: int = 0, end: int | None = None, *, verify: bool = True
) -> Echo | IcmpError:
    """The ICMP message between `start` and `end`. Other kinds than echoes and the three errors are PacketErrors."""
    end = _checked(data, start, end)
    if verify and not holds(data[start:end]):
        raise BadChecksum("the ICMP checksum is wrong")
    kind, code, check, high, low = _HEADER.unpack_from(data, start)
    if kind in {ECHO_REPLY, ECHO_REQUEST} and code == 0:
        return Echo(kind == ECHO_REQUEST, high, low, check, start + 8)
    quoted_words = high & 0xFF
    if kind == TIME_EXCEEDED:
        return IcmpError(
            ReplyKind.TIME_EXCEEDED, code, None, parse_quoted(data, start + 8, end, quoted_words)
        )
    if kind == UNREACHABLE and code == FRAGMENTATION_NEEDED_CODE:
        quoted = parse_quoted(data, start + 8, end, quoted_words)
        return IcmpError(ReplyKind.PACKET_TOO_BIG, code, low or None, quoted)
    if kind == UNREACHABLE:
        return IcmpError(ReplyKind.UNREACHABLE, code, None, parse_quoted(data, start + 8, end, quoted_words))
    raise PacketError(f"ICMP type {kind} code {code} tells a prober nothing")


def parse_icmpv6(
    data: Bytes, start: int = 0, end: int | None = None, *, addresses: bytes = b""
) -> Echo | IcmpError:
    """The ICMPv6 message between `start` and `end`; with `addresses` its checksum is verified too."""
    end = _checked(data, start, end)
    if addresses and not holds(data[start:end], _pseudo(addresses, end - start)):
        raise BadChecksum("the ICMPv6 checksum is wrong")
    kind, code, check, high, low = _HEADER.unpack_from(data, start)
    if kind in {V6_ECHO_REPLY, V6_ECHO_REQUEST} and code == 0:
        return Echo(kind == V6_ECHO_REQUEST, high, low, check, start + 8)
    if kind == V6_PACKET_TOO_BIG:
        quoted = parse_quoted(data, start + 8, end, 0)
        return IcmpError(ReplyKind.PACKET_TOO_BIG, code, (high << 16 | low) or None, quoted)
    if kind in {V6_TIME_EXCEEDED, V6_UNREACHABLE}:
        meaning = ReplyKind.TIME_EXCEEDED if kind == V6_TIME_EXCEEDED else ReplyKind.UNREACHABLE
        return IcmpError(meaning, code, None, parse_quoted(data, start + 8, end, high >> 8))
    raise PacketError(f"ICMPv6 type {kind} code {code} tells a prober nothing")


def _checked(data: Bytes, start: int, end: int | None) -> int:
    end = len(data) if end is None else min(end, len(data))
    if start < 0 or end - start < 8:
        raise Truncated(f"an ICMP message needs 8 bytes, {max(0, end - start)} are there")
    return end


def _sealed(message: bytes, addresses: bytes) -> bytes:
    made = checksum(message, _pseudo(addresses, len(message)) if addresses else 0)
    return message[:2] + made.to_bytes(2) + message[4:]


def _pseudo(addresses: bytes, size: int) -> int:
    return pseudo_sum(addresses[:16], addresses[16:], ICMPV6, size)
