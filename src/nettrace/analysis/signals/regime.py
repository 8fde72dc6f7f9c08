"""When a series leaves its level: a likelihood-ratio test between robust regimes, one sample at a time.

A regime is a level (median) and a spread (mean absolute deviation from it). The newest five to twelve samples are
tested against the up to 36 before them: how much likelier are they around a level of their own? Each density is

    f(x) = 0.95 / (2 s) exp(-|x - m| / s) + 0.05 / 1000 ms

a Laplace distribution with a floor, so that one wild sample says little. With LR(k) for the k newest samples

    LR(k) = sum ln f_new - sum ln f_old - 2 ln k

the level has moved when the largest LR passes the threshold and the two medians are further apart than the gate;
it moved at the first of those k samples. The method and its constants were measured against hand-labelled
series: docs/decisions/0120-a-likelihood-ratio-between-regimes.md.
"""

from bisect import bisect_left, insort
from itertools import pairwise
from math import exp, log

import msgspec

from nettrace.model.instant import NS_PER_S, Instant

KEPT = 48
"""Samples of the regime that are kept, those under test included."""
TESTED_LEAST, TESTED_MOST = 5, 12
BASE_LEAST = 6
GATE_SHARE, FLOOR_SHARE = 0.008, 0.003
"""Of the level: how far medians must be apart, and the least spread a regime is believed to have."""
GATE_MS, FLOOR_MS = 0.2, 0.05
GATE_SPREADS = 0.3
"""Of the old regime's spread: as for `GATE_SHARE`."""
USUAL_WEIGHT, USUAL_SHARE = 0.01, 0.9
"""A regime is believed to be at least so wide as this share of the series' usual spread, forgotten with this weight."""
INSIDE, OUTSIDE = 0.95 / 2, 0.05 / 1000
LENGTH_PENALTY = 2.0
THRESHOLD, THRESHOLD_INTERVAL_NS = 24.0, 240 * NS_PER_S
"""The threshold at one sample in four minutes."""
THRESHOLD_SLOPE, THRESHOLD_LEAST, THRESHOLD_MOST = 2.2, 20.0, 32.0
"""Less per e-fold of the interval: fewer samples a week are fewer occasions to be wrong."""
LEAST = [THRESHOLD_LEAST + LENGTH_PENALTY * log(max(1, size)) for size in range(TESTED_MOST + 1)]
"""What the newest so many samples must be likelier by, before their number is paid for, to pass at any interval."""
_SIZES = ((TESTED_LEAST, 7), (8, TESTED_MOST))
"""The numbers of newest samples to test, in two parts: one bound for all would be too wide."""
EARLIER_MOST, EARLIER_NATS = 8, 2.0
"""The change may lie this many samples before those tested, where that is likelier by so much."""
GAP_INTERVALS = 12
"""A stretch this many intervals long without samples is a gap."""


class Change(msgspec.Struct, frozen=True, gc=False):
    """A level that moved. Times are `Instant`, levels and spreads in ms.

    Attributes:
        at: the first sample of the new regime.
        tested: how many samples of the new regime prove it.
        known: how many samples the old regime had.
        base: how many of those it was judged by.
    """

    at: Instant
    before: float
    after: float
    spread: float
    ratio: float
    threshold: float
    tested: int
    known: int
    base: int
    interval_ns: int
    after_gap: bool


class RegimeState(msgspec.Struct):
    """All that `Regime` remembers: its newest samples with their times, how many there were, and the usual spread."""

    values: list[float] = []
    times: list[Instant] = []
    count: int = 0
    usual: float = -1.0


class Regime:
    """The level of a series and the moment it is left; about 50 numbers whatever the length.

    Values are ms. Feed answered samples only, in order of time.
    """

    __slots__ = ("_base", "_count", "_interval_ns", "_threshold", "_times", "_usual", "_values")

    def __init__(self, *, interval_ns: int | None = None, threshold: float | None = None) -> None:
        """`interval_ns` between samples is learnt when not given; `threshold`, 20 or more, follows from it when not."""
        self._interval_ns = interval_ns
        self._threshold = threshold
        self._values: list[float] = []
        self._times: list[Instant] = []
        self._base: list[float] = []
        self._count = 0
        self._usual = -1.0

    @property
    def count(self) -> int:
        """Samples since the level last moved."""
        return self._count

    @property
    def settled(self) -> bool:
        """The regime is known well enough for its level to be compared with."""
        return len(self._base) >= BASE_LEAST

    @property
    def level(self) -> float:
        """Median of what the regime is judged by, in ms; only when `settled`."""
        return middle(self._base)

    @property
    def spread(self) -> float:
        """Mean absolute deviation from the level, in ms, never below the floor; only when `settled`."""
        deviation = _off_middle(self._base) / len(self._base)
        return max(deviation, FLOOR_MS, FLOOR_SHARE * abs(middle(self._base)))

    def summary(self) -> tuple[float, float]:
        """Median and mean absolute deviation of every sample kept, those not yet judged by included, in ms."""
        level = middle(sorted(self._values))
        return level, sum([abs(value - level) for value in self._values]) / len(self._values)

    @property
    def interval_ns(self) -> int:
        """Between samples: as given, else the median of the newest; 0 before there are two."""
        if self._interval_ns is not None:
            return self._interval_ns
        steps = sorted(_steps(self._times[-TESTED_MOST - 1 :]))
        return steps[len(steps) // 2] if steps else 0

    @property
    def state(self) -> RegimeState:
        """All that must be kept to go on later."""
        return RegimeState(values=self._values, times=self._times, count=self._count, usual=self._usual)

    def resume(self, state: RegimeState) -> None:
        """Go on from there."""
        self._values, self._times, self._count = state.values, state.times, state.count
        self._usual = state.usual
        self._base = sorted(self._values[: max(0, len(self._values) - TESTED_MOST)])

    def push(self, at: Instant, value: float, scale: float | None = None) -> Change | None:
        """The change that this sample proves, or None.

        `scale` is the RTT that gate and least spread are shares of, in ms; None is the level itself. A series of
        differences around zero needs it.
        """
        values, base = self._values, self._base
        values.append(value)
        self._times.append(at)
        self._count += 1
        if len(values) > KEPT:
            del self._times[0]
            del base[bisect_left(base, values.pop(0))]
        settled = len(values) - TESTED_MOST
        if settled > len(base):
            insort(base, values[settled - 1])
        if settled < BASE_LEAST:
            if len(values) < BASE_LEAST + TESTED_LEAST:
                return None
            base, settled = sorted(values[:BASE_LEAST]), BASE_LEAST
        tested = values[settled:]
        level = middle(base)
        deviation = abs(value - level)
        usual = self._usual if self._usual >= 0 else deviation
        most = 4 * usual + FLOOR_MS  # a step away from the level is no spread
        self._usual = usual + ((deviation if deviation < most else most) - usual) * USUAL_WEIGHT
        share = abs(level) if scale is None else scale
        gate = max(GATE_MS, GATE_SHARE * share)
        ranked = sorted(tested)
        if ranked[-3] < level + gate and ranked[2] > level - gate:
            return None  # no five of them can have a median beyond the gate
        return self._test(base, tested, gate, max(FLOOR_MS, FLOOR_SHARE * share))

    def _test(self, base: list[float], tested: list[float], gate: float, floor: float) -> Change | None:
        level = middle(base)
        spread = max(_off_middle(base) / len(base), floor, USUAL_SHARE * self._usual)
        if _hopeless(tested, level, spread, floor):
            return None
        gate = max(gate, GATE_SPREADS * spread)
        narrow = log(spread / floor) + 0.001
        threshold = best = 0.0
        size, after, width = 0, level, spread
        for k, distance in _beyond(tested, level, gate):
            if k * narrow + distance / spread < LEAST[k]:
                continue  # it cannot pass however alike the newest are: cheaper to know than the sums below
            newest = sorted(tested[-k:])
            centre = middle(newest)
            if abs(centre - level) < gate:
                continue
            around = max(_off_middle(newest) / k, floor)
            if _gained(k, spread, around) + distance / spread < LEAST[k]:
                continue
            near = [abs(value - centre) for value in newest]
            if _most_likely(near, around) - k * log_density(distance / k, spread) < LEAST[k]:
                continue
            far = [abs(value - level) for value in newest]
            threshold = threshold or self._threshold_now()
            gained = [
                log_density(new, around) - log_density(old, spread)
                for new, old in zip(near, far, strict=True)
            ]
            ratio = sum(gained) - LENGTH_PENALTY * log(k)
            if ratio > max(best, threshold):
                best, size, after, width = ratio, k, centre, around
        if size == 0:
            return None
        length = self._likeliest_length(size, (level, spread), (after, width))
        interval_ns, times = self.interval_ns, self._times[-length - 1 :]
        change = Change(
            at=self._times[-length],
            before=level,
            after=after,
            spread=spread,
            ratio=best,
            threshold=threshold,
            tested=size,
            known=self._count - length,
            base=len(base),
            interval_ns=interval_ns,
            after_gap=max(_steps(times), default=0) > GAP_INTERVALS * interval_ns,
        )
        self._begin(length)
        return change

    def _likeliest_length(self, tested: int, old: tuple[float, float], new: tuple[float, float]) -> int:
        """How many of the newest samples belong to the new (level, spread) rather than to the old one.

        More than were tested, up to `EARLIER_MOST`, only if that is likelier by `EARLIER_NATS`.
        """
        best, length, gained = float("-inf"), tested, 0.0
        for size in range(1, min(tested + EARLIER_MOST, len(self._values)) + 1):
            value = self._values[-size]
            gained += log_density(abs(value - new[0]), new[1]) - log_density(abs(value - old[0]), old[1])
            score = gained - EARLIER_NATS if size > tested else gained
            if score > best:
                best, length = score, size
        return length

    def _begin(self, length: int) -> None:
        """Go on with a regime of the newest `length` samples."""
        self._values, self._times, self._count = self._values[-length:], self._times[-length:], length
        self._base = sorted(self._values[: max(0, length - TESTED_MOST)])

    def _threshold_now(self) -> float:
        if self._threshold is not None:
            return self._threshold
        folds = log(max(self.interval_ns, NS_PER_S) / THRESHOLD_INTERVAL_NS)
        return min(max(THRESHOLD - THRESHOLD_SLOPE * folds, THRESHOLD_LEAST), THRESHOLD_MOST)


def middle(ranked: list[float]) -> float:
    """The median of values in ascending order."""
    half = len(ranked) >> 1
    return ranked[half] if len(ranked) & 1 else (ranked[half - 1] + ranked[half]) * 0.5


def _off_middle(ranked: list[float]) -> float:
    """Sum of the distances from the median.

    >>> _off_middle([1.0, 2.0, 4.0]), _off_middle([1.0, 2.0, 4.0, 9.0])
    (3.0, 10.0)
    """
    half = len(ranked) >> 1
    return sum(ranked[-half:]) - sum(ranked[:half]) if half else 0.0


def _hopeless(tested: list[float], level: float, spread: float, floor: float) -> bool:
    """Whether no number of newest samples can be likelier by enough around a level of their own; cheap, and never wrong.

    A longer row lies no nearer to its median than a shorter one to its own, which bounds what a level of their own can
    gain; the distance of all from the old level bounds what that one loses.
    """
    lost = sum([abs(value - level) for value in tested]) / spread
    for least, most in _SIZES:
        around = max(_off_middle(sorted(tested[-least:])) / most, floor)
        if _gained(most, spread, around) + lost >= LEAST[least]:
            return False
    return True


def _gained(size: int, spread: float, around: float) -> float:
    """No less than what so many samples gain by a spread of their own, were all of them on the new level."""
    return max(0.0, size * log(spread * (1 / around + OUTSIDE / INSIDE)))


def _beyond(tested: list[float], level: float, gate: float) -> list[tuple[int, float]]:
    """Which numbers of newest samples can have a median beyond the gate, since half of them are; and their distances' sum."""
    over = under = 0
    distance = 0.0
    sizes: list[tuple[int, float]] = []
    for size, value in enumerate(reversed(tested), 1):
        off = value - level
        if off >= 0:
            distance += off
            over += off >= gate
        else:
            distance -= off
            under += off <= -gate
        if size >= TESTED_LEAST and (2 * over >= size or 2 * under >= size):
            sizes.append((size, distance))
    return sizes


def _steps(times: list[Instant]) -> list[int]:
    return [later - earlier for earlier, later in pairwise(times)]


def log_density(distance: float, spread: float) -> float:
    """Ln f at this distance from the level."""
    return log(INSIDE / spread * exp(-distance / spread) + OUTSIDE)


def _most_likely(distances: list[float], spread: float) -> float:
    """No less than the sum of ln f over the distances: ln f is convex in the distance, so it lies below its chord."""
    furthest = max(distances)
    top = log_density(0.0, spread)
    if furthest == 0:
        return len(distances) * top
    return len(distances) * top + (log_density(furthest, spread) - top) * sum(distances) / furthest
