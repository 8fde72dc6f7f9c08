"""What both ends of a STAMP session need of the kernel: a stamped UDP socket, and a clock that states its error."""

import socket
import struct
from collections.abc import Callable, Iterable
from functools import lru_cache

import msgspec

from nettrace.measure.kernel.discipline import discipline
from nettrace.measure.kernel.errorqueue import SendNumbers, prepare
from nettrace.measure.kernel.stamps import RECEPTION_FLAGS, keep_stamping, request, utc_ns
from nettrace.measure.packets.stamp import ErrorEstimate
from nettrace.measure.probing.sockets import await_stamps
from nettrace.measure.tracing.stamp import FIRST_TTL

_IP_TTL, _IPV6_HOPS = (0, 2), (41, 16)
_IP_PKTINFO, _IPV6_RECVPKTINFO, _IPV6_PKTINFO = 8, 49, 50
_PKTINFO = struct.Struct("@i4s4s")


class Wall(msgspec.Struct, frozen=True, kw_only=True):
    """This host's clock against UTC.

    Attributes:
        offset_ns: to be added to its readings.
        error_ns: what is then left, at most; None when nobody vouches for it.
    """

    offset_ns: int = 0
    error_ns: int | None = None

    @property
    def estimate(self) -> ErrorEstimate:
        """The same as packets carry it."""
        return ErrorEstimate(self.error_ns, synchronised=self.error_ns is not None)

    def now(self) -> int:
        """UTC, as well as it is known."""
        return utc_ns() + self.offset_ns


Clockwork = Callable[[], Wall]


def kernel_wall() -> Wall:
    """The clock as the kernel vouches for it, with NTP's largest possible error."""
    known = discipline()
    return Wall(error_ns=known.error_ns if known is not None else None)


class StampSocket:
    """A UDP socket whose departures and arrivals the kernel stamps, sending with the full TTL."""

    def __init__(self, version: int) -> None:
        _stamping()
        family = socket.AF_INET if version == 4 else socket.AF_INET6
        self.version = version
        self.sock = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
        self.stamped = prepare(self.sock, version)
        self.sock.setsockopt(*(_IP_TTL if version == 4 else _IPV6_HOPS), FIRST_TTL)
        self.numbers = SendNumbers(self.sock)

    def listen(self, address: str, port: int) -> int:
        """Bind, and tell of each packet which of our addresses it came to; the port."""
        if self.version == 4:
            self.sock.setsockopt(0, _IP_PKTINFO, 1)
        else:
            self.sock.setsockopt(41, socket.IPV6_V6ONLY, 1)
            self.sock.setsockopt(41, _IPV6_RECVPKTINFO, 1)
        self.sock.bind((address, port))
        return int(self.sock.getsockname()[1])


@lru_cache(maxsize=1)
def _stamping() -> int:
    """Reception stamping switched on for the life of the process, and already at work."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        if request(sock, RECEPTION_FLAGS):
            await_stamps(sock)
        return keep_stamping()


def came_to(ancillary: Iterable[tuple[int, int, bytes]]) -> list[tuple[int, int, bytes]]:
    """Control messages that let a reply leave from the address its request came to."""
    for level, kind, data in ancillary:
        if (level, kind) == (0, _IP_PKTINFO) and len(data) >= _PKTINFO.size:
            _, ours, _ = _PKTINFO.unpack_from(data)
            return [(0, _IP_PKTINFO, _PKTINFO.pack(0, ours, bytes(4)))]
        if (level, kind) == (41, _IPV6_PKTINFO):
            return [(41, _IPV6_PKTINFO, bytes(data))]
    return []
