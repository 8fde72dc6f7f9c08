"""A rate is a promise: in no window may more packets go than it allows."""

from hypothesis import given
from hypothesis import strategies as st

from nettrace.measure.probing.pace import LONGEST_TICK_NS, TICK_NS, Pace, Tick, burst_of

SECOND = 1_000_000_000
START = 1_700_000_000 * SECOND


@given(
    st.floats(min_value=0.5, max_value=100_000),
    st.lists(st.tuples(st.integers(0, 40_000_000), st.integers(0, 500)), min_size=1, max_size=60),
)
def test_no_window_holds_more_than_rate_and_burst(rate: float, steps: list[tuple[int, int]]) -> None:
    burst_ns = 30_000_000
    pace = Pace(rate, burst_ns)
    now, sent = START, []
    for passed, wanted in steps:
        now += passed
        count = min(wanted, pace.room(now))
        pace.spend(count, now)
        sent.append((now, count))
    for first in range(len(sent)):
        total = 0
        for at, count in sent[first:]:
            total += count
            allowed = max(1.0, rate * burst_ns / SECOND) + rate * (at - sent[first][0]) / SECOND
            assert total <= allowed + 1e-3 * allowed


def test_the_next_one_may_go_when_it_says() -> None:
    pace = Pace(10.0, 0)
    assert pace.room(START) == 1
    pace.spend(1, START)
    assert pace.room(START) == 0
    at = pace.next_at(START)
    assert at == START + SECOND // 10
    assert pace.room(at - 1_000_000) == 0
    assert pace.room(at + 1_000) == 1


@given(st.floats(min_value=20, max_value=5_000), st.integers(1, 100), st.integers(0, 5_000_000))
def test_a_tick_is_never_so_long_that_the_rate_is_missed(rate: float, share: int, late_ns: int) -> None:
    """Packets come evenly at any share of the rate; ticks are up to 5 ms late; in the end no more wait than one tick brings."""
    tick, pace = Tick(rate), Pace(rate, burst_of(rate))
    now, came = START, 0.0
    for _ in range(200):
        passed = tick.ns + late_ns
        now += passed
        came += rate * share / 100 * passed / SECOND
        count = min(int(came), pace.room(now))
        came -= count
        pace.spend(count, now)
        tick.went(count, waiting=came >= 1)
        assert tick.ns <= LONGEST_TICK_NS
    assert came < 1


def test_little_traffic_is_served_by_long_ticks_until_looking_is_the_only_clock() -> None:
    tick = Tick(2_000.0)
    for _ in range(20):
        tick.went(3, waiting=False)
    assert tick.ns > LONGEST_TICK_NS * 0.99
    tick.by_looking()
    tick.went(3, waiting=False)
    assert tick.ns == TICK_NS
