"""Fills in what a request leaves out of venues and sites that it calls by their names in the registry."""

from msgspec.structs import replace

from nettrace.placement.registry.facts import Registry
from nettrace.placement.registry.places import (
    HOURS_A_MONTH,
    FindPlace,
    engine_of,
    plans_at,
    site_named,
)
from nettrace.placement.request import Request, Site, Venue
from nettrace.placement.service import Machine


def completed(request: Request, registry: Registry, find: FindPlace) -> Request:
    """The request with coordinates of known venues and sites, and provider and country of known sites.

    What the request says itself stays. A place that is not known stays unknown; latencies are never filled in: they must
    be measured. Prices are only where services choose between machines: known sites that name none get the registry's.
    """
    return replace(
        request,
        venue=tuple(_venue(venue, registry, find) for venue in request.venue),
        site=tuple(_with_machines(_site(site, registry, find), request, registry) for site in request.site),
    )


def _venue(venue: Venue, registry: Registry, find: FindPlace) -> Venue:
    known = registry.venues.get(venue.name)
    place = engine_of(known, find) if known else None
    if place is None or venue.lat is not None or venue.lon is not None:
        return venue
    return replace(venue, lat=place.latitude, lon=place.longitude)


def _site(site: Site, registry: Registry, find: FindPlace) -> Site:
    known = site_named(registry, site.name, find)
    if known is None:
        return site
    if known.place is not None and site.lat is None and site.lon is None:
        site = replace(site, lat=known.place.latitude, lon=known.place.longitude)
    return replace(site, provider=site.provider or known.provider, country=site.country or known.egress)


def _with_machines(site: Site, request: Request, registry: Registry) -> Site:
    """The site with the machines the registry has a price in dollars for, where services need some and none is named."""
    if site.plan or not request.service:
        return site
    provider, _, code = site.name.partition(":")
    found = tuple(
        Machine(
            name=plan.name, usd_month=round(price * HOURS_A_MONTH[plan.per], 6), vcpu=plan.vcpu,
            memory_gb=plan.memory_gb, disk_gb=plan.disk_gb, transfer_tb=plan.transfer_tb,
        )
        for plan, price in plans_at(registry, provider, code)
        if price is not None and plan.currency == "USD"
    )  # fmt: skip
    return replace(site, plan=found)


def site_known(registry: Registry, name: str) -> bool:
    """Whether a site is called by its name in the registry, `PROVIDER:CODE`."""
    owner, _, code = name.partition(":")
    return owner in registry.providers and code in registry.providers[owner].sites
