"""The planner equals trying everything, by its own search and by HiGHS, plan for plan and conflict for conflict."""

from collections.abc import Mapping
from itertools import combinations
from typing import Any

import msgspec
import pytest
from bench.plan import request_of as large_request_of
from tests.unit.placement import oracle
from tests.unit.placement.instances import instance

from nettrace.placement import search
from nettrace.placement.conflict import Enumerated, irreducible_conflict, no_larger
from nettrace.placement.correcting import Widened
from nettrace.placement.front import front
from nettrace.placement.highs import Corrections
from nettrace.placement.narrowing import narrowed
from nettrace.placement.plan import Plan, Solver, Status, make_plan
from nettrace.placement.problem import Reader, cost_of, requirements
from nettrace.placement.request import Request, check_request

BATCHES = 5
PER_BATCH = 30


def request_of(raw: Mapping[str, Any]) -> Request:
    request = msgspec.convert(raw, Request)
    check_request(request)
    return request


def check_plan(raw: Mapping[str, Any], plan: Plan) -> None:
    """The plan keeps every requirement and its figures are those of its own parts."""
    total = oracle.objective(raw, plan.sites)
    assert total is not None, "a requirement is broken"
    assert plan.objective_usd_month == pytest.approx(float(total), abs=2e-6)
    assert plan.bound_usd_month == pytest.approx(float(total), abs=2e-6)
    assert plan.gap == pytest.approx(0, abs=1e-8)
    assert [row.venue for row in plan.assignments] == [venue["name"] for venue in raw["venue"]]
    for venue, row in zip(raw["venue"], plan.assignments, strict=True):
        assert (row.site, row.backup) in set(oracle.pairs(raw, venue, plan.sites))


@pytest.mark.parametrize("batch", range(BATCHES))
def test_both_solvers_find_the_plan_that_enumeration_finds(batch: int) -> None:
    kinds = set()
    for seed in range(batch * PER_BATCH, (batch + 1) * PER_BATCH):
        raw = instance(seed)
        request = request_of(raw)
        searched, solved = (make_plan(request, solver) for solver in (Solver.SEARCH, Solver.HIGHS))
        kinds.add(searched.status)
        expected = oracle.first_best(raw)
        if expected is None:
            assert searched.status == solved.status == Status.INFEASIBLE, seed
            continue
        assert searched.sites == solved.sites == expected[1], seed
        assert searched.assignments == solved.assignments
        check_plan(raw, searched)
        check_plan(raw, solved)
    assert kinds == {Status.OPTIMAL, Status.INFEASIBLE}, "the instances were of one kind only"


@pytest.mark.parametrize("solver", [Solver.SEARCH, Solver.HIGHS])
def test_a_conflict_cannot_hold_and_without_any_member_it_can_and_none_is_smaller(solver: Solver) -> None:
    sizes = set()
    for seed in range(400):
        raw = instance(seed, most_sites=6, most_venues=5)
        plan = make_plan(request_of(raw), solver)
        if plan.status is not Status.INFEASIBLE:
            continue
        if plan.conflict[0].endswith(" latency"):
            venue = plan.conflict[0].removeprefix("venue ").removesuffix(" latency")
            assert all(row["venue"] != venue for row in raw["latency"])
            continue
        kept = set(plan.conflict)
        assert kept <= set(oracle.named(raw)), seed
        assert not oracle.holds(raw, kept), seed
        for fewer in combinations(plan.conflict, len(plan.conflict) - 1):
            assert oracle.holds(raw, set(fewer)), (seed, fewer)
        sizes.add(len(kept))
        assert len(kept) == oracle.smallest_conflict(raw), seed
    assert sizes >= {1, 2, 3}


def test_a_conflict_found_quickly_needs_each_of_its_members() -> None:
    found = 0
    for seed in range(300):
        raw = instance(seed, most_sites=6, most_venues=5)
        reader = Reader(request_of(raw))
        if not all(reader.rows) or make_plan(reader.request).status is not Status.INFEASIBLE:
            continue
        enumerated, solved = Enumerated(reader), Corrections(reader)
        conflict = irreducible_conflict(reader, lambda held, of=enumerated: of.correct(held) is not None)
        assert conflict == irreducible_conflict(reader, solved.holds)
        names = [each.name for each in conflict]
        assert not oracle.holds(raw, set(names)), seed
        assert all(oracle.holds(raw, set(names) - {name}) for name in names), seed
        found += 1
    assert found > 30


def test_what_is_left_out_for_the_solver_is_in_no_best_plan() -> None:
    smaller = 0
    for seed in range(60):
        problem = Reader(request_of(instance(seed))).problem()
        if all(problem.menus):
            less, known = narrowed(problem)
            best = search.best(problem)
            assert search.best(less) == best, seed
            if known is not None:
                assert best is not None
                assert cost_of(problem, known) >= cost_of(problem, best)
                smaller += sum(map(len, less.menus)) < sum(map(len, problem.menus))
            assert less.pinned & ~(best or less.pinned) == 0
    assert smaller > 20


@pytest.mark.parametrize("solver", [Solver.SEARCH, Solver.HIGHS])
def test_the_front_is_every_undominated_trade_and_no_other(solver: Solver) -> None:
    for seed in range(25):
        raw = instance(seed, most_sites=7)
        made = front(request_of(raw), solver)
        expected = oracle.front(raw)
        found = {(round(trade.cost_usd_month, 5), round(trade.latency_usd_month, 5)) for trade in made}
        assert found == {(round(float(cost), 5), round(float(latency), 5)) for cost, latency in expected}, (
            seed
        )
        for trade in made:
            within = raw["limits"].get("budget_usd_month", float("inf"))
            assert trade.within_budget == (trade.cost_usd_month <= within)


def test_a_conflict_of_a_large_request_is_irreducible_and_smallest_where_it_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        search, "MOST_SITES", 0
    )  # what is done beyond the search, where enumeration can still judge
    proven = 0
    for seed in range(250):
        raw = instance(seed, most_sites=6, most_venues=5)
        plan = make_plan(request_of(raw), Solver.HIGHS)
        if plan.status is not Status.INFEASIBLE or plan.conflict[0].endswith(" latency"):
            continue
        kept = set(plan.conflict)
        assert not oracle.holds(raw, kept), seed
        assert all(oracle.holds(raw, kept - {name}) for name in kept), seed
        assert plan.conflict_smallest, seed
        assert len(kept) == plan.conflict_at_least == oracle.smallest_conflict(raw), seed
        proven += 1
    assert proven > 100


def test_of_a_large_request_the_smallest_conflict_is_found_and_proven() -> None:
    raw = large_request_of("no plan: at most 3 sites, hard limits", 6, venues=200, sites=60)
    plan = make_plan(request_of(raw))
    assert (plan.conflict_smallest, plan.conflict_at_least, len(plan.conflict)) == (True, 3, 3)
    limit, *venues = plan.conflict
    price = {site["name"]: site["usd_month"] for site in raw["site"]}
    near = {venue["name"]: {row["site"] for row in raw["latency"] if row["venue"] == venue["name"] and row["p50_ms"] <= 60} for venue in raw["venue"]}  # fmt: skip
    one, other = (near[name.removeprefix("venue ").removesuffix(" max_ms")] for name in venues)
    assert limit == "budget_usd_month"
    assert not one & other
    assert sum(min(price[site] for site in sites) for sites in (one, other)) > 90, "it is a conflict"
    assert all(min(price[site] for site in sites) <= 90 for sites in near.values()), "none of two is one"


def test_what_a_correction_leaves_out_can_be_left_out_and_the_rest_holds() -> None:
    made = 0
    for seed in range(120):
        raw = instance(seed, most_sites=6, most_venues=5)
        reader = Reader(request_of(raw))
        if not all(reader.rows) or oracle.smallest_conflict(raw) is None:
            continue
        names = [each.name for each in requirements(reader.request)]
        correct = Widened(reader, Corrections(reader).holding).correct
        for held in (0, 1, 2, 3):
            for broken in correct(held & (1 << len(names)) - 1) or ():
                assert not broken & held, seed
                assert oracle.holds(raw, {name for at, name in enumerate(names) if not broken >> at & 1}), (
                    seed
                )
                made += 1
    assert made > 200


def test_a_proof_that_may_not_begin_says_that_nothing_is_proven() -> None:
    reader = Reader(request_of(next(raw for raw in map(instance, range(100)) if _conflicting(raw))))
    solved = Corrections(reader)
    found = irreducible_conflict(reader, solved.holds)
    correct = Widened(reader, solved.holding).correct
    assert no_larger(reader, correct, found, lambda: False) == (found, 1)
    smallest, least = no_larger(reader, correct, found, lambda: True)
    assert least == len(smallest) <= len(found)


def _conflicting(raw: Mapping[str, Any]) -> bool:
    plan = make_plan(request_of(raw))
    return plan.status is Status.INFEASIBLE and not plan.conflict[0].endswith(" latency")
