"""What a plan is in cases small enough to work out by hand, and how it is told."""

from typing import Any

import pytest
from tests.property.test_plan import request_of

from nettrace.errors import MissingExtra
from nettrace.placement import highs, narrowing
from nettrace.placement.hitting import smallest_hitting
from nettrace.placement.plan import Plan, Solver, Status, make_plan
from nettrace.placement.request import Evidence, Latency

SOLVERS = [Solver.SEARCH, Solver.HIGHS]


def raw(**limits: Any) -> dict[str, Any]:
    """Two venues, three sites: Tokyo near the first, Ashburn near the second, Singapore between, one provider for two."""
    p50 = {("tse", "tokyo"): 2.0, ("tse", "singapore"): 70.0, ("cme", "ashburn"): 20.0, ("cme", "tokyo"): 150.0, ("cme", "singapore"): 220.0}  # fmt: skip
    return {
        "limits": limits,
        "venue": [{"name": "tse", "usd_per_ms_month": 5.0}, {"name": "cme", "usd_per_ms_month": 1.0}],
        "site": [
            {"name": "tokyo", "provider": "a", "country": "JP", "usd_month": 60.0},
            {"name": "singapore", "provider": "b", "country": "SG", "usd_month": 40.0},
            {"name": "ashburn", "provider": "b", "country": "US", "usd_month": 30.0},
        ],
        "latency": [{"venue": v, "site": s, "p50_ms": ms, "low_ms": ms - 1, "high_ms": ms + 2} for (v, s), ms in p50.items()],
    }  # fmt: skip


def planned(request: dict[str, Any], solver: Solver = Solver.AUTO) -> Plan:
    return make_plan(request_of(request), solver)


@pytest.mark.parametrize("solver", SOLVERS)
def test_the_objective_is_price_plus_weighted_latency(solver: Solver) -> None:
    plan = planned(raw(), solver)
    assert (plan.status, plan.sites) == (Status.OPTIMAL, ("tokyo", "ashburn"))
    assert plan.cost_usd_month == 90
    assert plan.latency_usd_month == 5 * 2 + 20
    assert plan.objective_usd_month == plan.bound_usd_month == 120
    assert (plan.gap, plan.conflict) == (0, ())
    assert [(row.venue, row.site, row.backup) for row in plan.assignments] == [("tse", "tokyo", None), ("cme", "ashburn", None)]  # fmt: skip


@pytest.mark.parametrize("solver", SOLVERS)
def test_a_site_may_be_rented_as_a_backup_only_and_its_latency_costs_nothing(solver: Solver) -> None:
    plan = planned(raw(redundancy=1), solver)
    assert plan.sites == ("tokyo", "singapore", "ashburn")
    assert plan.objective_usd_month == 130 + 10 + 20
    assert [(row.backup, row.backup_p50_ms) for row in plan.assignments] == [
        ("singapore", 70),
        ("tokyo", 150),
    ]


@pytest.mark.parametrize("solver", SOLVERS)
def test_a_backup_of_another_provider_is_not_the_nearest_one(solver: Solver) -> None:
    request = raw(redundancy=1, backup_differs="provider")
    request["latency"][4]["p50_ms"] = request["latency"][4]["low_ms"] = 30.0
    request["site"][1]["pinned"] = request["site"][2]["pinned"] = True
    assert planned(request, solver).assignments[1].backup == "tokyo"
    request["limits"]["backup_differs"] = "site"
    assert planned(request, solver).assignments[1].backup == "singapore"


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize(
    ("change", "conflict"),
    [
        ({"limits": {"budget_usd_month": 39.0}}, ("budget_usd_month",)),
        ({"limits": {"max_sites": 0}}, ("max_sites",)),
        ({"limits": {"max_sites": 1, "redundancy": 1}}, ("max_sites", "redundancy")),
        ({"venue": {"max_ms": 1.0}}, ("venue tse max_ms",)),
        ({"venue": {"max_ms": 10.0, "forbid_countries": ["jp"]}}, ("venue tse max_ms", "venue tse forbid_countries")),
        ({"limits": {"redundancy": 1}, "venue": {"backup_max_ms": 1.0}}, ("redundancy", "venue tse backup_max_ms")),
        ({"site": {"pinned": True}, "limits": {"budget_usd_month": 80.0}, "venue": {"max_ms": 9.0}}, ("budget_usd_month", "site singapore pinned", "venue tse max_ms")),
    ],
)  # fmt: skip
def test_each_requirement_broken_on_purpose_is_named(solver: Solver, change: dict[str, Any], conflict: tuple[str, ...]) -> None:  # fmt: skip
    request = raw(**change.get("limits", {}))
    request["venue"][0] |= change.get("venue", {})
    request["site"][1] |= change.get("site", {})
    plan = planned(request, solver)
    assert (plan.status, plan.conflict) == (Status.INFEASIBLE, conflict)
    assert plan.objective_usd_month is plan.cost_usd_month is plan.bound_usd_month is plan.gap is None
    assert (plan.sites, plan.assignments) == ((), ())


@pytest.mark.parametrize("solver", SOLVERS)
def test_a_venue_without_latencies_is_itself_the_conflict(solver: Solver) -> None:
    request = raw(max_sites=0)
    request["latency"] = request["latency"][2:]
    assert planned(request, solver).conflict == ("venue tse latency",)


def test_tenths_add_up() -> None:
    request = raw(budget_usd_month=0.3)
    request["site"][0]["usd_month"], request["site"][1]["usd_month"], request["site"][2]["usd_month"] = (
        0.1,
        0.2,
        0.2,
    )
    for solver in SOLVERS:
        assert planned(request, solver).cost_usd_month == 0.3


def test_time_that_runs_out_leaves_a_plan_with_its_gap_or_an_error_but_never_a_false_proof() -> None:
    request = large(40, 30)
    plan = make_plan(request, Solver.HIGHS, 1e-9)
    assert plan.status is Status.FEASIBLE
    assert plan.objective_usd_month is not None and plan.bound_usd_month is not None and plan.gap is not None
    proven = make_plan(request, Solver.AUTO)
    assert (proven.status, proven.solver) == (Status.OPTIMAL, Solver.HIGHS)
    assert proven.objective_usd_month is not None
    assert plan.bound_usd_month <= proven.objective_usd_month <= plan.objective_usd_month
    assert plan.gap == pytest.approx(1 - plan.bound_usd_month / plan.objective_usd_month, abs=1e-6)


def large(venues: int, sites: int) -> Any:
    """A request on a ring: more sites than the search takes."""
    return request_of(
        {
            "limits": {"max_sites": 5},
            "venue": [{"name": f"v{v}", "usd_per_ms_month": 1.0 + v % 3} for v in range(venues)],
            "site": [{"name": f"s{s}", "usd_month": 20.0 + 7 * (s % 4)} for s in range(sites)],
            "latency": [
                {"venue": f"v{v}", "site": f"s{s}", "p50_ms": 1.0 + abs(v * sites - s * venues) % 97}
                for v in range(venues)
                for s in range(sites)
            ],
        }
    )


def test_without_the_solver_many_sites_name_the_missing_part(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("highspy", "numpy"):
        monkeypatch.setitem(__import__("sys").modules, module, None)
    with pytest.raises(MissingExtra, match=r"nettrace\[plan\]"):
        make_plan(large(3, 16))
    with pytest.raises(MissingExtra, match=r"nettrace\[plan\]"):
        make_plan(large(40, 30))
    assert make_plan(large(3, 15)).status is Status.OPTIMAL
    assert highs and narrowing


def test_the_smallest_hitting_set_is_smaller_than_the_greedy_one() -> None:
    families = [0b0001_01, 0b0001_10, 0b0010_01, 0b0010_10, 0b0100_01, 0b0100_10]
    assert smallest_hitting(families, 6) == 0b11


def test_evidence_travels_with_the_latency() -> None:
    request = request_of(raw())
    measured = tuple(
        Latency(venue=row.venue, site=row.site, p50_ms=row.p50_ms, evidence=Evidence.MEASURED)
        for row in request.latency
    )
    plan = make_plan(type(request)(venue=request.venue, site=request.site, latency=measured))
    assert {row.evidence for row in plan.assignments} == {"measured"}
    assert plan.assignments[0].low_ms is None
