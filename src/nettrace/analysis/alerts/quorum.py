"""k of n vantages: what several places say about one thing, made into one verdict."""

from collections.abc import Iterable
from enum import StrEnum


class Vote(StrEnum):
    """What one vantage says. `HELD` ones cannot be asked now; `HELD_BAD` said "bad" when they last could."""

    BAD = "bad"
    GOOD = "good"
    HELD = "held"
    HELD_BAD = "held_bad"


class Verdict(StrEnum):
    """What follows. `HELD`: nothing begins and nothing ends."""

    BAD = "bad"
    GOOD = "good"
    HELD = "held"


def verdict(votes: Iterable[Vote], k: int, n: int = 1) -> Verdict:
    """Bad when k vantages say so and n can be asked; good when fewer than k can possibly mean it.

    >>> verdict([Vote.BAD, Vote.GOOD, Vote.GOOD], k=2)
    <Verdict.GOOD: 'good'>
    >>> verdict([Vote.BAD, Vote.HELD_BAD, Vote.GOOD], k=2)
    <Verdict.HELD: 'held'>
    """
    said = list(votes)
    bad, asked = said.count(Vote.BAD), said.count(Vote.BAD) + said.count(Vote.GOOD)
    if asked == 0 or asked < n:
        return Verdict.HELD
    if bad >= k:
        return Verdict.BAD
    return Verdict.HELD if bad + said.count(Vote.HELD_BAD) >= k else Verdict.GOOD


def better(votes: Iterable[Vote]) -> Vote:
    """One vantage's vote from those of its series: one bad series is enough, and one that can be asked.

    >>> better([Vote.HELD, Vote.GOOD, Vote.BAD])
    <Vote.BAD: 'bad'>
    """
    said = set(votes)
    return next((vote for vote in (Vote.BAD, Vote.HELD_BAD, Vote.GOOD) if vote in said), Vote.HELD)
