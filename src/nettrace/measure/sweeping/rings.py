"""The two packet rings of an IPv4 sweep and the programs that pick its packets (net/core/filter.c, classic BPF)."""

from collections.abc import Sequence
from typing import NamedTuple

from nettrace.measure.kernel.frame_ring import ALL_PROTOCOLS, IPV4_ONLY, FrameRing
from nettrace.measure.packets.note import NOTE
from nettrace.measure.sweeping.packets import PROTOCOL, Layout
from nettrace.model.measurement import Method

_WORD, _HALF, _BYTE, _HALF_BEHIND, _BYTE_BEHIND = 0x20, 0x28, 0x30, 0x48, 0x50
_HEADER_LENGTH, _TO_INDEX, _ADD_INDEX = 0xB1, 0x07, 0x0C
_AND, _SHIFT_RIGHT, _EQUAL, _ANY_SET, _KEEP = 0x54, 0x74, 0x15, 0x45, 0x06
_LENGTH, _ABOVE, _WHOLE = 0x80, 0x25, 0x40000
_DIRECTION = 0xFFFFF004
"""SKF_AD_PKTTYPE: where the packet came from or goes to."""
_TO_US, _FROM_US = 0, 4
_ICMP, _FRAGMENT_OFFSET, _PLAIN_HEADER = 1, 0x1FFF, 0x45

HEADERS = 28
"""Of a departure: IP and transport header."""
LONGEST_REPLY = 20 + 8 + 128 + 4
"""A longer message may have extensions, also such that no length field announces (RFC 4884): a socket has room for them."""
_DEPARTURES, _REPLIES = 2048, 6144
"""What one turn of the loop sends at most, and at 20,000 packets/s the replies of 300 ms: 0.2 and 1.5 MB."""

Step = tuple[int, int, int, int]


class Rings(NamedTuple):
    """The rings of a sweep."""

    departures: FrameRing
    replies: FrameRing

    def close(self) -> None:
        """Gives both back."""
        self.departures.close()
        self.replies.close()


def open_rings(method: Method, layout: Layout, kinds: Sequence[int]) -> Rings | None:
    """Both rings, or None where this user or this kernel has none."""
    try:
        departures = FrameRing(ALL_PROTOCOLS, departing(method, layout), HEADERS, _DEPARTURES)
    except OSError:
        return None
    try:
        return Rings(departures, FrameRing(IPV4_ONLY, arriving(kinds), LONGEST_REPLY, _REPLIES))
    except OSError:
        departures.close()
        return None


def departing(method: Method, layout: Layout) -> list[Step]:
    """Keeps the headers of packets that leave and look like probes of this layout."""
    return _all_of(
        [
            ((_WORD, 0, 0, _DIRECTION), _FROM_US),
            ((_BYTE, 0, 0, 0), _PLAIN_HEADER),
            ((_HALF, 0, 0, 2), layout.size),
            ((_BYTE, 0, 0, 9), PROTOCOL[method, 4]),
            ((_WORD, 0, 0, layout.note), int.from_bytes(NOTE[:4])),
        ],
        HEADERS,
    )


def arriving(kinds: Sequence[int]) -> list[Step]:
    """Keeps ICMP messages of these types for this host that are not longer than `LONGEST_REPLY`; no later fragments.

    A plain header's checksum is verified, as the IP stack would have done before a socket hears the message;
    that of one with options is not: whoever parses it must.
    """
    total: list[Step] = [(_HALF, 0, 0, 0)]
    for at in range(2, 20, 2):
        total += [(_TO_INDEX, 0, 0, 0), (_HALF, 0, 0, at), (_ADD_INDEX, 0, 0, 0)]
    # The carries are more than 16 bits: what is above them and what is below must sum to 0xFFFF.
    total += [(_TO_INDEX, 0, 0, 0), (_SHIFT_RIGHT, 0, 0, 16), (_ADD_INDEX, 0, 0, 0), (_AND, 0, 0, 0xFFFF)]
    by_type: list[Step] = [(_HEADER_LENGTH, 0, 0, 0), (_BYTE_BEHIND, 0, 0, 0)]
    by_type += [(_EQUAL, len(kinds) - index, 0, kind) for index, kind in enumerate(kinds)]
    by_type += [(_KEEP, 0, 0, 0), (_KEEP, 0, 0, LONGEST_REPLY)]
    checked: list[Step] = [
        (_BYTE, 0, 0, 0),
        (_EQUAL, 0, len(total) + 2, _PLAIN_HEADER),
        *total,
        (_EQUAL, 1, 0, 0xFFFF),
        (_KEEP, 0, 0, 0),
        *by_type,
    ]
    ours: list[Step] = [
        (_LENGTH, 0, 0, 0),
        (_ABOVE, 0, 1, LONGEST_REPLY),
        (_KEEP, 0, 0, 0),
        (_WORD, 0, 0, _DIRECTION),
        (_EQUAL, 1, 0, _TO_US),
        (_KEEP, 0, 0, 0),
        (_BYTE, 0, 0, 9),
        (_EQUAL, 1, 0, _ICMP),
        (_KEEP, 0, 0, 0),
        (_HALF, 0, 0, 6),
        (_ANY_SET, 0, 1, _FRAGMENT_OFFSET),
        (_KEEP, 0, 0, 0),
    ]
    return ours + checked


LONGER: Sequence[Step] = (
    (_LENGTH, 0, 0, 0),
    (_ABOVE, 0, 1, LONGEST_REPLY),
    (_KEEP, 0, 0, _WHOLE),
    (_KEEP, 0, 0, 0),
)
"""For the socket beside the ring: keeps what is too long for it."""
EVERYTHING: Sequence[Step] = ((_KEEP, 0, 0, _WHOLE),)
"""For the socket instead of the ring."""


def _all_of(tests: Sequence[tuple[Step, int]], kept: int) -> list[Step]:
    """A program that keeps so much of a packet for which each load gives its value."""
    program: list[Step] = []
    for left, (load, value) in zip(range(len(tests) - 1, -1, -1), tests, strict=True):
        program += [load, (_EQUAL, 0, 2 * left + 1, value)]
    return [*program, (_KEEP, 0, 0, kept), (_KEEP, 0, 0, 0)]
