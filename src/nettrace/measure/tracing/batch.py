"""Matching a whole receive ring at once: what sweeps spend their time on, with nothing made for a foreign packet."""

from collections.abc import Sequence
from struct import Struct

from nettrace.measure.packets.checksum import Bytes
from nettrace.measure.packets.ip import ICMP, UDP
from nettrace.measure.packets.quoted import LEGACY_QUOTE_BYTES
from nettrace.measure.tracing.answer import Answer
from nettrace.measure.tracing.match import Matcher
from nettrace.model.path import ReplyKind

# Outer header without options, ICMP error, quoted header without options, eight bytes of quoted transport.
_USUAL = Struct("!BxHxxHBBxx4sxxxx" + "BBxxxBxxBxxxHHBBxxxxxx4s" + "4sxxH")
_LONGEST = 28 + LEGACY_QUOTE_BYTES
_ONES = 0xFFFF
_HALF = 0x7FFF


def match_ipv4_batch(
    matcher: Matcher, buffer: Bytes, stride: int, lengths: Sequence[int], count: int
) -> list[tuple[int, Answer]]:
    """(slot number, answer) of every genuine answer among `count` received packets.

    The usual packet, an ICMP error about a UDP probe without options and extensions, takes one unpacking;
    whatever is unusual goes through `Matcher.match_ipv4`, which says the same of the usual ones.

    Args:
        matcher: knows the probes under way.
        buffer: the receive ring.
        stride: bytes between the starts of two packets in it.
        lengths: bytes received, a packet each.
        count: how many packets were received.
    """
    found: list[tuple[int, Answer]] = []
    unpack = _USUAL.unpack_from
    size = _USUAL.size
    reveal = matcher.cipher.reveal
    lookup = matcher.lookup
    general = matcher.match_ipv4
    time_exceeded, unreachable = ReplyKind.TIME_EXCEEDED, ReplyKind.UNREACHABLE
    for number in range(count):
        at = number * stride
        length = lengths[number]
        if length >= size:
            # fmt: off
            (first, total, fragment, ttl, protocol, source, kind, code, words, inner, identification, inner_fragment,
             quoted_ttl, inner_protocol, destination, ports, check) = unpack(buffer, at)
            # fmt: on
            if (
                first == inner == 0x45
                and protocol == ICMP
                and inner_protocol == UDP
                and total == length <= _LONGEST
                and not words
                and not (fragment | inner_fragment) & 0x3FFF
                and ((kind == 11 and code == 0) or (kind == 3 and code != 4))
                and 0 < identification <= _HALF + 1
                and 0 < check <= _HALF + 1
            ):
                tag = reveal((identification - 1) << 15 | check - 1)
                flow = lookup(tag)
                if (
                    flow is not None
                    and flow[0] == UDP
                    and flow[8:] == destination
                    and flow[4:8] == ports
                    and int.from_bytes(buffer[at + 20 : at + length]) % _ONES == 0
                ):
                    meaning = time_exceeded if kind == 11 else unreachable
                    found.append((number, Answer(tag, meaning, source, code, ttl, quoted_ttl)))
                    continue
        answer = general(buffer, at, at + length)
        if answer is not None:
            found.append((number, answer))
    return found
