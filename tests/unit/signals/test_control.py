"""What is believed of many series: false ones stay within the stated share."""

import random
from statistics import fmean

import pytest

from nettrace.analysis.signals.control import Budget, believed, believed_bets, shift_p_value


def one_family(dice: random.Random, share: float) -> tuple[float, float]:
    """False share and share found of 500 p-values of which 25 are real."""
    p_values = [dice.random() ** 8 * 1e-3 if place < 25 else dice.random() for place in range(500)]
    chosen = believed(p_values, share)
    false = sum(place >= 25 for place in chosen)
    return false / max(1, len(chosen)), (len(chosen) - false) / 25


@pytest.mark.parametrize("share", [0.05, 0.2])
def test_the_false_share_over_many_series_is_the_stated_one(share: float) -> None:
    dice = random.Random(3)
    families = [one_family(dice, share) for _ in range(300)]
    assert fmean(false for false, _ in families) <= share * 1.05
    assert fmean(found for _, found in families) > 0.9


def test_nothing_is_believed_of_nothing() -> None:
    assert believed([], 0.1) == believed_bets([], 0.1) == []
    assert believed([0.5] * 10, 0.1) == believed_bets([1.0] * 10, 0.1) == []


def test_bets_may_hang_together_in_any_way() -> None:
    dice = random.Random(4)
    false = 0
    for _ in range(2000):
        worth = 200.0 if dice.random() < 1 / 200 else 0.0
        false += bool(believed_bets([worth] * 50, 0.1))
    assert false / 2000 <= 0.1


def test_a_budget_of_worthless_bets_is_rarely_spent() -> None:
    dice = random.Random(5)
    wrong = 0
    for _ in range(500):
        budget = Budget(0.1)
        wrong += any(budget.believes(1 / max(1e-9, dice.random()) / 20) for _ in range(200))
    assert wrong / 500 <= 0.1


def test_a_larger_ratio_is_rarer_and_more_samples_make_it_likelier() -> None:
    assert shift_p_value(45, 100) < shift_p_value(30, 100) < shift_p_value(30, 1000) <= 1.0
    assert shift_p_value(24, 10**9) == 1.0
