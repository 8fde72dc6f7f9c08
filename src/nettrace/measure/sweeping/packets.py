"""A sweep's packets: one template a target, a few columns a batch.

The flow of a target never changes, so neither does its packet but for TTL, slot number and secret mark:

- UDP over IPv4: slot in the identification; the mark, one a target, is the checksum (held by two payload bytes);
- UDP over IPv6: slot in the payload beside its complement, so that the checksum, again the mark, stays;
- ICMP: slot in the identification and the payload, a mark a slot in the sequence number, both balanced by their
  complements in the payload: the ICMP checksum, which load balancers hash, stays;
- TCP: slot and mark are the SYN's sequence number.

Words are packed and read in the host's byte order: one's complement sums do not mind (RFC 1071, section 2).
"""

import os
import socket
import sys
from array import array
from collections.abc import Callable, Sequence
from functools import cache
from operator import itemgetter
from struct import Struct
from typing import NamedTuple

from nettrace.measure.kernel.ring import OUT_NAME, OUT_PACKET, Outbox
from nettrace.measure.packets.note import NOTE
from nettrace.measure.tracing.flow import DEFAULT_PORT, flow_digest, flow_words, source_port
from nettrace.measure.tracing.sweep_table import SLOTS
from nettrace.model.measurement import Method

ONES = 0xFFFF
_NAME4, _NAME4_END = OUT_NAME + 4, OUT_NAME + 8
_UDP4, _MARKED, _PORTS = Struct("!4sHH"), Struct("=HH"), Struct("=I")
PROTOCOL = {
    (Method.ICMP, 4): 1,
    (Method.ICMP, 6): 58,
    (Method.UDP, 4): 17,
    (Method.UDP, 6): 17,
    (Method.TCP, 4): 6,
    (Method.TCP, 6): 6,
}


def word(value: int) -> int:
    """A 16-bit number as it reads when its network-order bytes are taken in this host's order."""
    return int.from_bytes(value.to_bytes(2), sys.byteorder)


def word_sum(data: bytes | bytearray) -> int:
    """A number congruent modulo 0xFFFF to the one's complement sum of 16-bit words, in this host's order."""
    padded = bytes(data) + bytes(len(data) & 1)
    return sum(memoryview(padded).cast("H"))


class Target(NamedTuple):
    """What a sweep keeps of a target's packets.

    Attributes:
        template: its outbox slot, ready but for TTL, slot and mark.
        destination: what a quote of its probes must be going to.
        mark: what a quote must show as the checksum (UDP), else 0.
        packed: the address itself.
        total: sum of the words that do not change (TCP, whose checksum is computed for each packet).
    """

    template: bytes
    destination: int | bytes
    mark: int
    packed: bytes
    total: int


class Layout(NamedTuple):
    """Where the words stand that differ between targets or probes, counted from the packet's first byte."""

    size: int
    transport: int
    destination: int
    first: int
    second: int
    check: int
    balance: int | None
    note: int
    slots: tuple[int, ...]
    marks: tuple[int, ...] = ()
    other_slots: tuple[int, ...] = ()
    other_marks: tuple[int, ...] = ()

    @property
    def ttl(self) -> int:
        """Where the TTL or hop limit stands."""
        return 8 if self.transport == 20 else 7


def layout_of(method: Method, version: int) -> Layout:
    """The layout of a method's probes over an IP version."""
    at = 20 if version == 4 else 40
    destination = 16 if version == 4 else 24
    identification = (4,) if version == 4 else ()
    if method is Method.TCP:
        slots, marks = (*identification, at + 4), (at + 6,)
        return Layout(at + 32, at, destination, at, at + 2, at + 16, None, at + 32, slots, marks)
    if method is Method.ICMP:
        note = at + 16
        return Layout(
            *(note + len(NOTE), at, destination, at + 2, at + 4, at + 2, at + 8, note),
            slots=(*identification, at + 12),
            marks=(at + 6,),
            other_slots=(at + 14,),
            other_marks=(at + 10,),
        )
    note = at + 10 if version == 4 else at + 14
    slots, others = ((4,), ()) if version == 4 else ((at + 10,), (at + 12,))
    size = note + len(NOTE)
    return Layout(size, at, destination, at, at + 2, at + 6, at + 8, note, slots, other_slots=others)


class Packets:
    """Templates and columns of one method over one IP version.

    Args:
        method: what is sent.
        version: 4 or 6.
        port: destination port, or None for the method's default.
        flow: number of the flow.
        source_of: the packed address this host sends from to a packed destination.

    Attributes:
        marks: the secret of each slot (ICMP, TCP).
    """

    def __init__(
        self, method: Method, version: int, port: int | None, flow: int, source_of: Callable[[bytes], bytes]
    ) -> None:
        self.method = method
        self.version = version
        self.port = port if port is not None else DEFAULT_PORT[method] or 0
        self.flow = flow
        self.layout = layout_of(method, version)
        self.stride = (OUT_PACKET + self.layout.size + 7) & ~7
        self.marks = array("H", os.urandom(2 * (SLOTS + 1)))
        self._family = socket.AF_INET if version == 4 else socket.AF_INET6
        self._source_of = source_of
        self._blanks: dict[bytes, tuple[bytearray, int]] = {}
        self._secrets: list[int] = []
        self._columns = self._columns_of()
        self._method = method.value
        self._everyday = method is Method.UDP and version == 4

    def target(self, address: str) -> Target:
        """The packets of a target. Raises OSError when there is no route, or the text is not an address."""
        packed = socket.inet_pton(self._family, address)
        source = self._source_of(packed)
        blank, total = self._blanks.get(source) or self._blank(source)
        if self._everyday:
            port = source_port(flow_digest(address, self._method, self.port, self.flow))
            return self._udp4(packed, blank, total, port)
        port, identifier, check, label = flow_words(address, self._method, self.port, self.flow)
        layout = self.layout
        name = OUT_NAME + (4 if self.version == 4 else 8)
        at = OUT_PACKET + layout.destination
        blank[name : name + len(packed)] = blank[at : at + len(packed)] = packed
        about = int.from_bytes(packed, sys.byteorder)
        first, second, mark = port, self.port, 0
        if self.version == 6:
            blank[OUT_PACKET : OUT_PACKET + 4] = (6 << 28 | label).to_bytes(4)
        if self.method is Method.ICMP:
            first, second = check, identifier
            total += about if self.version == 6 else 0
        else:
            total += about
        total += _put(blank, layout.first, first) + _put(blank, layout.second, second)
        if self.method is Method.UDP:
            mark = self._secret()
            blank[OUT_PACKET + layout.check : OUT_PACKET + layout.check + 2] = mark.to_bytes(2, sys.byteorder)
            total += mark
        if layout.balance is not None:
            balance = (-total % ONES).to_bytes(2, sys.byteorder)
            blank[OUT_PACKET + layout.balance : OUT_PACKET + layout.balance + 2] = balance
        return Target(bytes(blank), packed if self.version == 6 else about, mark, packed, total % ONES)

    def _udp4(self, packed: bytes, blank: bytearray, total: int, port: int) -> Target:
        """What `target` does, for the method and version of nearly all sweeps, in a third of the time."""
        if not self._secrets:
            self._secrets = _fresh_secrets()
        mark = self._secrets.pop()
        about = int.from_bytes(packed, sys.byteorder)
        blank[_NAME4:_NAME4_END] = packed
        _UDP4.pack_into(blank, OUT_PACKET + 16, packed, port, self.port)
        (ports,) = _PORTS.unpack_from(blank, OUT_PACKET + 20)
        _MARKED.pack_into(blank, OUT_PACKET + 26, mark, -(total + about + ports + mark) % ONES)
        return Target(bytes(blank), about, mark, packed, 0)

    def compose(
        self,
        outbox: Outbox,
        first: int,
        rows: Sequence[int],
        ttls: bytes,
        templates: Sequence[bytes],
        totals: Sequence[int],
    ) -> None:
        """Fills the outbox with the probes of `rows`, in slots from `first` on."""
        count, stride = len(rows), self.stride
        end = count * stride
        picked = itemgetter(*rows)(templates) if count > 1 else (templates[rows[0]],)
        outbox.view[:end] = b"".join(picked)
        outbox.view[OUT_PACKET + self.layout.ttl : end : stride] = ttls
        words = outbox.view.cast("H")
        for at, values in self._columns:
            words[(OUT_PACKET + at) // 2 : end // 2 : stride // 2] = values[first : first + count]
        if self.method is Method.TCP:
            marks = self.marks[first : first + count]
            checks = array(
                "H",
                [
                    -(totals[row] + slot + mark) % ONES
                    for slot, (row, mark) in enumerate(zip(rows, marks, strict=True), first)
                ],
            )
            words[(OUT_PACKET + self.layout.check) // 2 : end // 2 : stride // 2] = memoryview(checks)

    def _columns_of(self) -> "list[tuple[int, memoryview[int]]]":
        layout = self.layout
        made: tuple[tuple[tuple[int, ...], Callable[[], array[int]]], ...] = (
            (layout.slots, numbers),
            (layout.other_slots, lambda: _complements(numbers())),
            (layout.marks, lambda: self.marks),
            (layout.other_marks, lambda: _complements(self.marks)),
        )
        return [(at, memoryview(values())) for places, values in made for at in places]

    def _secret(self) -> int:
        if not self._secrets:
            self._secrets = _fresh_secrets()
        return self._secrets.pop()

    def _blank(self, source: bytes) -> tuple[bytearray, int]:
        """An outbox slot for targets reached from `source`, and the sum of its constant checksummed words."""
        layout, at = self.layout, self.layout.transport
        length = layout.size - at
        protocol = PROTOCOL[self.method, self.version]
        if self.version == 4:
            header = bytes.fromhex("4500") + layout.size.to_bytes(2) + bytes.fromhex("00004000")
            header += bytes((0, protocol, 0, 0)) + source + bytes(4)
        else:
            header = (
                bytes.fromhex("60000000") + length.to_bytes(2) + bytes((protocol, 0)) + source + bytes(16)
            )
        match self.method:
            case Method.TCP:
                from nettrace.measure.packets.tcp import syn_options  # noqa: PLC0415 - only SYNs need it

                options = syn_options(1460 if self.version == 4 else 1440)
                transport = bytes(12) + bytes.fromhex("8002faf000000000") + options
            case Method.UDP:
                transport = bytes(4) + length.to_bytes(2) + bytes(layout.note - at - 6) + NOTE
            case Method.ICMP:
                transport = bytes((8 if self.version == 4 else 128,)) + bytes(layout.note - at - 1) + NOTE
        name = self._family.to_bytes(2, sys.byteorder)
        blank = bytearray(bytes(OUT_NAME) + name.ljust(OUT_PACKET - OUT_NAME, b"\0") + header + transport)
        total = word_sum(transport)
        if self.method is not Method.ICMP or self.version == 6:
            total += word_sum(source) + word(protocol) + word(length)
        self._blanks[source] = blank.ljust(self.stride, b"\0"), total
        return self._blanks[source]


@cache
def numbers() -> "array[int]":
    """0 to SLOTS, not to be changed; put together from bytes: an array that counts takes 50 times as long."""
    low, words = bytes(range(256)), bytearray(2 * (SLOTS + 1))
    high = b"".join([bytes((each,)) * 256 for each in low])
    words[0::2], words[1::2] = (low * 256, high) if sys.byteorder == "little" else (high, low * 256)
    return array("H", words)


def _complements(words: "array[int]") -> "array[int]":
    """Each word's complement: the two sum to 0xFFFF."""
    return array("H", words.tobytes().translate(_INVERTED))


_INVERTED = bytes(range(255, -1, -1))


def _fresh_secrets() -> list[int]:
    """Checksums nobody can guess: neither 0 (none) nor 0xFFFF, which is the same number."""
    return [drawn % (ONES - 1) + 1 for drawn in array("H", os.urandom(4096))]


def _put(blank: bytearray, at: int, value: int) -> int:
    """Writes a word in network order; its value in this host's."""
    written = value.to_bytes(2)
    blank[OUT_PACKET + at : OUT_PACKET + at + 2] = written
    return int.from_bytes(written, sys.byteorder)
