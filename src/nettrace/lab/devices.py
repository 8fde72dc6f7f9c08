"""Wires between namespaces and the user-space router: veth pairs, or TUN devices where there are none.

Both deliver whole IP packets with complete checksums: TUN because the lab asks for no offloads, veth because
the lab switches them off. Only veth says when a packet left: the kernel stamps it on the router's end, so a
router that reads late still counts its delay from the right instant (docs/decisions/0062-veth-before-tun.md).
"""

import ctypes
import fcntl
import os
import socket
import time
from abc import ABC, abstractmethod
from contextlib import suppress
from pathlib import Path
from struct import Struct, pack

from nettrace.errors import LabError
from nettrace.lab.netlink import Netlink

NAME = "wire0"
"""The lab's device in every namespace."""

_TUN = Path("/dev/net/tun")
_TUNSETIFF, _IFF_TUN, _IFF_NO_PI = 0x400454CA, 0x1, 0x1000
_SIOCETHTOOL = 0x8946
_OFFLOADS = {"tx": 0x17, "sg": 0x19, "tso": 0x1F, "gso": 0x24, "gro": 0x2C, "rx": 0x15}
_ETH_P_ALL, _PACKET_IGNORE_OUTGOING, _SOL_PACKET = 3, 23, 263
_V4, _V6 = b"\x08\x00", b"\x86\xdd"
_FRAME = 14
_LARGEST_FRAME, _CONTROL_BYTES = 65_600, 64
_SO_TIMESTAMPNS, _SO_SNDBUFFORCE, _SO_RCVBUFFORCE = 35, 32, 33
_BUFFER_BYTES = 16 << 20
_TIMESPEC = Struct("qq")
_LONGEST_WAIT_NS = 50_000_000
"""A packet that seems to have waited longer met a step of the wall clock, which the stamps are taken from."""


class Wire(ABC):
    """The router's end of one namespace's device: whole IP packets in and out, never blocking."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor

    @abstractmethod
    def read(self) -> tuple[bytes, int] | None:
        """The next packet the namespace sent and when (`time.monotonic_ns`), or None."""

    def close(self) -> None:
        """Give this process's hold of the device up."""
        os.close(self.descriptor)

    @abstractmethod
    def write(self, packet: bytes) -> None:
        """Deliver a packet to the namespace; raises OSError when its kernel does not take it."""


class TunWire(Wire):
    """A TUN device: the kernel hands packets over by read and write."""

    def read(self) -> tuple[bytes, int] | None:
        """The next packet the namespace sent and when it was read, or None."""
        try:
            return os.read(self.descriptor, 65_536), time.monotonic_ns()
        except BlockingIOError:
            return None

    def write(self, packet: bytes) -> None:
        """Deliver a packet to the namespace."""
        os.write(self.descriptor, packet)


class VethWire(Wire):
    """The far end of a veth pair, read and written by an AF_PACKET socket."""

    def __init__(self, sock: socket.socket, mac: bytes, peer_mac: bytes) -> None:
        super().__init__(sock.fileno())
        self._socket = sock
        self._head4 = mac + peer_mac + _V4
        self._head6 = mac + peer_mac + _V6

    def close(self) -> None:
        """Give this process's hold of the device up."""
        self._socket.close()

    def read(self) -> tuple[bytes, int] | None:
        """The next packet the namespace sent and when, by the kernel's stamp, or None."""
        try:
            frame, control, _, _ = self._socket.recvmsg(_LARGEST_FRAME, _CONTROL_BYTES)
        except BlockingIOError:
            return None
        seconds, ns = _TIMESPEC.unpack(control[0][2])
        waited = min(max(time.time_ns() - seconds * 1_000_000_000 - ns, 0), _LONGEST_WAIT_NS)
        at = time.monotonic_ns() - waited
        if frame[12:14] == _V4:  # Ethernet pads short packets
            return frame[_FRAME : _FRAME + int.from_bytes(frame[16:18])], at
        return frame[_FRAME:], at

    def write(self, packet: bytes) -> None:
        """Deliver a packet to the namespace."""
        self._socket.send((self._head4 if packet[0] >> 4 == 4 else self._head6) + packet)


def tun_permitted() -> bool:
    """True when this process can open TUN devices."""
    return os.access(_TUN, os.R_OK | os.W_OK)


def open_tun(mtu: int) -> TunWire:
    """A TUN device in the namespace this process is in.

    Raises:
        LabError: when the kernel refuses.
    """
    try:
        descriptor = os.open(_TUN, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        fcntl.ioctl(descriptor, _TUNSETIFF, pack("16sH22x", NAME.encode(), _IFF_TUN | _IFF_NO_PI))
    except OSError as error:
        raise LabError(
            f"cannot make a TUN device: {error.strerror}", f"Is {_TUN} there and ours to open?"
        ) from error
    with Netlink() as kernel:
        kernel.up(NAME, mtu=mtu)
    return TunWire(descriptor)


class VethHome:
    """A namespace of its own for the router's ends of veth pairs."""

    def __init__(self, namespace: int) -> None:
        self.namespace = namespace
        self._count = 0

    def obstacle(self) -> LabError | None:
        """What keeps us from using veth pairs; this process must be in the home, where a pair is tried."""
        try:
            with Netlink() as kernel:
                kernel.add_veth(
                    "try0", bytes((2, 0, 0, 9, 0, 1)), "try1", bytes((2, 0, 0, 9, 0, 2)), self.namespace
                )
            open_port("try0", bytes(6), bytes(6), 1500).close()
        except LabError as error:
            return error
        return None

    def connect(self, mtu: int) -> tuple[str, bytes, bytes]:
        """Make a pair whose near end is in the namespace this process is in.

        Returns:
            The far end's name, and the near and the far end's hardware addresses.
        """
        self._count += 1
        near, far = (bytes((2, 0, 0, end)) + self._count.to_bytes(2) for end in (1, 2))
        peer = f"port{self._count}"
        with Netlink() as kernel:
            kernel.add_veth(NAME, near, peer, far, self.namespace)
            _without_offloads(NAME)
            kernel.up(NAME, mtu=mtu, arp=False)
        return peer, near, far


def open_port(name: str, near: bytes, far: bytes, mtu: int) -> VethWire:
    """The router's end of a pair; this process must be in the veth home.

    Raises:
        LabError: when packet sockets are not permitted.
    """
    _without_offloads(name)
    with Netlink() as kernel:
        kernel.up(name, mtu=mtu, arp=False)
    try:
        sock = socket.socket(
            socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.htons(_ETH_P_ALL)
        )
        sock.setsockopt(_SOL_PACKET, _PACKET_IGNORE_OUTGOING, 1)
        sock.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        for plain, forced in ((socket.SO_RCVBUF, _SO_RCVBUFFORCE), (socket.SO_SNDBUF, _SO_SNDBUFFORCE)):
            sock.setsockopt(socket.SOL_SOCKET, plain, _BUFFER_BYTES)
            with suppress(PermissionError):
                sock.setsockopt(socket.SOL_SOCKET, forced, _BUFFER_BYTES)
        sock.bind((name, 0))
    except OSError as error:
        raise LabError(f"cannot open a packet socket on {name}: {error.strerror}") from error
    return VethWire(sock, near, far)


def _without_offloads(name: str) -> None:
    """Ask for packets as they would be on a wire: whole checksums, no super-packets."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for what, command in _OFFLOADS.items():
            value = ctypes.create_string_buffer(pack("=II", command, 0))
            try:
                fcntl.ioctl(sock, _SIOCETHTOOL, pack("16sP16x", name.encode(), ctypes.addressof(value)))
            except OSError as error:
                if what == "tx":
                    raise LabError(f"cannot switch off offloads of {name}: {error.strerror}") from error
