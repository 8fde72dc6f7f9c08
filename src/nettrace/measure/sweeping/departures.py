"""When each probe left, written into a sweep's table: from the socket's error queue, or from a packet ring.

The error queue costs a message a probe. A ring gets a copy of each packet at the moment its device's driver is handed it,
stamped then (`xmit_one` in net/core/dev.c), and costs no system call. But a copy is what left only where the device is
the last one and nothing rewrites the packet behind it; so a ring has to prove itself, and is given up when it does not.
"""

import socket
import sys
from collections import deque

from nettrace.measure.kernel.device import stamps_departures
from nettrace.measure.kernel.frame_ring import INTERFACE, NS, PACKET_AT, SECONDS, Frames
from nettrace.measure.kernel.raw_sockets import BOTH_STAMPS, stamp
from nettrace.measure.kernel.ring import VECTORED, Inbox
from nettrace.measure.sweeping.packets import numbers
from nettrace.measure.tracing.sweep_table import OVERDUE, SENT, SLOTS, STAMPED, Table
from nettrace.model.instant import NS_PER_MS, NS_PER_S, Instant

PROOF_NS = 250 * NS_PER_MS
"""A probe whose copy the ring has not shown after this long is one the ring cannot show."""

_BATCH = 256
_STAMP_BYTES = 64
_NUMBER_AT, _ORIGIN_AT = 92, 84
"""Where an error-queue message holds the number and the origin of its stamp, behind SCM_TIMESTAMPING."""
_ORIGIN_TIMESTAMPING = 4
_ORIGINS = memoryview(bytes((_ORIGIN_TIMESTAMPING,)) * _BATCH)
_STAMPED = bytes((STAMPED,)) * max(_BATCH, Frames.batch)
SLOT_AT, MARK_AT = 4, 26
"""Where a probe over IPv4 has its number, and its secret (UDP's checksum, ICMP's sequence number)."""
_NUMBERS = memoryview(numbers()).cast("B")
_LOW = 0 if sys.byteorder == "little" else 1
"""The half of a 64-bit word that changes."""


class QueuedDepartures:
    """Departure stamps of a socket, as its error queue has them: numbered in the order of sending."""

    def __init__(self, sender: socket.socket, table: Table) -> None:
        self._sender = sender
        self._table = table
        self._errors = Inbox(sender, batch=_BATCH, packet_bytes=8, error_queue=True)
        self._base: int | None = None
        stamp(sender, BOTH_STAMPS)

    def sent(self, slot: int, count: int, now: Instant) -> None:
        """The kernel took so many probes, from this slot on."""
        if self._base is None:
            self._base = slot

    def refused(self) -> None:
        """A refused packet may or may not have used up a stamp number: they start again from 0."""
        self.collect()
        stamp(self._sender, BOTH_STAMPS)
        self._base = None

    def collect(self) -> None:
        """Writes the stamps that have come into the table."""
        errors = self._errors
        while count := errors.receive():
            end = count * errors.stride
            origins = errors.view[_ORIGIN_AT : end : errors.stride]
            numbers = errors.view.cast("I")[_NUMBER_AT // 4 : end // 4 : errors.stride // 4].tolist()
            first, slot = numbers[0], self._slot(numbers[0])
            in_order = numbers == list(range(first, first + count)) and slot + count <= SLOTS + 1
            if (
                in_order
                and origins == _ORIGINS[:count]
                and min(errors.control_sizes[:count].tolist()) > _STAMP_BYTES
            ):
                words, step = errors.view.cast("I"), errors.stride // 4
                memoryview(self._table.sent_s)[slot : slot + count] = words[4 + _LOW : end // 4 : step]
                memoryview(self._table.sent_ns)[slot : slot + count] = words[6 + _LOW : end // 4 : step]
                _seen(self._table.live, slot, count)
            else:
                self._singly(count, numbers)
            if VECTORED and count < errors.batch:
                break

    def _slot(self, number: int) -> int:
        return ((self._base or 1) - 1 + number) % SLOTS + 1

    def _singly(self, count: int, numbers: list[int]) -> None:
        errors, table = self._errors, self._table
        for index in range(count):
            at_ns = errors.stamp_ns(index)
            if at_ns is None or errors.data[index * errors.stride + _ORIGIN_AT] != _ORIGIN_TIMESTAMPING:
                continue
            slot = self._slot(numbers[index])
            table.sent_s[slot], table.sent_ns[slot] = divmod(at_ns, NS_PER_S)
            _seen(table.live, slot, 1)


class RingDepartures:
    """Departures as a packet ring shows them.

    Each copy must have the number and the secret of a probe that is under way, come once, and leave by one device whose
    driver stamps. A stacked device (bond, VLAN) shows two copies; address translation, IPsec and tunnels of this
    host show none that fits.

    Attributes:
        reliable: False once a copy came that cannot be, or one stayed away for `PROOF_NS`.
    """

    def __init__(self, ring: Frames, table: Table) -> None:
        self._ring = ring
        self._table = table
        self._marks = memoryview(bytearray(2 * (SLOTS + 1))).cast("H")
        self._device = 0
        self._sent = self._shown = 0
        self._owed: deque[tuple[Instant, int]] = deque()
        self._seconds, self._ns = memoryview(table.sent_s), memoryview(table.sent_ns)
        self.reliable = True

    def composed(self, slot: int, marks: "memoryview[int]") -> None:
        """The secrets of the probes that go into slots from this one on."""
        self._marks[slot : slot + len(marks)] = marks

    def sent(self, slot: int, count: int, now: Instant) -> None:
        """The kernel took so many probes."""
        self._sent += count
        self._owed.append((now, self._sent))

    def refused(self) -> None:
        """Copies say which probe they are: nothing has to be counted anew."""

    def prove(self, now: Instant) -> None:
        """Judges the ring: what left `PROOF_NS` ago must have been shown."""
        while self._owed and self._owed[0][0] + PROOF_NS <= now:
            if self._shown < self._owed.popleft()[1]:
                self.reliable = False

    def collect(self) -> None:
        """Writes the stamps of what has left into the table."""
        ring, table = self._ring, self._table
        while count := ring.receive():
            slots = ring.halves(PACKET_AT + SLOT_AT)
            first = slots[0]
            end = first + count
            if (
                slots.tobytes() == _NUMBERS[2 * first : 2 * end].tobytes()
                and first
                and table.live.count(SENT, first, end) == count
                and ring.halves(PACKET_AT + MARK_AT) == self._marks[first:end]
                and ring.words(INTERFACE).tobytes() == self._device.to_bytes(4, sys.byteorder) * count
            ):
                self._seconds[first:end] = ring.words(SECONDS)
                self._ns[first:end] = ring.words(NS)
                table.live[first:end] = _STAMPED[:count]
                self._shown += count
            else:
                self._singly(slots.tolist())
            ring.give_back()
            if not ring.more:
                break

    def close(self) -> None:
        """Lets go of the table."""
        self._seconds.release()
        self._ns.release()

    def _singly(self, slots: list[int]) -> None:
        ring, table = self._ring, self._table
        marks, devices = ring.halves(PACKET_AT + MARK_AT).tolist(), ring.words(INTERFACE).tolist()
        seconds, ns = ring.words(SECONDS).tolist(), ring.words(NS).tolist()
        for index, slot in enumerate(slots):
            if not slot or marks[index] != self._marks[slot]:
                continue  # somebody else's: its slot or secret is not one of ours
            if not self._device and stamps_departures(devices[index]):
                self._device = devices[index]
            if devices[index] != self._device or table.live[slot] in {STAMPED, STAMPED + OVERDUE}:
                self.reliable = False
                continue
            self._shown += 1
            table.sent_s[slot], table.sent_ns[slot] = seconds[index], ns[index]
            _seen(table.live, slot, 1)


def _seen(live: bytearray, slot: int, count: int) -> None:
    """These probes were seen to leave."""
    if live.count(SENT, slot, slot + count) == count:
        live[slot : slot + count] = _STAMPED[:count]
    else:
        for each in range(slot, slot + count):
            if live[each] & 1:
                live[each] += STAMPED - SENT
