"""What alerts are made of: incidents with their life, notices about them, and deliveries of notices to channels.

A signal says that something happened; a rule says that somebody wants to know; an incident is one cause for as long as
it lasts, whatever number of rules and series saw it. A notice tells of an incident's life, a delivery is one notice on
its way to one channel.
"""

from enum import StrEnum

import msgspec

from nettrace.model.instant import Instant
from nettrace.model.signal import Severity

ORDER = (Severity.INFO, Severity.NOTICE, Severity.WARNING, Severity.CRITICAL)
"""Severities from least to most."""


class IncidentState(StrEnum):
    """How far an incident is. One that is acknowledged is still there: somebody has said that it is theirs."""

    OPEN = "open"
    ACKNOWLEDGED = "acknowledged"
    CLOSED = "closed"


class NoticeKind(StrEnum):
    """What a notice tells of an incident."""

    OPENED = "opened"
    RAISED = "raised"
    REPEATED = "repeated"
    ESCALATED = "escalated"
    CLOSED = "closed"
    TEST = "test"
    CHANNEL_DISABLED = "channel_disabled"


class Reason(msgspec.Struct, frozen=True, kw_only=True):
    """Why a rule holds, in numbers: one vantage's part of it.

    Attributes:
        subject: the series, or the vantage, that is meant.
        metric: `p50 p95 loss errors failed age silence blind`, or the kind of a signal.
        value: what was measured, in the rule's unit; None where a signal speaks for itself.
        threshold: what it had to pass.
        event: id of the signal or route change, or None.
    """

    subject: str
    metric: str
    value: float | None = None
    threshold: float | None = None
    event: str | None = None


class Incident(msgspec.Struct, frozen=True, kw_only=True):
    """One cause, from its first proof to its end.

    Attributes:
        id: `inc_...`, made from cause and time: the same facts make the same id.
        cause: what it is grouped by: `target:HOST`, `vantage:CODE`, `as:NUMBER`, `leg:A>B` or `rule:NAME`.
        rules: the rules that hold for it or held, in the order they began to.
        targets, vantages: everything that was ever seen to be affected.
        since: when the condition began; `opened_at` is when it had held long enough; `page_at` of the first page.
        quiet: its page waits for the end of quiet hours.
        why: what the newest holding rules rest on.
        traces: on-demand measurements (`req_...`) that were started when it opened.
        account: whose rules made it, or None for the hub's own.
        closed_by: `recovered`, a person's name, or why else it ended.
    """

    id: str
    cause: str
    severity: Severity
    rules: tuple[str, ...]
    targets: tuple[str, ...] = ()
    vantages: tuple[str, ...] = ()
    since: Instant
    opened_at: Instant
    state: IncidentState = IncidentState.OPEN
    why: tuple[Reason, ...] = ()
    page_at: Instant | None = None
    repeated_at: Instant | None = None
    escalated: int = 0
    acknowledged_at: Instant | None = None
    acknowledged_by: str | None = None
    closed_at: Instant | None = None
    closed_by: str | None = None
    traces: tuple[str, ...] = ()
    account: str | None = None


class Notice(msgspec.Struct, frozen=True, kw_only=True):
    """One thing to tell about an incident, and to which channels."""

    kind: NoticeKind
    at: Instant
    incident: Incident
    channels: tuple[str, ...]
    number: int = 0


class DeliveryState(StrEnum):
    """What became of a delivery."""

    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """One notice on its way to one channel; kept until long after it arrived, so that it can be sent again.

    Attributes:
        id: `msg_...`: the same at every attempt, so that a receiver can tell a repetition.
        body: the notice as its public JSON document, `nettrace.alert/1`.
        next_at: not before; meaningless unless pending.
    """

    id: str
    channel: str
    incident: str
    kind: NoticeKind
    created_at: Instant
    body: bytes
    state: DeliveryState = DeliveryState.PENDING
    attempts: int = 0
    next_at: Instant = 0
    delivered_at: Instant | None = None
    problem: str = ""


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What a person wants done: `ack` or `close` an incident, `replay` a delivery, `enable` a channel.

    Attributes:
        number: in the order they were given; the store counts.
    """

    action: str
    subject: str
    actor: str
    at: Instant
    number: int = 0


class AlertStep(msgspec.Struct, frozen=True, kw_only=True):
    """What one step of alerting changed; stored in one transaction, or not at all.

    Attributes:
        state: snapshots by name, replacing those that are there.
    """

    incidents: tuple[Incident, ...] = ()
    deliveries: tuple[Delivery, ...] = ()
    state: dict[str, bytes] = {}
