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
from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from pathlib import Path
from typing import NamedTuple

from nettrace.errors import Invalid, SourceError

MAGIC = b"NTRANGE1"
_GAP = 0xFFFFFFFF
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
    try:
        network = ip_network(prefix.strip(), strict=False)
    except ValueError as problem:
        raise Invalid(f"{prefix!r} is no prefix") from problem
    return Range(network.version, int(network.network_address), int(network.broadcast_address), value)


def span_range(first: str, last: str, value: str) -> Range:
    """Two addresses as a range; plain integers below 2^32 are IPv4, as in IP2Location's tables.

    Raises:
        Invalid: not two addresses of one family in order.
    """
    try:
        low, high = _address(first), _address(last)
    except ValueError as problem:
        raise Invalid(f"{first!r} - {last!r} is no range") from problem
    if low.version != high.version or int(low) > int(high):
        raise Invalid(f"{first!r} - {last!r} is no range")
    return Range(low.version, int(low), int(high), value)


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
            parsed = ip_address(address)
        except ValueError:
            return None
        if isinstance(parsed, IPv4Address):
            at = bisect_right(self._v4_start, int(parsed)) - 1
            index = self._v4_value[at] if at >= 0 else _GAP
        else:
            mapped = parsed.ipv4_mapped
            if mapped is not None:
                return self.value(str(mapped))
            at = self._v6_at(int(parsed))
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
    by_family: dict[int, list[tuple[int, int, int]]] = {
        4: [],
        6: [],
    }  # first, -last, -(number and value index)
    for number, (family, first, last, value) in enumerate(ranges):
        index = values.setdefault(value, len(values))
        # Sorted, the wider range comes first at the same start; of equals, the one given later: so the first wins.
        by_family[family].append((first, -last, -(number << 32 | index)))
    v4_start, v4_value = array("I"), array("I")
    v6_high, v6_low, v6_value = array("Q"), array("Q"), array("I")
    for start, index in _flattened(sorted(by_family[4])):
        if start <= 0xFFFFFFFF:
            v4_start.append(start)
            v4_value.append(index)
    for start, index in _flattened(sorted(by_family[6])):
        if start >> 128 == 0:
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
    header = json.dumps(
        {"order": sys.byteorder, "entries": entries, "sizes": [len(part) for part in parts]}
    ).encode()
    return b"".join((MAGIC, len(header).to_bytes(8, "little"), _padded(header), *map(_padded, parts)))


def _flattened(nested: Sequence[tuple[int, int, int]]) -> list[tuple[int, int]]:
    """(start, value index) of disjoint ranges out of sorted nested ones; `_GAP` where nothing is known."""
    made: list[tuple[int, int]] = []
    open_ranges: list[tuple[int, int]] = []

    def begin(start: int, index: int) -> None:
        if made and made[-1][0] == start:
            made.pop()
        if not made or made[-1][1] != index:
            made.append((start, index))

    def close_until(start: int) -> None:
        while open_ranges and open_ranges[-1][0] < start:
            last, _ = open_ranges.pop()
            while open_ranges and open_ranges[-1][0] <= last:
                open_ranges.pop()
            begin(last + 1, open_ranges[-1][1] if open_ranges else _GAP)

    for first, minus_last, packed in nested:
        close_until(first)
        index = -packed & 0xFFFFFFFF
        begin(first, index)
        open_ranges.append((-minus_last, index))
    close_until(1 << 129)
    return made


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


def _address(text: str) -> IPv4Address | IPv6Address:
    text = text.strip().strip('"')
    return ip_address(int(text)) if text.isdigit() else ip_address(text)
