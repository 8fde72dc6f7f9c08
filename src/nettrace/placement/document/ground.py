"""What all sections stand on: the request, the plan, the measurements, and small questions to them."""

from collections.abc import Mapping
from datetime import date
from typing import Any

import msgspec

from nettrace.placement.document.brief import Brief, Service
from nettrace.placement.document.seen import Measured, Seen
from nettrace.placement.plan import Assignment, Plan
from nettrace.placement.registry.facts import MachinePlan, Registry, RegistryVenue, Stand, What
from nettrace.placement.registry.places import held, plans_at
from nettrace.placement.request import Latency, Request, Site, Venue


class Ground(msgspec.Struct, frozen=True, kw_only=True):
    """Everything a section may look at.

    Attributes:
        request: what was solved; `asked` is what was written, with the venues that were set aside.
        extras: `pareto`, `sensitivity`, `chance` of `nettrace.plan/1`, where they were asked for.
        audits: `nettrace.claim_audit/1` of the earlier document's claims, each with `site`, the request's site its origin
            is at, or None.
        world: name of the lab's world the measurements are of; None is the real internet.
        today: for the age of prices.
        quiet: for each chosen site when nothing it serves trades, in words; none where everything is open day and night.
    """

    request: Request
    asked: Request
    aside: tuple[str, ...]
    plan: Plan
    brief: Brief
    measured: Measured
    registry: Registry
    today: date
    extras: Mapping[str, Any] = {}
    audits: tuple[Mapping[str, Any], ...] = ()
    world: str | None = None
    quiet: Mapping[str, str] = {}

    def site(self, name: str) -> Site:
        """A site by name."""
        return next(site for site in self.asked.site if site.name == name)

    def price(self, name: str) -> float:
        """What a site costs a month, without moving: with the machine the plan rents there, else with its smallest."""
        rented = next((each.usd_month for each in self.plan.rented if each.site == name), None)
        site = self.site(name)
        return (
            site.usd_month + min((each.usd_month for each in site.plan), default=0.0)
            if rented is None
            else rented
        )

    def venue(self, name: str) -> Venue:
        """A venue by name."""
        return next(venue for venue in self.asked.venue if venue.name == name)

    def facts(self, venue: str) -> RegistryVenue | None:
        """What the registry knows of a venue."""
        return self.registry.venues.get(venue)

    def title(self, venue: str) -> str:
        """What people call a venue."""
        facts = self.facts(venue)
        return facts.title if facts else venue

    def engine(self, venue: str) -> Stand | None:
        """Where its engine stands, according to whom."""
        facts = self.facts(venue)
        return held(facts, What.ENGINE) if facts else None

    def row(self, venue: str, site: str) -> Latency | None:
        """The latency of a pair, or None: unknown."""
        return next((row for row in self.request.latency if (row.venue, row.site) == (venue, site)), None)

    def seen(self, venue: str, site: str) -> Seen | None:
        """Its measurement, or None."""
        return self.measured.pairs.get((venue, site))

    def assignment(self, venue: str) -> Assignment | None:
        """What serves a venue; None for one that was set aside or without a plan."""
        return next((each for each in self.plan.assignments if each.venue == venue), None)

    def serves(self, site: str) -> list[Assignment]:
        """What a site serves, dearest latency first."""
        found = [each for each in self.plan.assignments if each.site == site]
        return sorted(found, key=lambda each: -each.latency_usd_month)

    def refuses(self, venue: str, site: str) -> bool:
        """Whether the venue forbids the country the site stands in."""
        country = (self.site(site).country or "").upper()
        return country in {code.upper() for code in self.venue(venue).forbid_countries}

    def ranked(self, venue: str, sites: tuple[str, ...] | None = None) -> list[Latency]:
        """The latencies of a venue from sites it does not refuse, nearest first; `sites` limits them."""
        rows = [
            row
            for row in self.request.latency
            if row.venue == venue
            and (sites is None or row.site in sites)
            and not self.refuses(venue, row.site)
        ]
        return sorted(rows, key=lambda row: row.p50_ms)

    def latency_usd(self, sites: tuple[str, ...]) -> tuple[float, tuple[str, ...]]:
        """What latency costs a month when each venue uses the nearest of these sites, and the venues none serves."""
        total = 0.0
        lost: list[str] = []
        for venue in self.request.venue:
            rows = self.ranked(venue.name, sites)
            if rows:
                total += venue.usd_per_ms_month * rows[0].p50_ms
            else:
                lost.append(venue.name)
        return total, tuple(lost)

    def services(self, site: str) -> list[Service]:
        """The services that stand at a site: named for it, or beside a venue it serves."""
        mine = {each.venue for each in self.serves(site)}
        return [
            each
            for each in self.brief.service
            if each.site == site or (each.site is None and mine & set(each.venues))
        ]

    def needs(self, site: str) -> tuple[float, float, float]:
        """Virtual processors, memory (GB) and disk (GB) its services need together."""
        found = self.services(site)
        return sum(s.vcpu for s in found), sum(s.memory_gb for s in found), sum(s.disk_gb for s in found)

    def machines(self, site: str) -> list[tuple[MachinePlan, float | None]]:
        """The plans for rent at a site that hold its services, cheapest first, with their price there."""
        provider, _, code = site.partition(":")
        vcpu, memory, disk = self.needs(site)
        return [
            (plan, price)
            for plan, price in plans_at(self.registry, provider, code)
            if plan.vcpu >= vcpu and plan.memory_gb >= memory and (plan.disk_gb or 0) >= disk
        ]


def triple(row: Latency | None) -> list[float | None] | None:
    """A latency as median, low and high end, for a column; None is unknown."""
    return None if row is None else [row.p50_ms, row.low_ms, row.high_ms]


def basis(row: Latency | None) -> str:
    """What a latency rests on; `unknown` where there is none."""
    return "unknown" if row is None else row.evidence.value
