"""Probe packets: one constant flow, a tag in every packet, a note that says who probes."""

from collections.abc import Callable
from itertools import product

import pytest

from nettrace.errors import Invalid
from nettrace.measure.packets import icmp, ip, tcp, udp
from nettrace.measure.packets.probe import NOTE, probe_packet, signature, template
from nettrace.measure.packets.tag import TagCipher
from nettrace.measure.tracing.flow import flow_for
from nettrace.model.measurement import Method
from nettrace.model.path import Probe

HERE = {4: "192.0.2.1", 6: "2001:db8::1"}
THERE = {4: "198.18.0.1", 6: "2001:db8:ffff::2"}
KINDS = list(product(Method, (4, 6)))


def packet(method: Method, version: int, ttl: int = 5, wire: int = 0x2AAAAAAA, size: int = 56) -> bytes:
    flow = flow_for(THERE[version], method)
    return template(HERE[version], method, size).packet(signature(THERE[version], flow), ttl, wire)


def hashed(packet: bytes) -> bytes:
    """What load balancers may hash: addresses, protocol, first four transport bytes, flow label."""
    if packet[0] >> 4 == 4:
        return packet[9:10] + packet[12:20] + packet[20:24]
    return packet[0:4] + packet[6:7] + packet[8:40] + packet[40:44]


@pytest.mark.parametrize(("method", "version"), KINDS)
def test_the_flow_is_constant_while_ttl_and_tag_change(method: Method, version: int) -> None:
    seen = {
        hashed(packet(method, version, ttl, wire))
        for ttl in (1, 2, 30, 255)
        for wire in (0, 1, 0x7FFF, 0x8000, 0x3FFFFFFF)
    }
    assert len(seen) == 1


@pytest.mark.parametrize(("method", "version"), KINDS)
@pytest.mark.parametrize("size", [6, 7, 32, 56, 1400, 1401])
def test_every_checksum_is_right(method: Method, version: int, size: int) -> None:
    for wire in (0, 1, 0x7FFF, 0x8000, 0x12345678, 0x3FFFFFFF):
        made = packet(method, version, wire=wire, size=size)
        header = ip.parse_ipv4(made, verify=True) if version == 4 else ip.parse_ipv6(made)
        assert header.total_bytes == len(made)
        transport = made[header.header_bytes :]
        match method:
            case Method.UDP:
                udp.verify_udp(header.source, header.destination, transport)
            case Method.TCP:
                tcp.verify_tcp(header.source, header.destination, transport)
            case Method.ICMP if version == 4:
                icmp.parse_icmp(transport)
            case Method.ICMP:
                icmp.parse_icmpv6(transport, addresses=header.source + header.destination)


def test_ipv4_probes_never_carry_identification_zero_which_linux_would_overwrite() -> None:
    for method in Method:
        assert ip.parse_ipv4(packet(method, 4, wire=0)).identification != 0


def test_a_udp_probe_never_says_that_it_has_no_checksum() -> None:
    assert udp.parse_udp(packet(Method.UDP, 4, wire=0), 20).checksum != 0


@pytest.mark.parametrize("version", [4, 6])
def test_a_tcp_probe_is_a_bare_syn_like_anybodys(version: int) -> None:
    made = packet(Method.TCP, version, wire=123_456)
    header = tcp.parse_tcp(made, 20 if version == 4 else 40)
    assert (header.flags, header.sequence) == (tcp.SYN, 123_456)
    assert len(made) == (20 if version == 4 else 40) + header.header_bytes


@pytest.mark.parametrize(("method", "version"), [kind for kind in KINDS if kind[0] is not Method.TCP])
def test_whoever_sees_a_probe_can_read_who_sent_it_and_where_to_ask(method: Method, version: int) -> None:
    assert b"https://" in NOTE
    assert NOTE in packet(method, version)


def test_the_operator_may_put_another_note() -> None:
    probes = template(HERE[4], Method.UDP, 40, note=b"mine: https://example.net/probes")
    made = probes.packet(signature(THERE[4], flow_for(THERE[4], Method.UDP)), 1, 0)
    assert b"mine: https://example.net/probes" in made


@pytest.mark.parametrize(("method", "version"), KINDS)
def test_many_probes_are_written_into_one_buffer(method: Method, version: int) -> None:
    probes = template(HERE[version], method)
    flow = signature(THERE[version], flow_for(THERE[version], method))
    buffer = bytearray(probes.blank * 10)
    for number in range(10):
        probes.write(buffer, number * probes.size, flow, number + 1, number * 1_000_003)
    for number in range(10):
        one = bytes(buffer[number * probes.size : (number + 1) * probes.size])
        assert one == probes.packet(flow, number + 1, number * 1_000_003)


def test_one_slot_serves_one_destination_after_the_other() -> None:
    probes = template(HERE[4], Method.UDP)
    slot = memoryview(bytearray(probes.blank))
    for address in ("198.18.0.1", "203.0.113.255", "1.1.1.1"):
        flow = signature(address, flow_for(address, Method.UDP))
        probes.write(slot, 0, flow, 3, 77)
        assert bytes(slot) == probes.packet(flow, 3, 77)


def test_an_ordinary_udp_socket_can_send_the_very_same_datagram() -> None:
    """Its kernel fills in ports, length and checksum: from the payload follows the checksum we hold."""
    flow = flow_for(THERE[4], Method.UDP)
    probes = template(HERE[4], Method.UDP)
    payload = probes.payload(signature(THERE[4], flow), 0x1234567)
    kernels = udp.build_udp(
        ip.packed(HERE[4]), ip.packed(THERE[4]), flow.source_port, flow.destination_port, payload
    )
    assert kernels == probes.packet(signature(THERE[4], flow), 9, 0x1234567)[20:]


def test_an_icmp_datagram_socket_can_send_the_very_same_echo() -> None:
    flow = flow_for(THERE[4], Method.ICMP)
    message = template(HERE[4], Method.ICMP).transport(signature(THERE[4], flow), 0x1234567)
    echo = icmp.parse_icmp(message)
    assert isinstance(echo, icmp.Echo)
    assert (echo.identifier, echo.checksum) == (flow.icmp_identifier, flow.icmp_checksum)


def test_a_machines_probe_becomes_a_packet_at_once() -> None:
    flow = flow_for(THERE[6], Method.UDP)
    made = probe_packet(HERE[6], Probe(1, THERE[6], flow, 4), 99)
    header = ip.parse_ipv6(made)
    assert (header.hop_limit, header.flow_label) == (4, flow.ipv6_flow_label)


@pytest.mark.parametrize("method", [Method.UDP, Method.ICMP])
def test_a_payload_without_room_for_the_tag_is_refused(method: Method) -> None:
    with pytest.raises(Invalid, match="6 bytes of payload"):
        template(HERE[4], method, 5)


def test_a_packet_that_cannot_exist_is_refused() -> None:
    with pytest.raises(Invalid, match="does not exist"):
        template(HERE[4], Method.UDP, 65_536)


@pytest.mark.parametrize(
    ("name", "address", "method", "tag"),
    [
        ("icmp4_linux", "127.0.0.9", Method.ICMP, 1_000_001),
        ("udp4_linux", "127.0.0.9", Method.UDP, 2_000_002),
        ("tcp4_linux", "127.0.0.9", Method.TCP, 3_000_003),
        ("icmp6_linux", "::1", Method.ICMP, 4_000_004),
        ("udp6_linux", "::1", Method.UDP, 5_000_005),
        ("tcp6_linux", "::1", Method.TCP, 6_000_006),
    ],
)
def test_the_packets_that_a_real_kernel_answered_are_still_what_we_send(
    golden: Callable[[str], dict[str, bytes]], name: str, address: str, method: Method, tag: int
) -> None:
    wire = TagCipher(bytes(range(32))).hide(tag)
    flow = flow_for(address, method, port=None if method is Method.ICMP else 9)
    source = "127.0.0.1" if "." in address else "::1"
    assert template(source, method).packet(signature(address, flow), 3, wire) == golden(name)["probe"]
