"""Forecasts and what they were judged by."""

import msgspec


class ForecastPoint(msgspec.Struct, kw_only=True):
    """The band for one quarter of an hour to come, which begins at `at`."""

    at: str
    hours: float
    low_ms: float
    middle_ms: float
    high_ms: float


class BaselineShape(msgspec.Struct, kw_only=True):
    """A naive method on the held-out days; `skill` is the share of its loss saved, `surely` if not by chance."""

    name: str
    loss: float
    skill: float
    surely: bool


class HorizonShape(msgspec.Struct, kw_only=True):
    """What was chosen for a horizon, its mean pinball loss in ms and coverage, and the losses of the naive methods."""

    hours: float
    method: str
    loss: float
    coverage: float
    naive: dict[str, float]
    better: bool


class ForecastCard(msgspec.Struct, kw_only=True):
    """What the forecast was judged by: `loss` and `coverage` are of the held-out days, over the horizons."""

    method: str
    days: float
    held_out_days: int
    loss: float | None
    coverage: float | None
    baselines: list[BaselineShape]
    horizons: list[HorizonShape]


class InstabilityShape(msgspec.Struct, kw_only=True):
    """The chance that the next hour's median lies above the day's by 3 ms and 3 %; `score` is a Brier score."""

    offered: bool
    because: str | None
    chance: float | None
    hours: int
    events: int
    score: float | None
    baselines: list[BaselineShape]


class ForecastPage(msgspec.Struct, kw_only=True):
    """A forecast from `since` on, or the reason why there is none."""

    object: str = "forecast"
    host: str
    region: str | None
    endpoint: str
    method: str
    offered: bool
    because: str | None
    since: str | None
    band: float
    points: list[ForecastPoint]
    instability: InstabilityShape
    card: ForecastCard
