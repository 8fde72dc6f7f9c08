"""Address ranges and what each belongs to: built once, kept in one file, searched where it lies.

Prefixes may nest; the most specific wins, as in routing. They are flattened into disjoint ranges, so that a
look-up is one binary search, and written as plain arrays that are mapped into memory and never parsed: opening
takes no time and a process holds only the pages it touches.
"""

import json
import mmap
import sys
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from pathlib import Path
from socket import AF_INET, AF_INET6, inet_pton
from typing import NamedTuple

from nettrace.errors import Invalid, SourceError

MAGIC = b"NTRANGE1"
_GAP = 0xFFFFFFFF
_BITS = {4: 32, 6: 128}
_MAPPED = 0xFFFF  # ::ffff:0:0/96, IPv4 written as IPv6
_V6_HALF = 0xFFFFFFFFFFFFFFFF


class Range(NamedTuple):
    """Addresses `first` to `last` of one family (4 or 6) and what is known about them, as text."""

    family: int
    first: int
    last: int
    value: str


def prefix_range(prefix: str, value: str) -> Range:
    """A prefix such as `192.0.2.0/24` (host bits are ignored) as a range.

    Raises:
        Invalid: not a prefix.

    >>> prefix_range("192.0.2.0/24", "x").last - prefix_range("192.0.2.0/24", "x").first
    255
    """
    address, _, length = prefix.strip().partition("/")
    try:
        family, number = _parsed(address)
        size = int(length) if length else _BITS[family]
        if not 0 <= size <= _BITS[family]:
            raise ValueError("length out of range")
    except ValueError as problem:
        raise Invalid(f"{prefix!r} is no prefix") from problem
    host = (1 << _BITS[family] - size) - 1
    return Range(family, number & ~host, number | host, value)


def span_range(first: str, last: str, value: str) -> Range:
    """Two addresses as a range; plain integers below 2^32 are IPv4, as in IP2Location's tables.

    Raises:
        Invalid: not two addresses of one family in order.
    """
    try:
        (family, low), (other, high) = _parsed(first), _parsed(last)
    except ValueError as problem:
        raise Invalid(f"{first!r} - {last!r} is no range") from problem
    if family != other or low > high:
        raise Invalid(f"{first!r} - {last!r} is no range")
    return Range(family, low, high, value)


class RangeTable:
    """Answers what an address belongs to.

    Attributes:
        entries: number of disjoint ranges that have a value.
    """

    def __init__(self, image: bytes | mmap.mmap, name: str = "table") -> None:
        """Read a table from the bytes `compiled` made.

        Raises:
            SourceError: the bytes are no such table, or made on a machine of the other byte order.
        """
        self._image = memoryview(image)
        try:
            counts, parts = _parts(self._image)
        except (ValueError, KeyError, TypeError, OverflowError) as problem:
            raise SourceError(
                f"{name} is not a NetTrace address table or is cut short ({problem})",
                "Make it again: nettrace databases update",
            ) from problem
        self.entries: int = counts["entries"]
        self._v4_start, self._v4_value = parts[0].cast("I"), parts[1].cast("I")
        self._v6_high, self._v6_low, self._v6_value = (
            parts[2].cast("Q"),
            parts[3].cast("Q"),
            parts[4].cast("I"),
        )
        self._offsets, self._text = parts[5].cast("Q"), parts[6]

    @classmethod
    def open(cls, path: Path) -> "RangeTable":
        """The table in a file, mapped into memory.

        Raises:
            SourceError: there is no such table.
        """
        try:
            with path.open("rb") as file:
                return cls(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ), str(path))
        except (OSError, ValueError) as problem:
            raise SourceError(
                f"{path} cannot be read ({problem})", "Make it again: nettrace databases update"
            ) from problem

    def value(self, address: str) -> str | None:
        """What is known about an address, or None; also None for text that is no address."""
        try:
            family, number = _parsed(address)
        except ValueError:
            return None
        if family == 6 and number >> 32 == _MAPPED:
            family, number = 4, number & 0xFFFFFFFF
        if family == 4:
            at = bisect_right(self._v4_start, number) - 1
            index = self._v4_value[at] if at >= 0 else _GAP
        else:
            at = self._v6_at(number)
            index = self._v6_value[at] if at >= 0 else _GAP
        if index == _GAP:
            return None
        return bytes(self._text[self._offsets[index] : self._offsets[index + 1]]).decode("utf-8")

    def _v6_at(self, number: int) -> int:
        """Place of the last start not above `number`: halves are compared one after the other."""
        high, low = number >> 64, number & _V6_HALF
        begin, end = bisect_left(self._v6_high, high), bisect_right(self._v6_high, high)
        return bisect_right(self._v6_low, low, begin, end) - 1


def compiled(ranges: Iterable[Range]) -> bytes:
    """The ranges as the bytes of a table. Of two equal ranges the first given wins."""
    values: dict[str, int] = {}
    keys: dict[int, list[int]] = {4: [], 6: []}
    for number, (family, first, last, value) in enumerate(ranges):
        keys[family].append(_key(family, first, last, number, values.setdefault(value, len(values))))
    v4_start, v4_value = array("I"), array("I")
    v6_high, v6_low, v6_value = array("Q"), array("Q"), array("I")
    for start, index in _flattened(4, keys.pop(4)):
        v4_start.append(start)
        v4_value.append(index)
    for start, index in _flattened(6, keys.pop(6)):
        v6_high.append(start >> 64)
        v6_low.append(start & _V6_HALF)
        v6_value.append(index)
    texts = [value.encode("utf-8") for value in values]
    offsets = array("Q", [0])
    for text in texts:
        offsets.append(offsets[-1] + len(text))
    parts = [column.tobytes() for column in (v4_start, v4_value, v6_high, v6_low, v6_value, offsets)]
    parts.append(b"".join(texts))
    entries = sum(index != _GAP for column in (v4_value, v6_value) for index in column)
    header = json.dumps({"order": sys.byteorder, "entries": entries, "sizes": list(map(len, parts))}).encode()
    return b"".join((MAGIC, len(header).to_bytes(8, "little"), _padded(header), *map(_padded, parts)))


def _key(family: int, first: int, last: int, number: int, index: int) -> int:
    """A range as one integer that sorts right: by start, then wider first, then later given first.

    So whoever comes last at a start is the most specific, and of equals the first given. One integer instead
    of a tuple keeps a million prefixes below 100 MB.
    """
    bits = _BITS[family]
    return ((first << bits | (1 << bits) - 1 - last) << 32 | _GAP - number) << 32 | index


def _flattened(family: int, keys: list[int]) -> Iterator[tuple[int, int]]:
    """(start, value index) of disjoint ranges, in order; `_GAP` where nothing is known. Sorts `keys` in place."""
    bits = _BITS[family]
    highest = (1 << bits) - 1
    keys.sort()
    open_ranges: list[tuple[int, int]] = []
    made = _Starts()
    for key in keys:
        first = key >> 64 + bits
        yield from made.close(open_ranges, first)
        yield from made.begin(first, key & _GAP)
        open_ranges.append((highest - (key >> 64 & highest), key & _GAP))
    yield from made.close(open_ranges, highest + 1)
    yield from made.begin(highest + 1, _GAP)  # hands out the last one; itself it is never handed out


class _Starts:
    """Starts of ranges as they come, each held back until it is known that none replaces it."""

    def __init__(self) -> None:
        self._held: tuple[int, int] | None = None
        self._said = _GAP

    def begin(self, start: int, index: int) -> Iterator[tuple[int, int]]:
        """From `start` on, `index` holds: what was held back for an earlier start is final."""
        held, self._held = self._held, (start, index)
        if held is not None and held[0] != start and held[1] != self._said:
            self._said = held[1]
            yield held

    def close(self, open_ranges: list[tuple[int, int]], start: int) -> Iterator[tuple[int, int]]:
        """End the ranges that stop before `start`: what lies around them holds again."""
        while open_ranges and open_ranges[-1][0] < start:
            last, _ = open_ranges.pop()
            while open_ranges and open_ranges[-1][0] <= last:
                open_ranges.pop()
            yield from self.begin(last + 1, open_ranges[-1][1] if open_ranges else _GAP)


def _parts(image: memoryview) -> tuple[dict[str, int], list[memoryview]]:
    if bytes(image[:8]) != MAGIC:
        raise ValueError("wrong magic number")
    size = int.from_bytes(image[8:16], "little")
    header = json.loads(bytes(image[16 : 16 + size]))
    if header["order"] != sys.byteorder:
        raise ValueError("other byte order")
    at = 16 + size + -size % 8
    parts: list[memoryview] = []
    for length in header["sizes"]:
        part = image[at : at + length]
        if len(part) != length:
            raise ValueError("cut short")
        parts.append(part)
        at += length + -length % 8
    if len(parts) != 7:
        raise ValueError("wrong number of parts")
    return header, parts


def _padded(part: bytes) -> bytes:
    return part + bytes(-len(part) % 8)


def _parsed(text: str) -> tuple[int, int]:
    """Family and number of an address; a plain integer below 2^32 is IPv4, another IPv6.

    Raises:
        ValueError: no address.
    """
    text = text.strip()
    if text.isdecimal():
        number = int(text)
        if number >> 128:
            raise ValueError("larger than an address")
        return (6 if number >> 32 else 4), number
    family = 6 if ":" in text else 4
    try:
        packed = inet_pton(AF_INET6 if family == 6 else AF_INET, text)
    except (OSError, UnicodeError) as problem:
        raise ValueError(str(problem)) from problem
    return family, int.from_bytes(packed)
