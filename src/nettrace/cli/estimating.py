"""What commands bring together to estimate latencies: tables of evidence in files, the registry, the gazetteer."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nettrace.cli.facts import read_text
from nettrace.errors import MissingExtra

if TYPE_CHECKING:
    from nettrace.placement.estimates.evidence import End, Evidence, Row
    from nettrace.placement.registry.facts import Registry
    from nettrace.placement.request import Request, Site, Venue


_SAME_DEGREES = 0.2
"""Coordinates that differ by less are the same town."""


def evidence_option(command: Callable[..., object]) -> Callable[..., object]:
    """Adds `--evidence FILE`, several times."""
    return click.option(
        "--evidence",
        type=click.Path(path_type=Path, dir_okay=False),
        multiple=True,
        envvar="NETTRACE_EVIDENCE",
        help="Round trips you know (CSV: a,b,p50_ms and more; see the guide on estimates), on top of what ships.",
    )(command)


def estimates_option(command: Callable[..., object]) -> Callable[..., object]:
    """Adds `--estimates registry|all|never`."""
    return click.option(
        "--estimates",
        type=click.Choice(["registry", "all", "never"]),
        default="registry",
        show_default=True,
        help="Pairs without a latency that are estimated: of registry venues and sites, all with coordinates, or none.",
    )(command)


def evidence_with(files: Iterable[Path], facts: "Registry") -> "Evidence":
    """What ships and what a user's tables hold, with all ends looked up.

    Raises:
        ConfigError: a file cannot be read.
        Invalid: one is no table of round trips.
        MissingExtra: numpy is not installed.
    """
    try:
        import numpy as np
    except ImportError:
        raise MissingExtra("plan", "an estimate") from None
    del np
    from nettrace.outside.places import find
    from nettrace.placement.estimates.evidence import Evidence, read_table
    from nettrace.placement.estimates.shipped import shipped

    rows: list[Row] = []
    for file in files:
        rows += read_table(read_text(file), str(file))
    names = dict.fromkeys(name for row in rows for name in (row.a, row.b))
    own = Evidence({name: end_named(name, facts) for name in names}, tuple(rows))
    return own.joined(shipped(find))


def end_named(name: str, facts: "Registry") -> "End":
    """What is meant by the name of a venue, a site or a place; without coordinates where nobody knows them."""
    from nettrace.outside.places import find
    from nettrace.placement.estimates.evidence import End
    from nettrace.placement.estimates.evidence import end_named as end_of_place
    from nettrace.placement.registry.facts import What
    from nettrace.placement.registry.places import engine_of, held, site_named

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


def end_in(name: str, facts: "Registry", evidence: "Evidence") -> "End":
    """As `end_named`, but a venue in a cloud's region is that region unless own evidence speaks of the venue itself."""
    from nettrace.outside.places import find
    from nettrace.placement.estimates.evidence import end_named as end_of_place
    from nettrace.placement.registry.facts import What
    from nettrace.placement.registry.places import held

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


def with_estimates(request: "Request", facts: "Registry", files: Iterable[Path], whose: str) -> "Request":
    """The request with estimates for pairs without a row.

    `whose`: `registry` for pairs of which venue and site are called by their names in the registry, `all` for every pair
    of which both ends have coordinates, `never`.
    """
    from nettrace.placement.estimates.evidence import End
    from nettrace.placement.registry.naming import site_known

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
    evidence = evidence_with(files, facts)
    from nettrace.placement.estimates.filling import filled

    def end_of(each: "Venue | Site") -> "End | None":
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
