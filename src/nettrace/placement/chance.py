"""How likely the choice is right, when latencies are only known to within their intervals."""

from collections.abc import Callable
from math import ceil, sqrt

import msgspec

from nettrace.placement import highs, search
from nettrace.placement.plan import Solver, chosen_solver, dollars
from nettrace.placement.problem import TIE, Problem, Reader, allowed, latency_of, price_of
from nettrace.placement.request import Latency, Request


class Chance(msgspec.Struct, frozen=True, kw_only=True):
    """What became of the chosen sites in many draws of all latencies.

    Attributes:
        right: share of draws in which no other set of sites was better.
        feasible: share of draws in which the sites kept every limit.
        regret_p50_usd_month, regret_p95_usd_month: how much less the best sites of a draw cost, over the draws in which
            the chosen ones kept every limit; None when they never did.
        pairs_without_interval: latencies that nobody gave an interval: they stood still.
    """

    draws: int
    right: float
    feasible: float
    regret_p50_usd_month: float | None
    regret_p95_usd_month: float | None
    pairs_without_interval: int


def chance(
    request: Request,
    chosen: tuple[str, ...],
    draws: int,
    draw: Callable[[], float],
    solver: Solver = Solver.AUTO,
    seconds: float = float("inf"),
) -> Chance:
    """The chance that these sites are the best ones.

    Each latency is drawn by itself from a triangle over its interval with the top at p50; venues may be served by
    other sites among the chosen ones in each draw.

    Args:
        request: what was asked.
        chosen: the sites of its optimal plan.
        draws: how many times.
        draw: gives numbers from 0 to below 1 evenly, as `random.Random(seed).random`.
        solver: as for the plan.
        seconds: how long HiGHS may take for each draw.

    Raises:
        SolverStopped: time ran out.
    """
    mask = sum(1 << at for at, site in enumerate(request.site) if site.name in chosen)
    regrets: list[int] = []
    right = 0
    for _ in range(draws):
        drawn = tuple(msgspec.structs.replace(row, p50_ms=drawn_ms(row, draw())) for row in request.latency)
        problem = Reader(msgspec.structs.replace(request, latency=drawn)).problem()
        ours = _value(problem, mask)
        if ours is None:
            continue
        searching = chosen_solver(problem, solver) is Solver.SEARCH
        best = search.best(problem) if searching else highs.optimum(problem, seconds)
        least = None if best is None else _value(problem, best)
        regret = ours - (ours if least is None else min(least, ours))
        regrets.append(regret)
        right += regret <= TIE
    regrets.sort()
    return Chance(
        draws=draws,
        right=right / draws,
        feasible=len(regrets) / draws,
        regret_p50_usd_month=_rank(regrets, 0.5),
        regret_p95_usd_month=_rank(regrets, 0.95),
        pairs_without_interval=sum(row.low_ms is None and row.high_ms is None for row in request.latency),
    )


def drawn_ms(row: Latency, uniform: float) -> float:
    """One latency from the triangle over its interval (inverse of its distribution at `uniform`).

    >>> row = Latency(venue="v", site="s", p50_ms=10, low_ms=8, high_ms=18)
    >>> drawn_ms(row, 0.0), drawn_ms(row, 0.2), drawn_ms(row, 0.9999999) < 18
    (8.0, 10.0, True)
    """
    low = row.p50_ms if row.low_ms is None else row.low_ms
    high = row.p50_ms if row.high_ms is None else row.high_ms
    if high == low:
        return row.p50_ms
    top = (row.p50_ms - low) / (high - low)
    if uniform < top:
        return low + sqrt(uniform * (high - low) * (row.p50_ms - low))
    return high - sqrt((1 - uniform) * (high - low) * (high - row.p50_ms))


def _value(problem: Problem, chosen: int) -> int | None:
    latency = latency_of(problem, chosen)
    return None if latency is None or not allowed(problem, chosen) else latency + price_of(problem, chosen)


def _rank(values: list[int], fraction: float) -> float | None:
    return dollars(values[max(0, ceil(fraction * len(values)) - 1)]) if values else None
