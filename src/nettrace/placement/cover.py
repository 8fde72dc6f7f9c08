"""Which requirements to drop so that a plan exists, as a covering program for requests of many sites.

Latency plays no part in whether a plan exists, so there are no assignments: a venue can be served when one of its
sites is open; with a backup, when one of its sites and one of its backups are, and not all open ones of both kinds
are of one group (then a site of one group and a backup of another exist: whichever group holds the first found, the
other kind or the other site is outside).
"""

from collections.abc import Collection, Iterator
from itertools import combinations

from nettrace.placement.formulation import INFINITE, Program, carry
from nettrace.placement.money import NANO
from nettrace.placement.problem import Reader, Requirement, bits, requirements


class Cover:
    """The program: least number of dropped requirements; the first columns are the drops, in the order of `known`."""

    def __init__(self, reader: Reader) -> None:
        self.known = requirements(reader.request)
        self.program = Program()
        self._reader = reader
        self._drop = {each: self.program.column(1.0, 0.0, 1.0, whole=True) for each in self.known}
        problem = reader.problem()
        self._site = [self.program.column(0.0, 0.0, 1.0, whole=True) for _ in problem.prices]
        for each in self.known:
            if each.kind == "pinned":
                at = next(
                    at for at, site in enumerate(reader.request.site) if each.owner == f"site {site.name}"
                )
                self._at_least(1, 1 << at, (each,))
        price = self._price()
        if problem.budget is not None:
            left = (problem.budget - sum(problem.leaving)) / NANO
            self._at_most(Requirement("budget_usd_month"), left, price)
        if problem.max_sites is not None:
            self._at_most(Requirement("max_sites"), problem.max_sites, [(site, 1.0) for site in self._site])
        self._rows: set[tuple[int, int, tuple[Requirement, ...]]] = set()
        for number, venue in enumerate(reader.request.venue):
            self._venue(number, f"venue {venue.name}")

    def _price(self) -> list[tuple[int, float]]:
        """(column, dollars a month) of sites and machines: what stands beside the budget."""
        without = self._reader.problem([each for each in self.known if each.kind == "placed"])
        leaving = without.leaving or (0,) * len(self._site)
        price = [
            (site, (cost - gone) / NANO)
            for site, cost, gone in zip(self._site, without.prices, leaving, strict=True)
        ]
        load = self._reader.load(loose=True)
        if load is None:
            return price
        names = [f"service {service.name}" for service in self._reader.request.service]
        drops = {names.index(each.owner): self._drop[each] for each in self.known if each.kind == "placed"}
        return [*price, *carry(self.program, load, self._site, drops)]

    def _venue(self, number: int, owner: str) -> None:
        own = [each for each in self.known if each.owner == owner]
        shared = [each for each in self.known if each.kind in {"redundancy", "backup_differs"}]
        for dropped in _subsets([*own, *shared]):
            kept = tuple(each for each in (*own, *shared) if each not in dropped)
            for least, sites in self._demands(number, dropped):
                if (least, sites, kept) not in self._rows:
                    self._rows.add((least, sites, kept))
                    self._at_least(least, sites, kept)

    def _demands(self, number: int, dropped: Collection[Requirement]) -> Iterator[tuple[int, int]]:
        """(how many, of which sites) must be open for the venue."""
        mains, backups = self._reader.mains_and_backups(number, dropped)
        main = sum(1 << at for at in mains)
        yield 1, main
        if not self._reader.redundant(dropped):
            return
        yield 1, backups
        either = main | backups
        groups = self._reader.groups(dropped)
        if all(groups[at] == 1 << at for at in bits(either)):
            yield 2, either
            return
        for group in {groups[at] for at in bits(either)}:
            yield 1, either & ~group

    def _at_least(self, least: int, sites: int, kept: tuple[Requirement, ...]) -> None:
        terms = [(self._site[at], 1.0) for at in bits(sites)]
        self.program.row(least, INFINITE, [*terms, *((self._drop[each], float(least)) for each in kept)])

    def _at_most(self, each: Requirement, most: float, weights: list[tuple[int, float]]) -> None:
        over = max(sum(weight for _, weight in weights if weight > 0) - most, 0.0)
        terms = [(column, weight) for column, weight in weights if weight]
        self.program.row(-INFINITE, most, [*terms, (self._drop[each], -over)])


def _subsets(items: list[Requirement]) -> Iterator[frozenset[Requirement]]:
    for size in range(len(items) + 1):
        for chosen in combinations(items, size):
            yield frozenset(chosen)
