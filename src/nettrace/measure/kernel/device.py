"""What a network device's driver can do with time, asked as ethtool(8) does."""

import fcntl
import socket
import struct
from array import array

_SIOCETHTOOL, _GET_TS_INFO = 0x8946, 0x41
_TX_SOFTWARE = 1 << 1
_INFO = struct.Struct("=II36x")
"""struct ethtool_ts_info: command, what SO_TIMESTAMPING can ask of the driver, and what hardware can do."""


def stamps_departures(interface: int) -> bool:
    """True when the driver of this device stamps a packet as it takes it (SOF_TIMESTAMPING_TX_SOFTWARE).

    Drivers of tunnels do not: what they are given may wait, be wrapped and be dropped before it leaves.
    """
    answer = array("B", _INFO.pack(_GET_TS_INFO, 0))
    try:
        name = socket.if_indextoname(interface).encode()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
            fcntl.ioctl(asking, _SIOCETHTOOL, struct.pack("16sP16x", name, answer.buffer_info()[0]))
    except OSError:
        return False
    return bool(_INFO.unpack(answer)[1] & _TX_SOFTWARE)
