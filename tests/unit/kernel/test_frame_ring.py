"""A packet ring: memory read a handful at a time, and the kernel's own on loopback."""

import select
import socket
import struct
import time
from collections.abc import Iterator

import pytest

from nettrace.errors import PacketError
from nettrace.measure.kernel.device import stamps_departures
from nettrace.measure.kernel.frame_ring import ALL_PROTOCOLS, IPV4_ONLY, PACKET_AT, STAMPED, FrameRing, Frames

FRAME_BYTES = 112
EVERYTHING = [(0x06, 0, 0, 256)]


def written(memory: bytearray, index: int, packet: bytes, *, status: int = 1 | STAMPED, ns: int = 5) -> None:
    """The kernel fills a frame."""
    start = index * FRAME_BYTES
    struct.pack_into("=IIIHHII", memory, start, status, len(packet), len(packet), 66, PACKET_AT, 1000, ns)
    memory[start + PACKET_AT : start + PACKET_AT + len(packet)] = packet


def test_frames_come_in_order_round_the_ring_and_go_back_to_the_kernel() -> None:
    memory = bytearray(4 * FRAME_BYTES)
    frames, seen = Frames(memoryview(memory), FRAME_BYTES), []
    for turn in range(5):
        for each in range(3):
            written(memory, (3 * turn + each) % 4, bytes((3 * turn + each,)))
        while count := frames.receive():
            seen += [frames.packet(index)[0] for index in range(count)]
            assert all(frames.stamp_ns(index) == 1000 * 10**9 + 5 for index in range(count))
    assert seen == list(range(15))
    assert [memory[index * FRAME_BYTES] for index in range(4)] == [0, 0, 0, 0]


def test_a_frame_the_kernel_still_writes_ends_the_handful() -> None:
    memory = bytearray(4 * FRAME_BYTES)
    frames = Frames(memoryview(memory), FRAME_BYTES)
    written(memory, 0, b"a")
    written(memory, 2, b"c")
    assert frames.receive() == 1
    assert frames.receive() == 0
    written(memory, 1, b"b")
    assert frames.receive() == 2


def test_a_packet_only_the_ring_saw_has_no_stamp() -> None:
    memory = bytearray(4 * FRAME_BYTES)
    frames = Frames(memoryview(memory), FRAME_BYTES)
    written(memory, 0, b"a")
    written(memory, 1, b"b", status=1)
    count = frames.receive()
    assert not frames.plainly_stamped(count)
    assert [frames.stamp_ns(index) is None for index in range(count)] == [False, True]


def test_a_frame_that_cannot_be_is_refused() -> None:
    memory = bytearray(4 * FRAME_BYTES)
    frames = Frames(memoryview(memory), FRAME_BYTES)
    written(memory, 0, b"a")
    struct.pack_into("=I", memory, 8, 5000)
    assert frames.receive() == 1
    with pytest.raises(PacketError, match="5000 of 1 bytes"):
        frames.packet(0)


@pytest.fixture
def sockets() -> Iterator[tuple[socket.socket, socket.socket]]:
    """A sender and a receiver on loopback."""
    with socket.socket(type=socket.SOCK_DGRAM) as sender, socket.socket(type=socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        sender.connect(receiver.getsockname())
        yield sender, receiver


def to(port: int) -> list[tuple[int, int, int, int]]:
    """A program that keeps UDP packets to a port."""
    return [
        (0x30, 0, 0, 9),
        (0x15, 0, 3, 17),
        (0x28, 0, 0, 22),
        (0x15, 0, 1, port),
        (0x06, 0, 0, 40),
        (0x06, 0, 0, 0),
    ]


def both_ways(port: int) -> tuple[FrameRing, FrameRing]:
    """The rings of what leaves for a port of this host, and of what comes to it."""
    leaving = [(0x20, 0, 0, 0xFFFFF004), (0x15, 0, 5, 4), *to(port)]
    return FrameRing(ALL_PROTOCOLS, leaving, 40, 64), FrameRing(IPV4_ONLY, to(port), 40, 64)


def heard(ring: FrameRing) -> list[bytes]:
    """The packets that wait in a ring, in the order they came."""
    packets: list[bytes] = []
    while count := ring.receive():
        packets += [ring.packet(index) for index in range(count)]
        assert ring.plainly_stamped(count)
    return packets


@pytest.mark.root
def test_the_kernel_fills_it_with_what_leaves_and_what_comes(
    sockets: tuple[socket.socket, socket.socket],
) -> None:
    sender, receiver = sockets
    out, into = both_ways(receiver.getsockname()[1])
    try:
        for number in range(100):
            sender.send(bytes((number,)))
            receiver.recv(10)
            assert select.select([into.fileno()], [], [], 5)[0]
            for ring in (out, into):
                ((*_, payload),) = heard(ring)
                assert payload == number
        assert out.dropped(0) == 0
    finally:
        out.close()
        into.close()


@pytest.mark.root
def test_an_overflow_is_told_and_a_mute_ring_hears_nothing(
    sockets: tuple[socket.socket, socket.socket],
) -> None:
    sender, receiver = sockets
    ring = FrameRing(IPV4_ONLY, to(receiver.getsockname()[1]), 40, 32)
    try:
        for _ in range(ring.count + 7):
            sender.send(b"?")
            receiver.recv(10)
        count = ring.receive()
        assert count == ring.count
        assert ring.dropped(count) == 7
        ring.receive()
        ring.mute()
        sender.send(b"?")
        receiver.recv(10)
        assert ring.receive() == 0
    finally:
        ring.close()


@pytest.mark.root
def test_a_departures_stamp_lies_between_the_call_and_the_arrival(
    sockets: tuple[socket.socket, socket.socket],
) -> None:
    sender, receiver = sockets
    out, into = both_ways(receiver.getsockname()[1])
    try:
        for _ in range(50):
            before = time.clock_gettime_ns(time.CLOCK_REALTIME)
            sender.send(b"?")
            receiver.recv(10)
            assert out.receive() == into.receive() == 1
            left, came = out.stamp_ns(0), into.stamp_ns(0)
            assert left is not None
            assert came is not None
            assert before <= left <= came
    finally:
        out.close()
        into.close()


def test_drivers_say_whether_they_stamp() -> None:
    assert stamps_departures(socket.if_nametoindex("lo"))
    assert not stamps_departures(1 << 30)
