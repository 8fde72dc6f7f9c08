"""The internet checksum, against RFC examples and a literal word-by-word sum."""

import pytest

from nettrace.measure.packets.checksum import balance, checksum, holds, pseudo_sum, updated, word_sum


def literal(data: bytes) -> int:
    """RFC 1071, section 4.1, word by word."""
    total = 0
    for at in range(0, len(data) - 1, 2):
        total += data[at] << 8 | data[at + 1]
    if len(data) & 1:
        total += data[-1] << 8
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


@pytest.mark.parametrize(
    "data",
    [b"", b"\0", b"\0\0", b"\xff\xff", b"\xff\xfe\0\1", b"a", bytes(1500), bytes(range(256)) * 5 + b"odd"],
)
def test_it_is_the_sum_that_the_rfc_spells_out(data: bytes) -> None:
    assert checksum(data) == literal(data)


def test_the_example_of_rfc_1071() -> None:
    assert checksum(bytes.fromhex("0001 f203 f4f5 f6f7")) == 0x220D


def test_a_packet_with_its_checksum_holds_and_with_any_bit_flipped_does_not() -> None:
    header = bytearray.fromhex("45000073000040004011b861c0a80001c0a800c7")
    assert holds(header)
    for bit in range(len(header) * 8):
        header[bit >> 3] ^= 1 << (bit & 7)
        assert not holds(header)
        header[bit >> 3] ^= 1 << (bit & 7)


def test_nothing_but_zeros_never_holds() -> None:
    assert not holds(bytes(20))


def test_one_changed_word_is_followed_incrementally() -> None:
    before = bytes.fromhex("45000073000040003f1100000a0000010a000002")
    after = bytes.fromhex("45000073000040003e1100000a0000010a000002")
    assert updated(checksum(before), 0x3F11, 0x3E11) == checksum(after)


def test_the_example_of_rfc_1624_that_rfc_1141_got_wrong() -> None:
    assert updated(0xDD2F, 0x5555, 0x3285) == 0x0000


def test_a_balancing_word_makes_the_checksum_what_one_wants() -> None:
    data = b"\x08\0\0\0\x12\x34\x56\x78" + b"payload!"
    for wanted in (1, 0x1234, 0xFFFE):
        held = balance(word_sum(data), wanted)
        assert checksum(data + held.to_bytes(2)) == wanted


def test_a_pseudo_header_counts_addresses_protocol_and_length() -> None:
    source, destination = bytes((10, 0, 0, 1)), bytes((10, 0, 0, 2))
    spelled_out = source + destination + b"\0\x11\0\x08"
    assert pseudo_sum(source, destination, 17, 8) == word_sum(spelled_out)
