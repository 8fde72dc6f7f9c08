"""What the kernel knows about a TCP connection (`struct tcp_info` of linux/tcp.h), read by offsets.

The struct only ever grows at its end, so the length the kernel returns tells which fields exist.
"""

import socket
import struct
from typing import NamedTuple

_SIZE = 256
# rtt at 68, advmss at 84, total_retrans at 100; since Linux 4.2/4.6: bytes_received at 128, segs_in, data_segs_in
_OLD = struct.Struct("=68xI12xI12xI")
_NEW = struct.Struct("=128xQ4xI8xI")


class TcpInfo(NamedTuple):
    """Times in microseconds, as the kernel keeps them; None where this kernel is too old to tell.

    Attributes:
        rtt_us: smoothed round trip; before any data it is SYN to SYN-ACK exactly.
        segment_bytes: the largest segment the peer may send here.
        retransmissions: segments sent again since the beginning, SYNs included.
        bytes_received: stream bytes received in order (a FIN counts as one).
        segments_in: every segment received.
        data_segments_in: those that carried data.
    """

    rtt_us: int
    segment_bytes: int
    retransmissions: int
    bytes_received: int | None = None
    segments_in: int | None = None
    data_segments_in: int | None = None


def parse_tcp_info(data: bytes) -> TcpInfo | None:
    """The fields of a `struct tcp_info`, or None when it is too short to hold even the old ones."""
    if len(data) < _OLD.size:
        return None
    old = _OLD.unpack_from(data)
    return TcpInfo(*old, *_NEW.unpack_from(data)) if len(data) >= _NEW.size else TcpInfo(*old)


def tcp_info(sock: socket.socket) -> TcpInfo | None:
    """What the kernel says now, or None where it does not say (not Linux, or a sandbox)."""
    try:
        return parse_tcp_info(sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _SIZE))
    except OSError:
        return None
