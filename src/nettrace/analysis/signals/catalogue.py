"""Every detector by name: how to make one, what it says, and how often it is wrong on series where nothing happens."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from nettrace.analysis.signals.detector import Detector
from nettrace.analysis.signals.shift import ShiftDetector
from nettrace.errors import Invalid
from nettrace.model.signal import Kind


class Entry(NamedTuple):
    """A detector that can be asked for.

    Attributes:
        make: a fresh detector for a series with this interval in nanoseconds; None lets it learn the interval.
        meaning: what its signals say, in a line.
        stated: how often it is wrong when nothing happens, in words; `./dev bench signals` shows the realised rate.
        preset: one of the rules of this project's forerunners, kept to compare with, never run unless named.
    """

    name: str
    kind: Kind
    make: Callable[[int | None], Detector]
    meaning: str
    stated: str
    preset: bool = False


def _shift(interval_ns: int | None) -> Detector:
    return ShiftDetector(interval_ns=interval_ns)


CATALOGUE: Mapping[str, Entry] = {
    entry.name: entry
    for entry in (
        Entry(
            "shift",
            Kind.SHIFT,
            _shift,
            "the level moved and stayed",
            "1 in 100,000 samples of steady noise",
        ),
    )
}
"""name -> what it is, in the order of a list for people."""

DEFAULT = tuple(name for name, entry in CATALOGUE.items() if not entry.preset)
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
