"""The socket error queue: departure stamps, and ICMP errors that any user may read (ip(7), IP_RECVERR).

Both come through `recvmsg(MSG_ERRQUEUE)` as a `sock_extended_err`: departure stamps with the origin
"timestamping" and the number of the send, ICMP errors with the router's address, its own reception stamp, the
TTL it arrived with, and as data what it quoted behind the transport header.
"""

import socket
import struct
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path

from nettrace.measure.kernel.stamps import (
    ENCLOSING_WISH,
    IP_RECVERR,
    IPV6_RECVERR,
    MSG_ERRQUEUE,
    OPT_ID,
    OPT_TSONLY,
    RX_SOFTWARE,
    SO_TIMESTAMPING,
    SOFTWARE,
    TX_SOFTWARE,
)
from nettrace.measure.packets.ip import packed
from nettrace.measure.tracing.match import QueuedError

OPT_CMSG = 1 << 10
PROBE_FLAGS = TX_SOFTWARE | RX_SOFTWARE | SOFTWARE | OPT_ID | OPT_CMSG
"""What a probe's socket asks for; `probe_flags` adds what this host makes necessary."""
SCM_TS_OPT_ID = 81
SO_RXQ_OVFL = 40
IP_MTU_DISCOVER = 10
IP_RECVTTL = 12
IP_RECVERR_RFC4884 = 26
IPV6_RECVERR_RFC4884 = 31
IPV6_MTU_DISCOVER = 23
IPV6_RECVHOPLIMIT = 51
IPV6_HOPLIMIT = 52
PMTUDISC_PROBE = 3

_ORIGIN_ICMP, _ORIGIN_ICMP6, _ORIGIN_STAMP = 2, 3, 4
_STAMP = struct.Struct("@qq")
_ERROR = struct.Struct("=IBBBBII")
_INT = struct.Struct("@i")
_SEND_NUMBER = struct.Struct("@I")
_BILLION = 1_000_000_000
_PACKETS_GIVEN = Path("/proc/sys/net/core/tstamp_allow_data")

Ancillary = Iterable[tuple[int, int, bytes]]


def stamp_and_ttl(ancillary: Ancillary) -> tuple[int, int | None, int]:
    """(reception stamp or 0, TTL or None, packets the socket ever dropped) of a received packet."""
    stamp, ttl, dropped = 0, None, 0
    for level, kind, data in ancillary:
        if level == 1:
            if kind == SO_TIMESTAMPING:
                seconds, ns = _STAMP.unpack_from(data)
                stamp = seconds * _BILLION + ns
            elif kind == SO_RXQ_OVFL:
                dropped = _SEND_NUMBER.unpack_from(data)[0]
        elif kind in {2, IPV6_HOPLIMIT}:
            ttl = _INT.unpack_from(data)[0]
    return stamp, ttl, dropped


def drain_errors(
    sock: socket.socket,
    stamped: Callable[[int, int, int], None],
    heard: Callable[[QueuedError, int], None] | None = None,
) -> int:
    """Read the error queue empty; how many messages there were.

    Args:
        sock: whose queue.
        stamped: called with (number of the send, stamp, which of its stamps: `stamps.LEFT` or `stamps.QUEUED`).
        heard: called with every ICMP error and its reception stamp (0 without one).
    """
    count = 0
    while True:
        try:
            data, ancillary, _, name = sock.recvmsg(1280, 320, MSG_ERRQUEUE | socket.MSG_DONTWAIT)
        except OSError:  # EAGAIN: empty
            return count
        count += 1
        stamp, ttl, error = 0, None, b""
        for level, kind, body in ancillary:
            if level == 1:
                if kind == SO_TIMESTAMPING:
                    seconds, ns = _STAMP.unpack_from(body)
                    stamp = seconds * _BILLION + ns
            elif kind in {IP_RECVERR, IPV6_RECVERR}:
                error = body
            elif kind in {2, IPV6_HOPLIMIT}:
                ttl = _INT.unpack_from(body)[0]
        if len(error) < _ERROR.size:
            continue
        origin = error[4]
        if origin == _ORIGIN_STAMP:
            *_, which, number = _ERROR.unpack_from(error)
            stamped(number, stamp, which)
        elif heard is not None and origin in {_ORIGIN_ICMP, _ORIGIN_ICMP6}:
            heard(_queued(data, error, ttl, name), stamp)


def _queued(quoted: bytes, error: bytes, ttl: int | None, name: tuple[str, int] | None) -> QueuedError:
    _, origin, kind, code, _, info, extension = _ERROR.unpack_from(error)
    invalid = extension >> 16 & 1
    return QueuedError(
        offender=error[20:24] if origin == _ORIGIN_ICMP else error[24:40],
        icmp_type=kind,
        icmp_code=code,
        quoted=quoted,
        mtu_bytes=info,
        reply_ttl=ttl,
        extensions_at=None if invalid else extension & 0xFFFF or None,
        destination=packed(name[0]) if name else None,
    )


@cache
def probe_flags() -> int:
    """What a probe's socket asks for here.

    A stamp costs the kernel less with the packet it belongs to than in a message of its own, but a host may keep packets
    from those who may not open raw sockets (net.core.tstamp_allow_data = 0), and then says nothing at all.
    """
    try:
        withheld = _PACKETS_GIVEN.read_text().strip() == "0"
    except OSError:  # no such setting, or no /proc
        withheld = False
    return PROBE_FLAGS | OPT_TSONLY if withheld else PROBE_FLAGS


@cache
def numbers_by_request() -> bool:
    """True when this kernel lets the program number its own sends (Linux 6.13): no counting, no doubt."""
    return _takes((socket.SOL_SOCKET, SCM_TS_OPT_ID, _SEND_NUMBER.pack(1)))


@cache
def encloses_departures() -> bool:
    """True when this kernel lets a single send ask for both of its stamps (Linux 4.6)."""
    return _takes(ENCLOSING_WISH[0])


def _takes(control: tuple[int, int, bytes]) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPING, probe_flags())
            sock.bind(("127.0.0.1", 0))
            sock.sendmsg([b""], [control], 0, sock.getsockname())
        except OSError:
            return False
    return True


class SendNumbers:
    """Which probe a departure stamp belongs to.

    Newer kernels stamp with the tag itself. Older ones count the sends of a socket, and whether a refused send
    counts depends on the kernel; so after a refusal the count is begun anew, and stamps of the count before
    are no longer believed.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._by_request = numbers_by_request()
        self._next = 0
        self._tags: dict[int, int] = {}

    def control(self, tag: int, *, enclosed: bool = False) -> list[tuple[int, int, bytes]]:
        """Control messages for sending the probe `tag`, with both stamps of its departure if `enclosed`."""
        wish = ENCLOSING_WISH if enclosed and encloses_departures() else ()
        if self._by_request:
            return [(1, SCM_TS_OPT_ID, _SEND_NUMBER.pack(tag)), *wish]
        return [*wish]

    def sent(self, tag: int) -> None:
        """Note that the kernel took the probe."""
        if not self._by_request:
            self._tags[self._next] = tag
            self._next = self._next + 1 & 0xFFFFFFFF
            if len(self._tags) > 8192:
                del self._tags[next(iter(self._tags))]

    def refused(self) -> None:
        """Note that the kernel refused one."""
        if self._by_request:
            return
        self._tags.clear()
        self._next = 0
        self._sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPING, probe_flags() & ~OPT_ID)
        drain_errors(self._sock, lambda _number, _stamp, _which: None)
        self._sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPING, probe_flags())

    def tag(self, number: int, *, last: bool = True) -> int | None:
        """The probe that the send `number` was, or None when nobody knows; unless `last`, it will be asked for again."""
        if self._by_request:
            return number
        return self._tags.pop(number, None) if last else self._tags.get(number)


def prepare(sock: socket.socket, version: int, flags: int | None = None) -> bool:
    """Ask for stamps, TTLs, ICMP errors and overflow news; True when the kernel gives stamps."""
    sock.settimeout(0)
    for level, option, value in (
        (socket.SOL_SOCKET, SO_RXQ_OVFL, 1),
        (socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 18),
        *(
            (
                (0, IP_RECVERR, 1),
                (0, IP_RECVTTL, 1),
                (0, IP_RECVERR_RFC4884, 1),
                (0, IP_MTU_DISCOVER, PMTUDISC_PROBE),
            )
            if version == 4
            else (
                (41, IPV6_RECVERR, 1),
                (41, IPV6_RECVHOPLIMIT, 1),
                (41, IPV6_RECVERR_RFC4884, 1),
                (41, IPV6_MTU_DISCOVER, PMTUDISC_PROBE),
            )
        ),
    ):
        try:
            sock.setsockopt(level, option, value)
        except OSError:  # an older kernel: the probe works without it
            continue
    try:
        sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPING, probe_flags() if flags is None else flags)
    except OSError:
        return False
    return True


def ttl_control(version: int, ttl: int) -> tuple[int, int, bytes]:
    """The control message that sends one packet with this TTL or hop limit."""
    return (0, 2, _INT.pack(ttl)) if version == 4 else (41, IPV6_HOPLIMIT, _INT.pack(ttl))
