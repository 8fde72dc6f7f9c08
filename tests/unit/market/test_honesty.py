"""What the market tests promise: no look-ahead, no finding where nothing is, a finding where something was planted."""

import numpy as np
import pytest
from bench.market_data import DAY, GRID, busy, remembering, wandering

from nettrace.analysis.market.backtest import Rule, positions, surprise, verdict, walk_forward, worth
from nettrace.analysis.market.bars import COLUMNS, Bars
from nettrace.analysis.market.chance import Odds
from nettrace.analysis.market.clock import Grid, closes_on, latency_on, measure_on
from nettrace.analysis.market.discovery import Finding, adjusted, judged
from nettrace.analysis.market.leadlag import lead_lag
from nettrace.analysis.market.rhythm import normal_scores, surprises, without_rhythm
from nettrace.analysis.market.study import event_study

S = 10**9
RNG = np.random.default_rng


def found(odds: Odds | None) -> Finding:
    return judged({"a": odds}, {})["a"][1]


def test_a_bucket_knows_nothing_from_after_its_end() -> None:
    grid = Grid(0, 60 * S, 4)
    at = np.array([0, 59, 60, 61]) * S
    late = latency_on(grid, at, np.array([5, 2 * S, 5, 5]) * 1)
    assert np.isfinite(late).tolist() == [True, True, False, False], (
        "a sample on the edge belongs to what ends there"
    )
    slow = latency_on(grid, np.array([59 * S]), np.array([2 * S]))
    assert np.isfinite(slow).tolist() == [False, True, False, False], "it counts when its answer came"
    columns = {name: np.array([1.0, 2.0]) for name in COLUMNS}
    bars = Bars(np.array([30, 90]) * S, 60 * S, columns)
    assert closes_on(grid, bars).tolist()[1:3] == [1.0, 2.0], "a bar across an edge counts where it ended"


def test_nothing_is_carried_forward_and_half_a_bucket_is_none() -> None:
    grid = Grid(0, 120 * S, 2)
    columns = {name: np.array([1.0, 1.0, 1.0]) for name in COLUMNS} | {"high": np.array([2.0, 2.0, 2.0])}
    bars = Bars(np.array([0, 60, 120]) * S, 60 * S, columns)
    for measure in ("volume", "volatility", "spread"):
        assert np.isfinite(measure_on(grid, bars, measure)).tolist() == [True, False]


def test_rhythm_and_memory_are_off_and_gaps_stay_gaps() -> None:
    volume, _ = busy(RNG(1))
    volume[50:80] = np.nan
    left = surprises(volume, GRID)
    assert np.isnan(left[50:80]).all()
    known = np.nan_to_num(left)
    for lag in (1, 2, DAY):
        assert abs(np.mean(known * np.roll(known, lag))) < 0.08


def test_independent_series_give_no_evidence_and_too_few_days_cannot_tell() -> None:
    rng = RNG(5)
    said = [found(lead_lag(wandering(rng), busy(rng)[0], GRID, 8).odds) for _ in range(30)]
    assert said.count(Finding.EVIDENCE) <= 3  # 2.5 % are stated; four of thirty would come once in 150 runs
    short = Grid(GRID.start, GRID.step_ns, 2 * DAY)
    assert (
        found(lead_lag(wandering(rng, short.count), busy(rng, short.count)[0], short, 8).odds)
        is Finding.CANNOT_TELL
    )


@pytest.mark.parametrize("lag", [-3, 0, 5])
def test_a_planted_lead_is_found_with_its_direction(lag: int) -> None:
    rng = RNG(lag + 10)
    left = wandering(rng)
    shocks = 0.25 * np.roll(np.nan_to_num(surprises(left, GRID)), lag) + rng.standard_normal(GRID.count)
    result = lead_lag(left, remembering(shocks, 0.7), GRID, 8)
    assert result.lag == lag
    assert found(result.odds) is Finding.EVIDENCE


def test_a_common_working_day_is_no_lead() -> None:
    rng = RNG(3)
    day = np.sin(2 * np.pi * np.arange(GRID.count) / DAY)
    left, right = (day + 0.3 * rng.standard_normal(GRID.count) for _ in range(2))
    assert abs(np.corrcoef(left, right)[0, 1]) > 0.7
    assert found(lead_lag(left, right, GRID, 8).odds) is Finding.NO_EVIDENCE


def test_an_event_study_finds_what_follows_events_and_only_that() -> None:
    rng = RNG(4)
    quiet = normal_scores(without_rhythm(busy(rng)[0], GRID))
    events = np.zeros(GRID.count)
    events[rng.integers(20, GRID.count - 20, 40)] = 1
    tests = {f"{each.phase} {each.horizon}": each.odds for each in event_study(events, quiet, GRID)}
    assert not [name for name, (_, said) in judged(tests, {}).items() if said is Finding.EVIDENCE]
    raised = quiet + 1.0 * np.maximum.reduce([np.roll(events, step) for step in range(1, 5)])
    tests = {f"{each.phase} {each.horizon}": each.odds for each in event_study(events, raised, GRID)}
    evident = {name for name, (_, said) in judged(tests, {}).items() if said is Finding.EVIDENCE}
    assert "after 4" in evident
    assert not {name for name in evident if name.startswith("before")}


def test_three_events_tell_nothing() -> None:
    events = np.zeros(GRID.count)
    events[[100, 500, 900]] = 1
    assert all(each.odds is None for each in event_study(events, busy(RNG(1))[0], GRID))


def test_false_discoveries_are_counted_over_every_test_ever_made() -> None:
    p = [0.01, 0.013, 0.014, 0.19, 0.35, 0.5, 0.63, 0.67, 0.75, 0.81]
    by_hand = [min(p[j] * 10 / (j + 1) for j in range(i, 10)) for i in range(10)]
    assert adjusted(p) == pytest.approx(by_hand)
    one = Odds(p=0.01, shifts=2000, placebo_p=0.02, placebo_shifts=50, by_chance=0.1)
    assert judged({"a": one}, {})["a"] == (0.01, Finding.EVIDENCE)
    assert judged({"a": one}, {str(place): 0.5 for place in range(9)})["a"] == (0.1, Finding.NO_EVIDENCE)
    assert judged({"a": one}, {"a": 0.9})["a"][0] == 0.01, "made again it counts once"
    by_day = Odds(p=0.001, shifts=2000, placebo_p=0.4, placebo_shifts=50, by_chance=0.1)
    assert judged({"a": by_day}, {})["a"][1] is Finding.NO_EVIDENCE, "whole days do as much: it is the day"


def test_a_backtest_knows_only_the_past() -> None:
    left = wandering(RNG(8))
    whole, part = surprise(left, 96), surprise(left[:900], 96)
    np.testing.assert_array_equal(whole[:900], part)
    delay = np.ones(len(left))
    held = positions(whole, Rule((2.0,)), 2.0, delay)
    np.testing.assert_array_equal(held[:900], positions(part, Rule((2.0,)), 2.0, delay[:900]))
    first = int(np.flatnonzero(np.nan_to_num(whole) > 2)[0])
    assert (held[: first + 1] == 0).all()
    assert (held[first + 1 : first + 5] == 1).all(), "filled a bucket later"


def test_a_rule_that_knows_something_passes_and_a_hundred_trials_cost_it() -> None:
    rng = RNG(9)
    left, drift = wandering(rng), np.zeros(GRID.count)
    for place in np.flatnonzero(np.nan_to_num(surprise(left, 96)) > 3):
        drift[place + 2 : place + 6] = 0.003
    noise = 0.001 * rng.standard_normal(GRID.count)
    rule = Rule((3.0,))
    walk = walk_forward(left, np.exp(np.cumsum(noise + drift)), GRID, rule)
    assert verdict(walk, worth(walk, 1, [])) is Finding.EVIDENCE
    assert walk.gross.sum() > walk.net.sum() > 0
    assert worth(walk, 10_000, list(rng.normal(0, 60, 100))) < worth(walk, 1, [])
    nothing = walk_forward(left, np.exp(np.cumsum(noise)), GRID, rule)
    assert verdict(nothing, worth(nothing, 1, [])) is not Finding.EVIDENCE
