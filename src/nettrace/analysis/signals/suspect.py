"""What may be getting worse, before a detector can prove it: rounds far above all that was usual, at many pairs at once.

One pair alone proves nothing after two rounds. That many pairs are far above their usual at the same time happens by
chance so rarely that it can be said, as a suspicion, with how often it would be wrong.
"""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from math import exp, inf, lgamma, log
from typing import NamedTuple, TypeVar

USUAL, LEAST_USUAL = 30, 10
"""Rounds a pair's usual is taken from, at most and at least."""
LONGEST = 8
"""Rounds after which a suspicion that nothing confirmed is dropped: the detectors speak by the fifth or not at all."""
BY_CHANCE = {1: 0.012, 2: 0.005}
"""Share of a pair's rounds at which its newest one, or its newest two, lie outside on real series (docs/decisions/0220)."""
LEAST_PAIRS = 2

T = TypeVar("T", bound=Hashable)


class Outside(NamedTuple):
    """A pair that is above its usual.

    Attributes:
        rounds: how many of its newest rounds are.
        low_ns, high_ns: between which its usual rounds lay.
        usual: how many rounds those were.
        now_ns: its newest round.
    """

    rounds: int
    low_ns: int
    high_ns: int
    usual: int
    now_ns: int


class Joint(NamedTuple):
    """What pairs prove together.

    Attributes:
        rounds: the least number of newest rounds that counts.
        pairs: how many are outside for so long.
        of: how many were looked at.
        chance: that so many or more are, if each were by chance and none because of another.
    """

    rounds: int
    pairs: int
    of: int
    chance: float


def outside(rtts_ns: Sequence[int]) -> Outside | None:
    """How a pair lies above its usual, by its round trips oldest first; None when it does not, or too few are known.

    A round is outside when it lies above the slowest of up to `USUAL` rounds before by more than these differ among
    themselves: what jumps about has a wide usual, so it must rise far.

    >>> outside([20, 21, 22, 20, 21, 22, 20, 21, 22, 20, 25, 26])
    Outside(rounds=2, low_ns=20, high_ns=22, usual=10, now_ns=26)
    >>> outside([20, 21, 22, 20, 21, 22, 20, 21, 22, 20, 25, 21]) is None
    True
    """
    for rounds in range(min(LONGEST, len(rtts_ns) - LEAST_USUAL), 0, -1):
        usual = rtts_ns[-rounds - USUAL : -rounds]
        low, high = min(usual), max(usual)
        if min(rtts_ns[-rounds:]) > high + (high - low):
            return Outside(rounds, low, high, len(usual), rtts_ns[-1])
    return None


def joint(runs: Iterable[int]) -> Joint:
    """How unlikely it is by chance that pairs are outside for so long together (binomial); 0 is a pair that is not.

    >>> found = joint([2, 2, 2, 1, 0, 0, 0, 0])
    >>> found[:3], f"{found.chance:.1e}"
    ((1, 4, 8), '2.8e-06')
    """
    known = list(runs)
    found = [
        Joint(least, pairs, len(known), min(1.0, len(BY_CHANCE) * _tail(len(known), pairs, share)))
        for least, share in BY_CHANCE.items()
        if (pairs := sum(run >= least for run in known)) >= LEAST_PAIRS
    ]
    return min(found, key=lambda each: each.chance, default=Joint(0, 0, len(known), 1.0))


def strongest(groups: Mapping[T, Sequence[int]]) -> tuple[T, Joint] | None:
    """The group whose pairs prove most together, its chance counted for all the groups that were looked at."""
    judged = [(name, joint(runs)) for name, runs in groups.items()]
    if not judged:
        return None
    name, best = min(judged, key=lambda each: each[1].chance)
    return name, best._replace(chance=min(1.0, best.chance * len(judged)))


def _tail(of: int, at_least: int, share: float) -> float:
    """The chance of so many or more out of `of`, each with this chance by itself."""
    logs = [
        lgamma(of + 1) - lgamma(k + 1) - lgamma(of - k + 1) + k * log(share) + (of - k) * log(1 - share)
        for k in range(at_least, of + 1)
    ]
    top = max(logs, default=-inf)
    return min(1.0, exp(top) * sum(exp(each - top) for each in logs)) if logs else 0.0
