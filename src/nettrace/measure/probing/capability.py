"""What this host permits, why not, and the one command that changes it: every rung is tried on loopback."""

import socket
import struct
import time
from collections.abc import Callable
from enum import StrEnum

import msgspec

from nettrace.measure.kernel.errorqueue import (
    PROBE_FLAGS,
    drain_errors,
    numbers_by_request,
    prepare,
    stamp_and_ttl,
)
from nettrace.measure.kernel.ring import VECTORED
from nettrace.measure.kernel.stamps import IP_RECVERR, IPV6_RECVERR, RECEPTION_FLAGS, request
from nettrace.measure.kernel.tcp_info import tcp_info
from nettrace.measure.packets.ip import build_ipv4, build_ipv6, packed
from nettrace.measure.packets.udp import build_udp
from nettrace.measure.probing.remedy import ALLOW_ICMP_DATAGRAMS, ENABLE_IPV6, allow_raw
from nettrace.measure.probing.transport import refusal

ANSWER_WAIT_NS = 300_000_000
"""Loopback answers within microseconds; a stalled host gets this long."""

_DISCARD = 9


class Rung(StrEnum):
    """The ladder, best first."""

    RAW = "raw"
    ICMP_DATAGRAM = "icmp_datagram"
    UDP_ERROR_QUEUE = "udp_error_queue"
    TCP_CONNECT = "tcp_connect"


class RungReport(msgspec.Struct, frozen=True, kw_only=True):
    """One way of probing, for one IP version.

    Attributes:
        serves: what it is used for, in the words of the command line.
        available: it was tried, and answered.
        why: why it is not available, or None.
        remedy: the one command that changes that, or None when it works or no command would.
        sends_stamped: the kernel stamped a departure.
        receptions_stamped: the kernel stamped a reception (for TCP: it tells the handshake's round trip).
    """

    rung: Rung
    version: int
    serves: str
    available: bool
    why: str | None = None
    remedy: str | None = None
    sends_stamped: bool = False
    receptions_stamped: bool = False


class Capabilities(msgspec.Struct, frozen=True, kw_only=True):
    """All rungs for both IP versions, with what the kernel and C library offer beside them.

    Attributes:
        numbers_by_request: departure stamps carry our own numbers (Linux 6.13).
        vectored: many packets go in one system call.
    """

    rungs: tuple[RungReport, ...]
    numbers_by_request: bool
    vectored: bool

    def get(self, rung: Rung, version: int) -> RungReport:
        """The report of one rung. Raises StopIteration when it was not tried."""
        return next(report for report in self.rungs if (report.rung, report.version) == (rung, version))


class _Stamps:
    """What one try on loopback brought."""

    def __init__(self) -> None:
        self.answered = False
        self.sent = False
        self.received = False


_SERVES = {
    Rung.RAW: "ping, trace and sweep by icmp, udp and tcp, many packets a system call",
    Rung.ICMP_DATAGRAM: "ping and trace by icmp",
    Rung.UDP_ERROR_QUEUE: "ping and trace by udp, hop answers from the error queue",
    Rung.TCP_CONNECT: "ping by tcp, trace by tcp one probe at a time, http, ws",
}


def probe_capabilities() -> Capabilities:
    """Try every rung on loopback; takes milliseconds, and a third of a second per rung that stays silent."""
    # Reception stamps begin a little after the first socket asks for them.
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as keeper:
        request(keeper, RECEPTION_FLAGS)
        tries: tuple[tuple[Rung, Callable[[int], _Stamps]], ...] = (
            (Rung.RAW, _try_raw),
            (Rung.ICMP_DATAGRAM, _try_icmp_datagram),
            (Rung.UDP_ERROR_QUEUE, _try_udp),
            (Rung.TCP_CONNECT, _try_tcp),
        )
        rungs = tuple(_report(rung, version, attempt) for rung, attempt in tries for version in (4, 6))
    return Capabilities(rungs=rungs, numbers_by_request=numbers_by_request(), vectored=VECTORED)


def _report(rung: Rung, version: int, attempt: Callable[[int], _Stamps]) -> RungReport:
    if not _has_loopback(version):
        return RungReport(
            rung=rung,
            version=version,
            serves=_SERVES[rung],
            available=False,
            why=f"this host has no IPv{version} loopback address",
            remedy=ENABLE_IPV6 if version == 6 else "sudo ip link set lo up",
        )
    try:
        stamps = attempt(version)
    except OSError as error:
        return RungReport(
            rung=rung,
            version=version,
            serves=_SERVES[rung],
            available=False,
            why=_why(rung, error),
            remedy=_remedy(rung),
        )
    return RungReport(
        rung=rung,
        version=version,
        serves=_SERVES[rung],
        available=stamps.answered,
        why=None if stamps.answered else "this host did not answer itself (a local firewall?)",
        sends_stamped=stamps.sent,
        receptions_stamped=stamps.received,
    )


def _why(rung: Rung, error: OSError) -> str:
    if isinstance(error, PermissionError):
        return {
            Rung.RAW: "raw sockets need CAP_NET_RAW",
            Rung.ICMP_DATAGRAM: "net.ipv4.ping_group_range leaves this user's groups out",
        }.get(rung, "a security policy forbids it")
    return refusal(error)


def _remedy(rung: Rung) -> str | None:
    return {Rung.RAW: allow_raw(), Rung.ICMP_DATAGRAM: ALLOW_ICMP_DATAGRAMS}.get(rung)


def _has_loopback(version: int) -> bool:
    try:
        with socket.socket(_family(version), socket.SOCK_DGRAM) as sock:
            sock.bind((_loopback(version), 0))
    except OSError:
        return False
    return True


def _family(version: int) -> socket.AddressFamily:
    return socket.AF_INET if version == 4 else socket.AF_INET6


def _loopback(version: int) -> str:
    return "127.0.0.1" if version == 4 else "::1"


def _await(step: Callable[[], bool]) -> None:
    until = time.monotonic_ns() + ANSWER_WAIT_NS
    while not step() and time.monotonic_ns() < until:
        time.sleep(0.001)


def _drain_stamps(sock: socket.socket, stamps: _Stamps) -> None:
    def sent(_number: int, at_ns: int, _which: int) -> None:
        stamps.sent = stamps.sent or at_ns > 0

    def heard(_error: object, at_ns: int) -> None:
        stamps.answered = True
        stamps.received = stamps.received or at_ns > 0

    drain_errors(sock, sent, heard)


def _try_raw(version: int) -> _Stamps:
    """A UDP packet of our own making to a socket of our own: sent raw, and heard raw by a second socket."""
    stamps = _Stamps()
    family, here = _family(version), _loopback(version)
    with (
        socket.socket(family, socket.SOCK_RAW, socket.IPPROTO_RAW) as out,
        socket.socket(family, socket.SOCK_RAW, socket.IPPROTO_UDP) as heard,
        socket.socket(family, socket.SOCK_DGRAM) as end,
    ):
        end.bind((here, 0))
        if version == 4:
            out.setsockopt(socket.IPPROTO_IP, socket.IP_HDRINCL, 1)
        out.setsockopt(
            *((socket.IPPROTO_IP, IP_RECVERR, 1) if version == 4 else (socket.IPPROTO_IPV6, IPV6_RECVERR, 1))
        )
        request(out, PROBE_FLAGS)
        request(heard, RECEPTION_FLAGS)
        heard.settimeout(0)
        port = int(end.getsockname()[1])
        datagram = build_udp(packed(here), packed(here), _DISCARD, port, b"nettrace")
        build = build_ipv4 if version == 4 else build_ipv6
        out.sendto(build(packed(here), packed(here), socket.IPPROTO_UDP, datagram), (here, 0))

        def arrived() -> bool:
            _drain_stamps(out, stamps)
            _receive(heard, port, stamps)
            return stamps.answered and stamps.sent

        _await(arrived)
    return stamps


def _receive(sock: socket.socket, port: int, stamps: _Stamps) -> None:
    """Look for our own packet among all the UDP packets of this host."""
    while True:
        try:
            data, ancillary, _, _ = sock.recvmsg(256, 256)
        except OSError:
            return
        at = (data[0] & 15) << 2 if sock.family == socket.AF_INET else 0
        if data[at : at + 4] == struct.pack("!HH", _DISCARD, port) and data.endswith(b"nettrace"):
            stamps.answered = True
            stamps.received = stamps.received or stamp_and_ttl(ancillary)[0] > 0


def _try_icmp_datagram(version: int) -> _Stamps:
    """A ping to ourselves."""
    stamps = _Stamps()
    protocol = socket.IPPROTO_ICMP if version == 4 else socket.IPPROTO_ICMPV6
    with socket.socket(_family(version), socket.SOCK_DGRAM, protocol) as sock:
        prepare(sock, version)
        message = struct.pack("!BBHHH", 8 if version == 4 else 128, 0, 0, 0, 1) + b"nettrace"
        sock.sendto(message, (_loopback(version), 0))

        def arrived() -> bool:
            _drain_stamps(sock, stamps)
            try:
                _, ancillary, _, _ = sock.recvmsg(256, 256)
            except OSError:
                return False
            stamps.answered = True
            stamps.received = stamp_and_ttl(ancillary)[0] > 0
            return True

        _await(arrived)
        _drain_stamps(sock, stamps)
    return stamps


def _try_udp(version: int) -> _Stamps:
    """A datagram to a port nobody listens on: the kernel answers "port unreachable" into the error queue."""
    stamps = _Stamps()
    family, here = _family(version), _loopback(version)
    with socket.socket(family, socket.SOCK_DGRAM) as closed, socket.socket(family, socket.SOCK_DGRAM) as sock:
        closed.bind((here, 0))
        port = int(closed.getsockname()[1])
        closed.close()
        prepare(sock, version)
        sock.connect((here, port))
        sock.send(b"nettrace")

        def arrived() -> bool:
            _drain_stamps(sock, stamps)
            return stamps.answered

        _await(arrived)
    return stamps


def _try_tcp(version: int) -> _Stamps:
    """A connection to ourselves, with the kernel's word on its round trip."""
    stamps = _Stamps()
    family, here = _family(version), _loopback(version)
    with (
        socket.socket(family, socket.SOCK_STREAM) as server,
        socket.socket(family, socket.SOCK_STREAM) as sock,
    ):
        server.bind((here, 0))
        server.listen(1)
        sock.settimeout(ANSWER_WAIT_NS / 1e9)
        sock.connect(server.getsockname())
        stamps.answered = True
        info = tcp_info(sock)
        stamps.received = info is not None and info.rtt_us > 0
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    return stamps
