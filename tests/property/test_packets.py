"""Packets under hypothesis: what is built comes back, and parsers raise PacketError or nothing."""

from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from nettrace.errors import PacketError
from nettrace.measure.packets import icmp, ip, tcp, udp
from nettrace.measure.packets.checksum import checksum, holds, updated
from nettrace.measure.packets.probe import signature, template
from nettrace.measure.packets.quoted import build_extensions, parse_extensions, parse_quoted
from nettrace.measure.packets.tag import TAG_LIMIT, TagCipher
from nettrace.measure.tracing.flow import flow_for
from nettrace.measure.tracing.match import Matcher, QueuedError
from nettrace.model.measurement import Method
from nettrace.model.path import Label, ReplyKind

address4 = st.binary(min_size=4, max_size=4)
address6 = st.binary(min_size=16, max_size=16)
words = st.integers(0, 0xFFFF)
payloads = st.binary(max_size=120)
tags = st.integers(0, TAG_LIMIT - 1)
labels = st.lists(
    st.builds(Label, st.integers(0, 0xFFFFF), st.integers(0, 7), st.booleans(), st.integers(0, 255)),
    max_size=6,
).map(tuple)
CIPHER = TagCipher(b"a secret of thirty-two bytes....")

PARSERS: list[Callable[[bytes], object]] = [
    ip.parse_ipv4,
    ip.parse_ipv6,
    lambda data: ip.parse_ipv4(data, quoted=True, verify=True),
    lambda data: ip.parse_ipv6(data, quoted=True),
    udp.parse_udp,
    lambda data: udp.parse_udp(data, quoted=True),
    lambda data: udp.verify_udp(bytes(4), bytes(4), data),
    lambda data: udp.verify_udp(bytes(16), bytes(16), data),
    tcp.parse_tcp,
    lambda data: tcp.verify_tcp(bytes(4), bytes(4), data),
    icmp.parse_icmp,
    lambda data: icmp.parse_icmp(data, verify=False),
    icmp.parse_icmpv6,
    lambda data: parse_quoted(data, 0, len(data)),
    lambda data: parse_quoted(data, 0, len(data), data[0] if data else 0),
    lambda data: parse_extensions(data, 0, len(data)),
    ip.text,
]


@given(st.binary(max_size=200))
def test_arbitrary_bytes_raise_nothing_but_packet_errors(data: bytes) -> None:
    for parse in PARSERS:
        try:
            parse(data)
        except PacketError:
            continue


@given(st.data())
def test_nearly_right_packets_raise_nothing_but_packet_errors(data: st.DataObject) -> None:
    """Bytes that begin like a packet reach deeper than random ones."""
    method = data.draw(st.sampled_from(Method))
    here, there = data.draw(st.sampled_from([("192.0.2.1", "198.18.0.1"), ("2001:db8::1", "2001:db8::2")]))
    probe = template(here, method).packet(signature(there, flow_for(there, method)), 3, data.draw(tags))
    addresses = ip.packed(there) + ip.packed(here) if ":" in here else b""
    kind = data.draw(
        st.sampled_from([ReplyKind.TIME_EXCEEDED, ReplyKind.UNREACHABLE, ReplyKind.PACKET_TOO_BIG])
    )
    message = icmp.build_error(
        kind, probe, extensions=build_extensions(data.draw(labels)), addresses=addresses
    )
    raw = bytearray(data.draw(st.sampled_from([probe, message])))
    for _ in range(data.draw(st.integers(0, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    cut = bytes(raw[: data.draw(st.integers(0, len(raw)))])
    for parse in PARSERS:
        for piece in (bytes(raw), cut):
            try:
                parse(piece)
            except PacketError:
                continue


@given(st.binary(min_size=20, max_size=60).filter(lambda data: len(data) % 2 == 0), words, st.data())
def test_the_incremental_checksum_is_the_whole_one(data: bytes, word: int, draw: st.DataObject) -> None:
    at = draw.draw(st.integers(0, len(data) // 2 - 1)) * 2
    changed = data[:at] + word.to_bytes(2) + data[at + 2 :]
    incremental = updated(checksum(data), int.from_bytes(data[at : at + 2]), word)
    sealed = changed + incremental.to_bytes(2)
    assert holds(sealed) or not any(changed)


@given(
    address4,
    address4,
    st.integers(0, 255),
    payloads,
    st.integers(0, 255),
    words,
    st.booleans(),
    st.binary(max_size=40),
)
def test_ipv4_round_trip(
    source: bytes,
    destination: bytes,
    protocol: int,
    payload: bytes,
    ttl: int,
    identification: int,
    dont_fragment: bool,
    options: bytes,
) -> None:
    packet = ip.build_ipv4(
        source,
        destination,
        protocol,
        payload,
        ttl=ttl,
        identification=identification,
        dont_fragment=dont_fragment,
        options=options,
    )
    header = ip.parse_ipv4(packet, verify=True)
    assert (header.source, header.destination, header.protocol) == (source, destination, protocol)
    assert (header.ttl, header.identification, header.dont_fragment) == (
        ttl,
        identification,
        dont_fragment,
    )
    assert header.options.startswith(options)
    assert packet[header.header_bytes : header.total_bytes] == payload


@given(
    address6,
    address6,
    st.sampled_from([6, 17, 58, 59]),
    payloads,
    st.integers(0, 255),
    st.integers(0, 0xFFFFF),
)
def test_ipv6_round_trip(
    source: bytes, destination: bytes, protocol: int, payload: bytes, hop_limit: int, flow_label: int
) -> None:
    packet = ip.build_ipv6(source, destination, protocol, payload, hop_limit=hop_limit, flow_label=flow_label)
    header = ip.parse_ipv6(packet)
    assert (header.source, header.destination, header.protocol) == (source, destination, protocol)
    assert (header.hop_limit, header.flow_label) == (hop_limit, flow_label)
    assert packet[header.header_bytes : header.total_bytes] == payload


@given(address4, address4, words, words, payloads)
def test_udp_round_trip(
    source: bytes, destination: bytes, source_port: int, destination_port: int, payload: bytes
) -> None:
    datagram = udp.build_udp(source, destination, source_port, destination_port, payload)
    udp.verify_udp(source, destination, datagram)
    header = udp.parse_udp(datagram)
    assert (header.source_port, header.destination_port) == (source_port, destination_port)
    assert header.checksum != 0


@given(labels)
def test_label_stacks_round_trip(stack: tuple[Label, ...]) -> None:
    raw = build_extensions(stack)
    assert parse_extensions(raw, 0, len(raw))[0] == stack


@given(tags)
def test_tags_round_trip(tag: int) -> None:
    assert CIPHER.reveal(CIPHER.hide(tag)) == tag


@given(
    st.sampled_from(Method),
    st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)).map(str),
    st.integers(0, 7),
    st.integers(6, 300),
    st.lists(st.tuples(st.integers(1, 255), tags), min_size=2, max_size=5),
)
def test_load_balancers_see_one_flow(
    method: Method, address: str, number: int, size: int, probes: list[tuple[int, int]]
) -> None:
    """Addresses, protocol, the first four transport bytes and the IPv6 flow label never change."""
    source = "2001:db8::1" if ":" in address else "192.0.2.1"
    flow = signature(address, flow_for(address, method, number))
    made = template(source, method, size)
    seen: set[bytes] = set()
    for ttl, wire in probes:
        packet = made.packet(flow, ttl, wire)
        if made.header_bytes == 20:
            seen.add(packet[9:10] + packet[12:24])
            assert holds(packet[:20])
        else:
            seen.add(packet[:4] + packet[6:7] + packet[8:44])
    assert len(seen) == 1


@given(st.binary(max_size=300), st.integers(0, 300), st.integers(0, 300), st.integers(0, 255))
def test_arbitrary_bytes_never_match_and_never_raise(
    data: bytes, start: int, end: int, protocol: int
) -> None:
    """Even when every tag is live: nothing random names the flow and the tag that fit each other."""
    flow = signature("198.18.0.1", flow_for("198.18.0.1", Method.UDP))
    matcher = Matcher(CIPHER, lambda _: flow)
    assert matcher.match(data) is None
    assert matcher.match_ipv4(data, start, end) is None
    assert matcher.match_ipv6(data, start, end, protocol, bytes(16), None) is None
    queued = QueuedError(bytes(4), data[0] if data else 0, 0, data, extensions_at=start)
    matcher.match_error_queue(flow, queued, [1, 2])
