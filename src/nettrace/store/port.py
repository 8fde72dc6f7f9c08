"""The store's port: every read and every write of the hub goes through these, whatever engine is behind them.

One process holds the `StoreWriter` (it alone writes); any number of others hold a `StoreReader`. Methods are
synchronous and may be called from a worker thread, one call at a time for each object. An engine that wants to be
one passes `nettrace.testing.conformance.store`.
"""

from collections.abc import Iterator, Sequence
from typing import Protocol

import msgspec

from nettrace.model.account import Key
from nettrace.model.alert import AlertStep, Delivery, DeliveryState, Incident, IncidentState, Order
from nettrace.model.instant import Instant
from nettrace.model.target import Series, Target
from nettrace.model.vantage import Clock, Vantage, VantageState
from nettrace.store.rows import (
    ROUND_FIELDS,
    Audit,
    Columns,
    Event,
    Export,
    Fault,
    Latest,
    LivePage,
    MeasurementRequest,
    RawColumns,
    Resolution,
    Round,
    RouteState,
    StoredTrace,
    Summary,
    Window,
)
from nettrace.wire.frames import Gap, Record, Report

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
"""What history answers give unless asked otherwise; keys are `p5 p25 p50 p75 p95 p99`."""


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """Which series are meant: those that fit every field that is given; empty is "any".

    Attributes:
        vantages: empty is any of our own; other people's (`globalping:...`) are meant only where they are named, so that
            whoever ranks, watches or compares does not take a stranger's one look for a node's.
        account: custom targets of this account are included; None leaves out all custom ones.
    """

    targets: tuple[str, ...] = ()
    vantages: tuple[str, ...] = ()
    endpoints: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()


class Accepted(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a report.

    Attributes:
        upto_seq: everything up to here is on disk.
        new: its entries that were not there yet, in stored order: what detectors and feeds see.
        series_ids: for callers that index by number.
    """

    upto_seq: int
    new: tuple[Record | Gap, ...]


class Conclusion(msgspec.Struct, frozen=True, kw_only=True):
    """What the watchers concluded from records of a report; stored with them in one transaction.

    Attributes:
        route_of: route identity by record number.
        detector_state: snapshots by series and detector, so that a restart continues.
    """

    events: tuple[Event, ...] = ()
    routes: tuple[RouteState, ...] = ()
    route_of: dict[int, str] = {}
    detector_state: dict[str, bytes] = {}


class Watcher(Protocol):
    """Sees every record exactly once, in stored order, inside the storing transaction."""

    def conclude(self, node: Vantage, new: Sequence[Record | Gap], at: Instant) -> Conclusion:
        """What follows from these records."""
        ...


class EnrolToken(msgspec.Struct, frozen=True, kw_only=True):
    """A one-time right to become a node; the token itself is never kept."""

    id: str
    hash: bytes
    region: str
    created_at: Instant
    expires_at: Instant
    used_at: Instant | None = None


class NodeRow(msgspec.Struct, frozen=True, kw_only=True):
    """A node with what only the hub may know of it: `key` signs its requests."""

    vantage: Vantage
    key: bytes


class StoreReader(Protocol):
    """Reads, from any process. A read sees everything acknowledged before it began."""

    # -- live and latest
    def head(self) -> int:
        """Newest live number; cheap enough to ask 50 times a second."""
        ...

    def live(self, after: int, limit: int = 1000) -> LivePage:
        """The live log behind a number."""
        ...

    def latest(self, after: int = 0) -> list[Latest]:
        """The newest round of every series that changed behind a live number (0: of all)."""
        ...

    # -- history
    def series(self, choice: Choice) -> list[Series]:
        """The series there are, sorted."""
        ...

    def rounds(
        self, choice: Choice, window: Window, *, limit: int, newest_first: bool = False,
        after: tuple[Instant, Series] | None = None, as_of: Instant | None = None,
    ) -> list[Round]:  # fmt: skip
        """Raw rounds by (due, series); `after` is the last one already had. Hot and sealed days alike."""
        ...

    def raw(
        self, choice: Choice, window: Window, *, fields: Sequence[str] = ROUND_FIELDS, limit: int,
        newest_first: bool = False, after: tuple[Instant, Series] | None = None, as_of: Instant | None = None,
    ) -> RawColumns:  # fmt: skip
        """The same rounds as columns, those of `fields` alone: several times cheaper than `rounds`."""
        ...

    def scan(self, choice: Choice, window: Window, as_of: Instant | None = None) -> Iterator[list[Round]]:
        """All raw rounds in pages, by day and then (series, due): for exports; memory stays bounded."""
        ...

    def raw_scan(
        self, choice: Choice, window: Window, *, fields: Sequence[str] = ROUND_FIELDS, as_of: Instant | None = None
    ) -> Iterator[RawColumns]:  # fmt: skip
        """The same as columns, those of `fields` alone, in pages as they come."""
        ...

    def history(
        self, choice: Choice, window: Window, resolution: Resolution, quantiles: Sequence[float] = QUANTILES,
        as_of: Instant | None = None,
    ) -> list[Columns]:  # fmt: skip
        """Buckets of each series; `resolution` is not raw. With `as_of`, from what was stored by then."""
        ...

    def summary(
        self,
        choice: Choice,
        window: Window,
        quantiles: Sequence[float] = QUANTILES,
        as_of: Instant | None = None,
    ) -> list[Summary]:
        """Each series over the whole window."""
        ...

    def round(self, id: str) -> Round | None:  # noqa: A002
        """One round by its `ms_...` id."""
        ...

    def request_rounds(self, request: str) -> list[Round]:
        """What an on-demand measurement has brought so far."""
        ...

    # -- paths and events
    def traces(self, choice: Choice, window: Window, limit: int) -> list[StoredTrace]:
        """Traces, newest first."""
        ...

    def routes(self, choice: Choice, window: Window) -> list[RouteState]:
        """Routes that held within the window, by series and time."""
        ...

    def events(
        self, window: Window, *, kinds: Sequence[str] = (), choice: Choice | None = None, limit: int = 100,
        before: tuple[Instant, str] | None = None, as_of: Instant | None = None,
    ) -> list[Event]:  # fmt: skip
        """Events by (detected_at, id), newest first; `before` is the last one already had."""
        ...

    def event(self, id: str) -> Event | None:  # noqa: A002
        """One event by its id."""
        ...

    def gaps(self, window: Window, vantages: Sequence[str] = ()) -> list[tuple[str, Gap]]:
        """What spools had to drop, by vantage: stretches that are "not measured", not "down"."""
        ...

    def detector_state(self, prefix: str = "") -> dict[str, bytes]:
        """The watchers' snapshots as last stored, those whose names begin so."""
        ...

    # -- control plane
    def targets(self) -> list[Target]:
        """Every target, retired ones too."""
        ...

    def targets_version(self) -> int:
        """Grows whenever a target, setting or vantage state changes: the version of assignments."""
        ...

    def nodes(self) -> list[NodeRow]:
        """Every node that ever enrolled."""
        ...

    def keys(self, account: str | None = None) -> list[Key]:
        """Keys, revoked ones too."""
        ...

    def key(self, hash: bytes) -> Key | None:  # noqa: A002
        """The key with this hash."""
        ...

    def requests(self, *, account: str | None = None, limit: int = 100) -> list[MeasurementRequest]:
        """On-demand measurements, newest first."""
        ...

    def exports(self, account: str | None = None) -> list[Export]:
        """Bulk exports, newest first."""
        ...

    def audit(self, limit: int = 100) -> list[Audit]:
        """The audit log, newest first."""
        ...

    # -- alerts
    def incidents(self, *, states: Sequence[IncidentState] = (), limit: int = 100) -> list[Incident]:
        """Incidents, those opened last first."""
        ...

    def deliveries(
        self, *, states: Sequence[DeliveryState] = (), incident: str | None = None, limit: int = 100
    ) -> list[Delivery]:
        """Deliveries, oldest first when only pending ones are asked for, else newest first."""
        ...

    def delivery(self, id: str) -> Delivery | None:  # noqa: A002
        """One delivery by its `msg_...` id."""
        ...

    def alert_orders(self, after: int = 0) -> list[Order]:
        """What people wanted done behind a number, in order."""
        ...

    def alert_state(self) -> dict[str, bytes]:
        """Alerting's snapshots as last stored."""
        ...

    def settings(self) -> dict[str, bytes]:
        """Small facts of the operator (tiers, opt-outs ...), each msgpack or JSON by its owner."""
        ...

    def close(self) -> None:
        """Let go of files."""
        ...


class StoreWriter(Protocol):
    """Writes, from one process. A call that returns is on disk."""

    def accept(self, report: Report, at: Instant, watcher: Watcher | None = None) -> Accepted:
        """Store what is new of a report, with latest, live log and conclusions, in one transaction.

        Entries up to the node's last number are skipped; a report that begins behind a hole changes nothing and
        answers the old number. Late, repeated and out-of-order rounds are stored once (series and due).
        """
        ...

    def accept_all(
        self, reports: Sequence[Report], at: Instant, watcher: Watcher | None = None
    ) -> list[Accepted]:
        """The same for several nodes' reports in one transaction: one flush for all of them."""
        ...

    def heard(self, node: str, at: Instant, report: Report, clock: Clock | None) -> None:
        """Note that a node is alive, with what it says of itself."""
        ...

    def put_targets(self, targets: Sequence[Target], at: Instant) -> int:
        """Add or replace targets by host; the new version."""
        ...

    def drop_target(self, host: str, at: Instant) -> int:
        """Stop watching; history stays. The new version."""
        ...

    def put_token(self, token: EnrolToken) -> None:
        """Remember an enrolment token."""
        ...

    def enrol(self, token_hash: bytes, vantage: Vantage, key: bytes, at: Instant) -> Vantage | None:
        """Use a token once; None when it is unknown, used or expired. A region's old node is revoked by its heir."""
        ...

    def set_state(self, node: str, state: VantageState, at: Instant) -> None:
        """Drain, revoke or activate a node."""
        ...

    def put_key(self, key: Key) -> None:
        """Add or replace a key by id."""
        ...

    def put_setting(self, name: str, value: bytes, at: Instant) -> None:
        """Remember a setting."""
        ...

    def put_request(self, request: MeasurementRequest) -> None:
        """Add or replace an on-demand measurement by id."""
        ...

    def put_export(self, export: Export) -> None:
        """Add or replace an export by id."""
        ...

    def put_audit(self, line: Audit) -> None:
        """Append to the audit log; lines are never changed."""
        ...

    def put_alerts(self, step: AlertStep) -> None:
        """Add or replace incidents, deliveries and snapshots in one transaction.

        Deliveries that are no longer pending are forgotten after ninety days; incidents are kept.
        """
        ...

    def put_alert_order(self, order: Order) -> None:
        """Append what a person wants done; its number is the store's."""
        ...

    def publish(self, events: Sequence[Event], at: Instant) -> None:
        """Store events and put them into the live log."""
        ...

    def maintain(self, now: Instant, budget_s: float = 0.05) -> bool:
        """Do a slice of sealing, rollups and retention, about `budget_s` long; True when more waits."""
        ...

    def backup(self, folder: str) -> None:
        """A consistent copy while everything runs."""
        ...

    def check(self) -> list[Fault]:
        """Everything that is not as it should be; empty is sound."""
        ...

    def close(self) -> None:
        """Flush and let go."""
        ...
