"""Many series, few false alarms: which of many p-values or e-values to believe.

A p-value is small by chance as often as it says; an e-value is a bet that nobody wins on average while nothing
happens. Among what is believed, at most the stated share is false on average (false discovery rate).

- `believed`: Benjamini and Hochberg (1995) over all series at once, for independent or positively dependent p-values;
- `believed_bets`: the same over e-values, under any dependence (Wang and Ramdas 2022);
- `Budget`: one bet after another without an end, under any dependence (e-LOND, Xu and Ramdas 2024).
"""

from collections.abc import Sequence
from math import exp, pi

import msgspec

from nettrace.analysis.signals.regime import THRESHOLD

SHIFT_RATE, SHIFT_FOLD = 0.0004, 2.2
"""Of samples of noise that are called a shift, at most, and the ratio that makes it e times rarer."""


def shift_p_value(ratio: float, samples: int) -> float:
    """How likely steady noise shows so large a likelihood ratio somewhere in so many samples, at most.

    An upper bound over the two worst kinds of noise that `./dev bench signals` shows: autocorrelated with coefficient
    0.7, and hand-labelled series in random order (docs/decisions/0122-what-a-signal-promises.md).

    >>> shift_p_value(24.0, 100) > shift_p_value(40.0, 100)
    True
    """
    return min(1.0, samples * SHIFT_RATE * exp(-max(0.0, ratio - THRESHOLD) / SHIFT_FOLD))


def believed(p_values: Sequence[float], share: float) -> list[int]:
    """Places of the p-values to believe so that at most this share of them is false on average.

    >>> believed([0.001, 0.9, 0.012, 0.4], 0.1)
    [0, 2]
    """
    ranked = sorted(range(len(p_values)), key=lambda place: p_values[place])
    count = 0
    for rank, place in enumerate(ranked, 1):
        if p_values[place] <= share * rank / len(p_values):
            count = rank
    return sorted(ranked[:count])


def q_values(p_values: Sequence[float], tests: int) -> list[float]:
    """For each p-value the least share of false ones at which it would be believed among so many tests.

    `tests` counts those, too, whose p-values are too large to be named here.

    >>> [round(each, 3) for each in q_values([0.001, 0.012, 0.4], 4)]
    [0.004, 0.024, 0.533]
    """
    made, least = [1.0] * len(p_values), 1.0
    ranked = sorted(range(len(p_values)), key=lambda place: p_values[place])
    for rank, place in reversed(list(enumerate(ranked, 1))):
        least = made[place] = min(least, p_values[place] * tests / rank)
    return made


def believed_bets(e_values: Sequence[float], share: float) -> list[int]:
    """Places of the e-values to believe so that at most this share of them is false on average, however dependent.

    >>> believed_bets([40.0, 1.0, 25.0, 0.2], 0.1)
    [0, 2]
    """
    ranked = sorted(range(len(e_values)), key=lambda place: -e_values[place])
    count = 0
    for rank, place in enumerate(ranked, 1):
        if e_values[place] * share * rank >= len(e_values):
            count = rank
    return sorted(ranked[:count])


class BudgetState(msgspec.Struct):
    """All that `Budget` remembers."""

    bets: int = 0
    believed: int = 0


class Budget:
    """Decides on bets as they come, for ever; at most `share` of those believed are false on average.

    The n-th bet is believed if it is worth at least 1 / (share * g(n) * (believed so far + 1)) with
    g(n) = 6 / (pi n)^2, which sums to one. Patience is its price: begin a new one each day.

    >>> budget = Budget(0.1)
    >>> [budget.believes(worth) for worth in (5.0, 400.0, 2.0, 900.0)]
    [False, True, False, True]
    """

    def __init__(self, share: float) -> None:
        self._share = share
        self.state = BudgetState()

    def believes(self, e_value: float) -> bool:
        """Whether to believe the next bet."""
        state = self.state
        state.bets += 1
        level = self._share * 6 / (pi * state.bets) ** 2 * (state.believed + 1)
        true = e_value >= 1 / level
        state.believed += true
        return true
