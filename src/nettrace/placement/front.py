"""Every sensible trade between what sites cost and what latency costs: the Pareto front."""

from typing import NamedTuple

import msgspec

from nettrace.placement import highs, search
from nettrace.placement.plan import Solver, chosen_solver, dollars
from nettrace.placement.problem import Problem, Reader, Requirement, bits, rank
from nettrace.placement.request import Request


class Trade(msgspec.Struct, frozen=True, kw_only=True):
    """A set of sites that no other beats in both costs.

    Attributes:
        within_budget: False for what a greater budget would buy.
    """

    sites: tuple[str, ...]
    cost_usd_month: float
    latency_usd_month: float
    objective_usd_month: float
    within_budget: bool


class _Point(NamedTuple):
    price: int
    latency: int
    chosen: int


def front(request: Request, solver: Solver = Solver.AUTO, seconds: float = float("inf")) -> tuple[Trade, ...]:
    """All trades, the cheapest sites first. Every requirement holds but the budget, which is marked.

    Raises:
        SolverStopped: time ran out.
    """
    reader = Reader(request)
    budget = reader.problem().budget
    problem = reader.problem((Requirement("budget_usd_month"),))
    if chosen_solver(problem, solver) is Solver.SEARCH:
        points = _searched(problem)
    else:
        points = [_Point(*point) for point in highs.front(problem, seconds)]
    return tuple(
        Trade(
            sites=tuple(request.site[at].name for at in bits(point.chosen)),
            cost_usd_month=dollars(point.price),
            latency_usd_month=dollars(point.latency),
            objective_usd_month=dollars(point.price + point.latency),
            within_budget=budget is None or point.price <= budget,
        )
        for point in sorted(points)
    )


def _searched(problem: Problem) -> list[_Point]:
    points: list[_Point] = []

    def hopeless(price: int, latency: int, chosen: int) -> bool:
        return any(
            known.price <= price
            and known.latency <= latency
            and (known[:2] != (price, latency) or known.chosen.bit_count() < chosen.bit_count())
            for known in points
        )

    def take(price: int, latency: int, chosen: int) -> bool:
        for known in points:
            if known[:2] == (price, latency) and rank(known.chosen) < rank(chosen):
                return False
        points[:] = [known for known in points if known.price < price or known.latency < latency]
        points.append(_Point(price, latency, chosen))
        return False

    search.walk(problem, hopeless, take)
    return points
