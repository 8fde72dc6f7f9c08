"""Spikes, trends, loss and divergence: each finds what was planted, once, and holds its tongue otherwise."""

import random

import pytest
from tests.unit.signals.series import START, STEP, observations, place, said, steady

from nettrace.analysis.signals.divergence import DivergenceDetector
from nettrace.analysis.signals.seed import SeedDivergence
from nettrace.analysis.signals.tail import Tail
from nettrace.model.instant import NS_PER_S
from nettrace.model.signal import Direction, Severity, Signal, Tier


def test_a_spike_that_comes_back_is_one_anomaly() -> None:
    values = steady(40, 1500)
    values[1400:1402] = [95.0, 80.0]
    (signal,) = said("anomaly", observations(values))
    assert (place(signal.at), place(signal.detected_at), signal.direction) == (1400, 1402, Direction.UP)
    assert signal.to_ns == 95_000_000
    assert signal.confidence >= 0.999


def test_a_drop_is_one_too_and_a_shift_is_none() -> None:
    values = [*steady(40, 1500), *steady(60, 100, seed=2)]
    values[1300] = 12.0
    (signal,) = said("anomaly", observations(values))
    assert (place(signal.at), signal.direction) == (1300, Direction.DOWN)


def test_a_series_that_always_spikes_is_used_to_it() -> None:
    dice = random.Random(4)
    values = [
        40 + (dice.expovariate(0.05) if dice.random() < 0.02 else dice.gauss(0, 0.1)) for _ in range(10_000)
    ]
    assert len(said("anomaly", observations(values))) <= 0.002 * 10_000


def test_before_a_thousand_samples_nothing_is_rare() -> None:
    values = steady(40, 900)
    values[800] = 400.0
    assert said("anomaly", observations(values)) == []


def test_ranks_in_the_tail_are_exact() -> None:
    tail, dice = Tail(), random.Random(5)
    values = [dice.random() for _ in range(4096)]
    for value in values:
        tail.add(value)
    for limit in (0.9995, 0.9999, 1.1):
        assert tail.p_value(limit) == (1 + sum(value >= limit for value in values)) / 4097


def test_a_creeping_rtt_is_one_trend_and_its_end_an_update() -> None:
    dice = random.Random(6)
    flat, slope = 720, 720
    values = [40 + max(0, n - flat) * 6 / slope + dice.gauss(0, 1) for n in range(flat + slope)]
    values += [46 + dice.gauss(0, 1) for _ in range(1500)]
    signals = said("trend", observations(values))
    begun = [signal for signal in signals if not signal.updates]
    assert len(begun) == 1
    assert begun[0].direction is Direction.UP
    assert flat < place(begun[0].detected_at) < flat + slope
    assert signals[-1].tier is Tier.ENDED


def test_a_daily_rhythm_is_no_trend() -> None:
    from math import sin, tau

    dice = random.Random(7)
    values = [40 + sin(tau * n / 360) + dice.gauss(0, 0.5) for n in range(360 * 14)]
    assert said("trend", observations(values)) == []


def loss(values: list[float | None]) -> list[Signal]:
    return said("loss", observations(values))


def test_an_outage_is_one_episode_with_an_end() -> None:
    begun, confirmed, ended = loss([*steady(40, 400), *[None] * 40, *steady(40, 200)])
    assert place(begun.at) == 400
    assert place(begun.detected_at) == 402
    assert (confirmed.tier, confirmed.severity) == (Tier.CONFIRMED, Severity.CRITICAL)
    assert (ended.tier, ended.at, ended.updates) == (Tier.ENDED, begun.at, True)
    assert begun.from_ns is None
    assert begun.to_loss == 1.0


def test_a_fifth_lost_is_an_episode_though_answers_come_between() -> None:
    values = steady(40, 1000)
    values[500:1000:4] = [None] * 125
    begun = loss(values)[0]
    assert 500 <= place(begun.at) <= 520
    assert begun.tier is Tier.TENTATIVE


def test_single_losses_and_what_was_not_measured_say_nothing() -> None:
    values = steady(40, 4000)
    values[100:4000:150] = [None] * 26
    assert loss(values) == []
    assert said("loss", observations([*steady(40, 400), *[None] * 400, *steady(40, 99)], lost=False)) == []


def test_a_series_that_always_loses_is_used_to_it() -> None:
    dice = random.Random(8)
    assert len(loss([None if dice.random() < 0.1 else 40.0 for _ in range(5000)])) <= 2


def pair(
    detector: DivergenceDetector | SeedDivergence, left: list[float | None], right: list[float | None]
) -> list[Signal]:
    """Signals of the left series beside the right one."""
    made: list[Signal] = []
    for one, other in zip(observations(left), observations(right), strict=True):
        detector.beside(other)
        made += detector.feed(one)
    return made


def test_a_series_that_leaves_the_other_diverges_and_two_that_move_together_do_not() -> None:
    calm, moved = steady(40, 300, seed=1), [*steady(40, 150, seed=2), *steady(55, 150, seed=3)]
    (signal,) = pair(DivergenceDetector(), moved, calm)
    assert (place(signal.at), signal.direction) == (150, Direction.UP)
    assert pair(DivergenceDetector(), moved, [value and value + 5 for value in moved]) == []
    assert pair(DivergenceDetector(), calm, steady(30, 300, seed=4)) == []


def test_what_only_the_other_series_did_is_not_said_again() -> None:
    calm, moved = steady(40, 300, seed=1), [*steady(40, 150, seed=2), *steady(55, 150, seed=3)]
    assert pair(DivergenceDetector(), calm, moved) == []


def test_a_series_beside_nothing_cannot_diverge() -> None:
    assert said("divergence", observations([*steady(40, 100), *steady(60, 100)])) == []


@pytest.mark.parametrize(("name", "least"), [("seed_zscore", 60), ("seed_trend", 1)])
def test_the_forerunners_rules_speak_on_pure_noise(name: str, least: int) -> None:
    assert len(said(name, observations(steady(40, 1000, width_ms=5)))) >= least


def test_the_forerunners_divergence_speaks_on_pure_noise() -> None:
    assert len(pair(SeedDivergence(), steady(40, 500, seed=1), steady(40, 500, seed=2))) > 20


def test_a_hole_between_losses_breaks_an_episode() -> None:
    first = observations([*steady(40, 400), None, None])
    later = observations([None, *steady(40, 50)], start=first[-1].at + 500 * STEP)
    assert said("loss", first + later) == []
    assert len(said("loss", observations([*steady(40, 400), None, None, None, *steady(40, 50)]))) >= 1


def test_a_minute_apart_works_as_well() -> None:
    values = [*steady(40, 200), *steady(60, 60, seed=2)]
    seen = observations(values, step=60 * NS_PER_S)
    assert place(said("shift", seen)[0].at, START, 60 * NS_PER_S) == 200


def swinging(days: int, swing_ms: float) -> list[float | None]:
    """Busy hours from noon to six: a level that steps up and down each day."""
    dice = random.Random(9)
    return [40 + (swing_ms if 180 <= n % 360 < 270 else 0) + dice.gauss(0, 0.2) for n in range(360 * days)]


def test_busy_hours_are_no_shifts_once_they_are_known_and_real_ones_still_are() -> None:
    days = 20
    values = [*swinging(days, 4.0), *[value and value + 10 for value in swinging(3, 4.0)]]
    plain, daily = (
        [place(signal.at) for signal in said(name, observations(values)) if not signal.updates]
        for name in ("shift", "shift_daily")
    )
    settled = range(360 * 10, 360 * days)
    assert sum(at in settled for at in plain) >= 18
    assert sum(at in settled for at in daily) == 0
    assert any(abs(at - 360 * days) <= 2 for at in daily)


def test_without_a_rhythm_nothing_is_taken_out() -> None:
    values = [*steady(40, 360 * 12, width_ms=1), *steady(50, 60, seed=2)]
    plain, daily = (said(name, observations(values)) for name in ("shift", "shift_daily"))
    assert [(one.at, one.from_ns, one.to_ns) for one in plain] == [
        (one.at, one.from_ns, one.to_ns) for one in daily
    ]
