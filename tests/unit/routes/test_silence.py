"""Hops that keep silent now and then neither make a change nor hide one: two traces are two looks at one path."""

from random import Random

import pytest
from tests.unit.routes.paths import EAST, HOME, WEST, by_first_words, trace

from nettrace.analysis.routes.tracker import RouteTracker
from nettrace.model.path import Trace
from nettrace.model.route import RouteChange, RouteClass

NORTH = (
    HOME,
    "198.51.1.1",
    "198.18.0.66",
    "198.18.0.16",
    "198.18.0.30",
    "198.18.0.40",
    "198.18.0.48",
    "198.20.3.12",
)
"""One carrier all the way, in one /24."""
SOUTH = (HOME, "198.51.1.1", "198.18.0.66", "198.18.0.16", "203.0.7.3", "198.19.1.20", "198.20.3.13")
"""Over an exchange, and one router of another carrier, to another door of the same cloud."""
KNOWN, AFTER = 8, 6


def follow(traces: list[Trace]) -> list[RouteChange]:
    tracker = RouteTracker()
    return [change for each in traces if (change := tracker.feed(each, by_first_words)) is not None]


def dim(hops: tuple[str | None, ...], share: float, random: Random) -> tuple[str | None, ...]:
    return tuple(None if random.random() < share else hop for hop in hops)


@pytest.mark.parametrize("share", [0.0, 0.05, 0.1])
@pytest.mark.parametrize(("old", "new"), [(WEST, EAST), (NORTH, SOUTH), (SOUTH, NORTH)])
def test_a_change_is_told_by_its_second_trace_whatever_keeps_silent(
    old: tuple[str, ...], new: tuple[str, ...], share: float
) -> None:
    random, fresh = Random(9), set(new) - set(old)
    for _ in range(200):
        seen = [dim(new, share, random) for _ in range(AFTER)]
        hops = [*(dim(old, share, random) for _ in range(KNOWN)), *seen]
        (change,) = follow([trace(each, number) for number, each in enumerate(hops)])
        heard = [fresh.intersection(each) for each in seen[:2]]
        if all(heard) and heard[0] | heard[1] == fresh:
            assert change.detected_at == trace((), KNOWN + 1).at, (
                "no hop was silent twice, and both traces showed one"
            )


def test_each_of_two_traces_may_show_another_half_of_the_new_path() -> None:
    first, second = (*SOUTH[:5], None, SOUTH[6]), (*SOUTH[:4], None, *SOUTH[5:])
    (change,) = follow([trace(hops, number) for number, hops in enumerate([*[NORTH] * KNOWN, first, second])])
    assert change.kind is RouteClass.AS_PATH, "the other carrier was heard once"
    assert change.after.as_path == (198051, 198018, 203000, 198019, 198020)
    assert change.at == trace((), KNOWN).at, "held back, not forgotten"
    assert change.after.hops[4] is None, "the list is what the trace heard"


def test_half_a_new_path_that_does_not_come_again_is_learnt() -> None:
    odd = (*NORTH[:4], "203.0.7.3", *NORTH[5:])
    tracker = RouteTracker()
    for number, hops in enumerate([*[NORTH] * KNOWN, odd, *[NORTH] * AFTER]):
        assert tracker.feed(trace(hops, number), by_first_words) is None


def test_routers_replaced_within_their_own_network_are_an_ip_path_and_a_renumbered_one_is_none() -> None:
    rebuilt = (*NORTH[:4], "198.18.0.31", "198.18.0.41", "198.18.0.49", NORTH[7])
    renumbered = (*NORTH[:4], "198.18.0.31", *NORTH[5:])
    (change,) = follow([trace(hops, n) for n, hops in enumerate([*[NORTH] * KNOWN, rebuilt, rebuilt])])
    assert change.kind is RouteClass.IP_PATH
    assert follow([trace(hops, n) for n, hops in enumerate([*[NORTH] * KNOWN, *[renumbered] * AFTER])]) == []


def test_what_is_held_back_survives_a_restart() -> None:
    first, second = (*SOUTH[:5], None, SOUTH[6]), (*SOUTH[:4], None, *SOUTH[5:])
    tracker = RouteTracker()
    for number, hops in enumerate([*[NORTH] * KNOWN, first]):
        assert tracker.feed(trace(hops, number), by_first_words) is None
    assert RouteTracker.restore(tracker.snapshot()).feed(trace(second, KNOWN + 1), by_first_words) is not None
