"""The shapes that go into a store and come out of it. Columns for many rows, structs for few."""

from enum import StrEnum

import msgspec

from nettrace.model.instant import Instant
from nettrace.model.measurement import Outcome, Reason
from nettrace.model.path import Trace
from nettrace.model.target import Endpoint, RoundMethod, Series


class Window(msgspec.Struct, frozen=True):
    """A stretch of time: `start` inclusive, `end` exclusive, UTC ns."""

    start: Instant
    end: Instant


class Resolution(StrEnum):
    """How finely history is cut. `raw` is every round."""

    RAW = "raw"
    MINUTE = "1m"
    QUARTER = "15m"
    HOUR = "1h"
    DAY = "1d"


STEP_S = {Resolution.MINUTE: 60, Resolution.QUARTER: 900, Resolution.HOUR: 3600, Resolution.DAY: 86_400}
"""Bucket widths; buckets are aligned to UTC midnight."""


class Round(msgspec.Struct, frozen=True, gc=False):
    """One stored round. Times in ns; None is "not measured", never 0.

    Attributes:
        id: `ms_...`: series, due and a check; stable for ever.
        at: when it began; `due` is when the schedule wanted it.
        sent, received: probes that count; those that prove nothing are `not_measured`.
        rtt_ns: what the round measured: the median of its samples, a connect time of http rounds is in `stages`;
            of an http round the time to first byte of the request alone, of a ws round the median of its pings.
        samples_ns: every counted probe in sending order, None for a lost one.
        error_ns: half-width of the widest error bar among the answered.
        grade: the worst of them: K, R or U.
        status: of an exchange, HTTP's; of one way of a STAMP session, how many packets came out of order.
        stages_ns: `dns connect tls ttfb total`, those that happened.
        server_hints: headers of an http round that tell who answered and from where, by their lower-case name.
        stored_at: when the hub committed it: what `as_of` asks by.
    """

    id: str
    series: Series
    due: Instant
    at: Instant
    outcome: Outcome
    reason: Reason | None = None
    address: str | None = None
    sent: int = 0
    received: int = 0
    not_measured: int = 0
    rtt_ns: int | None = None
    min_ns: int | None = None
    max_ns: int | None = None
    error_ns: int | None = None
    grade: str | None = None
    samples_ns: tuple[int | None, ...] = ()
    stages_ns: dict[str, int] = {}
    status: int | None = None
    tls_version: str | None = None
    route: str | None = None
    hop_count: int | None = None
    clock: str | None = None
    request: str | None = None
    server_hints: dict[str, str] = {}
    stored_at: Instant = 0


ROUND_FIELDS = Round.__struct_fields__
"""The names of a round's columns, in the order of `Round`."""


class RawColumns(msgspec.Struct, frozen=True, kw_only=True):
    """Raw rounds column by column, each named and meant as in `Round`; those that nobody asked for are empty.

    `series` and `due` are always there.
    """

    series: list[Series]
    due: list[Instant]
    id: list[str] = []
    at: list[Instant] = []
    outcome: list[Outcome] = []
    reason: list[Reason | None] = []
    address: list[str | None] = []
    sent: list[int] = []
    received: list[int] = []
    not_measured: list[int] = []
    rtt_ns: list[int | None] = []
    min_ns: list[int | None] = []
    max_ns: list[int | None] = []
    error_ns: list[int | None] = []
    grade: list[str | None] = []
    samples_ns: list[tuple[int | None, ...]] = []
    stages_ns: list[dict[str, int]] = []
    status: list[int | None] = []
    tls_version: list[str | None] = []
    route: list[str | None] = []
    hop_count: list[int | None] = []
    clock: list[str | None] = []
    request: list[str | None] = []
    server_hints: list[dict[str, str]] = []
    stored_at: list[Instant] = []

    def first(self, count: int) -> "RawColumns":
        """The first so many."""
        return RawColumns(**{name: getattr(self, name)[:count] for name in self.__struct_fields__})

    def rounds(self) -> list[Round]:
        """The rounds themselves, of columns that were all asked for."""
        return list(map(Round, *(getattr(self, name) for name in ROUND_FIELDS)))


class Latest(msgspec.Struct, frozen=True, kw_only=True):
    """The newest round of a series, with the last one that measured anything when the newest did not.

    Attributes:
        seq: live sequence number of the change; grows with every one.
        interval_s: how often its schedule wants it: a value older than three of them is stale.
        measured: the last round with outcome `measured`, when `round` is not it.
    """

    seq: int
    round: Round
    measured: Round | None = None
    interval_s: float = 60.0


class LiveKind(StrEnum):
    """What a live event is about."""

    ROUND = "round"
    TRACE = "trace"
    ROUTE_CHANGE = "route_change"
    SIGNAL = "signal"
    VANTAGE = "vantage"
    TARGET = "target"
    GAP = "vantage_gap"
    MEASUREMENT = "measurement"


class Live(msgspec.Struct, frozen=True, kw_only=True):
    """One event of the live log, in the order everything was committed.

    Attributes:
        seq: without holes; resuming after it loses and repeats nothing while the log reaches back that far.
        target, vantage: what it concerns, for filters.
        account: whose eyes only, or None for everybody with the right tier.
        body: the event's public JSON, encoded once.
    """

    seq: int
    kind: LiveKind
    at: Instant
    body: bytes
    target: str | None = None
    vantage: str | None = None
    account: str | None = None


class LivePage(msgspec.Struct, frozen=True, kw_only=True):
    """A stretch of the live log.

    Attributes:
        head: the newest number there is.
        oldest: the oldest number still there: a reader whose last one is below `oldest - 1` has a gap.
    """

    events: tuple[Live, ...]
    head: int
    oldest: int


class Columns(msgspec.Struct, frozen=True, kw_only=True):
    """Many buckets of one series, column by column; every list has one entry a bucket.

    Buckets without any round are absent. `rounds = measured + failed + not_measured`, the outcomes of rounds.
    Quantiles are over all answered samples of the bucket and within 1 % of the exact ones (nearest rank,
    docs/decisions: log-bucket sketch); None where nothing was answered. `sent` and `received` count probes.
    """

    series: Series
    resolution: Resolution
    start: list[Instant]
    rounds: list[int]
    measured: list[int]
    failed: list[int]
    not_measured: list[int]
    sent: list[int]
    received: list[int]
    min_ns: list[int | None]
    max_ns: list[int | None]
    mean_ns: list[int | None]
    quantiles_ns: dict[str, list[int | None]]


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """One series over a whole window."""

    series: Series
    window: Window
    rounds: int
    measured: int
    failed: int
    not_measured: int
    sent: int
    received: int
    min_ns: int | None
    max_ns: int | None
    mean_ns: int | None
    quantiles_ns: dict[str, int | None]
    low_p50_ns: int | None = None
    high_p50_ns: int | None = None
    """95 % interval of the median by order statistics (binomial), None with fewer than 6 samples."""


class StoredTrace(msgspec.Struct, frozen=True, kw_only=True):
    """A trace as it was stored."""

    id: str
    series: Series
    due: Instant
    trace: Trace
    route: str | None = None
    stored_at: Instant = 0


class RouteState(msgspec.Struct, frozen=True, kw_only=True):
    """One route of a series for as long as it held.

    Attributes:
        route: `rt_...`, the identity of equivalent traces.
        hops: addresses of the trace that showed it first, None for silence.
        until: when the next one was first seen, or None while it holds.
    """

    series: Series
    route: str
    hops: tuple[str | None, ...]
    as_path: tuple[int, ...] = ()
    since: Instant
    until: Instant | None = None


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """A signal or a route change, as it was concluded.

    Attributes:
        id: `sig_...` or `rc_...`.
        kind: `anomaly shift trend loss divergence route_change degraded_leg address_change` ...
        at: estimated time of what happened; `detected_at` of the round that proved it.
        body: the public JSON document.
    """

    id: str
    kind: str
    at: Instant
    detected_at: Instant
    series: Series | None = None
    target: str | None = None
    vantage: str | None = None
    severity: str = "info"
    confidence: float | None = None
    body: bytes = b"{}"
    stored_at: Instant = 0


class MeasurementState(StrEnum):
    """How far an on-demand measurement is."""

    QUEUED = "queued"
    RUNNING = "running"
    FINISHED = "finished"
    EXPIRED = "expired"


class MeasurementRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A measurement somebody asked for now: one target from some vantages.

    Attributes:
        id: `req_...`.
        wanted: vantages asked; `answered` those that have reported.
    """

    id: str
    account: str
    target: str
    endpoint: Endpoint
    method: RoundMethod
    wanted: tuple[str, ...]
    answered: tuple[str, ...] = ()
    probes: int = 5
    created_at: Instant = 0
    deadline: Instant = 0
    state: MeasurementState = MeasurementState.QUEUED


class ExportState(StrEnum):
    """How far a bulk export is."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    EXPIRED = "expired"


class ExportFile(msgspec.Struct, frozen=True, kw_only=True):
    """One file of a finished export."""

    name: str
    bytes: int
    rows: int
    sha256: str
    start: Instant
    end: Instant


class Export(msgspec.Struct, frozen=True, kw_only=True):
    """A bulk export job.

    Attributes:
        id: `exp_...`.
        form: `ndjson csv parquet arrow`.
        problem: what went wrong, of a failed one.
    """

    id: str
    account: str
    targets: tuple[str, ...]
    vantages: tuple[str, ...]
    methods: tuple[RoundMethod, ...]
    window: Window
    form: str
    resolution: Resolution = Resolution.RAW
    state: ExportState = ExportState.QUEUED
    files: tuple[ExportFile, ...] = ()
    created_at: Instant = 0
    finished_at: Instant | None = None
    problem: str | None = None


class Audit(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the audit log: who did what to what, and whether it was allowed."""

    at: Instant
    actor: str
    action: str
    subject: str
    outcome: str
    detail: str = ""


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """Something an integrity check found, and what mends it."""

    where: str
    what: str
    remedy: str
