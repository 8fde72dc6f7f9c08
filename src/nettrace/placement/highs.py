"""The optimum by HiGHS, with its proof. The only module that imports the solver.

HiGHS works in floating point, so nothing it says is taken on trust: what a set of sites costs is counted again in
integers, and among plans that cost the same the choice is made by the same rule as in `search`.
"""

from collections.abc import Iterable, Sequence
from math import isfinite
from typing import Any

import msgspec

from nettrace.errors import MissingExtra, SolverStopped
from nettrace.placement import search
from nettrace.placement.cover import Cover
from nettrace.placement.formulation import INFINITE, Placement, Program
from nettrace.placement.money import NANO
from nettrace.placement.narrowing import narrowed
from nettrace.placement.problem import (
    TIE,
    Problem,
    Reader,
    allowed,
    bits,
    cost_of,
    latency_of,
    price_of,
    rank,
)

_WORTH_NARROWING = 1000
"""Options below which HiGHS is done before narrowing would be."""

_PRICE_STEP = NANO // 10_000
"""What the front tells apart: a hundredth of a cent."""


class Solved(msgspec.Struct, frozen=True):
    """What a solver knows.

    Attributes:
        chosen: mask of the sites, None when nothing was found.
        bound: nano-dollars a month below which no plan can be.
        proven: `chosen` is the best, or None because there is none; False when time ran out.
    """

    chosen: int | None
    bound: float
    proven: bool


def best(problem: Problem, seconds: float = INFINITE) -> Solved:
    """The mask of the sites to choose as `search.best` would, for any number of sites.

    Args:
        problem: what to solve.
        seconds: time after which the best plan found so far is good enough.

    Raises:
        MissingExtra: the solver is not installed.
    """
    if not all(problem.menus):
        return Solved(None, INFINITE, proven=True)
    plain = problem.load is None and not problem.leaving
    large = sum(map(len, problem.menus)) >= _WORTH_NARROWING
    small, known = narrowed(problem) if plain and large else (problem, None)
    found, bound, proven = _Solver(Placement(small), seconds).solve()
    plans = [each for each in (found, known) if each is not None]
    if not plans:
        return Solved(None, INFINITE if proven else bound * NANO, proven)
    chosen = min(plans, key=lambda each: cost_of(problem, each))
    least = cost_of(problem, chosen)
    if proven:
        chosen = _first_of_ties(problem, chosen, least)
    return Solved(chosen, min(bound * NANO, float(least)), proven)


def _first_of_ties(problem: Problem, found: int, least: int) -> int:
    """The first plan by `rank` among those that cost no more than `least` and a tie's width.

    Up to `search.MOST_SITES` sites this is certain. Beyond, proving that nothing else costs the same can take longer
    than the optimum did, so only plans that drop a site or swap one for an earlier one are looked at.
    """
    if len(problem.prices) <= search.MOST_SITES:
        return search.first_within(problem, least + TIE) or found
    while True:
        near = [found ^ 1 << at for at in bits(found)]
        near += [
            found ^ 1 << at | 1 << new for at in bits(found) for new in range(at) if not found >> new & 1
        ]
        better = min((each for each in near if _as_good(problem, each, least)), key=rank, default=found)
        if better == found:
            return found
        found = better


def _as_good(problem: Problem, chosen: int, least: int) -> bool:
    if not allowed(problem, chosen) or price_of(problem, chosen) > least + TIE:
        return False
    latency = latency_of(problem, chosen)
    return latency is not None and latency + price_of(problem, chosen) <= least + TIE


class _Solver:
    """One program inside HiGHS that can be narrowed and solved again."""

    def __init__(self, placement: Placement, seconds: float) -> None:
        self.sites = placement.sites
        self._placement = placement
        self._highs = load(placement.program, seconds)

    def solve(self) -> tuple[int | None, float, bool]:
        """(mask of sites or None, lower bound in dollars, whether that is the last word)."""
        return solve(self._highs, self.sites)

    def require(self, terms: Sequence[tuple[int, float]], lower: float) -> None:
        """Add a row `sum >= lower`."""
        columns, values = [column for column, _ in terms], [value for _, value in terms]
        self._highs.addRow(lower, INFINITE, len(columns), columns, values)

    def minimise(self, terms: Iterable[tuple[int, float]]) -> None:
        """Replace what is minimised."""
        costs = [0.0] * self._highs.getNumCol()
        for column, cost in terms:
            costs[column] = cost
        self._highs.changeColsCost(len(costs), range(len(costs)), costs)


def load(program: Program, seconds: float = INFINITE) -> Any:
    """HiGHS with a program in it, quiet, deterministic, and content with nothing less than the optimum.

    Raises:
        MissingExtra: highspy is not installed.
    """
    try:
        import highspy  # noqa: PLC0415 - an optional part
    except ImportError:
        raise MissingExtra("plan", "a plan for more than 15 sites") from None
    model: Any = highspy.HighsLp()
    model.offset_ = program.offset
    model.num_col_ = len(program.costs)
    model.num_row_ = len(program.lower)
    model.col_cost_ = program.costs
    model.col_lower_ = program.lowest
    model.col_upper_ = program.highest
    model.row_lower_ = program.lower
    model.row_upper_ = program.upper
    model.a_matrix_.format_ = highspy.MatrixFormat.kRowwise
    model.a_matrix_.start_ = program.starts
    model.a_matrix_.index_ = program.columns
    model.a_matrix_.value_ = program.values
    whole = set(program.whole)
    kinds = highspy.HighsVarType
    model.integrality_ = [
        kinds.kInteger if column in whole else kinds.kContinuous for column in range(len(program.costs))
    ]
    highs: Any = highspy.Highs()
    highs.silent()
    for option, value in (
        ("mip_rel_gap", 0.0), ("mip_abs_gap", 1e-7), ("mip_feasibility_tolerance", 1e-9),
        ("primal_feasibility_tolerance", 1e-9), ("dual_feasibility_tolerance", 1e-9),
        ("random_seed", 0), ("threads", 1),
    ):  # fmt: skip
        highs.setOptionValue(option, value)
    if isfinite(seconds):
        highs.setOptionValue("time_limit", float(seconds))
    highs.passModel(model)
    return highs


def solve(highs: Any, first: int) -> tuple[int | None, float, bool]:
    """(mask of the first columns that are 1, lower bound, whether that is the last word); the mask is None without a solution."""
    import highspy  # noqa: PLC0415 - an optional part

    highs.run()
    status = highs.getModelStatus()
    info = highs.getInfo()
    none = status in {highspy.HighsModelStatus.kInfeasible, highspy.HighsModelStatus.kUnboundedOrInfeasible}
    if none:
        return None, INFINITE, True
    proven = status == highspy.HighsModelStatus.kOptimal
    if info.primal_solution_status != highspy.SolutionStatus.kSolutionStatusFeasible:
        return None, info.mip_dual_bound, proven
    values = highs.getSolution().col_value
    return sum(1 << at for at in range(first) if values[at] > 0.5), info.mip_dual_bound, proven


class Corrections:
    """Smallest corrections of a request that cannot be met (see `conflict.Correct`), by HiGHS."""

    def __init__(self, reader: Reader, seconds: float = INFINITE) -> None:
        cover = Cover(reader)
        self._count = len(cover.known)
        self._sites = len(reader.request.site)
        self._highs = load(cover.program, seconds)

    def correct(self, held: int) -> int | None:
        """Fewest requirements to drop so that those in `held` can hold, or None when they cannot.

        Raises:
            SolverStopped: time ran out.
        """
        for at in range(self._count):
            self._highs.changeColBounds(at, 0.0, 0.0 if held >> at & 1 else 1.0)
        return self._answer(self._count)

    def holds(self, held: int) -> bool:
        """Whether the requirements in a mask can hold together: much quicker than to correct.

        Raises:
            SolverStopped: time ran out.
        """
        return self.holding(held) is not None

    def holding(self, held: int) -> int | None:
        """Sites with which the requirements in a mask hold together, all others dropped; None when there are none.

        Raises:
            SolverStopped: time ran out.
        """
        for at in range(self._count):
            value = 0.0 if held >> at & 1 else 1.0
            self._highs.changeColBounds(at, value, value)
        found = self._answer(self._count + self._sites)
        return None if found is None else found >> self._count

    def _answer(self, columns: int) -> int | None:
        found, _, proven = solve(self._highs, columns)
        if not proven:
            raise SolverStopped("time ran out before the conflict was found", "Allow more with --time-limit")
        return found


def optimum(problem: Problem, seconds: float = INFINITE) -> int | None:
    """The sites to choose or None when no set will do.

    Raises:
        SolverStopped: time ran out before that was proven.
    """
    solved = best(problem, seconds)
    if not solved.proven:
        raise SolverStopped("time ran out before an optimum was proven", "Allow more with --time-limit")
    return solved.chosen


def front(problem: Problem, seconds: float = INFINITE) -> list[tuple[int, int, int]]:
    """The Pareto front as (price, latency cost, mask of sites) in nano-dollars, dearest sites first.

    Two solves a point: least latency for the money left, then least money for that latency. Prices of plans that
    differ by less than a hundredth of a cent are one price.

    Raises:
        SolverStopped: time ran out.
    """
    if not all(problem.menus):
        return []
    placement = Placement(problem)
    solver = _Solver(placement, seconds)
    found: list[tuple[int, int, int]] = []
    while True:
        solver.minimise(placement.latency)
        near = _proven(solver)
        if near is None:
            return found
        latency = cost_of(problem, near) - price_of(problem, near)
        cheap = _cheapest_as_near(placement, latency, seconds, near)
        price = price_of(problem, cheap)
        found.append((price, cost_of(problem, cheap) - price, cheap))
        solver.require(
            [(at, -cost) for at, cost in placement.price_terms()],
            placement.program.offset - (price - _PRICE_STEP) / NANO,
        )


def _cheapest_as_near(placement: Placement, latency: int, seconds: float, otherwise: int) -> int:
    solver = _Solver(placement, seconds)
    solver.require([(column, -cost) for column, cost in placement.latency], -(latency + TIE) / NANO)
    solver.minimise(placement.price_terms())
    found = _proven(solver)
    return otherwise if found is None else found


def _proven(solver: _Solver) -> int | None:
    chosen, _, proven = solver.solve()
    if not proven:
        raise SolverStopped("time ran out before an optimum was proven", "Allow more with --time-limit")
    return chosen


def least_fall(forced: Problem, least: int, budget: int | None, seconds: float = INFINITE) -> int | None:
    """By how much a pinned site's price must fall so that a plan with it costs `least` and keeps the budget.

    Args:
        forced: the problem with the site pinned and without a budget.
        least: nano-dollars a month.
        budget: nano-dollars a month; None without one.
        seconds: time allowed.

    Raises:
        SolverStopped: time ran out.
    """
    if not all(forced.menus):
        return None
    placement = Placement(forced)
    fall = placement.program.column(1.0, -INFINITE, INFINITE)
    placement.program.costs[:fall] = [0.0] * fall
    offset = placement.program.offset
    placement.program.row(
        offset - least / NANO, INFINITE, [(fall, 1.0), *((at, -cost) for at, cost in placement.total_terms())]
    )
    if budget is not None:
        placement.program.row(
            offset - budget / NANO,
            INFINITE,
            [(fall, 1.0), *((at, -cost) for at, cost in placement.price_terms())],
        )
    chosen = _proven(_Solver(placement, seconds))
    if chosen is None:
        return None
    price = price_of(forced, chosen)
    over = cost_of(forced, chosen) - least
    return over if budget is None else max(over, price - budget)
