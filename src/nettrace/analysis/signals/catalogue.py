"""Every detector by name: how to make one, what it says, and how often it is wrong on series where nothing happens."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from nettrace.analysis.signals.anomaly import AnomalyDetector
from nettrace.analysis.signals.detector import Detector
from nettrace.analysis.signals.divergence import DivergenceDetector
from nettrace.analysis.signals.loss import LossDetector
from nettrace.analysis.signals.rhythm import DailyShiftDetector
from nettrace.analysis.signals.seed import SeedDivergence, SeedTrend, SeedZscore
from nettrace.analysis.signals.shift import ShiftDetector
from nettrace.analysis.signals.trend import TrendDetector
from nettrace.errors import Invalid
from nettrace.model.signal import Kind

Make = Callable[[int | None], Detector]


class Entry(NamedTuple):
    """A detector that can be asked for.

    Attributes:
        make: a fresh detector for a series with this interval in nanoseconds; None lets it learn the interval.
        meaning: what its signals say, in a line.
        stated: at most so many signals a week of samples every four minutes while nothing happens; `./dev bench signals`
            shows the realised rates beside it.
        preset: one of the rules of this project's forerunners, kept to compare with, never run unless named.
        default: it runs when nobody asks for less (and is no preset).
    """

    name: str
    kind: Kind
    make: Make
    meaning: str
    stated: float
    preset: bool = False
    default: bool = True


CATALOGUE: Mapping[str, Entry] = {
    entry.name: entry
    for entry in (
        Entry("shift", Kind.SHIFT, ShiftDetector, "the level moved and stayed", 1.0),
        Entry("anomaly", Kind.ANOMALY, AnomalyDetector, "one to four samples far off, and back", 5.0),
        Entry("trend", Kind.TREND, TrendDetector, "the RTT creeps up or down", 0.05),
        Entry("loss", Kind.LOSS, LossDetector, "more probes are lost than usual", 0.1),
        Entry(
            "divergence", Kind.DIVERGENCE, DivergenceDetector, "two series keep their distance no longer", 0.7
        ),
        Entry(
            "shift_daily",
            Kind.SHIFT,
            DailyShiftDetector,
            "the same, without the daily rhythm",
            1.0,
            default=False,
        ),
        Entry("seed_zscore", Kind.ANOMALY, SeedZscore, "|z| > 2 against 12 samples", 350.0, preset=True),
        Entry("seed_trend", Kind.TREND, SeedTrend, "a steep line through 12 samples", 80.0, preset=True),
        Entry(
            "seed_divergence",
            Kind.DIVERGENCE,
            SeedDivergence,
            "one has z > 2, the other not",
            400.0,
            preset=True,
        ),
    )
}
"""name -> what it is, in the order of a list for people."""

DEFAULT = tuple(name for name, entry in CATALOGUE.items() if entry.default and not entry.preset)
"""What runs when nobody asks for less."""


def detector(name: str, interval_ns: int | None = None) -> Detector:
    """A fresh detector of that name.

    Raises:
        Invalid: there is none; with those there are.

    >>> detector("shift").name
    'shift/1'
    """
    entry = CATALOGUE.get(name)
    if entry is None:
        raise Invalid(f"there is no detector '{name}'", f"There are {', '.join(CATALOGUE)}")
    return entry.make(interval_ns)
