"""Forecasts over HTTP: what is not worth giving is refused with its reason, in the shape of one that is given."""

import random
from types import SimpleNamespace
from typing import Any, cast

from tests.api.conftest import NOW, Hub

from nettrace.analysis.forecast.offer import offer
from nettrace.analysis.forecast.quarter import QUARTER_NS
from nettrace.hub.quarters import quarters_of
from nettrace.store.port import Choice, StoreReader
from nettrace.store.rows import Resolution, Window

PATH = "/api/v1/latency/api.example.com/forecast"


async def test_two_hours_of_history_are_refused_with_the_reason(hub: Hub) -> None:
    page = await hub.json(f"{PATH}?region=nyc")
    assert (page["offered"], page["points"], page["region"]) == (False, [], "nyc")
    assert "10 days" in page["because"]
    assert page["since"] == "2026-11-20T12:00:00.000000Z"  # after the newest closed quarter
    assert page["instability"]["offered"] is False
    assert page["card"]["days"] < 0.1


async def test_what_does_not_exist_is_said(hub: Hub) -> None:
    assert (await hub.get(f"{PATH}?region=nowhere")).status_code in {400, 404, 422}
    assert (await hub.get("/api/v1/latency/nobody.example.com/forecast")).status_code == 404


def test_quarters_come_from_the_store_s_own_rollups() -> None:
    dice = random.Random(1)
    first = NOW // QUARTER_NS - 14 * 96
    start = [(first + place) * QUARTER_NS for place in range(14 * 96)]
    levels = [None if place == 7 else int(4e7 + dice.gauss(0, 2e6)) for place in range(14 * 96)]

    def history(choice: Choice, window: Window, resolution: Resolution, quantiles: Any) -> list[Any]:
        assert (resolution, quantiles) == (Resolution.QUARTER, (0.5,))
        return [SimpleNamespace(start=start, quantiles_ns={"p50": levels})]

    made = quarters_of(cast(StoreReader, SimpleNamespace(history=history)), Choice(), Window(0, NOW))
    assert (made.first, len(made.values), made.values[7]) == (first, 14 * 96, None)
    assert offer(made).offered
