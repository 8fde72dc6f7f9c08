"""What an answer says about its probe: it arrived, it passed a router, it was too big, it was refused."""

from enum import IntEnum

from nettrace.model.measurement import Method
from nettrace.model.path import Reply, ReplyKind


class Meaning(IntEnum):
    """What became of the probe; a lower one outweighs a higher one."""

    REACHED = 0
    PASSED = 1
    TOO_BIG = 2
    REFUSED = 3


_PORT_UNREACHABLE = {4: 3, 6: 4}
_ANNOTATIONS = {
    # ICMP type 3 (RFC 792, 1122, 1812), in the letters of traceroute(8).
    4: {0: "!N", 1: "!H", 2: "!P", 3: None, 4: "!F", 5: "!S", 6: "!U", 7: "!W", 9: "!X", 10: "!X", 11: "!T",
        12: "!T", 13: "!X", 14: "!V", 15: "!C"},
    # ICMPv6 type 1 (RFC 4443).
    6: {0: "!N", 1: "!X", 2: "!S", 3: "!H", 4: None, 5: "!X", 6: "!X"},
}  # fmt: skip
_ARRIVED = frozenset(
    (ReplyKind.ECHO_REPLY, ReplyKind.SYN_ACK, ReplyKind.RESET, ReplyKind.UDP_ANSWER),
)
_TIME_EXCEEDED, _REACHED, _PASSED = ReplyKind.TIME_EXCEEDED, Meaning.REACHED, Meaning.PASSED
"""Looking a member up in its enumeration costs more than all the rest of `meaning`."""


def meaning(reply: Reply, address: str, method: Method) -> Meaning:
    """What the reply says about a probe sent to `address`.

    Arrived: an echo reply, SYN-ACK, RST or UDP answer from whoever sends it; a UDP port unreachable likewise
    (hosts with several addresses answer from another one); any unreachable from the address itself.
    """
    kind = reply.kind
    if kind is _TIME_EXCEEDED:
        return _PASSED
    if kind in _ARRIVED:
        return _REACHED
    if kind is ReplyKind.PACKET_TOO_BIG:
        return Meaning.TOO_BIG
    if reply.source == address:
        return Meaning.REACHED
    if method is Method.UDP and reply.code == _PORT_UNREACHABLE[family(address)]:
        return Meaning.REACHED
    return Meaning.REFUSED


def annotation(reply: Reply) -> str | None:
    """The refusal in the letters of traceroute: `!N`, `!H`, `!X`, `!F-1400`, `!<7>`; None when there is none."""
    if reply.kind is ReplyKind.PACKET_TOO_BIG:
        return f"!F-{reply.mtu_bytes}" if reply.mtu_bytes else "!F"
    if reply.kind is not ReplyKind.UNREACHABLE:
        return None
    return _ANNOTATIONS[family(reply.source)].get(reply.code, f"!<{reply.code}>")


def family(address: str) -> int:
    """4 or 6."""
    return 6 if ":" in address else 4
