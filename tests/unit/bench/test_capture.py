"""The truth is only as good as its pairing: which packet answers which."""

import struct

from bench.capture import ICMP, TCP, UDP, Packet, exchanges, parse, probes, stages

US, TARGET, ROUTER = "10.200.0.1", "10.201.0.7", "11.0.0.1"


def packet(
    at: int, out: bool, body: bytes, proto: int = ICMP, *, source: str = "", ttl: int = 64, mark: int = 0
) -> Packet:
    ends = (US, TARGET) if out else (source or TARGET, US)
    return Packet(at, out, *ends, proto, ttl, mark, body, len(body))


def echo(kind: int, sequence: int) -> bytes:
    return struct.pack("!BBHHH", kind, 0, 0, 77, sequence)


def header(proto: int, mark: int, body: bytes) -> bytes:
    ends = bytes(int(part) for address in (US, TARGET) for part in address.split("."))
    return struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(body), mark, 0, 1, proto, 0) + ends + body


def time_exceeded(quoted: bytes) -> bytes:
    return struct.pack("!BBHI", 11, 0, 0, 0) + quoted


def test_an_echo_reply_belongs_to_the_request_of_its_sequence() -> None:
    first, second = probes(
        [
            packet(100, True, echo(8, 1)),
            packet(200, True, echo(8, 2)),
            packet(1000, False, echo(0, 2)),
            packet(1300, False, echo(0, 1)),
        ]
    )
    assert (first.rtt, second.rtt) == (1200, 800)


def test_a_lost_probe_has_no_round_trip_and_a_second_answer_is_extra() -> None:
    lost, answered = probes(
        [
            packet(1, True, echo(8, 1)),
            packet(2, True, echo(8, 2)),
            packet(5, False, echo(0, 2)),
            packet(6, False, echo(0, 2)),
        ]
    )
    assert lost.rtt is None
    assert (answered.rtt, answered.extra) == (3, 1)


def test_a_quote_finds_its_probe_among_equal_flows_by_the_ip_identifier() -> None:
    datagram = struct.pack("!HHHH", 40000, 33434, 16, 0) + b"x" * 8
    sent = [packet(ttl, True, datagram, UDP, ttl=ttl, mark=900 + ttl) for ttl in (1, 2, 3)]
    answer = packet(50, False, time_exceeded(header(UDP, 902, datagram)), source=ROUTER)
    found = probes([*sent, answer])
    assert [probe.rtt for probe in found] == [None, 48, None]
    assert found[1].answered_by == ROUTER
    assert found[1].word == 40000 << 16 | 33434


def test_a_syn_is_answered_by_its_own_acknowledgement_only() -> None:
    syn = struct.pack("!HHIIBBHHH", 50000, 443, 7000, 0, 0x50, 2, 0, 0, 0)
    other = struct.pack("!HHIIBBHHH", 443, 50000, 1, 9999, 0x50, 0x12, 0, 0, 0)
    right = struct.pack("!HHIIBBHHH", 443, 50000, 1, 7001, 0x50, 0x12, 0, 0, 0)
    (probe,) = probes(
        [packet(10, True, syn, TCP), packet(20, False, other, TCP), packet(30, False, right, TCP)]
    )
    assert probe.rtt == 20


def segment(at: int, out: bool, flags: int, sequence: int, payload: bytes = b"") -> Packet:
    ports = (50000, 443) if out else (443, 50000)
    body = struct.pack("!HHIIBBHHH", *ports, sequence, 0, 0x50, flags, 0, 0, 0) + payload
    return packet(at, out, body, TCP)


def record(kind: int, size: int) -> bytes:
    return bytes([kind, 3, 3]) + struct.pack("!H", size) + b"." * size


def conversation() -> list[Packet]:
    hello, flight, finished, request = (
        record(0x16, 500),
        record(0x16, 90) + record(0x17, 700),
        record(0x17, 60),
        record(0x17, 90),
    )
    ticket, answer, alert = record(0x17, 280), record(0x17, 160), record(0x17, 19)
    return [
        segment(0, True, 2, 100),
        segment(20_000, False, 0x12, 900),
        segment(21_000, True, 0x18, 101, hello),
        segment(42_000, False, 0x18, 901, flight),
        segment(43_000, True, 0x18, 101 + len(hello), finished),
        segment(43_500, True, 0x18, 101 + len(hello) + len(finished), request),
        segment(63_000, False, 0x18, 901 + len(flight), ticket),
        segment(64_500, False, 0x18, 901 + len(flight) + len(ticket), answer),
        segment(64_900, True, 0x18, 101 + len(hello) + len(finished) + len(request), alert),
    ]


def test_stages_of_an_https_exchange_are_those_on_the_wire() -> None:
    (exchange,) = exchanges(conversation())
    found = stages(exchange)
    assert (found.connect, found.tls, found.first_byte) == (20_000, 21_000, 21_000)


def test_segments_sent_again_move_nothing() -> None:
    sent = conversation()
    again = [segment(90_000, False, 0x18, 901 + 90 + 700 + 10 + 285, record(0x17, 160))]
    assert stages(exchanges([*sent, *again])[0]) == stages(exchanges(sent)[0])


def test_a_repeated_syn_is_counted_on_the_same_connection() -> None:
    (exchange,) = exchanges(
        [segment(0, True, 2, 1), segment(1_000_000, True, 2, 1), segment(1_020_000, False, 0x12, 5)]
    )
    assert exchange.syns == 2
    assert stages(exchange).connect == 1_020_000


def test_what_is_no_plain_ip_packet_is_passed_over() -> None:
    assert parse(0, True, b"") is None
    assert parse(0, True, b"\x46" + b"\0" * 40) is None
    six = bytes.fromhex("60000000000811ff") + bytes(15) + b"\1" + bytes(15) + b"\2" + b"\0" * 8
    found = parse(5, False, six)
    assert found is not None
    assert (found.source, found.target, found.proto, found.ttl) == ("::1", "::2", UDP, 255)
