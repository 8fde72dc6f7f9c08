"""Who may ask for what: keys, scopes, tiers."""

from enum import StrEnum

import msgspec

from nettrace.model.instant import Instant


class Scope(StrEnum):
    """What a key may do beyond its tier. Fixed when the key is made; read-only unless said."""

    READ = "read"
    MEASURE = "measure"
    TARGETS = "targets"
    KEYS = "keys"
    ALERTS = "alerts"
    FLEET = "fleet"


class Feature(StrEnum):
    """What a tier may hold beside its numbers."""

    ROUTES = "routes"
    COMPARE = "compare"
    SIGNALS = "signals"
    EXPORT = "export"
    STREAM = "stream"
    MEASURE = "measure"
    CUSTOM_TARGETS = "custom_targets"
    ALERTS = "alerts"


class Tier(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one price buys. Tiers are the operator's configuration, not code.

    Attributes:
        calls_per_day: None is unlimited.
        calls_per_minute: the burst allowed besides; None is unlimited.
        history_days: how far back its answers reach; None is all there is.
        streams: connections open at once; 0 is none.
        custom_targets: targets of its own; 0 is none.
        price_usd_month: shown on the pricing page; None is "ask".
    """

    name: str
    title: str
    calls_per_day: int | None = None
    calls_per_minute: int | None = None
    history_days: int | None = None
    features: frozenset[Feature] = frozenset()
    streams: int = 0
    custom_targets: int = 0
    price_usd_month: int | None = None


class Key(msgspec.Struct, frozen=True, kw_only=True):
    """An API key as the hub keeps it: never the key itself.

    Attributes:
        id: `key_...`, safe to show.
        hash: SHA-256 of the whole key; keys carry 178 random bits, so no slow hash is needed.
        hint: the last four characters, to tell keys apart.
        account: whose it is.
        tier: name of the tier; looked up at each call, so that a changed tier takes effect at once.
        live: False for `nt_test_` keys, which have the tier `test` whatever else is said: for writing code against.
    """

    id: str
    hash: bytes
    hint: str
    account: str
    tier: str
    scopes: frozenset[Scope] = frozenset({Scope.READ})
    live: bool = True
    name: str = ""
    created_at: Instant = 0
    expires_at: Instant | None = None
    revoked_at: Instant | None = None
