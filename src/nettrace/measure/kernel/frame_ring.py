"""A packet socket's receive ring: the kernel writes packets into memory we read without any system call.

Linux Documentation/networking/packet_mmap.rst and include/uapi/linux/if_packet.h, TPACKET_V2 on a cooked (SOCK_DGRAM)
socket. The ring is one block of frames of one size, so whole columns of it are read by strided memoryviews. A frame:

    0 status     who owns it (0: the kernel), and what is known of its packet
    4 length     of the packet; 8 kept: bytes of it that are here
   12 mac, 14 net (16 bits each)  where the packet begins: PACKET_AT
   16 seconds, 20 ns              when the kernel saw it, CLOCK_REALTIME
   36 interface                   of the sockaddr_ll behind the header
   80 packet                      from its IP header on

The kernel writes the status last. We read a handful's statuses before anything else of it, and give frames back
after everything: there lie thousands of instructions between the two, more than any processor reorders.
"""

import contextlib
import mmap
import socket
import struct
from collections.abc import Sequence

from nettrace.errors import PacketError
from nettrace.measure.kernel.raw_sockets import RECEPTION_STAMPS, attach_filter, stamp
from nettrace.model.instant import NS_PER_S

ALL_PROTOCOLS, IPV4_ONLY = 0x0003, 0x0800
"""What a ring hears: everything in and out (ETH_P_ALL), or IPv4 that comes in (ETH_P_IP)."""
PACKET_AT = 80
STATUS, LENGTH, KEPT, NET, SECONDS, NS, INTERFACE = 0, 4, 8, 14, 16, 20, 36
OURS, LOSING, STAMPED = 1, 1 << 2, 1 << 29
"""TP_STATUS_USER, TP_STATUS_LOSING (packets were dropped before this one), TP_STATUS_TS_SOFTWARE."""

_NOTHING = ((0x06, 0, 0, 0),)
_SOL_PACKET, _RX_RING, _STATISTICS, _VERSION, _V2 = 263, 5, 6, 10, 1
_FEW, _HANDFUL = 32, 1024
_NETS = struct.pack("=H", PACKET_AT) * _HANDFUL
_GIVEN_BACK = memoryview(bytes(4 * _HANDFUL)).cast("I")


class Frames:
    """Frames of a ring, a handful at a time.

    Args:
        memory: the ring.
        frame_bytes: size of a frame, a multiple of 16.

    Attributes:
        view: the memory from the first frame of the handful on; frame i begins at `i * stride`.
        statuses: of the handful.
        batch: most frames of a handful.
        more: the handful ended where the ring or its own size did: more frames may be ready.
        packet_at, stamp_format: where in a frame the packet is, and how `struct` reads what stands before it.
    """

    packet_at = PACKET_AT
    stamp_format = f"16xII{PACKET_AT - NS - 4}x"
    batch = _HANDFUL

    def __init__(self, memory: memoryview, frame_bytes: int) -> None:
        self.stride = frame_bytes
        self.packet_bytes = frame_bytes - PACKET_AT
        self.count = len(memory) // frame_bytes
        self.view = self._memory = memory
        self.statuses: list[int] = []
        self._words, self._halves = memory.cast("I"), memory.cast("H")
        self._head = 0
        self.more = False

    def receive(self) -> int:
        """Gives the last handful back and takes the next; how many frames it has, 0 when none is ready."""
        self.give_back()
        head, words, step = self._head, self._words, self.stride // 4
        if not words[head * step]:
            return 0
        room, most = min(self.batch, self.count - head), _FEW
        while most < room and words[(head + most - 1) * step]:
            most *= 2
        statuses = self._column(words, STATUS, 4, min(most, room)).tolist()
        if 0 in statuses:
            statuses = statuses[: statuses.index(0)]
        self.statuses = statuses
        self.more = len(statuses) == room
        self.view = self._memory[head * self.stride :]
        return len(statuses)

    def give_back(self) -> None:
        """Lets the kernel write into the handful again; nothing of it can be read any more."""
        count = len(self.statuses)
        if count:
            self._column(self._words, STATUS, 4, count)[:] = _GIVEN_BACK[:count]
            self._head = (self._head + count) % self.count
            self.statuses = []

    def words(self, at: int) -> "memoryview[int]":
        """The 32-bit words at this place of each frame of the handful."""
        return self._column(self._words, at, 4, len(self.statuses))

    def halves(self, at: int) -> "memoryview[int]":
        """The 16-bit words at this place of each frame of the handful."""
        return self._column(self._halves, at, 2, len(self.statuses))

    def sizes_of(self, count: int) -> list[int]:
        """Lengths of the first packets as they were on the wire."""
        return self._column(self._words, LENGTH, 4, count).tolist()

    def plainly_stamped(self, count: int) -> bool:
        """True when the kernel's stack stamped each of the first `count` packets, which begin where they should."""
        first = self.statuses[0]
        return (
            bool(first & STAMPED)
            and self.statuses.count(first) == len(self.statuses)
            and self._column(self._halves, NET, 2, count).tobytes() == _NETS[: 2 * count]
        )

    def stamp_ns(self, index: int) -> int | None:
        """When the kernel's stack saw packet `index`, UTC ns; None when only the ring did."""
        if not self.statuses[index] & STAMPED:
            return None
        seconds, ns = struct.unpack_from("=II", self.view, index * self.stride + SECONDS)
        return seconds * NS_PER_S + ns

    def packet(self, index: int) -> bytes:
        """Packet `index` as far as it was kept. Raises PacketError for a frame that cannot be."""
        start = index * self.stride
        length, kept, _, net = struct.unpack_from("=IIHH", self.view, start + LENGTH)
        if net != PACKET_AT or kept > min(length, self.packet_bytes):
            raise PacketError(f"a frame of the packet ring says {kept} of {length} bytes at {net}")
        return bytes(self.view[start + PACKET_AT : start + PACKET_AT + kept])

    def dropped(self, _count: int) -> int:
        """Packets the kernel could not keep so far, as far as is known."""
        return 0

    def _column(self, words: "memoryview[int]", at: int, size: int, count: int) -> "memoryview[int]":
        step = self.stride // size
        start = self._head * step + at // size
        return words[start : start + count * step : step]


class FrameRing(Frames):
    """A packet socket and its ring. Needs CAP_NET_RAW.

    Args:
        protocol: ALL_PROTOCOLS or IPV4_ONLY, on all devices.
        program: the classic BPF program that picks packets and says how much of each is kept.
        packet_bytes: room for a packet; `frames` of them.

    Raises:
        OSError: not permitted, or not known here.
    """

    def __init__(
        self, protocol: int, program: Sequence[tuple[int, int, int, int]], packet_bytes: int, frames: int
    ) -> None:
        frame_bytes = PACKET_AT + packet_bytes + 15 & ~15
        size = -(-frame_bytes * frames // mmap.PAGESIZE) * mmap.PAGESIZE
        self._lost = 0
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(protocol))
        try:
            attach_filter(self._socket, program)
            stamp(self._socket, RECEPTION_STAMPS)
            self._socket.setsockopt(_SOL_PACKET, _VERSION, struct.pack("i", _V2))
            ring = struct.pack("IIII", size, 1, frame_bytes, size // frame_bytes)
            self._socket.setsockopt(_SOL_PACKET, _RX_RING, ring)  # what came before is thrown away
            self._map = mmap.mmap(self._socket.fileno(), size)
        except BaseException:
            self._socket.close()
            raise
        super().__init__(memoryview(self._map), frame_bytes)

    def fileno(self) -> int:
        """Its socket: readable when a frame is ready."""
        return self._socket.fileno()

    def mute(self) -> None:
        """Hears nothing more."""
        attach_filter(self._socket, _NOTHING)

    def dropped(self, count: int) -> int:
        """Packets the kernel could not keep so far. It is asked when a frame, or a ring half full, says there may be."""
        losing = any(status & LOSING for status in set(self.statuses))
        if losing or self._nearly_full(count):
            said = self._socket.getsockopt(_SOL_PACKET, _STATISTICS, 8)  # and begins to count anew
            self._lost += struct.unpack("=II", said)[1]
        return self._lost

    def close(self) -> None:
        """Gives socket and memory back; what somebody still reads, when he lets go of it."""
        self.mute()
        self._socket.close()
        for view in (self.view, self._words, self._halves, self._memory):
            view.release()
        with contextlib.suppress(BufferError):
            self._map.close()

    def _nearly_full(self, count: int) -> bool:
        """The frame half a ring behind this handful is ours too."""
        behind = (self._head + count + self.count // 2) % self.count
        return self._words[behind * self.stride // 4] != 0
