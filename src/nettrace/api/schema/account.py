"""Keys, limits, tiers, and the hub itself."""

from typing import Annotated

import msgspec


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


class CustomTargetAsk(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A host to watch for this account alone. `methods` are `icmp tcp udp http ws dns trace`."""

    host: str
    name: str = ""
    category: str = "Mine"
    url: str | None = None
    port: Annotated[int, msgspec.Meta(ge=1, le=65_535)] | None = None
    methods: list[str] = []


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
    """Whether requests can be answered. 503 while the store or the writer cannot be reached.

    Attributes:
        why: what is not ready and why, a sentence each; empty when all is.
        warnings: what lags although requests are answered: queues, upkeep, vantages that are silent.
    """

    status: str
    store: str
    writer: str
    snapshot_age_s: float
    regions: list[RegionAge]
    why: list[str]
    warnings: list[str]


class VersionShape(msgspec.Struct, kw_only=True):
    """Which program answers."""

    version: str
    api: str
    protocol: int
    python: str
