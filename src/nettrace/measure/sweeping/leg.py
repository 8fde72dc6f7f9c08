"""One IP version's half of a sweep: its raw sockets, its packets, its machine, and the stamps between them."""

import contextlib
import errno
import socket
import time
from array import array

from nettrace.errors import Unmeasurable
from nettrace.measure.kernel.raw_sockets import (
    BOTH_STAMPS,
    RECEPTION_STAMPS,
    attach_filter,
    only_icmp,
    stamp,
    widen,
)
from nettrace.measure.kernel.ring import OUT_PACKET, VECTORED, Inbox, Outbox
from nettrace.measure.sweeping.packets import Packets, word
from nettrace.measure.sweeping.replies import REPLY_BYTES, Replies
from nettrace.measure.sweeping.targets import Pinned
from nettrace.measure.tracing.flow import FIRST_SOURCE_PORT
from nettrace.measure.tracing.sweep import Batch, Sweep
from nettrace.measure.tracing.sweep_table import SENT, SLOTS, STAMPED, SweepOptions
from nettrace.model.instant import NS_PER_S, Instant
from nettrace.model.measurement import Method

BATCH = 256
_NOBODY = Pinned("", None)
_STAMP_BYTES = 64
_NUMBER_AT, _ORIGIN_AT = 92, 84
"""Where an error-queue message holds the number and the origin of its stamp, behind SCM_TIMESTAMPING."""
_ORIGIN_TIMESTAMPING = 4
_TRANSIENT = {errno.EAGAIN, errno.ENOBUFS, errno.EINTR}
_IPV6_RECVHOPLIMIT, _ICMPV6_FILTER, _SOL_ICMPV6 = 51, 1, 58


class Leg:
    """Sends and hears one IP version's probes.

    Args:
        version: 4 or 6.
        method: what is sent.
        port: destination port or None.
        flow: number of the flow.
        options: how to measure.

    Attributes:
        bracket_ns: half-width of the widest send call, the error of departures the kernel did not stamp.

    Raises:
        Unmeasurable: raw sockets are not permitted here.
    """

    def __init__(
        self, version: int, method: Method, port: int | None, flow: int, options: SweepOptions
    ) -> None:
        self.version = version
        self.packets = Packets(method, version, port, flow, Sources(version).source_of)
        exceeded, arrived = ((11, 0), (3, 3)) if version == 4 else ((3, 0), (1, 4))
        self.sweep = Sweep(
            options._replace(
                time_exceeded=word(exceeded[0] << 8 | exceeded[1]),
                arrived=word(arrived[0] << 8 | arrived[1]) if method is Method.UDP else -1,
                exact=method is Method.UDP,
            ),
            by_slot=method is not Method.UDP,
        )
        self.table = self.sweep.table
        if self.sweep.by_slot:
            self.table.slot_mark = self.packets.marks
        self.rows: list[Pinned] = []
        self.templates: list[bytes] = []
        self.totals: list[int] = []
        self.bracket_ns = 0
        self._open(version, method)
        self.replies = Replies(method, version, self._inbox, self.sweep.extras)
        self._ttl_of = bytes(lane.ttl for lane in self.sweep.lanes).ljust(256, b"\0")
        self._left: tuple[int, int, int] | None = None
        self._base = 1

    def _open(self, version: int, method: Method) -> None:
        family = socket.AF_INET if version == 4 else socket.AF_INET6
        icmp = socket.IPPROTO_ICMP if version == 4 else socket.IPPROTO_ICMPV6
        self._stack = contextlib.ExitStack()
        try:
            self._sender, self._hearer = (
                self._stack.enter_context(socket.socket(family, socket.SOCK_RAW, protocol))
                for protocol in (socket.IPPROTO_RAW, icmp)
            )
        except PermissionError as problem:
            self._stack.close()
            raise Unmeasurable(
                "this user may not open raw sockets", "Try as root, or see nettrace doctor"
            ) from problem
        widen(self._sender)
        stamp(self._sender, BOTH_STAMPS)
        _listen(self._hearer, version)
        if version == 4:
            only_icmp(self._hearer, (0, 3, 11) if method is Method.ICMP else (3, 11))
        self._outbox = Outbox(self._sender, batch=BATCH, packet_bytes=self.packets.stride - OUT_PACKET)
        self._outbox.lengths[:] = memoryview(array("Q", [self.packets.layout.size] * BATCH))
        self._errors = Inbox(self._sender, batch=BATCH, packet_bytes=8, error_queue=True)
        self._inbox = Inbox(self._hearer, batch=BATCH, packet_bytes=REPLY_BYTES)
        self._direct: Inbox | None = None
        self.descriptors = [self._hearer.fileno()]
        if method is Method.TCP:
            tcp = self._stack.enter_context(socket.socket(family, socket.SOCK_RAW, socket.IPPROTO_TCP))
            attach_filter(tcp, _ours(version))
            _listen(tcp, version)
            self._direct = Inbox(tcp, batch=BATCH, packet_bytes=128)
            self.descriptors.append(tcp.fileno())

    def close(self) -> None:
        """Gives the sockets back."""
        self._stack.close()

    # -- rows ----------------------------------------------------------------------------------------------

    def admit(self, pinned: Pinned, address: str, now: Instant) -> None:
        """One more target. Raises OSError when there is no way to its address from here."""
        made = self.packets.target(address)
        about = made.destination
        home = about if isinstance(about, int) else self.replies.addresses.token(about)
        row = self.sweep.admit(about, home, made.mark, now)
        while row >= len(self.templates):
            self.templates += [b""] * 1024
            self.totals += [0] * 1024
            self.rows += [_NOBODY] * 1024
        self.templates[row], self.totals[row] = made.template, made.total
        self.rows[row] = pinned

    # -- packets -------------------------------------------------------------------------------------------

    def send(self, room: int, now: Instant) -> int:
        """Sends at most `room` probes (and one batch); how many left."""
        if self._left is None:
            batch = self.sweep.batch(now, min(room, BATCH))
            if batch is None:
                return 0
            self._compose(batch)
            self._left = (batch.first, 0, len(batch.rows))
        first, done, count = self._left
        before = time.clock_gettime_ns(time.CLOCK_REALTIME)
        taken = self._outbox.send(count - done, done)
        after = time.clock_gettime_ns(time.CLOCK_REALTIME)
        self._note_departure(first + done, taken, before, after)
        done += taken
        self._left = (first, done, count) if done < count else None
        if self._left and self._outbox.failed not in _TRANSIENT:
            self.sweep.refused(first + done)
            self._left = (first, done + 1, count) if done + 1 < count else None
            self._renumber(first + done + 1)
        elif self._left:
            self._renumber(first + done)
        return taken

    def _compose(self, batch: Batch) -> None:
        ttls = batch.steps.translate(self._ttl_of)
        self.packets.compose(self._outbox, batch.first, batch.rows, ttls, self.templates, self.totals)

    def _note_departure(self, first: int, count: int, before: int, after: int) -> None:
        seconds, ns = divmod((before + after) // 2, NS_PER_S)
        self.bracket_ns = max(self.bracket_ns, (after - before) // 2)
        self.table.sent_s[first : first + count] = array("Q", (seconds,)) * count
        self.table.sent_ns[first : first + count] = array("Q", (ns,)) * count

    def _renumber(self, slot: int) -> None:
        """A refused packet may or may not have used up a stamp number: start again from 0 at this slot."""
        self.collect_stamps()
        stamp(self._sender, BOTH_STAMPS)
        self._outbox.sent = 0
        self._base = slot

    def receive(self, now: Instant) -> int:
        """Takes all replies that have come; how many."""
        total = 0
        for inbox in (self._inbox, self._direct):
            while inbox is not None and (count := inbox.receive()):
                self.collect_stamps()
                dropped = self.replies.dropped
                read = self.replies.direct if inbox is self._direct else self.replies.records
                self.sweep.take(read(inbox, count), now)
                if self.replies.dropped > dropped:
                    self.sweep.stalled(now)
                total += count
                if VECTORED and count < inbox.batch:
                    break
        return total

    def collect_stamps(self) -> None:
        """Writes the kernel's departure stamps into the table."""
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
                words = errors.view.cast("Q")
                step = errors.stride // 8
                self._stamped(slot, count, words[2 : end // 8 : step], words[3 : end // 8 : step])
            else:
                self._stamped_singly(count, numbers)
            if VECTORED and count < errors.batch:
                break

    def _slot(self, number: int) -> int:
        return (self._base - 1 + number) % SLOTS + 1

    def _stamped(self, slot: int, count: int, seconds: "memoryview[int]", ns: "memoryview[int]") -> None:
        table = self.table
        memoryview(table.sent_s)[slot : slot + count] = seconds
        memoryview(table.sent_ns)[slot : slot + count] = ns
        if table.live.count(SENT, slot, slot + count) == count:
            table.live[slot : slot + count] = _STAMPED[:count]
        else:
            for each in range(slot, slot + count):
                if table.live[each] & 1:
                    table.live[each] += STAMPED - SENT

    def _stamped_singly(self, count: int, numbers: list[int]) -> None:
        for index in range(count):
            at_ns = self._errors.stamp_ns(index)
            if (
                at_ns is None
                or self._errors.data[index * self._errors.stride + _ORIGIN_AT] != _ORIGIN_TIMESTAMPING
            ):
                continue
            slot = self._slot(numbers[index])
            self.table.sent_s[slot], self.table.sent_ns[slot] = divmod(at_ns, NS_PER_S)
            if self.table.live[slot] & 1:
                self.table.live[slot] += STAMPED - SENT

    def clock_stepped(self) -> None:
        """The clock the kernel stamps with was set: no round trip under way can be told any more."""
        self.collect_stamps()
        self.table.sent_s[:] = array("Q", bytes(8 * (SLOTS + 1)))


_ORIGINS = memoryview(bytes((_ORIGIN_TIMESTAMPING,)) * BATCH)
_STAMPED = bytes((STAMPED,)) * BATCH


class Sources:
    """The address this host sends from, asked once for each /24 or /64."""

    def __init__(self, version: int) -> None:
        self._family = socket.AF_INET if version == 4 else socket.AF_INET6
        self._prefix_bytes = 3 if version == 4 else 8
        self._known: dict[bytes, bytes] = {}

    def source_of(self, destination: bytes) -> bytes:
        """The packed source address to a packed destination. Raises OSError without a route."""
        prefix = destination[: self._prefix_bytes]
        known = self._known.get(prefix)
        if known is None:
            with socket.socket(self._family, socket.SOCK_DGRAM) as asking:
                asking.connect((socket.inet_ntop(self._family, destination), 9))
                known = socket.inet_pton(self._family, asking.getsockname()[0].partition("%")[0])
            if len(self._known) > 50_000:
                self._known.clear()
            self._known[prefix] = known
        return known


def _listen(sock: socket.socket, version: int) -> None:
    widen(sock)
    stamp(sock, RECEPTION_STAMPS)
    if version == 6:
        sock.setsockopt(socket.IPPROTO_IPV6, _IPV6_RECVHOPLIMIT, 1)


def _ours(version: int) -> list[tuple[int, int, int, int]]:
    """A filter for TCP segments to ports no local connection uses; IPv6 raw sockets see no IP header."""
    if version == 6:
        return [(0x28, 0, 0, 2), (0x35, 0, 1, FIRST_SOURCE_PORT), (0x06, 0, 0, 0x40000), (0x06, 0, 0, 0)]
    return [
        (0xB1, 0, 0, 0),
        (0x48, 0, 0, 2),
        (0x35, 0, 1, FIRST_SOURCE_PORT),
        (0x06, 0, 0, 0x40000),
        (0x06, 0, 0, 0),
    ]
