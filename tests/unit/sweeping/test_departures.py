"""A packet ring is believed about departures only as long as it shows each probe once, by one device that stamps."""

import socket
import struct
from array import array

import pytest

from nettrace.measure.kernel.frame_ring import PACKET_AT, STAMPED, Frames
from nettrace.measure.sweeping import departures
from nettrace.measure.sweeping.departures import PROOF_NS, RingDepartures
from nettrace.measure.tracing import sweep_table
from nettrace.measure.tracing.sweep_table import FREE, OVERDUE, SENT, SweepOptions, Table

FRAME_BYTES = 112
LOOPBACK = socket.if_nametoindex("lo")


class World:
    """A ring filled by hand, and a table with so many probes under way from slot 1 on."""

    def __init__(self, probes: int = 8) -> None:
        self.memory = bytearray(max(64, probes) * FRAME_BYTES)
        self.table = Table(SweepOptions())
        rows = [self.table.open(row, row, 700 + row, 0) for row in range(probes)]
        self.table.departed(1, probes, rows, bytes(probes), b"\1" * probes)
        self.departures = RingDepartures(Frames(memoryview(self.memory), FRAME_BYTES), self.table)
        self.departures.composed(1, memoryview(array("H", [self.table.mark[row] for row in rows])))
        self.departures.sent(1, probes, 0)
        self._next = 0

    def shown(self, slot: int, *, mark: int | None = None, device: int = LOOPBACK) -> None:
        """The kernel writes one more copy."""
        start = self._next * FRAME_BYTES
        self._next += 1
        struct.pack_into("=IIIHHII", self.memory, start, 1 | STAMPED, 76, 28, 66, PACKET_AT, 1000, slot)
        struct.pack_into("=i", self.memory, start + 36, device)
        secret = self.table.mark[self.table.slot_row[slot]] if mark is None else mark
        struct.pack_into("=H", self.memory, start + PACKET_AT + 4, slot)
        struct.pack_into("=H", self.memory, start + PACKET_AT + 26, secret)

    def states(self) -> list[int]:
        return list(self.table.live[1:9])


def test_departures_in_order_are_read_at_once_and_any_others_alike() -> None:
    at_once, singly = World(), World()
    for world, order in ((at_once, range(1, 9)), (singly, (2, 1, 4, 3, 8, 7, 6, 5))):
        for slot in order:
            world.shown(slot)
        world.departures.collect()
        world.departures.prove(PROOF_NS)
        assert world.states() == [sweep_table.STAMPED] * 8
        assert list(world.table.sent_s[1:9]) == [1000] * 8
        assert list(world.table.sent_ns[1:9]) == list(range(1, 9))
        assert world.departures.reliable


def test_more_departures_at_once_than_a_batch_of_probes_leave_the_table_as_long_as_it_was() -> None:
    world = World(600)
    length = len(world.table.live)
    world.shown(1)
    world.departures.collect()  # now it knows the device
    for slot in range(2, 601):
        world.shown(slot)
    world.departures.collect()
    world.departures.prove(PROOF_NS)
    assert world.table.live[1:601] == bytes((sweep_table.STAMPED,)) * 600
    assert len(world.table.live) == length
    assert world.departures.reliable


def test_somebody_elses_packet_is_not_taken_for_a_probe() -> None:
    world = World()
    world.shown(3, mark=1)
    world.shown(4000)
    world.departures.collect()
    assert world.states() == [SENT] * 8
    assert world.departures.reliable


def test_the_copy_of_a_probe_that_was_answered_or_overdue_meanwhile() -> None:
    world = World()
    world.table.live[1], world.table.live[2] = FREE, SENT + OVERDUE
    for slot in range(1, 9):
        world.shown(slot)
    world.departures.collect()
    world.departures.prove(PROOF_NS)
    assert world.states() == [FREE, sweep_table.STAMPED + OVERDUE, *[sweep_table.STAMPED] * 6]
    assert world.departures.reliable


def test_a_probe_never_shown_ends_the_belief() -> None:
    world = World()
    for slot in range(1, 8):
        world.shown(slot)
    world.departures.collect()
    world.departures.prove(PROOF_NS - 1)
    assert world.departures.reliable
    world.departures.prove(PROOF_NS)
    assert not world.departures.reliable


def test_a_second_copy_ends_the_belief() -> None:
    world = World()
    for slot in (1, 1):
        world.shown(slot)
    world.departures.collect()
    assert not world.departures.reliable


@pytest.mark.parametrize("stamps", [True, False])
def test_a_second_device_or_one_that_does_not_stamp_ends_the_belief(
    stamps: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(departures, "stamps_departures", lambda _: stamps)
    world = World()
    world.shown(1, device=7)
    world.departures.collect()
    assert world.departures.reliable is stamps
    world.shown(2, device=8)
    world.departures.collect()
    assert not world.departures.reliable
    assert world.states()[1] == SENT
