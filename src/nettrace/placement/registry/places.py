"""Where venues and sites stand, by the registry; the gazetteer is handed in."""

from collections.abc import Callable, Iterator

import msgspec

from nettrace.model.path import Place
from nettrace.placement.registry.facts import (
    UNKNOWN,
    MachinePlan,
    Registry,
    RegistryVenue,
    Stand,
    Standing,
    What,
)

FindPlace = Callable[[str], Place | None]

BUILDING_RADIUS_KM = 1.0
"""A building's coordinates are those of a point in or beside it."""

HOURS_A_MONTH = {"month": 1.0, "hour": 730.0}
"""What a price is multiplied by to be one of a month: providers count 730 hours."""


class RegistrySite(msgspec.Struct, frozen=True, kw_only=True):
    """A place where something can be rented.

    Attributes:
        name: `PROVIDER:CODE`.
        egress: country (ISO 3166) its addresses belong to, or None when not known.
    """

    name: str
    provider: str
    code: str
    place: Place | None
    egress: str | None


def held(venue: RegistryVenue, what: What) -> Stand | None:
    """The statement we go by of where that part of a venue stands, or None when there is none."""
    return next(
        (stand for stand in venue.stands if stand.what is what and stand.standing is Standing.HELD), None
    )


def stand_place(stand: Stand | None, find: FindPlace) -> Place | None:
    """The point a statement speaks of, or None when it says `unknown`."""
    if stand is None or stand.place == UNKNOWN:
        return None
    town = find(stand.place)
    if stand.latitude is None or stand.longitude is None:
        return town
    return Place(
        name=stand.building or stand.place,
        latitude=stand.latitude,
        longitude=stand.longitude,
        country=town.country if town else None,
        radius_km=BUILDING_RADIUS_KM,
        evidence=f"registry: {stand.source}",
    )


def engine_of(venue: RegistryVenue, find: FindPlace) -> Place | None:
    """Where a venue's engine stands, or None when that is not known."""
    return stand_place(held(venue, What.ENGINE), find)


def engine_of_host(registry: Registry, host: str, find: FindPlace) -> Place | None:
    """Where the engine behind a host stands, when all venues with an endpoint there stand in one place; else None.

    A venue's web site says nothing of its engine, so a host that is no endpoint of a venue has none.
    """
    found = [engine_of(venue, find) for venue in registry.venues.values() if _has_endpoint(venue, host)]
    points = {(place.latitude, place.longitude) if place else None for place in found}
    return found[0] if len(points) == 1 else None


def venues_of(registry: Registry, host: str) -> list[RegistryVenue]:
    """The venues that this host belongs to, as endpoint or as web site."""
    return [venue for venue in registry.venues.values() if host in venue.hosts or _has_endpoint(venue, host)]


def _has_endpoint(venue: RegistryVenue, host: str) -> bool:
    return any(endpoint.host == host for endpoint in venue.endpoints)


def sites_of(registry: Registry, find: FindPlace) -> Iterator[RegistrySite]:
    """All sites, in the registry's order."""
    for provider in registry.providers.values():
        for code in provider.sites:
            site = site_named(registry, f"{provider.name}:{code}", find)
            if site is not None:
                yield site


def site_named(registry: Registry, name: str, find: FindPlace) -> RegistrySite | None:
    """The site called `PROVIDER:CODE`, or None."""
    owner, _, code = name.partition(":")
    provider = registry.providers.get(owner)
    if provider is None or code not in provider.sites:
        return None
    place = find(provider.sites[code])
    egress = provider.egress.get(code) or (place.country if place else None)
    return RegistrySite(name=name, provider=owner, code=code, place=place, egress=egress)


def plans_at(registry: Registry, provider: str, code: str) -> list[tuple[MachinePlan, float | None]]:
    """The plans offered at a site with their price there, cheapest first; those without a known price last."""
    offered = [
        (plan, plan.prices.get(code, plan.price))
        for plan in registry.plans
        if plan.provider == provider and (not plan.sites or code in plan.sites)
    ]
    return sorted(offered, key=lambda pair: (pair[1] is None, (pair[1] or 0) * HOURS_A_MONTH[pair[0].per]))
