"""Two series that kept their distance no longer do: the difference of two RTTs leaves its regime.

Feed one series with `feed` and the other with `beside`, both in order of time; which two is the caller's choice. A
divergence is a regime change of the difference, dated within four samples of no change of the other series' own: that
the other one moved is its own shift, said once already. So each statement is held back for five samples.
"""

import msgspec

from nettrace.analysis.signals import confidence
from nettrace.analysis.signals.detector import NOTHING, pack, unpack
from nettrace.analysis.signals.regime import Change, Regime, RegimeState
from nettrace.analysis.signals.shift import evidence_of
from nettrace.model.instant import NS_PER_MS, Instant
from nettrace.model.signal import Direction, Kind, Observation, Signal, Tier, severity_of

NAME = "divergence/1"
NEAR, HELD_BACK = 4, 5
"""Samples: how near a change of the other series explains one of the difference, and how long it is waited for."""
STALE = 1.5
"""Intervals after which the other series' newest sample is too old to be compared with."""


class DivergenceState(msgspec.Struct):
    """All that the detector remembers.

    Attributes:
        other_at: newest observation of the other series.
        other_ms: its RTT; None when it was lost or not measured.
        other_moved: when the other series last moved.
        held: a change of the difference that waits, with the level of this series before it.
        waited: samples since then.
    """

    gap: RegimeState = msgspec.field(default_factory=RegimeState)
    other: RegimeState = msgspec.field(default_factory=RegimeState)
    other_at: Instant = 0
    other_ms: float | None = None
    other_moved: Instant | None = None
    held: tuple[Change, float] | None = None
    waited: int = 0


class DivergenceDetector:
    """Divergence of one series from another; says nothing while the other is not heard of."""

    __slots__ = ("_gap", "_other", "_state")

    def __init__(self, interval_ns: int | None = None) -> None:
        self._gap = Regime(interval_ns=interval_ns)
        self._other = Regime(interval_ns=interval_ns)
        self._state = DivergenceState()

    @property
    def name(self) -> str:
        """`divergence/1`."""
        return NAME

    def beside(self, observation: Observation) -> None:
        """Remember what the other series did; feed it up to and including each instant first."""
        state = self._state
        state.other_at = observation.at
        state.other_ms = None if observation.rtt_ns is None else observation.rtt_ns / NS_PER_MS
        if state.other_ms is None:
            return
        change = self._other.push(observation.at, state.other_ms)
        if change is not None:
            state.other_moved = change.at

    def feed(self, observation: Observation) -> tuple[Signal, ...]:
        """The divergence that this observation of the watched series proves."""
        state = self._state
        if observation.rtt_ns is None or state.other_ms is None:
            return NOTHING
        interval_ns = self._gap.interval_ns
        if interval_ns and observation.at - state.other_at > STALE * interval_ns:
            return NOTHING
        value = observation.rtt_ns / NS_PER_MS
        change = self._gap.push(observation.at, value - state.other_ms, scale=value)
        if change is not None:
            state.held, state.waited = (change, value), 0
            return NOTHING
        if state.held is None:
            return NOTHING
        state.waited += 1
        return self._release(observation.at) if state.waited >= HELD_BACK else NOTHING

    def snapshot(self) -> bytes:
        """All that the detector remembers."""
        return pack(NAME, msgspec.structs.replace(self._state, gap=self._gap.state, other=self._other.state))

    def restore(self, state: bytes) -> None:
        """Remember that instead.

        Raises:
            Invalid: it is not a snapshot of this detector in this version.
        """
        self._state = unpack(NAME, DivergenceState, state)
        self._gap.resume(self._state.gap)
        self._other.resume(self._state.other)

    def _release(self, at: Instant) -> tuple[Signal, ...]:
        state = self._state
        if state.held is None:
            return NOTHING
        change, value = state.held
        state.held = None
        moved = state.other_moved
        if moved is not None and abs(moved - change.at) <= NEAR * change.interval_ns:
            return NOTHING
        step = change.after - change.before
        from_ns, to_ns = round((value - step) * NS_PER_MS), round(value * NS_PER_MS)
        return (
            Signal(
                kind=Kind.DIVERGENCE,
                detector=NAME,
                at=change.at,
                detected_at=at,
                direction=Direction.UP if step > 0 else Direction.DOWN,
                severity=severity_of(max(from_ns, 1), to_ns),
                confidence=round(confidence.tentative(change), 3),
                tier=Tier.CONFIRMED,
                evidence=evidence_of(change),
                from_ns=round(change.before * NS_PER_MS),
                to_ns=round(change.after * NS_PER_MS),
            ),
        )
