"""A pair's page shows the forecast where it is offered, and else says in one line why not."""

from tests.unit.analysis.test_forecast import around_a_level, wandering

from nettrace.analysis.forecast.offer import offer
from nettrace.analysis.forecast.quarter import Quarters
from nettrace.store.port import Choice
from nettrace.web.ahead import Outlook, outlook_of

CHOICE = Choice(targets=("x.example",), vantages=("nyc",), endpoints=("rest",), methods=("tcp",))


def shown(values: list[float | None]) -> Outlook:
    series = Quarters(2_000_000, values)
    return outlook_of(offer(series), series, CHOICE)


def test_an_offered_forecast_is_drawn_as_a_band_over_what_was_and_stands_in_a_table() -> None:
    found = shown(around_a_level(21, 3))
    assert found.because == "" and found.rows
    assert found.svg.count("forecast-end") == len(found.rows) and "<polygon" in found.svg
    assert all(low <= middle <= high for _, low, middle, high in found.rows)
    assert [hours for hours, *_ in found.rows] == sorted(hours for hours, *_ in found.rows)
    assert 0.7 <= found.coverage[0] <= 0.9 and found.coverage[1] >= 4
    assert found.api == "/api/v1/latency/x.example/forecast?region=nyc&endpoint=rest&method=tcp"


def test_where_none_is_offered_nothing_is_drawn_and_the_reason_stands_there() -> None:
    for values in (around_a_level(3, 3), wandering(21, 3)):
        found = shown(values)
        assert found.because and not found.svg and not found.rows
