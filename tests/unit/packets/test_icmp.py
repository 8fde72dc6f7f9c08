"""ICMP and ICMPv6: echoes, errors, what they quote and which extensions follow."""

from collections.abc import Callable

import pytest

from nettrace.errors import BadChecksum, PacketError, Truncated
from nettrace.measure.packets import icmp, ip, udp
from nettrace.measure.packets.quoted import (
    Interface,
    build_extensions,
    parse_extensions,
    parse_quoted,
)
from nettrace.model.path import Label, ReplyKind

HERE = ip.packed("192.0.2.10")
THERE = ip.packed("203.0.113.80")
HERE6 = ip.packed("2001:db8::10")
THERE6 = ip.packed("2001:db8::80")
ROUTER6 = ip.packed("2001:db8:f::7")
LABELS = (Label(24001, 1, False, 1), Label(125, 0, True, 255))

PROBE = ip.build_ipv4(HERE, THERE, ip.UDP, udp.build_udp(HERE, THERE, 65_000, 33_434, bytes(24)), ttl=1)
PROBE6 = ip.build_ipv6(
    HERE6, THERE6, ip.UDP, udp.build_udp(HERE6, THERE6, 65_000, 33_434, bytes(24)), hop_limit=1
)
ADDRESSES6 = ROUTER6 + HERE6


def error4(kind: ReplyKind = ReplyKind.TIME_EXCEEDED, quote: bytes = PROBE, **how: object) -> icmp.IcmpError:
    parsed = icmp.parse_icmp(icmp.build_error(kind, quote, **how))  # pyright: ignore[reportArgumentType]
    assert isinstance(parsed, icmp.IcmpError)
    return parsed


def error6(kind: ReplyKind = ReplyKind.TIME_EXCEEDED, quote: bytes = PROBE6, **how: object) -> icmp.IcmpError:
    message = icmp.build_error(kind, quote, addresses=ADDRESSES6, **how)  # pyright: ignore[reportArgumentType]
    parsed = icmp.parse_icmpv6(message, addresses=ADDRESSES6)
    assert isinstance(parsed, icmp.IcmpError)
    return parsed


@pytest.mark.parametrize("request_", [True, False])
def test_an_echo_comes_back(request_: bool) -> None:
    message = icmp.build_echo(7, 8, b"payload", request=request_)
    echo = icmp.parse_icmp(message)
    assert isinstance(echo, icmp.Echo)
    assert (echo.request, echo.identifier, echo.sequence) == (request_, 7, 8)
    assert message[echo.payload_at :] == b"payload"


def test_an_icmpv6_echo_is_bound_to_its_addresses() -> None:
    message = icmp.build_echo(7, 8, b"payload", addresses=HERE6 + THERE6)
    assert isinstance(icmp.parse_icmpv6(message, addresses=HERE6 + THERE6), icmp.Echo)
    with pytest.raises(BadChecksum):
        icmp.parse_icmpv6(message, addresses=HERE6 + ROUTER6)


def test_an_error_tells_which_datagram_it_is_about() -> None:
    error = error4(ReplyKind.UNREACHABLE, code=13)
    assert (error.kind, error.code, error.mtu_bytes) == (ReplyKind.UNREACHABLE, 13, None)
    header = error.quoted.header
    assert isinstance(header, ip.Ipv4)
    assert (header.source, header.destination, header.ttl) == (HERE, THERE, 1)


def test_eight_quoted_bytes_behind_the_header_are_enough() -> None:
    """RFC 792 promises no more than those."""
    message = icmp.build_error(ReplyKind.TIME_EXCEEDED, PROBE[:28])
    error = icmp.parse_icmp(message)
    assert isinstance(error, icmp.IcmpError)
    quoted = udp.parse_udp(message, error.quoted.transport_at, error.quoted.end, quoted=True)
    assert (quoted.source_port, quoted.destination_port, quoted.total_bytes) == (65_000, 33_434, 32)


def test_a_quote_without_a_whole_header_is_truncated() -> None:
    for size in range(20):
        with pytest.raises(Truncated):
            error4(quote=PROBE[:size])


def test_a_quoted_header_may_carry_options() -> None:
    probe = ip.build_ipv4(HERE, THERE, ip.UDP, PROBE[20:], options=b"\x94\x04\0\0")
    assert error4(quote=probe).quoted.transport_at == 8 + 24


def test_a_quoted_later_fragment_has_no_transport_header_to_match() -> None:
    probe = bytearray(PROBE)
    probe[6:8] = b"\x00\x10"
    with pytest.raises(PacketError, match="later fragment"):
        error4(quote=bytes(probe))


@pytest.mark.parametrize(("said", "meant"), [(1400, 1400), (0, None)])
def test_fragmentation_needed_gives_the_next_hops_mtu_if_the_router_knows_rfc_1191(
    said: int, meant: int | None
) -> None:
    error = error4(ReplyKind.PACKET_TOO_BIG, mtu_bytes=said)
    assert (error.kind, error.mtu_bytes) == (ReplyKind.PACKET_TOO_BIG, meant)
    assert error6(ReplyKind.PACKET_TOO_BIG, mtu_bytes=said).mtu_bytes == meant


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("make", [error4, error6])
def test_mpls_labels_are_read_with_and_without_a_length_field(
    make: Callable[..., icmp.IcmpError], legacy: bool
) -> None:
    assert make(extensions=build_extensions(LABELS), legacy=legacy).quoted.labels == LABELS


def test_the_hand_written_mpls_packet_reads_as_its_story_says(
    golden: Callable[[str], dict[str, bytes]],
) -> None:
    packet = golden("mpls_time_exceeded")["answer"]
    header = ip.parse_ipv4(packet, verify=True)
    error = icmp.parse_icmp(packet, header.header_bytes, header.total_bytes)
    assert isinstance(error, icmp.IcmpError)
    assert ip.text(header.source) == "198.51.100.7"
    assert error.quoted.labels == LABELS
    assert isinstance(error.quoted.header, ip.Ipv4)
    assert ip.text(error.quoted.header.destination) == "203.0.113.80"


def test_extensions_with_a_wrong_checksum_are_none() -> None:
    broken = bytearray(build_extensions(LABELS))
    broken[-1] ^= 1
    assert error4(extensions=bytes(broken)).quoted.labels == ()


def test_a_long_quote_is_not_taken_for_extensions() -> None:
    """Byte 128 of it looks like version 2 here, but without a length field only a right checksum counts."""
    payload = bytearray(b"\x20\0\0\0" * 60)
    probe = ip.build_ipv4(HERE, THERE, ip.UDP, udp.build_udp(HERE, THERE, 65_000, 33_434, payload))
    assert error4(quote=probe).quoted.labels == ()


def test_unknown_extension_objects_are_passed_over() -> None:
    unknown = b"\x00\x08\xf7\x01sofa"
    labels = build_extensions(LABELS)[4:]
    assert parse_extensions(b"\x20\0\0\0" + unknown + labels, 0, 4 + 8 + len(labels))[0] == LABELS


@pytest.mark.parametrize("size", [0, 3, 5, 7, 16, 0xFFFF])
def test_an_extension_object_of_impossible_size_is_refused(size: int) -> None:
    raw = b"\x20\0\0\0" + size.to_bytes(2) + b"\x01\x01" + bytes(8)
    with pytest.raises(PacketError):
        parse_extensions(raw, 0, len(raw))


def test_a_router_may_name_its_interface() -> None:
    """RFC 5837: index, IPv4 address, name and MTU of the incoming interface."""
    body = (42).to_bytes(4) + b"\0\1\0\0" + ip.packed("198.51.100.7") + b"\x08eth0.10" + (9000).to_bytes(4)
    raw = b"\x20\0\0\0" + (4 + len(body)).to_bytes(2) + bytes((2, 0b00001111)) + body
    assert parse_extensions(raw, 0, len(raw))[1] == (
        Interface(0, 42, ip.packed("198.51.100.7"), "eth0.10", 9000),
    )


@pytest.mark.parametrize("kind", [5, 9, 13, 40])
def test_other_icmp_messages_tell_a_prober_nothing(kind: int) -> None:
    with pytest.raises(PacketError, match="tells a prober nothing"):
        icmp.parse_icmp(bytes((kind, 0)) + bytes(30), verify=False)


def test_a_broken_icmp_checksum_is_found() -> None:
    message = bytearray(icmp.build_error(ReplyKind.TIME_EXCEEDED, PROBE))
    message[-1] ^= 1
    with pytest.raises(BadChecksum):
        icmp.parse_icmp(message)


def test_nothing_quoted_is_truncated() -> None:
    with pytest.raises(Truncated):
        parse_quoted(b"", 0, 0)
