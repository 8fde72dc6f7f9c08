"""UDP datagrams (RFC 768), built and parsed."""

from struct import Struct

import msgspec

from nettrace.errors import BadChecksum, Invalid, PacketError, Truncated
from nettrace.measure.packets.checksum import Bytes, checksum, pseudo_sum, word_sum
from nettrace.measure.packets.ip import UDP

_UDP = Struct("!HHHH")


class UdpHeader(msgspec.Struct, frozen=True, gc=False):
    """A UDP header; `total_bytes` is what it announces, its own 8 bytes included; checksum 0 is "none"."""

    source_port: int
    destination_port: int
    total_bytes: int
    checksum: int


def build_udp(
    source: bytes, destination: bytes, source_port: int, destination_port: int, payload: Bytes
) -> bytes:
    """A datagram with its checksum over the pseudo header of the two packed addresses."""
    size = 8 + len(payload)
    if size > 0xFFFF:
        raise Invalid(f"a UDP datagram of {size} bytes does not exist")
    datagram = _UDP.pack(source_port, destination_port, size, 0) + bytes(payload)
    made = checksum(datagram, pseudo_sum(source, destination, UDP, size)) or 0xFFFF
    return datagram[:6] + made.to_bytes(2) + datagram[8:]


def parse_udp(data: Bytes, start: int = 0, end: int | None = None, *, quoted: bool = False) -> UdpHeader:
    """The UDP header at `start`; `quoted` ones may be cut behind their 8 bytes."""
    end = len(data) if end is None else min(end, len(data))
    if start < 0 or end - start < 8:
        raise Truncated(f"a UDP header needs 8 bytes, {max(0, end - start)} are there")
    source_port, destination_port, size, check = _UDP.unpack_from(data, start)
    if not quoted and size < 8:
        raise PacketError(f"a UDP datagram cannot have {size} bytes")
    if not quoted and end - start < size:
        raise Truncated(f"the UDP header announces {size} bytes, {end - start} are there")
    return UdpHeader(source_port, destination_port, size, check)


def verify_udp(source: bytes, destination: bytes, datagram: Bytes) -> None:
    """Raises BadChecksum unless the datagram's checksum is right (or absent, which IPv6 forbids)."""
    header = parse_udp(datagram)
    if header.checksum == 0 and len(source) == 4:
        return
    pseudo = pseudo_sum(source, destination, UDP, header.total_bytes)
    if header.checksum == 0 or (pseudo + word_sum(datagram[: header.total_bytes])) % 0xFFFF:
        raise BadChecksum("the UDP checksum is wrong")
