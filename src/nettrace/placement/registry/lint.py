"""What a registry must hold to: behind `nettrace registry check`."""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import date
from zoneinfo import available_timezones

import msgspec

from nettrace.model.path import Place
from nettrace.placement.registry.claims import RegisteredClaim
from nettrace.placement.registry.facts import (
    UNKNOWN,
    Calendar,
    Confidence,
    Fact,
    MachinePlan,
    Provider,
    Registry,
    RegistryVenue,
    Stand,
    What,
)
from nettrace.placement.registry.places import FindPlace, held

Distance = Callable[[Place, Place], float]
"""Kilometres between two places."""

_DATE = re.compile(r"(\d{4})(?:-(\d\d)(?:-(\d\d))?)?")
_TIME = re.compile(r"([01]\d|2[0-3]):[0-5]\d")
_DAYS = {"mon", "tue", "wed", "thu", "fri", "sat", "sun"}
_CURRENCY = re.compile(r"[A-Z]{3}")
_COUNTRY = re.compile(r"[A-Z]{2}")
_HOST = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?")


class Wrong(msgspec.Struct, frozen=True):
    """Something that is not as it should be: of what, and what."""

    of: str
    what: str


def lint(registry: Registry, find: FindPlace, distance_km: Distance, today: str) -> list[Wrong]:
    """Everything that is wrong, in the registry's order; empty is sound.

    `find` is the gazetteer, `distance_km` the distance of two places, `today` (`YYYY-MM-DD`) what no fact is younger than.
    """
    found: list[Wrong] = []

    def of(name: str, words: Iterator[str]) -> None:
        found.extend(Wrong(name, what) for what in words)

    for calendar in registry.calendars.values():
        of(f"calendar {calendar.name}", _calendar(calendar, today))
    for provider in registry.providers.values():
        of(f"provider {provider.name}", _provider(provider, find, today))
    for plan in registry.plans:
        of(f"plan {plan.provider} {plan.name}", _plan(plan, registry, today))
    for venue in registry.venues.values():
        of(f"venue {venue.name}", _venue(venue, registry, today))
        for stand in venue.stands:
            of(f"venue {venue.name}: {stand.what}", _stand(stand, find, distance_km, today))
    return found


def lint_claims(
    claims: Iterable[RegisteredClaim], registry: Registry, find: FindPlace, today: str
) -> list[Wrong]:
    """Everything that is wrong with claims, as `lint` of facts: what nobody could judge or look up."""
    return [
        Wrong(f"claim {claim.id}", what) for claim in claims for what in _claim(claim, registry, find, today)
    ]


def _claim(claim: RegisteredClaim, registry: Registry, find: FindPlace, today: str) -> Iterator[str]:
    if not claim.quote.strip() or not claim.document.strip() or claim.line < 1:
        yield "does not say word for word what was claimed, in which document and line"
    if not _real(claim.date):
        yield f"its date {claim.date!r} is none (2025, 2025-10 or 2025-10-21)"
    elif claim.date > today:
        yield f"its date {claim.date} is yet to come"
    if claim.venue is not None and claim.venue not in registry.venues:
        yield f"names the venue {claim.venue!r}, which the registry lacks"
    for name in (claim.origin, *claim.said):
        if name is not None and find(name) is None:
            yield f"the gazetteer has no {name!r}"


def _fact(fact: Fact, today: str) -> Iterator[str]:
    if not fact.source.strip():
        yield "no source"
    elif not fact.source.startswith("https://") and fact.confidence in {
        Confidence.OFFICIAL,
        Confidence.MEASURED,
    }:
        yield f"is called {fact.confidence}, but its source is no https:// address"
    if not _real(fact.date):
        yield f"its date {fact.date!r} is none (2025, 2025-10 or 2025-10-21)"
    elif fact.date > today:
        yield f"its date {fact.date} is yet to come"


def _real(text: str) -> bool:
    match = _DATE.fullmatch(text)
    if match is None:
        return False
    try:
        date(int(match[1]), int(match[2] or 1), int(match[3] or 1))
    except ValueError:
        return False
    return True


def _calendar(calendar: Calendar, today: str) -> Iterator[str]:
    yield from _fact(calendar, today)
    zones = available_timezones()  # empty where the system has no time zone data
    if zones and calendar.zone not in zones:
        yield f"{calendar.zone!r} is no IANA time zone"
    for session in calendar.sessions:
        if not session.days.split() or not set(session.days.split()) <= _DAYS:
            yield f"session days {session.days!r} are none (mon tue wed thu fri sat sun)"
        for text in (session.opens, session.closes):
            if not _TIME.fullmatch(text):
                yield f"session time {text!r} is none (HH:MM)"
    if calendar.holidays is not None:
        holidays = calendar.holidays
        yield from _fact(holidays, today)
        days = [*holidays.days, *(each[:10] for each in holidays.early)]
        for day in (holidays.since, holidays.until, *days):
            if not _real(day) or len(day) != 10:
                yield f"holiday {day!r} is no date"
            elif not holidays.since <= day <= holidays.until:
                yield f"holiday {day} is outside {holidays.since}..{holidays.until}"


def _provider(provider: Provider, find: FindPlace, today: str) -> Iterator[str]:
    yield from _fact(provider, today)
    for code, place in provider.sites.items():
        found = find(place)
        if found is None:
            yield f"site {code}: the gazetteer has no {place!r}"
        elif found.country is None and code not in provider.egress:
            yield f"site {code}: its egress country is not known"
    yield from (
        f"egress of {code}: {country!r} is no country"
        for code, country in provider.egress.items()
        if code not in provider.sites or not _COUNTRY.fullmatch(country)
    )


def _plan(plan: MachinePlan, registry: Registry, today: str) -> Iterator[str]:
    yield from _fact(plan, today)
    provider = registry.providers.get(plan.provider)
    if provider is None:
        yield f"there is no provider '{plan.provider}'"
    else:
        for code in {*plan.sites, *plan.prices} - set(provider.sites):
            yield f"there is no site '{plan.provider}:{code}'"
    prices: Sequence[float] = [*plan.prices.values(), *([] if plan.price is None else [plan.price])]
    if prices and not _CURRENCY.fullmatch(plan.currency or ""):
        yield "has a price without a currency (ISO 4217, such as USD)"
    if any(price <= 0 for price in prices):
        yield "has a price of 0 or less: what is not known must be left out"
    if plan.per not in {"month", "hour"}:
        yield f"is priced per {plan.per!r}; month and hour are known"
    if prices and len(plan.date) < len("2025-10"):
        yield "has a price, but its date names no month"


def _venue(venue: RegistryVenue, registry: Registry, today: str) -> Iterator[str]:
    yield from _fact(venue, today)
    if venue.calendar not in registry.calendars:
        yield f"there is no calendar '{venue.calendar}'"
    if not venue.assets:
        yield "names no asset class"
    if held(venue, What.ENGINE) is None:
        yield "does not say where its engine stands; 'unknown' is an answer"
    for endpoint in venue.endpoints:
        yield from _fact(endpoint, today)
        if not _HOST.fullmatch(endpoint.host) or not 0 < endpoint.port < 65_536:
            yield f"{endpoint.host}:{endpoint.port} is no endpoint"
    if venue.blocked is not None:
        yield from _fact(venue.blocked, today)
        for country in venue.blocked.countries:
            if not _COUNTRY.fullmatch(country):
                yield f"blocked {country!r} is no country (ISO 3166, two letters)"


def _stand(stand: Stand, find: FindPlace, distance_km: Distance, today: str) -> Iterator[str]:
    yield from _fact(stand, today)
    if stand.place == UNKNOWN:
        if stand.latitude is not None or stand.longitude is not None:
            yield "has coordinates, but its place is unknown"
        return
    town = find(stand.place)
    if town is None:
        yield f"the gazetteer has no {stand.place!r}"
        return
    if (stand.latitude is None) != (stand.longitude is None):
        yield "latitude and longitude go together; one is missing"
    elif stand.latitude is not None and stand.longitude is not None:
        if not (-90 <= stand.latitude <= 90 and -180 <= stand.longitude <= 180):
            yield f"{stand.latitude},{stand.longitude} is no place on earth"
            return
        point = msgspec.structs.replace(town, latitude=stand.latitude, longitude=stand.longitude)
        away = distance_km(town, point)
        if away > town.radius_km:
            yield f"its coordinates are {away:.0f} km from {stand.place}, whose radius is {town.radius_km:g} km"
