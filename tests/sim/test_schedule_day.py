"""A full day of a node's rounds in virtual time: evenly spread, none doubled, none piled up after anything."""

from collections import Counter
from itertools import pairwise

import pytest

from nettrace.model.instant import NS_PER_S
from nettrace.model.target import RoundMethod, Series
from nettrace.node.schedule import FIRST_WITHIN_NS, GRACE_NS, JITTER_NS, Due, Moment, Schedule

MIDNIGHT = 1_767_225_600 * NS_PER_S
DAY_S = 86_400
WAYS = {RoundMethod.TCP: 60, RoundMethod.ICMP: 60, RoundMethod.HTTP: 900, RoundMethod.TRACE: 900}
INTERVALS = {
    Series("nyc", f"t{number}.example", "rest", method): seconds * NS_PER_S
    for number in range(25)
    for method, seconds in WAYS.items()
}
"""100 schedules."""


class Clocks:
    """Two clocks that move when they are told to."""

    def __init__(self) -> None:
        self.now = Moment(5 * NS_PER_S, MIDNIGHT)

    def run(self, schedule: Schedule, seconds: float) -> list[Due]:
        """Live so long, waking at each due moment and every second, and give back what was due."""
        until = self.now.utc + int(seconds * NS_PER_S)
        rounds: list[Due] = []
        while self.now.utc < until:
            upcoming = schedule.next_at() or until
            self.move(max(1, min(upcoming, until, self.now.utc + NS_PER_S) - self.now.utc))
            rounds += schedule.due(self.now)
        return rounds

    def move(self, ns: int) -> None:
        self.now = Moment(self.now.monotonic + ns, self.now.utc + ns)

    def step(self, ns: int) -> None:
        self.now = Moment(self.now.monotonic, self.now.utc + ns)


@pytest.fixture
def clocks() -> Clocks:
    return Clocks()


@pytest.fixture
def schedule(clocks: Clocks) -> Schedule:
    schedule = Schedule()
    schedule.assign(INTERVALS, clocks.now)
    return schedule


def test_a_day_of_a_hundred_schedules(clocks: Clocks, schedule: Schedule) -> None:
    rounds = clocks.run(schedule, DAY_S)
    assert len(set(rounds)) == len(rounds), "the same round twice"
    assert schedule.missed() is None
    for series, interval_ns in INTERVALS.items():
        turns = DAY_S * NS_PER_S // interval_ns
        dues = [each.due for each in rounds if each.series == series]
        assert turns <= len(dues) <= turns + 1, "one a turn, and the first one early"
        steady = [later - earlier for earlier, later in pairwise(dues[1:])]
        assert all(abs(gap - interval_ns) <= min(JITTER_NS, interval_ns // 20) for gap in steady)
        assert dues[0] < MIDNIGHT + FIRST_WITHIN_NS + min(interval_ns, FIRST_WITHIN_NS)
        drift = (dues[-1] - dues[1]) - (len(dues) - 2) * interval_ns
        assert abs(drift) <= min(JITTER_NS, interval_ns // 20), "jitter adds up"
    settled = [each.due for each in rounds if each.due >= MIDNIGHT + 900 * NS_PER_S]
    by_second = Counter(due // NS_PER_S for due in settled)
    expected = sum(NS_PER_S / interval_ns for interval_ns in INTERVALS.values())
    assert max(by_second.values()) <= 5 + 5 * expected, "a burst"
    by_ten = Counter(due // (10 * NS_PER_S) for due in settled)
    assert max(by_ten.values()) <= 2.5 * 10 * expected


def test_a_pause_is_stated_and_followed_by_no_burst(clocks: Clocks, schedule: Schedule) -> None:
    clocks.run(schedule, 1800)
    paused_at = clocks.now.utc
    clocks.move(2 * 3600 * NS_PER_S)
    at_once = schedule.due(clocks.now)
    assert len(at_once) <= 25, "only what was due within its grace"
    assert all(clocks.now.utc - each.due <= GRACE_NS for each in at_once)
    missed = schedule.missed()
    assert missed is not None
    assert missed.since >= paused_at
    assert missed.until == clocks.now.utc
    assert missed.rounds + len(at_once) == pytest.approx(50 * 120 + 50 * 8, abs=100)
    after = clocks.run(schedule, 3600)
    assert max(Counter(each.due // NS_PER_S for each in after).values()) <= 12
    assert schedule.missed() is None


def test_the_hour_that_comes_twice_has_rounds_of_its_own(clocks: Clocks, schedule: Schedule) -> None:
    first = clocks.run(schedule, 3600)
    clocks.step(-3600 * NS_PER_S)
    second = clocks.run(schedule, 3600)
    assert schedule.life == 1
    assert not set(first) & set(second), "a round of the second hour taken for one of the first"
    assert len(second) == pytest.approx(50 * 60 + 50 * 4, abs=60), "measured on as if nothing had happened"
    assert schedule.missed() is None


def test_a_clock_set_forward_is_a_hole_not_a_burst(clocks: Clocks, schedule: Schedule) -> None:
    clocks.run(schedule, 3600)
    clocks.step(24 * 3600 * NS_PER_S)
    assert len(schedule.due(clocks.now)) <= 25
    missed = schedule.missed()
    assert missed is not None
    assert missed.until - missed.since == pytest.approx(24 * 3600 * NS_PER_S, abs=60 * NS_PER_S)


def test_a_new_assignment_moves_nobody(clocks: Clocks, schedule: Schedule) -> None:
    twin = Schedule()
    twin.assign(INTERVALS, clocks.now)
    other = Clocks()
    other.run(twin, 1000)
    clocks.run(schedule, 1000)
    more = {Series("nyc", "new.example", "rest", RoundMethod.TCP): 60 * NS_PER_S}
    kept = dict(list(INTERVALS.items())[10:])
    schedule.assign(kept | more, clocks.now)
    got = {each for each in clocks.run(schedule, 3000) if each.series in kept}
    wanted = {each for each in other.run(twin, 3000) if each.series in kept}
    assert got == wanted


def test_from_a_second_to_a_week(clocks: Clocks) -> None:
    fast, slow = (Series("nyc", name, "rest", RoundMethod.TCP) for name in ("fast", "slow"))
    schedule = Schedule()
    schedule.assign({fast: NS_PER_S // 10, slow: 7 * DAY_S * NS_PER_S}, clocks.now)
    rounds = Counter(each.series for each in clocks.run(schedule, 2 * DAY_S))
    assert rounds[fast] == pytest.approx(2 * DAY_S, abs=2), "never closer than a second"
    assert rounds[slow] in {1, 2}
