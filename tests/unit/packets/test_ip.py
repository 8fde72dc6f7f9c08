"""IPv4 and IPv6 headers."""

import pytest

from nettrace.errors import BadChecksum, Invalid, PacketError, Truncated
from nettrace.measure.packets import ip

HERE = ip.packed("192.0.2.1")
THERE = ip.packed("198.51.100.2")
HERE6 = ip.packed("2001:db8::1")
THERE6 = ip.packed("2001:db8::2")


def test_an_ipv4_packet_comes_back_as_it_was_built() -> None:
    packet = ip.build_ipv4(HERE, THERE, ip.UDP, b"body", ttl=9, identification=77, dont_fragment=True)
    header = ip.parse_ipv4(packet, verify=True)
    assert (header.source, header.destination, header.protocol) == (HERE, THERE, ip.UDP)
    assert (header.ttl, header.identification, header.dont_fragment) == (9, 77, True)
    assert packet[header.header_bytes : header.total_bytes] == b"body"


def test_ipv4_options_lengthen_the_header_to_whole_words() -> None:
    record_route = b"\x07\x07\x04\0\0\0\0"
    packet = ip.build_ipv4(HERE, THERE, ip.ICMP, b"body", options=record_route)
    header = ip.parse_ipv4(packet, verify=True)
    assert header.header_bytes == 28
    assert header.options == record_route + b"\0"
    assert packet[header.header_bytes :] == b"body"


@pytest.mark.parametrize("size", range(20))
def test_an_ipv4_header_cut_short_is_truncated(size: int) -> None:
    with pytest.raises(Truncated):
        ip.parse_ipv4(ip.build_ipv4(HERE, THERE, ip.UDP, b"")[:size])


def test_a_packet_shorter_than_announced_is_truncated_unless_it_is_a_quote() -> None:
    packet = ip.build_ipv4(HERE, THERE, ip.UDP, bytes(100))[:28]
    with pytest.raises(Truncated, match="announces 120 bytes, 28 are there"):
        ip.parse_ipv4(packet)
    assert ip.parse_ipv4(packet, quoted=True).total_bytes == 120


def test_a_wrong_header_checksum_is_found_when_asked_for() -> None:
    packet = bytearray(ip.build_ipv4(HERE, THERE, ip.UDP, b""))
    packet[8] -= 1
    assert ip.parse_ipv4(packet).ttl == 63
    with pytest.raises(BadChecksum):
        ip.parse_ipv4(packet, verify=True)


@pytest.mark.parametrize("first", [0x00, 0x44, 0x55, 0x65])
def test_what_does_not_begin_like_ipv4_is_not_ipv4(first: int) -> None:
    with pytest.raises(PacketError):
        ip.parse_ipv4(bytes((first,)) + bytes(63))


def test_an_ipv6_packet_comes_back_with_flow_label_and_hop_limit() -> None:
    packet = ip.build_ipv6(HERE6, THERE6, ip.TCP, b"body", hop_limit=3, flow_label=0xABCDE, traffic_class=8)
    header = ip.parse_ipv6(packet)
    assert (header.source, header.destination, header.protocol) == (HERE6, THERE6, ip.TCP)
    assert (header.hop_limit, header.flow_label, header.traffic_class) == (3, 0xABCDE, 8)
    assert packet[header.header_bytes : header.total_bytes] == b"body"


def test_ipv6_extension_headers_are_walked_to_the_transport() -> None:
    hop_by_hop = bytes(8)
    destination_options = b"\0\1" + bytes(14)
    packet = ip.build_ipv6(
        HERE6,
        THERE6,
        ip.UDP,
        b"datagram",
        extensions=((ip.HOP_BY_HOP, hop_by_hop), (ip.DESTINATION_OPTIONS, destination_options)),
    )
    header = ip.parse_ipv6(packet)
    assert header.protocol == ip.UDP
    assert [kind for kind, _ in header.extensions] == [ip.HOP_BY_HOP, ip.DESTINATION_OPTIONS]
    assert packet[header.header_bytes :] == b"datagram"


def test_behind_a_later_ipv6_fragment_there_is_no_transport_header() -> None:
    fragment = b"\0\0\x05\xa8" + bytes(4)
    packet = ip.build_ipv6(HERE6, THERE6, ip.UDP, b"rest", extensions=((ip.FRAGMENT, fragment),))
    assert ip.parse_ipv6(packet).fragment_offset == 1448


def test_ipv6_extension_headers_without_end_are_refused() -> None:
    endless = tuple((ip.DESTINATION_OPTIONS, bytes(8)) for _ in range(40))
    with pytest.raises(PacketError, match="more than 16"):
        ip.parse_ipv6(ip.build_ipv6(HERE6, THERE6, ip.UDP, b"", extensions=endless))


def test_ipv6_extension_headers_cut_in_the_middle_are_truncated() -> None:
    packet = ip.build_ipv6(HERE6, THERE6, ip.UDP, b"", extensions=((ip.HOP_BY_HOP, b"\0\1" + bytes(14)),))
    with pytest.raises(Truncated):
        ip.parse_ipv6(packet[:50], quoted=True)


def test_addresses_read_and_write_as_people_do() -> None:
    assert ip.text(ip.packed("192.0.2.255")) == "192.0.2.255"
    assert ip.text(ip.packed("2001:DB8:0::1")) == "2001:db8::1"
    assert ip.packed("fe80::1%eth0") == ip.packed("fe80::1")


@pytest.mark.parametrize("wrong", ["", "1.2.3", "256.1.1.1", "::g", "example.net"])
def test_what_is_no_address_is_an_invalid_request(wrong: str) -> None:
    with pytest.raises(Invalid, match="not an IP address"):
        ip.packed(wrong)
