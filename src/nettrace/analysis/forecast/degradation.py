"""How likely the next hour is worse than the day, from how restless the newest hours are: offered only where it has been right.

An hour is degraded when its median lies above the newest day's by 3 ms and by 3 %. While the newest hour is not, the unrest
of the newest four hours (mean step between quarters) is ranked among its own past, and the share of degraded next hours in
the same fifth of ranks is the forecast, drawn to the share of all hours by `DRAWN` hours' worth. Judged by the Brier score on
the second half of the hours, held out, against that share of all hours, against "as now" (never) and against "as a day before".
"""

from bisect import bisect_right, insort
from collections.abc import Sequence
from itertools import pairwise
from statistics import mean, median
from typing import NamedTuple

from nettrace.analysis.forecast.offer import Beaten, surely_positive
from nettrace.analysis.forecast.quarter import DAY, Quarters

HOUR = 4
GATE_MS, GATE_SHARE = 3.0, 0.03
RESTLESS, FIFTHS, DRAWN = 16, 5, 20.0
"""Quarters that unrest is taken over; parts of its ranks; hours."""
EVENTS_LEAST, HOURS_LEAST = 10, 96
"""Degraded hours among those held out, and hours in all, that a decision needs."""
BASELINES = ("share of all hours", "as now", "as a day before")


class Instability(NamedTuple):
    """A forecast of degradation or the reason why there is none.

    Attributes:
        because: why it is not offered; empty where it is.
        chance: that the next hour is degraded; None where it is not offered, or the newest hour is degraded already.
        hours, events: held out, and how many of those were followed by a degraded one.
        score: mean Brier score of the forecast on them.
    """

    because: str
    chance: float | None
    hours: int
    events: int
    score: float | None
    baselines: Sequence[Beaten]


class _Hour(NamedTuple):
    place: int
    said: tuple[float, ...]
    came: bool


class _Fifths:
    """Degraded next hours by rank of the unrest before."""

    def __init__(self) -> None:
        self.unrest: list[float] = []
        self.hours = [0] * FIFTHS
        self.worse = [0] * FIFTHS

    def fifth(self, unrest: float) -> int:
        """The part of its own past that this unrest lies in."""
        rank = bisect_right(self.unrest, unrest) / max(1, len(self.unrest))
        return min(FIFTHS - 1, int(rank * FIFTHS))

    def share(self) -> float:
        """Of all hours, with half an hour of each kind added."""
        return (sum(self.worse) + 0.5) / (sum(self.hours) + 1)

    def chance(self, fifth: int) -> float:
        """Of the hours in that part."""
        return (self.worse[fifth] + DRAWN * self.share()) / (self.hours[fifth] + DRAWN)

    def learn(self, fifth: int, unrest: float, *, worse: bool) -> None:
        """One more hour has come."""
        insort(self.unrest, unrest)
        self.hours[fifth] += 1
        self.worse[fifth] += worse


def instability(series: Quarters) -> Instability:
    """How likely the hour after the newest quarter is degraded, if that is worth saying of this series."""
    known, judged = _Fifths(), list[_Hour]()
    waiting: tuple[int, int, float, tuple[float, ...]] | None = None
    newest = len(series.values) - 1
    chance = None
    for place in range(DAY + (newest - DAY) % HOUR, newest + 1, HOUR) if newest >= DAY else ():
        if waiting is not None:
            then, fifth, unrest, said = waiting
            came = _worse(series.values, then, place)
            if came is not None:
                judged.append(_Hour(then, said, came))
                known.learn(fifth, unrest, worse=came)
        waiting, chance = None, None
        unrest = _unrest(series.values, place)
        if unrest is None or _worse(series.values, place, place) is not False:
            continue
        fifth = known.fifth(unrest)
        chance = known.chance(fifth)
        before = _worse(series.values, place - DAY, place - DAY + HOUR) or False
        waiting = (place, fifth, unrest, (chance, known.share(), 0.0, float(before)))
    return _decided(judged, chance)


def _decided(judged: Sequence[_Hour], chance: float | None) -> Instability:
    held = judged[len(judged) // 2 :]
    events = sum(each.came for each in held)
    scores = [[(said - each.came) ** 2 for said in each.said] for each in held]
    nothing = Instability("", None, len(held), events, None, ())
    if len(judged) < HOURS_LEAST or events < EVENTS_LEAST:
        why = (
            f"{events} of {len(held)} held-out hours were followed by a degraded one; it needs {EVENTS_LEAST}"
        )
        return nothing._replace(because=why)
    days: dict[int, list[list[float]]] = {}
    for each, score in zip(held, scores, strict=True):
        days.setdefault(each.place // DAY, []).append(score)
    baselines: list[Beaten] = []
    mine = mean(score[0] for score in scores)
    for number, name in enumerate(BASELINES, 1):
        theirs = mean(score[number] for score in scores)
        saved = [mean(score[number] - score[0] for score in day) for day in days.values()]
        skill = (theirs - mine) / theirs if theirs > 0 else 0.0
        baselines.append(Beaten(name, theirs, skill, surely=skill > 0 and surely_positive(saved)))
    made = nothing._replace(score=mine, baselines=baselines)
    for each in baselines:
        if not each.surely:
            words = f"saves {each.skill:.1%} of the Brier score of" if each.skill > 0 else "does not beat"
            chancy = ", which may be chance" if each.skill > 0 else ""
            return made._replace(because=f"on {len(held)} held-out hours it {words} '{each.name}'{chancy}")
    return made._replace(chance=chance)


def _unrest(values: Sequence[float | None], place: int) -> float | None:
    known = [value for value in values[max(0, place + 1 - RESTLESS) : place + 1] if value is not None]
    if len(known) < RESTLESS // 2:
        return None
    return sum(abs(later - value) for value, later in pairwise(known)) / (len(known) - 1)


def _worse(values: Sequence[float | None], origin: int, end: int) -> bool | None:
    """Whether the hour that ends with this quarter is degraded beside the day before the origin; None: not known."""
    if origin < DAY - 1 or end < HOUR:
        return None
    day = [value for value in values[origin + 1 - DAY : origin + 1] if value is not None]
    hour = [value for value in values[end + 1 - HOUR : end + 1] if value is not None]
    if not hour or len(day) < DAY // 2:
        return None
    level = median(day)
    return median(hour) - level > max(GATE_MS, GATE_SHARE * level)
