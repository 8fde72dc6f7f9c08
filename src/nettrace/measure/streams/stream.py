"""One kernel-clocked TCP connection: the wire clock below TLS, HTTP and WebSocket.

Which segments the figures stand for:

* connect: SYN out .. SYN-ACK in, measured inside the kernel (`tcpi_rtt` before any data).
* a mark is the departure of the last byte of one send (the ClientHello, the request, a WebSocket ping).
* an arrival is the reception of the last byte that one read returned, also when segments were coalesced.
* the first byte of an answer has the stamp of the segment at the head of the queue when it is read. When the
  kernel had merged several segments there, it came between the last moment the socket was known to be empty
  (or the peer's ACK of the request) and that stamp; the interval is the error bar.

Stamps are software stamps at the device: where AF_PACKET, and so tcpdump, sees the same segment.
"""

import asyncio
import errno
import socket
from contextlib import suppress
from typing import NamedTuple

from nettrace.measure.kernel import stamps
from nettrace.measure.kernel.clock import Reading, read_clocks
from nettrace.measure.kernel.stamps import Interval, utc_ns
from nettrace.measure.kernel.tcp_info import TcpInfo, tcp_info
from nettrace.measure.streams.deadline import Broken, Deadline, LagMeter, broken_by
from nettrace.model.instant import NS_PER_S
from nettrace.model.measurement import Grade, Reason, Stage

READ_BYTES = 65_536
READS_IN_A_ROW = 16
FIRST_SYN_RETRY_S = 0.9
"""Linux sends a lost SYN again after one second: from then on only the user clock can tell."""

CONNECT_ERROR_NS = 200_000
"""Bar of `tcpi_rtt`: whole microseconds, and stamped when TCP runs, a little after the device."""


class Mark(NamedTuple):
    """A send to measure from.

    Attributes:
        key: offset of its last byte on the connection: the kernel's name for its stamp.
        before: the clocks before the system call.
        after_ns: UTC after it.
        segments: (all, with data) received before it, or None.
        sent_again: segments this connection had had to send more than once by then.
    """

    key: int
    before: Reading
    after_ns: int
    segments: tuple[int, int] | None = None
    sent_again: int = 0


class Arrival(NamedTuple):
    """What one read returned; empty `data` is the end of the stream.

    Attributes:
        at_ns: UTC of its last byte: the kernel's stamp, or the user clock's when `kernel` is False.
        first_at_ns: the same of the segment that held its first byte, or of one coalesced with it.
        empty_at_ns: UTC when the socket was last known to be empty, or 0.
        read: the clocks after the read.
        exact: it was one segment, so the stamp is its first byte's too.
        segments: (all, with data) received so far, or None.
    """

    data: bytes
    at_ns: int
    first_at_ns: int
    kernel: bool
    empty_at_ns: int
    read: Reading
    exact: bool
    segments: tuple[int, int] | None


class Stream:
    """An established connection. Make one with `connect`; always `close` it.

    Attributes:
        connect: the stage SYN .. SYN-ACK.
        retransmitted: how many times the SYN had to be sent again.
        first_answered: it was the first SYN that was answered; of a repeated one only TCP timestamps can tell (None
            without them).
        deadline: what waiting on this connection is measured against; replaceable between exchanges.
    """

    def __init__(
        self, sock: socket.socket, address: str, port: int, deadline: Deadline, *, kernel_stamps: bool
    ) -> None:
        self.address = address
        self.port = port
        self.deadline = deadline
        self.retransmitted = 0
        self.first_answered: bool | None = True
        self.connect = Stage(duration_ns=0, error_ns=0, grade=Grade.USER)
        self._socket = sock
        self._kernel_stamps = kernel_stamps
        self._meter: LagMeter | None = None
        self._written = 0
        self._read_bytes = 0
        self._in_a_row = 0
        self._awaiting = False
        self._expected = 0
        self._stamps: tuple[dict[int, int], ...] = {}, {}, {}
        self._left, self._queued, self._acknowledged = self._stamps
        self._empty_at_ns = 0
        self._segments: tuple[int, int] | None = None
        self._counting = False
        self._segment_bytes = 536

    @property
    def stalled(self) -> bool:
        """This host was held up while the connection was waited on."""
        return self.deadline.stalled

    async def send(self, data: bytes, *, acknowledgement: bool = False) -> Mark:
        """Send all of `data`; the mark is the departure of its last byte.

        Args:
            data: at least one byte.
            acknowledgement: an answer is timed from here: also ask when the peer's ACK came (a lower bound),
                and read segment by segment until `answer_began`.

        Raises:
            Broken: the peer is gone, or does not read for as long as the deadline.
        """
        self._awaiting = acknowledgement
        wish = (
            (stamps.ANSWER_WISH if acknowledgement else stamps.ENCLOSING_WISH) if self._kernel_stamps else ()
        )
        rest = memoryview(data)
        segments, sent_again = None, 0
        if acknowledgement:
            self._counting = True
            info = tcp_info(self._socket)
            segments, sent_again = self._segments_of(info), info.retransmissions if info else 0
            self._segments = segments or self._segments
        before = read_clocks()
        while rest:
            try:
                sent = self._socket.sendmsg([rest], wish)
            except BlockingIOError:
                self._drain()  # an error queue that is not emptied wakes every wait at once
                if not await self.deadline.writable(self._socket):
                    raise Broken(Reason.TIMEOUT, "the peer stopped reading what it is sent") from None
                before = read_clocks()
                continue
            except OSError as error:
                raise broken_by(error.errno or 0) from None
            rest = rest[sent:]
            self._written += sent
            self._expected += 3 if acknowledgement else 2
        after_ns = utc_ns()
        self._collect()
        return Mark(self._written - 1, before, after_ns, segments, sent_again)

    async def receive(self, limit: int = READ_BYTES) -> Arrival:
        """What arrives next, with its stamp.

        Raises:
            Broken: timeout, reset or another error of the connection.
        """
        self._collect()
        woken = False
        while True:
            looked_at_ns = utc_ns()
            try:
                first_stamp = self._first_stamp() if self._awaiting else None
                most = min(limit, self._segment_bytes) if self._awaiting else limit
                data, ancillary, _, _ = self._socket.recvmsg(most, stamps.ANCILLARY_BYTES)
            except BlockingIOError:
                self._empty_at_ns = looked_at_ns
                self._in_a_row = 0
                if woken:
                    self._drain()  # also stamps nobody expected: left there they would wake every wait at once
                woken = await self.deadline.readable(self._socket)
                if not woken:
                    raise Broken(Reason.TIMEOUT, f"no answer within {self.deadline.timeout_s:g} s") from None
                continue
            except OSError as error:
                raise broken_by(error.errno or 0) from None
            arrival = self._arrival(data, stamps.received_at(ancillary), first_stamp)
            self._in_a_row += 1
            if self._in_a_row % READS_IN_A_ROW == 0:
                await asyncio.sleep(0)  # a peer that floods must not keep the others from their turn
            return arrival

    def until_last_byte(self, mark: Mark, arrival: Arrival) -> Stage:
        """From the departure of the mark to the arrival's last byte."""
        return self._stage(mark, arrival, arrival.at_ns, 0)

    def until_first_byte(
        self, mark: Mark, arrival: Arrival, *, only_answer: bool, leading: bool = True
    ) -> Stage:
        """From the departure of the mark to the first byte of its answer.

        Args:
            mark: the request.
            arrival: the first read that held part of the answer.
            only_answer: nothing but the answer can have come since the mark (no TLS session tickets).
            leading: the answer began with the first byte of that read.
        """
        self.answer_began()
        if arrival.exact:
            return self._stage(mark, arrival, arrival.at_ns, 0)
        self._collect()
        acknowledged_at = self._acknowledged.get(mark.key)
        if only_answer and acknowledged_at and _all_with_data(mark.segments, arrival.segments):
            # Every segment since the request carried data, so the first of them carried its ACK as well.
            return self._stage(mark, arrival, acknowledged_at, 0)
        at_ns = arrival.first_at_ns if leading else arrival.at_ns
        earliest = max(acknowledged_at or 0, arrival.empty_at_ns, mark.before.realtime)
        return self._stage(mark, arrival, at_ns, max(0, at_ns - earliest))

    def answer_began(self) -> None:
        """The answer that was waited for has begun: from here on reads may be large."""
        self._awaiting = False

    def sent_again(self, mark: Mark) -> bool:
        """Something had to be sent more than once since the mark (one of a send with `acknowledgement`)."""
        info = tcp_info(self._socket)
        return info is not None and info.retransmissions > mark.sent_again

    def seen_leaving(self, mark: Mark) -> bool:
        """The kernel stamped the departure of the mark."""
        self._collect()
        return mark.key in self._left

    def left_at_ns(self, mark: Mark) -> int:
        """UTC when the mark left: by the kernel's stamps, or the middle of the system call."""
        self._collect()
        left = self._left.get(mark.key)
        if left is None:
            return (mark.before.realtime + mark.after_ns) // 2
        return (stamps.enclosed(self._queued.get(mark.key), left) or (left,))[0]

    def send_last(self, data: bytes) -> None:
        """Send what nobody waits for, if that is possible at once: a goodbye, an alert."""
        with suppress(OSError):
            self._socket.send(data)

    def close(self) -> None:
        """End the connection with a FIN; harmless when it has ended already."""
        if self._meter:
            self._meter.stop()
        self._socket.close()

    def _collect(self) -> None:
        """Take the stamps that are there, if any are still to come."""
        if self._expected:
            self._drain(self._expected)

    def _drain(self, most: int | None = None) -> None:
        if not self._kernel_stamps:
            return
        for sent in stamps.drain(self._socket, most):
            known = self._stamps[sent.which]
            if sent.key not in known:  # a retransmission stamps the same bytes again
                known[sent.key] = sent.at_ns
                self._expected = max(0, self._expected - 1)

    def _first_stamp(self) -> int | None:
        """The stamp of the segment that holds the next byte to read; BlockingIOError when there is none."""
        _, ancillary, _, _ = self._socket.recvmsg(1, stamps.ANCILLARY_BYTES, socket.MSG_PEEK)
        return stamps.received_at(ancillary)

    def _segments_of(self, info: TcpInfo | None) -> tuple[int, int] | None:
        """Counts that belong to exactly what was read so far: None while more waits (a FIN counts one)."""
        if info is None or info.segments_in is None or info.data_segments_in is None:
            return None
        if (info.bytes_received or 0) - self._read_bytes not in {0, 1}:
            return None
        return info.segments_in, info.data_segments_in

    def _arrival(self, data: bytes, stamp: int | None, first_stamp: int | None) -> Arrival:
        read = read_clocks()
        self._read_bytes += len(data)
        single = False
        if self._counting:  # before the first request nobody asks how many there were
            before, self._segments = self._segments, self._segments_of(tcp_info(self._socket))
            single = bool(before and self._segments and self._segments[1] - before[1] <= 1)
        if stamp is not None:
            waited_ns = read.realtime - stamp
            if waited_ns > 1_000_000:
                self.deadline.forgive(min(waited_ns / 1e9, self.deadline.timeout_s))
        elif self._meter is None and data:
            self._meter = LagMeter()  # no stamps here: from now on the user clock at least knows its bar
        at_ns = read.realtime if stamp is None else stamp
        return Arrival(
            data=data,
            at_ns=at_ns,
            first_at_ns=at_ns if first_stamp is None or stamp is None else first_stamp,
            kernel=stamp is not None,
            empty_at_ns=self._empty_at_ns,
            read=read,
            exact=stamp is not None and single and len(data) <= self._segment_bytes,
            segments=self._segments,
        )

    def _stage(self, mark: Mark, arrival: Arrival, at_ns: int, spread_ns: int) -> Stage:
        self._collect()
        return Interval(
            before=mark.before,
            after_ns=mark.after_ns,
            left_ns=self._left.get(mark.key),
            arrived_ns=at_ns if arrival.kernel else None,
            read=arrival.read,
            spread_ns=spread_ns,
            deaf_ns=self._deaf_ns(mark.before.monotonic),
            queued_ns=self._queued.get(mark.key),
        ).stage()

    def _deaf_ns(self, since_ns: int) -> int | None:
        """The longest the loop was deaf since then; None when nobody listened for that the whole time."""
        if self._meter is None or self._meter.started_ns > since_ns:
            return None
        return self._meter.bar_ns

    def _established(self, info: TcpInfo | None, by_user_ns: int) -> None:
        if self._kernel_stamps:
            self._kernel_stamps = stamps.request_stream(self._socket)
        if info:
            self._segment_bytes = info.segment_bytes
            self.retransmitted = info.retransmissions
            # Of a repeated SYN the kernel knows a round trip only by the timestamp that came back.
            later_s = (by_user_ns - info.rtt_us * 1000) / NS_PER_S
            if info.retransmissions:
                self.first_answered = later_s < FIRST_SYN_RETRY_S / 2 if info.rtt_us else None
            self._segments = self._segments_of(info)
        if info and info.rtt_us and not info.retransmissions:
            self.connect = Stage(
                duration_ns=info.rtt_us * 1000, error_ns=CONNECT_ERROR_NS, grade=Grade.KERNEL
            )
            return
        bar = self._meter.bar_ns if self._meter else by_user_ns
        self.connect = Stage(duration_ns=by_user_ns, error_ns=min(bar, by_user_ns), grade=Grade.USER)

    async def establish(self, sockaddr: tuple[str | int, ...], *, metered: bool) -> None:
        """Connect and time it; `connect` does this once.

        Raises:
            Broken: refused, unreachable or no answer in time.
        """
        sock = self._socket
        if metered or not self._kernel_stamps:
            self._meter = LagMeter()
        started = read_clocks()
        code = sock.connect_ex(sockaddr)
        if code not in {0, errno.EINPROGRESS}:
            raise broken_by(code, local=True)
        if not await self.deadline.writable(sock, FIRST_SYN_RETRY_S):
            self._meter = self._meter or LagMeter()
            if not await self.deadline.writable(sock):
                raise Broken(
                    Reason.TIMEOUT,
                    f"no answer to the connection request within {self.deadline.timeout_s:g} s",
                )
        code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        info = tcp_info(sock) if self._kernel_stamps else None
        by_user_ns = read_clocks().monotonic - started.monotonic
        if code:
            bar = min(self._meter.bar_ns, by_user_ns) if self._meter else by_user_ns
            again = info.retransmissions if info else 0
            raise broken_by(code, elapsed_ns=by_user_ns, error_ns=bar, retransmitted=again)
        self._established(info, by_user_ns)


async def connect(
    address: str, port: int, deadline: Deadline, *, kernel_stamps: bool = True, metered: bool = False
) -> Stream:
    """A connection to exactly this address (no name is resolved here).

    Args:
        address: IPv4 or IPv6, the latter with `%interface` where it is link-local.
        port: TCP port.
        deadline: for the connection and, until replaced, everything on it.
        kernel_stamps: False takes all times from the user clock (grade U), as where the kernel has none.
        metered: watch the loop from the start, so that a refusal's time has a narrow bar too.

    Raises:
        Broken: refused, unreachable or no answer in time.
    """
    try:
        family, sockaddr = _socket_address(address, port)
        sock = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    except OSError as error:
        raise broken_by(error.errno or 0, local=True) from None
    stream = Stream(sock, address, port, deadline, kernel_stamps=kernel_stamps)
    try:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if kernel_stamps:
            # Before the handshake already: the kernel takes a moment to switch its stamping on.
            stamps.keep_stamping()
            stamps.request(sock, stamps.RECEPTION_FLAGS)
        await stream.establish(sockaddr, metered=metered)
    except BaseException:
        stream.close()
        raise
    return stream


def _socket_address(address: str, port: int) -> tuple[socket.AddressFamily, tuple[str | int, ...]]:
    """What `socket.connect` wants; OSError when the zone of an IPv6 address is no interface here."""
    if ":" not in address:
        return socket.AF_INET, (address, port)
    bare, _, zone = address.partition("%")
    scope = 0 if not zone else int(zone) if zone.isdecimal() else socket.if_nametoindex(zone)
    return socket.AF_INET6, (bare, port, 0, scope)


def _all_with_data(before: tuple[int, int] | None, after: tuple[int, int] | None) -> bool:
    if before is None or after is None:
        return False
    return after[0] - before[0] == after[1] - before[1]
