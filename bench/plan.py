"""The planner: equal to trying everything on 1,000 requests, and 600 venues x 120 sites to the proof.

The rival is HiGHS given the whole program at once; CBC and CP-SAT run beside it where OR-Tools is installed
(`pip install --target DIR ortools`, then `PYTHONPATH=DIR`): it is no part of this project's environment.
"""

import json
import random
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import msgspec

from bench import plan_peers
from bench.figure import OURS, Column, Table

INSTANCES = 1000
PATIENCE_S = 300
KINDS: dict[str, dict[str, Any]] = {
    "no limits": {},
    "at most 20 sites": {"max_sites": 20},
    "at most 8 sites": {"max_sites": 8},
    "a budget of $800": {"budget_usd_month": 800.0},
    "backups at another provider, $900": {"redundancy": 1, "backup_differs": "provider", "budget_usd_month": 900.0},
    "no plan: at most 3 sites, hard limits": {"max_sites": 3, "redundancy": 1, "budget_usd_month": 90.0},
}  # fmt: skip
RIVAL = "HiGHS, whole program"


def run(runs: int, quick: bool) -> list[Table]:
    """One table of equality, one for each kind of large request."""
    kinds = list(KINDS)[:1] if quick else list(KINDS)
    return [_equality(100 if quick else INSTANCES), *(_large(kind, runs) for kind in kinds)]


def request_of(kind: str, seed: int, venues: int = 600, sites: int = 120) -> dict[str, Any]:
    """Venues and sites scattered over a plane; routes are up to half as long again as the straight line."""
    rng = random.Random(seed)
    stands = {f"v{number}": (rng.random() * 100, rng.random() * 100) for number in range(venues)}
    stands |= {f"s{number}": (rng.random() * 100, rng.random() * 100) for number in range(sites)}
    limits = KINDS[kind]
    hard = {"max_ms": 60.0} if kind.startswith("no plan") else {}
    return {
        "limits": limits,
        "venue": [
            {"name": f"v{number}", "usd_per_ms_month": round(rng.expovariate(1.0), 2), **hard}
            for number in range(venues)
        ],
        "site": [
            {
                "name": f"s{number}",
                "provider": f"p{rng.randrange(12)}",
                "country": "JP",
                "usd_month": round(rng.uniform(5, 200), 2),
            }
            for number in range(sites)
        ],
        "latency": list(_latencies(stands, rng)),
    }


def _latencies(stands: dict[str, tuple[float, float]], rng: random.Random) -> Iterator[dict[str, Any]]:
    for venue, (x, y) in stands.items():
        for site, (a, b) in stands.items():
            if venue[0] == "v" and site[0] == "s":
                straight = ((x - a) ** 2 + (y - b) ** 2) ** 0.5
                yield {
                    "venue": venue,
                    "site": site,
                    "p50_ms": round(1 + 2 * straight * rng.uniform(1, 1.5), 2),
                }


def _equality(count: int) -> Table:
    from tests.unit.placement import oracle
    from tests.unit.placement.instances import instance

    from nettrace.placement.plan import Solver, make_plan
    from nettrace.placement.request import Request

    table = Table(
        f"plan: {count} random requests of up to 12 sites and 10 venues, beside trying every set of sites",
        [Column("differ", "", 0), Column("no plan", ""), Column("median", "ms"), Column("longest", "ms")],
        "half have round numbers so that plans tie; sites, not only costs, must be the same",
    )
    seeds = range(10_000, 10_000 + count)
    raws = [instance(seed) for seed in seeds]
    expected = [oracle.first_best(raw) for raw in raws]
    for name, solver in ((OURS, Solver.SEARCH), (f"{OURS} --solver highs", Solver.HIGHS)):
        differ, took = 0, []
        for raw, best in zip(raws, expected, strict=True):
            request = msgspec.convert(raw, Request)
            started = time.perf_counter()
            plan = make_plan(request, solver)
            took.append(1e3 * (time.perf_counter() - started))
            differ += plan.sites != (() if best is None else best[1])
        impossible = sum(best is None for best in expected)
        took.sort()
        table.add(
            name,
            {"differ": differ, "no plan": impossible, "median": took[len(took) // 2], "longest": took[-1]},
        )
    return table


def _large(kind: str, runs: int) -> Table:
    table = Table(
        f"plan: 600 venues x 120 sites, {kind}",
        [
            Column("CPU", "s", 60),
            Column("peak memory", "MiB"),
            *(
                [Column("conflict", "members"), Column("not proven smallest", "", 0)]
                if kind.startswith("no plan")
                else [Column("gap", "", 1e-8)]
            ),
        ],
        f"one thread, so CPU time is what it takes alone; requests: {runs}"
        + ("" if plan_peers.there() else "; OR-Tools is not installed here: CBC and CP-SAT were not run"),
    )
    for seed in range(1, runs + 1):
        ours = _alone(kind, seed, OURS)
        table.add(OURS, ours)
        if not kind.startswith("no plan"):
            rivals = (RIVAL, *((plan_peers.CBC, plan_peers.CP_SAT) if plan_peers.there() else ()))
            for rival in rivals:
                theirs = _alone(kind, seed, rival)
                same = theirs["objective"] is not None and abs(ours["objective"] - theirs["objective"]) < 1e-4
                table.add(rival if same else f"{rival} (no proof, or other optimum)", theirs)
    return table


def _alone(kind: str, seed: int, who: str) -> dict[str, Any]:
    """One solve in a process of its own, for its memory."""
    done = subprocess.run(
        [sys.executable, "-m", "bench.plan", kind, str(seed), who], capture_output=True, check=True, text=True
    )
    return json.loads(done.stdout)


def _solve(kind: str, seed: int, who: str) -> dict[str, Any]:
    from nettrace.placement import highs
    from nettrace.placement.formulation import Placement
    from nettrace.placement.plan import make_plan
    from nettrace.placement.problem import Reader
    from nettrace.placement.request import Request

    request = msgspec.convert(request_of(kind, seed), Request)
    found: dict[str, Any] = {}
    started = time.process_time()
    if who == OURS:
        plan = make_plan(request, seconds=PATIENCE_S, clock=time.monotonic)
        objective, gap = plan.objective_usd_month, plan.gap or 0.0
        found |= {"conflict": len(plan.conflict), "not proven smallest": int(plan.conflict_smallest is False)}
    else:
        program = Placement(Reader(request).problem())
    if who in {plan_peers.CBC, plan_peers.CP_SAT}:
        objective, gap = plan_peers.solve(who, program.program, PATIENCE_S)
    elif who != OURS:
        solver = highs.load(program.program, PATIENCE_S)
        _, bound, proven = highs.solve(solver, program.sites)
        objective = solver.getInfo().objective_function_value
        gap = 0.0 if proven else (objective - bound) / objective
    return {
        "CPU": time.process_time() - started,
        "peak memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "gap": gap,
        "objective": objective,
        **found,
    }


if __name__ == "__main__":
    print(json.dumps(_solve(sys.argv[1], int(sys.argv[2]), sys.argv[3])))
