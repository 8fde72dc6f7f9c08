"""Shifts: once, where they were, with what they rest on; and never from silence."""

import pytest
from tests.unit.signals.series import STEP, observations, place, said, steady

from nettrace.analysis.signals.shift import ShiftDetector
from nettrace.errors import Invalid
from nettrace.model.measurement import SampleState
from nettrace.model.signal import Direction, Observation, Severity, Tier


def test_a_step_is_one_signal_at_its_first_sample_and_is_confirmed_later() -> None:
    first, confirmed = said("shift", observations([*steady(31.2, 100), *steady(44.0, 60, seed=2)]))
    assert (place(first.at), first.direction, first.tier) == (100, Direction.UP, Tier.TENTATIVE)
    assert 104 <= place(first.detected_at) <= 110
    assert first.from_ns == pytest.approx(31_200_000, abs=100_000)
    assert first.to_ns == pytest.approx(44_000_000, abs=100_000)
    assert first.severity is Severity.WARNING
    assert (first.evidence.baseline, first.evidence.after_gap, first.updates) == (36, False, False)
    assert first.evidence.value > first.evidence.threshold
    assert (confirmed.at, confirmed.tier, confirmed.updates) == (first.at, Tier.CONFIRMED, True)
    assert confirmed.detected_at > first.detected_at
    assert confirmed.confidence > first.confidence


def test_a_step_down_from_the_other_side() -> None:
    signal = said("shift", observations([*steady(44.0, 80), *steady(31.2, 20)]))[0]
    assert (signal.direction, place(signal.at)) == (Direction.DOWN, 80)


@pytest.mark.parametrize("level_ms", [0.8, 5.0, 40.0, 300.0])
def test_steady_noise_says_nothing_at_any_level(level_ms: float) -> None:
    assert said("shift", observations(steady(level_ms, 3000, width_ms=level_ms / 50))) == []


def test_single_wild_samples_say_nothing() -> None:
    values = steady(40, 1000)
    values[100:1000:37] = [500.0] * len(values[100:1000:37])
    assert said("shift", observations(values)) == []


@pytest.mark.parametrize("lost", [True, False])
def test_an_outage_and_a_hole_say_nothing_if_the_level_is_the_old_one(lost: bool) -> None:
    before, after = steady(40, 100), steady(40, 100, seed=2)
    assert said("shift", observations([*before, *[None] * 500, *after], lost=lost)) == []
    hole = observations(before) + observations(after, start=observations(before)[-1].at + 1000 * STEP)
    assert said("shift", hole) == []


def test_a_level_that_moved_while_nobody_looked_says_so() -> None:
    before = observations(steady(40, 100))
    after = observations(steady(60, 100, seed=2), start=before[-1].at + 1000 * STEP)
    signal = said("shift", before + after)[0]
    assert signal.at == after[0].at
    assert signal.evidence.after_gap


def test_warming_up_says_nothing_whatever_comes() -> None:
    assert said("shift", observations([10.0, 90.0, 10.0, 90.0, 50.0, 10.0, 90.0, 10.0])) == []


def test_a_level_that_comes_back_is_taken_back_and_the_return_names_it() -> None:
    values = [*steady(40, 100), *steady(50, 10, seed=2), *steady(40, 60, seed=3)]
    away, taken_back, home, *_ = said("shift", observations(values))
    assert (taken_back.at, taken_back.tier, taken_back.updates) == (away.at, Tier.TRANSIENT, True)
    assert (home.returns_to, home.updates) == (away.at, False)
    assert place(home.at) == 110


def test_to_and_fro_is_flapping() -> None:
    values = [value for turn in range(8) for value in steady(40 if turn % 2 else 60, 14, seed=turn)]
    shifts = [signal for signal in said("shift", observations(values)) if not signal.updates]
    assert [signal.flapping for signal in shifts[:3]] == [False] * 3
    assert all(signal.flapping for signal in shifts[3:])
    assert len(shifts) >= 6


def test_coarser_samples_make_confidence_not_noise() -> None:
    values = [*steady(40, 100), *steady(50, 40, seed=2)]
    every = {step: said("shift", observations(values, step=step * 60_000_000_000))[0] for step in (1, 4, 16)}
    assert every[1].confidence < every[4].confidence < every[16].confidence
    assert every[1].evidence.threshold > every[4].evidence.threshold > every[16].evidence.threshold


def test_a_snapshot_of_another_detector_is_refused() -> None:
    from nettrace.analysis.signals.loss import LossDetector

    with pytest.raises(Invalid, match="loss/1"):
        ShiftDetector().restore(LossDetector().snapshot())
    with pytest.raises(Invalid, match="no snapshot"):
        ShiftDetector().restore(b"nonsense")


def test_levels_of_exactly_equal_samples_still_move() -> None:
    seen = [
        Observation(n * STEP, SampleState.ANSWERED, 10_000_000 if n < 200 else 12_000_000) for n in range(260)
    ]
    assert [place(signal.at, start=0) for signal in said("shift", seen) if not signal.updates] == [200]
