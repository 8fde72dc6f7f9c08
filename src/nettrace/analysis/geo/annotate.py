"""Network and place of every hop, with the evidence, and without what light forbids.

Pure: names, prefixes and databases are functions handed in (`Lookups`); who opens files is elsewhere.
"""

from collections.abc import Callable, Mapping
from ipaddress import ip_address, ip_network

import msgspec

from nettrace.analysis.geo.floor import possible
from nettrace.model.measurement import SampleState
from nettrace.model.path import Hop, Place, Trace


class Network(msgspec.Struct, frozen=True):
    """Who announces a prefix.

    Attributes:
        country: where it is registered (ISO code), which is not where its routers stand.
    """

    asn: int
    name: str | None = None
    country: str | None = None


_NOBODYS = tuple(
    ip_network(prefix)
    for prefix in (
        "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16",
        "240.0.0.0/4", "::/127", "fc00::/7", "fe80::/10",
    )
)  # fmt: skip
"""RFC 6890's ranges that mean something else in every network."""


def _nothing(_: str) -> None:
    return None


class Lookups(msgspec.Struct, frozen=True, kw_only=True):
    """What is known about addresses; every part is optional and answers None for "do not know".

    Attributes:
        names: address -> name by reverse DNS, looked up beforehand.
        network: address -> who announces it.
        hint: router name -> place.
        exchange: address -> place of the exchange point whose peering LAN it belongs to.
        database: address -> place by a geolocation database.
        country: ISO country code -> circle around the country, for the registry's word.
    """

    names: Mapping[str, str] = {}
    network: Callable[[str], Network | None] = _nothing
    hint: Callable[[str], Place | None] = _nothing
    exchange: Callable[[str], Place | None] = _nothing
    database: Callable[[str], Place | None] = _nothing
    country: Callable[[str], Place | None] = _nothing


class Evidence(msgspec.Struct, frozen=True):
    """One source's word on where a hop stands.

    Attributes:
        possible: light could have gone there and back in the hop's least round-trip time.
    """

    place: Place
    possible: bool


def annotate(
    trace: Trace, lookups: Lookups, origin: Place | None = None, destination: Place | None = None
) -> Trace:
    """The trace with name, AS and place of each hop that something is known about.

    Of the places that evidence speaks for, the one with the smallest error radius counts, after those have been
    dropped that the hop's least round trip makes impossible from `origin`, where the vantage stands. Without
    `origin` nothing can be dropped. `destination`, when given, is evidence for the last hop of a trace that
    reached its target, and light may forbid it too: then somebody else answered.
    """
    hops = tuple(
        _annotated(hop, lookups, origin, destination if trace.reached and hop is trace.hops[-1] else None)
        for hop in trace.hops
    )
    return msgspec.structs.replace(trace, hops=hops)


def evidence_for(
    hop: Hop, lookups: Lookups, origin: Place | None = None, given: Place | None = None
) -> tuple[Evidence, ...]:
    """Everything that speaks for a place of this hop, most precise first, the impossible included."""
    if hop.address is None:
        return ()
    places = [given] if given else []
    name = hop.name or lookups.names.get(hop.address)
    if name and (place := lookups.hint(name)):
        places.append(place)
    if _is_public(hop.address):
        places.extend(_by_address(hop.address, lookups))
    limit_ns = slowest_least_ns(hop)
    return tuple(
        Evidence(place, origin is None or possible(origin, place, limit_ns))
        for place in sorted(places, key=lambda place: place.radius_km)
    )


def slowest_least_ns(hop: Hop) -> int | None:
    """The least round trip of the hop with its error bar counted against light, or None: a proof's bound."""
    return min(
        (
            sample.rtt_ns + (sample.error_ns or 0)
            for sample in hop.samples
            if sample.state is SampleState.ANSWERED and sample.rtt_ns is not None
        ),
        default=None,
    )


def _annotated(hop: Hop, lookups: Lookups, origin: Place | None, given: Place | None) -> Hop:
    if hop.address is None:
        return hop
    network = lookups.network(hop.address) if _is_public(hop.address) else None
    evidence = evidence_for(hop, lookups, origin, given)
    return msgspec.structs.replace(
        hop,
        name=hop.name or lookups.names.get(hop.address),
        asn=network.asn if network else hop.asn,
        as_name=network.name if network else hop.as_name,
        place=next((each.place for each in evidence if each.possible), None),
    )


def _is_public(address: str) -> bool:
    """Whether databases can know it: private, shared, link-local and unreadable addresses belong to nobody.

    Ranges set aside for documents and test beds (198.18.0.0/15, 2001:db8::/32 ...) do belong to whoever made the
    database of their test bed; no other database has them.
    """
    try:
        found = ip_address(address)
    except ValueError:
        return False
    return not found.is_multicast and not any(
        found in nobodys for nobodys in _NOBODYS if nobodys.version == found.version
    )


def _by_address(address: str, lookups: Lookups) -> list[Place]:
    places = [lookups.exchange(address), lookups.database(address)]
    network = lookups.network(address)
    if network and network.country and (circle := lookups.country(network.country)):
        evidence = f"registry: {network.country} by AS{network.asn}"
        places.append(msgspec.structs.replace(circle, evidence=evidence))
    return [place for place in places if place is not None]
