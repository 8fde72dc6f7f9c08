"""The optimum by HiGHS, with its proof. The only module that imports the solver.

HiGHS works in floating point, so nothing it says is taken on trust: what a set of sites costs is counted again in
integers, and among plans that cost the same the choice is made by the same rule as in `search`.
"""

from collections.abc import Iterable, Sequence
from math import isfinite
from typing import Any

import msgspec

from nettrace.errors import MissingExtra, SolverStopped
from nettrace.placement.cover import Cover
from nettrace.placement.formulation import INFINITE, Placement, Program
from nettrace.placement.problem import NANO, TIE, Problem, Reader, bits, cost_of, latency_of, price_of

_PRICE_STEP = NANO // 10_000
_CHUNK = 20
"""Sites whose order is decided by one solve: 2**20 still stands exactly beside the solver's tolerances."""


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
    first = _Solver(Placement(problem), seconds)
    found, bound, proven = first.solve()
    if found is None or not proven:
        return Solved(found, bound * NANO, proven)
    least = cost_of(problem, found)
    chosen = _first_of_ties(problem, found, least, seconds)
    return Solved(chosen, min(bound * NANO, float(least)), proven=True)


def _first_of_ties(problem: Problem, found: int, least: int, seconds: float) -> int:
    """The first plan by `rank` that costs no more than `least` and a tie's width."""
    found = _without_idle(problem, found, least)
    solver = _Solver(Placement(problem), seconds)
    solver.ceiling(least + TIE)
    solver.require(
        [(at, -1.0 if found >> at & 1 else 1.0) for at in range(solver.sites)], 1.0 - found.bit_count()
    )
    solver.limit_sites(found.bit_count())
    other, _, _ = solver.solve()
    if other is None or cost_of(problem, other) > least + TIE:
        return found
    return _lexicographic(problem, least + TIE, seconds) or found


def _without_idle(problem: Problem, chosen: int, least: int) -> int:
    """The plan without sites that cost nothing and serve nobody."""
    for at in sorted(bits(chosen & ~problem.pinned), reverse=True):
        rest = chosen & ~(1 << at)
        latency = latency_of(problem, rest)
        if latency is not None and latency + price_of(problem, rest) <= least + TIE:
            chosen = rest
    return chosen


def _lexicographic(problem: Problem, ceiling: int, seconds: float) -> int | None:
    solver = _Solver(Placement(problem), seconds)
    solver.ceiling(ceiling)
    solver.minimise((at, 1.0) for at in range(solver.sites))
    fewest, _, _ = solver.solve()
    if fewest is None:
        return None
    found = fewest
    solver.limit_sites(fewest.bit_count())
    for start in range(0, solver.sites, _CHUNK):
        chunk = range(start, min(start + _CHUNK, solver.sites))
        solver.minimise((at, -float(1 << (chunk.stop - 1 - at))) for at in chunk)
        answer, _, _ = solver.solve()
        if answer is None:
            break
        found = answer
        solver.fix(chunk, answer)
    return found if cost_of(problem, found) <= ceiling else fewest


class _Solver:
    """One program inside HiGHS that can be narrowed and solved again."""

    def __init__(self, placement: Placement, seconds: float) -> None:
        self.sites = placement.sites
        self._placement = placement
        self._highs = load(placement.program, seconds)

    def solve(self) -> tuple[int | None, float, bool]:
        """(mask of sites or None, lower bound in dollars, whether that is the last word)."""
        return solve(self._highs, self.sites)

    def ceiling(self, nano: int) -> None:
        """Allow only plans that cost at most this much."""
        self.require([(column, -factor) for column, factor in self._placement.total_terms()], -nano / NANO)

    def limit_sites(self, most: int) -> None:
        """Allow at most so many sites."""
        self.require([(at, -1.0) for at in range(self.sites)], -float(most))

    def require(self, terms: Sequence[tuple[int, float]], lower: float) -> None:
        """Add a row `sum >= lower`."""
        columns, values = [column for column, _ in terms], [value for _, value in terms]
        self._highs.addRow(lower, INFINITE, len(columns), _array(columns, "int32"), _array(values, "float64"))

    def minimise(self, terms: Iterable[tuple[int, float]]) -> None:
        """Replace what is minimised."""
        costs = [0.0] * self._highs.getNumCol()
        for column, cost in terms:
            costs[column] = cost
        every = _array(range(len(costs)), "int32")
        self._highs.changeColsCost(len(costs), every, _array(costs, "float64"))

    def fix(self, sites: Iterable[int], chosen: int) -> None:
        """Hold sites where `chosen` has them."""
        for at in sites:
            value = float(chosen >> at & 1)
            self._highs.changeColBounds(at, value, value)


def load(program: Program, seconds: float = INFINITE) -> Any:
    """HiGHS with a program in it, quiet, deterministic, and content with nothing less than the optimum.

    Raises:
        MissingExtra: highspy or numpy is not installed.
    """
    try:
        import highspy  # noqa: PLC0415 - an optional part
    except ImportError:
        raise MissingExtra("plan", "a plan for more than 15 sites") from None
    model: Any = highspy.HighsLp()
    model.num_col_ = len(program.costs)
    model.num_row_ = len(program.lower)
    model.col_cost_ = _array(program.costs, "float64")
    model.col_lower_ = _array(program.lowest, "float64")
    model.col_upper_ = _array(program.highest, "float64")
    model.row_lower_ = _array(program.lower, "float64")
    model.row_upper_ = _array(program.upper, "float64")
    model.a_matrix_.format_ = highspy.MatrixFormat.kRowwise
    model.a_matrix_.start_ = _array(program.starts, "int32")
    model.a_matrix_.index_ = _array(program.columns, "int32")
    model.a_matrix_.value_ = _array(program.values, "float64")
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


def _array(values: Iterable[Any], kind: str) -> Any:
    import numpy  # noqa: PLC0415 - an optional part

    return numpy.array(list(values), dtype=kind)


class Corrections:
    """Smallest corrections of a request that cannot be met (see `conflict.Correct`), by HiGHS."""

    def __init__(self, reader: Reader, seconds: float = INFINITE) -> None:
        cover = Cover(reader)
        self._count = len(cover.known)
        self._highs = load(cover.program, seconds)

    def correct(self, held: int) -> int | None:
        """Fewest requirements to drop so that those in `held` can hold, or None when they cannot.

        Raises:
            SolverStopped: time ran out.
        """
        for at in range(self._count):
            self._highs.changeColBounds(at, 0.0, 0.0 if held >> at & 1 else 1.0)
        dropped, _, proven = solve(self._highs, self._count)
        if not proven:
            raise SolverStopped("time ran out before the conflict was found", "Allow more with --time-limit")
        return dropped


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
        solver.require([(at, -cost) for at, cost in placement.price_terms()], -(price - _PRICE_STEP) / NANO)


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
    placement.program.row(
        -least / NANO, INFINITE, [(fall, 1.0), *((at, -cost) for at, cost in placement.total_terms())]
    )
    if budget is not None:
        placement.program.row(
            -budget / NANO, INFINITE, [(fall, 1.0), *((at, -cost) for at, cost in placement.price_terms())]
        )
    chosen = _proven(_Solver(placement, seconds))
    if chosen is None:
        return None
    price = price_of(forced, chosen)
    return max(cost_of(forced, chosen) - least, 0 if budget is None else price - budget)
