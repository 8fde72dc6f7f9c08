"""What may be said of a quarter of an hour to come, from those that have been: the naive answers and what should beat them.

A method gives a centre for each horizon; a band is the centre plus quantiles of its past errors (`band.py`). The naive ones are the last value, and the value of the same quarter a day before (seasonal naive).
"""

from collections.abc import Callable, Mapping, Sequence
from statistics import median
from typing import NamedTuple

from nettrace.analysis.forecast.quarter import DAY

HORIZONS = (4, 12, 24, 48, 96)
"""Quarters ahead: 1, 3, 6, 12 and 24 hours."""
STALE = 4
"""Quarters after which the last value is no longer one."""


class Past(NamedTuple):
    """What is known at an origin: the last value, the last hour's, six hours' and day's medians, and the day's unrest.

    Attributes:
        yesterday: by horizon, the value a day before what is asked for; None where it is not known.
    """

    last: float
    hour: float
    six: float
    day: float
    yesterday: Mapping[int, float | None]


Method = Callable[[Past, int], float | None]
"""The middle of a forecast so many quarters ahead, in ms; None where it has nothing to go by."""


def past(values: Sequence[float | None], origin: int) -> Past | None:
    """What is known at that place of the row, itself included; None where the newest hour or most of the day is missing."""
    recent = [value for value in values[max(0, origin + 1 - STALE) : origin + 1] if value is not None]
    six = [value for value in values[max(0, origin - 23) : origin + 1] if value is not None]
    day = [value for value in values[max(0, origin + 1 - DAY) : origin + 1] if value is not None]
    if not recent or len(day) < DAY // 2:
        return None
    before = {horizon: origin + horizon - DAY for horizon in HORIZONS}
    return Past(
        last=recent[-1],
        hour=median(recent),
        six=median(six),
        day=median(day),
        yesterday={horizon: values[place] if place >= 0 else None for horizon, place in before.items()},
    )


def last_value(known: Past, horizon: int) -> float | None:
    """It stays as it is."""
    return known.last


def seasonal_naive(known: Past, horizon: int) -> float | None:
    """It will be as it was a day before."""
    return known.yesterday[horizon]


def _mixed(weight: float) -> Method:
    """The last hour's median, drawn by this weight to the day's."""

    def say(known: Past, horizon: int) -> float | None:
        return (1 - weight) * known.hour + weight * known.day

    return say


def _drawn(known: Past, horizon: int) -> float | None:
    """The last value, drawn to the day's median the more the further ahead: half of the way at 24 hours."""
    weight = horizon / (2 * DAY)
    return (1 - weight) * known.last + weight * known.day


def _six_hours(known: Past, horizon: int) -> float | None:
    return known.six


def _as_yesterday(known: Past, horizon: int) -> float | None:
    """As far from its day as it was a day before, half of it."""
    value = known.yesterday[horizon]
    return None if value is None else (known.hour + known.day) / 2 + (value - known.day) / 2


NAIVE: Mapping[str, Method] = {"last value": last_value, "seasonal naive": seasonal_naive}
"""What a forecast must beat."""

METHODS: Mapping[str, Method] = {
    "last value": last_value,
    "last hour": _mixed(0.0),
    "drawn to the day": _drawn,
    "six hours": _six_hours,
    "a quarter of the way to the day": _mixed(0.25),
    "half way to the day": _mixed(0.5),
    "the day": _mixed(1.0),
    "half as yesterday": _as_yesterday,
}
"""What is tried, name -> method; the simplest first, which wins ties."""
