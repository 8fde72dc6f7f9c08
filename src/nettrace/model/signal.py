"""What a detector is fed and what it says: observations of one series, and signals with their evidence.

A signal is a statement about a series ("the level moved at T from 31 ms to 44 ms") together with what it rests on
and how often such statements are right. It is never an alert: rules over signals make alerts.
"""

from enum import StrEnum

import msgspec

from nettrace.model.instant import Instant
from nettrace.model.measurement import SampleState


class Observation(msgspec.Struct, frozen=True, gc=False):
    """One round of a series as detectors see it.

    Attributes:
        at: when it was measured.
        state: answered, lost (a fact about the target) or not measured (a fact about ourselves).
        rtt_ns: round-trip time in nanoseconds; None unless answered.
    """

    at: Instant
    state: SampleState
    rtt_ns: int | None = None


class Kind(StrEnum):
    """What a signal says happened."""

    ANOMALY = "anomaly"
    SHIFT = "shift"
    TREND = "trend"
    LOSS = "loss"
    DIVERGENCE = "divergence"
    ROUTE_CHANGE = "route_change"
    ROUTE_CHANGE_SHARED = "route_change_shared"
    DEGRADED_LEG = "degraded_leg"
    RANK = "rank"


class Direction(StrEnum):
    """Which way the measured quantity went; more loss is up."""

    UP = "up"
    DOWN = "down"


class Severity(StrEnum):
    """How much it matters if it is true, by size alone (`severity_of`); how sure we are is `confidence`."""

    INFO = "info"
    NOTICE = "notice"
    WARNING = "warning"
    CRITICAL = "critical"


class Tier(StrEnum):
    """How far a statement has been proven.

    `tentative` when it was first made; `confirmed` when it has held; `transient` when it was taken back because
    the series returned before it could be confirmed; `ended` when what began is over.
    """

    TENTATIVE = "tentative"
    CONFIRMED = "confirmed"
    TRANSIENT = "transient"
    ENDED = "ended"


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """The figures a signal rests on, enough to recompute the decision by hand.

    Attributes:
        statistic: which one: `log_likelihood_ratio`, `conformal_p`, `mann_kendall_z`, `bernoulli_cusum`,
            `z_score` or `slope_ms`.
        value: what it came to.
        threshold: what it had to pass.
        samples: how many samples speak for the change.
        baseline: how many samples the state before is known from.
        noise_ns: mean absolute deviation of the state before, or None where that means nothing.
        after_gap: the samples before and after the change are separated by a stretch without measurements.
    """

    statistic: str
    value: float
    threshold: float
    samples: int
    baseline: int
    noise_ns: int | None = None
    after_gap: bool = False


class Signal(msgspec.Struct, frozen=True, kw_only=True):
    """One statement of one detector about one series.

    Attributes:
        detector: the catalogue's name of the detector, with its version (`shift/1`).
        at: estimated time of what happened.
        detected_at: time of the sample that proved it; never earlier than `at`.
        confidence: share of such statements that are right, 0 to 1, by the detector's own stated measure.
        from_ns: level before; None where the kind has none (loss).
        to_ns: level after.
        from_loss: share of lost probes before, 0 to 1; None unless the kind is loss.
        to_loss: share of lost probes after.
        updates: True when this only moves an earlier signal with the same kind and `at` to another tier.
        returns_to: `at` of the earlier signal whose change this one takes back, or None.
        flapping: it is one of many changes to and fro in a short time.
    """

    kind: Kind
    detector: str
    at: Instant
    detected_at: Instant
    direction: Direction
    severity: Severity
    confidence: float
    tier: Tier
    evidence: Evidence
    from_ns: int | None = None
    to_ns: int | None = None
    from_loss: float | None = None
    to_loss: float | None = None
    updates: bool = False
    returns_to: Instant | None = None
    flapping: bool = False


def severity_of(from_ns: int, to_ns: int) -> Severity:
    """How much a step between two RTT levels matters: both its size and its share of the level count.

    critical: 30 ms and 25 %; warning: 10 ms and 10 %; notice: 3 ms or 5 %; info: less.

    >>> severity_of(31_200_000, 44_000_000)
    <Severity.WARNING: 'warning'>
    """
    step_ms = abs(to_ns - from_ns) / 1e6
    share = abs(to_ns - from_ns) / from_ns if from_ns > 0 else 1.0
    if step_ms >= 30 and share >= 0.25:
        return Severity.CRITICAL
    if step_ms >= 10 and share >= 0.10:
        return Severity.WARNING
    return Severity.NOTICE if step_ms >= 3 or share >= 0.05 else Severity.INFO
