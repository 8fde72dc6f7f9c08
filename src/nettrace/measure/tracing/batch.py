"""Matching a whole receive batch at once: the usual answers with few steps each, all others one by one."""

from collections.abc import Sequence
from functools import cache
from struct import Struct

from nettrace.measure.packets.checksum import Bytes
from nettrace.measure.packets.ip import ICMP, UDP
from nettrace.measure.packets.quoted import LEGACY_QUOTE_BYTES
from nettrace.measure.packets.tag import TAG_BITS
from nettrace.measure.tracing.answer import Answer
from nettrace.measure.tracing.match import Matcher
from nettrace.model.path import ReplyKind

_ECHO = "BxHxxHBBxx4sxxxxHxx2sHxxI"
"""Outer header without options, ICMP type and code, identifier, sequence and, behind the balancing bytes, the tag."""
_ECHO_BYTES = 34
# Behind the outer header: ICMP error, quoted header without options, eight bytes of quoted transport.
_ERROR = Struct("!BBxxxBxxBxxxHHBBxxxxxx4s" + "4sxxH")
_LONGEST = 28 + LEGACY_QUOTE_BYTES
_ONES = 0xFFFF
_HALF = 0x7FFF
_ECHO_REPLY, _TIME_EXCEEDED, _UNREACHABLE = (
    ReplyKind.ECHO_REPLY,
    ReplyKind.TIME_EXCEEDED,
    ReplyKind.UNREACHABLE,
)


def match_ipv4_batch(
    matcher: Matcher, buffer: Bytes, stride: int, packet_at: int, sizes: Sequence[int]
) -> list[Answer | None]:
    """What `Matcher.match_ipv4` says of each packet, in their order.

    Args:
        matcher: knows the probes under way.
        buffer: slots of `stride` bytes, at least one for each packet.
        stride: bytes between the starts of two packets.
        packet_at: where in its slot each packet begins.
        sizes: of the packets as they came; one that is longer than the rest of its slot was cut there.
    """
    found: list[Answer | None] = []
    reveal, lookup, from_bytes = matcher.cipher.reveal, matcher.lookup, int.from_bytes
    at, most = packet_at, stride - packet_at
    columns = _columns(packet_at, stride).iter_unpack(memoryview(buffer)[: len(sizes) * stride])
    for size, packet in zip(sizes, columns, strict=True):
        first, total, fragment, ttl, protocol, source, kind, identifier, sequence, wire = packet
        answer = None
        if (
            first != 0x45
            or protocol != ICMP
            or fragment & 0x3FFF
            or total != size
            or total & 1
            or size > most
        ):
            answer = matcher.match_ipv4(buffer, at, at + min(size, most))
        elif kind or total < _ECHO_BYTES:
            answer = _usual_error(matcher, buffer, at, total) or matcher.match_ipv4(buffer, at, at + size)
        elif wire & _HALF == sequence and not wire >> TAG_BITS:
            number = from_bytes(buffer[at + 20 : at + total])
            if number and not number % _ONES:
                tag = reveal(wire)
                flow = lookup(tag)
                if flow is not None and flow[0] == ICMP and flow[6:8] == identifier:
                    answer = Answer(tag, _ECHO_REPLY, source, 0, ttl)
        found.append(answer)
        at += stride
    return found


def _usual_error(matcher: Matcher, buffer: Bytes, at: int, total: int) -> Answer | None:
    """The answer in an ICMP error about a UDP probe without options and extensions; None for all others."""
    if not 20 + _ERROR.size <= total <= _LONGEST:
        return None
    kind, code, words, inner, identification, fragment, quoted_ttl, protocol, destination, ports, check = (
        _ERROR.unpack_from(buffer, at + 20)
    )
    if (
        inner != 0x45
        or protocol != UDP
        or words
        or fragment & 0x3FFF
        or not ((kind == 11 and code == 0) or (kind == 3 and code != 4))
        or not 0 < identification <= _HALF + 1
        or not 0 < check <= _HALF + 1
    ):
        return None
    tag = matcher.cipher.reveal((identification - 1) << 15 | check - 1)
    flow = matcher.lookup(tag)
    if flow is None or flow[0] != UDP or flow[8:] != destination or flow[4:8] != ports:
        return None
    if int.from_bytes(buffer[at + 20 : at + total]) % _ONES:
        return None
    meaning = _TIME_EXCEEDED if kind == 11 else _UNREACHABLE
    return Answer(tag, meaning, bytes(buffer[at + 12 : at + 16]), code, buffer[at + 8], quoted_ttl)


@cache
def _columns(packet_at: int, stride: int) -> Struct:
    """Reads `_ECHO` of slots of `stride` bytes."""
    return Struct(f"!{packet_at}x{_ECHO}{stride - packet_at - _ECHO_BYTES}x")
