"""Whether a forecast of this series is worth giving: only if it has beaten the naive ones on days it was not chosen by.

The first half of what was judged chooses a method for each horizon. The second half, held out, must show that the choice
loses less than each naive method, by a one-sided t-test at 5 % over daily means (its variance widened for what a day has in
common with the next), and that the 80 % band held 70 to 90 % of what came. Else there is none, and the reason is said.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from math import inf, sqrt
from statistics import mean
from typing import NamedTuple

from nettrace.analysis.forecast.method import HORIZONS, METHODS, NAIVE
from nettrace.analysis.forecast.quarter import DAY, Quarters
from nettrace.analysis.forecast.trial import Ahead, Contest, Outcome, Trial

DAYS_LEAST, HELD_OUT_LEAST = 10, 4
"""Days that a decision needs, and that of them must be held out."""
COVERAGE_LEAST, COVERAGE_MOST = 0.70, 0.90
TRIFLE = 0.02
"""A share of the loss that no method is changed for."""


class Beaten(NamedTuple):
    """A naive method on the held-out days beside the forecast.

    Attributes:
        loss: its mean pinball loss over the horizons, ms.
        skill: the share of it that the forecast saves; negative where it adds.
        surely: the saving is more than chance.
    """

    name: str
    loss: float
    skill: float
    surely: bool


class Horizon(NamedTuple):
    """One horizon on the held-out days: what was chosen, its loss in ms, its coverage, and the naive methods' losses."""

    quarters: int
    method: str
    loss: float
    coverage: float
    naive: Mapping[str, float]

    @property
    def better(self) -> bool:
        """No naive method lost less or as little."""
        return all(self.loss < loss for loss in self.naive.values())


class Offer(NamedTuple):
    """A forecast or the reason why there is none.

    Attributes:
        because: why it is not offered; empty where it is.
        ahead: bands for the horizons at which the forecast was better; empty where it is not offered.
        last: the newest quarter of the series, counted since 1970.
        days: of the series, and held out.
        loss: mean pinball loss of the forecast on the held-out days over the horizons, ms.
    """

    because: str
    ahead: Sequence[Ahead]
    last: int
    days: float
    held_out_days: int
    loss: float | None
    coverage: float | None
    horizons: Sequence[Horizon]
    baselines: Sequence[Beaten]

    @property
    def offered(self) -> bool:
        """There is a forecast."""
        return not self.because


def offer(series: Quarters) -> Offer:
    """The forecast of a series from its newest quarter on, if it is worth giving."""
    last = series.first + len(series.values) - 1
    nothing = Offer("", (), last, series.days, 0, None, None, (), ())
    if series.days < DAYS_LEAST:
        why = f"it needs {DAYS_LEAST} days of the series, there are {series.days:.1f}"
        return nothing._replace(because=why)
    trial = Trial(series)
    origins = sorted({one.origin for one in trial.outcomes["last value"][HORIZONS[0]]})
    if not origins:
        return nothing._replace(because="the series has too many holes")
    half = (origins[0] + origins[-1]) // 2
    chosen = _chosen(trial.outcomes, half)
    horizons = _held_out(trial.outcomes, chosen, half)
    if len(chosen) < len(HORIZONS) or len(horizons) < len(HORIZONS):
        return nothing._replace(because="the series has too many holes")
    losses = _daily({h: trial.outcomes[name][h] for h, name in chosen.items()}, half)
    baselines = [_beaten(name, losses, _daily(trial.outcomes[name], half)) for name in NAIVE]
    made = nothing._replace(
        held_out_days=len(losses),
        loss=mean(each.loss for each in horizons),
        coverage=mean(each.coverage for each in horizons),
        horizons=horizons,
        baselines=baselines,
    )
    why = _against(made)
    ahead = () if why else trial.ahead({each.quarters: each.method for each in horizons if each.better})
    if not why and not ahead:
        why = "the newest hour of the series is missing"
    return made._replace(because=why, ahead=ahead)


def _chosen(outcomes: Contest, half: int) -> dict[int, str]:
    """For each horizon the method that lost least in the first half; the last value, where the gain is a trifle."""
    made: dict[int, str] = {}
    for horizon in HORIZONS:
        losses = {
            name: mean(one.loss for one in early)
            for name in METHODS
            if (early := [one for one in outcomes[name][horizon] if one.origin + horizon <= half])
        }
        if losses:
            best = min(losses, key=lambda name: losses[name])
            trifle = losses[best] > (1 - TRIFLE) * losses.get("last value", inf)
            made[horizon] = "last value" if trifle else best
    return made


def _held_out(outcomes: Contest, chosen: Mapping[int, str], half: int) -> list[Horizon]:
    made: list[Horizon] = []
    for horizon, name in chosen.items():
        mine, naive = (
            [one for one in outcomes[name][horizon] if one.origin > half],
            {each: [one.loss for one in outcomes[each][horizon] if one.origin > half] for each in NAIVE},
        )
        if mine and all(naive.values()):
            made.append(
                Horizon(
                    horizon,
                    name,
                    mean(one.loss for one in mine),
                    mean(one.inside for one in mine),
                    {each: mean(losses) for each, losses in naive.items()},
                )
            )
    return made


def _daily(outcomes: Mapping[int, Sequence[Outcome]], half: int) -> dict[int, float]:
    """Mean loss of each held-out day over horizons and origins; every horizon weighs the same."""
    days: dict[int, dict[int, list[float]]] = {}
    for horizon, each in outcomes.items():
        for one in each:
            if one.origin > half:
                days.setdefault((one.origin - half - 1) // DAY, {}).setdefault(horizon, []).append(one.loss)
    return {
        day: mean(mean(losses) for losses in by.values())
        for day, by in days.items()
        if len(by) == len(outcomes)
    }


def _beaten(name: str, mine: Mapping[int, float], theirs: Mapping[int, float]) -> Beaten:
    days = sorted(mine.keys() & theirs.keys())
    if not days:
        return Beaten(name, 0.0, 0.0, surely=False)
    loss = mean(theirs[day] for day in days)
    saved = [theirs[day] - mine[day] for day in days]
    return Beaten(name, loss, mean(saved) / loss if loss > 0 else 0.0, surely_positive(saved))


def surely_positive(values: Sequence[float]) -> bool:
    """Whether the mean is above nought beyond chance: one-sided t-test at 5 %, the variance widened for lag 1.

    The quantile of Student's t is the expansion of Cornish and Fisher (1960).

    >>> surely_positive([1.0, 1.2, 0.8, 1.1, 0.9]), surely_positive([1.0, -1.2, 0.8, -1.1, 0.9])
    (True, False)
    """
    count = len(values)
    if count < HELD_OUT_LEAST:
        return False
    centre = mean(values)
    rest = [value - centre for value in values]
    power = sum(one * one for one in rest)
    if power == 0:
        return centre > 0
    alike = max(0.0, sum(one * other for one, other in pairwise(rest)) / power)
    free = count - 1
    limit = 1.6449 + 1.524 / free + 1.420 / free**2 + 0.983 / free**3
    return centre > limit * sqrt(power / free / count * (1 + 2 * alike))


def _against(made: Offer) -> str:
    """Why the held-out days speak against it, or nothing."""
    if made.held_out_days < HELD_OUT_LEAST:
        return f"it needs {HELD_OUT_LEAST} held-out days, there are {made.held_out_days}"
    for each in made.baselines:
        if not each.surely:
            words = f"saves {each.skill:.1%} of the loss of" if each.skill > 0 else "does not beat"
            chance = ", which may be chance" if each.skill > 0 else ""
            return f"on {made.held_out_days} held-out days it {words} {each.name}{chance}"
    if made.coverage is not None and not COVERAGE_LEAST <= made.coverage <= COVERAGE_MOST:
        return f"its 80 % band held {made.coverage:.0%} of {made.held_out_days} held-out days"
    if not any(each.better for each in made.horizons):
        return "at no single horizon it is better than both naive methods"
    return ""
