"""What came since a shift speaks for it or against it, and noise is held to its bound whenever one looks."""

import random

from nettrace.analysis.signals.control import SHIFT_RATE
from nettrace.analysis.signals.standing import LEAST_SINCE, standing_p_value, standing_ratio


def noise(level: float, count: int, seed: int) -> list[float]:
    """Normal noise of one unit; each test draws its own, whatever ran before it."""
    dice = random.Random(seed)
    return [level + dice.gauss(0, 1) for _ in range(count)]


BEFORE = noise(40, 72, 1)


def test_it_grows_while_the_level_lasts_and_falls_when_it_comes_back() -> None:
    moved = noise(45, 30, 2)
    lasting = [standing_ratio(BEFORE, moved[:count]) or 0.0 for count in (4, 8, 16, 30)]
    assert lasting == sorted(lasting) and standing_p_value(lasting[-1]) < 1e-6

    back = [*moved[:4], *noise(40, 26, 3)]
    over = [standing_ratio(BEFORE, back[:count]) or 0.0 for count in (4, 8, 16, 30)]
    assert over[0] > over[-1] and standing_p_value(over[-1]) > SHIFT_RATE


def test_a_regime_known_by_few_samples_is_no_proof_however_long_one_waits() -> None:
    """Six samples that lay low by chance, and two hundred of the same noise behind them."""
    few = [38.9, 39.2, 38.8, 39.1, 39.0, 39.3]
    ratio = standing_ratio(few, noise(40, 200, 4))
    assert ratio is not None and standing_p_value(ratio) > SHIFT_RATE


def test_too_little_on_either_side_says_nothing() -> None:
    assert standing_ratio(BEFORE[:5], BEFORE) is None
    assert standing_ratio(BEFORE, BEFORE[: LEAST_SINCE - 1]) is None
