"""A rate is a promise: in no window may more packets go than it allows."""

from hypothesis import given
from hypothesis import strategies as st

from nettrace.measure.probing.pace import Pace

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
