"""Which probe is this the answer to: 30-bit tags, hidden by a secret so that nobody can guess a live one.

A tag on the wire is a keyed permutation of the tag inside (a four-round Feistel network whose round functions
are pseudorandom tables; Luby and Rackoff, SIAM J. Comput. 17(2), 1988). Live tags are then spread at random
over 2**30 values: with n probes under way to one destination a blind forger hits one in 2**30 / n tries.
"""

from array import array
from hashlib import shake_256
from sys import byteorder

from nettrace.errors import Invalid

TAG_BITS = 30
TAG_LIMIT = 1 << TAG_BITS

_HALF = 0x7FFF
_MASK = b"\x7f\xff" * (_HALF + 1)


class TagCipher:
    """The permutation between tags and what stands on the wire; 256 KiB of tables, shared by all probes.

    Args:
        secret: at least 16 bytes that nobody else knows, fresh for every start of the program.
    """

    __slots__ = ("_a", "_b", "_c", "_d")

    def __init__(self, secret: bytes) -> None:
        if len(secret) < 16:
            raise Invalid("a tag secret needs at least 16 bytes")
        self._a, self._b, self._c, self._d = (_table(secret, number) for number in range(4))

    def hide(self, tag: int) -> int:
        """The 30 bits that stand for `tag` on the wire."""
        left, right = tag >> 15 & _HALF, tag & _HALF
        left ^= self._a[right]
        right ^= self._b[left]
        left ^= self._c[right]
        return left << 15 | right ^ self._d[left]

    def reveal(self, wire: int) -> int:
        """The tag that `hide` made `wire` of; every 30-bit number is some tag's."""
        left, right = wire >> 15 & _HALF, wire & _HALF
        right ^= self._d[left]
        left ^= self._c[right]
        right ^= self._b[left]
        return (left ^ self._a[right]) << 15 | right


def _table(secret: bytes, number: int) -> "array[int]":
    drawn = int.from_bytes(shake_256(b"nettrace-tag-%d|" % number + secret).digest(len(_MASK)))
    entries = array("H", (drawn & int.from_bytes(_MASK)).to_bytes(len(_MASK)))
    if byteorder == "little":
        entries.byteswap()
    return entries
