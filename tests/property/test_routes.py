"""Laws of the route tracker: it can stop and go on, silence and balancing change nothing, its memory is bounded."""

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.routes.paths import EAST, WEST, by_first_words, trace

from nettrace.analysis.routes.regime import MOST_ADDRESSES
from nettrace.analysis.routes.tracker import MOST_FORMER, MOST_SIGHTS, RouteTracker
from nettrace.model.path import Trace
from nettrace.model.route import RouteClass

ADDRESS = st.builds("198.{}.{}.1".format, st.integers(18, 19), st.integers(0, 30))
HOPS = st.lists(st.none() | ADDRESS, max_size=8).map(tuple)
SERIES = st.lists(
    st.tuples(HOPS | st.sampled_from([WEST, EAST]), st.integers(0, 3), st.booleans()), max_size=60
)


def traces(series: list[tuple[tuple[str | None, ...], int, bool]]) -> list[Trace]:
    return [trace(hops, n, flow=flow, reached=reached) for n, (hops, flow, reached) in enumerate(series)]


@given(SERIES, st.integers(0, 60))
@settings(max_examples=40, deadline=None)
def test_restored_it_goes_on_as_if_it_had_never_stopped(
    series: list[tuple[tuple[str | None, ...], int, bool]], cut: int
) -> None:
    whole, first = RouteTracker(), RouteTracker()
    fed = traces(series)
    expected = [whole.feed(each, by_first_words) for each in fed]
    told = [first.feed(each, by_first_words) for each in fed[:cut]]
    second = RouteTracker.restore(first.snapshot())
    assert second.current == first.current
    told += [second.feed(each, by_first_words) for each in fed[cut:]]
    assert told == expected
    assert second.snapshot() == whole.snapshot()


@given(st.lists(st.tuples(st.sets(st.integers(0, 4)), st.booleans()), min_size=4, max_size=60))
@settings(max_examples=60, deadline=None)
def test_whatever_keeps_silent_one_route_is_one_route(silences: list[tuple[set[int], bool]]) -> None:
    tracker = RouteTracker()
    for number, (silent, reached) in enumerate(silences):
        hops = [None if place in silent else hop for place, hop in enumerate(WEST)]
        assert tracker.feed(trace(hops, number, reached=reached), by_first_words) is None


@given(st.lists(st.integers(0, 63), min_size=1, max_size=120), st.integers(2, 4))
@settings(max_examples=60, deadline=None)
def test_flows_that_keep_to_their_ways_are_told_as_balancing_at_most_once_after_all_were_seen(
    flows: list[int], ways: int
) -> None:
    tracker = RouteTracker()
    told: list[RouteClass] = []
    every = [*range(8), *range(8), *(flow % 8 for flow in flows)]
    for number, flow in enumerate(every):
        way = flow % ways
        hops = (*WEST[:2], f"198.2{way}.1.1", f"198.2{way}.2.1", WEST[4])
        change = tracker.feed(trace(hops, number, flow=flow), by_first_words)
        told += [change.kind] if change else []
    assert told in ([], [RouteClass.LOAD_BALANCING])


@given(st.integers(0, 2**32))
@settings(max_examples=2, deadline=None)
def test_memory_is_bounded_whatever_is_fed(seed: int) -> None:
    tracker = RouteTracker()
    for number in range(530):
        hops = tuple(
            f"198.{(seed + number * 7 + hop) % 200}.{(number * hop + seed) % 250}.1" for hop in range(1, 9)
        )
        tracker.feed(trace(hops, number, flow=number % 32), by_first_words)
    regimes = MOST_FORMER + 1
    assert len(tracker.snapshot()) < regimes * MOST_ADDRESSES * 100 + MOST_SIGHTS * 4096
