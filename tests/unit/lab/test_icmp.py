"""Bytes of the lab's routers, against the RFCs and not against the engine's own parsers."""

import struct

import pytest

from nettrace.lab import icmp

SOURCE, ROUTER = bytes((192, 0, 2, 1)), bytes((203, 0, 113, 9))


def total(data: bytes) -> int:
    """One's complement sum by the book: 0xFFFF over data that carries its right checksum."""
    data += b"\0" * (len(data) % 2)
    value = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while value >> 16:
        value = (value & 0xFFFF) + (value >> 16)
    return value


def udp(size: int, ttl: int = 7) -> bytes:
    return icmp.header4(SOURCE, bytes((198, 18, 0, 1)), ttl, 17, size, 99) + bytes(range(256)) * (
        size // 256 + 1
    )


@pytest.mark.parametrize(
    "data", [b"", b"\0", b"\0\0\0\0", b"\xff\xff", b"\xff\xff\0\1", b"\1\2\3", bytes(range(200))]
)
def test_the_checksum_completes_the_sum(data: bytes) -> None:
    even = data + b"\0" * (len(data) % 2)
    assert total(even + icmp.checksum(data).to_bytes(2)) in (0xFFFF, 0)


def test_a_router_quotes_what_it_saw_and_signs_it() -> None:
    packet = udp(100)[:120]
    error = icmp.error4(packet, ROUTER, icmp.TIME_EXCEEDED, ttl=200, number=5)
    assert total(error[:20]) == total(error[20:]) == 0xFFFF
    assert error[8] == 200 and error[12:16] == ROUTER and error[16:20] == SOURCE
    assert error[20:22] == b"\x0b\0" and error[28:] == packet


@pytest.mark.parametrize(("limit", "quoted"), [(576, 548), (28, 28)])
def test_the_quote_is_as_long_as_the_router_is_modern(limit: int, quoted: int) -> None:
    error = icmp.error4(udp(1400), ROUTER, icmp.TIME_EXCEEDED, ttl=64, number=5, quote_bytes=limit)
    assert len(error) == 28 + quoted
    assert len(error) <= 576


def test_labels_stand_in_an_extension_behind_a_padded_quote() -> None:
    error = icmp.error4(
        udp(20)[:40], ROUTER, icmp.TIME_EXCEEDED, ttl=64, number=5, labels=((1000, 1), (2000, 3))
    )
    assert error[25] == 32  # RFC 4884: length of the quote in 32-bit words
    extension = error[28 + 128 :]
    assert extension[0] >> 4 == 2 and total(extension) == 0xFFFF
    size, kind, subtype = struct.unpack("!HBB", extension[4:8])
    assert (size, kind, subtype) == (12, 1, 1)
    first, second = struct.unpack("!II", extension[8:16])
    assert (first >> 12, first >> 8 & 1, first & 0xFF) == (1000, 0, 1)
    assert (second >> 12, second >> 8 & 1, second & 0xFF) == (2000, 1, 3)
    assert total(error[20:]) == 0xFFFF


@pytest.mark.parametrize("labels", [(), ((77, 1),)])
def test_icmpv6_errors_are_signed_over_the_pseudo_header(labels: tuple[tuple[int, int], ...]) -> None:
    here, there = bytes(15) + b"\1", bytes(15) + b"\2"
    packet = icmp.header6(here, there, 3, 17, 1400) + bytes(1400)
    error = icmp.error6(packet, there, icmp.TIME_EXCEEDED6, hop_limit=9, labels=labels)
    body = error[40:]
    assert total(there + here + struct.pack("!II", len(body), 58) + body) == 0xFFFF
    assert len(error) <= 1280 and error[24:40] == here and error[7] == 9


def test_a_refusal_acknowledges_the_syn() -> None:
    syn = struct.pack("!HHIIBBHHH", 61_000, 81, 1234, 0, 0x50, 0x02, 1000, 0, 0)
    packet = icmp.header4(SOURCE, ROUTER, 60, 6, len(syn), 1) + syn
    reset = icmp.reset4(packet)
    assert reset[12:20] == ROUTER + SOURCE
    assert struct.unpack("!HHII", reset[20:32]) == (81, 61_000, 0, 1235)
    assert reset[33] == 0x14
    assert total(ROUTER + SOURCE + struct.pack("!HH", 6, 20) + reset[20:]) == 0xFFFF


@pytest.mark.parametrize("mtu", [576, 1400, 1006])
def test_fragments_fit_and_add_up(mtu: int) -> None:
    packet = udp(1480)[:1500]
    pieces = icmp.fragments(packet, mtu)
    whole = bytearray(1480)
    for number, piece in enumerate(pieces):
        assert len(piece) <= mtu and total(piece[:20]) == 0xFFFF
        assert int.from_bytes(piece[2:4]) == len(piece)
        flags = int.from_bytes(piece[6:8])
        assert bool(flags & 0x2000) == (number < len(pieces) - 1)
        start = (flags & 0x1FFF) * 8
        whole[start : start + len(piece) - 20] = piece[20:]
    assert whole == packet[20:]
