"""Forecasts of a series: a band, or why there is none."""

from typing import Annotated, Any

import msgspec

from nettrace.analysis.forecast.degradation import instability
from nettrace.analysis.forecast.document import forecast_document
from nettrace.analysis.forecast.offer import offer
from nettrace.analysis.forecast.quarter import KEPT, QUARTER_NS, of_medians
from nettrace.api import asked, schema
from nettrace.api.asked import OneRegion
from nettrace.api.call import Call
from nettrace.api.given import Answer
from nettrace.api.operation import Operation
from nettrace.hub import query
from nettrace.hub.quarters import quarters_of
from nettrace.model.target import RoundMethod
from nettrace.store.port import Choice, StoreReader
from nettrace.store.rows import Window


class ForecastQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Of which series."""

    region: OneRegion | None = None
    endpoint: (
        Annotated[str, msgspec.Meta(description="Its name; the target's first when left out.")] | None
    ) = None
    method: (
        Annotated[RoundMethod, msgspec.Meta(description="What speaks for the endpoint when left out.")] | None
    ) = None


async def forecast(call: Call) -> Answer:
    """The forecast from the newest closed quarter of an hour on; kept until the next one is."""
    return await asked.remembered(call, call.now // QUARTER_NS, lambda: _forecast(call))


async def _forecast(call: Call) -> Answer:
    wanted: ForecastQuery = call.query
    target = asked.target_in(call)
    if wanted.region is not None:
        asked.regions_in(call.snapshot, (wanted.region,))
    region = wanted.region or query.default_region(call.snapshot, (target,))
    endpoint = query.endpoint_of(target, wanted.endpoint)
    method = wanted.method or query.method_of(call.snapshot, target, endpoint)
    end = call.now // QUARTER_NS * QUARTER_NS
    window = call.service.access.window(call.caller, Window(end - KEPT * QUARTER_NS, end), call.now)
    choice = Choice(
        targets=(target.host,), vantages=() if region is None else (region,), endpoints=(endpoint.name,),
        methods=(method.value,),
    )  # fmt: skip

    def work(reader: StoreReader) -> dict[str, Any]:
        series = quarters_of(reader, choice, window) if region is not None else of_medians({})
        return forecast_document(offer(series), instability(series))

    made = await call.service.readers.run(work)
    page = msgspec.convert(
        {**made, "host": target.host, "region": region, "endpoint": endpoint.name, "method": method.value},
        schema.ForecastPage,
    )
    return Answer(content=page, fresh_s=max(1, (end + QUARTER_NS - call.now) // 10**9))


OPERATIONS = (
    Operation(
        id="getForecast", method="GET", path="/api/v1/latency/{host}/forecast", tag="Latency", handler=forecast,
        query=ForecastQuery, answer=schema.ForecastPage, cost=5,
        summary="An 80 % band for the RTT of the next 24 hours, or why there is none",
        description="Offered only where it has beaten the last value and the value a day before on the second half of this "
        "very series, from at least ten days of it; `because` says what speaks against it, `card` what it was judged by.",
        example="/api/v1/latency/api.example.com/forecast?region=nyc",
    ),
)  # fmt: skip
