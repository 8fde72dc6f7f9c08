"""What raw and stamped sockets are told before use: stamps, room, filters."""

import contextlib
import ctypes
import socket
import struct
from collections.abc import Sequence

from nettrace.measure.kernel.ring import SO_RXQ_OVFL, SO_TIMESTAMPING

SO_RCVBUFFORCE = 33
SO_ATTACH_FILTER = 26
SOL_RAW, ICMP_FILTER = 255, 1

TX_SOFTWARE, RX_SOFTWARE, REPORT_SOFTWARE, OPT_ID = 1 << 1, 1 << 3, 1 << 4, 1 << 7
BOTH_STAMPS = TX_SOFTWARE | RX_SOFTWARE | REPORT_SOFTWARE | OPT_ID
"""Kernel stamps both ways; sent packets are numbered. Their stamps come with the packet, which costs the kernel less than a
message of its own (docs/decisions/0270). Linux Documentation/networking/timestamping.rst."""

RECEPTION_STAMPS = RX_SOFTWARE | REPORT_SOFTWARE


def raw_permitted() -> bool:
    """False when this user may not open raw sockets. Any other obstacle is for whoever opens one to tell."""
    try:
        socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW).close()
    except PermissionError:
        return False
    except OSError:
        return True
    return True


def stamp(sock: socket.socket, flags: int = BOTH_STAMPS) -> bool:
    """Asks the kernel for stamps on this socket and restarts their numbering; False if it has none."""
    try:
        sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPING, 0)
        sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPING, flags)
    except OSError:
        return False
    return True


def widen(sock: socket.socket, wanted_bytes: int = 32 << 20) -> int:
    """Gives the socket room for bursts, beyond the system's limit where permitted; the bytes it got.

    It also asks to be told of every packet dropped for want of room.
    """
    try:
        sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, wanted_bytes)
    except OSError:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, wanted_bytes)
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, SO_RXQ_OVFL, 1)
    return sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)


def only_icmp(sock: socket.socket, kinds: Sequence[int]) -> None:
    """A raw ICMP socket of IPv4 then hears only these ICMP types (0 to 31)."""
    mask = 0xFFFF_FFFF
    for kind in kinds:
        mask &= ~(1 << kind)
    sock.setsockopt(SOL_RAW, ICMP_FILTER, struct.pack("=I", mask))


def attach_filter(sock: socket.socket, program: Sequence[tuple[int, int, int, int]]) -> None:
    """Attaches a classic BPF program, (code, jump if true, jump if false, value) a step, to a socket."""
    code = bytearray(b"".join(struct.pack("=HBBI", *step) for step in program))
    keep = (ctypes.c_char * len(code)).from_buffer(code)
    header = struct.pack("HL", len(program), ctypes.addressof(keep))
    sock.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, header)
    del keep
