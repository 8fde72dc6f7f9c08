"""Routes, rankings, comparisons, signals."""

import msgspec

from nettrace.api.schema.page import Page, WindowShape


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
        document: of a shift's update with `believed`: it stands among all series, and one in ten that do is false on average.
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


class DetectorRow(msgspec.Struct, kw_only=True):
    """How one detector has done.

    Attributes:
        looked: rounds or traces it judged; most are null results.
        said: statements made, each once; `confirmed` and `taken_back` are what became of them.
        hit_rate: confirmed of those that were confirmed or taken back; null when there was none.
        said_a_week: statements in a week of one series with a round every four minutes.
        stated: at most so many of those are false while nothing happens; null where nothing is stated.
    """

    detector: str
    days: int
    looked: int
    said: int
    confirmed: int
    taken_back: int
    hit_rate: float | None
    said_a_week: float | None
    stated: float | None


class SignalRecord(msgspec.Struct, kw_only=True):
    """How every detector has done in this hub."""

    object: str = "signal_record"
    detectors: list[DetectorRow]
