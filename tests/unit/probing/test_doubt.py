"""Answers that name no probe: when they are believed, and when not."""

import pytest

from nettrace.measure.probing.doubt import HOLD_NS, Doubts
from nettrace.measure.tracing.answer import Answer
from nettrace.model.path import ReplyKind

NOW = 7_000_000_000
LATER = NOW + HOLD_NS


def heard(source: int, tag: int = 1, *, inferred: bool = True) -> tuple[Answer, int]:
    return Answer(tag, ReplyKind.TIME_EXCEEDED, bytes((10, 0, 0, source)), inferred=inferred), NOW


@pytest.fixture
def answered() -> set[int]:
    return set()


@pytest.fixture
def doubts(answered: set[int]) -> Doubts:
    return Doubts(answered.__contains__)


def test_what_names_its_probe_passes_at_once(doubts: Doubts) -> None:
    proven = heard(1, inferred=False)
    assert doubts.sift([proven], NOW) == [proven]
    assert doubts.next_at() is None


def test_what_names_none_is_believed_when_nobody_else_claims_it(doubts: Doubts) -> None:
    alone = heard(1)
    assert doubts.sift([alone, heard(1)], NOW) == []
    assert doubts.next_at() == LATER
    assert doubts.settled(LATER - 1) == []
    assert doubts.settled(LATER) == [alone]
    assert doubts.next_at() is None


def test_of_two_claims_none_is_believed(doubts: Doubts) -> None:
    doubts.sift([heard(1), heard(2)], NOW)
    doubts.sift([heard(1)], NOW + 1)
    assert doubts.settled(LATER) == []


def test_a_named_answer_outweighs_one_that_names_none_before_and_behind_it(
    doubts: Doubts, answered: set[int]
) -> None:
    proven = heard(2, inferred=False)
    assert doubts.sift([heard(1), proven], NOW) == [proven]
    answered.add(1)
    assert doubts.sift([heard(3)], NOW + 1) == []
    assert doubts.settled(LATER + 1) == []


def test_each_probe_is_judged_by_itself(doubts: Doubts) -> None:
    first, second = heard(1, tag=1), heard(2, tag=2)
    doubts.sift([first, second], NOW)
    assert doubts.settled(LATER) == [first, second]
