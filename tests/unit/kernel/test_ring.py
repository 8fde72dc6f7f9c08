"""The packet ring on loopback, with and without the vectored system calls: same packets, same stamps."""

import socket
import time
from collections.abc import Iterator
from itertools import pairwise

import pytest

from nettrace.measure.kernel import ring
from nettrace.measure.kernel.raw_sockets import BOTH_STAMPS, RECEPTION_STAMPS, attach_filter, stamp, widen
from nettrace.measure.kernel.ring import Inbox, Outbox, Ring, address_of, sockaddr, stamp_id

PATIENCE_S = 60
"""No test waits for this long: it only turns a hang into a failure."""
LOCAL = {4: (socket.AF_INET, "127.0.0.1"), 6: (socket.AF_INET6, "::1")}


@pytest.fixture(params=["vectored", "singly"])
def calls(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "singly":
        monkeypatch.setattr(ring, "_LIBRARY", None)
    elif not ring.VECTORED:
        pytest.skip("no sendmmsg in this C library")
    return request.param


@pytest.fixture(params=[4, 6])
def pair(request: pytest.FixtureRequest) -> Iterator[tuple[socket.socket, socket.socket, bytes]]:
    """A sending socket, a receiving one, and the latter's kernel address."""
    family, local = LOCAL[request.param]
    with (
        socket.socket(family, socket.SOCK_DGRAM) as sender,
        socket.socket(family, socket.SOCK_DGRAM) as receiver,
    ):
        try:
            receiver.bind((local, 0))
        except OSError:
            pytest.skip("no IPv6 on this loopback")
        sender.bind((local, 0))
        yield sender, receiver, sockaddr(local, receiver.getsockname()[1])


def drained(inbox: Inbox, wanted: int) -> list[tuple[bytes, int | None]]:
    """What arrives until `wanted` messages are there."""
    found: list[tuple[bytes, int | None]] = []
    deadline = time.monotonic() + PATIENCE_S
    while len(found) < wanted and time.monotonic() < deadline:
        found += [(inbox.packet(index), inbox.stamp_ns(index)) for index in range(inbox.receive())]
    return found


@pytest.mark.parametrize(
    ("address", "port"), [("198.18.0.1", 0), ("198.18.0.1", 443), ("2001:db8::1", 0), ("2001:db8::1", 65_535)]
)
def test_a_socket_address_says_what_it_was_made_of(address: str, port: int) -> None:
    assert address_of(sockaddr(address, port)) == (address, port)


def test_batches_arrive_whole_in_order_and_stamped_by_the_kernel(
    calls: str, pair: tuple[socket.socket, socket.socket, bytes]
) -> None:
    sender, receiver, name = pair
    assert stamp(receiver, RECEPTION_STAMPS)
    outbox, inbox = Outbox(sender, batch=64, packet_bytes=40), Inbox(receiver, batch=16, packet_bytes=64)
    before = time.time_ns()
    for index in range(50):
        outbox.load(index, name, b"packet %d" % index)
    assert outbox.send(50) == 50
    assert outbox.sent == 50
    found = drained(inbox, 50)
    assert [packet for packet, _ in found] == [b"packet %d" % index for index in range(50)]
    stamps = [at for _, at in found]
    assert all(at is not None and before - 10**9 < at < time.time_ns() + 10**9 for at in stamps)
    assert inbox.receive() == 0


def test_an_inbox_can_be_used_again_after_any_number_of_messages(
    calls: str, pair: tuple[socket.socket, socket.socket, bytes]
) -> None:
    sender, receiver, name = pair
    assert stamp(receiver, RECEPTION_STAMPS)
    outbox, inbox = Outbox(sender, batch=16, packet_bytes=40), Inbox(receiver, batch=16, packet_bytes=64)
    blank = bytes(inbox.headers)
    for size, count in enumerate((16, 1, 3, 16), 4):
        for index in range(count):
            outbox.load(index, name, bytes([index]) * size)
        assert outbox.send(count) == count
        found = drained(inbox, count)
        assert [packet for packet, _ in found] == [bytes([index]) * size for index in range(count)]
        assert all(at is not None for _, at in found)
        assert inbox.receive() == 0
        assert bytes(inbox.headers) == blank


def test_part_of_a_batch_can_be_sent(calls: str, pair: tuple[socket.socket, socket.socket, bytes]) -> None:
    sender, receiver, name = pair
    outbox, inbox = Outbox(sender, batch=8), Inbox(receiver, batch=8)
    for index in range(8):
        outbox.load(index, name, bytes([index]))
    assert outbox.send(3, first=5) == 3
    assert [packet for packet, _ in drained(inbox, 3)] == [b"\5", b"\6", b"\7"]


def test_departure_stamps_are_numbered_in_the_order_of_sending(
    calls: str, pair: tuple[socket.socket, socket.socket, bytes]
) -> None:
    sender, receiver, name = pair
    assert stamp(sender, BOTH_STAMPS)
    assert stamp(receiver, RECEPTION_STAMPS)
    outbox = Outbox(sender, batch=32)
    errors = Inbox(sender, batch=8, packet_bytes=16, error_queue=True)
    for index in range(32):
        outbox.load(index, name, b"x")
    outbox.send(32)
    numbers: list[int | None] = []
    times: list[int | None] = []
    deadline = time.monotonic() + PATIENCE_S
    while len(numbers) < 32 and time.monotonic() < deadline:
        for index in range(errors.receive()):
            numbers.append(stamp_id(errors, index))
            times.append(errors.stamp_ns(index))
    assert numbers == list(range(32))
    assert all(a is not None and b is not None and a <= b for a, b in pairwise(times))


def test_numbering_starts_again_when_asked(pair: tuple[socket.socket, socket.socket, bytes]) -> None:
    sender, _, name = pair
    ring_of = Ring(sender)
    numbers: list[int] = []
    for _ in range(2):
        stamp(sender, BOTH_STAMPS)
        ring_of.send([(name, b"x")])
        while not (stamps := ring_of.drain_stamps()):
            pass
        numbers += [number for number, _ in stamps]
    assert numbers == [0, 0]


def test_the_convenient_form_tells_source_and_time(
    calls: str, pair: tuple[socket.socket, socket.socket, bytes]
) -> None:
    sender, receiver, name = pair
    stamp(receiver, RECEPTION_STAMPS)
    assert Ring(sender).send([(name, b"one"), (name, b"two")]) == 2
    hearing, found = Ring(receiver), []
    deadline = time.monotonic() + PATIENCE_S
    while len(found) < 2 and time.monotonic() < deadline:
        found += hearing.drain()
    assert [received.packet for received in found] == [b"one", b"two"]
    assert {received.source for received in found} == {address_of(name)[0]}


def test_a_longer_packet_is_cut_at_its_slot_and_harms_no_other(
    calls: str, pair: tuple[socket.socket, socket.socket, bytes]
) -> None:
    sender, receiver, name = pair
    inbox = Inbox(receiver, batch=4, packet_bytes=32)
    for packet in (b"a" * 900, b"b"):
        sender.sendto(packet, (*address_of(name),))
    first, second = (packet for packet, _ in drained(inbox, 2))
    assert set(first) == {ord("a")}
    assert len(first) == inbox.packet_bytes
    assert second == b"b"


def test_what_the_kernel_refuses_stops_the_batch_and_is_named(calls: str) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        outbox = Outbox(sender, batch=4)
        good, broadcast = sockaddr("127.0.0.1", 9), sockaddr("255.255.255.255", 9)
        for index, name in enumerate((good, good, broadcast, good)):
            outbox.load(index, name, b"x")
        assert outbox.send(4) == 2
        assert outbox.send(2, first=2) == 0
        assert outbox.failed == 13, "EACCES: no broadcast without asking for it"
        assert outbox.send(1, first=3) == 1


def test_drops_for_want_of_room_are_told(pair: tuple[socket.socket, socket.socket, bytes]) -> None:
    sender, receiver, name = pair
    receiver.setsockopt(socket.SOL_SOCKET, ring.SO_RXQ_OVFL, 1)
    receiver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    for _ in range(200):
        sender.sendto(b"x" * 500, address_of(name))
    hearing = Ring(receiver)
    while hearing.drain():
        pass
    sender.sendto(b"last", address_of(name))
    found = []
    while not found:
        found = hearing.drain()
    assert found[-1].dropped
    assert found[-1].dropped > 100


def test_a_filter_keeps_the_rest_out(pair: tuple[socket.socket, socket.socket, bytes]) -> None:
    sender, receiver, name = pair
    # Sockets of UDP are filtered from the UDP header on: let only payloads that begin with "y" pass.
    attach_filter(receiver, [(0x30, 0, 0, 8), (0x15, 0, 1, ord("y")), (0x06, 0, 0, 0xFFFF), (0x06, 0, 0, 0)])
    for packet in (b"no", b"yes", b"no", b"yet"):
        sender.sendto(packet, address_of(name))
    assert [packet for packet, _ in drained(Inbox(receiver), 2)] == [b"yes", b"yet"]


def test_room_is_asked_for_and_told(pair: tuple[socket.socket, socket.socket, bytes]) -> None:
    assert widen(pair[1], 1 << 17) >= 1 << 16
