"""What the programs of a sweep's packet rings keep, run by the kernel over bytes of ours."""

import contextlib
import socket
from collections.abc import Iterator, Sequence

import pytest

from nettrace.measure.kernel.raw_sockets import attach_filter
from nettrace.measure.packets.checksum import checksum
from nettrace.measure.packets.ip import build_ipv4
from nettrace.measure.packets.note import NOTE
from nettrace.measure.sweeping import rings
from nettrace.measure.sweeping.packets import layout_of
from nettrace.model.measurement import Method

ROUTER, HERE = socket.inet_aton("11.0.0.7"), socket.inet_aton("10.200.0.1")
EXCEEDED = bytes((11, 0)) + bytes(60)


def kept(program: Sequence[rings.Step], packet: bytes) -> int:
    """How many bytes of a packet a program keeps: as a filter of a socket pair, where every packet comes to us."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with ours, theirs:
        ours.settimeout(0)
        attach_filter(ours, program)
        with contextlib.suppress(PermissionError):  # how a socket pair says that the filter refused
            theirs.send(packet)
        try:
            return len(ours.recv(4096))
        except BlockingIOError:
            return 0


def changed(packet: bytes, at: int, value: int) -> bytes:
    return packet[:at] + bytes((value,)) + packet[at + 1 :]


def with_options(packet: bytes) -> bytes:
    """The same with four bytes of IP options (and a checksum nobody verifies here)."""
    return bytes((0x46,)) + packet[1:20] + bytes((1, 1, 1, 0)) + packet[20:]


def test_icmp_errors_for_us_are_kept_and_nothing_else() -> None:
    program = rings.arriving((3, 11))
    whole = build_ipv4(ROUTER, HERE, 1, EXCEEDED)
    assert kept(program, whole) == len(whole) == 82
    assert kept(program, build_ipv4(ROUTER, HERE, 1, bytes((3, 3)) + bytes(26))) == 48
    assert kept(program, with_options(whole)) == 86
    assert kept(program, build_ipv4(ROUTER, HERE, 1, bytes((0, 0)) + bytes(60))) == 0
    assert kept(program, build_ipv4(ROUTER, HERE, 17, EXCEEDED)) == 0
    assert kept(program, whole[:20]) == 0
    assert kept(rings.arriving((0, 3, 11)), build_ipv4(ROUTER, HERE, 1, bytes(62))) == 82


@pytest.mark.parametrize("size", [28, 56, rings.LONGEST_REPLY, rings.LONGEST_REPLY + 1, 576])
def test_the_ring_or_the_socket_beside_it_keeps_a_message_whole_never_both(size: int) -> None:
    packet = build_ipv4(ROUTER, HERE, 1, bytes((11, 0)) + bytes(size - 22))
    kept_by = [kept(program, packet) for program in (rings.arriving((3, 11)), rings.LONGER)]
    assert kept_by == ([size, 0] if size <= rings.LONGEST_REPLY else [0, size])
    assert kept(rings.EVERYTHING, packet) == size


@pytest.mark.parametrize("at", [1, 8, 10, 11, 12, 15, 19])
def test_a_header_that_was_damaged_on_the_way_is_not(at: int) -> None:
    packet = build_ipv4(ROUTER, HERE, 1, EXCEEDED)
    assert kept(rings.arriving((3, 11)), changed(packet, at, packet[at] ^ 0x40)) == 0


def test_first_fragments_are_and_later_ones_not() -> None:
    whole = build_ipv4(ROUTER, HERE, 1, EXCEEDED)
    for flags, offset, size in ((0x40, 0, 82), (0x20, 0, 82), (0x20, 1, 0), (0, 185, 0)):
        header = whole[:6] + bytes((flags, offset, *whole[8:10], 0, 0)) + whole[12:20]
        packet = header[:10] + checksum(header).to_bytes(2) + header[12:] + whole[20:]
        assert kept(rings.arriving((3, 11)), packet) == size


@pytest.mark.parametrize("method", [Method.UDP, Method.ICMP])
def test_departures_are_probes_of_this_layout_with_our_note(
    method: Method, monkeypatch: pytest.MonkeyPatch
) -> None:
    layout = layout_of(method, 4)
    protocol = 17 if method is Method.UDP else 1
    probe = build_ipv4(HERE, ROUTER, protocol, bytes(layout.note - 20) + NOTE)
    assert kept(rings.departing(method, layout), probe) == 0, "it comes in, it does not leave"
    monkeypatch.setattr(rings, "_FROM_US", 0)
    program = rings.departing(method, layout)
    assert kept(program, probe) == rings.HEADERS
    assert kept(program, build_ipv4(HERE, ROUTER, protocol, bytes(layout.size - 20))) == 0
    assert kept(program, build_ipv4(HERE, ROUTER, protocol, bytes(layout.note - 20) + NOTE + b"!")) == 0
    assert kept(program, build_ipv4(HERE, ROUTER, 18 - protocol, bytes(layout.note - 20) + NOTE)) == 0
    assert kept(program, with_options(probe)) == 0


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """What happens to rings of which the second cannot be opened."""
    events: list[str] = []

    class Ring:
        def __init__(self, *_: object) -> None:
            if events:
                raise PermissionError
            events.append("open")

        def close(self) -> None:
            events.append("close")

    monkeypatch.setattr(rings, "FrameRing", Ring)
    yield events


def test_one_ring_alone_is_given_back(opened: list[str]) -> None:
    assert rings.open_rings(Method.UDP, layout_of(Method.UDP, 4), (3, 11)) is None
    assert opened == ["open", "close"]


def test_without_the_right_there_are_none(opened: list[str]) -> None:
    opened.append("not permitted from the first on")
    assert rings.open_rings(Method.UDP, layout_of(Method.UDP, 4), (3, 11)) is None
    assert "close" not in opened
