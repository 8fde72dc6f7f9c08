"""Kernel time stamps of a socket: asking for them, reading them, and knowing when they cannot be trusted.

Linux stamps a packet when the driver takes it and when the device hands it up (`SO_TIMESTAMPING`, kernel
documentation `networking/timestamping.rst`). The stamps are CLOCK_REALTIME, so a stepped clock spoils a
difference of two of them: `drift_ns` sees the step.
"""

import socket
import struct
import time
from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

from nettrace.measure.kernel.clock import ALLOWED_PPM, READ_NOISE_NS, Reading
from nettrace.model.measurement import Grade, Stage

SO_TIMESTAMPING = 37
MSG_ERRQUEUE = 0x2000
_DRAIN_FLAGS = MSG_ERRQUEUE | int(socket.MSG_DONTWAIT)
IP_RECVERR = 11
IPV6_RECVERR = 25

TX_SOFTWARE = 1 << 1
TX_SCHED = 1 << 8
RX_SOFTWARE = 1 << 3
SOFTWARE = 1 << 4
OPT_ID = 1 << 7
TX_ACK = 1 << 9
OPT_TSONLY = 1 << 11
OPT_ID_TCP = 1 << 16

RECEPTION_FLAGS = RX_SOFTWARE | SOFTWARE
STREAM_FLAGS = RECEPTION_FLAGS | OPT_ID | OPT_TSONLY
DATAGRAM_FLAGS = STREAM_FLAGS | TX_SCHED | TX_SOFTWARE

ANCILLARY_BYTES = 256
_ORIGIN_TIMESTAMPING = 4
LEFT, QUEUED, ACKNOWLEDGED = range(3)
"""Which stamp of a packet it is (linux/errqueue.h): the driver's, of entering the device's queue, of the peer's ACK."""
_STAMPS = struct.Struct("@6l")
_EXTENDED_ERROR = struct.Struct("=IBBBBII")

Ancillary = Iterable[tuple[int, int, bytes]]


class Sent(NamedTuple):
    """One message of the error queue: a stamp of the bytes that end at offset `key`.

    Attributes:
        which: `LEFT`, `QUEUED` or `ACKNOWLEDGED`.
    """

    key: int
    at_ns: int
    which: int


@lru_cache(maxsize=1)
def keep_stamping() -> int:
    """A socket, open for the life of the process, that keeps the kernel's reception stamping switched on.

    Without one the kernel patches its own code whenever the last stamped socket closes and the next opens
    (50 us on every core, measured), and the first packets after that come unstamped.
    """
    holder = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
    request(holder, RECEPTION_FLAGS)
    return holder.detach()


def request(sock: socket.socket, flags: int) -> bool:
    """Ask the kernel for stamps; False when it does not know how (then the user clock must do)."""
    try:
        sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPING, flags)
    except OSError:
        return False
    return True


def request_stream(sock: socket.socket) -> bool:
    """Ask for stamps on an established TCP connection, counted in bytes from here on."""
    return request(sock, STREAM_FLAGS | OPT_ID_TCP) or request(sock, STREAM_FLAGS)


def _wish(flags: int) -> tuple[tuple[int, int, bytes]]:
    return ((socket.SOL_SOCKET, SO_TIMESTAMPING, struct.pack("=I", flags)),)


ENCLOSING = TX_SCHED | TX_SOFTWARE
"""Both stamps of a departure: of entering the device's queue, and the driver's."""
ENCLOSING_WISH = _wish(ENCLOSING)
"""The control message that asks for both of one send."""
ANSWER_WISH = _wish(ENCLOSING | TX_ACK)
"""The same, and for the stamp of the peer's ACK."""
FIRST_SENDS = 4
"""So many packets of a batch find the kernel's own code out of the cache: from one stamp to the other takes them ten times
as long as those behind them. Where CPU time counts, only these ask for both."""

ENCLOSED_NS = 20_000
"""Two stamps of a packet so far apart enclose its way to the device; further apart they enclose its wait in a queue or an
interruption, and only the driver's is near the departure."""
ENCLOSED_ERROR_NS = 500
"""What the middle of the two is uncertain by, beside half of what lies between them."""


def enclosed(queued_ns: int | None, left_ns: int) -> tuple[int, int] | None:
    """(moment, half-width of its bar) of a departure that two stamps enclose; None where they tell no more than the driver's.

    The device's boundary, where AF_PACKET sees the packet, lies between them (net/core/dev.c).

    >>> enclosed(1_000, 5_000), enclosed(1_000, 9_000_000), enclosed(None, 5_000)
    ((3000, 2500), None, None)
    """
    if queued_ns is None or not 0 <= left_ns - queued_ns <= ENCLOSED_NS:
        return None
    half = (left_ns - queued_ns) // 2
    return left_ns - half, half + ENCLOSED_ERROR_NS


def received_at(ancillary: Ancillary) -> int | None:
    """The reception stamp (UTC ns) among control messages, or None."""
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == SO_TIMESTAMPING and len(data) >= _STAMPS.size:
            seconds, ns, *_ = _STAMPS.unpack_from(data)
            if seconds:
                return seconds * 1_000_000_000 + ns
    return None


def drain(sock: socket.socket, most: int | None = None) -> list[Sent]:
    """The stamps that wait in the error queue: `most` of them, or all."""
    found: list[Sent] = []
    while most is None or len(found) < most:
        try:
            _, ancillary, _, _ = sock.recvmsg(1, ANCILLARY_BYTES, _DRAIN_FLAGS)
        except OSError:  # empty, or the connection is gone: reading the data will say which
            return found
        at_ns = received_at(ancillary)
        if at_ns is None:
            continue
        for level, kind, data in ancillary:
            if (level, kind) not in {(socket.IPPROTO_IP, IP_RECVERR), (socket.IPPROTO_IPV6, IPV6_RECVERR)}:
                continue
            if len(data) < _EXTENDED_ERROR.size:
                continue
            _, origin, _, _, _, info, key = _EXTENDED_ERROR.unpack_from(data)
            if origin == _ORIGIN_TIMESTAMPING and info <= ACKNOWLEDGED:
                found.append(Sent(key, at_ns, info))
    return found


def utc_ns() -> int:
    """UTC now, on the clock of the kernel's stamps."""
    return time.clock_gettime_ns(time.CLOCK_REALTIME)


def drift_ns(earlier: Reading, later: Reading) -> int | None:
    """What slewing may have done to a difference of stamps between two readings; None when the clock was set.

    A stamp before the step and one after it do not belong together. Slew goes into the error bar.
    """
    elapsed = later.monotonic - earlier.monotonic
    moved = abs(later.realtime - earlier.realtime - elapsed)
    if moved > READ_NOISE_NS + elapsed * ALLOWED_PPM // 1_000_000:
        return None
    return moved + abs(later.raw - earlier.raw - elapsed)


STAMP_ERROR_NS = 5_000
"""Bar of a reception stamp and of everything that is not the departure (docs/decisions/0050)."""
QUEUED_ERROR_NS = 100_000
"""Bar of a departure stamp taken after the system call that sent the packet: it stood in a queue."""


class Interval(NamedTuple):
    """Everything known about when something left and when its answer came.

    Attributes:
        before: the clocks before the system call that sent it.
        after_ns: UTC after that call.
        left_ns: the driver's stamp of the departure, or None.
        arrived_ns: the kernel's stamp of the arrival, or None.
        read: the clocks after the read that returned it.
        spread_ns: how much earlier than `arrived_ns` it may have come.
        deaf_ns: the longest this program can have overlooked an arrival, or None when nobody watched.
        queued_ns: the kernel's stamp of entering the device's queue, or None.
    """

    before: Reading
    after_ns: int
    left_ns: int | None
    arrived_ns: int | None
    read: Reading
    spread_ns: int = 0
    deaf_ns: int | None = None
    queued_ns: int | None = None

    def stage(self) -> Stage:
        """The duration with its error bar and grade."""
        by_user_ns = self.read.monotonic - self.before.monotonic
        drift = drift_ns(self.before, self.read)
        if drift is None:  # the clock was set meanwhile: nothing is sure but that it took no longer than this
            return Stage(duration_ns=by_user_ns, error_ns=by_user_ns, grade=Grade.USER)
        if self.arrived_ns is None:
            sending_ns = self.after_ns - self.before.realtime
            bar = by_user_ns if self.deaf_ns is None else min(by_user_ns, self.deaf_ns + sending_ns)
            return Stage(duration_ns=by_user_ns, error_ns=bar, grade=Grade.USER)
        bar = STAMP_ERROR_NS + drift + self.spread_ns
        if self.left_ns is not None:
            left, error_ns = enclosed(self.queued_ns, self.left_ns) or (
                self.left_ns,
                self._departure_error_ns(self.left_ns),
            )
            duration_ns = max(0, self.arrived_ns - left)
            return Stage(duration_ns=duration_ns, error_ns=bar + error_ns, grade=Grade.KERNEL)
        half = (self.after_ns - self.before.realtime) // 2
        sent = self.before.realtime + half
        return Stage(duration_ns=max(0, self.arrived_ns - sent), error_ns=bar + half, grade=Grade.RECEPTION)

    def _departure_error_ns(self, left_ns: int) -> int:
        """How much earlier than its stamp the packet may have left.

        The driver stamps after the packet was handed to it and can be interrupted in between, but it does so
        inside the system call: the packet was not there before that began.
        """
        if self.before.realtime <= left_ns <= self.after_ns:
            return left_ns - self.before.realtime
        return QUEUED_ERROR_NS
