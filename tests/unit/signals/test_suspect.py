"""A suspicion needs rounds far above usual at many pairs at once; one pair, or a few of a thousand, prove nothing."""

import random
from itertools import accumulate, pairwise

from nettrace.analysis.signals import suspect
from nettrace.analysis.signals.suspect import (
    BY_CHANCE,
    BY_CHANCE_NEW,
    LEAST_USUAL,
    LONGEST,
    Stand,
    joint,
    outside,
    stand,
    strongest,
)

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


def at_chance(pairs: int, of: int, one: Stand) -> float:
    return joint([one] * pairs + [Stand()] * (of - pairs)).chance


def test_how_far_is_told_by_what_is_usual_and_the_newest_two_must_lie_there() -> None:
    found = outside([*USUAL, 25, 222, 62])
    assert found is not None and (found.rounds, found.far) == (3, 20.0)
    assert outside([*USUAL, 62]) == found._replace(rounds=1)


def test_more_pairs_longer_runs_and_farther_ones_are_less_likely_chance_and_one_pair_never_counts() -> None:
    assert at_chance(1, 12, Stand(8, 100.0)) == 1.0
    chances = [at_chance(count, 12, Stand(2, 2.0)) for count in range(2, 12)]
    assert chances == sorted(chances, reverse=True)
    assert at_chance(3, 4, Stand(2, 2.0)) < at_chance(3, 4, Stand(1, 2.0))
    farther = [at_chance(3, 12, Stand(1, far)) for far in (2.0, 5.0, 20.0, 100.0)]
    assert farther == sorted(farther, reverse=True)


def test_of_pairs_whose_usual_is_hardly_known_it_takes_more() -> None:
    few, many = [21] * (LEAST_USUAL + 1), [21] * (suspect.USUAL + 1)
    assert (stand(few, None).known, stand(many, None).known) == (False, True)
    assert all(BY_CHANCE_NEW[level] > share for level, share in BY_CHANCE.items())
    known = [Stand(1, 2.0)] * 3 + [Stand()] * 9
    chances = [
        joint([each._replace(known=place >= new) for place, each in enumerate(known)]).chance
        for new in (0, 6, 12)
    ]
    assert chances == sorted(chances) and chances[0] < chances[1] < chances[2]


def test_the_chance_it_states_is_the_chance_it_has() -> None:
    dice, pairs, looks, share = random.Random(5), 20, 20_000, BY_CHANCE[1, 1]
    stated = at_chance(2, pairs, Stand(1, 2.0)) / len(BY_CHANCE)
    seen = sum(sum(dice.random() < share for _ in range(pairs)) >= 2 for _ in range(looks)) / looks
    assert abs(seen - stated) < 4 * (stated / looks) ** 0.5


def test_looked_at_whenever_a_round_comes_in_chance_completes_no_more_groups_than_it_states() -> None:
    dice, pairs, rounds, share = random.Random(7), 12, 20_000, BY_CHANCE[1, 1]
    stated = joint([Stand(1, 2.0)] * 2 + [Stand()] * (pairs - 2)).rate / len(BY_CHANCE)
    changes = [(place, dice.random() < share) for _ in range(rounds) for place in range(pairs)]
    now = [False] * pairs

    def count(_: int, change: tuple[int, bool]) -> int:
        now[change[0]] = change[1]
        return sum(now)

    counts = list(accumulate(changes, count, initial=0))
    begun = sum(after >= 2 > before for before, after in pairwise(counts))
    assert begun / rounds <= stated + 4 * (stated / rounds) ** 0.5
    assert begun / rounds > stated / 2, "of a look alone it would be half of this"


def test_every_group_that_is_looked_at_makes_chance_likelier() -> None:
    some = [Stand(2, 2.0)] * 3 + [Stand()]
    alone, many = strongest({"a": some}), strongest({"a": some, "b": [Stand()] * 4})
    assert alone is not None and many is not None and many[0] == "a"
    assert many[1].chance == 2 * alone[1].chance
