"""A problem without what no good plan can hold, so that the solver gets a tenth of it. The only module with numpy.

Lagrangian relaxation of "every venue is served once" (Cornuejols, Fisher and Nemhauser 1977): multipliers by subgradient
steps give a lower bound, a local search an upper one, and whatever would lift the lower bound above the upper one by
being chosen (or by not being chosen) is decided. Backups are left out of the relaxation, which keeps it a relaxation.
Everything within a tie's width of the best plan survives.
"""

from typing import Any

import msgspec

from nettrace.errors import MissingExtra
from nettrace.placement.money import NANO
from nettrace.placement.problem import TIE, Problem, allowed, bits, cost_of, latency_of

_STEPS = 1500
_PATIENCE = 40
"""Steps without a better bound after which steps become half as long."""

_SHORTEST = 1e-4
_BEND = 0.7
"""How much of the last direction a step keeps."""

_SEARCH_EVERY = 200
"""Steps after which a local search starts from the relaxation's sites."""

_UNSERVED = 1e12
_MARGIN = 1e-5
"""Dollars that a bound must stand above the best plan to decide anything: far more than rounding can amount to."""


def narrowed(problem: Problem) -> tuple[Problem, int | None]:
    """The same problem with sites decided and options left out that no plan within a tie of the best has.

    With it the mask of a good plan, None when none was found: then nothing is left out either.

    Raises:
        MissingExtra: numpy is not installed.
    """
    try:
        import numpy  # noqa: PLC0415 - an optional part
    except ImportError:
        raise MissingExtra("plan", "a plan for more than 15 sites") from None
    costs: Any = numpy.full((len(problem.menus), len(problem.prices)), numpy.inf)
    for number, menu in enumerate(problem.menus):
        for option in menu:
            costs[number, option.site] = option.cost / NANO
    return _Narrowing(problem, costs, numpy).run()


class _Narrowing:
    def __init__(self, problem: Problem, costs: Any, numpy: Any) -> None:
        self._np = numpy
        self._problem = problem
        self._costs = costs
        self._prices = numpy.array([price / NANO for price in problem.prices])
        self._pinned = numpy.array([bool(problem.pinned >> at & 1) for at in range(len(problem.prices))])
        self._budget = float("inf") if problem.budget is None else problem.budget / NANO
        self._most = len(problem.prices) if problem.max_sites is None else problem.max_sites
        self._upper = float("inf")
        self._known: int | None = None

    def run(self) -> tuple[Problem, int | None]:
        """See `narrowed`."""
        self._try(self._improved(self._greedy()))
        if self._known is None:
            return self._problem, None
        weights, lift = self._multipliers()
        return self._decided(weights, lift), self._known

    # an upper bound: any plan

    def _value(self, chosen: list[int]) -> float:
        """Dollars of a set of sites, backups left out; a venue that nothing serves costs a fortune."""
        if not chosen:
            return _UNSERVED * len(self._costs)
        nearest = self._np.minimum(self._costs[:, chosen].min(axis=1), _UNSERVED)
        return float(nearest.sum() + self._prices[chosen].sum())

    def _fits(self, chosen: list[int]) -> bool:
        return len(chosen) <= self._most and self._prices[chosen].sum() <= self._budget

    def _greedy(self) -> list[int]:
        chosen = [int(at) for at in self._np.flatnonzero(self._pinned)]
        value = self._value(chosen)
        while True:
            new, at = self._best_with(chosen)
            if new >= value:
                return chosen
            value = new
            chosen.append(at)

    def _best_with(self, chosen: list[int]) -> tuple[float, int]:
        """The best site to add: (dollars of the set with it, the site); infinite when none fits."""
        np = self._np
        values = np.minimum(self._costs, _UNSERVED)
        if chosen:
            values = np.minimum(values, values[:, chosen].min(axis=1)[:, None])
        prices = self._prices[chosen].sum() + self._prices
        totals = np.where(prices <= self._budget, values.sum(axis=0) + prices, np.inf)
        totals[chosen] = np.inf
        at = int(totals.argmin())
        return (float(totals[at]) if len(chosen) < self._most else float("inf")), at

    def _improved(self, chosen: list[int]) -> list[int]:
        """The set after single sites were dropped, added or swapped for as long as that helped."""
        value = self._value(chosen)
        while True:
            new, at = self._best_with(chosen)
            near = [*chosen, at]
            for gone in (each for each in chosen if not self._pinned[each]):
                rest = [each for each in chosen if each != gone]
                for other, others in ((self._value(rest), rest), self._swapped(rest)):
                    if other < new:
                        new, near = other, others
            if new >= value - _MARGIN:
                return chosen
            value, chosen = new, near

    def _swapped(self, rest: list[int]) -> tuple[float, list[int]]:
        value, at = self._best_with(rest)
        return value, [*rest, at]

    def _try(self, chosen: list[int]) -> None:
        """Lower the upper bound by this set, with what is missing for backups added."""
        mask = sum(1 << at for at in chosen) | self._problem.pinned
        for _ in range(4):
            if not allowed(self._problem, mask):
                return
            if latency_of(self._problem, mask) is not None:
                value = cost_of(self._problem, mask) / NANO
                if value < self._upper:
                    self._upper, self._known = value, mask
                return
            more = [mask | 1 << at for at in range(len(self._prices)) if not mask >> at & 1]
            mask = min(more, key=self._unserved, default=mask)

    def _unserved(self, mask: int) -> tuple[int, int]:
        """How many venues a set leaves without an option, and what it costs."""
        problem = self._problem
        missing = sum(
            not any(mask >> o.site & 1 and (not o.needs or o.needs & mask) for o in menu)
            for menu in problem.menus
        )
        return missing, sum(problem.prices[at] for at in bits(mask))

    # a lower bound: multipliers

    def _relaxed(self, weights: Any, lift: float) -> tuple[float, Any, Any]:
        """(lower bound, worth of each site, which are taken) under these multipliers; `lift` is the budget's."""
        gains = self._np.minimum(self._costs - weights[:, None], 0.0).sum(axis=0)
        worth = self._prices * (1 + lift) + gains
        taken = self._pinned | (worth < 0)
        if taken.sum() > self._most:
            order = self._np.argsort(self._np.where(self._pinned, -self._np.inf, worth), kind="stable")
            taken = self._np.zeros_like(taken)
            taken[order[: max(self._most, int(self._pinned.sum()))]] = True
        bound = weights.sum() + worth[taken].sum() - (lift * self._budget if lift else 0.0)
        return float(bound), worth, taken

    def _multipliers(self) -> tuple[Any, float]:
        """Multipliers of a good lower bound: subgradient steps, each bent by the ones before (Camerini et al. 1975)."""
        np = self._np
        weights, lift = self._costs.min(axis=1), 0.0
        best, found, length, idle = -np.inf, (weights, lift), 1.0, 0
        slope, over = np.zeros_like(weights), 0.0
        scale = 1.0 if self._budget == float("inf") else max(1.0, self._budget / 10)
        for number in range(_STEPS):
            bound, _, taken = self._relaxed(weights, lift)
            if bound > best:
                best, found, idle = bound, (weights, lift), 0
                self._try([int(at) for at in np.flatnonzero(taken)])
            else:
                idle += 1
            if number % _SEARCH_EVERY == _SEARCH_EVERY - 1:
                self._try(self._improved(self._cut([int(at) for at in np.flatnonzero(taken)])))
            if idle == _PATIENCE:
                length, idle = length / 2, 0
                weights, lift = found
                slope, over = np.zeros_like(weights), 0.0
                bound, _, taken = self._relaxed(weights, lift)
            if self._upper - best < _MARGIN or length < _SHORTEST:
                break
            slope = _BEND * slope + 1.0 - (self._costs[:, taken] < weights[:, None]).sum(axis=1)
            if self._budget < float("inf"):
                over = _BEND * over + float(self._prices[taken].sum() - self._budget) / scale
            steepness = float((slope**2).sum()) + over**2
            if steepness == 0:
                break
            step = length * (self._upper - bound) / steepness
            weights = weights + step * slope
            lift = max(0.0, lift + step * over / scale)
        return found

    def _cut(self, chosen: list[int]) -> list[int]:
        """The set without what goes beyond the limits: the dearest go first."""
        kept = sorted(chosen, key=lambda at: (not self._pinned[at], self._prices[at]))
        while kept and not self._fits(kept):
            kept.pop()
        return kept

    # what the two bounds decide

    def _decided(self, weights: Any, lift: float) -> Problem:
        np = self._np
        bound, worth, taken = self._relaxed(weights, lift)
        ceiling = self._upper + TIE / NANO + _MARGIN
        full = int(taken.sum()) >= self._most
        movable = taken & ~self._pinned
        last = float(worth[movable].max()) if full and movable.any() else 0.0
        first = float(np.where(taken, np.inf, worth).min(initial=0.0)) if full else 0.0
        with_it = np.where(taken, bound, bound + worth - last)
        without_it = np.where(movable, bound - worth + min(first, 0.0), bound)
        banned = ~taken & (with_it > ceiling)
        needed = movable & (without_it > ceiling)
        dear = with_it[None, :] + np.maximum(self._costs - weights[:, None], 0.0) > ceiling
        out = sum(1 << int(at) for at in np.flatnonzero(banned))
        menus = tuple(
            tuple(
                option._replace(needs=option.needs & ~out)
                for option in menu
                if not dear[number, option.site] and (not option.needs or option.needs & ~out)
            )
            for number, menu in enumerate(self._problem.menus)
        )
        pinned = self._problem.pinned | sum(1 << int(at) for at in np.flatnonzero(needed))
        return msgspec.structs.replace(self._problem, menus=menus, pinned=pinned)
