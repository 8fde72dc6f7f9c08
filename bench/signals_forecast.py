"""Forecasts: what their bands hold, and whether those offered went on to beat the naive ones; part of "signals".

NETTRACE_DATASETS=FOLDER python -m bench.signals_forecast
"""

from collections.abc import Callable, Sequence
from statistics import mean
from typing import NamedTuple

import numpy as np

from bench.figure import OURS, Column, Table
from bench.signals_data import Series, labelled, stepped
from bench.signals_score import observed
from nettrace.analysis.forecast.method import HORIZONS, NAIVE
from nettrace.analysis.forecast.offer import DAYS_LEAST, offer
from nettrace.analysis.forecast.quarter import DAY, Quarters, quarters
from nettrace.analysis.forecast.trial import Trial

DECIDED = 0.7
"""The part of a series that decides; the rest shows how the decision fared."""
DAYS = 21


def forecast_tables(series: Sequence[Series], name: str) -> list[Table]:
    """Coverage by horizon, and decisions beside what came after them."""
    rows = [quarters(observed(each)) for each in series]
    return [_coverage(rows, name), _afterwards({name: rows, **_generated(12)})]


def _coverage(rows: Sequence[Quarters], name: str) -> Table:
    table = Table(
        f"signals: the 80 % band around the last value, {name}",
        [Column("coverage", "1", 0.75, at_least=True), Column("and at most", "1", 0.85), Column("loss", "ms")]
        + [Column(f"{horizon // 4} h", "coverage") for horizon in HORIZONS],
        note="rolling origin every hour; the first columns are of the 24-hour band, pooled; loss: mean pinball",
    )
    trials = [Trial(each).outcomes for each in rows]
    for row, method in ((OURS, "last value"), ("seasonal naive", "seasonal naive")):
        found = {h: [one for trial in trials for one in trial[method][h]] for h in HORIZONS}
        held = {h: mean(one.inside for one in outcomes) for h, outcomes in found.items() if outcomes}
        day = HORIZONS[-1]
        table.add(
            row,
            {"coverage": held[day], "and at most": held[day], "loss": mean(one.loss for one in found[day])}
            | {f"{h // 4} h": share for h, share in held.items()},
        )
    return table


def _afterwards(kinds: dict[str, Sequence[Quarters]]) -> Table:
    table = Table(
        f"signals: forecasts decided on the first {DECIDED:.0%} of a series, and how they fared on the rest",
        [
            Column("series", "n"), Column("offered", "n"), Column("saved", "of last value's loss", 0.0, at_least=True),
            Column("saved of", "seasonal naive's", 0.0, at_least=True), Column("coverage", "1"),
            Column("refused", "saved of last value's, had they been"),
        ],
        note="losses of all horizons offered, each series weighs the same; 'refused': the methods that had been chosen, at all "
        "horizons",
    )  # fmt: skip
    every: list[_Fared] = []
    for name, rows in kinds.items():
        long = [each for each in rows if each.days * DECIDED >= DAYS_LEAST]
        fared = [one for each in long if (one := _fared(each)) is not None]
        every += fared
        table.add(name, _mean(fared))
    table.add(f"{OURS}, all of them", _mean(every))
    table.rows = {OURS: table.rows.pop(f"{OURS}, all of them")} | table.rows
    return table


class _Fared(NamedTuple):
    """What a decision came to: shares of the naive methods' losses saved after it, and the coverage."""

    offered: bool
    saved: float
    saved_of: float
    coverage: float


def _mean(fared: Sequence[_Fared]) -> dict[str, float | None]:
    given = [one for one in fared if one.offered]
    refused = [one.saved for one in fared if not one.offered]
    return {
        "series": float(len(fared)),
        "offered": float(len(given)),
        "saved": mean(one.saved for one in given) if given else None,
        "saved of": mean(one.saved_of for one in given) if given else None,
        "coverage": mean(one.coverage for one in given) if given else None,
        "refused": mean(refused) if refused else None,
    }


def _fared(series: Quarters) -> _Fared | None:
    """The decision of the first part of a series beside what came then; None where too little came."""
    cut = int(DECIDED * len(series.values))
    made, trial = offer(Quarters(series.first, series.values[:cut])), Trial(series)
    chosen = {each.quarters: each.method for each in made.horizons if each.better or not made.offered}
    mine = {h: [one for one in trial.outcomes[name][h] if one.origin >= cut] for h, name in chosen.items()}
    if not chosen or not all(mine.values()):
        return None
    loss = mean(mean(one.loss for one in each) for each in mine.values())
    naive = [
        mean(mean(one.loss for one in trial.outcomes[name][h] if one.origin >= cut) for h in chosen)
        for name in NAIVE
    ]
    inside = mean(mean(one.inside for one in each) for each in mine.values())
    return _Fared(made.offered, 1 - loss / naive[0], 1 - loss / naive[1], inside)


def _generated(count: int) -> dict[str, Sequence[Quarters]]:
    dice = np.random.default_rng(1)
    length = DAYS * DAY
    place = np.arange(length)

    def rows(make: Callable[[], np.ndarray]) -> list[Quarters]:
        return [Quarters(0, make().tolist()) for _ in range(count)]

    def drawn() -> np.ndarray:
        noise, value, made = dice.normal(0, 0.5, length), 0.0, np.empty(length)
        for number in range(length):
            made[number] = value = 0.97 * value + noise[number]
        return 60 + made

    return {
        "random walk": rows(lambda: 500 + np.cumsum(dice.normal(0, 0.5, length))),
        "daily swing": rows(lambda: 60 + 5 * np.sin(2 * np.pi * place / DAY) + dice.normal(0, 0.1, length)),
        "drawn to a level": rows(drawn),
        "noise around a level": rows(lambda: 60 + dice.normal(0, 1, length)),
    }


if __name__ == "__main__":
    given = labelled("labelled")
    for made_table in forecast_tables(
        given or stepped(6, 1), "labelled series" if given else "generated series"
    ):
        print(f"\n{made_table.text()}")
