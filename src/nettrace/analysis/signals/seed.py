"""The rules of this project's forerunners, kept as named presets beside the detectors that replace them.

They are here to be compared with, and for those whose runs depend on them; the catalogue says how often each is wrong
when nothing happens. Rules, from the forerunners' source: z-score of a sample against the 12 before it; least squares
over the newest 12 (least 6) samples, |slope| at least 0.75 ms a sample at R^2 of at least 0.4; two series of which one
has |z| > 2 upwards while the other has not. The fourth rule, a hash over the hops, lives with the routes.
"""

from math import sqrt

import msgspec

from nettrace.analysis.signals.detector import NOTHING, pack, unpack
from nettrace.model.instant import NS_PER_MS, Instant
from nettrace.model.signal import Direction, Evidence, Kind, Observation, Signal, Tier, severity_of

WINDOW, TREND_LEAST = 12, 6
Z_LIMIT, SLOPE_LIMIT_MS, FIT_LIMIT = 2.0, 0.75, 0.4


class SeedState(msgspec.Struct):
    """All that a preset remembers: the newest values of the series, in ms, and of the one it is compared with."""

    values: list[float] = []
    times: list[Instant] = []
    other: list[float] = []
    other_z: float | None = None


class _Preset:
    """What the presets share: a window of the newest values."""

    NAME = ""
    __slots__ = ("_interval_ns", "_state")

    def __init__(self, interval_ns: int | None = None) -> None:
        """The rules count samples, whatever `interval_ns` lies between them."""
        self._interval_ns = interval_ns
        self._state = SeedState()

    @property
    def name(self) -> str:
        """The catalogue's name with the version."""
        return self.NAME

    def snapshot(self) -> bytes:
        """All that the preset remembers."""
        return pack(self.NAME, self._state)

    def restore(self, state: bytes) -> None:
        """Remember that instead.

        Raises:
            Invalid: it is not a snapshot of this preset.
        """
        self._state = unpack(self.NAME, SeedState, state)

    def _say(
        self, kind: Kind, at: tuple[Instant, Instant], levels: tuple[float, float], found: Evidence
    ) -> Signal:
        """A signal in the forerunners' manner: every sample that meets the rule, none confirmed."""
        from_ns, to_ns = (round(level * NS_PER_MS) for level in levels)
        return Signal(
            kind=kind,
            detector=self.NAME,
            at=at[0],
            detected_at=at[1],
            direction=Direction.UP if levels[1] > levels[0] else Direction.DOWN,
            severity=severity_of(max(from_ns, 1), to_ns),
            confidence=round(min(0.99, abs(found.value) / 4), 3),
            tier=Tier.TENTATIVE,
            evidence=found,
            from_ns=from_ns,
            to_ns=to_ns,
        )


class SeedZscore(_Preset):
    """`rtt_anomaly` of the forerunners: |z| > 2 against the 12 samples before."""

    NAME = "seed_zscore/1"
    __slots__ = ()

    def feed(self, observation: Observation) -> tuple[Signal, ...]:
        """The sample itself, when it is further than two standard deviations off."""
        if observation.rtt_ns is None:
            return NOTHING
        values, value = self._state.values, observation.rtt_ns / NS_PER_MS
        mean, z = _zscore(values, value)
        _push(values, value)
        if z is None or abs(z) <= Z_LIMIT:
            return NOTHING
        found = Evidence(
            statistic="z_score", value=round(z, 2), threshold=Z_LIMIT, samples=1, baseline=WINDOW
        )
        return (self._say(Kind.ANOMALY, (observation.at, observation.at), (mean, value), found),)


class SeedTrend(_Preset):
    """`rtt_trend` of the forerunners: a least-squares line over the newest 12 samples."""

    NAME = "seed_trend/1"
    __slots__ = ()

    def feed(self, observation: Observation) -> tuple[Signal, ...]:
        """The line, when it is steep and fits."""
        if observation.rtt_ns is None:
            return NOTHING
        state = self._state
        _push(state.values, observation.rtt_ns / NS_PER_MS)
        state.times = [*state.times[1 - WINDOW :], observation.at]
        count = len(state.values)
        if count < TREND_LEAST:
            return NOTHING
        slope, fit = _line(state.values)
        if abs(slope) < SLOPE_LIMIT_MS or fit < FIT_LIMIT:
            return NOTHING
        found = Evidence(
            statistic="slope_ms",
            value=round(slope, 3),
            threshold=SLOPE_LIMIT_MS,
            samples=count,
            baseline=count,
        )
        middle = sum(state.values) / count
        ends = (middle - slope * (count - 1) / 2, middle + slope * (count - 1) / 2)
        return (self._say(Kind.TREND, (state.times[0], observation.at), ends, found),)


class SeedDivergence(_Preset):
    """`cross_exchange_latency_diff` of the forerunners, for any two series: one has z > 2, the other |z| < 2."""

    NAME = "seed_divergence/1"
    __slots__ = ()

    def beside(self, observation: Observation) -> None:
        """Remember what the other series did."""
        if observation.rtt_ns is None:
            return
        value = observation.rtt_ns / NS_PER_MS
        self._state.other_z = _zscore(self._state.other, value)[1]
        _push(self._state.other, value)

    def feed(self, observation: Observation) -> tuple[Signal, ...]:
        """This sample against the newest of the other series."""
        if observation.rtt_ns is None:
            return NOTHING
        state, value = self._state, observation.rtt_ns / NS_PER_MS
        mean, z = _zscore(state.values, value)
        _push(state.values, value)
        other = state.other_z
        if z is None or other is None:
            return NOTHING
        if not ((z > Z_LIMIT and abs(other) < Z_LIMIT) or (other > Z_LIMIT and abs(z) < Z_LIMIT)):
            return NOTHING
        found = Evidence(
            statistic="z_score", value=round(z - other, 2), threshold=Z_LIMIT, samples=1, baseline=WINDOW
        )
        return (self._say(Kind.DIVERGENCE, (observation.at, observation.at), (mean, value), found),)


def _push(values: list[float], value: float) -> None:
    values.append(value)
    if len(values) > WINDOW:
        del values[0]


def _zscore(values: list[float], value: float) -> tuple[float, float | None]:
    """Mean of the window, and the value's distance from it in sample standard deviations, None while unknown."""
    if len(values) < WINDOW:
        return 0.0, None
    mean = sum(values) / WINDOW
    spread = sqrt(sum([(one - mean) ** 2 for one in values]) / (WINDOW - 1))
    return mean, (value - mean) / spread if spread > 0 else None


def _line(values: list[float]) -> tuple[float, float]:
    """Slope a sample and R^2 of the least-squares line."""
    count = len(values)
    middle, mean = (count - 1) / 2, sum(values) / count
    across = sum([(place - middle) ** 2 for place in range(count)])
    along = sum([(place - middle) * (value - mean) for place, value in enumerate(values)])
    total = sum([(value - mean) ** 2 for value in values])
    return along / across, along * along / (across * total) if total > 0 else 0.0
