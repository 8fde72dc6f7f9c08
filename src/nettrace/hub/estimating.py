"""Estimates as a hub gives them: tables of evidence, the registry and the gazetteer brought together."""

from collections.abc import Iterable
from importlib.util import find_spec

from nettrace.analysis.geo.floor import floor_between
from nettrace.errors import MissingExtra
from nettrace.hub.third_party import kept_looks
from nettrace.outside.places import find
from nettrace.placement.estimates.evidence import End, Evidence, Row, read_table
from nettrace.placement.estimates.evidence import end_named as end_of_place
from nettrace.placement.estimates.lent import lent_rows
from nettrace.placement.estimates.shipped import shipped
from nettrace.placement.registry.facts import Registry, What
from nettrace.placement.registry.naming import site_known
from nettrace.placement.registry.places import engine_of, held, site_named
from nettrace.placement.request import Request, Site, Venue
from nettrace.store.port import StoreReader
from nettrace.store.rows import Window

Table = tuple[str, str]
"""A table of round trips: its text, and what it is called."""

_SAME_DEGREES = 0.2
"""Coordinates that differ by less are the same town."""


def evidence_of(tables: Iterable[Table], facts: Registry) -> Evidence:
    """What ships and what a user's tables hold, with all ends looked up.

    Raises:
        Invalid: one is no table of round trips.
        MissingExtra: numpy is not installed.
    """
    if find_spec("numpy") is None:
        raise MissingExtra("plan", "an estimate")
    rows: list[Row] = []
    for text, name in tables:
        rows += read_table(text, name)
    names = dict.fromkeys(name for row in rows for name in (row.a, row.b))
    own = Evidence({name: end_named(name, facts) for name in names}, tuple(rows))
    return own.joined(shipped(find))


def lent_evidence(reader: StoreReader, window: Window, facts: Registry) -> Evidence:
    """What other people's probes, kept in a hub, say of venues of the registry: hints, each with its probe's name."""
    looks = kept_looks(reader, window)
    rows = lent_rows(looks, facts, find, lambda a, b: floor_between(a, b).vacuum_ns).rows
    return Evidence({name: end_named(name, facts) for row in rows for name in (row.a, row.b)}, rows)


def end_named(name: str, facts: Registry) -> End:
    """What is meant by the name of a venue, a site or a place; without coordinates where nobody knows them."""
    venue = facts.venues.get(name)
    if venue is not None:
        place, stand = engine_of(venue, find), held(venue, What.ENGINE)
        network, mark, _ = (stand.place if stand else "").partition(":")
        if place is None:
            return End(name=name)
        return End(
            name=name, latitude=place.latitude, longitude=place.longitude,
            network=network if mark else "", radius_km=place.radius_km,
        )  # fmt: skip
    site = site_named(facts, name, find)
    if site is None or site.place is None:
        return end_of_place(name, find)
    return End(
        name=name,
        latitude=site.place.latitude,
        longitude=site.place.longitude,
        network=site.provider,
        radius_km=site.place.radius_km,
    )


def end_in(name: str, facts: Registry, evidence: Evidence) -> End:
    """As `end_named`, but a venue in a cloud's region is that region unless own evidence speaks of the venue itself."""
    if name in evidence.ends:
        return evidence.ends[name]
    venue = facts.venues.get(name)
    stand = held(venue, What.ENGINE) if venue else None
    if stand is not None and stand.place in evidence.ends:
        return evidence.ends[stand.place]
    owner, _, code = name.partition(":")
    place = facts.providers[owner].sites.get(code) if owner in facts.providers else None
    if place is not None and place in evidence.ends:
        return end_of_place(place, find)
    return end_named(name, facts)


def with_estimates(request: Request, facts: Registry, tables: Iterable[Table], whose: str) -> Request:
    """The request with estimates for pairs without a row.

    `whose`: `registry` for pairs of which venue and site are called by their names in the registry, `all` for every pair
    of which both ends have coordinates, `never`.
    """
    pointed = {each.name for each in (*request.venue, *request.site) if each.lat is not None}

    def meant(pair: tuple[str, str]) -> bool:
        named = pair[0] in facts.venues and site_known(facts, pair[1])
        return named or (whose == "all" and set(pair) <= pointed)

    given = {(row.venue, row.site) for row in request.latency}
    pairs = [
        (venue.name, site.name)
        for venue in request.venue
        for site in request.site
        if (venue.name, site.name) not in given and meant((venue.name, site.name))
    ]
    if whose == "never" or not pairs:
        return request
    evidence = evidence_of(tables, facts)
    from nettrace.placement.estimates.filling import filled  # noqa: PLC0415 - needs the extra `plan`

    def end_of(each: Venue | Site) -> End | None:
        end = end_in(each.name, facts, evidence)
        if each.lat is None or each.lon is None or (end.latitude, end.longitude) == (each.lat, each.lon):
            return end
        if (
            end.placed
            and abs((end.latitude or 0) - each.lat) + abs((end.longitude or 0) - each.lon) < _SAME_DEGREES
        ):
            return end
        return End(name=f"{each.name} (as given)", latitude=each.lat, longitude=each.lon, network=end.network)

    return filled(request, evidence, end_of, pairs)[0]
