"""Laws of every detector: a restart changes nothing, the future changes nothing, memory does not grow."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nettrace.analysis.signals.catalogue import CATALOGUE, detector
from nettrace.analysis.signals.replay import Comparing
from nettrace.model.instant import NS_PER_S
from nettrace.model.measurement import SampleState
from nettrace.model.signal import Observation, Signal

Row = tuple[Observation, Observation]
LARGEST_SNAPSHOT = 5000


@st.composite
def rows(draw: st.DrawFn) -> list[Row]:
    """Two series side by side with levels, noise, losses and holes."""
    dice = random.Random(draw(st.integers(0, 2**32)))
    at, made = 0, []
    for level, width, count, lost, hole in draw(
        st.lists(
            st.tuples(
                st.floats(0.1, 400),
                st.floats(0, 5),
                st.integers(1, 60),
                st.sampled_from([0, 0.1, 1]),
                st.integers(0, 900),
            ),
            min_size=1,
            max_size=7,
        )
    ):
        at += hole * 60 * NS_PER_S
        for _ in range(count):
            at += 240 * NS_PER_S
            pair = [_one(at, level + side, width, lost, dice) for side in (0, 3)]
            made.append((pair[0], pair[1]))
    return made


def _one(at: int, level: float, width: float, lost: float, dice: random.Random) -> Observation:
    if dice.random() < lost:
        return Observation(at, dice.choice([SampleState.LOST, SampleState.NOT_MEASURED]))
    return Observation(at, SampleState.ANSWERED, max(1, round((level + dice.expovariate(1) * width) * 1e6)))


def feed(each: object, seen: list[Row]) -> list[Signal]:
    made: list[Signal] = []
    for one, other in seen:
        if isinstance(each, Comparing):
            each.beside(other)
        made += each.feed(one)  # type: ignore[attr-defined]
    return made


@pytest.mark.parametrize("name", CATALOGUE)
@settings(max_examples=25, deadline=None)
@given(seen=rows(), share=st.floats(0, 1))
def test_a_restart_anywhere_changes_nothing(name: str, seen: list[Row], share: float) -> None:
    cut = int(share * len(seen))
    whole, first, second = detector(name), detector(name), detector(name)
    before = feed(first, seen[:cut])
    second.restore(first.snapshot())
    assert before + feed(second, seen[cut:]) == feed(whole, seen)
    assert second.snapshot() == whole.snapshot()


@pytest.mark.parametrize("name", CATALOGUE)
@settings(max_examples=15, deadline=None)
@given(seen=rows(), share=st.floats(0, 1))
def test_what_comes_later_changes_nothing_said_before(name: str, seen: list[Row], share: float) -> None:
    cut = int(share * len(seen))
    early, whole = feed(detector(name), seen[:cut]), feed(detector(name), seen)
    assert whole[: len(early)] == early
    assert all(signal.at <= signal.detected_at for signal in whole)
    assert all(0 <= signal.confidence <= 1 for signal in whole)
    assert [signal.detected_at for signal in whole] == sorted(signal.detected_at for signal in whole)


@pytest.mark.parametrize("name", CATALOGUE)
def test_memory_does_not_grow(name: str) -> None:
    dice, each = random.Random(1), detector(name)
    seen = [
        (_one(at, 40, 2, 0.01, dice), _one(at, 42, 2, 0.01, dice))
        for at in range(0, 6000 * 240 * NS_PER_S, 240 * NS_PER_S)
    ]
    feed(each, seen[:5000])
    middle = len(each.snapshot())
    feed(each, seen[5000:])
    assert len(each.snapshot()) < 1.2 * middle < LARGEST_SNAPSHOT


@pytest.mark.parametrize("name", CATALOGUE)
@settings(max_examples=10, deadline=None)
@given(count=st.integers(1, 300), level=st.floats(0.05, 500))
def test_a_flat_line_says_nothing(name: str, count: int, level: float) -> None:
    one = [Observation(n * NS_PER_S, SampleState.ANSWERED, round(level * 1e6)) for n in range(count)]
    assert feed(detector(name), [(each, each) for each in one]) == []
