"""The level of a series moved: regime changes, first as tentative statements, then confirmed or taken back.

Each change is said once, when it is proven (`tier` tentative). Twelve further samples in the new regime may confirm
it; a return to the level before takes it back. Both are updates of the same statement, not new ones; the return
itself is a change of its own, with `returns_to`.
"""

import msgspec

from nettrace.analysis.signals import confidence
from nettrace.analysis.signals.detector import NOTHING, pack, unpack
from nettrace.analysis.signals.regime import GATE_MS, GATE_SHARE, Change, Regime, RegimeState
from nettrace.model.instant import NS_PER_MS, Instant
from nettrace.model.signal import Direction, Evidence, Kind, Observation, Signal, Tier, severity_of

NAME = "shift/1"
HELD = 12
"""Further samples that a level must hold before it can be confirmed."""
FLAPS, FLAP_SAMPLES = 4, 64
"""So many changes within so many samples are flapping."""
RETURN_SHARE = 0.25
"""Of the step: a level this near to the one before is a return to it."""


class ShiftState(msgspec.Struct):
    """All that the detector remembers.

    Attributes:
        last: the newest shift.
        change: the figures it rests on.
        open: samples since it was proven; None when its tier is settled.
        seen: answered samples so far.
        recent: `seen` at each of the newest shifts.
    """

    regime: RegimeState = msgspec.field(default_factory=RegimeState)
    last: Signal | None = None
    change: Change | None = None
    open: int | None = None
    seen: int = 0
    recent: list[int] = []


class ShiftDetector:
    """Shifts of one RTT series; about a kilobyte a series. Lost and unmeasured observations are passed over."""

    __slots__ = ("_change", "_last", "_open", "_recent", "_regime", "_seen")

    def __init__(self, interval_ns: int | None = None, threshold: float | None = None) -> None:
        self._regime = Regime(interval_ns=interval_ns, threshold=threshold)
        self._last: Signal | None = None
        self._change: Change | None = None
        self._open: int | None = None
        self._seen = 0
        self._recent: list[int] = []

    @property
    def name(self) -> str:
        """`shift/1`."""
        return NAME

    @property
    def regime(self) -> Regime:
        """The level the series is at."""
        return self._regime

    def feed(self, observation: Observation) -> tuple[Signal, ...]:
        """The shift this observation proves, and what becomes of the one before."""
        if observation.rtt_ns is None:
            return NOTHING
        self._seen += 1
        change = self._regime.push(observation.at, observation.rtt_ns / NS_PER_MS)
        if change is not None:
            return self._moved(change, observation.at)
        if self._open is None:
            return NOTHING
        self._open += 1
        return self._settle(observation.at) if self._open > HELD else NOTHING

    def snapshot(self) -> bytes:
        """All that the detector remembers, a kilobyte or less."""
        state = ShiftState(
            regime=self._regime.state,
            last=self._last,
            change=self._change,
            open=self._open,
            seen=self._seen,
            recent=self._recent,
        )
        return pack(NAME, state)

    def restore(self, state: bytes) -> None:
        """Remember that instead.

        Raises:
            Invalid: it is not a snapshot of this detector in this version.
        """
        known = unpack(NAME, ShiftState, state)
        self._regime.resume(known.regime)
        self._last, self._change, self._open = known.last, known.change, known.open
        self._seen, self._recent = known.seen, known.recent

    def _moved(self, change: Change, at: Instant) -> tuple[Signal, ...]:
        last, before = self._last, self._change
        returned = last is not None and before is not None and _is_return(before, change.after)
        self._recent = [*self._recent[1 - FLAPS :], self._seen]
        made = Signal(
            kind=Kind.SHIFT,
            detector=NAME,
            at=change.at,
            detected_at=at,
            direction=Direction.UP if change.after > change.before else Direction.DOWN,
            severity=severity_of(_ns(change.before), _ns(change.after)),
            confidence=round(confidence.tentative(change), 3),
            tier=Tier.TENTATIVE,
            evidence=evidence_of(change),
            from_ns=_ns(change.before),
            to_ns=_ns(change.after),
            returns_to=last.at if last is not None and returned else None,
            flapping=len(self._recent) == FLAPS and self._seen - self._recent[0] <= FLAP_SAMPLES,
        )
        closed = NOTHING
        if last is not None and self._open is not None:
            closed = (_update(last, at, Tier.TRANSIENT if returned else Tier.ENDED),)
        self._last, self._change, self._open = made, change, 0
        return (*closed, made)

    def _settle(self, at: Instant) -> tuple[Signal, ...]:
        """Confirm the newest shift if the level that held is far enough from the one before; else leave it be."""
        last, change = self._last, self._change
        self._open = None
        if last is None or change is None:
            return NOTHING
        share = confidence.held(change, *self._regime.summary())
        if share < confidence.CONFIRMED_LEAST:
            return NOTHING
        return (msgspec.structs.replace(_update(last, at, Tier.CONFIRMED), confidence=round(share, 3)),)


def evidence_of(change: Change) -> Evidence:
    """What a change of regime rests on."""
    return Evidence(
        statistic="log_likelihood_ratio",
        value=round(change.ratio, 2),
        threshold=round(change.threshold, 2),
        samples=change.tested,
        baseline=change.base,
        noise_ns=_ns(change.spread),
        after_gap=change.after_gap,
    )


def _is_return(first: Change, level: float) -> bool:
    gate = max(GATE_MS, GATE_SHARE * abs(first.before))
    return abs(level - first.before) <= max(gate, RETURN_SHARE * abs(first.after - first.before))


def _update(signal: Signal, at: Instant, tier: Tier) -> Signal:
    return msgspec.structs.replace(signal, detected_at=at, tier=tier, updates=True)


def _ns(milliseconds: float) -> int:
    return round(milliseconds * NS_PER_MS)
