"""The RTT creeps: a monotone trend of a day or more inside one regime, with no single step large enough to be a shift.

Samples are averaged over hours; over the newest 24 to 48 of these the Mann-Kendall statistic asks whether later hours
are slower, with its variance widened for what the hours have in common with their neighbours (lag 1 of the residuals:
n_eff = n (1 - r) / (1 + r)), and the Theil-Sen slope says by how much. A trend begins at |Z| > 4 if what it has
amounted to exceeds the gate of a shift. It ends when |Z|, not widened, falls below 1.6, when the level moves at once
(then the shift says what happened) or at a hole of twelve hours. A day is the least there is to tell creeping from a
daily rhythm: half of one looks the same.
"""

from itertools import combinations, pairwise
from math import erfc, sqrt
from statistics import median

import msgspec

from nettrace.analysis.signals.detector import NOTHING, pack, unpack
from nettrace.analysis.signals.regime import GATE_MS, GATE_SHARE, Regime, RegimeState
from nettrace.model.instant import NS_PER_MS, NS_PER_S, Instant
from nettrace.model.signal import Direction, Evidence, Kind, Observation, Signal, Tier, severity_of

NAME = "trend/1"
HOUR_NS = 3600 * NS_PER_S
LEAST, MOST, HOLE = 24, 48, 12
"""Hours: that a trend needs, that are looked at, and that may be missing in a row."""
BEGINS, ENDS = 4.0, 1.6


class TrendState(msgspec.Struct):
    """All that the detector remembers.

    Attributes:
        hour: the hour under way, counted since 1970.
        total: sum of its samples in ms.
        count: how many those are.
        means: averages of the hours of the regime, oldest first.
        hours: which hours those were.
        balance: pairs of averages that rise minus pairs that fall.
        signal: the trend under way.
    """

    regime: RegimeState = msgspec.field(default_factory=RegimeState)
    hour: int = 0
    total: float = 0.0
    count: int = 0
    means: list[float] = []
    hours: list[int] = []
    balance: int = 0
    signal: Signal | None = None


class TrendDetector:
    """Trends of one series, from the second day of a regime on."""

    __slots__ = ("_regime", "_state")

    def __init__(self, interval_ns: int | None = None) -> None:
        self._regime = Regime(interval_ns=interval_ns)
        self._state = TrendState()

    @property
    def name(self) -> str:
        """`trend/1`."""
        return NAME

    def feed(self, observation: Observation) -> tuple[Signal, ...]:
        """The trend that the hour before this observation proves, or the end of the one under way."""
        if observation.rtt_ns is None:
            return NOTHING
        state, value = self._state, observation.rtt_ns / NS_PER_MS
        hour = observation.at // HOUR_NS
        moved = self._regime.push(observation.at, value) is not None
        if moved or state.count == 0 or hour > state.hour + HOLE:
            ended = self._end(observation.at)
            self._state = TrendState(hour=hour, total=value, count=1)
            return ended
        if hour <= state.hour:
            state.total += value
            state.count += 1
            return NOTHING
        self._add(state.total / state.count)
        state.hour, state.total, state.count = hour, value, 1
        return self._judge(observation.at) if len(state.means) >= LEAST else NOTHING

    def snapshot(self) -> bytes:
        """All that the detector remembers."""
        return pack(NAME, msgspec.structs.replace(self._state, regime=self._regime.state))

    def restore(self, state: bytes) -> None:
        """Remember that instead.

        Raises:
            Invalid: it is not a snapshot of this detector in this version.
        """
        self._state = unpack(NAME, TrendState, state)
        self._regime.resume(self._state.regime)

    def _add(self, mean: float) -> None:
        state = self._state
        state.balance += sum([(mean > one) - (mean < one) for one in state.means])
        state.means.append(mean)
        state.hours.append(state.hour)
        if len(state.means) > MOST:
            oldest = state.means.pop(0)
            del state.hours[0]
            state.balance -= sum([(one > oldest) - (one < oldest) for one in state.means])

    def _judge(self, at: Instant) -> tuple[Signal, ...]:
        state = self._state
        count = len(state.means)
        naive = (abs(state.balance) - 1) / sqrt(count * (count - 1) * (2 * count + 5) / 18)
        if state.signal is not None:
            return self._end(at) if naive < ENDS else NOTHING
        if naive < BEGINS:
            return NOTHING
        points = list(zip(state.hours, state.means, strict=True))
        slope = median([(b - a) / (j - i) for (i, a), (j, b) in combinations(points, 2)])
        strength = naive * _independence([mean - slope * hour for hour, mean in points])
        moved, centre = slope * (state.hours[-1] - state.hours[0]), median(state.means)
        if strength < BEGINS or abs(moved) < max(GATE_MS, GATE_SHARE * centre):
            return NOTHING
        state.signal = self._signal(at, strength, (centre - moved / 2, centre + moved / 2))
        return (state.signal,)

    def _signal(self, at: Instant, strength: float, ends: tuple[float, float]) -> Signal:
        from_ns, to_ns = (max(1, round(end * NS_PER_MS)) for end in ends)
        return Signal(
            kind=Kind.TREND,
            detector=NAME,
            at=self._state.hours[0] * HOUR_NS,
            detected_at=at,
            direction=Direction.UP if to_ns > from_ns else Direction.DOWN,
            severity=severity_of(from_ns, to_ns),
            confidence=round(1 - erfc(strength / sqrt(2)), 4),
            tier=Tier.CONFIRMED,
            evidence=Evidence(
                statistic="mann_kendall_z",
                value=round(strength, 2),
                threshold=BEGINS,
                samples=len(self._state.means),
                baseline=len(self._state.means),
            ),
            from_ns=from_ns,
            to_ns=to_ns,
        )

    def _end(self, at: Instant) -> tuple[Signal, ...]:
        signal, self._state.signal = self._state.signal, None
        if signal is None:
            return NOTHING
        return (msgspec.structs.replace(signal, detected_at=at, tier=Tier.ENDED, updates=True),)


def _independence(residuals: list[float]) -> float:
    """The factor that autocorrelation takes from Z, sqrt(n_eff / n): at most 1."""
    centre = sum(residuals) / len(residuals)
    rest = [one - centre for one in residuals]
    power = sum([one * one for one in rest])
    if power == 0:
        return 1.0
    lag = min(max(sum([a * b for a, b in pairwise(rest)]) / power, 0.0), 0.95)
    return sqrt((1 - lag) / (1 + lag))
