"""The internet checksum: whole, incremental, and held at a wanted value.

A one's complement sum of 16-bit words is the number itself modulo 0xFFFF, because 2**16 = 1 (mod 0xFFFF). So
Python's big integers sum a packet in one division instead of one addition a word (RFC 1071, section 1 and 2).
"""

Bytes = bytes | bytearray | memoryview

_ONES = 0xFFFF


def word_sum(data: Bytes) -> int:
    """The words' sum modulo 0xFFFF; an odd last byte counts as if a zero followed. Sums may simply be added.

    >>> hex(word_sum(bytes.fromhex("0001f203f4f5f6f7")))
    '0xddf2'
    """
    number = int.from_bytes(data)
    return (number << 8 if len(data) & 1 else number) % _ONES


def checksum(data: Bytes, start: int = 0) -> int:
    """The checksum of `data` with its checksum field zero; `start` adds a pseudo header's `word_sum`.

    >>> hex(checksum(bytes.fromhex("0001f203f4f5f6f7")))  # the example of RFC 1071, section 3
    '0x220d'
    """
    total = (word_sum(data) + start) % _ONES
    if total == 0 and start == 0 and not any(data):
        return _ONES
    return (-total) % _ONES


def holds(data: Bytes, start: int = 0) -> bool:
    """True when the checksum inside `data` (and a pseudo header's sum) is right."""
    number = int.from_bytes(data)
    if len(data) & 1:
        number <<= 8
    if start:
        number += start
    return number % _ONES == 0 and (start != 0 or number != 0)


def updated(old_checksum: int, old_word: int, new_word: int) -> int:
    """The checksum after one 16-bit word changed: RFC 1624, equation 3, HC' = ~(~HC + ~m + m').

    >>> hex(updated(0xDD2F, 0x5555, 0x3285))  # the example of RFC 1624, section 4
    '0x0'
    """
    total = (~old_checksum & _ONES) + (~old_word & _ONES) + new_word
    total = (total & _ONES) + (total >> 16)
    return ~((total & _ONES) + (total >> 16)) & _ONES


def balance(others: int, wanted: int) -> int:
    """The word that makes a packet's checksum come out as `wanted` (1 to 0xFFFE).

    Args:
        others: `word_sum` of everything else the checksum covers, its own field left out.
        wanted: the checksum to hold.
    """
    return -(others + wanted) % _ONES


def pseudo_sum(source: bytes, destination: bytes, protocol: int, transport_bytes: int) -> int:
    """`word_sum` of the pseudo header (RFC 9293 section 3.1 for IPv4, RFC 8200 section 8.1 for IPv6)."""
    return (int.from_bytes(source) + int.from_bytes(destination) + protocol + transport_bytes) % _ONES
