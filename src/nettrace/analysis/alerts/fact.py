"""What alerting is told: rounds, events, signs of life, what targets are, and what people want done."""

from typing import Literal

import msgspec

from nettrace.model.instant import Instant
from nettrace.model.measurement import Outcome
from nettrace.model.signal import Severity
from nettrace.model.target import Series


class RoundSeen(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """One round. `interval_ns` is how often its schedule wants one."""

    series: Series
    due: Instant
    interval_ns: int
    outcome: Outcome
    rtt_ns: int | None = None
    sent: int = 0
    received: int = 0


class EventSeen(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """A signal or a route change.

    Attributes:
        kind: of the signal, or `route_change`; `klass` is the class of a route change.
        worse: it tells of something getting worse; the other direction takes it back.
        over: it says that what it is about has ended, or never was.
        legs: the stretches at fault, of a degraded leg; `pairs` are the (vantage, target) it affects.
        subject: what all statements about one cause of many pairs have in common; it makes them one thing to alert on.
    """

    id: str
    kind: str
    target: str | None
    vantage: str | None
    method: str | None = None
    severity: Severity = Severity.INFO
    confidence: float = 1.0
    tier: str = "confirmed"
    klass: str = ""
    worse: bool = True
    over: bool = False
    legs: tuple[tuple[str, str], ...] = ()
    pairs: tuple[tuple[str, str], ...] = ()
    subject: str = ""


class Heard(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """A node of a vantage gave a sign of life. `serving` False: it was drained or revoked, and its silence is meant.

    Attributes:
        load: what its machine is like: `cpu`, `memory`, `disk` in %, `replication` the largest lag in s; what it does
            not tell is not there.
    """

    vantage: str
    at: Instant
    serving: bool = True
    load: dict[str, float] = {}


class Known(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """What a target is. `watched` False: nobody measures it any more, and what was wrong with it is over."""

    target: str
    category: str
    asn: int | None = None
    watched: bool = True


class Ordered(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """A person acknowledges or closes an incident."""

    action: Literal["ack", "close"]
    incident: str
    actor: str


Fact = RoundSeen | EventSeen | Heard | Known | Ordered
