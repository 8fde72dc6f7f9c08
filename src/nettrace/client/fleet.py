"""The fleet: nodes with their clocks and trust, and the mesh between them, both directions of each pair."""

import msgspec

from nettrace.client.answers import Answer, At, Listed, Route
from nettrace.client.call import Call, Names, names, query_of, segment
from nettrace.client.calls import API


class Leg(Answer, frozen=True, kw_only=True):
    """One direction between two vantages; `delay_ms` is None where the clocks cannot tell, `error_ms` is their bound."""

    origin: str
    target: str
    by: str
    at: At
    stale: bool
    sent: int
    delay_ms: float | None = None
    min_ms: float | None = None
    max_ms: float | None = None
    error_ms: float | None = None
    lost: int | None = None
    reordered: int | None = None
    hops: int | None = None


class MeshPair(Answer, frozen=True, kw_only=True):
    """Two vantages: the round trip, and both directions beside each other; `asymmetry_ms` is there minus back."""

    one: str
    other: str
    routes: str
    at: At | None = None
    rtt_ms: float | None = None
    error_ms: float | None = None
    there: Leg | None = None
    back: Leg | None = None
    asymmetry_ms: float | None = None
    asymmetry_error_ms: float | None = None


class Mesh(Listed[MeshPair], frozen=True, kw_only=True):
    """Every pair of nodes."""

    data: tuple[MeshPair, ...]


class MeshPairRoutes(Answer, frozen=True, kw_only=True):
    """One pair, and the routes both ways: a row whose region is one end leads to the other."""

    pair: MeshPair
    routes: tuple[Route, ...]


class ClockState(Answer, frozen=True, kw_only=True):
    """A node's clock; `offset_ms` is the hub's minus the node's, within `error_ms`."""

    quality: str
    offset_ms: float | None = None
    error_ms: float | None = None
    synchronised: bool | None = None
    drift_ppm: float | None = None


class NodeLoad(Answer, frozen=True, kw_only=True):
    """A node's machine, by its newest report; None is "not measured". `replication_lag_s` is by endpoint."""

    cores: int = 0
    cpu_percent: float | None = None
    memory_percent: float | None = None
    memory_bytes: int | None = None
    disk_percent: float | None = None
    disk_bytes: int | None = None
    rss_bytes: int | None = None
    replication_lag_s: dict[str, float] = msgspec.field(default_factory=dict[str, float])


class FleetNode(Answer, frozen=True, kw_only=True):
    """A vantage and its node.

    Attributes:
        trust: None when nothing could be judged; `evidence` says why it is flagged.
        methods: what its host permits, with how.
        load: its machine; None when it never told.
        backlog: entries that wait in its spool, since `backlog_since`.
    """

    region: str
    node: str
    state: str
    down: bool
    version: str
    clock: ClockState
    judged: int
    contradicted: int
    flagged: bool
    lost_records: int
    last_seen: At | None = None
    reflector: str | None = None
    trust: float | None = None
    evidence: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    methods: dict[str, str] = msgspec.field(default_factory=dict[str, str])
    load: NodeLoad | None = None
    backlog: int = 0
    backlog_since: At | None = None


class Fleet(Listed[FleetNode], frozen=True, kw_only=True):
    """Every vantage."""

    data: tuple[FleetNode, ...]


def mesh(*, region: Names | None = None) -> Call[Mesh]:
    """Every pair of nodes, or the pairs of some vantages: both one-way delays, losses and order per direction."""
    return Call(path=f"{API}/mesh", shape=Mesh, query=query_of({"region": names(region)}))


def mesh_pair(one: str, other: str) -> Call[MeshPairRoutes]:
    """One pair of nodes, with the routes both ways."""
    return Call(path=f"{API}/mesh/{segment(one)}/{segment(other)}", shape=MeshPairRoutes)


def fleet() -> Call[Fleet]:
    """Every vantage: node, clock, and how far to believe it."""
    return Call(path=f"{API}/fleet", shape=Fleet)
