"""What the client gives: frozen structs with the API's names, times as aware `datetime` in UTC.

The API writes times with microseconds, which is what a `datetime` holds, so nothing is rounded; files of exports have
integer nanoseconds. A float or `None`: None is "not measured", never 0. Fields a newer hub adds are passed over, and
fields only some rows have default to None. Meanings: docs/reference/openapi.md.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Generic, TypeVar

import msgspec

from nettrace.client import columns

if TYPE_CHECKING:
    import pandas
    import polars

At = Annotated[datetime, msgspec.Meta(tz=True)]
"""A time; always UTC."""

Row = TypeVar("Row", bound=msgspec.Struct)


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """An object of the API."""


class Window(Answer, frozen=True, kw_only=True):
    """A stretch of time: `start` is in it, `end` is not."""

    start: At
    end: At


class Page(Answer, Generic[Row], frozen=True, kw_only=True):
    """A page of a list.

    Attributes:
        next_cursor: hand it back as `cursor` for the rest; None on the last page.
        window: of histories, the stretch that is answered.
        clamped: the key's tier reaches less far back than was asked.
    """

    data: tuple[Row, ...]
    has_more: bool = False
    next_cursor: str | None = None
    window: Window | None = None
    resolution: str | None = None
    clamped: bool = False


class Listed(Answer, Generic[Row], frozen=True, kw_only=True):
    """An answer with rows in `data`: iterate over it, or take it as a table."""

    data: tuple[Row, ...]

    def __iter__(self) -> Iterator[Row]:
        """The rows."""
        return iter(self.data)

    def __len__(self) -> int:
        """How many rows."""
        return len(self.data)

    def to_pandas(self) -> "pandas.DataFrame":
        """The rows as a DataFrame of pandas; see `Rows.to_pandas`."""
        return columns.to_pandas(self.data, columns.row_of(type(self)))

    def to_polars(self) -> "polars.DataFrame":
        """The rows as a DataFrame of polars; see `Rows.to_polars`."""
        return columns.to_polars(self.data, columns.row_of(type(self)))


class LastMeasured(Answer, frozen=True, kw_only=True):
    """The last round that measured anything."""

    rtt_ms: float | None
    at: At
    age_s: float


class Stages(Answer, frozen=True, kw_only=True):
    """The steps of a connection, each by itself."""

    dns_ms: float | None = None
    connect_ms: float | None = None
    tls_ms: float | None = None
    ttfb_ms: float | None = None
    total_ms: float | None = None


class TargetRow(Answer, frozen=True, kw_only=True):
    """A target with the newest round of its first endpoint."""

    host: str
    name: str
    category: str
    lifecycle: str
    endpoint: str
    role: str
    outcome: str
    stale: bool
    regions_measured: int
    regions: int
    custom: bool = False
    replaced_by: str | None = None
    fronted_by: str | None = None
    region: str | None = None
    method: str | None = None
    reason: str | None = None
    at: At | None = None
    rtt_ms: float | None = None
    loss: float | None = None
    last_measured: LastMeasured | None = None
    route: str | None = None
    hop_count: int | None = None


class Endpoint(Answer, frozen=True, kw_only=True):
    """One way to a target."""

    name: str
    host: str
    role: str
    port: int
    methods: tuple[str, ...]
    url: str | None = None
    fronted_by: str | None = None


class Target(Answer, frozen=True, kw_only=True):
    """Everything the catalogue says of a target; `paused` is why one of your own rests."""

    host: str
    name: str
    category: str
    lifecycle: str
    endpoints: tuple[Endpoint, ...]
    replaced_by: str | None = None
    note: str = ""
    source: str = ""
    tags: tuple[str, ...] = ()
    custom: bool = False
    paused: str | None = None


class Vantage(Answer, frozen=True, kw_only=True):
    """A place the hub measures from; `code` is what `region=` takes."""

    code: str
    state: str
    up: bool
    last_seen: At | None = None
    city: str | None = None
    country: str | None = None
    latitude: float | None = None
    longitude: float | None = None
    version: str = ""
    methods: dict[str, str] = {}
    problems: tuple[str, ...] = ()
    clock_offset_ms: float | None = None
    clock_error_ms: float | None = None
    lost_records: int = 0
    newest_round_at: At | None = None
    targets: int = 0
    third_party: str | None = None


class Reading(Answer, frozen=True, kw_only=True):
    """The newest round of one series."""

    region: str
    endpoint: str
    method: str
    outcome: str
    at: At
    round: str
    sent: int
    received: int
    stale: bool
    role: str | None = None
    fronted_by: str | None = None
    reason: str | None = None
    rtt_ms: float | None = None
    min_ms: float | None = None
    max_ms: float | None = None
    error_ms: float | None = None
    grade: str | None = None
    loss: float | None = None
    last_measured: LastMeasured | None = None
    stages: Stages | None = None
    status: int | None = None
    tls_version: str | None = None
    server_hints: dict[str, str] | None = None
    address: str | None = None
    route: str | None = None
    hop_count: int | None = None
    third_party: str | None = None


class Latency(Listed[Reading], frozen=True, kw_only=True):
    """The newest round of every series of a target, with the target's own row around it.

    Attributes:
        lent: what other people's probes saw; they count in nothing else here.
    """

    data: tuple[Reading, ...]
    host: str
    name: str
    category: str
    outcome: str
    stale: bool
    reason: str | None = None
    rtt_ms: float | None = None
    region: str | None = None
    at: At | None = None
    last_measured: LastMeasured | None = None
    lent: tuple[Reading, ...] = ()


class HistoryRow(Answer, frozen=True, kw_only=True):
    """A bucket of one series, or with `resolution="raw"` a round of it.

    Attributes:
        at: the bucket's start; of a round when it was due.
        rtt_ms: the median.
        rounds, measured, failed, not_measured, mean_ms: of buckets.
        reason, error_ms, route, hop_count, round: of rounds.
    """

    at: At
    region: str
    endpoint: str
    method: str
    outcome: str
    sent: int
    received: int
    rtt_ms: float | None = None
    loss: float | None = None
    min_ms: float | None = None
    max_ms: float | None = None
    rounds: int | None = None
    measured: int | None = None
    failed: int | None = None
    not_measured: int | None = None
    mean_ms: float | None = None
    p5_ms: float | None = None
    p25_ms: float | None = None
    p50_ms: float | None = None
    p75_ms: float | None = None
    p95_ms: float | None = None
    p99_ms: float | None = None
    reason: str | None = None
    error_ms: float | None = None
    route: str | None = None
    hop_count: int | None = None
    round: str | None = None


class Round(Answer, frozen=True, kw_only=True):
    """One round as it was measured; `samples_ms` has every probe in sending order, None for one without an RTT."""

    id: str
    host: str
    region: str
    endpoint: str
    method: str
    due: At
    at: At
    outcome: str
    sent: int
    received: int
    not_measured: int
    stored_at: At
    samples_ms: tuple[float | None, ...] = ()
    reason: str | None = None
    address: str | None = None
    rtt_ms: float | None = None
    min_ms: float | None = None
    max_ms: float | None = None
    error_ms: float | None = None
    grade: str | None = None
    clock: str | None = None
    stages: Stages | None = None
    status: int | None = None
    tls_version: str | None = None
    server_hints: dict[str, str] | None = None
    route: str | None = None
    hop_count: int | None = None
    request: str | None = None


class Hop(Answer, frozen=True, kw_only=True):
    """What answered at one TTL; `address` None is silence."""

    ttl: int
    address: str | None = None
    name: str | None = None
    asn: int | None = None
    as_name: str | None = None
    place: str | None = None
    rtt_ms: tuple[float | None, ...] = ()


class Route(Answer, frozen=True, kw_only=True):
    """The route of one series now, with the newest trace that took it."""

    region: str
    endpoint: str
    outcome: str
    route: str | None = None
    since: At | None = None
    as_path: tuple[int, ...] = ()
    trace: str | None = None
    at: At | None = None
    reason: str | None = None
    reached: bool | None = None
    rtt_ms: float | None = None
    hop_count: int | None = None
    hops: tuple[Hop, ...] = ()


class Routes(Listed[Route], frozen=True, kw_only=True):
    """The routes to a target."""

    data: tuple[Route, ...]
    host: str


class RouteChange(Answer, frozen=True, kw_only=True):
    """A change of route; `document` is all that was concluded."""

    id: str
    at: At
    detected_at: At
    severity: str
    document: dict[str, Any]
    region: str | None = None
    endpoint: str | None = None
    class_: str | None = msgspec.field(name="class", default=None)
    confidence: float | None = None
    rtt_delta_ms: float | None = None


class Event(Answer, frozen=True, kw_only=True):
    """A signal or another event; `document` is what the detector concluded, in full."""

    id: str
    kind: str
    at: At
    detected_at: At
    severity: str
    document: dict[str, Any]
    host: str | None = None
    region: str | None = None
    endpoint: str | None = None
    method: str | None = None
    direction: str | None = None
    confidence: float | None = None
