"""Series for tests: a row of RTTs, every four minutes unless said otherwise."""

import random
from collections.abc import Iterable, Sequence

from nettrace.analysis.signals.catalogue import detector
from nettrace.analysis.signals.detector import Detector
from nettrace.model.instant import NS_PER_S
from nettrace.model.measurement import SampleState
from nettrace.model.signal import Observation, Signal

START = 1_767_225_600 * NS_PER_S
STEP = 240 * NS_PER_S


def steady(level_ms: float, count: int, seed: int = 1, width_ms: float = 0.1) -> list[float | None]:
    """Noise around a level."""
    dice = random.Random(seed)
    return [level_ms + dice.gauss(0, width_ms) for _ in range(count)]


def observations(
    values: Sequence[float | None], start: int = START, step: int = STEP, lost: bool = True
) -> list[Observation]:
    """A row of observations; None is a lost probe, or one that was not measured."""
    silent = SampleState.LOST if lost else SampleState.NOT_MEASURED
    return [
        Observation(start + place * step, SampleState.ANSWERED, round(value * 1e6))
        if value is not None
        else Observation(start + place * step, silent)
        for place, value in enumerate(values)
    ]


def said(name: str | Detector, seen: Iterable[Observation]) -> list[Signal]:
    """Everything a detector says, updates too."""
    each = detector(name) if isinstance(name, str) else name
    return [signal for observation in seen for signal in each.feed(observation)]


def place(at: int, start: int = START, step: int = STEP) -> int:
    """The place in the row of an instant."""
    return (at - start) // step
