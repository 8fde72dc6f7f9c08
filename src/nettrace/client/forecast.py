"""Forecasts, as the API gives them: a band, or why there is none."""

from nettrace.client.answers import Answer, At
from nettrace.client.call import Call, query_of, segment
from nettrace.client.calls import API


class ForecastPoint(Answer, frozen=True, kw_only=True):
    """The 80 % band for the quarter of an hour that begins at `at`."""

    at: At
    hours: float
    low_ms: float
    middle_ms: float
    high_ms: float


class Baseline(Answer, frozen=True, kw_only=True):
    """A naive method on the held-out days; `skill` is the share of its loss saved, `surely` if not by chance."""

    name: str
    loss: float
    skill: float
    surely: bool


class Card(Answer, frozen=True, kw_only=True):
    """What the forecast was judged by: `loss` and `coverage` are of the held-out days."""

    method: str
    days: float
    held_out_days: int
    baselines: tuple[Baseline, ...]
    loss: float | None = None
    coverage: float | None = None


class Instability(Answer, frozen=True, kw_only=True):
    """The chance that the next hour is worse than the day, or why it is not stated."""

    offered: bool
    hours: int
    events: int
    because: str | None = None
    chance: float | None = None


class Forecast(Answer, frozen=True, kw_only=True):
    """A forecast from `since` on; without `points` where it is not `offered`."""

    host: str
    endpoint: str
    method: str
    offered: bool
    points: tuple[ForecastPoint, ...]
    instability: Instability
    card: Card
    region: str | None = None
    because: str | None = None
    since: At | None = None


def forecast(
    host: str, *, region: str | None = None, endpoint: str | None = None, method: str | None = None
) -> Call[Forecast]:
    """An 80 % band for the RTT of the next 24 hours, or why there is none."""
    query = query_of({"region": region, "endpoint": endpoint, "method": method})
    return Call(path=f"{API}/latency/{segment(host)}/forecast", shape=Forecast, query=query)
