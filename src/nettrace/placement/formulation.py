"""A problem as the rows and columns of a mixed-integer program, without any solver's words.

Assignment variables stay continuous: once the sites are chosen the cheapest option of each venue is a vertex. Links
are one row a pair (`x <= y`), which makes the linear relaxation nearly integral (the strong formulation of facility
location; Krarup and Pruzan 1983). Backups need no variables of their own: an assignment is possible when a site that
may stand in for it is open, and these rows say exactly that (see docs/decisions/0140-how-a-plan-is-proven.md).
"""

from collections.abc import Iterable, Mapping, Sequence

from nettrace.placement.load import Load, Needs
from nettrace.placement.money import NANO
from nettrace.placement.problem import Option, Problem, bits

INFINITE = float("inf")


class Program:
    """Columns and rows that grow; every row is `lower <= sum <= upper`."""

    def __init__(self) -> None:
        self.costs: list[float] = []
        self.highest: list[float] = []
        self.lowest: list[float] = []
        self.whole: list[int] = []
        """Columns that must be integers."""
        self.lower: list[float] = []
        self.upper: list[float] = []
        self.offset = 0.0
        """What is always added to the objective."""
        self.starts: list[int] = [0]
        self.columns: list[int] = []
        self.values: list[float] = []

    def column(self, cost: float, lowest: float, highest: float, *, whole: bool = False) -> int:
        """The number of a new column."""
        self.costs.append(cost)
        self.lowest.append(lowest)
        self.highest.append(highest)
        if whole:
            self.whole.append(len(self.costs) - 1)
        return len(self.costs) - 1

    def row(self, lower: float, upper: float, terms: Iterable[tuple[int, float]]) -> None:
        """Add a row; terms are (column, factor)."""
        for column, factor in terms:
            self.columns.append(column)
            self.values.append(factor)
        self.lower.append(lower)
        self.upper.append(upper)
        self.starts.append(len(self.columns))


class Placement:
    """A problem's program and which of its columns mean what.

    Attributes:
        program: minimises dollars a month.
        sites: how many of the first columns are the sites, in order.
        latency: (column, dollars a month) of every assignment.
        price: the same of sites, of machines beyond the smallest, and of not giving up what is in use; `program.offset`
            dollars come on top.
    """

    def __init__(self, problem: Problem) -> None:
        self.program = Program()
        self.problem = problem
        self.sites = len(problem.prices)
        leaving = problem.leaving or (0,) * self.sites
        self.program.offset = sum(leaving) / NANO
        self.price: list[tuple[int, float]] = []
        for at, (price, given_up) in enumerate(zip(problem.prices, leaving, strict=True)):
            cost, highest = (price - given_up) / NANO, float(not problem.banned >> at & 1)
            self.price.append(
                (self.program.column(cost, float(problem.pinned >> at & 1), highest, whole=True), cost)
            )
        self.latency: list[tuple[int, float]] = []
        self._totals: dict[int, int] = {}
        for menu in problem.menus:
            self._venue(trimmed(menu, problem.pinned))
        if problem.load is not None:
            self.price += carry(self.program, problem.load, range(self.sites))
        if problem.budget is not None:
            self.program.row(-INFINITE, problem.budget / NANO - self.program.offset, self.price_terms())
        if problem.max_sites is not None:
            self.program.row(-INFINITE, problem.max_sites, ((at, 1.0) for at in range(self.sites)))

    def price_terms(self) -> list[tuple[int, float]]:
        """The terms of what the sites cost, in dollars, without the offset."""
        return [(column, price) for column, price in self.price if price]

    def total_terms(self) -> list[tuple[int, float]]:
        """The terms of everything, in dollars, without the offset."""
        return [*self.price_terms(), *((column, cost) for column, cost in self.latency if cost)]

    def _venue(self, menu: Sequence[Option]) -> None:
        program = self.program
        columns = [program.column(option.cost / NANO, 0.0, INFINITE) for option in menu]
        self.latency += [(column, option.cost / NANO) for column, option in zip(columns, menu, strict=True)]
        program.row(1.0, 1.0, ((column, 1.0) for column in columns))
        for column, option in zip(columns, menu, strict=True):
            program.row(-INFINITE, 0.0, ((column, 1.0), (option.site, -1.0)))
        if any(option.needs for option in menu):
            self._backups(columns, menu)

    def _backups(self, columns: Sequence[int], menu: Sequence[Option]) -> None:
        """Rows that let an option be used only when one of the sites it needs is open."""
        program = self.program
        eligible = 0
        for option in menu:
            eligible |= option.needs
        alone: list[int] = []
        groups: dict[int, list[int]] = {}
        for column, option in zip(columns, menu, strict=True):
            lost = eligible & ~option.needs
            if lost == 1 << option.site:
                alone.append(column)
            elif lost:
                groups.setdefault(lost, []).append(column)
        total = self._total(eligible)
        program.row(1.0, INFINITE, ((total, 1.0), *((column, -1.0) for column in alone)))
        for lost, members in groups.items():
            terms = [
                (total, 1.0),
                *((at, -1.0) for at in bits(lost)),
                *((column, -1.0) for column in members),
            ]
            program.row(0.0, INFINITE, terms)

    def _total(self, eligible: int) -> int:
        """The column that counts the open sites of a set; venues of one set share it."""
        if eligible not in self._totals:
            column = self.program.column(0.0, 0.0, INFINITE)
            self.program.row(0.0, 0.0, ((column, -1.0), *((at, 1.0) for at in bits(eligible))))
            self._totals[eligible] = column
        return self._totals[eligible]


def carry(
    program: Program, load: Load, sites: Sequence[int], drops: Mapping[int, int] | None = None
) -> list[tuple[int, float]]:
    """Add the services: where each copy stands, and the machine of each site; (column, dollars) of larger machines.

    Args:
        program: to be grown.
        load: what has to run.
        sites: the column of each site.
        drops: for each service the column that is 1 when it need not run.
    """
    drops = drops or {}
    stands = [
        {at: program.column(0.0, 0.0, 1.0, whole=True) for at in bits(copy.sites) if load.sizes[at]}
        for copy in load.copies
    ]
    for copy, columns in zip(load.copies, stands, strict=True):
        drop = [(drops[copy.service], 1.0)] if copy.service in drops else []
        program.row(1.0, 1.0, [*((column, 1.0) for column in columns.values()), *drop])
        for at, column in columns.items():
            program.row(-INFINITE, 0.0, ((column, 1.0), (sites[at], -1.0)))
    for clash in load.clashes:
        both = (stands[clash.first], stands[clash.second])
        for group in set(clash.groups):
            terms = [(columns[at], 1.0) for columns in both for at in bits(group) if at in columns]
            if terms:
                program.row(-INFINITE, 1.0, terms)
    upgrades: list[tuple[int, float]] = []
    most = _most(load)
    for at, sizes in enumerate(load.sizes):
        taken = [
            (columns[at], copy.needs)
            for copy, columns in zip(load.copies, stands, strict=True)
            if at in columns
        ]
        taken += [
            (_with_site(program, sites[at], drops[service]), needs) for service, needs in load.everywhere
        ]
        if not sizes:
            program.row(-INFINITE, 0.0, ((column, 1.0) for column, _ in [*taken, (sites[at], ())]))
            continue
        larger = (
            [
                (program.column((size.price - sizes[0].price) / NANO, 0.0, 1.0, whole=True), size)
                for size in sizes[1:]
            ]
            if taken
            else []
        )
        upgrades += [(column, (size.price - sizes[0].price) / NANO) for column, size in larger]
        if larger:
            program.row(-INFINITE, 0.0, [*((column, 1.0) for column, _ in larger), (sites[at], -1.0)])
        for resource, top in enumerate(most):
            base = min(sizes[0].room[resource], top)
            terms = [(column, needs[resource] / 1000) for column, needs in taken if needs[resource]]
            if not terms:
                continue
            terms += [
                (column, (base - min(size.room[resource], top)) / 1000)
                for column, size in larger
                if min(size.room[resource], top) != base
            ]
            program.row(-INFINITE, 0.0, [*terms, (sites[at], -base / 1000)])
    return upgrades


def _most(load: Load) -> Needs:
    """What everything together takes of each resource: more room than that is no better."""
    every = [*(copy.needs for copy in load.copies), *(needs for _, needs in load.everywhere)]
    return tuple(map(sum, zip(*every, strict=True)))


def _with_site(program: Program, site: int, drop: int) -> int:
    """A column that is 1 when the site is open and what runs everywhere is not dropped."""
    column = program.column(0.0, 0.0, 1.0)
    program.row(0.0, INFINITE, ((column, 1.0), (site, -1.0), (drop, 1.0)))
    return column


def trimmed(menu: Sequence[Option], pinned: int) -> list[Option]:
    """The options up to the first that is always open: no later one is ever used."""
    for number, option in enumerate(menu):
        if pinned >> option.site & 1 and (not option.needs or option.needs & pinned):
            return list(menu[: number + 1])
    return list(menu)
