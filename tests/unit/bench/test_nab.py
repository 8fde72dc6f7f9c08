"""The score of the Numenta Anomaly Benchmark, from its formula, on files small enough to reckon by hand."""

import pytest
from bench.nab import PROFILES, File, alarms, curve, scored, swept, windowed_gaussian
from bench.signals_nab import episodes

ROWS = 40
FILE = File("one", [str(row) for row in range(ROWS)], [0.0] * ROWS, [(20, 23)])
STANDARD = PROFILES["standard"]


def said(**at: float) -> list[float]:
    """A score for each row named, `r20=1.0`; nought elsewhere."""
    return [at.get(f"r{row}", 0.0) for row in range(ROWS)]


def test_the_curve_falls_from_a_window_s_first_row_to_far_behind_it() -> None:
    assert curve(-1) == pytest.approx(0.98661, abs=1e-5)
    assert curve(-0.5) == pytest.approx(0.84828, abs=1e-5)
    assert (curve(0), curve(4)) == (0.0, -1.0)


def test_the_first_row_of_each_window_and_no_other_is_a_hundred() -> None:
    for profile in PROFILES.values():
        assert swept(alarms([FILE], {"one": said(r20=1.0)}), profile) == (1.0, pytest.approx(100.0))


def test_silence_is_nought_and_better_than_alarms_everywhere() -> None:
    threshold, points = swept(alarms([FILE], {"one": [0.5] * ROWS}), PROFILES["reward_low_FP_rate"])
    assert (threshold, points) == (float("inf"), 0.0)


def test_later_in_a_window_is_less_and_alarms_elsewhere_cost_by_profile() -> None:
    late = alarms([FILE], {"one": said(r22=1.0)})
    assert scored(late, STANDARD, 1.0) == pytest.approx(50 * (1 + curve(-0.5) / curve(-1)))
    early = alarms(
        [FILE], {"one": said(r10=1.0, r20=1.0)}
    )  # before any window: the full cost of a false alarm
    assert scored(early, STANDARD, 1.0) == pytest.approx(100 * (2 - 0.11) / 2)
    assert scored(early, PROFILES["reward_low_FP_rate"], 1.0) == pytest.approx(100 * (2 - 0.22) / 2)
    just = alarms([FILE], {"one": said(r20=1.0, r24=1.0)})  # a third of a window behind it
    assert scored(just, STANDARD, 1.0) == pytest.approx(100 * (2 + 0.11 * curve(1 / 3)) / 2)


def test_the_beginning_is_not_judged() -> None:
    assert scored(alarms([FILE], {"one": said(r5=1.0, r20=1.0)}), STANDARD, 1.0) == pytest.approx(100.0)


def test_an_episode_has_one_alarm_unless_a_surer_one_comes() -> None:
    assert episodes([1.0, 1.0, 2.0, 1.0, 1.0, 1.0], 3) == [1.0, 0.0, 2.0, 0.0, 0.0, 1.0]


def test_windowed_gaussian_is_sure_of_what_is_far_off() -> None:
    scores = windowed_gaussian([float(row % 3) for row in range(300)] + [50.0], window=100, step=10)
    assert scores[-1] > 0.999 > max(scores[100:300])
