"""Laws of the schedule, whatever the clocks and the assignments do."""

from hypothesis import given, settings
from hypothesis import strategies as st

from nettrace.model.instant import NS_PER_S
from nettrace.model.target import RoundMethod, Series
from nettrace.node.schedule import GRACE_NS, Due, Moment, Schedule

START = 1_767_225_600 * NS_PER_S
SERIES = [Series("lon", f"t{number}", "rest", RoundMethod.TCP) for number in range(4)]

intervals = st.dictionaries(
    st.sampled_from(SERIES), st.integers(1, 4000).map(lambda seconds: seconds * NS_PER_S)
)
moves = st.lists(
    st.one_of(
        st.tuples(st.just("wait"), st.integers(0, 200 * NS_PER_S)),
        st.tuples(st.just("step"), st.integers(-5000 * NS_PER_S, 5000 * NS_PER_S)),
        st.tuples(st.just("assign"), intervals),
    ),
    max_size=30,
)


@settings(deadline=None)
@given(intervals, moves)
def test_no_round_twice_none_early_none_too_late_and_all_accounted_for(
    first: dict[Series, int], story: list[tuple[str, int | dict[Series, int]]]
) -> None:
    now = Moment(0, START)
    schedule = Schedule()
    schedule.assign(first, now)
    seen: set[Due] = set()
    for what, how in story:
        if isinstance(how, dict):
            schedule.assign(how, now)
            assert len(schedule) == len(how)
        else:
            now = Moment(now.monotonic + (how if what == "wait" else 0), now.utc + how)
        rounds = schedule.due(now)
        assert len({each.series for each in rounds}) == len(rounds), "two rounds of a series at once"
        for each in rounds:
            assert 0 <= now.utc - each.due <= GRACE_NS
        assert not seen & set(rounds)
        seen |= set(rounds)
        upcoming = schedule.next_at()
        assert upcoming is None or upcoming > now.utc
        missed = schedule.missed()
        assert missed is None or (missed.rounds > 0 and missed.since < missed.until <= now.utc)


@settings(deadline=None)
@given(st.integers(1, 100_000), st.integers(0, 10**6), st.integers(0, 10**6))
def test_dues_do_not_depend_on_when_the_node_was_started(interval_s: int, first_s: int, later_s: int) -> None:
    """Two nodes of the same vantage, or one that was started again, agree on every moment after the first."""
    series = SERIES[0]
    starts = sorted((first_s, first_s + later_s))
    horizon = Moment(0, START + (starts[1] + 3 * interval_s + 60) * NS_PER_S)
    found: list[int | None] = []
    for start in starts:
        schedule = Schedule()
        schedule.assign({series: interval_s * NS_PER_S}, Moment(0, START + start * NS_PER_S))
        schedule.due(horizon)
        found.append(schedule.next_at())
    assert found[0] == found[1]
