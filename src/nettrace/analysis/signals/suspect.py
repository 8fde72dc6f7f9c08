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
BY_CHANCE = {
    (1, 1): 0.012, (1, 4): 0.0055, (1, 16): 0.0016, (1, 64): 0.0003,
    (2, 1): 0.005, (2, 4): 0.0027, (2, 16): 0.0009, (2, 64): 0.0002,
}  # fmt: skip
"""Share of a pair's rounds on real series at which so many of its newest lie outside, by more than so many times what
its usual ones differ (docs/decisions/0264)."""
BY_CHANCE_NEW = {
    (1, 1): 0.024, (1, 4): 0.011, (1, 16): 0.004, (1, 64): 0.0008,
    (2, 1): 0.009, (2, 4): 0.0055, (2, 16): 0.0023, (2, 64): 0.0005,
}  # fmt: skip
"""The same where fewer than `USUAL` rounds are known: what few rounds span is left more often."""
LEAST_PAIRS = 2

T = TypeVar("T", bound=Hashable)


class Outside(NamedTuple):
    """A pair that is above its usual.

    Attributes:
        rounds: how many of its newest rounds are.
        low_ns, high_ns: between which its usual rounds lay.
        usual: how many rounds those were.
        now_ns: its newest round.
        far: how many times their difference the newest, or the lower of the newest two, lies above the highest.
    """

    rounds: int
    low_ns: int
    high_ns: int
    usual: int
    now_ns: int
    far: float


class Stand(NamedTuple):
    """How a pair stands.

    Attributes:
        rounds: how many of its newest rounds are outside; 0 when none is.
        far: how far, as of `Outside`.
        known: as many rounds are known as a usual is taken from.
    """

    rounds: int = 0
    far: float = 0.0
    known: bool = True


class Joint(NamedTuple):
    """What pairs prove together.

    Attributes:
        rounds, far: the least number of newest rounds that counts, and how far they must lie outside.
        pairs: how many are outside for so long and so far.
        of: how many were looked at.
        share: of a pair's rounds at which it is so by itself, on real series.
        chance: that so many or more are at one look, if each were by chance and none because of another.
    """

    rounds: int
    far: int
    pairs: int
    of: int
    share: float
    chance: float

    @property
    def rate(self) -> float:
        """How often in one interval chance would bring so many together, looked at whenever a round comes in.

        Each of the pairs can be the one whose round completes them, so it is up to as many times the chance of one look.
        """
        return self.chance * max(1, self.pairs)


def outside(rtts_ns: Sequence[int]) -> Outside | None:
    """How a pair lies above its usual, by its round trips oldest first; None when it does not, or too few are known.

    A round is outside when it lies above the slowest of up to `USUAL` rounds before by more than these differ among
    themselves: what jumps about has a wide usual, so it must rise far.

    >>> outside([20, 21, 22, 20, 21, 22, 20, 21, 22, 20, 25, 26])
    Outside(rounds=2, low_ns=20, high_ns=22, usual=10, now_ns=26, far=1.5)
    >>> outside([20, 21, 22, 20, 21, 22, 20, 21, 22, 20, 25, 21]) is None
    True
    """
    for rounds in range(min(LONGEST, len(rtts_ns) - LEAST_USUAL), 0, -1):
        usual = rtts_ns[-rounds - USUAL : -rounds]
        low, high = min(usual), max(usual)
        if min(rtts_ns[-rounds:]) > high + (high - low):
            above = min(rtts_ns[-min(rounds, 2) :]) - high
            return Outside(rounds, low, high, len(usual), rtts_ns[-1], above / max(1, high - low))
    return None


def stand(rtts_ns: Sequence[int], found: Outside | None) -> Stand:
    """How a pair stands by its round trips and what `outside` says of them."""
    if found is None:
        return Stand(known=len(rtts_ns) > USUAL)
    return Stand(found.rounds, found.far, found.usual >= USUAL)


def joint(stands: Iterable[Stand]) -> Joint:
    """How unlikely it is by chance that pairs are outside for so long and so far together.

    Binomial; of pairs with different shares it is a bound (W. Hoeffding, Ann. Math. Stat. 27, 1956: theorem 4), and all
    lengths and distances that were looked at are counted.

    >>> usual, far = Stand(), Stand(2, 20.0)
    >>> found = joint([far, far, far, Stand(1, 20.0), usual, usual, usual, usual])
    >>> found[:4], f"{found.chance:.1e}"
    ((1, 16, 4, 8), '3.7e-09')
    """
    all_of = list(stands)
    new = sum(not each.known for each in all_of) / max(1, len(all_of))
    found: list[Joint] = []
    for (least, far), share in BY_CHANCE.items():
        pairs = sum(each.rounds >= least and each.far > far for each in all_of)
        if pairs >= LEAST_PAIRS:
            mixed = new * BY_CHANCE_NEW[least, far] + (1 - new) * share
            chance = min(1.0, len(BY_CHANCE) * _tail(len(all_of), pairs, mixed))
            found.append(Joint(least, far, pairs, len(all_of), mixed, chance))
    return min(found, key=lambda each: each.rate, default=Joint(0, 0, 0, len(all_of), 0.0, 1.0))


def strongest(groups: Mapping[T, Sequence[Stand]]) -> tuple[T, Joint] | None:
    """The group whose pairs prove most together, its chance counted for all the groups that were looked at."""
    judged = [(name, joint(stands)) for name, stands in groups.items()]
    if not judged:
        return None
    name, best = min(judged, key=lambda each: each[1].rate)
    return name, best._replace(chance=min(1.0, best.chance * len(judged)))


def _tail(of: int, at_least: int, share: float) -> float:
    """The chance of so many or more out of `of`, each with this chance by itself."""
    logs = [
        lgamma(of + 1) - lgamma(k + 1) - lgamma(of - k + 1) + k * log(share) + (of - k) * log(1 - share)
        for k in range(at_least, of + 1)
    ]
    top = max(logs, default=-inf)
    return min(1.0, exp(top) * sum(exp(each - top) for each in logs)) if logs else 0.0
