"""Spikes and drops: one to four samples far from the level, and back.

What does not come back is a shift and is left to the shift detector: one cause, one signal. How far is far is asked
of the series itself: the p-value of a sample is its rank among the newest 2,048 to 4,096 distances of its own
(`tail.py`), so no distribution is assumed. Single samples are information about a path, never an alert.
"""

import msgspec

from nettrace.analysis.signals.detector import NOTHING, pack, unpack
from nettrace.analysis.signals.regime import GATE_MS, GATE_SHARE, Regime, RegimeState
from nettrace.analysis.signals.tail import Tail, TailState
from nettrace.model.instant import NS_PER_MS, Instant
from nettrace.model.signal import Direction, Evidence, Kind, Observation, Severity, Signal, Tier, severity_of

NAME = "anomaly/1"
RARE = 0.001
"""Largest p-value of an anomaly, for spikes and for drops each."""
SPREADS = 8.0
"""Least distance from the level, in spreads of the regime."""
LONGEST = 4


class Excursion(msgspec.Struct):
    """Samples away from the level that have not come back yet; `extreme` and the levels are ms."""

    at: Instant
    extreme: float
    distance: float
    p_value: float
    level: float
    spread: float
    samples: int = 1


class AnomalyState(msgspec.Struct):
    """All that the detector remembers."""

    regime: RegimeState = msgspec.field(default_factory=RegimeState)
    above: TailState = msgspec.field(default_factory=TailState)
    below: TailState = msgspec.field(default_factory=TailState)
    open: Excursion | None = None


class AnomalyDetector:
    """Spikes and drops of one series, from its 1,000th answered sample on."""

    __slots__ = ("_above", "_below", "_open", "_regime")

    def __init__(self, interval_ns: int | None = None) -> None:
        self._regime = Regime(interval_ns=interval_ns)
        self._above, self._below = Tail(), Tail()
        self._open: Excursion | None = None

    @property
    def name(self) -> str:
        """`anomaly/1`."""
        return NAME

    def feed(self, observation: Observation) -> tuple[Signal, ...]:
        """The spike or drop that has ended with this observation."""
        if observation.rtt_ns is None:
            return NOTHING
        value, regime = observation.rtt_ns / NS_PER_MS, self._regime
        if not regime.settled:
            self._open = None
            regime.push(observation.at, value)
            return NOTHING
        level, spread = regime.level, regime.spread
        regime.push(observation.at, value)
        distance = (value - level) / spread
        side = self._above if distance >= 0 else self._below
        p_value = side.p_value(abs(distance))
        self._above.add(max(distance, 0.0))
        self._below.add(max(-distance, 0.0))
        gate = max(GATE_MS, GATE_SHARE * level, SPREADS * spread)
        if abs(value - level) < gate:
            return self._back(observation.at)
        self._away(Excursion(observation.at, value, distance, p_value, level, spread))
        return NOTHING

    def snapshot(self) -> bytes:
        """All that the detector remembers."""
        state = AnomalyState(
            regime=self._regime.state, above=self._above.state, below=self._below.state, open=self._open
        )
        return pack(NAME, state)

    def restore(self, state: bytes) -> None:
        """Remember that instead.

        Raises:
            Invalid: it is not a snapshot of this detector in this version.
        """
        known = unpack(NAME, AnomalyState, state)
        self._regime.resume(known.regime)
        self._above.state, self._below.state, self._open = known.above, known.below, known.open

    def _away(self, sample: Excursion) -> None:
        """Begin an excursion or let the one under way go on; its most distant sample stands for it."""
        last = self._open
        if last is None:
            self._open = sample
            return
        last.samples += 1
        if abs(sample.distance) > abs(last.distance):
            last.extreme, last.distance, last.p_value = sample.extreme, sample.distance, sample.p_value

    def _back(self, at: Instant) -> tuple[Signal, ...]:
        last, self._open = self._open, None
        if last is None or last.samples > LONGEST or last.p_value > RARE:
            return NOTHING
        from_ns, to_ns = round(last.level * NS_PER_MS), round(last.extreme * NS_PER_MS)
        size = severity_of(from_ns, to_ns)
        return (
            Signal(
                kind=Kind.ANOMALY,
                detector=NAME,
                at=last.at,
                detected_at=at,
                direction=Direction.UP if last.distance > 0 else Direction.DOWN,
                severity=Severity.INFO if size is Severity.INFO else Severity.NOTICE,
                confidence=round(1 - last.p_value, 4),
                tier=Tier.CONFIRMED,
                evidence=Evidence(
                    statistic="conformal_p",
                    value=round(last.p_value, 6),
                    threshold=RARE,
                    samples=last.samples,
                    baseline=self._above.seen,
                    noise_ns=round(last.spread * NS_PER_MS),
                ),
                from_ns=from_ns,
                to_ns=to_ns,
            ),
        )
