"""TCP segments as far as a prober needs them (RFC 9293): a SYN out, a SYN-ACK or RST back."""

from struct import Struct

import msgspec

from nettrace.errors import BadChecksum, Invalid, PacketError, Truncated
from nettrace.measure.packets.checksum import Bytes, checksum, pseudo_sum, word_sum
from nettrace.measure.packets.ip import TCP

FIN = 0x01
SYN = 0x02
RST = 0x04
PSH = 0x08
ACK = 0x10

_TCP = Struct("!HHIIBBHHH")

END_OPTION = 0
NO_OPERATION = 1
MAXIMUM_SEGMENT = 2
WINDOW_SCALE = 3
SACK_PERMITTED = 4
TIMESTAMPS = 8


class TcpHeader(msgspec.Struct, frozen=True, gc=False):
    """A TCP header; `options` are (kind, data) in order, padding left out."""

    source_port: int
    destination_port: int
    sequence: int
    acknowledgment: int
    flags: int
    window: int
    checksum: int
    header_bytes: int
    options: tuple[tuple[int, bytes], ...]

    @property
    def is_syn_ack(self) -> bool:
        """A server accepts: SYN and ACK, no RST."""
        return self.flags & (SYN | ACK | RST) == SYN | ACK

    @property
    def is_reset(self) -> bool:
        """The port is closed, or something on the way says so."""
        return self.flags & RST != 0


def syn_options(maximum_segment: int) -> bytes:
    """The options of a probe's SYN: MSS, SACK permitted, window scale 7; 12 bytes, as common stacks send them."""
    return Struct("!BBHBBBBBBBB").pack(
        MAXIMUM_SEGMENT,
        4,
        maximum_segment,
        NO_OPERATION,
        NO_OPERATION,
        SACK_PERMITTED,
        2,
        NO_OPERATION,
        WINDOW_SCALE,
        3,
        7,
    )


def build_tcp(  # noqa: PLR0913 - a header has that many fields
    source: bytes,
    destination: bytes,
    source_port: int,
    destination_port: int,
    *,
    sequence: int,
    acknowledgment: int = 0,
    flags: int = SYN,
    window: int = 64_240,
    options: bytes = b"",
    payload: Bytes = b"",
) -> bytes:
    """A segment with its checksum over the pseudo header of the two packed addresses."""
    options += bytes(-len(options) % 4)
    if len(options) > 40:
        raise Invalid(f"a TCP header has room for 40 bytes of options, not {len(options)}")
    size = 20 + len(options) + len(payload)
    segment = (
        _TCP.pack(
            source_port,
            destination_port,
            sequence,
            acknowledgment,
            (20 + len(options)) << 2,
            flags,
            window,
            0,
            0,
        )
        + options
        + bytes(payload)
    )
    made = checksum(segment, pseudo_sum(source, destination, TCP, size))
    return segment[:16] + made.to_bytes(2) + segment[18:]


def parse_tcp(data: Bytes, start: int = 0, end: int | None = None) -> TcpHeader:
    """The TCP header at `start`, which must be there in full with its options."""
    end = len(data) if end is None else min(end, len(data))
    if start < 0 or end - start < 20:
        raise Truncated(f"a TCP header needs 20 bytes, {max(0, end - start)} are there")
    source_port, destination_port, sequence, acknowledgment, offset, flags, window, check, _ = (
        _TCP.unpack_from(data, start)
    )
    header_bytes = offset >> 4 << 2
    if header_bytes < 20:
        raise PacketError(f"a TCP header cannot have {header_bytes} bytes")
    if end - start < header_bytes:
        raise Truncated(f"the TCP header announces {header_bytes} bytes, {end - start} are there")
    options = _options(bytes(data[start + 20 : start + header_bytes]))
    return TcpHeader(
        source_port,
        destination_port,
        sequence,
        acknowledgment,
        flags,
        window,
        check,
        header_bytes,
        options,
    )


def verify_tcp(source: bytes, destination: bytes, segment: Bytes) -> None:
    """Raises BadChecksum unless the segment's checksum is right."""
    if (pseudo_sum(source, destination, TCP, len(segment)) + word_sum(segment)) % 0xFFFF:
        raise BadChecksum("the TCP checksum is wrong")


def _options(raw: bytes) -> tuple[tuple[int, bytes], ...]:
    found: list[tuple[int, bytes]] = []
    at = 0
    while at < len(raw) and raw[at] != END_OPTION:
        if raw[at] == NO_OPERATION:
            at += 1
            continue
        size = raw[at + 1] if at + 1 < len(raw) else 0
        if size < 2 or at + size > len(raw):
            raise PacketError("a TCP option runs out of its header")
        found.append((raw[at], raw[at + 2 : at + size]))
        at += size
    return tuple(found)
