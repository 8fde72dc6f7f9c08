"""Many packets a system call: `sendmmsg` and `recvmmsg` over arrays that are allocated once.

Every message has a fixed slot in one big buffer, so whole columns (all lengths, all stamps, all ids of a
batch) are read and written at C speed by memoryview slices and `Struct.iter_unpack`, with no Python object per
packet. Where the C library or the ABI is not the expected one (LP64 Linux), the same slots are filled
through `socket.sendmsg` and `recvmsg_into`: slower, with the same layout and the same results.

Slot of an `Outbox`: 32 bytes ancillary data (or as many as it was made with), 32 bytes socket address, then the packet.
Slot of an `Inbox`: 256 bytes ancillary data, 32 bytes socket address, then the packet.
"""

import ctypes
import errno
import socket
import struct
import sys
from collections.abc import Sequence
from typing import NamedTuple, cast

from nettrace.model.instant import NS_PER_S

SO_RXQ_OVFL = 40
SO_TIMESTAMPING = 37
IP_RECVERR, IP_RECVTTL, IP_TTL = 11, 12, 2
IPV6_RECVERR, IPV6_HOPLIMIT = 25, 52
MSG_ERRQUEUE, MSG_DONTWAIT, MSG_TRUNC = 0x2000, 0x40, 0x20

OUT_NAME, OUT_PACKET, NAME_BYTES = 32, 64, 32
IN_CONTROL, IN_NAME, IN_PACKET = 0, 256, 288
HEADER_BYTES = 64

STAMP_CONTROL = struct.Struct("=QiiqQqQqQ")
"""An SCM_TIMESTAMPING message: its header, then software, (unused) and hardware time. It always comes first."""

_STAMP_BYTES, _STAMP_AND_DROPS_BYTES = 64, 88
"""Ancillary data of a stamp, and of a stamp and the number of packets dropped so far."""

_LAYOUT = struct.Struct("=QIxxxxQQQQIxxxxIxxxx")
"""struct mmsghdr of LP64 Linux: name, name length, iovec, iovec count, control, control length, flags, length."""

_SOCKADDR4 = struct.Struct("=H2s4s8x")
_SOCKADDR6 = struct.Struct("=H2sI16sI")
_CMSG = struct.Struct("=Qii")


class _Iovec(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


class _Msghdr(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_void_p),
        ("name_length", ctypes.c_uint32),
        ("iov", ctypes.c_void_p),
        ("iov_count", ctypes.c_size_t),
        ("control", ctypes.c_void_p),
        ("control_length", ctypes.c_size_t),
        ("flags", ctypes.c_int),
    )


class _Mmsghdr(ctypes.Structure):
    _fields_ = (("header", _Msghdr), ("length", ctypes.c_uint))


def _c_library() -> ctypes.CDLL | None:
    expected = (ctypes.sizeof(_Iovec), ctypes.sizeof(_Msghdr), ctypes.sizeof(_Mmsghdr), _LAYOUT.size)
    if not sys.platform.startswith("linux") or expected != (16, 56, HEADER_BYTES, HEADER_BYTES):
        return None
    library = ctypes.CDLL(None, use_errno=True)
    for name in ("sendmmsg", "recvmmsg"):
        if not hasattr(library, name):
            return None
    library.sendmmsg.argtypes = (ctypes.c_int, ctypes.c_void_p, ctypes.c_uint, ctypes.c_int)
    library.recvmmsg.argtypes = (*library.sendmmsg.argtypes, ctypes.c_void_p)
    return library


_LIBRARY = _c_library()
VECTORED = _LIBRARY is not None
"""True when many packets go in one system call here."""


def sockaddr(address: str, port: int = 0) -> bytes:
    """The kernel's socket address (`sockaddr_in`, `sockaddr_in6`) of an address and port; no scope.

    >>> sockaddr("198.18.0.1").hex()
    '02000000c61200010000000000000000'
    """
    if ":" in address:
        packed = socket.inet_pton(socket.AF_INET6, address)
        return _SOCKADDR6.pack(socket.AF_INET6, port.to_bytes(2), 0, packed, 0)
    return _SOCKADDR4.pack(socket.AF_INET, port.to_bytes(2), socket.inet_aton(address))


def address_of(name: bytes | memoryview) -> tuple[str, int]:
    """The address and port in a kernel socket address."""
    family = int.from_bytes(name[:2], sys.byteorder)
    port = int.from_bytes(name[2:4])
    if family == socket.AF_INET6:
        return socket.inet_ntop(socket.AF_INET6, name[8:24]), port
    return socket.inet_ntoa(name[4:8]), port


def time_to_live_control(ttl: int, family: int = socket.AF_INET) -> bytes:
    """Ancillary data that gives one datagram its own TTL or hop limit."""
    level, kind = (socket.IPPROTO_IPV6, IPV6_HOPLIMIT) if family == socket.AF_INET6 else (0, IP_TTL)
    return _CMSG.pack(20, level, kind) + struct.pack("=ixxxx", ttl)


def _control(data: memoryview, start: int, end: int) -> list[tuple[int, int, bytes]]:
    """The ancillary messages between two places: (level, kind, data)."""
    at = start
    found: list[tuple[int, int, bytes]] = []
    while at + 16 <= end:
        length, level, kind = _CMSG.unpack_from(data, at)
        if length < 16 or at + length > end:
            break
        found.append((level, kind, bytes(data[at + 16 : at + length])))
        at += length + 7 & ~7
    return found


class _Slots:
    """`batch` slots of one size with the message headers that point into them."""

    def __init__(
        self, batch: int, packet_at: int, packet_bytes: int, name_at: int, control_bytes: int
    ) -> None:
        self.batch = batch
        self.stride = (packet_at + packet_bytes + 7) & ~7
        self.packet_bytes = self.stride - packet_at
        self.data = bytearray(self.stride * batch)
        self.headers = bytearray(HEADER_BYTES * batch)
        self._iovecs = bytearray(16 * batch)
        self.view = memoryview(self.data)
        self.words = memoryview(self.headers).cast("I")
        self.quads = memoryview(self.headers).cast("Q")
        self.lengths = memoryview(self._iovecs).cast("Q")[1::2]
        data, iovecs = (_address(buffer) for buffer in (self.data, self._iovecs))
        self.at = _address(self.headers)
        for index in range(batch):
            slot = data + index * self.stride
            struct.pack_into("=QQ", self._iovecs, 16 * index, slot + packet_at, self.packet_bytes)
            _LAYOUT.pack_into(
                self.headers,
                HEADER_BYTES * index,
                *(slot + name_at, 32, iovecs + 16 * index, 1, slot, control_bytes, 0, 0),
            )
        self.template = bytes(self.headers)


def _address(buffer: bytearray) -> int:
    return ctypes.addressof((ctypes.c_char * len(buffer)).from_buffer(buffer))


class Outbox(_Slots):
    """Packets to send. Fill slots with `load` (or whole columns through `view`), then `send`.

    Attributes:
        sent: packets this socket has accepted so far: the kernel's stamp ids count them (mod 2**32).
        failed: errno of the packet at which the last `send` stopped short, or 0.
        name_at, packet_at: where in a slot the socket address and the packet are.
    """

    def __init__(
        self, sock: socket.socket, *, batch: int = 256, packet_bytes: int = 128, control_bytes: int = OUT_NAME
    ) -> None:
        self.name_at, self.packet_at = control_bytes, control_bytes + NAME_BYTES
        super().__init__(batch, self.packet_at, packet_bytes, self.name_at, 0)
        self._socket = sock
        self._descriptor = sock.fileno()
        self.sent = 0
        self.failed = 0
        self.name_length(28 if sock.family == socket.AF_INET6 else 16)

    def name_length(self, length: int) -> None:
        """Every message carries an address of this many bytes; 0 on a connected socket."""
        self.words[2::16] = memoryview(bytearray(length.to_bytes(4, sys.byteorder) * self.batch)).cast("I")

    def control_length(self, length: int, first: int | None = None) -> None:
        """Every message, or the first so many, carries this many bytes of ancillary data."""
        count = self.batch if first is None else first
        lengths = bytearray(length.to_bytes(8, sys.byteorder) * count)
        self.quads[5 : 8 * count : 8] = memoryview(lengths).cast("Q")

    def load(self, index: int, name: bytes, packet: bytes, control: bytes = b"") -> None:
        """Puts one packet and its destination into a slot."""
        start = index * self.stride
        self.data[start + self.name_at : start + self.name_at + len(name)] = name
        self.data[start + self.packet_at : start + self.packet_at + len(packet)] = packet
        self.lengths[index] = len(packet)
        self.words[index * 16 + 2] = len(name)
        self.quads[index * 8 + 5] = len(control)
        if control:
            self.data[start : start + len(control)] = control

    def send(self, count: int, first: int = 0) -> int:
        """Sends slots `first` to `first + count`; how many the kernel took. Never blocks."""
        self.failed = 0
        if _LIBRARY is None:
            return self._send_singly(count, first)
        done = 0
        while done < count:
            where = self.at + (first + done) * HEADER_BYTES
            taken = cast("int", _LIBRARY.sendmmsg(self._descriptor, where, count - done, MSG_DONTWAIT))
            if taken <= 0:
                self.failed = ctypes.get_errno()
                if self.failed == errno.EINTR:
                    continue
                break
            done += taken
            self.sent += taken
        return done

    def _send_singly(self, count: int, first: int) -> int:
        for done in range(count):
            start = (first + done) * self.stride
            length = self.lengths[first + done]
            name = (
                self.view[start + self.name_at : start + self.packet_at]
                if self.words[(first + done) * 16 + 2]
                else b""
            )
            ancillary = _control(self.view, start, start + self.quads[(first + done) * 8 + 5])
            packet = self.view[start + self.packet_at : start + self.packet_at + length]
            try:
                self._socket.sendmsg([packet], ancillary, MSG_DONTWAIT, address_of(name) if name else None)
            except OSError as problem:
                self.failed = problem.errno or errno.EIO
                return done
            self.sent += 1
        return count


class Inbox(_Slots):
    """Packets received, or (with `error_queue`) the stamps and errors the kernel holds for a socket.

    Read a slot through `view[i * stride:]`, its length in `size(i)`.

    Attributes:
        packet_at, stamp_format: where in a slot the packet is, and how `struct` reads what stands before it.
    """

    packet_at = IN_PACKET
    stamp_format = f"16xqq{IN_PACKET - 32}x"

    def __init__(
        self, sock: socket.socket, *, batch: int = 256, packet_bytes: int = 320, error_queue: bool = False
    ) -> None:
        super().__init__(batch, IN_PACKET, packet_bytes, IN_NAME, IN_NAME)
        self._socket = sock
        self._descriptor = sock.fileno()
        self._flags = MSG_DONTWAIT | (MSG_ERRQUEUE if error_queue else 0)
        self.sizes = self.words[14::16]
        self.control_sizes = self.quads[5::8]
        self.failed = 0
        self._written = 0

    def receive(self) -> int:
        """Fills slots 0 to n with what waits there; n, 0 when nothing does. Never blocks."""
        self.failed = 0
        if self._written:
            end = self._written * HEADER_BYTES
            self.headers[:end] = self.template[:end]
            self._written = 0
        if _LIBRARY is None:
            self._written = self._receive_singly()
            return self._written
        taken = cast("int", _LIBRARY.recvmmsg(self._descriptor, self.at, self.batch, self._flags, None))
        if taken < 0:
            self.failed = ctypes.get_errno()
            return 0
        self._written = taken
        return taken

    def stamped(self, count: int) -> bool:
        """True when each of the first `count` messages begins with a kernel stamp."""
        first = self.view.cast("Q")[: count * self.stride // 8 : self.stride // 8]
        return (
            first.tolist().count(64) == count and min(self.control_sizes[:count].tolist(), default=64) >= 64
        )

    def sizes_of(self, count: int) -> list[int]:
        """Lengths of the first messages."""
        return self.sizes[:count].tolist()

    def plainly_stamped(self, count: int) -> bool:
        """True when the kernel's stamp begins each of the first `count` messages, and news of drops at most follows."""
        controls = self.control_sizes[:count].tolist()
        return controls.count(_STAMP_BYTES) == count or controls.count(_STAMP_AND_DROPS_BYTES) == count

    def dropped(self, count: int) -> int:
        """Packets the kernel had dropped on this socket when the last of the first `count` messages came; 0 if unsaid."""
        if self.control_sizes[:count].tolist().count(_STAMP_BYTES) == count:
            return 0
        return max(_dropped(self, index) or 0 for index in range(count))

    def stamp_ns(self, index: int) -> int | None:
        """When the kernel saw message `index`, UTC ns, or None without a stamp."""
        if self.control_sizes[index] < STAMP_CONTROL.size:
            return None
        length, level, kind, seconds, ns, *_ = STAMP_CONTROL.unpack_from(self.data, index * self.stride)
        if (length, level, kind) != (64, socket.SOL_SOCKET, SO_TIMESTAMPING) or not seconds:
            return None
        return seconds * NS_PER_S + ns

    def packet(self, index: int) -> bytes:
        """The bytes of message `index`, cut at the slot's size."""
        start = index * self.stride + IN_PACKET
        return bytes(self.view[start : start + min(self.sizes[index], self.packet_bytes)])

    def name(self, index: int) -> tuple[str, int]:
        """Address and port message `index` came from (of the error queue: where the probe was going)."""
        start = index * self.stride + IN_NAME
        return address_of(self.view[start : start + 32])

    def control(self, index: int) -> list[tuple[int, int, bytes]]:
        """The ancillary messages of message `index`: (level, kind, data)."""
        start = index * self.stride
        return _control(self.view, start, start + min(self.control_sizes[index], IN_NAME))

    def _receive_singly(self) -> int:
        for index in range(self.batch):
            start = index * self.stride
            room = self.view[start + IN_PACKET : start + self.stride]
            try:
                size, ancillary, flags, source = self._socket.recvmsg_into([room], IN_NAME, self._flags)
            except OSError as problem:
                self.failed = problem.errno or errno.EIO
                return index
            control = b"".join(
                (_CMSG.pack(16 + len(data), level, kind) + data).ljust(16 + (len(data) + 7 & ~7), b"\0")
                for level, kind, data in sorted(ancillary, key=lambda one: one[1] != SO_TIMESTAMPING)
            )[:IN_NAME]
            self.data[start : start + len(control)] = control
            name = sockaddr(source[0].partition("%")[0], source[1]) if source else bytes(16)
            self.data[start + IN_NAME : start + IN_NAME + len(name)] = name
            self.sizes[index] = size
            self.control_sizes[index] = len(control)
            self.words[index * 16 + 12] = flags
        return self.batch


class Received(NamedTuple):
    """One packet from a `Ring`.

    Attributes:
        at_ns: the kernel's stamp, UTC ns, or None when it gave none.
        dropped: packets this socket has lost so far for want of buffer (SO_RXQ_OVFL), or None if unsaid.
    """

    packet: bytes
    source: str
    at_ns: int | None
    dropped: int | None


class Ring:
    """One socket with its outbox, its inbox and its stamps: the convenient form, a few objects a packet."""

    def __init__(self, sock: socket.socket, *, batch: int = 64, packet_bytes: int = 576) -> None:
        self.outbox = Outbox(sock, batch=batch, packet_bytes=packet_bytes)
        self.inbox = Inbox(sock, batch=batch, packet_bytes=packet_bytes)
        self.errors = Inbox(sock, batch=batch, packet_bytes=64, error_queue=True)

    def send(self, packets: Sequence[tuple[bytes, bytes]]) -> int:
        """Sends (socket address, packet) pairs, at most a batch; how many the kernel took.

        The n-th packet ever taken gets stamp id n - 1: `outbox.sent` before the call is the first one's.
        """
        for index, (name, packet) in enumerate(packets):
            self.outbox.load(index, name, packet)
        return self.outbox.send(len(packets))

    def drain(self) -> list[Received]:
        """Up to a batch of packets that have arrived; empty when there are none."""
        inbox = self.inbox
        return [
            Received(inbox.packet(i), inbox.name(i)[0], inbox.stamp_ns(i), _dropped(inbox, i))
            for i in range(inbox.receive())
        ]

    def drain_stamps(self) -> list[tuple[int, int]]:
        """Up to a batch of (stamp id, UTC ns) of packets that have left."""
        stamps: list[tuple[int, int]] = []
        for index in range(self.errors.receive()):
            at_ns, number = self.errors.stamp_ns(index), stamp_id(self.errors, index)
            if at_ns is not None and number is not None:
                stamps.append((number, at_ns))
        return stamps


def stamp_id(errors: Inbox, index: int) -> int | None:
    """The number of the sent packet whose stamp this error-queue message is, or None if it is not one."""
    for level, kind, data in errors.control(index):
        if (level, kind) in {(0, IP_RECVERR), (socket.IPPROTO_IPV6, IPV6_RECVERR)} and len(data) >= 16:
            origin, number = data[4], int.from_bytes(data[12:16], sys.byteorder)
            return number if origin == 4 else None  # SO_EE_ORIGIN_TIMESTAMPING
    return None


def _dropped(inbox: Inbox, index: int) -> int | None:
    for level, kind, data in inbox.control(index):
        if (level, kind) == (socket.SOL_SOCKET, SO_RXQ_OVFL):
            return int.from_bytes(data[:4], sys.byteorder)
    return None
