"""A route changes when further traces agree that it did, and never by silence or balancing."""

from random import Random

import pytest
from tests.unit.routes.paths import EAST, START, STEP, TARGET, WEST, by_first_words, trace

from nettrace.analysis.routes.tracker import RouteTracker
from nettrace.model.path import Trace
from nettrace.model.route import RouteChange, RouteClass


def follow(traces: list[Trace], *, with_as: bool = True) -> list[RouteChange]:
    tracker = RouteTracker()
    found = [tracker.feed(each, by_first_words if with_as else None) for each in traces]
    return [change for change in found if change is not None]


def series(*stretches: tuple[tuple[str | None, ...], int], **more: float) -> list[Trace]:
    hops = [hops for hops, count in stretches for _ in range(count)]
    return [trace(each, number, **more) for number, each in enumerate(hops)]


def test_a_reroute_is_told_once_with_both_hop_lists_at_its_first_trace() -> None:
    (change,) = follow(series((WEST, 10), (EAST, 10)))
    assert change.kind is RouteClass.AS_PATH
    assert (change.at, change.detected_at) == (START + 10 * STEP, START + 11 * STEP)
    assert change.before.hops == (*WEST, TARGET)
    assert change.after.hops == (*EAST, TARGET)
    assert change.before.id != change.after.id
    assert change.confidence == 0.875
    assert not change.reverted


def test_without_an_as_table_it_is_an_ip_path() -> None:
    (change,) = follow(series((WEST, 10), (EAST, 10)), with_as=False)
    assert change.kind is RouteClass.IP_PATH
    assert change.after.as_path == ()


def test_hops_replaced_inside_their_as_are_an_ip_path() -> None:
    moved = (WEST[0], WEST[1], "198.18.77.1", "198.18.78.1", WEST[4])
    (change,) = follow(series((WEST, 10), (moved, 10)))
    assert change.kind is RouteClass.IP_PATH


def test_one_router_replaced_for_good_is_a_change_too() -> None:
    moved = (WEST[0], WEST[1], "198.18.77.1", WEST[3], WEST[4])
    (change,) = follow(series((WEST, 10), (moved, 10)))
    assert change.kind is RouteClass.IP_PATH and change.at == START + 10 * STEP


@pytest.mark.parametrize(
    "other", [(*WEST[:2], "198.51.7.1", *WEST[2:]), (*WEST[:2], *WEST[4:])], ids=["longer", "shorter"]
)
def test_a_way_with_a_hop_more_or_less_is_another_and_its_end_a_return(other: tuple[str, ...]) -> None:
    there, back = follow(series((WEST, 10), (other, 10), (WEST, 5)))
    assert (there.at, back.at, back.reverted) == (START + 10 * STEP, START + 20 * STEP, True)


def test_silence_delays_a_change_and_does_not_hide_it() -> None:
    random = Random(8)
    moved = (WEST[0], WEST[1], "198.18.77.1", WEST[3], WEST[4])
    hops = [WEST] * 30 + [moved] * 15 + [WEST] * 15
    dim = [tuple(None if random.random() < 0.1 else hop for hop in each) for each in hops]
    away, back = follow([trace(each, number) for number, each in enumerate(dim)])
    assert 30 <= away.at // STEP - START // STEP < 35 and 45 <= back.at // STEP - START // STEP < 50


def test_a_return_is_recognised_and_keeps_the_route_s_name() -> None:
    away, back = follow(series((WEST, 10), (EAST, 6), (WEST, 6)))
    assert (away.reverted, back.reverted) == (False, True)
    assert back.after.id == away.before.id
    assert back.at == START + 16 * STEP


def test_a_return_is_recognised_even_before_the_new_route_is_well_known() -> None:
    _, back = follow(series((WEST, 10), (EAST, 2), (WEST, 4)))
    assert back.reverted and back.at == START + 12 * STEP


@pytest.mark.parametrize("share", [0.1, 0.4])
def test_silence_is_never_a_change(share: float) -> None:
    random = Random(5)
    hops = [tuple(None if random.random() < share else hop for hop in WEST) for _ in range(200)]
    assert follow([trace(each, number) for number, each in enumerate(hops)]) == []


def test_a_target_that_stops_answering_has_not_changed_its_route() -> None:
    there = series((WEST, 10))
    gone = [trace((*WEST, None, None), 10 + number, reached=False) for number in range(10)]
    assert follow([*there, *gone]) == []


def test_flows_balanced_over_four_ways_are_one_route_and_say_so_at_most_once() -> None:
    random = Random(3)
    ways = [(WEST[0], WEST[1], f"198.{18 + way}.1.1", f"198.{18 + way}.2.{way}", WEST[4]) for way in range(4)]
    flows = [random.randrange(16) for _ in range(300)]
    found = follow([trace(ways[flow % 4], number, flow=flow) for number, flow in enumerate(flows)])
    assert [change.kind for change in found] in ([], [RouteClass.LOAD_BALANCING])


def test_the_first_hop_of_a_home_may_change_as_it_likes() -> None:
    assert follow(series((WEST, 10), (("10.0.0.138", *WEST[1:]), 10))) == []


def test_inside_a_private_network_private_hops_are_the_route() -> None:
    one = [trace(("10.1.1.1", "10.1.2.1", "10.1.3.1"), n, target="10.9.9.9") for n in range(10)]
    two = [trace(("10.1.1.1", "10.2.2.1", "10.2.3.1"), 10 + n, target="10.9.9.9") for n in range(5)]
    assert [change.kind for change in follow([*one, *two], with_as=False)] == [RouteClass.IP_PATH]


def test_a_target_that_moves_takes_its_route_along() -> None:
    moved = [trace(EAST, 10 + number, target="192.0.2.200") for number in range(8)]
    (change,) = follow([*series((WEST, 10)), *moved])
    assert change.kind is RouteClass.DESTINATION


def test_the_round_trip_is_compared_and_its_noise_respected() -> None:
    jitter = Random(1)
    same = [trace(WEST, n, rtt_ms=50 + jitter.random()) for n in range(12)]
    longer = [trace(EAST, 12 + n, rtt_ms=62 + jitter.random()) for n in range(3)]
    equal = [trace(EAST, 12 + n, rtt_ms=50 + jitter.random()) for n in range(3)]
    (far,) = follow([*same, *longer])
    (near,) = follow([*same, *equal])
    assert far.rtt_delta_ns is not None and far.rtt_delta_ns == pytest.approx(12e6, abs=1e6)
    assert (far.rtt_moved, near.rtt_moved) == (True, False)


def test_without_an_answer_of_the_target_there_is_no_round_trip_to_compare() -> None:
    blind = [trace(WEST, n, reached=False) for n in range(10)] + [
        trace(EAST, 10 + n, reached=False) for n in range(3)
    ]
    (change,) = follow(blind)
    assert (change.rtt_delta_ns, change.rtt_moved) == (None, None)


def test_there_is_no_current_route_before_it_is_known_and_its_name_stays() -> None:
    tracker, names = RouteTracker(), []
    for each in series((WEST, 40)):
        tracker.feed(each)
        names.append(tracker.current.id if tracker.current else None)
    assert names[:3] == [None] * 3
    assert names[-1] is not None and len(set(names[4:])) == 1
