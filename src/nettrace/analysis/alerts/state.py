"""Everything the evaluator remembers, in a shape that can be written down and taken up again."""

import msgspec

from nettrace.analysis.alerts.fact import EventSeen, Known
from nettrace.analysis.alerts.gauge import Gauge
from nettrace.analysis.alerts.incident import Memory
from nettrace.model.instant import Instant


class Unit(msgspec.Struct, kw_only=True):
    """A rule and one thing it is held against, while anything speaks against that thing."""

    rule: str
    subject: str
    pending_since: Instant | None = None
    clear_since: Instant | None = None
    cause: str | None = None
    muted: bool = False


class Active(msgspec.Struct, frozen=True, kw_only=True):
    """A signal that counts until somebody takes it back or its time is over."""

    rule: str
    subject: str
    event: EventSeen
    until: Instant


class State(msgspec.Struct, kw_only=True):
    """Everything that is remembered, as it is written down."""

    now: Instant = -1
    since: Instant = -1
    aged_at: Instant = -1
    gauges: dict[str, Gauge] = {}
    bad: dict[str, list[str]] = {}
    signals: dict[str, Active] = {}
    heard: dict[str, Instant] = {}
    loads: dict[str, dict[str, float]] = {}
    known: dict[str, Known] = {}
    units: dict[str, Unit] = {}
    incidents: dict[str, Memory] = {}
