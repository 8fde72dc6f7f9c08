"""What a departure's stamp is worth: its bar holds what held the packet up, in whatever order stamps are read."""

from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nettrace.measure.kernel.clock import KERNEL_SEND_ERROR_NS, Reading, Timeline
from nettrace.measure.kernel.stamps import ENCLOSED_NS
from nettrace.measure.probing.ledger import USUAL_HANDOVER_NS, Ledger
from nettrace.measure.probing.transport import Tags
from nettrace.model.instant import NS_PER_MS
from nettrace.model.measurement import Grade

START = 1_800_000_000_000_000_000
HELD_UP_NS = 77_000


def sent_one_by_one(count: int, held_up: int) -> tuple[Ledger, list[tuple[int, int]]]:
    """A ledger of `count` probes, a system call each 20 us, and their stamps; one was interrupted before its stamp."""
    timeline = Timeline(lambda: Reading(NS_PER_MS, START + NS_PER_MS, 0))
    ledger = Ledger(Tags(8, b"0123456789abcdef"), timeline)
    stamps: list[tuple[int, int]] = []
    at = 0
    for number in range(count):
        tag = ledger.open(number, 0, bytes(12), 0)
        assert tag is not None
        left = at + 4_000 + (HELD_UP_NS if number == held_up else 0)
        ledger.sent((tag,), at, left + 2_000)
        stamps.append((tag, START + left))
        at = left + 20_000
    return ledger, stamps


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_a_bar_reaches_back_to_the_call_in_whatever_order_sockets_are_read(order: tuple[int, ...]) -> None:
    ledger, stamps = sent_one_by_one(3, held_up=1)
    bars = {owner: each.error_ns for owner, each in ledger.departures([stamps[number] for number in order])}
    assert bars[1] >= HELD_UP_NS + 4_000 - USUAL_HANDOVER_NS
    assert bars[0] == bars[2] == KERNEL_SEND_ERROR_NS


def test_a_stamp_read_behind_a_later_ones_is_bounded_by_its_own_call() -> None:
    ledger, (first, second, third) = sent_one_by_one(3, held_up=1)
    assert [owner for owner, _ in ledger.departures([first, third])] == [0, 2]
    ((owner, departure),) = ledger.departures([second])
    assert (owner, departure.grade) == (1, Grade.KERNEL)
    assert departure.error_ns >= HELD_UP_NS + 4_000 - USUAL_HANDOVER_NS


@given(took=st.integers(0, ENCLOSED_NS), boundary=st.integers(0, ENCLOSED_NS), apart=st.booleans())
def test_a_bar_holds_wherever_between_its_two_stamps_a_packet_left(
    took: int, boundary: int, apart: bool
) -> None:
    """`apart`: the two stamps are read one after the other, the queue's first."""
    ledger, ((tag, stamp),) = sent_one_by_one(1, held_up=-1)
    ledger.queued([(tag, stamp - took)])
    if apart:
        assert not list(ledger.departures([]))
    ((_, departure),) = ledger.departures([(tag, stamp)])
    assert departure.sent_at is not None
    assert abs(departure.sent_at - (stamp - min(boundary, took))) <= departure.error_ns
    assert departure.error_ns <= took // 2 + 1_000


def test_stamps_too_far_apart_enclose_a_wait_and_the_driver_is_believed() -> None:
    ledger, ((tag, stamp),) = sent_one_by_one(1, held_up=-1)
    ledger.queued([(tag, stamp - ENCLOSED_NS - 1)])
    ((_, departure),) = ledger.departures([(tag, stamp)])
    assert (departure.sent_at, departure.error_ns) == (stamp, KERNEL_SEND_ERROR_NS)


def test_a_stamp_of_a_probe_before_does_not_enclose_the_next_one_in_its_place() -> None:
    ledger, ((tag, stamp),) = sent_one_by_one(1, held_up=-1)
    ledger.queued([(tag + (1 << 8), stamp - 1_000)])
    ((_, departure),) = ledger.departures([(tag, stamp)])
    assert (departure.sent_at, departure.error_ns) == (stamp, KERNEL_SEND_ERROR_NS)
