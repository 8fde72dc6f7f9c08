"""Axes: round numbers for values, whole hours and days for time."""

from collections.abc import Sequence
from datetime import UTC, datetime
from math import ceil, floor, log10

import msgspec

from nettrace.model.instant import NS_PER_S, Instant

_STEPS_S = (
    60,
    300,
    900,
    1800,
    3600,
    3 * 3600,
    6 * 3600,
    12 * 3600,
    86_400,
    2 * 86_400,
    7 * 86_400,
    14 * 86_400,
    28 * 86_400,
)


class Axis(msgspec.Struct, frozen=True):
    """From a value to a place in pixels: `low` lands on `start`, `high` on `end`."""

    low: float
    high: float
    start: float
    end: float

    def at(self, value: float) -> float:
        """Where a value lies; values outside land on the edge.

        >>> Axis(0.0, 10.0, 100.0, 0.0).at(2.5)
        75.0
        """
        share = (min(max(value, self.low), self.high) - self.low) / ((self.high - self.low) or 1.0)
        return round(self.start + share * (self.end - self.start), 1)


def value_ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Round values that span a range, from at most `low` to at least `high`.

    >>> value_ticks(3.2, 17.9)
    [0.0, 5.0, 10.0, 15.0, 20.0]
    """
    span = max(high - low, abs(high) * 1e-3, 1e-6)
    raw = span / about
    unit = 10.0 ** floor(log10(raw))
    step = next(unit * factor for factor in (1, 2, 2.5, 5, 10) if unit * factor >= raw)
    first, last = floor(low / step), ceil(high / step)
    return [round(number * step, 9) for number in range(first, max(last, first + 1) + 1)]


def time_ticks(start: Instant, end: Instant, most: int = 8) -> list[tuple[Instant, str]]:
    """Whole minutes, hours or days (UTC) within a window, each with its label.

    >>> [label for _, label in time_ticks(0, 6 * 3600 * 10**9)]
    ['Jan 1', '01:00', '02:00', '03:00', '04:00', '05:00', '06:00']
    """
    seconds = max(1, (end - start) // NS_PER_S)
    step = next((step for step in _STEPS_S if seconds / step <= most), _STEPS_S[-1])
    first = -(-start // (step * NS_PER_S))
    ticks = [number * step * NS_PER_S for number in range(first, end // (step * NS_PER_S) + 1)]
    return [(at, _label(at)) for at in ticks]


def extent(columns: Sequence[Sequence[int | None]]) -> tuple[int, int] | None:
    """Least and greatest of all that is known, or None when nothing is.

    >>> extent([[None, 3], [9, None]])
    (3, 9)
    """
    known = [value for column in columns for value in column if value is not None]
    return (min(known), max(known)) if known else None


def _label(at: Instant) -> str:
    when = datetime.fromtimestamp(at // NS_PER_S, UTC)
    return f"{when:%b} {when.day}" if when.hour == when.minute == 0 else f"{when:%H:%M}"
