"""One IP version's half of a sweep: its raw sockets, its packets, its machine, and the stamps between them."""

import contextlib
import errno
import socket
import time
from array import array

from nettrace.errors import Unmeasurable
from nettrace.measure.kernel.frame_ring import Frames
from nettrace.measure.kernel.raw_sockets import RECEPTION_STAMPS, attach_filter, only_icmp, stamp, widen
from nettrace.measure.kernel.ring import OUT_PACKET, VECTORED, Inbox, Outbox
from nettrace.measure.sweeping.departures import MARK_AT, QueuedDepartures, RingDepartures
from nettrace.measure.sweeping.packets import Packets, word
from nettrace.measure.sweeping.replies import REPLY_BYTES, Replies
from nettrace.measure.sweeping.rings import EVERYTHING, LONGER, Rings, open_rings
from nettrace.measure.sweeping.targets import Pinned
from nettrace.measure.tracing.flow import FIRST_SOURCE_PORT
from nettrace.measure.tracing.sweep import Batch, Sweep
from nettrace.measure.tracing.sweep_table import SLOTS, SweepOptions
from nettrace.model.instant import NS_PER_S, Instant
from nettrace.model.measurement import Method

BATCH = 512
_HEARD, _FEW = 256, 32
_NOBODY = Pinned("", None)
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
                connects=method is Method.TCP,
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
        self._kinds = (0, 3, 11) if method is Method.ICMP else (3, 11)
        self._open(version, method)
        self.replies = Replies(method, version, self._inbox, self.sweep.extras)
        self._ttl_of = bytes(lane.ttl for lane in self.sweep.lanes).ljust(256, b"\0")
        self._left: tuple[int, int, int] | None = None

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
        _listen(self._hearer, version)
        if version == 4:
            only_icmp(self._hearer, self._kinds)
        self._outbox = Outbox(self._sender, batch=BATCH, packet_bytes=self.packets.stride - OUT_PACKET)
        self._outbox.lengths[:] = memoryview(array("Q", [self.packets.layout.size] * BATCH))
        self._direct: Inbox | None = None
        self._long: Inbox | None = None
        self._rings: Rings | None = None
        self.descriptors = [self._hearer.fileno()]
        if method is Method.TCP:
            tcp = self._stack.enter_context(socket.socket(family, socket.SOCK_RAW, socket.IPPROTO_TCP))
            attach_filter(tcp, _ours(version))
            _listen(tcp, version)
            self._direct = Inbox(tcp, batch=_HEARD, packet_bytes=128)
            self.descriptors.append(tcp.fileno())
        elif version == 4:
            self._rings = open_rings(method, self.packets.layout, self._kinds)
        self.departures: QueuedDepartures | RingDepartures
        self._inbox: Inbox | Frames
        if self._rings is None:
            self._use_sockets()
        else:
            self._stack.callback(self._rings.close)
            attach_filter(self._hearer, LONGER)
            self._long = Inbox(self._hearer, batch=_FEW, packet_bytes=REPLY_BYTES)
            self.departures = RingDepartures(self._rings.departures, self.table)
            self._inbox = self._rings.replies
            self.descriptors.append(self._inbox.fileno())

    def _use_sockets(self) -> None:
        self.departures = QueuedDepartures(self._sender, self.table)
        self._inbox = Inbox(self._hearer, batch=_HEARD, packet_bytes=REPLY_BYTES)

    def _give_rings_up(self, rings: Rings, departures: RingDepartures, now: Instant) -> None:
        """Goes on with stamps and replies of the sockets; what the rings have heard until now is read."""
        heard = self._inbox
        departures.close()
        attach_filter(self._hearer, EVERYTHING)
        self._use_sockets()
        for ring in rings:
            ring.mute()
        self._read(heard, now)
        self.replies.listen(self._inbox)
        self._long = None

    def close(self) -> None:
        """Gives the sockets and the rings back."""
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
        self.departures.sent(first + done, taken, now)
        done += taken
        self._left = (first, done, count) if done < count else None
        if self._left and self._outbox.failed not in _TRANSIENT:
            self.sweep.refused(first + done)
            self._left = (first, done + 1, count) if done + 1 < count else None
            self.departures.refused()
        elif self._left:
            self.departures.refused()
        return taken

    def _compose(self, batch: Batch) -> None:
        ttls = batch.steps.translate(self._ttl_of)
        self.packets.compose(self._outbox, batch.first, batch.rows, ttls, self.templates, self.totals)
        if isinstance(self.departures, RingDepartures):
            end, stride = len(batch.rows) * self.packets.stride // 2, self.packets.stride // 2
            self.departures.composed(
                batch.first, self._outbox.view.cast("H")[(OUT_PACKET + MARK_AT) // 2 : end : stride]
            )

    def _note_departure(self, first: int, count: int, before: int, after: int) -> None:
        seconds, ns = divmod((before + after) // 2, NS_PER_S)
        self.bracket_ns = max(self.bracket_ns, (after - before) // 2)
        self.table.sent_s[first : first + count] = array("I", (seconds,)) * count
        self.table.sent_ns[first : first + count] = array("I", (ns,)) * count

    def receive(self, now: Instant) -> int:
        """Takes all replies that have come; how many."""
        departures = self.departures
        if isinstance(departures, RingDepartures):
            departures.collect()
            departures.prove(now)
            if self._rings is not None and not departures.reliable:
                self._give_rings_up(self._rings, departures, now)
        elif self._rings is not None:
            self._rings.replies.receive()  # what was on its way when it was muted would keep `poll` awake
        inboxes = (self._inbox, self._long, self._direct)
        return sum(self._read(inbox, now) for inbox in inboxes if inbox is not None)

    def _read(self, inbox: Inbox | Frames, now: Instant) -> int:
        total, direct = 0, inbox is self._direct
        while count := inbox.receive():
            self.departures.collect()
            dropped = self.replies.dropped
            if direct and isinstance(inbox, Inbox):
                records = self.replies.direct(inbox, count)
            else:
                records = self.replies.records(inbox, count)
            self.sweep.take(records, now)
            if self.replies.dropped > dropped:
                self.sweep.stalled(now)
            total += count
            if isinstance(inbox, Frames):
                inbox.give_back()
                if not inbox.more:
                    break
            elif VECTORED and count < inbox.batch:
                break
        return total

    def clock_stepped(self) -> None:
        """The clock the kernel stamps with was set: no round trip under way can be told any more."""
        self.departures.collect()
        self.table.sent_s[:] = array("I", bytes(4 * (SLOTS + 1)))


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
