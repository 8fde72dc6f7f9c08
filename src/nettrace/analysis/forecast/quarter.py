"""A series as medians of quarters of an hour: what forecasts are made from and judged by."""

from collections.abc import Iterable
from statistics import median
from typing import NamedTuple

from nettrace.model.instant import NS_PER_MS, NS_PER_S
from nettrace.model.signal import Observation

QUARTER_NS = 900 * NS_PER_S
DAY = 96
"""Quarters of a day."""
KEPT = 35 * DAY
"""Quarters that a forecast looks at, at most: the newest."""


class Quarters(NamedTuple):
    """Medians in ms of quarters in a row.

    Attributes:
        first: which quarter the first one is, counted since 1970.
        values: None where nothing was answered.
    """

    first: int
    values: list[float | None]

    @property
    def days(self) -> float:
        """How long they last."""
        return len(self.values) / DAY


def quarters(observations: Iterable[Observation]) -> Quarters:
    """The newest `KEPT` quarters of a series that comes in order of time.

    >>> from nettrace.model.measurement import SampleState
    >>> at = 900 * 10**9
    >>> rows = [Observation(place * at // 3, SampleState.ANSWERED, 10**6 * (place + 1)) for place in (0, 1, 2, 7)]
    >>> quarters(rows)
    Quarters(first=0, values=[2.0, None, 8.0])
    """
    kept: dict[int, list[float]] = {}
    for each in observations:
        if each.rtt_ns is not None:
            kept.setdefault(each.at // QUARTER_NS, []).append(each.rtt_ns / NS_PER_MS)
    return of_medians({number: median(values) for number, values in kept.items()})


def of_medians(medians: dict[int, float]) -> Quarters:
    """The same from medians by the quarter's number since 1970."""
    if not medians:
        return Quarters(0, [])
    last = max(medians)
    first = max(min(medians), last - KEPT + 1)
    return Quarters(first, [medians.get(number) for number in range(first, last + 1)])
