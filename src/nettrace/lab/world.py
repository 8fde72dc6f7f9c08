"""The declarative file: cities, networks, cables, exchanges, vantages, targets and scheduled faults.

A world is facts only; addresses, routers and routes follow from it in `topology` and `routing`, always the
same ones for the same file.
"""

import tomllib
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from math import asin, cos, radians, sin, sqrt
from pathlib import Path
from typing import Literal

import msgspec

from nettrace.errors import LabError

FIBRE_INDEX = 1.468
"""Refractive index of silica fibre at 1550 nm."""
LIGHT_KM_PER_S = 299_792.458
EARTH_RADIUS_KM = 6371.0088
BUILT_IN = Path(__file__).with_name("worlds")

Confidence = Literal["official", "measured", "press", "guess"]
EventKind = Literal["cut", "restore", "reroute", "congest", "clear", "kill", "revive"]


class _Entry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    pass


class Site(_Entry, frozen=True, kw_only=True):
    """A city where routers stand."""

    code: str
    city: str
    country: str
    latitude: float
    longitude: float


class RateLimit(_Entry, frozen=True, kw_only=True):
    """A token bucket on the ICMP errors of each router; `per_peer` keeps one bucket for each asker."""

    per_second: float
    burst: int = 6
    per_peer: bool = False


class Network(_Entry, frozen=True, kw_only=True):
    """An autonomous system.

    Attributes:
        transit: carries other networks' traffic; others only their own.
        levels: rows of routers at each site, from the outside (peerings) to the inside (hosts). Cables end at
            the second row where there is one.
        width: parallel routers in each row: equal-cost paths.
        mpls: tunnels between the ends of its backbone: `visible` ones add labels (RFC 4950), `invisible` ones
            do not propagate the TTL, so their routers do not appear.
        silent: sites (or "*") whose routers never answer expired probes; `silent_share` does so for that
            share of its routers, chosen by the world's seed.
        limit: ICMP rate limit of its routers, at `limited` sites ("*" is all).
        quote_bytes: how much of the expired packet is quoted (RFC 1812: as much as fits 576 bytes; old
            routers: IP header and 8 bytes, written as 28).
        reply_ttl: TTL its routers start their answers with.
        preference_ms: cost of entering it, beside delay: policy, not physics.
        private_gateways: its first row before hosts has RFC 1918 addresses (IPv4).
    """

    asn: int
    name: str
    sites: tuple[str, ...]
    transit: bool = False
    levels: int = 2
    width: int = 1
    mpls: Literal["none", "visible", "invisible"] = "none"
    silent: tuple[str, ...] = ()
    silent_share: float = 0.0
    limit: RateLimit | None = None
    limited: tuple[str, ...] = ("*",)
    quote_bytes: int = 576
    reply_ttl: int = 255
    preference_ms: float = 1.0
    private_gateways: bool = False
    metro_ms: float = 0.06


class Cable(_Entry, frozen=True, kw_only=True):
    """Fibre between two sites, lit by some networks.

    Attributes:
        detour: length of the cable over the great circle; `length_km` overrides both.
        lean_ms: extra routing cost from a to b only (policy): makes routes asymmetric.
        loss: share of packets lost, each way.
        jitter_ms: mean of the exponential queueing delay added, each way.
    """

    code: str
    a: str
    b: str
    networks: tuple[int, ...]
    detour: float = 1.25
    length_km: float | None = None
    lean_ms: float = 0.0
    loss: float = 0.0
    jitter_ms: float = 0.0
    mtu: int = 9000


class Exchange(_Entry, frozen=True, kw_only=True):
    """An internet exchange point: its members meet on one LAN with its own prefix."""

    code: str
    name: str
    site: str
    members: tuple[int, ...]
    metro_ms: float = 0.1


class Peering(_Entry, frozen=True, kw_only=True):
    """Private interconnects between every pair of these networks at these sites ("*" is all they share)."""

    networks: tuple[int, ...]
    sites: tuple[str, ...] = ("*",)
    metro_ms: float = 0.05


class Vantage(_Entry, frozen=True, kw_only=True):
    """A place to measure from: a network namespace of its own."""

    code: str
    site: str
    network: int


class Origin(_Entry, frozen=True, kw_only=True):
    """Where the answer really comes from when an edge stands before it."""

    site: str
    network: int


class Target(_Entry, frozen=True, kw_only=True):
    """A host with real services.

    Attributes:
        site: where it stands; None with `edges`: announced at all these sites at once (anycast), "*" being
            all sites of its network.
        origin: the first byte of an HTTP answer waits for the way from the edge to here and back.
        think_ms: what the server itself takes for an answer.
        closed: TCP ports that refuse; `filtered`: TCP ports that swallow; `dark`: answers nothing at all.
        prohibited: its last router says "administratively prohibited" instead.
        place: what is known of the real one's place, in words.
    """

    name: str
    network: int
    site: str | None = None
    edges: tuple[str, ...] = ()
    origin: Origin | None = None
    label: str | None = None
    category: str | None = None
    address: str | None = None
    address6: str | None = None
    ipv6: bool = True
    think_ms: float = 0.3
    closed: tuple[int, ...] = ()
    filtered: tuple[int, ...] = ()
    dark: bool = False
    prohibited: bool = False
    place: str | None = None
    place_confidence: Confidence = "guess"


class Crowd(_Entry, frozen=True, kw_only=True):
    """A whole prefix of hosts, spread over the sites of a network; `answering` is the share that exists."""

    prefix: str
    network: int
    sites: tuple[str, ...] = ("*",)
    answering: float = 1.0


class Event(_Entry, frozen=True, kw_only=True):
    """Something that happens at run time: by order, or `at_s` seconds after the start.

    `cut`/`restore` a cable; `congest`/`clear` a cable (delay, jitter, loss); `reroute` a network by adding
    `preference_ms` to the cost of entering it; `kill`/`revive` a site.
    """

    kind: EventKind
    subject: str
    at_s: float = 0.0
    delay_ms: float = 0.0
    jitter_ms: float = 0.0
    loss: float = 0.0
    preference_ms: float = 0.0


class World(_Entry, frozen=True, kw_only=True):
    """Everything in the file, validated.

    Attributes:
        seed: chooses silent routers, crowds, losses and jitter.
        resolver: name of the target whose addresses commands inside use as name server.
        ecmp_tolerance_ms: next hops this much costlier than the best still share its load.
    """

    name: str
    seed: int = 1
    resolver: str | None = None
    ecmp_tolerance_ms: float = 0.0
    ipv4: str = "198.18.0.0/15"
    ipv6: str = "2001:db8::/32"
    site: tuple[Site, ...]
    network: tuple[Network, ...]
    cable: tuple[Cable, ...] = ()
    exchange: tuple[Exchange, ...] = ()
    peering: tuple[Peering, ...] = ()
    vantage: tuple[Vantage, ...]
    target: tuple[Target, ...] = ()
    crowd: tuple[Crowd, ...] = ()
    event: tuple[Event, ...] = ()


def load(name_or_path: str) -> World:
    """The world of a file, or a built-in one by name (`world`, `small`).

    Raises:
        LabError: no such file, not TOML, or a fact that cannot be; the message names the entry.
    """
    return parse(read(name_or_path), name_or_path)


def read(name_or_path: str) -> str:
    """The text of a world's file, or of a built-in one by name.

    Raises:
        LabError: no such file.
    """
    path = BUILT_IN / f"{name_or_path}.toml"
    if "/" in name_or_path or name_or_path.endswith(".toml") or not path.exists():
        path = Path(name_or_path)
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        known = ", ".join(sorted(entry.stem for entry in BUILT_IN.glob("*.toml")))
        raise LabError(
            f"cannot read the world '{name_or_path}': {error.strerror}", f"Built-in worlds: {known}"
        ) from error


def parse(text: str, name: str = "world") -> World:
    """The world a TOML text describes.

    Raises:
        LabError: with the entry and what is wrong with it.
    """
    try:
        world = msgspec.convert(tomllib.loads(text), World)
    except tomllib.TOMLDecodeError as error:
        raise LabError(f"world '{name}' is not TOML: {error}") from error
    except msgspec.ValidationError as error:
        raise LabError(
            f"world '{name}': {error}", "The fields are listed in docs/reference/lab.md"
        ) from error
    complaints = _complaints(world)
    if complaints:
        raise LabError(f"world '{name}': {complaints[0]}", _more(complaints))
    return world


def great_circle_km(a: Site, b: Site) -> float:
    """Distance over the ground (haversine, mean Earth radius)."""
    lat_a, lon_a, lat_b, lon_b = map(radians, (a.latitude, a.longitude, b.latitude, b.longitude))
    half = sin((lat_b - lat_a) / 2) ** 2 + cos(lat_a) * cos(lat_b) * sin((lon_b - lon_a) / 2) ** 2
    return 2 * EARTH_RADIUS_KM * asin(sqrt(half))


def fibre_ns(km: float) -> int:
    """One-way delay of so much fibre in nanoseconds.

    >>> fibre_ns(1000)
    4896721
    """
    return round(km * FIBRE_INDEX / LIGHT_KM_PER_S * 1e9)


def _more(complaints: list[str]) -> str:
    return "" if len(complaints) == 1 else f"Also: {'; '.join(complaints[1:4])}"


def _complaints(world: World) -> list[str]:
    sites = {site.code for site in world.site}
    networks = {network.asn: network for network in world.network}
    found = [
        *_doubles("site", [site.code for site in world.site]),
        *_doubles("network", [str(network.asn) for network in world.network]),
        *_doubles("cable", [cable.code for cable in world.cable]),
        *_doubles("vantage", [vantage.code for vantage in world.vantage]),
        *_doubles("target", [target.name for target in world.target]),
    ]
    for site in world.site:
        if not (-90 <= site.latitude <= 90 and -180 <= site.longitude <= 180):
            found.append(f"site '{site.code}': latitude or longitude out of range")
    for network in world.network:
        found += _unknown_sites(f"network {network.asn}", network.sites, sites)
        if not 1 <= network.levels <= 4 or not 1 <= network.width <= 16:
            found.append(f"network {network.asn}: levels must be 1..4 and width 1..16")
    for cable in world.cable:
        found += _unknown_sites(f"cable '{cable.code}'", (cable.a, cable.b), sites)
        found += _cable_complaints(cable, networks)
    for exchange in world.exchange:
        for asn in exchange.members:
            found += _presence(f"exchange '{exchange.code}'", asn, exchange.site, networks)
    for peering in world.peering:
        found += [f"peering: no network {asn}" for asn in peering.networks if asn not in networks]
    for vantage in world.vantage:
        found += _presence(f"vantage '{vantage.code}'", vantage.network, vantage.site, networks)
    for target in world.target:
        found += _target_complaints(target, networks)
    for crowd in world.crowd:
        found += _crowd_complaints(crowd, networks)
    if world.resolver and world.resolver not in {target.name for target in world.target}:
        found.append(f"resolver: no target '{world.resolver}'")
    for event in world.event:
        found += event_complaints(world, event)
    return found


def _doubles(kind: str, names: list[str]) -> list[str]:
    seen: set[str] = set()
    return [f"two {kind}s are called '{name}'" for name in names if name in seen or seen.add(name)]


def _unknown_sites(who: str, codes: tuple[str, ...], sites: set[str]) -> list[str]:
    return [f"{who}: no site '{code}'" for code in codes if code not in sites and code != "*"]


def _presence(who: str, asn: int, site: str, networks: dict[int, Network]) -> list[str]:
    if asn not in networks:
        return [f"{who}: no network {asn}"]
    if site not in networks[asn].sites:
        return [f"{who}: network {asn} is not at '{site}'"]
    return []


def _cable_complaints(cable: Cable, networks: dict[int, Network]) -> list[str]:
    who = f"cable '{cable.code}'"
    found = [
        line
        for asn in cable.networks
        for end in (cable.a, cable.b)
        for line in _presence(who, asn, end, networks)
    ]
    if cable.detour < 1.0:
        found.append(f"{who}: detour {cable.detour} is shorter than the great circle")
    if not 0 <= cable.loss < 1 or cable.jitter_ms < 0:
        found.append(f"{who}: loss must be in [0, 1) and jitter_ms not negative")
    if cable.mtu < 576:
        found.append(f"{who}: mtu {cable.mtu} is below 576")
    return found


def _target_complaints(target: Target, networks: dict[int, Network]) -> list[str]:
    who = f"target '{target.name}'"
    found: list[str] = []
    if (target.site is None) == (not target.edges):
        found.append(f"{who}: needs either site or edges")
    for site in (target.site, *target.edges):
        if site not in (None, "*"):
            found += _presence(who, target.network, site, networks)
    if target.network not in networks:
        found.append(f"{who}: no network {target.network}")
    if target.origin:
        found += _presence(f"{who} origin", target.origin.network, target.origin.site, networks)
    for text, version in ((target.address, 4), (target.address6, 6)):
        try:
            if text is not None and ip_address(text).version != version:
                found.append(f"{who}: {text} is not an IPv{version} address")
        except ValueError:
            found.append(f"{who}: '{text}' is not an address")
    return found


def _crowd_complaints(crowd: Crowd, networks: dict[int, Network]) -> list[str]:
    try:
        prefix: IPv4Network | IPv6Network | None = ip_network(crowd.prefix)
    except ValueError:
        prefix = None
    found = [] if prefix else [f"crowd '{crowd.prefix}': not a prefix"]
    if crowd.network not in networks:
        found.append(f"crowd '{crowd.prefix}': no network {crowd.network}")
    else:
        known = set(networks[crowd.network].sites)
        found += _unknown_sites(f"crowd '{crowd.prefix}'", crowd.sites, known)
    return found


def event_complaints(world: World, event: Event) -> list[str]:
    """What is wrong with an event in this world; empty when it can happen."""
    if event.kind in {"cut", "restore", "congest", "clear"}:
        known = {cable.code for cable in world.cable}
        what = "cable"
    elif event.kind == "reroute":
        known = {str(network.asn) for network in world.network}
        what = "network"
    else:
        known = {site.code for site in world.site}
        what = "site"
    if event.subject not in known:
        return [f"event {event.kind}: no {what} '{event.subject}'"]
    if not 0 <= event.loss <= 1 or event.jitter_ms < 0:
        return [f"event {event.kind} {event.subject}: loss must be in [0, 1] and jitter_ms not negative"]
    return []
