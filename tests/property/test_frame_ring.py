"""A packet ring under hypothesis: whatever its memory holds, reading it raises PacketError or nothing."""

from hypothesis import given
from hypothesis import strategies as st

from nettrace.errors import PacketError
from nettrace.measure.kernel.frame_ring import Frames
from nettrace.measure.sweeping.departures import RingDepartures
from nettrace.measure.sweeping.replies import Replies
from nettrace.measure.tracing.sweep_table import SLOTS, SweepOptions, Table
from nettrace.model.measurement import Method

FRAME_BYTES = 400
headers = st.binary(min_size=36, max_size=36)
packets = st.binary(max_size=120)
rings = st.lists(st.tuples(headers, packets), min_size=1, max_size=6)


def ring_of(frames: list[tuple[bytes, bytes]], *, plausible: bool) -> Frames:
    """Six frames filled with these; `plausible` ones say they are ours, stamped, and where their packet is."""
    memory = bytearray(6 * FRAME_BYTES)
    for index, (header, packet) in enumerate(frames):
        start = index * FRAME_BYTES
        memory[start : start + 36] = header
        memory[start + 80 : start + 80 + len(packet)] = packet
        if plausible:
            memory[start : start + 4] = (1 | 1 << 29).to_bytes(4, "little")
            memory[start + 14 : start + 16] = (80).to_bytes(2, "little")
    return Frames(memoryview(memory), FRAME_BYTES)


@given(rings, st.booleans())
def test_frames_of_noise_raise_the_parsers_own_error_or_nothing(
    frames: list[tuple[bytes, bytes]], plausible: bool
) -> None:
    ring = ring_of(frames, plausible=plausible)
    taken = 0
    while count := ring.receive():
        taken += count
        assert len(ring.sizes_of(count)) == count
        ring.plainly_stamped(count)
        for index in range(count):
            ring.stamp_ns(index)
            try:
                assert len(ring.packet(index)) <= FRAME_BYTES - 80
            except PacketError:
                continue
        assert taken <= 6, "a frame given back must not come again"


@given(rings, st.booleans())
def test_replies_and_departures_of_noise_raise_nothing(
    frames: list[tuple[bytes, bytes]], plausible: bool
) -> None:
    ring = ring_of(frames, plausible=plausible)
    replies = Replies(Method.UDP, 4, ring, {})
    while count := ring.receive():
        for record in replies.records(ring, count):
            assert 0 <= record[4] <= SLOTS
    table = Table(SweepOptions())
    row = table.open(1, 1, 7, 0)
    table.departed(1, 2, [row, row], b"\0\1", b"\1\1")
    RingDepartures(ring_of(frames, plausible=plausible), table).collect()
