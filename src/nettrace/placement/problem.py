"""What a request means, in integers: prices, and for every venue the options it has, best first.

Everything that finds, proves or doubts a plan works on a `Problem`, so the meaning of a request stands here and
nowhere else. Money is counted in nano-dollars a month, exactly; sets of sites are bit masks in the request's order.
"""

from collections.abc import Collection, Iterator
from typing import NamedTuple

import msgspec

from nettrace.placement.load import Load
from nettrace.placement.loading import load_of, moving, smallest
from nettrace.placement.money import nanodollars
from nettrace.placement.pairs import with_pairs
from nettrace.placement.request import Differs, Latency, Request, Site

TIE = 1000
"""Plans that differ by no more than this many nano-dollars a month (a millionth of a dollar) cost the same."""


class Requirement(NamedTuple):
    """Something a request demands and could drop.

    Attributes:
        kind: the key in the request; `latency` stands for "the venue is served at all", `placed` for "the service runs".
        owner: the venue's, site's or service's name with its kind before it, or "" for a limit.
    """

    kind: str
    owner: str = ""

    @property
    def name(self) -> str:
        """`budget_usd_month`, `venue v1 max_ms`, `site s1 pinned`."""
        return f"{self.owner} {self.kind}" if self.owner else self.kind


class Option(NamedTuple):
    """One way to serve a venue.

    Attributes:
        cost: nano-dollars a month that its latency costs.
        site: index of the site.
        needs: mask of sites of which one must be open too, as backup; 0 when none is needed.
    """

    cost: int
    site: int
    needs: int


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """A request without words.

    Attributes:
        prices: nano-dollars a month of each site with its smallest machine, and of moving to it.
        menus: the options of each venue, best first.
        pinned: mask of the sites that must be chosen.
        banned: mask of the sites that cannot be: no machine there holds what runs everywhere.
        leaving: nano-dollars a month of giving up each site; empty when nothing is in use.
        load: what has to run and where it can; None without services.
    """

    prices: tuple[int, ...]
    menus: tuple[tuple[Option, ...], ...]
    pinned: int = 0
    budget: int | None = None
    max_sites: int | None = None
    banned: int = 0
    leaving: tuple[int, ...] = ()
    load: Load | None = None


def bits(mask: int) -> Iterator[int]:
    """The indexes in a mask, ascending.

    >>> list(bits(0b1011))
    [0, 1, 3]
    """
    while mask:
        low = mask & -mask
        yield low.bit_length() - 1
        mask ^= low


def requirements(request: Request) -> tuple[Requirement, ...]:
    """Everything the request demands that could be dropped, in the request's order."""
    limits = request.limits
    found: list[Requirement] = []
    if limits.budget_usd_month is not None:
        found.append(Requirement("budget_usd_month"))
    if limits.max_sites is not None:
        found.append(Requirement("max_sites"))
    if limits.redundancy:
        found.append(Requirement("redundancy"))
        if limits.backup_differs is not Differs.SITE:
            found.append(Requirement("backup_differs"))
    found += [Requirement("pinned", f"site {site.name}") for site in request.site if site.pinned]
    for venue in request.venue:
        owner = f"venue {venue.name}"
        if venue.max_ms is not None:
            found.append(Requirement("max_ms", owner))
        if limits.redundancy and venue.backup_max_ms is not None:
            found.append(Requirement("backup_max_ms", owner))
        if venue.forbid_countries:
            found.append(Requirement("forbid_countries", owner))
    found += [Requirement("placed", f"service {service.name}") for service in request.service]
    return tuple(found)


class Reader:
    """A request with its pairs sorted, from which problems are built with any requirements dropped."""

    def __init__(self, request: Request) -> None:
        request = with_pairs(request)
        self.request = request
        sites = {site.name: number for number, site in enumerate(request.site)}
        rows: dict[str, list[tuple[int, Latency]]] = {venue.name: [] for venue in request.venue}
        for row in request.latency:
            rows[row.venue].append((sites[row.site], row))
        self.rows = [
            sorted(rows[venue.name], key=lambda pair: (pair[1].p50_ms, pair[0])) for venue in request.venue
        ]
        """For each venue its pairs (index of site, latency), nearest first."""
        self._groups = {kind: _groups(request.site, kind) for kind in Differs}

    def mains_and_backups(self, number: int, dropped: Collection[Requirement]) -> tuple[list[int], int]:
        """Sites that venue `number` may be assigned to, nearest first, and the mask of those that may be its backup."""
        venue = self.request.venue[number]
        owner = f"venue {venue.name}"
        forbidden = {code.upper() for code in venue.forbid_countries}
        if Requirement("forbid_countries", owner) in dropped:
            forbidden.clear()
        most = None if Requirement("max_ms", owner) in dropped else venue.max_ms
        backup_most = None if Requirement("backup_max_ms", owner) in dropped else venue.backup_max_ms
        mains: list[int] = []
        backups = 0
        for at, row in self.rows[number]:
            if (self.request.site[at].country or "").upper() in forbidden:
                continue
            if most is None or row.p50_ms <= most:
                mains.append(at)
            if backup_most is None or row.p50_ms <= backup_most:
                backups |= 1 << at
        return mains, backups

    def redundant(self, dropped: Collection[Requirement] = ()) -> bool:
        """Whether every venue needs a backup."""
        return self.request.limits.redundancy == 1 and Requirement("redundancy") not in dropped

    def groups(self, dropped: Collection[Requirement] = ()) -> list[int]:
        """For each site the mask of those that are no backup for it."""
        kind = self.request.limits.backup_differs
        return self._groups[Differs.SITE if Requirement("backup_differs") in dropped else kind]

    def menu(self, number: int, dropped: Collection[Requirement] = ()) -> tuple[Option, ...]:
        """The options of venue `number`, cheapest first; of equals the nearer, then the one named first."""
        venue = self.request.venue[number]
        mains, backups = self.mains_and_backups(number, dropped)
        p50 = {at: row.p50_ms for at, row in self.rows[number]}
        groups = self.groups(dropped)
        redundant = self.redundant(dropped)
        made: list[Option] = []
        for at in mains:
            needs = backups & ~groups[at] if redundant else 0
            if needs or not redundant:
                made.append(Option(nanodollars(venue.usd_per_ms_month, p50[at]), at, needs))
        return tuple(made)

    def load(self, dropped: Collection[Requirement] = (), *, loose: bool = False) -> Load | None:
        """The services without those in `dropped`; `loose` leaves what runs everywhere out of the machines' room."""
        gone = {each.owner for each in dropped if each.kind == "placed"}
        return load_of(self.request, gone, self._reach, self._groups, loose=loose)

    def _reach(self, venue: str) -> dict[int, float]:
        """Milliseconds from each site that has a latency to this venue."""
        at = next(at for at, each in enumerate(self.request.venue) if each.name == venue)
        return {site: row.p50_ms for site, row in self.rows[at]}

    def problem(self, dropped: Collection[Requirement] = ()) -> Problem:
        """The whole request without the requirements in `dropped`."""
        limits = self.request.limits
        budget = limits.budget_usd_month
        load = self.load(dropped)
        sizes = [smallest(site, load, at) for at, site in enumerate(self.request.site)]
        moves = [moving(site, limits) for site in self.request.site]
        in_use = [site.in_use for site in self.request.site]
        return Problem(
            prices=tuple(
                nanodollars(site.usd_month) + (size or 0) + (0 if site.in_use else move)
                for site, size, move in zip(self.request.site, sizes, moves, strict=True)
            ),
            banned=sum(1 << at for at, size in enumerate(sizes) if size is None),
            leaving=tuple(move if used else 0 for move, used in zip(moves, in_use, strict=True))
            if any(in_use)
            else (),
            load=load,
            menus=tuple(self.menu(number, dropped) for number in range(len(self.request.venue))),
            pinned=sum(
                1 << at
                for at, site in enumerate(self.request.site)
                if site.pinned and Requirement("pinned", f"site {site.name}") not in dropped
            ),
            budget=None
            if budget is None or Requirement("budget_usd_month") in dropped
            else nanodollars(budget),
            max_sites=None if Requirement("max_sites") in dropped else limits.max_sites,
        )


def price_of(problem: Problem, chosen: int) -> int:
    """What the chosen sites cost with their machines and all moving, in nano-dollars a month.

    Raises:
        LookupError: they cannot carry the services: a solver was wrong.
    """
    price = least_price(problem, chosen, chosen)
    if price is None:
        raise LookupError(f"sites {list(bits(chosen))} do not carry every service")
    return price


def least_price(problem: Problem, chosen: int, open_: int) -> int | None:
    """No set of sites that holds `chosen` and nothing outside `open_` costs less a month; None when none carries the services.

    With `chosen` for both it is what they cost.
    """
    price = sum(problem.prices[at] for at in bits(chosen))
    if problem.leaving:
        price += sum(problem.leaving) - sum(problem.leaving[at] for at in bits(open_))
    if problem.load is None:
        return price
    extra = problem.load.surcharge(open_)
    return None if extra is None else price + extra


def pick(menu: tuple[Option, ...], chosen: int) -> Option | None:
    """A venue's best option among the chosen sites, or None."""
    for option in menu:
        if chosen >> option.site & 1 and (not option.needs or option.needs & chosen):
            return option
    return None


def served(menu: tuple[Option, ...], chosen: int) -> Option:
    """A venue's best option among sites that are known to serve it.

    Raises:
        LookupError: they do not: a solver was wrong.
    """
    option = pick(menu, chosen)
    if option is None:
        raise LookupError(f"sites {list(bits(chosen))} do not serve every venue")
    return option


def cost_of(problem: Problem, chosen: int) -> int:
    """What sites that serve every venue cost with all latency, in nano-dollars a month."""
    return price_of(problem, chosen) + sum(served(menu, chosen).cost for menu in problem.menus)


def latency_of(problem: Problem, chosen: int) -> int | None:
    """What latency costs with these sites chosen, in nano-dollars a month, or None when a venue cannot be served."""
    total = 0
    for menu in problem.menus:
        option = pick(menu, chosen)
        if option is None:
            return None
        total += option.cost
    return total


def allowed(problem: Problem, chosen: int) -> bool:
    """Whether the chosen sites keep the limits that look at sites alone, and carry the services."""
    if problem.pinned & ~chosen or problem.banned & chosen:
        return False
    if problem.max_sites is not None and chosen.bit_count() > problem.max_sites:
        return False
    price = least_price(problem, chosen, chosen)
    return price is not None and (problem.budget is None or price <= problem.budget)


def rank(chosen: int) -> tuple[int, tuple[int, ...]]:
    """The order among plans that cost the same: fewer sites, then those named first in the request.

    >>> rank(0b101) < rank(0b110) < rank(0b111)
    True
    """
    found = tuple(bits(chosen))
    return len(found), found


def _groups(sites: tuple[Site, ...], kind: Differs) -> list[int]:
    if kind is Differs.SITE:
        return [1 << at for at in range(len(sites))]
    labels = [_label(site, kind) for site in sites]
    return [sum(1 << at for at, other in enumerate(labels) if other == label) for label in labels]


def _label(site: Site, kind: Differs) -> str:
    return (site.country or "").upper() if kind is Differs.COUNTRY else site.provider or ""
