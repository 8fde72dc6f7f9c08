"""Forecasts: given only where they were better on days they were not chosen by, never from what had not come yet."""

import random
from math import pi, sin
from statistics import mean

import pytest

from nettrace.analysis.forecast.band import Band
from nettrace.analysis.forecast.degradation import instability
from nettrace.analysis.forecast.document import forecast_document
from nettrace.analysis.forecast.offer import offer
from nettrace.analysis.forecast.quarter import DAY, Quarters
from nettrace.analysis.forecast.trial import Trial


def around_a_level(days: int, seed: int) -> list[float | None]:
    """Independent noise: what comes next has nothing to do with the last value."""
    dice = random.Random(seed)
    return [40 + dice.gauss(0, 2) for _ in range(days * DAY)]


def wandering(days: int, seed: int) -> list[float | None]:
    """A random walk: nothing is better than the last value."""
    dice, value, made = random.Random(seed), 200.0, list[float | None]()
    for _ in range(days * DAY):
        value += dice.gauss(0, 0.5)
        made.append(value)
    return made


def daily(days: int, seed: int) -> list[float | None]:
    """The same every day, but for a little noise: nothing is better than the day before, after a few days of it."""
    dice = random.Random(seed)
    return [40 + 8 * sin(2 * pi * place / DAY) + dice.gauss(0, 0.1) for place in range(days * DAY)]


def test_noise_around_a_level_has_a_forecast_and_what_comes_lies_in_its_band() -> None:
    inside = list[bool]()
    for seed in range(6):
        row = around_a_level(16, seed)
        made = offer(Quarters(0, row[: 15 * DAY]))
        assert made.offered, made.because
        assert all(each.skill > 0.1 and each.surely for each in made.baselines)
        inside += [each.low <= (row[15 * DAY - 1 + each.horizon] or 0) <= each.high for each in made.ahead]
    assert len(inside) == 30
    assert 0.6 <= mean(inside) <= 0.97


@pytest.mark.parametrize(("maker", "naive"), [(wandering, "last value"), (daily, "seasonal naive")])
def test_where_a_naive_answer_is_best_there_is_none_and_it_says_which_one(maker, naive) -> None:  # type: ignore[no-untyped-def]
    made = offer(Quarters(0, maker(20, 3)))
    assert not made.offered
    assert made.ahead == ()
    assert naive in made.because


def test_random_walks_are_seldom_taken_for_more() -> None:
    offered = [offer(Quarters(0, wandering(15, seed))).offered for seed in range(12)]
    assert sum(offered) <= 2


def test_nothing_is_judged_by_what_came_later() -> None:
    row = around_a_level(6, 1)
    whole, part = Trial(Quarters(0, row)).outcomes, Trial(Quarters(0, row[: 4 * DAY])).outcomes
    changed = Trial(Quarters(0, [*row[: 4 * DAY], *(500.0 for _ in row[4 * DAY :])])).outcomes
    for name, horizons in part.items():
        for horizon, outcomes in horizons.items():
            assert (
                whole[name][horizon][: len(outcomes)] == outcomes == changed[name][horizon][: len(outcomes)]
            )


def test_the_band_holds_four_fifths_even_where_the_series_changes_its_kind() -> None:
    row = [*wandering(12, 5), *around_a_level(12, 6)]
    outcomes = Trial(Quarters(0, row)).outcomes["last value"]
    for judged in outcomes.values():
        assert 0.75 <= mean(each.inside for each in judged) <= 0.85


def test_a_band_that_misses_grows() -> None:
    band = Band()
    for error in range(100):
        band.learn(error % 10, None)
    said = band.offsets()
    assert said is not None
    for _ in range(20):
        band.learn(50.0, said)
    assert band.level < 0.1


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ([], "10 days"),
        ([40.0] * DAY * 3, "10 days"),
        ([40.0, *[None] * (DAY * 12), 40.0], "holes"),
        ([*around_a_level(15, 1), *[None] * 6, None], "newest hour"),
    ],
)
def test_too_little_and_holes_are_reasons(row: list[float | None], why: str) -> None:
    made = offer(Quarters(0, row))
    assert why in made.because
    assert forecast_document(made, instability(Quarters(0, row)))["offered"] is False


def restless(days: int, seed: int) -> list[float | None]:
    """Calm, but for six hours of each day: then some hours are far above the day's level."""
    dice, made = random.Random(seed), list[float | None]()
    for _ in range(days):
        begins = dice.randrange(0, DAY - 30)
        row: list[float | None] = [40 + dice.gauss(0, 0.05) for _ in range(DAY)]
        for hour in range(begins // 4, begins // 4 + 7):
            worse = hour > begins // 4 + 2 and dice.random() < 0.5
            for place in range(4 * hour, 4 * hour + 4):
                row[place] = 40 + (6 if worse else 0) + dice.gauss(0, 1.0)
        made += row
    return made


def test_unrest_that_comes_before_worse_hours_is_a_chance_of_them() -> None:
    made = instability(Quarters(0, restless(40, 2)))
    assert not made.because
    assert made.chance is not None
    assert 0 <= made.chance <= 1
    assert all(each.skill > 0 and each.surely for each in made.baselines)


def test_where_nothing_gets_worse_no_chance_is_stated() -> None:
    made = instability(Quarters(0, around_a_level(15, 1)))
    assert made.chance is None
    assert "it needs 10" in made.because
