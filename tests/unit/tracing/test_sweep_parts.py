"""The parts of a sweep by themselves: lanes, pace, inference, the flat table."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nettrace.measure.tracing.lanes import (
    CONTROL_TRY,
    FIRST_WINDOW,
    OPEN,
    PACED,
    QUESTIONED,
    WIDEST,
    Lane,
    pick,
)
from nettrace.measure.tracing.pacer import Pacer
from nettrace.measure.tracing.shared_hop import ENOUGH, LEAST, Sampled, Witness
from nettrace.measure.tracing.sweep_table import SweepOptions, Table
from nettrace.model.instant import NS_PER_MS, NS_PER_S

T0 = 1_000 * NS_PER_S


def granted(lane: Lane) -> Lane:
    lane.refill(WIDEST)
    return lane


# -- lanes ---------------------------------------------------------------------------------------------------


def test_a_lane_opens_with_answers_and_not_with_hope() -> None:
    lane = granted(Lane(0, 1))
    lane.fresh = list(range(100))
    assert lane.room(T0) == FIRST_WINDOW
    lane.take(2, T0)
    lane.flight = 2
    assert lane.room(T0) == 0
    lane.flight = 0
    lane.hit(2, T0)
    assert lane.room(T0) == 3


def test_a_lane_nobody_ever_answered_in_opens_all_the_same() -> None:
    lane = granted(Lane(0, 1))
    lane.fresh = list(range(100))
    assert not lane.miss(2, T0)
    assert lane.room(T0) == FIRST_WINDOW + 4


def silent_lane() -> Lane:
    """A lane that answered six times and then fell silent: it asks for controls."""
    lane = granted(Lane(0, 1))
    lane.fresh = list(range(100))
    lane.hit(6, T0)
    lane.flight = 1
    assert lane.miss(4, T0)
    lane.question([7, 8, 9])
    assert lane.state == QUESTIONED
    return lane


def test_a_lane_that_falls_silent_asks_those_that_answered_and_nobody_else() -> None:
    rows, tries = silent_lane().take(3, T0)
    assert list(rows) == [7, 8, 9]
    assert set(tries) == {CONTROL_TRY}


def test_it_opens_when_they_answer_again() -> None:
    lane = silent_lane()
    lane.hit(2, T0)
    lane.control_missed(T0)
    assert lane.state == OPEN
    assert not lane.miss(50, T0 + NS_PER_S), "and is trusted for a while"


def test_it_is_paced_when_they_do_not() -> None:
    lane = silent_lane()
    for _ in range(3):
        lane.control_missed(T0)
    assert lane.state == PACED
    assert lane.rate == 1.0
    asked = 0
    for ms in range(10_000):
        room = lane.room(T0 + ms * NS_PER_MS)
        if room:
            lane.take(room, T0 + ms * NS_PER_MS)
            asked += room
    assert 9 <= asked <= 10


def test_a_pace_that_holds_is_raised_and_the_first_miss_takes_it_back() -> None:
    lane = silent_lane()
    for _ in range(3):
        lane.control_missed(T0)
    for _ in range(10):
        lane.hit(1, T0)
    assert lane.rate == 2.0
    lane.miss(1, T0)
    assert lane.rate == 1.0
    for _ in range(50):
        lane.hit(1, T0 + NS_PER_S)
    assert lane.rate == 1.0, "for a minute"


def test_without_anybody_to_ask_a_lane_stays_open() -> None:
    lane = granted(Lane(0, 1))
    lane.hit(1, T0)
    lane.miss(4, T0)
    lane.question([])
    assert lane.state == OPEN


@given(
    st.lists(st.integers(0, 40), min_size=1, max_size=6),
    st.integers(1, 300),
    st.integers(0, 10),
)
def test_a_batch_is_fair_complete_and_never_too_big(waiting: list[int], room: int, turn: int) -> None:
    lanes = [granted(Lane(step, step + 1, WIDEST)) for step in range(len(waiting))]
    for lane, count in zip(lanes, waiting, strict=True):
        lane.fresh = [1000 * lane.step + index for index in range(count)]
    rows, steps, tries = pick(lanes, room, turn, T0)
    assert len(rows) == len(steps) == len(tries) == min(room, sum(waiting))
    assert len(set(rows)) == len(rows)
    assert all(row // 1000 == step for row, step in zip(rows, steps, strict=True))
    taken = [steps.count(lane.step) for lane in lanes]
    hungry = [count for count, wanted in zip(taken, waiting, strict=True) if count < wanted]
    assert not hungry or max(hungry) - min(hungry) <= 1


def test_retries_leave_first_and_say_which_try_they_are() -> None:
    lane = granted(Lane(0, 1, WIDEST))
    lane.fresh, lane.again = [1, 2, 3], [(9, 2), (8, 3)]
    rows, tries = lane.take(3, T0)
    assert (list(rows), list(tries)) == ([9, 8, 1], [2, 3, 1])


# -- pace ----------------------------------------------------------------------------------------------------


@given(
    st.floats(1, 200_000),
    st.lists(
        st.tuples(st.integers(0, 300 * NS_PER_MS), st.integers(0, 5_000), st.integers(0, 300 * NS_PER_MS)),
        max_size=60,
    ),
)
def test_no_stretch_exceeds_the_rate_by_more_than_the_depth(
    rate: float, steps: list[tuple[int, int, int]]
) -> None:
    """Counted where they leave, which a busy host does some time after it decided to."""
    pacer, now, sent = Pacer(rate, T0), T0, []
    for wait, wanted, late in steps:
        now += wait
        leaving = min(wanted, pacer.allowance(now))
        now += late
        pacer.spend(leaving, now)
        sent.append((now, leaving))
    for first in range(len(sent)):
        total = 0
        for at, count in sent[first:]:
            total += count
            assert total <= rate * (at - sent[first][0]) / NS_PER_S + pacer.depth + 1


def test_the_rate_is_reached_when_the_sender_comes_in_time() -> None:
    pacer, now, sent = Pacer(20_000, T0), T0, 0
    while now < T0 + NS_PER_S:
        now = max(now, pacer.ready_at())
        count = pacer.allowance(now)
        pacer.spend(count, now)
        sent += count
    assert 19_900 <= sent <= 20_000 + 2 * pacer.quantum


# -- inference -----------------------------------------------------------------------------------------------


def witness(network: int, *path: int, length: int = 4) -> Witness:
    return Witness((bytes([10, 0, network]), b"\x0a\0"), length, path)


@pytest.mark.parametrize("flows", [LEAST, ENOUGH])
def test_a_hop_is_inferred_from_enough_flows_of_one_mind(flows: int) -> None:
    sampled = Sampled(2, [witness(1, 5, 6, 7) for _ in range(flows)])
    assert sampled.infer(witness(1, 5, 0, 7), flows) == (6, flows)
    assert sampled.infer(witness(1, 5, 0, 7), flows + 1) is None


def test_one_dissenting_flow_of_the_group_forbids_it() -> None:
    sampled = Sampled(2, [*(witness(1, 5, 6, 7) for _ in range(100)), witness(1, 5, 66, 7)])
    assert sampled.infer(witness(1, 5, 0, 7), LEAST) is None


def test_networks_that_part_are_told_apart() -> None:
    flows = [witness(number % 2, 5, 60 + number % 2, 0) for number in range(2 * LEAST)]
    sampled = Sampled(2, flows)
    assert sampled.infer(witness(0, 5, 0, 0), LEAST) == (60, LEAST)
    assert sampled.infer(witness(1, 5, 0, 0), LEAST) == (61, LEAST)
    assert sampled.infer(witness(7, 5, 0, 0), LEAST) is None


def test_the_router_behind_tells_more_than_the_network() -> None:
    flows = [witness(number, 5, 60 + number % 2, 70 + number % 2) for number in range(4 * LEAST)]
    assert Sampled(2, flows).infer(witness(200, 5, 0, 71), LEAST) == (61, 2 * LEAST)


def test_only_flows_observed_at_the_hop_count() -> None:
    sampled = Sampled(2, [witness(1, 5, 0, 7) for _ in range(100)])
    assert sampled.flows == 0
    assert sampled.infer(witness(1, 5, 0, 7), 1) is None


# -- table ---------------------------------------------------------------------------------------------------


def test_a_target_takes_bytes_not_kilobytes() -> None:
    table = Table(SweepOptions(max_ttl=32))
    cells = 33 * (table.found.itemsize + table.rtt.itemsize)
    assert cells == 396
    for number in range(1024):
        table.open(number, number, 7, T0)
    assert len(table.found) == len(table.rtt) == 1024 * 33


def test_a_row_that_may_still_hear_from_old_probes_waits_before_it_is_used_again() -> None:
    table = Table(SweepOptions(timeout_ns=NS_PER_S))
    clean, dirty = table.open(1, 1, 7, T0), table.open(2, 2, 7, T0)
    table.dirty[dirty] = 1
    table.close(clean, T0)
    table.close(dirty, T0)
    assert clean in table.free
    assert dirty not in table.free
    table.recycle(T0 + 2 * NS_PER_S)
    assert dirty in table.free


def test_a_closed_row_leaves_no_trace() -> None:
    table = Table(SweepOptions(max_ttl=4))
    row = table.open(1, 1, 7, T0)
    for cell in range(row * table.width, (row + 1) * table.width):
        table.found[cell] = table.rtt[cell] = 9
    table.close(row, T0)
    again = table.open(2, 2, 7, T0)
    assert again == row
    assert list(table.path(again, 4)) == [0, 0, 0, 0]
    assert not any(table.resolved(again, ttl) for ttl in range(1, 5))
