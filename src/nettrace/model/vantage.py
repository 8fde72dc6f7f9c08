"""Places we measure from, and what is known of them."""

from enum import StrEnum
from typing import Annotated

import msgspec

from nettrace.model.instant import Instant


class VantageState(StrEnum):
    """What becomes of a vantage's reports."""

    ACTIVE = "active"
    DRAINED = "drained"
    REVOKED = "revoked"


class Clock(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How far a node's clock is from the hub's, by the round trip of one report (RFC 5905, 8: theta and delta/2).

    Attributes:
        offset_ns: hub minus node.
        error_ns: half the round trip: truth lies within +-error_ns.
        drift_ppm: how much faster the hub's clock runs, once enough time has passed to tell.
        synchronised: what the node's kernel says of its own clock, or None when it does not tell.
    """

    offset_ns: int
    error_ns: int
    synchronised: bool | None = None
    drift_ppm: float | None = None


Lag = Annotated[float, msgspec.Meta(ge=0, le=1e9)]
LagName = Annotated[str, msgspec.Meta(min_length=1, max_length=100)]
MOST_LAGS = 32


class Load(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How a node's machine is, by its kernel's word. None is "not measured".

    Attributes:
        cpu_percent: of all cores together, since the report before.
        memory_used_bytes: total less what the kernel calls available.
        disk_used_bytes: of the file system the spool is on; room only root may use counts as used.
        rss_bytes: of the node's own process.
        replication_lag_s: by endpoint, from the operator's gauge files (docs/guides/observability.md).

    >>> Load(memory_used_bytes=1, memory_bytes=4).memory_percent
    25.0
    """

    cpu_percent: float | None = None
    cores: int = 0
    memory_used_bytes: int | None = None
    memory_bytes: int | None = None
    disk_used_bytes: int | None = None
    disk_bytes: int | None = None
    rss_bytes: int | None = None
    replication_lag_s: Annotated[dict[LagName, Lag], msgspec.Meta(max_length=MOST_LAGS)] = {}

    @property
    def memory_percent(self) -> float | None:
        """Used memory of all there is."""
        return _percent(self.memory_used_bytes, self.memory_bytes)

    @property
    def disk_percent(self) -> float | None:
        """Used room of the spool's file system."""
        return _percent(self.disk_used_bytes, self.disk_bytes)


def load_values(load: Load | None) -> dict[str, float]:
    """What rules look at: `cpu memory disk` in %, `replication` the largest lag in s; what is not known is not there.

    >>> load_values(Load(cpu_percent=12.5, replication_lag_s={"pg-sin": 0.2, "redis-sin": 1.5}))
    {'cpu': 12.5, 'replication': 1.5}
    """
    if load is None:
        return {}
    found = {"cpu": load.cpu_percent, "memory": load.memory_percent, "disk": load.disk_percent}
    known = {name: value for name, value in found.items() if value is not None}
    return known | ({"replication": max(load.replication_lag_s.values())} if load.replication_lag_s else {})


def _percent(used: int | None, total: int | None) -> float | None:
    return None if used is None or not total else round(100.0 * used / total, 2)


def third_party(code: str) -> str:
    """The service whose probe a vantage is; empty for a node of our own, whose code cannot hold a colon.

    >>> third_party("globalping:tokyo-jp-as16509"), third_party("nyc")
    ('globalping', '')
    """
    service, mark, _ = code.partition(":")
    return service if mark else ""


class Vantage(msgspec.Struct, frozen=True, kw_only=True):
    """A place we measure from.

    Attributes:
        code: its name everywhere; the seeds call it region.
        city, country, latitude, longitude: where it says it stands, or None.
        last_seen: when the hub last heard of it; None is never.
        methods: what its host permits, by its own report, with how (`raw`, `datagram`, `connect` ...).
        problems: what its host does not permit, in words.
        reflector: ADDRESS:PORT of its STAMP reflector, by its own report; empty for none.
        lost_records: records its spool had to drop, all in all; each drop is a stated gap.
        load: how its machine is, by its newest report.
        resting: by the same report it measures nothing, because it was drained.
        backlog: entries that wait in its spool, `oldest_at` since when, by the same report.
    """

    code: str
    node: str
    state: VantageState = VantageState.ACTIVE
    city: str | None = None
    country: str | None = None
    latitude: float | None = None
    longitude: float | None = None
    enrolled_at: Instant = 0
    last_seen: Instant | None = None
    version: str = ""
    methods: dict[str, str] = {}
    problems: tuple[str, ...] = ()
    clock: Clock | None = None
    lost_records: int = 0
    reflector: str = ""
    load: Load | None = None
    resting: bool = False
    backlog: int = 0
    oldest_at: Instant | None = None

    @property
    def third_party(self) -> str:
        """The service whose probe this is; empty for a node of our own."""
        return third_party(self.code)
