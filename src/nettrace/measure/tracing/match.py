"""Which answers are ours: from raw received bytes to a verified answer to one probe, or nothing.

An answer counts only when it quotes or returns the tag of a probe that is under way *and* the destination,
protocol and ports (or ICMP identifier) that probe had. Tags are hidden by a secret (`packets.tag`), so a blind
forger needs 2**30 / n tries for a destination with n probes under way, an answer from an earlier generation of
the slot does not count, and whatever does not fit is not ours: nothing here raises, whatever bytes arrive.
"""

from collections.abc import Callable, Iterable
from struct import Struct

from nettrace.errors import PacketError
from nettrace.measure.packets.checksum import Bytes, holds, pseudo_sum
from nettrace.measure.packets.ip import ICMP, ICMPV6, TCP, UDP, parse_ipv6
from nettrace.measure.packets.probe import COOKIE_AT, Signature
from nettrace.measure.packets.quoted import LEGACY_QUOTE_BYTES, extensions_at, parse_extensions
from nettrace.measure.packets.tag import TAG_BITS, TagCipher
from nettrace.measure.packets.tcp import ACK, RST, SYN
from nettrace.measure.tracing.answer import Answer, QueuedError
from nettrace.measure.tracing.pending import Pending
from nettrace.model.path import Label, ReplyKind

__all__ = ["Answer", "Matcher", "Pending", "QueuedError"]

_ICMP4_ERRORS = {3: ReplyKind.UNREACHABLE, 11: ReplyKind.TIME_EXCEEDED}
_ICMP6_ERRORS = {
    1: ReplyKind.UNREACHABLE,
    2: ReplyKind.PACKET_TOO_BIG,
    3: ReplyKind.TIME_EXCEEDED,
}
_HEAD4 = Struct("!BxHxxHBBxx4sxxxx")
_ECHO = Struct("!xBxx2sHxxI")
"""Of an echo reply: code, identifier, sequence and, behind the balancing bytes, the tag."""
_ECHO_REPLY = ReplyKind.ECHO_REPLY
_QUOTE4 = Struct("!xBxxxBHBxxxHHBBxxxxxx4s")
_TRANSPORT = Struct("!4s2sH")
_PROTOCOLS4 = frozenset({ICMP, TCP, UDP})
_HALF = 0x7FFF
_TAG_END = COOKIE_AT + 4


class Matcher:
    """Finds the probe that received bytes answer.

    Args:
        cipher: the one the probes were written with.
        lookup: a live tag's signature, or None; usually `Pending.signature`.
    """

    __slots__ = ("_hide", "_lookup", "_reveal", "cipher", "lookup")

    def __init__(self, cipher: TagCipher, lookup: Callable[[int], Signature | None]) -> None:
        self.cipher = cipher
        self.lookup = lookup
        self._hide = cipher.hide
        self._reveal = cipher.reveal
        self._lookup = lookup

    def match(self, data: Bytes, start: int = 0, end: int | None = None) -> Answer | None:
        """The answer in a whole IP packet of either version, as a TUN device or packet socket gives it."""
        end = len(data) if end is None else end
        if end - start < 20 or end > len(data) or start < 0:
            return None
        if data[start] >> 4 == 4:
            return self.match_ipv4(data, start, end)
        try:
            header = parse_ipv6(data, start, end)
        except PacketError:
            return None
        at = start + header.header_bytes
        end = start + header.total_bytes
        if header.fragment_offset:
            return None
        if header.protocol == ICMPV6 and not holds(
            data[at:end], pseudo_sum(header.source, header.destination, ICMPV6, end - at)
        ):
            return None
        return self.match_ipv6(data, at, end, header.protocol, header.source, header.hop_limit)

    def match_ipv4(self, data: Bytes, start: int = 0, end: int | None = None) -> Answer | None:
        """The answer in an IPv4 packet with its header, as a raw socket gives it."""
        end = len(data) if end is None else end
        if end - start < 28 or end > len(data) or start < 0:
            return None
        first, total, fragment, ttl, protocol, source = _HEAD4.unpack_from(data, start)
        at = start + ((first & 15) << 2)
        if first >> 4 != 4 or at < start + 20 or end - at < 8 or total < at - start + 8 or fragment & 0x3FFF:
            return None
        whole = total <= end - start
        end = min(end, start + total)
        if protocol == ICMP:
            if whole and not holds(data[at:end]):
                return None
            if data[at] == 0:
                return self._echo_reply(data, at, end, source, ttl, ICMP)
            return self._icmp4(data, at, end, source, ttl)
        if protocol == TCP:
            return self._tcp(data, at, end, source, ttl)
        return self._udp(data, at, end, source, ttl) if protocol == UDP else None

    def match_ipv6(
        self, data: Bytes, at: int, end: int, protocol: int, source: bytes, hop_limit: int | None
    ) -> Answer | None:
        """The answer in an IPv6 packet's body, as a raw socket gives it.

        The kernel has taken the header off and, for ICMPv6, verified the checksum (RFC 3542).

        Args:
            data: the buffer.
            at: where the body begins.
            end: where it ends.
            protocol: of the socket: ICMPv6, TCP or UDP.
            source: packed address it came from.
            hop_limit: from the control message, or None.
        """
        if at < 0 or end > len(data) or end - at < 8 or len(source) != 16:
            return None
        match protocol:
            case 58:
                return self._icmp6(data, at, end, source, hop_limit)
            case 6:
                return self._tcp(data, at, end, source, hop_limit)
            case 17:
                return self._udp(data, at, end, source, hop_limit)
            case _:
                return None

    def match_body(self, data: Bytes, protocol: int, source: bytes, ttl: int | None) -> Answer | None:
        """The answer in what a datagram socket received: an ICMP echo reply, or UDP with its header put back.

        Args:
            data: the transport header and what follows.
            protocol: ICMP, ICMPv6 or UDP.
            source: packed address it came from.
            ttl: from the control message, or None.
        """
        if len(data) < 8:
            return None
        if protocol == UDP:
            return self._udp(data, 0, len(data), source, ttl)
        if data[0] != (0 if protocol == ICMP else 129):
            return None
        return self._echo_reply(data, 0, len(data), source, ttl, protocol)

    def match_error_queue(
        self,
        flow: Signature,
        error: QueuedError,
        under_way: Iterable[int],
    ) -> Answer | None:
        """The answer in an error that an unprivileged socket got from the kernel's error queue.

        The kernel has matched the quoted addresses and ports to the socket and gives what was quoted behind
        them. Where that holds the tag, the tag decides. Where a router quoted too little for it, the answer
        counts only if it can belong to exactly one of the probes under way on this socket.

        Args:
            flow: what the socket sends to.
            error: what the error queue said.
            under_way: tags under way on this very socket.
        """
        kind = _error_kind(4 if len(flow) == 12 else 6, error.icmp_type, error.icmp_code)
        if kind is None or error.destination not in (None, flow[8:]):
            return None
        protocol = flow[0]
        quoted = error.quoted
        header = 8 if protocol in {ICMP, ICMPV6} else 0
        if header and quoted[:2] != (b"\x08\0" if protocol == ICMP else b"\x80\0"):
            return None
        inferred = False
        if protocol != TCP and len(quoted) >= header + _TAG_END:
            wire = int.from_bytes(quoted[header + COOKIE_AT : header + _TAG_END])
            tag = self._reveal(wire) if wire >> TAG_BITS == 0 else None
        else:
            fits = [tag for tag in under_way if self._fits(tag, quoted, echo=header > 0)]
            tag = fits[0] if len(fits) == 1 else None
            inferred = protocol == UDP
        if tag is None or self._lookup(tag) != flow:
            return None
        return Answer(
            tag=tag,
            kind=kind,
            source=error.offender,
            code=error.icmp_code,
            reply_ttl=error.reply_ttl,
            mtu_bytes=(error.mtu_bytes or None) if kind is ReplyKind.PACKET_TOO_BIG else None,
            labels=_labels_at(quoted, error.extensions_at, len(quoted)),
            inferred=inferred,
        )

    def _fits(self, tag: int, quoted: Bytes, *, echo: bool) -> bool:
        if not echo or len(quoted) < 8:
            return True
        return self._hide(tag) & _HALF == quoted[6] << 8 | quoted[7]

    def _live(self, wire: int, protocol: int, destination: Bytes) -> tuple[int, Signature] | None:
        """The tag behind `wire` with its signature, when it is under way to `destination`."""
        if wire >> TAG_BITS:
            return None
        tag = self._reveal(wire)
        flow = self._lookup(tag)
        if flow is None or flow[0] != protocol or flow[8:] != destination:
            return None
        return tag, flow

    def _icmp4(self, data: Bytes, at: int, end: int, source: bytes, ttl: int) -> Answer | None:
        meaning = _error_kind(4, data[at], data[at + 1])
        quote_at = at + 8
        if meaning is None or end - quote_at < 28:
            return None
        code, words, mtu, first, identification, fragment, quoted_ttl, protocol, destination = (
            _QUOTE4.unpack_from(data, at)
        )
        transport_at = quote_at + ((first & 15) << 2)
        quote_end = min(end, quote_at + (words << 2)) if words else end
        if (
            first >> 4 != 4
            or first & 15 < 5
            or quote_end - transport_at < 8
            or fragment & 0x3FFF
            or protocol not in _PROTOCOLS4
        ):
            return None
        found = self._quote4(data, transport_at, quote_end, identification, protocol, destination)
        if found is None:
            return None
        extensions = None
        if words or end - quote_at > LEGACY_QUOTE_BYTES:
            extensions = extensions_at(data, quote_at, end, words, 4)
        return Answer(
            found[0],
            meaning,
            source,
            code,
            ttl,
            quoted_ttl,
            (mtu or None) if meaning is ReplyKind.PACKET_TOO_BIG else None,
            _labels_at(data, extensions, end),
            found[1],
        )

    def _quote4(
        self, data: Bytes, at: int, end: int, identification: int, protocol: int, destination: bytes
    ) -> tuple[int, bool] | None:
        """(tag, rewritten) of a quoted IPv4 probe whose transport header stands at `at`.

        The identification and the transport header hold the tag; a NAT that wrote there is seen through when
        the quote reaches the copy in the payload.
        """
        start, middle, last = _TRANSPORT.unpack_from(data, at)
        if protocol == TCP:
            found = self._live(int.from_bytes(middle) << 16 | last, TCP, destination)
            if found is None or found[1][4:8] != start:
                return None
            return found[0], self._hide(found[0]) >> 15 != identification - 1
        low = last - (protocol == UDP)
        found = None
        if identification and 0 <= low <= _HALF:
            found = self._live((identification - 1) << 15 | low, protocol, destination)
        seen_through = found is None
        if found is None and end - at >= 8 + _TAG_END:
            copy = data[at + 8 + COOKIE_AT : at + 8 + _TAG_END]
            found = self._live(int.from_bytes(copy), protocol, destination)
        if found is None:
            return None
        tag, flow = found
        if protocol == UDP:
            return (tag, seen_through) if flow[4:8] == start else None
        if start[0] != 8 or flow[6:8] != middle:
            return None
        return tag, seen_through or flow[4:6] != start[2:]

    def _icmp6(self, data: Bytes, at: int, end: int, source: bytes, ttl: int | None) -> Answer | None:
        kind = data[at]
        if kind == 129:
            return self._echo_reply(data, at, end, source, ttl, ICMPV6)
        meaning = _error_kind(6, kind, data[at + 1])
        quote_at = at + 8
        if meaning is None or end - quote_at < 48 or data[quote_at] >> 4 != 6:
            return None
        words = 0 if meaning is ReplyKind.PACKET_TOO_BIG else data[at + 4]
        quote_end = min(end, quote_at + (words << 3)) if words else end
        found = self._quote6(data, quote_at, quote_end)
        if found is None:
            return None
        tag, rewritten = found
        mtu = int.from_bytes(data[at + 4 : at + 8]) if meaning is ReplyKind.PACKET_TOO_BIG else 0
        return Answer(
            tag=tag,
            kind=meaning,
            source=source,
            code=data[at + 1],
            reply_ttl=ttl,
            quoted_ttl=data[quote_at + 7],
            mtu_bytes=mtu or None,
            labels=_labels_at(data, extensions_at(data, quote_at, end, words, 8), end),
            rewritten=rewritten,
        )

    def _quote6(self, data: Bytes, at: int, end: int) -> tuple[int, bool] | None:
        """(tag, rewritten) of a quoted IPv6 probe: the payload holds the tag, the checksum half of it again."""
        protocol = data[at + 6]
        transport_at = at + 40
        tag_at = transport_at + (4 if protocol == TCP else 8 + COOKIE_AT)
        if end < tag_at + 4:
            return None
        wire = int.from_bytes(data[tag_at : tag_at + 4])
        found = self._live(wire, protocol, data[at + 24 : at + 40])
        if found is None:
            return None
        tag, flow = found
        rewritten = flow[1:4] != bytes((data[at + 1] & 15, data[at + 2], data[at + 3]))
        if protocol in {TCP, UDP}:
            if flow[4:8] != data[transport_at : transport_at + 4]:
                return None
            check = data[transport_at + 6] << 8 | data[transport_at + 7]
            return tag, rewritten or (protocol == UDP and check != (wire & _HALF) + 1)
        if data[transport_at] != 128 or flow[6:8] != data[transport_at + 4 : transport_at + 6]:
            return None
        return tag, rewritten or flow[4:6] != data[transport_at + 2 : transport_at + 4]

    def _echo_reply(
        self, data: Bytes, at: int, end: int, source: bytes, ttl: int | None, protocol: int
    ) -> Answer | None:
        """Echo replies return the payload; who sends them may differ from who was asked (anycast, multihoming)."""
        if end - at < _ECHO.size:
            return None
        code, identifier, sequence, wire = _ECHO.unpack_from(data, at)
        if code or wire & _HALF != sequence or wire >> TAG_BITS:
            return None
        tag = self._reveal(wire)
        flow = self._lookup(tag)
        if flow is None or flow[0] != protocol or flow[6:8] != identifier:
            return None
        return Answer(tag, _ECHO_REPLY, source, 0, ttl)

    def _tcp(self, data: Bytes, at: int, end: int, source: bytes, ttl: int | None) -> Answer | None:
        """A SYN-ACK or RST acknowledges the SYN's sequence number, which is the tag, from the very port asked."""
        flags = data[at + 13] if end - at >= 20 else 0
        if flags & ACK == 0 or flags & (SYN | RST) in {0, SYN | RST}:
            return None
        found = self._live(int.from_bytes(data[at + 8 : at + 12]) - 1, TCP, source)
        if found is None:
            return None
        tag, flow = found
        if flow[4:6] != data[at + 2 : at + 4] or flow[6:8] != data[at : at + 2]:
            return None
        kind = ReplyKind.SYN_ACK if flags & SYN else ReplyKind.RESET
        return Answer(tag=tag, kind=kind, source=source, reply_ttl=ttl)

    def _udp(self, data: Bytes, at: int, end: int, source: bytes, ttl: int | None) -> Answer | None:
        """Only a service that returns our payload proves that it answers us: ports alone can be guessed."""
        if end - at < 8 + _TAG_END:
            return None
        wire = int.from_bytes(data[at + 8 + COOKIE_AT : at + 8 + _TAG_END])
        if wire >> TAG_BITS:
            return None
        tag = self._reveal(wire)
        flow = self._lookup(tag)
        if flow is None or flow[0] != UDP or len(flow) != len(source) + 8:
            return None
        if flow[4:6] != data[at + 2 : at + 4] or flow[6:8] != data[at : at + 2]:
            return None
        return Answer(tag=tag, kind=ReplyKind.UDP_ANSWER, source=source, reply_ttl=ttl)


def _error_kind(version: int, kind: int, code: int) -> ReplyKind | None:
    """What an ICMP error means for a probe; reassembly timeouts, redirects and their like mean nothing."""
    if version == 6:
        meaning = _ICMP6_ERRORS.get(kind)
    elif kind == 3 and code == 4:
        return ReplyKind.PACKET_TOO_BIG
    else:
        meaning = _ICMP4_ERRORS.get(kind)
    return None if meaning is ReplyKind.TIME_EXCEEDED and code else meaning


def _labels_at(data: Bytes, at: int | None, end: int) -> tuple[Label, ...]:
    if at is None or not 0 <= at < end:
        return ()
    try:
        return parse_extensions(data, at, end)[0]
    except PacketError:
        return ()
