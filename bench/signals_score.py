"""How detectors are scored: what one says of a series, and which of that is a hit."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from time import process_time

from bench.signals_data import Series
from nettrace.analysis.signals.catalogue import detector
from nettrace.analysis.signals.replay import Comparing
from nettrace.model.instant import NS_PER_MS, NS_PER_S
from nettrace.model.measurement import SampleState
from nettrace.model.signal import Observation, Signal

TOLERANCE = 2


@dataclass
class Score:
    """Hits and misses, summed over series."""

    hits: int = 0
    said: int = 0
    true: int = 0
    weeks: float = 0.0
    delays: list[int] = field(default_factory=list)
    seconds: float = 0.0
    samples: int = 0

    def add(self, series: Series, found: Iterable[tuple[int, int]]) -> None:
        """Count one series: pairs of (proven at, changed at)."""
        proven = {change: at for at, change in sorted(found, reverse=True)}
        pairs = matched(series.changes, sorted(proven))
        self.hits += len(pairs)
        self.said += len(proven)
        self.true += len(series.changes)
        self.weeks += series.weeks
        self.delays += [proven[change] - label for label, change in pairs]

    def figures(self) -> dict[str, float | None]:
        """What the tables show."""
        delays = sorted(self.delays) or [0]
        return {
            "F1": 2 * self.hits / max(1, self.said + self.true),
            "precision": self.hits / max(1, self.said),
            "recall": self.hits / max(1, self.true),
            "false": (self.said - self.hits) / self.weeks,
            "delay p50": float(delays[len(delays) // 2]),
            "delay p90": float(delays[int(0.9 * len(delays))]),
            "cost": 1e6 * self.seconds / max(1, self.samples),
        }


def matched(labels: Sequence[int], said: Sequence[int]) -> list[tuple[int, int]]:
    """As many pairs of a label and a statement within the tolerance as there can be, each used once."""
    pairs: list[tuple[int, int]] = []
    one = other = 0
    while one < len(labels) and other < len(said):
        apart = said[other] - labels[one]
        if abs(apart) <= TOLERANCE:
            pairs.append((labels[one], said[other]))
        one += apart >= -TOLERANCE
        other += apart <= TOLERANCE
    return pairs


def observed(series: Series) -> list[Observation]:
    """The series as a detector sees it."""
    rows = zip(series.at_s, series.rtt_ms, strict=True)
    return [
        Observation(round(at * NS_PER_S), SampleState.ANSWERED, max(1, round(rtt * NS_PER_MS)))
        if rtt > 0
        else Observation(round(at * NS_PER_S), SampleState.LOST)
        for at, rtt in rows
    ]


def heard(
    name: str, seen: Sequence[Observation], score: Score | None = None, beside: Sequence[Observation] = ()
) -> list[Signal]:
    """Everything one detector says of one series, beside another if it compares; CPU time goes into the score."""
    each = detector(name)
    started = process_time()
    if isinstance(each, Comparing):
        said: list[Signal] = []
        for one, other in zip(seen, beside, strict=False):
            each.beside(other)
            said += each.feed(one)
    else:
        said = [signal for one in seen for signal in each.feed(one)]
    if score:
        score.seconds += process_time() - started
        score.samples += len(seen)
    return said
