"""Whole numbers of any width up to 62 bits side by side, without a bit between them: many at once."""

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]

MOST_BITS = 62
"""The widest number."""

_AT_ONCE = 56
"""With up to seven bits before it in its first byte a number of so many still lies within eight bytes."""
_ROOM = bytes(8)


def widths_of(largest: Ints) -> Ints:
    """How many bits hold every number from 0 to each of these.

    >>> widths_of(np.array([0, 1, 255, 256])).tolist()
    [0, 1, 8, 9]
    """
    return np.frexp(largest.astype(np.float64))[1].astype(np.int64)


def write_bits(values: Ints, widths: Ints) -> npt.NDArray[np.uint8]:
    """The numbers behind one another, lowest bit first; the last byte is filled up with zeros.

    >>> write_bits(np.array([5, 1]), np.array([3, 2])).tolist()
    [13]
    """
    place = np.arange(int(widths.sum())) - np.repeat(np.cumsum(widths) - widths, widths)
    return np.packbits((np.repeat(values, widths) >> place & 1).astype(np.uint8), bitorder="little")


def read_bits(data: npt.NDArray[np.uint8], offsets: Ints, widths: Ints) -> Ints:
    """The numbers that begin at these bits, in the shape of `offsets`. Raises ValueError when one ends behind the data.

    >>> read_bits(np.array([13], np.uint8), np.array([0, 3]), np.array([3, 2])).tolist()
    [5, 1]
    """
    if offsets.size and int((offsets + widths).max()) > 8 * len(data):
        raise ValueError("a number ends behind the last bit")
    if widths.size and int(widths.max()) > _AT_ONCE:
        low = read_bits(data, offsets, np.minimum(widths, 32))
        return low | read_bits(data, np.where(widths > 32, offsets + 32, 0), np.maximum(widths - 32, 0)) << 32
    padded = data.tobytes() + _ROOM
    eight = np.ndarray(len(data) + 1, "<i8", padded, strides=(1,))  # the eight bytes from each byte on
    words = eight[offsets >> 3]
    return (words >> (offsets & 7)) & ((1 << widths) - 1)
