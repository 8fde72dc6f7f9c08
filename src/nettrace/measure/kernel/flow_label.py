"""IPv6 flow labels on ordinary sockets (RFC 6437): what load balancers hash must be the same with and without rights."""

import socket
import struct

from nettrace.measure.packets.ip import packed

_MANAGER, _SEND = 32, 33
"""IPV6_FLOWLABEL_MGR and IPV6_FLOWINFO_SEND of linux/in6.h."""

_REQUEST = struct.Struct("=16s4sBBHHH4x")
"""`struct in6_flowlabel_req`: address and label in network order, the rest in the host's own."""

_GET, _CREATE, _SHARED_BY_USER, _SECONDS = 0, 1, 3, 30


def claim_label(sock: socket.socket, address: str, label: int) -> int:
    """The flow label if this socket may use it, else 0: then routers hash the ports alone.

    It goes into `flowinfo` of the address that the socket is connected to.
    """
    request = _REQUEST.pack(
        packed(address), label.to_bytes(4), _GET, _SHARED_BY_USER, _CREATE, _SECONDS, _SECONDS
    )
    try:
        sock.setsockopt(socket.IPPROTO_IPV6, _MANAGER, request)
        sock.setsockopt(socket.IPPROTO_IPV6, _SEND, 1)
    except OSError:
        return 0
    return label
