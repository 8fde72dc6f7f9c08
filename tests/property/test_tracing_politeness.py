"""Politeness as a law: in no window does anyone get more than the rate and one burst."""

from hypothesis import given
from hypothesis import strategies as st

from nettrace.measure.tracing.politeness import Limits, Politeness, Rate, TokenBucket
from nettrace.model.instant import NS_PER_S

rates = st.builds(Rate, st.sampled_from((0.1, 0.5, 1.0, 3.0, 20.0, 1000.0, 3333.3)), st.integers(1, 20))
gaps = st.lists(st.integers(0, 2 * NS_PER_S), min_size=1, max_size=80)


@given(rates, gaps)
def test_no_window_holds_more_than_rate_and_burst(rate: Rate, waits: list[int]) -> None:
    bucket, now, granted = TokenBucket(rate), 0, list[int]()
    for wait in waits:
        now += wait
        if bucket.allow(now):
            granted.append(now)

    for first in range(len(granted)):
        for last in range(first, len(granted)):
            window_s = (granted[last] - granted[first]) / NS_PER_S
            assert last - first + 1 <= rate.burst + rate.per_second * window_s + 1e-6


@given(rates, gaps)
def test_next_at_is_the_first_instant_that_is_allowed(rate: Rate, waits: list[int]) -> None:
    bucket, now = TokenBucket(rate), 0
    for wait in waits:
        now += wait
        at = bucket.next_at(now)
        assert at >= now
        if at > now:
            assert not bucket.allow(at - 1)
        assert bucket.allow(at)
        now = at


@given(
    st.lists(
        st.tuples(
            st.integers(0, NS_PER_S // 2),
            st.sampled_from(("198.18.0.1", "198.18.0.2", "198.18.1.1", "2001:db8::1", "2001:db8:0:9::2")),
            st.sampled_from((None, "10.0.0.1", "10.0.0.2")),
        ),
        max_size=120,
    )
)
def test_every_budget_holds_at_once(packets: list[tuple[int, str, str | None]]) -> None:
    limits = Limits(node=Rate(8, 6), target=Rate(2, 3), network=Rate(3, 4), router=Rate(1, 2))
    politeness, now = Politeness(limits), 0
    sent: list[tuple[int, str, str | None]] = []
    for wait, target, router in packets:
        now += wait
        soonest = politeness.next_at(now, target, router)
        allowed = politeness.allow(now, target, router)
        assert allowed == (soonest <= now)
        if allowed:
            sent.append((now, target, router))

    def within(rate: Rate, times: list[int]) -> bool:
        return all(
            last - first + 1 <= rate.burst + rate.per_second * (times[last] - times[first]) / NS_PER_S + 1e-6
            for first in range(len(times))
            for last in range(first, len(times))
        )

    assert within(limits.node, [at for at, _, _ in sent])
    for name in ("198.18.0.1", "198.18.0.2"):
        assert within(limits.target, [at for at, target, _ in sent if target == name])
    assert within(limits.network, [at for at, target, _ in sent if target.startswith("198.18.0.")])
    assert within(limits.network, [at for at, target, _ in sent if target.startswith("2001:db8:")])
    assert within(limits.router, [at for at, _, router in sent if router == "10.0.0.1"])
