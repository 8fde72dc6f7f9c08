"""Services on machines, exactly: which copy stands at which chosen site, and what size of machine each site then needs.

With more sites open nothing gets dearer: a site that carries nothing keeps its smallest machine, which is part of its
price. So what machines cost beyond that, `Load.surcharge`, at all sites still open bounds it at any of their subsets from
below, and the search for sites stays exact (see docs/decisions/0227-services-beside-the-sites-price.md).
"""

from collections.abc import Sequence
from itertools import combinations
from typing import NamedTuple

Needs = tuple[int, ...]
"""Thousandths of each resource."""

BOUNDLESS = 1 << 62


class Size(NamedTuple):
    """A machine for rent.

    Attributes:
        price: nano-dollars a month.
        room: what it has of each resource.
        number: its place in the request's list.
    """

    price: int
    room: Needs
    number: int


class Copy(NamedTuple):
    """One copy of a service.

    Attributes:
        service: index in the request.
        needs: what it takes of each resource.
        sites: mask of sites where it may stand.
    """

    service: int
    needs: Needs
    sites: int


class Clash(NamedTuple):
    """Two copies that may not stand in one group of sites; `groups` has the mask of each site's own."""

    first: int
    second: int
    groups: tuple[int, ...]


class Packing(NamedTuple):
    """Where everything stands at least cost.

    Attributes:
        extra: nano-dollars a month beyond the smallest machines of the sites.
        stands: site of each copy.
    """

    extra: int
    stands: tuple[int, ...]


class Load:
    """The services of a request, the machines that can carry them, and what was found out about them.

    Attributes:
        sizes: machines of each site that hold what runs everywhere, cheapest first, with the room that is left then;
            none where nothing holds it.
        everywhere: services of which one stands at every chosen site, left out of `sizes` (for `cover` only).
    """

    def __init__(
        self,
        sizes: Sequence[Sequence[Size]],
        copies: Sequence[Copy],
        clashes: Sequence[Clash],
        everywhere: Sequence[tuple[int, Needs]] = (),
    ) -> None:
        self.sizes = tuple(tuple(each) for each in sizes)
        self.copies = tuple(copies)
        self.clashes = tuple(clashes)
        self.everywhere = tuple(everywhere)
        self._useful = 0
        for copy in self.copies:
            self._useful |= copy.sites
        self._known: dict[int, Packing | None] = {}

    def packing(self, chosen: int) -> Packing | None:
        """The cheapest way to carry all copies at the chosen sites; of equals the first found. None when there is none."""
        chosen &= self._useful
        if chosen not in self._known:
            self._known[chosen] = _Packer(self, chosen).run()
        return self._known[chosen]

    def surcharge(self, chosen: int) -> int | None:
        """Nano-dollars a month that carrying everything costs beyond the sites' smallest machines, or None."""
        found = self.packing(chosen)
        return None if found is None else found.extra

    def taken(self, at: int, stands: Sequence[int]) -> Needs:
        """What the copies at a site take together."""
        here = [copy.needs for copy, site in zip(self.copies, stands, strict=True) if site == at]
        return tuple(map(sum, zip(*here, strict=True))) if here else ()

    def size(self, at: int, taken: Needs) -> Size | None:
        """The cheapest machine of a site with room for this."""
        return next(
            (
                each
                for each in self.sizes[at]
                if all(need <= room for need, room in zip(taken, each.room, strict=False))
            ),
            None,
        )


class _Packer:
    """Depth first over copies, the hardest first; a branch ends when its bound is no better than what is known."""

    def __init__(self, load: Load, chosen: int) -> None:
        self._load = load
        self._sites = [at for at in range(len(load.sizes)) if chosen >> at & 1]
        self._taken: dict[int, Needs] = {at: (0,) * _width(load) for at in self._sites}
        self._base = {at: load.sizes[at][0].price if load.sizes[at] else 0 for at in self._sites}
        self._extra = dict.fromkeys(self._sites, 0)
        self._stands = [-1] * len(load.copies)
        self._order = sorted(range(len(load.copies)), key=self._ease)
        self._clashes: list[list[tuple[int, tuple[int, ...]]]] = [[] for _ in load.copies]
        for clash in load.clashes:
            self._clashes[clash.first].append((clash.second, clash.groups))
            self._clashes[clash.second].append((clash.first, clash.groups))
        self._best: Packing | None = None

    def run(self) -> Packing | None:
        """See `Load.packing`."""
        self._place(0, 0)
        return self._best

    def _ease(self, number: int) -> tuple[float, int]:
        """Small for what few machines hold."""
        copy = self._load.copies[number]
        fits = sum(
            1
            for at in self._sites
            if copy.sites >> at & 1
            for size in self._load.sizes[at]
            if all(need <= room for need, room in zip(copy.needs, size.room, strict=True))
        )
        return fits, number

    def _place(self, depth: int, extra: int) -> None:
        if self._best is not None and extra + self._more(depth) >= self._best.extra:
            return
        if depth == len(self._order):
            self._best = Packing(extra, tuple(self._stands))
            return
        number = self._order[depth]
        for rise, at in sorted(self._ways(number)):
            before, old = self._taken[at], self._extra[at]
            self._taken[at] = self._with(number, at)
            self._extra[at] = old + rise
            self._stands[number] = at
            self._place(depth + 1, extra + rise)
            self._stands[number] = -1
            self._taken[at], self._extra[at] = before, old

    def _with(self, number: int, at: int) -> Needs:
        return tuple(a + b for a, b in zip(self._taken[at], self._load.copies[number].needs, strict=True))

    def _ways(self, number: int) -> list[tuple[int, int]]:
        """(rise in price, site) of every site where a copy may stand now."""
        copy = self._load.copies[number]
        found: list[tuple[int, int]] = []
        for at in self._sites:
            if not copy.sites >> at & 1 or self._clashing(number, at):
                continue
            size = self._load.size(at, self._with(number, at))
            if size is not None:
                found.append((size.price - self._base[at] - self._extra[at], at))
        return found

    def _clashing(self, number: int, at: int) -> bool:
        return any(
            (self._stands[other] >= 0 and groups[at] >> self._stands[other] & 1)
            or (other < number and self._alike(other, number) and 0 <= self._stands[other] > at)
            or (other > number and self._alike(other, number) and 0 <= self._stands[other] < at)
            for other, groups in self._clashes[number]
        )

    def _alike(self, one: int, other: int) -> bool:
        """Copies of one service are interchangeable: only ascending sites are looked at."""
        return self._load.copies[one].service == self._load.copies[other].service

    def _more(self, depth: int) -> int:
        """What is still to come costs at least this: the dearest single copy, were it alone."""
        most = 0
        if self._best is None:
            return 0
        for number in self._order[depth:]:
            ways = self._ways(number)
            if not ways:
                return BOUNDLESS
            most = max(most, min(ways)[0])
        return most


def _width(load: Load) -> int:
    return len(load.copies[0].needs) if load.copies else 0


def clashes_of(
    copies: Sequence[Copy], apart: Sequence[set[int]], groups: Sequence[tuple[int, ...]]
) -> list[Clash]:
    """All pairs that may not share a group: copies of one service, and of services of which one keeps from the other.

    Args:
        copies: what is placed.
        apart: for each service those it keeps from.
        groups: for each service the group's mask of each site.
    """
    found: list[Clash] = []
    for (first, one), (second, other) in combinations(enumerate(copies), 2):
        if one.service == other.service or other.service in apart[one.service]:
            found.append(Clash(first, second, groups[one.service]))
        if one.service in apart[other.service]:
            found.append(Clash(first, second, groups[other.service]))
    return found
