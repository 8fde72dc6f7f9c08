"""Rules, incidents, channels, silences."""

from typing import Annotated

import msgspec


class EscalationShape(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Who else is told when nobody has acknowledged for so long."""

    after: str
    channels: list[str]


class RuleAsk(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A rule, in the words of `alerts.toml` (docs/guides/alerts.md); what is left out is the preset's or the default."""

    name: str
    preset: str | None = None
    metric: str | None = None
    above: float | None = None
    recover: float | None = None
    mads: float | None = None
    targets: list[str] | None = None
    categories: list[str] | None = None
    vantages: list[str] | None = None
    methods: list[str] | None = None
    kinds: list[str] | None = None
    classes: list[str] | None = None
    least_severity: str | None = None
    confidence: float | None = None
    k: int | None = None
    n: int | None = None
    hold: str | None = msgspec.field(default=None, name="for")
    lasts: str | None = None
    window: str | None = None
    least: int | None = None
    severity: str | None = None
    repeat: str | None = None
    escalate: list[EscalationShape] | None = None
    channels: list[str] | None = None
    group: str | None = None


class RuleShape(msgspec.Struct, kw_only=True):
    """A rule with everything it left out filled in."""

    object: str = "alert_rule"
    name: str
    metric: str
    above: float | None
    recover: float | None
    mads: float | None
    targets: list[str]
    categories: list[str]
    vantages: list[str]
    methods: list[str]
    kinds: list[str]
    classes: list[str]
    least_severity: str
    confidence: float
    k: int
    n: int
    hold: str = msgspec.field(name="for")
    lasts: str
    window: str
    least: int
    severity: str
    repeat: str | None
    escalate: list[EscalationShape]
    channels: list[str]
    group: str
    preset: str | None


class ChannelAsk(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Where notices go: `webhook`, `slack`, `discord` or `alertmanager`. `allow` is the operator's: networks it may post into."""

    name: str
    kind: str
    url: str
    least_severity: str | None = None
    allow: list[str] | None = None


class ChannelShape(msgspec.Struct, kw_only=True):
    """A channel. Its address is not shown again, because it may be the secret; `secret` signs webhooks and is shown once."""

    object: str = "alert_channel"
    name: str
    kind: str
    host: str
    least_severity: str
    allow: list[str]
    created_at: str
    secret: str | None = None


class ChannelTest(msgspec.Struct, kw_only=True):
    """What became of a test notice; `detail` says why it did not arrive."""

    object: str = "alert_channel_test"
    channel: str
    delivered: bool
    detail: str


class SilenceAsk(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A stretch of time in which what it names is not judged; nothing named is everything. Patterns with `*`."""

    start: str
    end: str
    targets: list[str] = []
    vantages: list[str] = []
    note: Annotated[str, msgspec.Meta(max_length=500)] = ""


class SilenceShape(msgspec.Struct, kw_only=True):
    """A silence."""

    object: str = "alert_silence"
    id: str
    start: str
    end: str
    targets: list[str]
    vantages: list[str]
    note: str


class WhyShape(msgspec.Struct, kw_only=True):
    """One vantage's part of why a rule holds, in the rule's unit."""

    subject: str
    metric: str
    value: float | None
    threshold: float | None
    event: str | None


class CountsShape(msgspec.Struct, kw_only=True):
    """How long an incident's lists are in full."""

    targets: int
    vantages: int
    why: int


class IncidentShape(msgspec.Struct, kw_only=True):
    """One cause for as long as it lasts. `traces` are measurements that were started when it opened."""

    object: str = "incident"
    id: str
    state: str
    severity: str
    cause: str
    rules: list[str]
    targets: list[str]
    vantages: list[str]
    counts: CountsShape
    since: str
    opened_at: str
    page_at: str | None
    acknowledged_at: str | None
    acknowledged_by: str | None
    closed_at: str | None
    closed_by: str | None
    traces: list[str]
    why: list[WhyShape]
