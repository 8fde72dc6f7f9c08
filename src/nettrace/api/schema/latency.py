"""Targets, vantages, newest rounds and their history."""

import msgspec

from nettrace.api.schema.page import LastMeasured, Page, StagesShape, WindowShape


class Reading(msgspec.Struct, kw_only=True):
    """The newest round of one series: from `region`, to `endpoint`, by `method`.

    Attributes:
        role: what stands behind the endpoint; with `fronted_by` the RTT is that of a content network's edge.
        stale: the newest round is older than three of its intervals.
        last_measured: given when the newest round measured nothing or is stale.
        loss: share of the round's probes that stayed unanswered.
        error_ms: half-width of the error bar; `grade` K, R or U says who took the stamps.
        third_party: the service whose probe it was (`globalping`, `atlas`); null for a node of this hub.
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
    server_hints: dict[str, str] | None
    address: str | None
    route: str | None
    hop_count: int | None
    round: str
    third_party: str | None


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
    """Everything the catalogue says of a target. `paused` is why one of your own rests, where they are listed."""

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
    paused: str | None = None


class TargetPage(Page[TargetRow], kw_only=True):
    """Targets. `count` is how many are on this page."""

    count: int


class SeedLatency(msgspec.Struct, kw_only=True):
    """What the earlier API called `latency`: the RTT shown for the target."""

    total_rtt: float | None


class LatencyPage(Page[Reading], kw_only=True):
    """The newest round of every series of a target, with the target's own row around it.

    Attributes:
        lent: what other people's probes saw when they were asked, a row a vantage and method, whoever is named; they
            count in nothing else here.
    """

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
    lent: list[Reading]


class HistoryRow(msgspec.Struct, gc=False):
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


class RawRow(msgspec.Struct, gc=False):
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
    server_hints: dict[str, str] | None
    route: str | None
    hop_count: int | None
    request: str | None
    stored_at: str


class VantageRow(msgspec.Struct, kw_only=True):
    """A place we measure from; `code` is what `region=` takes.

    Attributes:
        third_party: the service that lent a probe (`globalping`, `atlas`); null for a node of our own. A lent one is in no ranking.
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
    third_party: str | None
