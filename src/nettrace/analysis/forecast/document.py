"""A forecast with its model card as its public JSON document, `nettrace.forecast/1`."""

from collections.abc import Sequence
from typing import Any

from nettrace.analysis.forecast.degradation import Instability
from nettrace.analysis.forecast.offer import Beaten, Offer
from nettrace.analysis.forecast.quarter import DAY, QUARTER_NS
from nettrace.model.instant import rfc3339

METHOD = "rolling-origin choice of centre, adaptive conformal band/1"


def forecast_document(made: Offer, unrest: Instability) -> dict[str, Any]:
    """`nettrace.forecast/1`: RTTs are ms, losses mean pinball losses in ms, shares 0 to 1."""
    since = (made.last + 1) * QUARTER_NS
    return {
        "schema": "nettrace.forecast/1",
        "offered": made.offered,
        "because": made.because or None,
        "since": rfc3339(since) if made.days else None,
        "band": 0.8,
        "points": [
            {
                "at": rfc3339(since + (each.horizon - 1) * QUARTER_NS),
                "hours": each.horizon * 24 / DAY,
                "low_ms": round(each.low, 3),
                "middle_ms": round(each.middle, 3),
                "high_ms": round(each.high, 3),
            }
            for each in made.ahead
        ],
        "instability": {
            "offered": not unrest.because,
            "because": unrest.because or None,
            "chance": None if unrest.chance is None else round(unrest.chance, 4),
            "hours": unrest.hours,
            "events": unrest.events,
            "score": _short(unrest.score),
            "baselines": _baselines(unrest.baselines),
        },
        "card": {
            "method": METHOD,
            "days": round(made.days, 2),
            "held_out_days": made.held_out_days,
            "loss": _short(made.loss),
            "coverage": _short(made.coverage),
            "baselines": _baselines(made.baselines),
            "horizons": [
                {
                    "hours": each.quarters * 24 / DAY,
                    "method": each.method,
                    "loss": _short(each.loss),
                    "coverage": _short(each.coverage),
                    "naive": {name: _short(loss) for name, loss in each.naive.items()},
                    "better": each.better,
                }
                for each in made.horizons
            ],
        },
    }


def _baselines(beaten: Sequence[Beaten]) -> list[dict[str, Any]]:
    return [
        {"name": each.name, "loss": _short(each.loss), "skill": _short(each.skill), "surely": each.surely}
        for each in beaten
    ]


def _short(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
