"""What would change a choice, and how likely the choice is right: exact up to the number, checked by enumeration."""

import copy
import random
from typing import Any

import pytest
from tests.property.test_plan import request_of
from tests.unit.placement import oracle
from tests.unit.placement.instances import instance

from nettrace.placement.chance import chance
from nettrace.placement.plan import Plan, Solver, make_plan
from nettrace.placement.sensitivity import Flip, Number, flips

NEARLY, BEYOND = 0.999, 1.001


def solvable(seeds: range) -> list[tuple[dict[str, Any], Plan]]:
    """Requests without ties among their best plans, and those plans."""
    found = []
    for seed in seeds:
        raw = instance(seed, most_sites=6, most_venues=4)
        best = oracle.best(raw)
        values = [
            value for chosen in oracle.subsets(raw) if (value := oracle.objective(raw, chosen)) is not None
        ]
        if best is not None and sum(value - best < 1 for value in values) == 1:
            found.append((raw, make_plan(request_of(raw))))
    assert len(found) > len(seeds) // 6
    return found


def changed(raw: dict[str, Any], flip: Flip, share: float) -> dict[str, Any]:
    """The request with one number moved a share of the way to where it flips the choice."""
    made = copy.deepcopy(raw)
    value = flip.now + share * (flip.flips_at - flip.now)
    match flip.number:
        case Number.SITE_PRICE:
            next(site for site in made["site"] if site["name"] == flip.site)["usd_month"] = value
        case Number.VENUE_WEIGHT:
            next(venue for venue in made["venue"] if venue["name"] == flip.venue)["usd_per_ms_month"] = value
        case Number.LATENCY:
            row = next(
                row for row in made["latency"] if (row["venue"], row["site"]) == (flip.venue, flip.site)
            )
            row["p50_ms"] = value
    return made


def is_best(raw: dict[str, Any], plan: Plan) -> bool:
    """Whether the plan's sites and assignments are still allowed and nothing costs less."""
    best = oracle.best(raw)
    if best is None or oracle.objective(raw, plan.sites) is None:
        return False
    p50 = {(row["venue"], row["site"]): oracle.exact(row["p50_ms"]) for row in raw["latency"]}
    total = sum(oracle.exact(site["usd_month"]) for site in raw["site"] if site["name"] in plan.sites)
    for venue, row in zip(raw["venue"], plan.assignments, strict=True):
        if row.site not in {main for main, _ in oracle.pairs(raw, venue, plan.sites)}:
            return False
        total += oracle.exact(venue["usd_per_ms_month"]) * p50[venue["name"], row.site]
    return total - best <= oracle.exact(1e-5)


@pytest.mark.parametrize("solver", [Solver.SEARCH, Solver.HIGHS])
def test_the_choice_holds_up_to_each_flip_and_not_beyond(solver: Solver) -> None:
    kinds: set[tuple[Number, bool]] = set()
    for raw, plan in solvable(range(60 if solver is Solver.SEARCH else 15)):
        for flip in flips(request_of(raw), plan.sites, solver):
            step = abs(flip.flips_at - flip.now)
            if step < 0.01:
                continue
            assert is_best(changed(raw, flip, NEARLY), plan), flip
            if flip.flips_at * BEYOND > 0.01:
                assert not is_best(changed(raw, flip, BEYOND), plan), flip
            kinds.add((flip.number, flip.flips_at > flip.now))
    assert kinds == {(each, rises) for each in Number if each is not Number.MOVING for rises in (True, False)}


def test_what_flips_at_no_value_never_does() -> None:
    tried = 0
    for raw, plan in solvable(range(60)):
        found = {(flip.number, flip.site) for flip in flips(request_of(raw), plan.sites)}
        for at, site in enumerate(raw["site"]):
            if (Number.SITE_PRICE, site["name"]) not in found:
                moved = copy.deepcopy(raw)
                moved["site"][at]["usd_month"] = 1e6 if site["name"] in plan.sites else 0.0
                assert is_best(moved, plan)
                tried += 1
    assert tried > 5


def test_a_choice_between_two_like_sites_is_right_half_the_time() -> None:
    request = request_of(
        {
            "venue": [{"name": "v", "usd_per_ms_month": 1.0}],
            "site": [{"name": "a", "usd_month": 5.0}, {"name": "b", "usd_month": 5.0}],
            "latency": [
                {"venue": "v", "site": site, "p50_ms": 10.0, "low_ms": 8.0, "high_ms": 12.0} for site in "ab"
            ],
        }
    )
    made = chance(request, ("a",), 2000, random.Random(1).random)
    assert made.right == pytest.approx(0.5, abs=0.05)
    assert made.feasible == 1
    assert made == chance(request, ("a",), 2000, random.Random(1).random), "one seed, one answer"


def test_a_limit_inside_an_interval_is_kept_as_often_as_the_triangle_says() -> None:
    request = request_of(
        {
            "venue": [{"name": "v", "usd_per_ms_month": 1.0, "max_ms": 11.0}],
            "site": [{"name": "a", "usd_month": 5.0}],
            "latency": [{"venue": "v", "site": "a", "p50_ms": 10.0, "low_ms": 8.0, "high_ms": 12.0}],
        }
    )
    made = chance(request, ("a",), 4000, random.Random(2).random)
    assert made.feasible == made.right == pytest.approx(1 - 1 / 8, abs=0.02)


def test_latencies_without_intervals_stand_still_and_are_counted() -> None:
    raw = instance(3, most_sites=5)
    for row in raw["latency"]:
        del row["low_ms"], row["high_ms"]
    raw["limits"] = {}
    plan = make_plan(request_of(raw))
    made = chance(request_of(raw), plan.sites, 5, random.Random(1).random)
    assert (made.right, made.pairs_without_interval) == (1, len(raw["latency"]))
