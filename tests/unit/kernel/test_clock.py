"""Kernel stamps on one timeline: no step of the wall clock may turn into a false number."""

import time

import pytest

from nettrace.measure.kernel.clock import ALLOWED_PPM, Reading, Timeline, read_clocks

HOUR = 3_600_000_000_000
MS = 1_000_000
START = 1_700_000_000_000_000_000


class World:
    """Three clocks that a test moves: `pass_` lets time go by, `step` sets the wall clock."""

    def __init__(self) -> None:
        self.monotonic = 50 * MS
        self.offset = START
        self.drift_ppm = 0

    def pass_(self, ns: int) -> None:
        self.monotonic += ns

    def step(self, ns: int) -> None:
        self.offset += ns

    def stamp(self) -> int:
        return self.monotonic + self.offset

    def read(self) -> Reading:
        raw = self.monotonic - self.monotonic * self.drift_ppm // 1_000_000
        return Reading(self.monotonic, self.stamp(), raw, 200)


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def timeline(world: World) -> Timeline:
    return Timeline(world.read)


def test_begins_at_utc(world: World, timeline: Timeline) -> None:
    assert timeline.now == world.stamp()


def test_a_stamp_lies_where_it_was_taken(world: World, timeline: Timeline) -> None:
    earliest = timeline.now
    world.pass_(3 * MS)
    stamp = world.stamp()
    world.pass_(4 * MS)
    timeline.tick()
    assert timeline.place(stamp, earliest) == (earliest + 3 * MS, 0)


@pytest.mark.parametrize("step", [HOUR, -HOUR, 50 * MS, -50 * MS])
def test_a_big_step_is_seen_through(world: World, timeline: Timeline, step: int) -> None:
    earliest = timeline.now
    world.pass_(5 * MS)
    before_step = world.stamp()
    world.pass_(5 * MS)
    world.step(step)
    world.pass_(5 * MS)
    behind_step = world.stamp()
    timeline.tick()
    assert timeline.steps == 1
    assert timeline.place(before_step, earliest) == (earliest + 5 * MS, 0)
    assert timeline.place(behind_step, earliest) == (earliest + 15 * MS, 0)


def test_a_small_step_widens_the_bar_instead_of_lying(world: World, timeline: Timeline) -> None:
    earliest = timeline.now
    world.pass_(5 * MS)
    world.step(MS)
    stamp = world.stamp()
    world.pass_(5 * MS)
    timeline.tick()
    placed = timeline.place(stamp, earliest)
    assert placed is not None
    at, error = placed
    assert error == MS // 2
    assert abs(at - (earliest + 5 * MS)) <= error


def test_the_timeline_never_goes_backwards(world: World, timeline: Timeline) -> None:
    last = timeline.now
    for step in (HOUR, -2 * HOUR, HOUR, -7, 123):
        world.pass_(MS)
        world.step(step)
        assert timeline.tick() == last + MS
        last = timeline.now


def test_a_stamp_that_cannot_be_is_not_believed(world: World, timeline: Timeline) -> None:
    earliest = timeline.now
    world.pass_(10 * MS)
    timeline.tick()
    assert timeline.place(world.stamp() + HOUR, earliest) is None
    assert timeline.place(earliest - 2 * MS, earliest) is None


def test_a_step_is_forgotten_after_some_ticks(world: World, timeline: Timeline) -> None:
    earliest = timeline.now
    world.step(HOUR)
    for _ in range(10):
        world.pass_(MS)
        timeline.tick()
    assert timeline.place(world.stamp() - HOUR, earliest) is None
    assert timeline.place(world.stamp(), earliest) == (timeline.now, 0)


def test_utc_follows_the_wall_clock(world: World, timeline: Timeline) -> None:
    world.step(HOUR)
    world.pass_(MS)
    timeline.tick()
    assert timeline.utc(timeline.now) == world.stamp()


def test_a_wide_reading_is_no_step(world: World) -> None:
    """The program may lose its core between two clock reads; that says nothing of the clocks."""
    readings = [world.read()]
    world.pass_(MS)
    readings.append(world.read()._replace(realtime=world.stamp() + 300_000, width=700_000))
    timeline = Timeline(iter(readings).__next__)
    timeline.tick()
    assert timeline.steps == 0


def test_steering_of_the_clock_goes_into_the_bar(world: World) -> None:
    world.drift_ppm = 100
    timeline = Timeline(world.read)
    for _ in range(3):
        world.pass_(1_000 * MS)
        timeline.tick()
    assert timeline.slew_error_ns(100 * MS) == pytest.approx(10_000, rel=0.01)
    world.drift_ppm = 90_000
    world.pass_(1_000 * MS)
    timeline.tick()
    assert timeline.slew_error_ns(100 * MS) <= 100 * MS * ALLOWED_PPM // 1_000_000


def test_the_real_clocks_are_read_together() -> None:
    before = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
    reading = read_clocks()
    after = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
    assert before <= reading.monotonic <= after
    assert reading.width <= after - before
