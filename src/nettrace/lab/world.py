"""The declarative file: cities, networks, cables, exchanges, vantages, targets and scheduled faults.

A world is facts only; addresses, routers and routes follow from it in `topology` and `routing`, always the
same ones for the same file.
"""

from math import asin, cos, radians, sin, sqrt
from typing import Literal

import msgspec

FIBRE_INDEX = 1.468
"""Refractive index of silica fibre at 1550 nm."""
LIGHT_KM_PER_S = 299_792.458
EARTH_RADIUS_KM = 6371.0088

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
