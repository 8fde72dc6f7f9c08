"""Every method on every hour of a series that has passed, each judged by what came then: rolling origin."""

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from nettrace.analysis.forecast.band import Band, pinball
from nettrace.analysis.forecast.method import HORIZONS, METHODS, NAIVE, Method, Past, past
from nettrace.analysis.forecast.quarter import DAY, Quarters

EVERY = 4
"""Quarters between origins."""


class Outcome(NamedTuple):
    """One forecast that has been judged.

    Attributes:
        origin: the place in the row it was made at.
        loss: mean pinball loss, ms.
        inside: the band held the value.
    """

    origin: int
    loss: float
    inside: bool


class Ahead(NamedTuple):
    """A band for one horizon, ms."""

    horizon: int
    low: float
    middle: float
    high: float


Contest = Mapping[str, Mapping[int, Sequence[Outcome]]]
"""Method -> horizon -> outcomes in order of origin."""


class _Waiting(NamedTuple):
    origin: int
    centre: float
    said: tuple[float, float, float] | None


class Trial:
    """The methods on one series, from its second day on. Nothing is judged before it has come."""

    def __init__(self, series: Quarters) -> None:
        self._values = series.values
        self._methods: dict[str, Method] = {**METHODS, **NAIVE}
        keys = [(name, horizon) for name in self._methods for horizon in HORIZONS]
        self._bands = {key: Band() for key in keys}
        self._waiting: dict[tuple[str, int], deque[_Waiting]] = {key: deque() for key in keys}
        self._outcomes: dict[str, dict[int, list[Outcome]]] = {
            name: {horizon: [] for horizon in HORIZONS} for name in self._methods
        }
        self._newest: Past | None = None
        for origin in self._origins():
            self._judge(origin)
            self._newest = past(self._values, origin)
            if self._newest is not None:
                self._say(origin, self._newest)

    @property
    def outcomes(self) -> Contest:
        """All that was judged, naive methods included."""
        return self._outcomes

    def ahead(self, chosen: Mapping[int, str]) -> list[Ahead]:
        """Bands from the newest origin on, by the method chosen for each horizon; empty where nothing is known now."""
        if self._newest is None:
            return []
        made: list[Ahead] = []
        for horizon, name in sorted(chosen.items()):
            centre = self._methods[name](self._newest, horizon)
            said = self._bands[name, horizon].offsets()
            if centre is not None and said is not None:
                low, middle, high = (max(0.0, centre + one) for one in said)
                made.append(Ahead(horizon, low, middle, high))
        return made

    def _origins(self) -> Iterable[int]:
        """So that the newest quarter is one of them."""
        newest = len(self._values) - 1
        return range(DAY + (newest - DAY) % EVERY, newest + 1, EVERY) if newest >= DAY else ()

    def _say(self, origin: int, known: Past) -> None:
        for (name, horizon), waiting in self._waiting.items():
            centre = self._methods[name](known, horizon)
            if centre is not None:
                waiting.append(_Waiting(origin, centre, self._bands[name, horizon].offsets()))

    def _judge(self, now: int) -> None:
        for (name, horizon), waiting in self._waiting.items():
            while waiting and waiting[0].origin + horizon <= now:
                one = waiting.popleft()
                value = self._values[one.origin + horizon]
                if value is None:
                    continue
                error = value - one.centre
                if one.said is not None:
                    low, middle, high = (one.centre + each for each in one.said)
                    self._outcomes[name][horizon].append(
                        Outcome(one.origin, pinball(low, middle, high, value), low <= value <= high)
                    )
                self._bands[name, horizon].learn(error, one.said)
