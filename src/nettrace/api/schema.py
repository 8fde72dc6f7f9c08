"""The shapes the API promises. A field here keeps its name and meaning for as long as the path begins with /v1.

Units are in the names; times are RFC 3339 in UTC; null is "not measured", never 0. Fields of the earlier API that
still tell the truth are kept beside the new ones (docs/guides/api.md, "Names of the earlier API").
"""

from typing import Generic, TypeVar

import msgspec

Row = TypeVar("Row")


class Page(msgspec.Struct, Generic[Row], kw_only=True):
    """A list.

    Attributes:
        next_cursor: hand it back as `cursor` for the rest; null on the last page.
    """

    data: list[Row]
    has_more: bool = False
    next_cursor: str | None = None


class LastMeasured(msgspec.Struct, kw_only=True):
    """The last round that measured anything, when the newest did not or is old; `age_s` is up to 5 s behind."""

    rtt_ms: float | None
    at: str
    age_s: float


class StagesShape(msgspec.Struct, kw_only=True, omit_defaults=True):
    """The steps of a connection, each by itself."""

    dns_ms: float | None = None
    connect_ms: float | None = None
    tls_ms: float | None = None
    ttfb_ms: float | None = None
    total_ms: float | None = None


class Reading(msgspec.Struct, kw_only=True):
    """The newest round of one series: from `region`, to `endpoint`, by `method`.

    Attributes:
        role: what stands behind the endpoint; with `fronted_by` the RTT is that of a content network's edge.
        stale: the newest round is older than three of its intervals.
        last_measured: given when the newest round measured nothing or is stale.
        loss: share of the round's probes that stayed unanswered.
        error_ms: half-width of the error bar; `grade` K, R or U says who took the stamps.
    """

    region: str
    endpoint: str
    role: str | None
    fronted_by: str | None
    method: str
    outcome: str
    reason: str | None
    at: str
    rtt_ms: float | None
    min_ms: float | None
    max_ms: float | None
    error_ms: float | None
    grade: str | None
    sent: int
    received: int
    loss: float | None
    stale: bool
    last_measured: LastMeasured | None
    stages: StagesShape | None
    status: int | None
    tls_version: str | None
    address: str | None
    route: str | None
    hop_count: int | None
    round: str


class TargetRow(msgspec.Struct, kw_only=True):
    """A target with the newest round of its first endpoint: from `region`, else from the nearest that measured.

    Attributes:
        lifecycle: `retired` and `renamed` targets are listed, not measured.
        outcome: of the newest round; `not_measured` with reason `not_scheduled` before the first.
        regions_measured, regions: vantages whose newest round measured, of those that measure this endpoint.
        total_rtt, route_hash, last_scan: `rtt_ms`, `route` and `at` under their earlier names.
    """

    object: str = "target"
    host: str
    name: str
    category: str
    lifecycle: str
    replaced_by: str | None
    custom: bool
    endpoint: str
    role: str
    fronted_by: str | None
    region: str | None
    method: str | None
    outcome: str
    reason: str | None
    at: str | None
    rtt_ms: float | None
    loss: float | None
    stale: bool
    last_measured: LastMeasured | None
    route: str | None
    hop_count: int | None
    regions_measured: int
    regions: int
    total_rtt: float | None
    route_hash: str | None
    last_scan: str | None


class EndpointShape(msgspec.Struct, kw_only=True):
    """One way to a target."""

    name: str
    host: str
    role: str
    port: int
    url: str | None
    fronted_by: str | None
    methods: list[str]


class TargetDetail(msgspec.Struct, kw_only=True):
    """Everything the catalogue says of a target."""

    object: str = "target"
    host: str
    name: str
    category: str
    lifecycle: str
    replaced_by: str | None
    note: str
    source: str
    tags: list[str]
    custom: bool
    endpoints: list[EndpointShape]


class Usage(msgspec.Struct, kw_only=True):
    """Calls today; null is unlimited."""

    used: int
    limit: int | None


class TargetPage(Page[TargetRow], kw_only=True):
    """Targets. `count` is how many are on this page."""

    count: int


class SeedLatency(msgspec.Struct, kw_only=True):
    """What the earlier API called `latency`: the RTT shown for the target."""

    total_rtt: float | None


class LatencyPage(Page[Reading], kw_only=True):
    """The newest round of every series of a target, with the target's own row around it."""

    object: str = "latency"
    host: str
    name: str
    category: str
    outcome: str
    reason: str | None
    rtt_ms: float | None
    region: str | None
    at: str | None
    stale: bool
    last_measured: LastMeasured | None
    latency: SeedLatency
    hop_count: int | None
    route_hash: str | None
    measured_at: str | None


class WindowShape(msgspec.Struct, kw_only=True):
    """The stretch an answer covers: `start` inclusive, `end` exclusive."""

    start: str
    end: str


class HistoryRow(msgspec.Struct, kw_only=True):
    """One bucket of one series. Percentiles are of all answered probes, within 1 %; others on request.

    Attributes:
        at: the bucket's start; of raw rows when the round was due.
        outcome: `measured` when any round measured, else `failed` when any failed, else `not_measured`.
        rtt_ms: the median. `total_rtt` and `timestamp` are earlier names of it and of `at`.
    """

    at: str
    region: str
    endpoint: str
    method: str
    outcome: str
    rtt_ms: float | None
    rounds: int
    measured: int
    failed: int
    not_measured: int
    sent: int
    received: int
    loss: float | None
    min_ms: float | None
    mean_ms: float | None
    max_ms: float | None
    p5_ms: float | None = None
    p25_ms: float | None = None
    p50_ms: float | None = None
    p75_ms: float | None = None
    p95_ms: float | None = None
    p99_ms: float | None = None
    total_rtt: float | None = None
    timestamp: str | None = None


class RawRow(msgspec.Struct, kw_only=True):
    """One round of a history with `resolution=raw`; `timestamp`, `total_rtt`, `route_hash` are earlier names."""

    at: str
    region: str
    endpoint: str
    method: str
    outcome: str
    reason: str | None
    rtt_ms: float | None
    min_ms: float | None
    max_ms: float | None
    error_ms: float | None
    sent: int
    received: int
    loss: float | None
    hop_count: int | None
    route: str | None
    round: str
    total_rtt: float | None
    route_hash: str | None
    timestamp: str


class SeriesColumns(msgspec.Struct, kw_only=True):
    """One series as columns: lists of equal length, one entry a bucket."""

    region: str
    endpoint: str
    method: str
    columns: dict[str, list[float | int | str | None]]


class HistoryPage(Page[HistoryRow], kw_only=True):
    """The history of a target; with `columnar=true` its rows are in `series` and `data` is empty."""

    object: str = "history"
    host: str
    window: WindowShape
    resolution: str
    as_of: str | None
    history_days: int | None
    tier: str
    clamped: bool
    data_points: int
    series: list[SeriesColumns] | None = None


class RoundRow(msgspec.Struct, kw_only=True):
    """One round as it was measured. `samples_ms` has every probe in sending order, null for a lost one."""

    object: str = "round"
    id: str
    host: str
    region: str
    endpoint: str
    method: str
    due: str
    at: str
    outcome: str
    reason: str | None
    address: str | None
    sent: int
    received: int
    not_measured: int
    rtt_ms: float | None
    min_ms: float | None
    max_ms: float | None
    error_ms: float | None
    grade: str | None
    clock: str | None
    samples_ms: list[float | None]
    stages: StagesShape | None
    status: int | None
    tls_version: str | None
    route: str | None
    hop_count: int | None
    request: str | None
    stored_at: str


class HopShape(msgspec.Struct, kw_only=True):
    """What answered at one TTL; `address` null is silence. `hop`, `ip`, `host` are the earlier names."""

    ttl: int
    address: str | None
    name: str | None
    asn: int | None
    as_name: str | None
    place: str | None
    rtt_ms: list[float | None]
    hop: int
    ip: str | None
    host: str | None


class RouteRow(msgspec.Struct, kw_only=True):
    """The route of one series now, with the newest trace that took it.

    Attributes:
        since: when it was first seen. `trace` is the newest trace of this very route, so hops and route agree.
    """

    object: str = "route"
    region: str
    endpoint: str
    route: str | None
    since: str | None
    as_path: list[int]
    trace: str | None
    at: str | None
    outcome: str
    reason: str | None
    reached: bool | None
    rtt_ms: float | None
    hop_count: int | None
    hops: list[HopShape]


class RoutePage(Page[RouteRow], kw_only=True):
    """Routes to a target. `route_hash`, `measured_at`, `hops` are those of the first row, as in the earlier API."""

    object: str = "routes"
    host: str
    route_hash: str | None
    measured_at: str | None
    hops: list[HopShape]


class ChangeRow(msgspec.Struct, kw_only=True):
    """A change of route. `old_route_hash`, `new_route_hash`, `rtt_delta` are the earlier names."""

    object: str = "route_change"
    id: str
    region: str | None
    endpoint: str | None
    class_: str | None = msgspec.field(name="class")
    at: str
    detected_at: str
    severity: str
    confidence: float | None
    rtt_delta_ms: float | None
    old_route_hash: str | None
    new_route_hash: str | None
    rtt_delta: float | None
    document: msgspec.Raw


class ChangePage(Page[ChangeRow], kw_only=True):
    """Route changes of a target, newest first."""

    host: str
    changes: list[ChangeRow]
    count: int


class RankRow(msgspec.Struct, kw_only=True):
    """One target's place.

    Attributes:
        group: what answers: `origin` (a matching engine), `api`, `edge` (a content network's front), `web`, `resolver`.
            Groups are ranked by themselves and never mixed.
        rank: 1 + the targets of the group that are surely faster (their interval ends below this one's start).
        rank_last: the last place it may hold by the same reasoning; equal to `rank` when the place is certain.
        tied: another target may hold the same place.
        low_ms, high_ms: 95 % interval of the median; null with fewer than six answered probes.
    """

    rank: int
    rank_last: int
    tied: bool
    group: str
    host: str
    name: str
    category: str
    endpoint: str
    fronted_by: str | None
    region: str
    method: str
    p50_ms: float
    low_ms: float | None
    high_ms: float | None
    p95_ms: float | None
    loss: float | None
    rounds: int
    received: int
    at: str | None
    stale: bool
    total_rtt: float
    hop_count: int | None
    last_scan: str | None


class RankPage(Page[RankRow], kw_only=True):
    """Targets by median RTT from one region. `unranked` are those without a measured probe in the window."""

    object: str = "rankings"
    category: str | None
    region: str | None
    window: WindowShape
    unranked: list[str]
    count: int


class CompareRow(msgspec.Struct, kw_only=True):
    """One target in a comparison, over the window."""

    host: str
    name: str
    category: str
    group: str
    endpoint: str | None
    method: str | None
    region: str
    outcome: str
    p50_ms: float | None
    low_ms: float | None
    high_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    loss: float | None
    rounds: int
    received: int
    total_rtt: float | None


class DifferenceRow(msgspec.Struct, kw_only=True):
    """How much slower `host` is than `than` from the same region.

    Attributes:
        low_ms, high_ms: at least 90 % interval, from the 95 % intervals of the two medians.
        clear: the interval does not hold zero.
        comparable: both are answered by the same kind of machine; an edge says nothing of an origin.
    """

    host: str
    than: str
    region: str
    difference_ms: float | None
    low_ms: float | None
    high_ms: float | None
    clear: bool
    comparable: bool


class ComparePage(Page[CompareRow], kw_only=True):
    """A comparison. `fastest` is null unless one target is clearly the fastest from every region asked."""

    object: str = "comparison"
    window: WindowShape
    fastest: str | None
    rtt_spread: float | None
    differences: list[DifferenceRow]


class SignalRow(msgspec.Struct, kw_only=True):
    """A signal or another event. `document` is what the detector concluded, in full.

    Attributes:
        at: when it happened by estimate; `detected_at` when the round that proved it was measured.
        signal_type, target_host, created_at: earlier names of `kind`, `host`, `detected_at`.
    """

    object: str = "event"
    id: str
    kind: str
    host: str | None
    region: str | None
    endpoint: str | None
    method: str | None
    at: str
    detected_at: str
    direction: str | None
    severity: str
    confidence: float | None
    signal_type: str
    target_host: str | None
    created_at: str
    document: msgspec.Raw


class SignalPage(Page[SignalRow], kw_only=True):
    """Signals, newest first."""

    count: int


class CountRow(msgspec.Struct, kw_only=True):
    """How many of a kind."""

    name: str
    count: int


class SignalSummary(msgspec.Struct, kw_only=True):
    """Signals of a window, counted."""

    object: str = "signal_summary"
    window: WindowShape
    signals_in_window: int
    latest_signal_at: str | None
    by_type: list[CountRow]
    by_direction: list[CountRow]
    top_targets: list[CountRow]
    complete: bool


class VantageRow(msgspec.Struct, kw_only=True):
    """A place we measure from; `code` is what `region=` takes.

    Attributes:
        up: it was heard within three minutes.
        methods: what its host permits, and how; `problems` what not, in words.
        clock_offset_ms: hub's clock minus its clock, +- `clock_error_ms`.
    """

    object: str = "vantage"
    code: str
    state: str
    up: bool
    last_seen: str | None
    city: str | None
    country: str | None
    latitude: float | None
    longitude: float | None
    version: str
    methods: dict[str, str]
    problems: list[str]
    clock_offset_ms: float | None
    clock_error_ms: float | None
    lost_records: int
    newest_round_at: str | None
    targets: int


class MeasurementAsk(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What to measure now.

    Attributes:
        target: a host of the catalogue, or a custom target of yours.
        regions: vantages to ask; all that are up when left out.
        endpoint: the target's first one when left out.
        method: the endpoint's first one when left out.
    """

    target: str
    regions: list[str] | None = None
    endpoint: str | None = None
    method: str | None = None
    probes: int = 5


class CostPreview(msgspec.Struct, kw_only=True):
    """What a request would cost; nothing was done. `bytes` is an estimate and null where there is none."""

    object: str = "cost_preview"
    calls: int
    probes: int
    packets: int | None
    bytes: int | None
    rows: int | None
    usd: float
    eta_s: float


class MeasurementShape(msgspec.Struct, kw_only=True):
    """A measurement somebody asked for, with what it has brought so far."""

    object: str = "measurement"
    id: str
    state: str
    target: str
    endpoint: str
    method: str
    probes: int
    regions: list[str]
    answered: list[str]
    created_at: str
    deadline: str
    results: list[RoundRow]


class MeasurementRow(msgspec.Struct, kw_only=True):
    """A measurement in a list."""

    object: str = "measurement"
    id: str
    state: str
    target: str
    endpoint: str
    method: str
    probes: int
    regions: list[str]
    answered: list[str]
    created_at: str
    deadline: str


class ExportAsk(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A bulk export: every raw round (or bucket) of these targets in a window, a file a UTC day.

    Attributes:
        hosts: all targets when left out. `regions` and `methods` likewise.
        format: `parquet`, `csv`, `ndjson` or `arrow`. Times and RTTs are ns integers.
    """

    start: str
    end: str
    hosts: list[str] = []
    regions: list[str] = []
    methods: list[str] = []
    format: str = "parquet"
    resolution: str = "raw"


class ExportFileShape(msgspec.Struct, kw_only=True):
    """One file of an export; `url` may be read again as often as you like, in ranges too."""

    name: str
    url: str
    bytes: int
    rows: int
    sha256: str
    start: str
    end: str


class ExportShape(msgspec.Struct, kw_only=True):
    """A bulk export: `queued`, `running`, then `done` with files, or `failed` with a problem."""

    object: str = "export"
    id: str
    state: str
    format: str
    resolution: str
    hosts: list[str]
    regions: list[str]
    methods: list[str]
    window: WindowShape
    created_at: str
    finished_at: str | None
    expires_at: str | None
    rows: int
    bytes: int
    files: list[ExportFileShape]
    problem: str | None


class KeyAsk(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A new key. It gets the tier of the key that asks, and scopes that one has; they are fixed for ever."""

    name: str = ""
    scopes: list[str] = msgspec.field(default_factory=lambda: ["read"])
    test: bool = False
    expires_at: str | None = None


class KeyShape(msgspec.Struct, kw_only=True):
    """A key as the hub knows it. `key` is given once, when it is made; only its hash is kept."""

    object: str = "key"
    id: str
    name: str
    hint: str
    tier: str
    scopes: list[str]
    live: bool
    created_at: str
    expires_at: str | None
    revoked_at: str | None
    key: str | None = None


class PolicyShape(msgspec.Struct, kw_only=True):
    """One limit on calls."""

    name: str
    limit: int
    used: int
    remaining: int
    window_s: int
    reset_s: int


class LimitsShape(msgspec.Struct, kw_only=True):
    """What the calling key may do. Asking is free. null is unlimited."""

    object: str = "limits"
    tier: str
    account: str
    key: str | None
    scopes: list[str]
    features: list[str]
    history_days: int | None
    streams: int
    custom_targets: int
    policies: list[PolicyShape]


class UsageShape(msgspec.Struct, kw_only=True):
    """Calls of this account today; `calls` is null where they are not limited and so not counted by the day."""

    object: str = "usage"
    account: str
    day: str
    calls: int | None
    limit: int | None


class TierRow(msgspec.Struct, kw_only=True):
    """What a tier holds. null is unlimited; `price_usd_month` null is "ask"."""

    name: str
    title: str
    price_usd_month: int | None
    calls_per_day: int | None
    calls_per_minute: int | None
    history_days: int | None
    features: list[str]
    streams: int
    custom_targets: int


class Index(msgspec.Struct, kw_only=True):
    """Where everything is."""

    api: str
    version: str
    auth: str
    endpoints: dict[str, str]
    tiers: list[TierRow]
    documentation: str


class Liveness(msgspec.Struct, kw_only=True):
    """The process answers."""

    status: str


class RegionAge(msgspec.Struct, kw_only=True):
    """How old a vantage's newest round is."""

    region: str
    up: bool
    newest_round_age_s: float | None


class Readiness(msgspec.Struct, kw_only=True):
    """Whether requests can be answered. 503 while the store or the writer cannot be reached."""

    status: str
    store: str
    writer: str
    snapshot_age_s: float
    regions: list[RegionAge]


class VersionShape(msgspec.Struct, kw_only=True):
    """Which program answers."""

    version: str
    api: str
    protocol: int
    python: str


class ExportPage(Page[RawRow], kw_only=True):
    """Raw rounds of one target by time."""

    object: str = "export_page"
    host: str
    window: WindowShape
    export_rows: int
    history_days: int | None
