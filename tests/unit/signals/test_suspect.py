"""A suspicion needs rounds far above usual at many pairs at once; one pair, or a few of a thousand, prove nothing."""

import random

from nettrace.analysis.signals.suspect import BY_CHANCE, LEAST_USUAL, LONGEST, joint, outside, strongest

USUAL = [20, 21, 22, 20, 21, 22, 20, 21, 22, 20]


def test_a_run_is_counted_until_the_detectors_have_spoken_and_its_own_rounds_are_no_part_of_the_usual() -> (
    None
):
    for run in range(1, LONGEST + 1):
        found = outside(USUAL + [70] * run)
        assert found is not None and (found.rounds, found.high_ns) == (run, 22)
    assert outside(USUAL + [70] * (LONGEST + 1)) is None


def test_what_jumps_about_must_rise_far_and_what_is_hardly_known_says_nothing() -> None:
    assert outside([20, 60] * 5 + [70, 75]) is None
    assert outside([20, 60] * 5 + [120, 130]) is not None
    assert outside([20] * (LEAST_USUAL - 1) + [90]) is None
    assert outside([*USUAL, 10, 10]) is None, "faster is not worse"


def test_more_pairs_or_longer_runs_are_less_likely_chance_and_one_pair_never_counts() -> None:
    assert joint([8] + [0] * 11).chance == 1.0
    chances = [joint([2] * count + [0] * (12 - count)).chance for count in range(2, 12)]
    assert chances == sorted(chances, reverse=True)
    assert joint([2, 2, 2, 0]).chance < joint([1, 1, 1, 0]).chance


def test_the_chance_it_states_is_the_chance_it_has() -> None:
    dice, pairs, looks, share = random.Random(5), 20, 20_000, BY_CHANCE[1]
    stated = joint([1] * 2 + [0] * (pairs - 2)).chance / len(BY_CHANCE)
    seen = sum(sum(dice.random() < share for _ in range(pairs)) >= 2 for _ in range(looks)) / looks
    assert abs(seen - stated) < 4 * (stated / looks) ** 0.5


def test_every_group_that_is_looked_at_makes_chance_likelier() -> None:
    alone, many = strongest({"a": [2, 2, 2, 0]}), strongest({"a": [2, 2, 2, 0], "b": [0, 0, 0, 0]})
    assert alone is not None and many is not None and many[0] == "a"
    assert many[1].chance == 2 * alone[1].chance
