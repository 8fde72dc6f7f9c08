"""CBC and CP-SAT on the same program as HiGHS, where OR-Tools is installed (Apache-2.0; it brings both)."""

from importlib.util import find_spec
from typing import Any

from nettrace.placement.formulation import INFINITE, Program

CBC, CP_SAT = "CBC", "CP-SAT"
_SCALE = 10_000
"""Prices and weights of the bench have two decimals, latencies too: so many parts of a dollar are whole."""


def there() -> bool:
    """Whether OR-Tools can be imported."""
    return find_spec("ortools") is not None


def solve(who: str, program: Program, seconds: float) -> tuple[float | None, float]:
    """(objective in dollars or None, gap as a share of it), with one thread."""
    return (_cbc if who == CBC else _cp_sat)(program, seconds)


def _rows(program: Program) -> Any:
    for at, (lower, upper) in enumerate(zip(program.lower, program.upper, strict=True)):
        first, last = program.starts[at], program.starts[at + 1]
        yield lower, upper, program.columns[first:last], program.values[first:last]


def _cbc(program: Program, seconds: float) -> tuple[float | None, float]:
    from ortools.linear_solver import pywraplp

    solver = pywraplp.Solver.CreateSolver("CBC")
    solver.set_time_limit(int(seconds * 1000))
    whole, infinity = set(program.whole), solver.infinity()
    columns = [
        (solver.IntVar if at in whole else solver.NumVar)(low, infinity if high == INFINITE else high, "")
        for at, (low, high) in enumerate(zip(program.lowest, program.highest, strict=True))
    ]
    for lower, upper, members, values in _rows(program):
        row = solver.Constraint(
            -infinity if lower == -INFINITE else lower, infinity if upper == INFINITE else upper
        )
        for column, value in zip(members, values, strict=True):
            row.SetCoefficient(columns[column], value)
    goal = solver.Objective()
    for column, cost in zip(columns, program.costs, strict=True):
        goal.SetCoefficient(column, cost)
    goal.SetMinimization()
    exact = pywraplp.MPSolverParameters()
    exact.SetDoubleParam(pywraplp.MPSolverParameters.RELATIVE_MIP_GAP, 0.0)
    status = solver.Solve(exact)
    if status not in (pywraplp.Solver.OPTIMAL, pywraplp.Solver.FEASIBLE):
        return None, 1.0
    value = goal.Value()
    return value, 0.0 if status == pywraplp.Solver.OPTIMAL else (value - goal.BestBound()) / value


def _cp_sat(program: Program, seconds: float) -> tuple[float | None, float]:
    from ortools.sat.python import cp_model

    model = cp_model.CpModel()
    sites = len(program.whole)
    counts = {column for lower, _, members, values in _rows(program) if lower == 0.0 for column, value in zip(members, values, strict=True) if value == -1.0 and program.costs[column] == 0.0}  # fmt: skip
    columns = [
        model.new_int_var(int(low), sites if high == INFINITE and at in counts else 1, "")
        for at, (low, high) in enumerate(zip(program.lowest, program.highest, strict=True))
    ]
    for lower, upper, members, values in _rows(program):
        scale = 1 if all(value == int(value) for value in values) else 100
        total = cp_model.LinearExpr.weighted_sum(
            [columns[each] for each in members], [round(value * scale) for value in values]
        )
        if lower == upper:
            model.add(total == round(lower * scale))
            continue
        if lower != -INFINITE:
            model.add(total >= round(lower * scale))
        if upper != INFINITE:
            model.add(total <= round(upper * scale))
    costs = [round(cost * _SCALE) for cost in program.costs]
    model.minimize(cp_model.LinearExpr.weighted_sum(columns, costs))
    solver = cp_model.CpSolver()
    solver.parameters.num_workers = 1
    solver.parameters.max_time_in_seconds = seconds
    status = solver.solve(model)
    if status not in (cp_model.OPTIMAL, cp_model.FEASIBLE):
        return None, 1.0
    value, bound = solver.objective_value, solver.best_objective_bound
    return value / _SCALE, max(0.0, (value - bound) / value)
