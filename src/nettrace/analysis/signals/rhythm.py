"""What a series does every day, taken out of it: only where it does, and only once that is known.

Each day has 96 quarters of an hour. A quarter's offset is the exponential mean (a fifth a day) of how far its RTT lay
from the mean of the day around it. The rhythm is believed from the seventh day on while knowing the offsets has
lately halved what a quarter could not explain otherwise: strength = 1 - (squares with) / (squares without) > 0.3, each
judged before the offset has seen the quarter. Few series have one: without it nothing is taken out.
"""

import msgspec

from nettrace.analysis.signals.detector import NOTHING, pack, unpack
from nettrace.analysis.signals.shift import ShiftDetector
from nettrace.model.instant import NS_PER_MS, NS_PER_S, Instant
from nettrace.model.signal import Observation, Signal

NAME = "shift_daily/1"
QUARTER_NS, QUARTERS = 900 * NS_PER_S, 96
LEARNING, FORGETTING = 0.2, 1 / (3 * QUARTERS)
BELIEVED_FROM = 7 * QUARTERS
STRONG, WEAK = 0.3, 0.2
"""The strength at which a rhythm is believed, and below which it no longer is."""
CLIPPED = 4.0
"""In usual deviations: what a quarter far off may contribute, so that a shift is not learnt as a rhythm."""


class RhythmState(msgspec.Struct):
    """All that `Rhythm` remembers; ms and ms squared.

    Attributes:
        quarter: the quarter of an hour under way, counted since 1970.
        means: the newest mean of each quarter of the day, in the order they came.
        without: what quarters lie from their day, squared, on average; `rest` is the same after their offsets.
    """

    quarter: int = 0
    total: float = 0.0
    count: int = 0
    means: list[float] = []
    offsets: list[float] = msgspec.field(default_factory=lambda: [0.0] * QUARTERS)
    known: int = 0
    without: float = 0.0
    rest: float = 0.0
    active: bool = False


class Rhythm:
    """The daily rhythm of one series."""

    __slots__ = ("state",)

    def __init__(self) -> None:
        self.state = RhythmState()

    @property
    def active(self) -> bool:
        """Whether there is one to take out."""
        return self.state.active

    @property
    def strength(self) -> float:
        """The share of a quarter's deviation that the rhythm has lately foretold, 0 to 1."""
        state = self.state
        return max(0.0, 1 - state.rest / state.without) if state.without > 0 else 0.0

    def offset(self, at: Instant) -> float:
        """What the rhythm adds at this time of day, in ms; 0 while there is none."""
        return self.state.offsets[at // QUARTER_NS % QUARTERS] if self.state.active else 0.0

    def add(self, at: Instant, value: float) -> None:
        """Learn from one more sample, in ms."""
        state, quarter = self.state, at // QUARTER_NS
        if state.count and quarter != state.quarter:
            self._learn(state.quarter % QUARTERS, state.total / state.count)
            state.total, state.count = 0.0, 0
        state.quarter = quarter
        state.total += value
        state.count += 1

    def _learn(self, quarter: int, mean: float) -> None:
        state = self.state
        state.means = [*state.means[1 - QUARTERS :], mean]
        if len(state.means) < QUARTERS:
            return
        off = mean - sum(state.means) / QUARTERS
        most = CLIPPED * state.without**0.5 if state.known >= QUARTERS else abs(off)
        off = min(max(off, -most), most)
        state.known += 1
        state.without += (off * off - state.without) * FORGETTING
        state.rest += ((off - state.offsets[quarter]) ** 2 - state.rest) * FORGETTING
        weight = max(LEARNING, 1 / (1 + (state.known - 1) // QUARTERS))
        state.offsets[quarter] += (off - state.offsets[quarter]) * weight
        if state.known >= BELIEVED_FROM - QUARTERS:
            state.active = self.strength > (WEAK if state.active else STRONG)


class DailyState(msgspec.Struct):
    """All that the detector remembers."""

    rhythm: RhythmState
    shifts: bytes


class DailyShiftDetector:
    """Shifts of a series from which its daily rhythm has been taken, if it has one; levels are those without it."""

    __slots__ = ("_interval_ns", "_rhythm", "_shifts")

    def __init__(self, interval_ns: int | None = None) -> None:
        self._interval_ns = interval_ns
        self._rhythm = Rhythm()
        self._shifts = ShiftDetector(interval_ns)

    @property
    def name(self) -> str:
        """`shift_daily/1`."""
        return NAME

    def feed(self, observation: Observation) -> tuple[Signal, ...]:
        """The shift that this observation proves, beyond what the time of day explains."""
        if observation.rtt_ns is None:
            return NOTHING
        active = self._rhythm.active
        self._rhythm.add(observation.at, observation.rtt_ns / NS_PER_MS)
        if self._rhythm.active is not active:
            self._shifts = ShiftDetector(self._interval_ns)  # the step is ours: levels are learnt anew
        rest_ns = observation.rtt_ns - round(self._rhythm.offset(observation.at) * NS_PER_MS)
        made = self._shifts.feed(msgspec.structs.replace(observation, rtt_ns=max(1, rest_ns)))
        return tuple([msgspec.structs.replace(signal, detector=NAME) for signal in made]) if made else NOTHING

    def snapshot(self) -> bytes:
        """All that the detector remembers."""
        return pack(NAME, DailyState(rhythm=self._rhythm.state, shifts=self._shifts.snapshot()))

    def restore(self, state: bytes) -> None:
        """Remember that instead.

        Raises:
            Invalid: it is not a snapshot of this detector in this version.
        """
        known = unpack(NAME, DailyState, state)
        self._rhythm.state = known.rhythm
        self._shifts.restore(known.shifts)
