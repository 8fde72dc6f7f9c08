"""Answers that compare, count or are asked for and done later; see `answers` for what all of them share."""

import msgspec

from nettrace.client.answers import Answer, At, Listed, Round, Target, Window


class Rank(Answer, frozen=True, kw_only=True):
    """One target's place in its group, with the interval of its median; `tied` when the place is not certain."""

    rank: int
    rank_last: int
    tied: bool
    group: str
    host: str
    name: str
    category: str
    endpoint: str
    region: str
    method: str
    p50_ms: float
    rounds: int
    received: int
    stale: bool
    fronted_by: str | None = None
    low_ms: float | None = None
    high_ms: float | None = None
    p95_ms: float | None = None
    loss: float | None = None
    at: At | None = None
    hop_count: int | None = None


class Rankings(Listed[Rank], frozen=True, kw_only=True):
    """Targets by median RTT from one region, each group for itself."""

    data: tuple[Rank, ...]
    window: Window
    category: str | None = None
    region: str | None = None
    unranked: tuple[str, ...] = ()


class Compared(Answer, frozen=True, kw_only=True):
    """One target in a comparison."""

    host: str
    name: str
    category: str
    group: str
    region: str
    outcome: str
    rounds: int
    received: int
    endpoint: str | None = None
    method: str | None = None
    p50_ms: float | None = None
    low_ms: float | None = None
    high_ms: float | None = None
    p95_ms: float | None = None
    p99_ms: float | None = None
    loss: float | None = None


class Difference(Answer, frozen=True, kw_only=True):
    """How much slower `host` is than `than`; `clear` when the interval does not hold zero."""

    host: str
    than: str
    region: str
    clear: bool
    comparable: bool
    difference_ms: float | None = None
    low_ms: float | None = None
    high_ms: float | None = None


class Comparison(Listed[Compared], frozen=True, kw_only=True):
    """A comparison; `fastest` is None unless one target clearly is."""

    data: tuple[Compared, ...]
    window: Window
    fastest: str | None = None
    differences: tuple[Difference, ...] = ()


class Count(Answer, frozen=True, kw_only=True):
    """How many of a kind."""

    name: str
    count: int


class SignalSummary(Answer, frozen=True, kw_only=True):
    """Signals of a window, counted."""

    window: Window
    signals_in_window: int
    complete: bool
    by_type: tuple[Count, ...] = ()
    by_direction: tuple[Count, ...] = ()
    top_targets: tuple[Count, ...] = ()
    latest_signal_at: At | None = None


class DetectorRecord(Answer, frozen=True, kw_only=True):
    """How one detector has done; None where nothing was settled, counted or stated."""

    detector: str
    days: int
    looked: int
    said: int
    confirmed: int
    taken_back: int
    hit_rate: float | None = None
    said_a_week: float | None = None
    stated: float | None = None


class SignalRecord(Answer, frozen=True, kw_only=True):
    """How every detector has done in this hub."""

    detectors: tuple[DetectorRecord, ...] = ()


class Cost(Answer, frozen=True, kw_only=True):
    """What a request would cost; nothing was done. None where nothing can be foreseen."""

    calls: int
    probes: int
    usd: float
    eta_s: float
    packets: int | None = None
    bytes: int | None = None
    rows: int | None = None


class Measurement(Answer, frozen=True, kw_only=True):
    """A measurement that was asked for, with what it has brought so far; lists of them come without `results`."""

    id: str
    state: str
    target: str
    endpoint: str
    method: str
    probes: int
    regions: tuple[str, ...]
    answered: tuple[str, ...]
    created_at: At
    deadline: At
    results: tuple[Round, ...] = ()


class ExportFile(Answer, frozen=True, kw_only=True):
    """One file of an export."""

    name: str
    url: str
    bytes: int
    rows: int
    sha256: str
    start: At
    end: At


class Export(Answer, frozen=True, kw_only=True):
    """A bulk export: `queued`, `running`, then `done` with files, or `failed` with a problem."""

    id: str
    state: str
    format: str
    resolution: str
    window: Window
    created_at: At
    rows: int
    bytes: int
    files: tuple[ExportFile, ...] = ()
    hosts: tuple[str, ...] = ()
    regions: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()
    finished_at: At | None = None
    expires_at: At | None = None
    problem: str | None = None


class Key(Answer, frozen=True, kw_only=True):
    """A key as the hub knows it; `key` is the secret, given once when it is made and left out of what is printed."""

    id: str
    name: str
    hint: str
    tier: str
    scopes: tuple[str, ...]
    live: bool
    created_at: At
    expires_at: At | None = None
    revoked_at: At | None = None
    key: str | None = None

    def __repr__(self) -> str:
        """Without the secret."""
        return f"Key(id={self.id!r}, name={self.name!r}, hint={self.hint!r})"


class Keys(Listed[Key], frozen=True, kw_only=True):
    """The keys of an account, without their secrets."""

    data: tuple[Key, ...]


class CustomTargets(Listed[Target], frozen=True, kw_only=True):
    """An account's own targets."""

    data: tuple[Target, ...]


class Policy(Answer, frozen=True, kw_only=True):
    """One limit on calls."""

    name: str
    limit: int
    used: int
    remaining: int
    window_s: int
    reset_s: int


class Limits(Answer, frozen=True, kw_only=True):
    """What the calling key may do. None is unlimited."""

    tier: str
    account: str
    scopes: tuple[str, ...]
    features: tuple[str, ...]
    streams: int
    custom_targets: int
    policies: tuple[Policy, ...]
    key: str | None = None
    history_days: int | None = None


class Usage(Answer, frozen=True, kw_only=True):
    """Calls of this account today."""

    account: str
    day: str
    calls: int | None = None
    limit: int | None = None


class Ask(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The body of a request; what was not said is left out."""


class CustomTargetAsk(Ask, frozen=True, kw_only=True, omit_defaults=True):
    """A host to watch for this account."""

    host: str
    name: str = ""
    category: str = "Mine"
    url: str | None = None
    port: int | None = None
    methods: tuple[str, ...] = ()


class MeasurementAsk(Ask, frozen=True, kw_only=True, omit_defaults=True):
    """What to measure now."""

    target: str
    regions: tuple[str, ...] | None = None
    endpoint: str | None = None
    method: str | None = None
    probes: int | None = None


class ExportAsk(Ask, frozen=True, kw_only=True, omit_defaults=True):
    """What to export."""

    start: str
    end: str
    hosts: tuple[str, ...] = ()
    regions: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()
    format: str | None = None
    resolution: str | None = None


class KeyAsk(Ask, frozen=True, kw_only=True, omit_defaults=True):
    """A new key."""

    name: str | None = None
    scopes: tuple[str, ...] | None = None
    test: bool = False
    expires_at: str | None = None
