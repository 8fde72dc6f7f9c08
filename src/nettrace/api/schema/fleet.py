"""The mesh of nodes, and how far each of them is to be believed."""

import msgspec

from nettrace.api.schema.analysis import RouteRow


class LegShape(msgspec.Struct, kw_only=True):
    """One direction between two vantages. `delay_ms` null: the clocks cannot tell; `error_ms` is their bound all the same.

    Attributes:
        by: the vantage whose session measured it.
        lost, reordered: packets; null where nobody can tell on which way.
        hops: routers on this way.
    """

    origin: str
    target: str
    by: str
    at: str
    stale: bool
    delay_ms: float | None
    min_ms: float | None
    max_ms: float | None
    error_ms: float | None
    sent: int
    lost: int | None
    reordered: int | None
    hops: int | None


class PairRow(msgspec.Struct, kw_only=True):
    """Two vantages: the round trip, and both directions beside each other.

    Attributes:
        asymmetry_ms: there minus back, with its bound; null unless the clocks can tell both.
        routes: where the pair's routes both ways are read.
    """

    object: str = "mesh_pair"
    one: str
    other: str
    at: str | None
    rtt_ms: float | None
    error_ms: float | None
    there: LegShape | None
    back: LegShape | None
    asymmetry_ms: float | None
    asymmetry_error_ms: float | None
    routes: str


class PairPage(msgspec.Struct, kw_only=True):
    """One pair, and the routes both ways: rows whose region is one end lead to the other."""

    object: str = "mesh_pair_routes"
    pair: PairRow
    routes: list[RouteRow]


class ClockShape(msgspec.Struct, kw_only=True):
    """A node's clock. `offset_ms` is the hub's minus the node's, within `error_ms`."""

    quality: str
    offset_ms: float | None
    error_ms: float | None
    synchronised: bool | None
    drift_ppm: float | None


class LoadShape(msgspec.Struct, kw_only=True):
    """A node's machine, by its newest report. Null is "not measured".

    Attributes:
        cpu_percent: of all cores; `disk_percent` of the file system its spool is on.
        replication_lag_s: by endpoint, from the operator's gauge files.
    """

    cpu_percent: float | None
    cores: int
    memory_percent: float | None
    memory_bytes: int | None
    disk_percent: float | None
    disk_bytes: int | None
    rss_bytes: int | None
    replication_lag_s: dict[str, float]


class FleetRow(msgspec.Struct, kw_only=True):
    """A vantage, its node and how far to believe it.

    Attributes:
        trust: share of what could be judged that does not contradict it; null when nothing could.
        load: its machine; null when it never told.
        backlog: entries that wait in its spool, since `backlog_since`.
        flagged: its numbers contradict light; `evidence` says how.
    """

    object: str = "fleet_node"
    region: str
    node: str
    state: str
    down: bool
    version: str
    last_seen: str | None
    methods: dict[str, str]
    problems: list[str]
    reflector: str | None
    clock: ClockShape
    trust: float | None
    judged: int
    contradicted: int
    flagged: bool
    evidence: list[str]
    lost_records: int
    load: LoadShape | None
    backlog: int
    backlog_since: str | None
