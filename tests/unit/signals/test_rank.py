"""A fast one that became slow is told, and noise, ties, rhythm and a market that moves as one are not."""

from random import Random

from nettrace.analysis.signals.rank import Levels, fallen, is_back, pairs_compared

SPLIT, QUARTERS = 96, 104


def group(seed: int, *, noise: float = 0.3, members: int = 8, slow: dict[str, float] | None = None) -> Levels:
    random = Random(seed)
    return {
        f"x{number}": {
            quarter: 5.0 + 2.0 * number + abs(random.gauss(0, noise))
            + ((slow or {}).get(f"x{number}", 0.0) if quarter >= SPLIT else 0.0)
            for quarter in range(QUARTERS)
        }
        for number in range(members)
    }  # fmt: skip


def test_who_was_second_of_eight_and_is_fifth_is_named_with_those_that_overtook() -> None:
    (found,) = fallen({"exchange/api/icmp": group(1, slow={"x1": 6.5})}, SPLIT)
    assert (found.name, found.rank_before, found.rank_after, found.of) == ("x1", 2, 5, 8)
    assert found.overtaken_by == ("x2", "x3", "x4")
    assert found.p_value < 1e-6 and found.after_ms - found.before_ms > 6


def test_groups_are_never_mixed() -> None:
    """The edge's fast answers overtake nobody in the origins' ranking."""
    alone = {"exchange/edge/icmp": group(1, members=2), "exchange/origin/icmp": group(2, slow={"x0": 30.0})}
    assert [each.group for each in fallen(alone, SPLIT)] == ["exchange/origin/icmp"]


def test_nothing_is_found_where_nothing_is() -> None:
    """200 groups of eight whose levels overlap by their noise: 11,200 pairs, none of them fell."""
    groups = {f"g{seed}": group(seed, noise=3.0) for seed in range(200)}
    assert pairs_compared(groups, SPLIT) == 200 * 8 * 7
    assert fallen(groups, SPLIT) == []


def test_ranks_that_keep_changing_places_prove_nothing() -> None:
    """Two that alternate for hours: neighbouring quarters resemble each other, and count for less."""
    levels = group(3)
    swapping = {
        "x0": {quarter: 5.0 if quarter // 8 % 2 else 9.5 for quarter in range(QUARTERS)},
        "x1": {quarter: 9.5 if quarter // 8 % 2 else 5.0 for quarter in range(QUARTERS)},
    }
    assert fallen({"g": {**levels, **swapping}}, SPLIT) == []


def test_all_slower_together_is_no_change_of_rank() -> None:
    assert fallen({"g": group(4, slow={f"x{n}": 10.0 for n in range(8)})}, SPLIT) == []


def test_it_is_back_when_it_is_ahead_again() -> None:
    calm, slow = group(5), group(5, slow={"x0": 9.0})
    assert is_back(calm, "x0", ("x1", "x2"), SPLIT) and not is_back(slow, "x0", ("x1", "x2"), SPLIT)
