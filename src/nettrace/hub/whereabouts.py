"""Where a host stands: what a hub or a file knows of its round trips, put before the gazetteer's candidates."""

import csv
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgspec

from nettrace.analysis.edge import BEHIND_EDGE_NS
from nettrace.analysis.geo.locate import METRO_KM, Candidate, Found, Region, Vantaged, locate, within
from nettrace.analysis.geo.sphere import between_km
from nettrace.errors import Invalid
from nettrace.hub.floors import vantage_place
from nettrace.model.instant import NS_PER_MS, ms
from nettrace.model.path import Place
from nettrace.model.target import RoundMethod
from nettrace.placement.registry.facts import Registry
from nettrace.placement.registry.places import engine_of, sites_of, venues_of
from nettrace.store.port import Choice, StoreReader
from nettrace.store.rows import Window

FindPlace = Callable[[str], Place | None]

_HANDSHAKES = (RoundMethod.ICMP, RoundMethod.TCP, RoundMethod.UDP)
_HEADERS = {
    "cf-ray": re.compile(r"[0-9a-f]+-([A-Za-z]{3})"),
    "x-amz-cf-pop": re.compile(r"([A-Za-z]{3})\d+(?:-[A-Z]\d+)?"),
    "x-served-by": re.compile(r"cache-(?:[a-z0-9-]*?)([a-z]{3})\d*-[A-Z]{3}"),
}
"""Headers in which content networks write the airport code of the edge that answered."""


class Seen(msgspec.Struct, frozen=True):
    """What one vantage saw of a host: least round trip, and least time to first byte on an open connection."""

    origin: Place
    rtt_ns: int | None
    first_byte_ns: int | None = None


class Whereabouts(msgspec.Struct, frozen=True, kw_only=True):
    """Edge and origin of a host.

    Attributes:
        edge: who answers handshakes and pings; None without any round trip.
        origin: who makes the answers; None without any first byte.
        behind_ns: how much longer an answer takes than a handshake at the vantage where that is least; None if unknown.
        hints: places that headers named, with the header, and whether light allows the edge to stand there.
        venues: venues of the registry behind this host, where it puts them, and whether light allows that.
    """

    host: str
    vantages: int
    edge: Region | None
    origin: Region | None
    behind_ns: int | None
    hints: tuple[tuple[str, Place, bool | None], ...]
    venues: tuple[tuple[str, Place | None, bool | None], ...]

    @property
    def relayed(self) -> bool | None:
        """Whether an edge stands before the origin; None when nothing tells."""
        if self.edge is not None and self.edge.found is Found.ANYCAST:
            return True
        return None if self.behind_ns is None else self.behind_ns > BEHIND_EDGE_NS


def whereabouts(
    host: str, seen: Sequence[Seen], registry: Registry, find: FindPlace, headers: Sequence[str] = ()
) -> Whereabouts:
    """Where a host's edge and origin stand; candidates are all sites of the registry, and what it says of the host.

    Raises:
        Invalid: nothing was seen, or a header is none.
    """
    if not seen:
        raise Invalid(
            f"nothing is known of {host}",
            "Measure it from several places: nettrace targets add, or --rtt FILE",
        )
    trips = [Vantaged(each.origin, each.rtt_ns) for each in seen if each.rtt_ns is not None]
    firsts = [Vantaged(each.origin, each.first_byte_ns) for each in seen if each.first_byte_ns is not None]
    behind = [
        each.first_byte_ns - each.rtt_ns
        for each in seen
        if each.first_byte_ns is not None and each.rtt_ns is not None
    ]
    venues = tuple((venue.name, engine_of(venue, find)) for venue in venues_of(registry, host))
    candidates = [site.place for site in sites_of(registry, find) if site.place is not None]
    candidates += [place for _, place in venues if place is not None]
    bounds = firsts or trips
    return Whereabouts(
        host=host,
        vantages=len(seen),
        edge=locate(trips, candidates) if trips else None,
        origin=locate(firsts, candidates, BEHIND_EDGE_NS) if firsts else None,
        behind_ns=max(0, min(behind)) if behind else None,
        hints=tuple((header, place, _allowed(place, trips)) for header, place in _hinted(headers, find)),
        venues=tuple((name, place, _allowed(place, bounds) if place else None) for name, place in venues),
    )


def seen_by_hub(reader: StoreReader, host: str, window: Window) -> list[Seen]:
    """What a hub's vantages saw of a host: the least over all endpoints that are this very host.

    Vantages that do not say where they stand are left out.
    """
    endpoints = [
        (target.host, endpoint.name)
        for target in reader.targets()
        for endpoint in target.endpoints
        if endpoint.host == host
    ]
    if not endpoints:
        return []
    places = {row.vantage.code: vantage_place(row.vantage) for row in reader.nodes()}
    if not places:
        return []
    choice = Choice(  # named, so that other people's vantages are there too: each is evidence by its own name
        targets=tuple({target for target, _ in endpoints}), endpoints=tuple({name for _, name in endpoints}),
        vantages=tuple(places),
    )  # fmt: skip
    trips: dict[str, list[int]] = {}
    firsts: dict[str, list[int]] = {}
    for each in reader.summary(choice, window):
        if each.min_ns is None or (each.series.target, each.series.endpoint) not in endpoints:
            continue
        if each.series.method in _HANDSHAKES:
            trips.setdefault(each.series.vantage, []).append(each.min_ns)
        elif each.series.method is RoundMethod.HTTP:
            firsts.setdefault(each.series.vantage, []).append(each.min_ns)
    return [
        Seen(place, min(trips.get(code, ()), default=None), min(firsts.get(code, ()), default=None))
        for code, place in places.items()
        if place is not None and (code in trips or code in firsts)
    ]


def seen_in_file(lines: Iterable[str], find: FindPlace) -> list[Seen]:
    """What a file of `place,min_rtt_ms[,first_byte_ms]` says; `#` begins a remark, a line of names may come first.

    A place with a comma stands in quotes: `"Portland, OR",12.5`.

    Raises:
        Invalid: a line has no known place or no time, with its number.
    """
    made: list[Seen] = []
    for number, line in enumerate(lines, 1):
        text = line.strip()
        if not text or text.startswith("#") or (not made and text.lower().startswith("place,")):
            continue
        cells = [cell.strip() for cell in next(csv.reader([text]))]
        place = find(cells[0]) if cells[0] else None
        if place is None:
            raise Invalid(f"line {number}: {cells[0]!r} is no known place", "See docs/guides/places.md")
        if len(cells) not in {2, 3}:
            raise Invalid(f"line {number}: write PLACE,MIN_RTT_MS or PLACE,MIN_RTT_MS,FIRST_BYTE_MS")
        times = [_ns(cell, number) for cell in cells[1:]]
        if all(time is None for time in times):
            raise Invalid(f"line {number}: it has no time")
        made.append(Seen(place, *times))
    return made


def _ns(cell: str, number: int) -> int | None:
    if not cell:
        return None
    try:
        value = float(cell)
    except ValueError:
        raise Invalid(f"line {number}: {cell!r} is no time in ms") from None
    if not 0 < value < 86_400_000:
        raise Invalid(f"line {number}: {cell} ms cannot be a round trip")
    return round(value * NS_PER_MS)


def _hinted(headers: Sequence[str], find: FindPlace) -> list[tuple[str, Place]]:
    """The places that headers name."""
    made: list[tuple[str, Place]] = []
    for header in headers:
        name, colon, value = header.partition(":")
        if not colon:
            raise Invalid(f"{header!r} is no header", 'Write it as it came: "cf-ray: 8f1c2d-NRT"')
        pattern = _HEADERS.get(name.strip().lower())
        matched = pattern.search(value.strip()) if pattern else None
        place = find(matched[1]) if matched else None
        if place is not None:
            made.append((f"{name.strip().lower()}: {value.strip()}", place))
    return made


def _allowed(place: Place, bounds: Sequence[Vantaged]) -> bool | None:
    """Whether light lets all answers come from there; None when there is no answer."""
    return all(within(place, each) for each in bounds) if bounds else None


def whereabouts_document(made: Whereabouts) -> dict[str, Any]:
    """`nettrace.where/1`."""
    return {
        "schema": "nettrace.where/1", "host": made.host, "vantages": made.vantages,
        "edge": _region(made.edge), "origin": _region(made.origin), "behind_ms": ms(made.behind_ns),
        "relayed": made.relayed,
        "hints": [{"header": header, "place": _place(place), "allowed": allowed} for header, place, allowed in made.hints],
        "venues": [
            {"venue": name, "place": _place(place) if place else None, "allowed": allowed,
             "agrees": _agrees(place, made.origin or made.edge)}
            for name, place, allowed in made.venues
        ],
    }  # fmt: skip


def _agrees(place: Place | None, region: Region | None) -> bool | None:
    """Whether the registry's place is among those found; None when either says nothing."""
    if place is None or region is None or region.found not in {Found.LOCATED, Found.AMBIGUOUS}:
        return None
    return any(between_km(place, each.place) <= METRO_KM for each in region.candidates)


def _region(region: Region | None) -> dict[str, Any] | None:
    if region is None:
        return None
    told = region.candidates if region.found in {Found.LOCATED, Found.AMBIGUOUS} else ()
    return {
        "found": region.found,
        "why": region.why,
        "regions": [_candidate(each) for each in told],
        "allowed": region.allowed,
        "nearest": {"place": _place(region.nearest.origin), "rtt_ms": ms(region.nearest.rtt_ns)},
        "sites": [{"near": _place(each.origin), "rtt_ms": ms(each.rtt_ns)} for each in region.sites],
    }


def _candidate(candidate: Candidate) -> dict[str, Any]:
    return _place(candidate.place) | {
        "score": round(candidate.score, 2),
        "residual_ms": ms(candidate.residual_ns),
        "stretch": None if candidate.stretch is None else round(candidate.stretch, 2),
    }


def _place(place: Place) -> dict[str, Any]:
    return {"name": place.name, "country": place.country, "lat": place.latitude, "lon": place.longitude}
