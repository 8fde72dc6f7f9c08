"""From a request's services and machines to a `Load`, and what moving costs a month."""

from collections.abc import Callable, Collection, Mapping, Sequence

from nettrace.placement.load import Copy, Load, Needs, Size, clashes_of
from nettrace.placement.money import nanodollars
from nettrace.placement.request import Limits, Request, Site
from nettrace.placement.service import RESOURCES, Differs, Machine, Service

_THOUSANDTHS = 1000
_ANY = 10**12
"""Room of a resource that nobody limits."""


def load_of(
    request: Request,
    gone: Collection[str],
    reach: Callable[[str], Mapping[int, float]],
    groups: Mapping[Differs, Sequence[int]],
    *,
    loose: bool = False,
) -> Load | None:
    """What has to run; None without services.

    Args:
        request: what was asked.
        gone: services left out, as `service NAME`.
        reach: milliseconds to a venue by index of site.
        groups: for each kind of difference the mask of the sites that are one place with each site.
        loose: what runs everywhere stands beside the machines instead of taking their room.
    """
    if not request.service:
        return None
    kept = [
        (number, each) for number, each in enumerate(request.service) if f"service {each.name}" not in gone
    ]
    everywhere = [(number, needs_of(each)) for number, each in kept if not each.copies]
    base: Needs = (
        tuple(map(sum, zip(*(needs for _, needs in everywhere), strict=True)))
        if everywhere and not loose
        else (0,) * len(RESOURCES)
    )
    copies = [
        Copy(number, needs_of(each), _sites_of(each, request, reach))
        for number, each in kept
        for _ in range(each.copies)
    ]
    names = {each.name: number for number, each in enumerate(request.service)}
    clashes = clashes_of(
        copies,
        [{names[name] for name in each.apart} for each in request.service],
        [tuple(groups[each.apart_by]) for each in request.service],
    )
    return Load(
        [sizes_of(site.plan, base) for site in request.site], copies, clashes, everywhere if loose else ()
    )


def needs_of(service: Service) -> Needs:
    """What one copy takes, in thousandths of each resource; never less than was said."""
    return tuple(-(-round(getattr(service, key) * _THOUSANDTHS * 1000) // 1000) for key in RESOURCES)


def sizes_of(machines: Sequence[Machine], base: Needs) -> list[Size]:
    """The machines that hold `base`, cheapest first, with the room left; without those a cheaper one outdoes."""
    found: list[Size] = []
    order = sorted(range(len(machines)), key=lambda at: (machines[at].usd_month, at))
    for number in order:
        room = tuple(has - need for has, need in zip(_room(machines[number]), base, strict=True))
        outdone = any(all(a >= b for a, b in zip(other.room, room, strict=True)) for other in found)
        if min(room) >= 0 and not outdone:
            found.append(Size(nanodollars(machines[number].usd_month), room, number))
    return found


def smallest(site: Site, load: Load | None, at: int) -> int | None:
    """Nano-dollars a month of the cheapest machine that holds what runs everywhere, or None when none does."""
    if load is not None:
        return load.sizes[at][0].price if load.sizes[at] else None
    return min((nanodollars(machine.usd_month) for machine in site.plan), default=0)


def moving(site: Site, limits: Limits) -> int:
    """What setting a site up, or giving it up, costs a month, spread evenly over the limits' months; nano-dollars."""
    return round(moving_once(site, limits) / limits.months)


def moving_once(site: Site, limits: Limits) -> int:
    """What setting a site up, or giving it up, costs once; nano-dollars."""
    return nanodollars(site.move_usd) + nanodollars(site.move_hours, limits.usd_per_hour)


def _room(machine: Machine) -> Needs:
    values = [getattr(machine, key) for key in RESOURCES]
    return tuple(_ANY if value is None else round(value * _THOUSANDTHS) for value in values)


def _sites_of(service: Service, request: Request, reach: Callable[[str], Mapping[int, float]]) -> int:
    forbidden = {code.upper() for code in service.forbid_countries}
    near = [reach(venue) for venue in service.venues]
    most = service.max_ms or 0.0
    return sum(
        1 << at
        for at, site in enumerate(request.site)
        if (site.country or "").upper() not in forbidden
        and all(at in known and known[at] <= most for known in near)
    )
