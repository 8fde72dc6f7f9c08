"""UDP datagrams and TCP segments."""

import pytest

from nettrace.errors import BadChecksum, PacketError, Truncated
from nettrace.measure.packets import ip, tcp, udp

FAMILIES = [
    (ip.packed("192.0.2.1"), ip.packed("198.51.100.2")),
    (ip.packed("2001:db8::1"), ip.packed("2001:db8::2")),
]


@pytest.mark.parametrize("addresses", FAMILIES)
@pytest.mark.parametrize("payload", [b"", b"x", b"even", bytes(1400)])
def test_a_datagram_comes_back_with_a_right_checksum(addresses: tuple[bytes, bytes], payload: bytes) -> None:
    datagram = udp.build_udp(*addresses, 61_000, 33_434, payload)
    header = udp.parse_udp(datagram)
    assert (header.source_port, header.destination_port, header.total_bytes) == (
        61_000,
        33_434,
        8 + len(payload),
    )
    udp.verify_udp(*addresses, datagram)


def test_a_datagram_of_another_address_has_a_wrong_checksum() -> None:
    source, destination = FAMILIES[0]
    datagram = udp.build_udp(source, destination, 1, 2, b"x")
    with pytest.raises(BadChecksum):
        udp.verify_udp(source, ip.packed("198.51.100.3"), datagram)


def test_a_datagram_without_checksum_is_right_in_ipv4_and_wrong_in_ipv6() -> None:
    bare = bytes.fromhex("0001 0002 0009 0000 78")
    udp.verify_udp(*FAMILIES[0], bare)
    with pytest.raises(BadChecksum):
        udp.verify_udp(*FAMILIES[1], bare)


def test_a_udp_checksum_that_comes_out_as_zero_is_sent_as_all_ones() -> None:
    """RFC 768: zero means "no checksum"."""
    source, destination = bytes(4), bytes(4)
    payload = (0xFFFF - 17 - 10 - 10).to_bytes(2)
    assert udp.parse_udp(udp.build_udp(source, destination, 0, 0, payload)).checksum == 0xFFFF


@pytest.mark.parametrize("size", range(8))
def test_a_udp_header_cut_short_is_truncated(size: int) -> None:
    with pytest.raises(Truncated):
        udp.parse_udp(bytes(size))


def test_a_udp_length_below_its_own_header_is_refused() -> None:
    with pytest.raises(PacketError):
        udp.parse_udp(bytes.fromhex("0001000200070000"))


@pytest.mark.parametrize("addresses", FAMILIES)
def test_a_syn_comes_back_with_its_options(addresses: tuple[bytes, bytes]) -> None:
    syn = tcp.build_tcp(*addresses, 61_000, 443, sequence=0xDEADBEEF, options=tcp.syn_options(1460))
    header = tcp.parse_tcp(syn)
    tcp.verify_tcp(*addresses, syn)
    assert (header.sequence, header.flags, header.header_bytes) == (0xDEADBEEF, tcp.SYN, 32)
    assert header.options == (
        (tcp.MAXIMUM_SEGMENT, b"\x05\xb4"),
        (tcp.SACK_PERMITTED, b""),
        (tcp.WINDOW_SCALE, b"\x07"),
    )


@pytest.mark.parametrize(
    ("flags", "accepted", "refused"),
    [
        (tcp.SYN | tcp.ACK, True, False),
        (tcp.RST | tcp.ACK, False, True),
        (tcp.RST, False, True),
        (tcp.SYN, False, False),
        (tcp.ACK, False, False),
        (tcp.SYN | tcp.ACK | tcp.RST, False, True),
    ],
)
def test_what_a_segment_says(flags: int, accepted: bool, refused: bool) -> None:
    header = tcp.parse_tcp(tcp.build_tcp(*FAMILIES[0], 443, 61_000, sequence=1, flags=flags))
    assert (header.is_syn_ack, header.is_reset) == (accepted, refused)


@pytest.mark.parametrize("options", ["0204", "02010000", "08", "0300", "05ff0000"])
def test_a_tcp_option_that_runs_out_of_its_header_is_refused(options: str) -> None:
    raw = bytes.fromhex(options)
    raw = tcp.NO_OPERATION.to_bytes(1) * (-len(raw) % 4) + raw
    segment = bytearray(tcp.build_tcp(*FAMILIES[0], 1, 2, sequence=0, options=raw))
    with pytest.raises(PacketError):
        tcp.parse_tcp(segment)


def test_a_tcp_header_longer_than_the_segment_is_truncated() -> None:
    segment = tcp.build_tcp(*FAMILIES[0], 1, 2, sequence=0, options=tcp.syn_options(1460))
    with pytest.raises(Truncated):
        tcp.parse_tcp(segment[:31])
