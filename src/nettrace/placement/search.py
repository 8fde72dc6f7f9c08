"""The exact optimum without a solver: every set of sites is visited or proven not to be better.

A set is decided site by site. What is not decided yet counts as free and open, which gives a lower bound of
everything below; a branch whose bound is no better than what is known is left. Made for up to `MOST_SITES` sites.
"""

from collections.abc import Callable

from nettrace.placement.problem import TIE, Option, Problem, bits, least_price, pick, rank

MOST_SITES = 15
"""Up to so many sites every set can be visited in reasonable time, whatever the numbers."""

Judge = Callable[[int, int, int], bool]
"""(price, latency cost, mask of chosen sites) -> bool."""


def best(problem: Problem) -> int | None:
    """The mask of the sites to choose, or None when no set of sites will do.

    Of plans within `TIE` of the least cost the first by `rank` is taken.
    """
    least: list[int] = []

    def hopeless(price: int, latency: int, _chosen: int) -> bool:
        return bool(least) and price + latency >= least[0]

    def lower(price: int, latency: int, _chosen: int) -> bool:
        least[:] = [price + latency]
        return False

    walk(problem, hopeless, lower)
    return first_within(problem, least[0] + TIE) if least else None


def first_within(problem: Problem, ceiling: int) -> int | None:
    """The first set of sites by `rank` among those that cost at most `ceiling` nano-dollars a month."""
    found: list[int] = []

    def hopeless(price: int, latency: int, chosen: int) -> bool:
        return price + latency > ceiling or (bool(found) and chosen.bit_count() > found[0].bit_count())

    def take(_price: int, _latency: int, chosen: int) -> bool:
        if not found or rank(chosen) < rank(found[0]):
            found[:] = [chosen]
        return False

    walk(problem, hopeless, take)
    return found[0] if found else None


def feasible(problem: Problem) -> bool:
    """Whether any set of sites will do."""

    def anything(_price: int, _latency: int, _chosen: int) -> bool:
        return True

    def nothing(_price: int, _latency: int, _chosen: int) -> bool:
        return False

    return walk(problem, nothing, anything)


def walk(problem: Problem, hopeless: Judge, take: Judge) -> bool:
    """Visit sets of sites that keep all limits; True when `take` ended the walk by answering True.

    `hopeless` gets lower bounds of a branch (price and latency of everything below are no less, the sites decided
    for are in every set below) and answers whether the branch may be left. Sets that hold another visited set
    without being nearer to any venue are passed over: they are dearer or equal, and longer.
    """
    return _Walk(problem, hopeless, take).run()


class _Walk:
    def __init__(self, problem: Problem, hopeless: Judge, take: Judge) -> None:
        self._problem = problem
        self._hopeless = hopeless
        self._take = take

    def run(self) -> bool:
        problem = self._problem
        everything = (1 << len(problem.prices)) - 1 & ~problem.banned
        if problem.pinned & ~everything:
            return False
        picks: list[Option] = []
        for menu in problem.menus:
            option = pick(menu, everything)
            if option is None:
                return False
            picks.append(option)
        return self._visit(problem.pinned, everything, picks)

    def _visit(self, chosen: int, open_: int, picks: list[Option]) -> bool:
        """`chosen` is decided for, `open_` holds it and what is undecided; `picks` are the best in `open_`."""
        problem = self._problem
        price = self._price(chosen, open_)
        if price is None:
            return False
        count = chosen.bit_count()
        if problem.max_sites is not None and count > problem.max_sites:
            return False
        reachable = self._reachable(chosen, open_, price, count)
        if reachable != open_:
            open_ = reachable
            repicked = self._repick(picks, open_)
            if repicked is None:
                return False
            picks = repicked
            price = self._price(chosen, open_)
            if price is None:
                return False
        latency = sum(option.cost for option in picks)
        if self._hopeless(price, latency, chosen):
            return False
        branch = _undecided(picks, chosen, open_)
        branch = self._worth(chosen, open_, price) if branch is None else branch
        if branch is None:
            return self._take(price, latency, chosen)
        if self._visit(chosen | 1 << branch, open_, picks):
            return True
        left = open_ & ~(1 << branch)
        repicked = self._repick(picks, left)
        return repicked is not None and self._visit(chosen, left, repicked)

    def _price(self, chosen: int, open_: int) -> int | None:
        """What every set of this branch costs at least, None when none keeps the budget and carries the services."""
        price = least_price(self._problem, chosen, open_)
        budget = self._problem.budget
        return None if price is None or (budget is not None and price > budget) else price

    def _worth(self, chosen: int, open_: int, price: int) -> int | None:
        """An undecided site that is wanted for what runs on it or for not being given up; None when none is."""
        if chosen == open_ or least_price(self._problem, chosen, chosen) == price:
            return None
        problem = self._problem
        if problem.load is not None:
            found = problem.load.packing(open_)
            wanted = next((at for at in found.stands if not chosen >> at & 1), None) if found else None
            if wanted is not None:
                return wanted
        return next((at for at in bits(open_ & ~chosen) if problem.leaving and problem.leaving[at]), None)

    def _reachable(self, chosen: int, open_: int, price: int, count: int) -> int:
        """Without the undecided sites that no set of this branch can hold within the limits."""
        problem = self._problem
        if count == problem.max_sites:
            return chosen
        if problem.budget is None:
            return open_
        left = problem.budget - price
        return chosen | sum(1 << at for at in bits(open_ & ~chosen) if problem.prices[at] <= left)

    def _repick(self, picks: list[Option], open_: int) -> list[Option] | None:
        made: list[Option] = []
        for number, option in enumerate(picks):
            if open_ >> option.site & 1 and (not option.needs or option.needs & open_):
                made.append(option)
                continue
            other = pick(self._problem.menus[number], open_)
            if other is None:
                return None
            made.append(other)
        return made


def _undecided(picks: list[Option], chosen: int, open_: int) -> int | None:
    """The undecided site that most venues would like best; None when the chosen ones serve all as well."""
    votes: dict[int, int] = {}
    wanting = 0
    for option in picks:
        if not chosen >> option.site & 1:
            votes[option.site] = votes.get(option.site, 0) + 1
        elif option.needs and not option.needs & chosen:
            wanting = wanting or option.needs & open_
    if votes:
        return max(votes, key=lambda at: (votes[at], -at))
    return next(bits(wanting), None)
