"""Corrections of a large request by the handful: sites that HiGHS finds for some requirements, widened to keep many more.

Whatever a set of sites breaks is a correction, however the set was found, and every conflict meets it. So one cheap answer
of the solver ("can these hold together, and where?") and a local search from there give what a program for the fewest
drops takes a hundred times as long for. Nothing is taken on trust: what a set breaks is counted from the request's menus.
"""

from collections.abc import Callable, Iterator, Sequence

from nettrace.placement.problem import Option, Problem, Reader, Requirement, allowed, bits, pick, requirements

Holding = Callable[[int], int | None]
"""mask of requirements -> mask of sites with which they hold together, or None when they cannot."""

_LIMITS = ("budget_usd_month", "max_sites", "redundancy", "pinned", "placed")
"""Requirements that are dropped on trial to see how few others then are broken."""


class Widened:
    """Makes corrections for the requirements of one request."""

    def __init__(self, reader: Reader, holding: Holding) -> None:
        self._reader = reader
        self._holding = holding
        self._known = requirements(reader.request)
        self._at = {each: at for at, each in enumerate(self._known)}
        self._own = [
            [each for each in self._known if each.owner == f"venue {venue.name}"]
            for venue in reader.request.venue
        ]
        self._mains = [
            sum(1 << at for at in reader.mains_and_backups(number, ())[0]) for number in range(len(self._own))
        ]
        self._near = [0] * len(reader.request.site)
        for number, sites in enumerate(self._mains):
            for at in bits(sites):
                self._near[at] |= 1 << number
        owned = {each for own in self._own for each in own}
        self._shared = [(at, each) for at, each in enumerate(self._known) if each not in owned]
        self._trials: dict[tuple[Requirement, ...], Problem] = {}
        self._menus: dict[tuple[int, frozenset[Requirement]], tuple[Option, ...]] = {}

    def correct(self, held: int) -> list[int] | None:
        """Sets of requirements, none of them in `held`, each of which can be dropped so that the rest hold; None when `held` cannot.

        Raises:
            SolverStopped: time ran out.
        """
        found = self._holding(held)
        if found is None:
            return None
        made = {self._broken(held, trial, found) for trial in self._drops(held)}
        everything = (1 << len(self._known)) - 1
        return sorted({each for each in made if each is not None} or {everything & ~held})

    def _drops(self, held: int) -> Iterator[tuple[Requirement, ...]]:
        """What to drop on trial: nothing, each limit, all limits, and everything that several venues share."""
        free = [each for at, each in self._shared if not held >> at & 1]
        limits = [[each for each in free if each.kind == kind] for kind in _LIMITS]
        yield from dict.fromkeys(((), *(tuple(kind) for kind in limits), tuple(free)))

    def _broken(self, held: int, dropped: tuple[Requirement, ...], found: int) -> int | None:
        """What a good set of sites near `found` breaks, with `dropped` out of force; None when it does not hold what it must."""
        if dropped not in self._trials:
            self._trials[dropped] = self._reader.problem(dropped)
        problem = self._trials[dropped]
        needed = sum(
            1 << number
            for number, own in enumerate(self._own)
            if any(held >> self._at[each] & 1 for each in own)
        )
        sites = self._fewest(found, needed) | problem.pinned
        if not allowed(problem, sites):
            sites = found
            if not allowed(problem, sites):
                return None
        sites = self._grown(problem, sites, needed)
        broken = sum(1 << self._at[each] for each in dropped)
        for number, own in enumerate(self._own):
            if pick(problem.menus[number], sites) is not None:
                continue
            more = [each for each in own if not held >> self._at[each] & 1]
            if not more or pick(self._menu(number, frozenset((*dropped, *more))), sites) is None:
                return None
            broken |= sum(1 << self._at[each] for each in more)
        return broken

    def _menu(self, number: int, dropped: frozenset[Requirement]) -> tuple[Option, ...]:
        key = (number, dropped)
        if key not in self._menus:
            self._menus[key] = self._reader.menu(number, dropped)
        return self._menus[key]

    def _reached(self, sites: int) -> int:
        reached = 0
        for at in bits(sites):
            reached |= self._near[at]
        return reached

    def _fewest(self, sites: int, needed: int) -> int:
        """The sites without those that no venue needs, one after the other."""
        needed &= self._reached(sites)
        for at in bits(sites):
            if not needed & ~self._reached(sites & ~(1 << at)) and sites & (sites - 1):
                sites &= ~(1 << at)
        return sites

    def _grown(self, problem: Problem, sites: int, needed: int) -> int:
        """The sites after single ones were added or swapped for as long as more venues were reached and the limits kept."""
        needed &= self._reached(sites)
        most = self._reached(sites).bit_count()
        while True:
            better = None
            for base in (sites, *(sites & ~(1 << at) for at in bits(sites & ~problem.pinned))):
                reached = self._reached(base)
                for at, near in enumerate(self._near):
                    total = reached | near
                    if total.bit_count() > most and not needed & ~total and allowed(problem, base | 1 << at):
                        most, better = total.bit_count(), base | 1 << at
            if better is None:
                return sites
            sites = better


def smallest_of(families: Sequence[int]) -> list[int]:
    """The families without those that hold another one: what meets the rest meets these too.

    >>> smallest_of([0b111, 0b011, 0b100])
    [3, 4]
    """
    kept: list[int] = []
    for family in sorted(set(families), key=int.bit_count):
        if not any(other & ~family == 0 for other in kept):
            kept.append(family)
    return sorted(kept)
