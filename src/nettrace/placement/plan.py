"""The plan: sites chosen, what each venue is served by, what it costs, and the proof that nothing costs less."""

from collections.abc import Callable
from enum import StrEnum
from typing import Any

import msgspec

from nettrace.errors import SolverStopped
from nettrace.placement import highs, search
from nettrace.placement.conflict import (
    Enumerated,
    Tried,
    conflict_of,
    describe,
    explain,
    irreducible_conflict,
    no_larger,
    unserved,
)
from nettrace.placement.correcting import Widened
from nettrace.placement.money import dollars
from nettrace.placement.problem import Problem, Reader, Requirement, bits, cost_of, price_of, served
from nettrace.placement.rented import Move, Rented, moves_of, rented_at
from nettrace.placement.request import Evidence, Latency, Request

_PROOF_S = 20.0
"""For so long a conflict smaller than an irreducible one of a large request is looked for, or the proof that there is none."""


def timeless() -> float:
    """A clock that stands still: nothing is cut short by it."""
    return 0.0


class Status(StrEnum):
    """How much is known about a plan."""

    OPTIMAL = "optimal"
    FEASIBLE = "feasible"
    INFEASIBLE = "infeasible"


class Solver(StrEnum):
    """Who looks for the optimum."""

    AUTO = "auto"
    SEARCH = "search"
    HIGHS = "highs"


class Assignment(msgspec.Struct, frozen=True, kw_only=True):
    """What serves a venue.

    Attributes:
        p50_ms, low_ms, high_ms: median round trip from the site and the interval that holds it.
        backup: the nearest chosen site that may stand in; None without redundancy.
        latency_usd_month: what the round trip costs a month.
        p95_ms, by, basis: of the site's latency, as in `Latency`.
    """

    venue: str
    site: str
    backup: str | None
    p50_ms: float
    low_ms: float | None
    high_ms: float | None
    evidence: Evidence
    backup_p50_ms: float | None
    backup_low_ms: float | None
    backup_high_ms: float | None
    backup_evidence: Evidence | None
    latency_usd_month: float
    p95_ms: float | None = None
    by: str | None = None
    basis: tuple[str, ...] = ()


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to a request.

    Attributes:
        objective_usd_month: cost of the sites plus cost of latency; None when there is no plan.
        bound_usd_month: no plan can have a lower objective.
        gap: share of the objective between it and the bound.
        cost_usd_month: sites with their machines, and the monthly share of all moving.
        moving_usd_month: that share.
        rented: the chosen sites with the machine each gets and what runs there.
        moves: what is set up and given up, where that costs anything.
        conflict: a smallest set of requirements that cannot hold together.
        conflict_smallest: False for a conflict of a large request that may not be the smallest, though each of its
            members is needed; None without a conflict.
        conflict_at_least: no conflict has fewer members than this: as many as `conflict` when that is a smallest one.
        reasons: the same with their values, in words.
    """

    status: Status
    solver: Solver
    objective_usd_month: float | None = None
    bound_usd_month: float | None = None
    gap: float | None = None
    cost_usd_month: float | None = None
    latency_usd_month: float | None = None
    moving_usd_month: float | None = None
    sites: tuple[str, ...] = ()
    rented: tuple[Rented, ...] = ()
    moves: tuple[Move, ...] = ()
    assignments: tuple[Assignment, ...] = ()
    conflict: tuple[str, ...] = ()
    conflict_smallest: bool | None = None
    conflict_at_least: int | None = None
    reasons: tuple[str, ...] = ()
    explanation: str | None = None


def make_plan(
    request: Request,
    solver: Solver = Solver.AUTO,
    seconds: float = float("inf"),
    clock: Callable[[], float] = timeless,
) -> Plan:
    """The best plan, or the conflict that rules every plan out.

    Args:
        request: what is asked.
        solver: `auto` searches up to 15 sites itself and asks HiGHS beyond; both give the same plan.
        seconds: how long HiGHS may take for one answer; when it is over the best plan found is `feasible`.
        clock: in seconds; by it the search for a conflict smaller than an irreducible one of a large request is cut short.

    Raises:
        MissingExtra: HiGHS is needed and not installed.
        SolverStopped: time ran out before any plan or conflict was found.
    """
    reader = Reader(request)
    problem = reader.problem()
    used = chosen_solver(problem, solver)
    if used is Solver.SEARCH:
        chosen = search.best(problem)
        solved = highs.Solved(chosen, 0 if chosen is None else cost_of(problem, chosen), proven=True)
    else:
        solved = highs.best(problem, seconds)
    if solved.chosen is not None:
        return _planned(reader, solved.chosen, solved, used)
    if not solved.proven:
        raise SolverStopped("time ran out before any plan was found", "Allow more with --time-limit")
    return _impossible(reader, used, seconds, clock)


def chosen_solver(problem: Problem, solver: Solver) -> Solver:
    """Who solves it: never `auto`."""
    if solver is not Solver.AUTO:
        return solver
    return Solver.SEARCH if len(problem.prices) <= search.MOST_SITES else Solver.HIGHS


def plan_document(plan: Plan) -> dict[str, Any]:
    """`nettrace.plan/1`."""
    return {"schema": "nettrace.plan/1", **plain(plan)}


def plain(value: object) -> Any:
    """A plan, or a part of its document, as JSON has it: mappings, lists, text and numbers."""
    return msgspec.json.decode(msgspec.json.encode(value))


def assignments_of(reader: Reader, problem: Problem, chosen: int) -> tuple[Assignment, ...]:
    """What serves each venue when these sites are chosen."""
    made: list[Assignment] = []
    for number, menu in enumerate(problem.menus):
        option = served(menu, chosen)
        rows = dict(reader.rows[number])
        main = rows[option.site]
        backup = next((row for at, row in reader.rows[number] if option.needs & chosen & (1 << at)), None)
        made.append(_assignment(main, backup, option.cost))
    return tuple(made)


def _assignment(main: Latency, backup: Latency | None, cost: int) -> Assignment:
    return Assignment(
        venue=main.venue,
        site=main.site,
        backup=backup.site if backup else None,
        p50_ms=main.p50_ms,
        low_ms=main.low_ms,
        high_ms=main.high_ms,
        evidence=main.evidence,
        backup_p50_ms=backup.p50_ms if backup else None,
        backup_low_ms=backup.low_ms if backup else None,
        backup_high_ms=backup.high_ms if backup else None,
        backup_evidence=backup.evidence if backup else None,
        latency_usd_month=dollars(cost),
        p95_ms=main.p95_ms,
        by=main.by,
        basis=main.basis,
    )


def _planned(reader: Reader, chosen: int, solved: highs.Solved, used: Solver) -> Plan:
    problem = reader.problem()
    total = cost_of(problem, chosen)
    price = price_of(problem, chosen)
    bound = max(0.0, min(float(total), solved.bound))
    gap = (total - bound) / total if total else 0.0
    moves = moves_of(reader, chosen)
    return Plan(
        status=Status.OPTIMAL if solved.proven else Status.FEASIBLE,
        solver=used,
        objective_usd_month=dollars(total),
        bound_usd_month=dollars(bound),
        gap=round(gap, 9),
        cost_usd_month=dollars(price),
        latency_usd_month=dollars(total - price),
        moving_usd_month=round(sum(move.usd_month for move in moves), 6),
        sites=tuple(reader.request.site[at].name for at in bits(chosen)),
        rented=rented_at(reader, problem, chosen),
        moves=moves,
        assignments=assignments_of(reader, problem, chosen),
    )


def _impossible(reader: Reader, used: Solver, seconds: float, clock: Callable[[], float]) -> Plan:
    conflict, least = _conflict(reader, used, seconds, clock)
    if not conflict:
        raise LookupError("every requirement can hold, yet no plan was found: a solver was wrong")
    return Plan(
        status=Status.INFEASIBLE,
        solver=used,
        conflict=tuple(each.name for each in conflict),
        conflict_smallest=least == len(conflict),
        conflict_at_least=least,
        reasons=tuple(describe(reader, each) for each in conflict),
        explanation=explain(reader, conflict),
    )


def _conflict(
    reader: Reader, used: Solver, seconds: float, clock: Callable[[], float]
) -> tuple[tuple[Requirement, ...], int]:
    """A conflict, and how many members every conflict has at least."""
    if used is Solver.SEARCH:
        corrections = Tried(reader) if reader.request.service else Enumerated(reader)
        found = conflict_of(reader, corrections.correct)
        return found, len(found)
    if len(reader.request.site) <= search.MOST_SITES:
        found = conflict_of(reader, highs.Corrections(reader, seconds).correct)
        return found, len(found)
    alone = unserved(reader)
    if alone is not None:
        return (alone,), 1
    found = irreducible_conflict(reader, highs.Corrections(reader, seconds).holds)
    most = min(_PROOF_S, seconds)
    until = clock() + most
    correct = Widened(reader, highs.Corrections(reader, most).holding).correct
    return no_larger(reader, correct, found, lambda: clock() < until)
