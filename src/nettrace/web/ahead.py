"""The forecast of a pair as its page shows it: the band that held 80 % of what came, or why there is none."""

from collections.abc import Sequence
from urllib.parse import quote, urlencode

import msgspec

from nettrace.analysis.forecast.offer import Offer, offer
from nettrace.analysis.forecast.quarter import DAY, KEPT, QUARTER_NS, Quarters
from nettrace.analysis.forecast.trial import Ahead
from nettrace.hub.quarters import quarters_of
from nettrace.model.instant import NS_PER_MS, Instant
from nettrace.store.port import Choice, StoreReader
from nettrace.store.rows import Window
from nettrace.web.door import Visit
from nettrace.web.frame import PLANE, Frame, framed, picture
from nettrace.web.kept import kept
from nettrace.web.scale import extent


class Outlook(msgspec.Struct, frozen=True, kw_only=True):
    """A forecast, or the reason why there is none.

    Attributes:
        because: why it is not offered; empty where it is.
        svg: the last day's medians and the band over the next; empty where it is not offered.
        rows: of each horizon the hours ahead, and low, middle and high in ms.
        coverage: the share of what came on the held-out days that the band held, and over how many days.
    """

    because: str
    svg: str
    rows: tuple[tuple[float, float, float, float], ...]
    coverage: tuple[float, int]
    api: str


def outlook(reader: StoreReader, visit: Visit, choice: Choice) -> Outlook:
    """The forecast of one series from its newest closed quarter of an hour on; kept until the next one is."""
    end = visit.now // QUARTER_NS * QUARTER_NS
    window = Window(end - KEPT * QUARTER_NS, end)
    if visit.caller is not None:
        window = visit.hub.access.window(visit.caller, window, visit.now)

    def make() -> Outlook:
        series = quarters_of(reader, choice, window)
        return outlook_of(offer(series), series, choice)

    return kept(visit.hub, ("outlook", str(choice), window), make)


def outlook_of(made: Offer, series: Quarters, choice: Choice) -> Outlook:
    """How an offer is shown."""
    asked = {"region": choice.vantages[0], "endpoint": choice.endpoints[0], "method": choice.methods[0]}
    title = f"Forecast of {choice.targets[0]} from {choice.vantages[0]}: the last day and the next"
    return Outlook(
        because=made.because, svg=drawn(made, series, title) if made.offered else "",
        rows=tuple((each.horizon / 4, each.low, each.middle, each.high) for each in made.ahead),
        coverage=(made.coverage or 0.0, made.held_out_days), api=f"/api/v1/latency/{quote(choice.targets[0])}/forecast?{urlencode(asked)}",
    )  # fmt: skip


def drawn(made: Offer, series: Quarters, title: str) -> str:
    """The chart as SVG: medians of the quarters of the last day, then the band with its middle."""
    past = [(series.first + place, value) for place, value in enumerate(series.values) if value is not None and series.first + place > made.last - DAY]  # fmt: skip
    start, end = (made.last - DAY) * QUARTER_NS, (made.last + made.ahead[-1].horizon + 1) * QUARTER_NS
    values = [*(value for _, value in past), *(end for each in made.ahead for end in (each.low, each.high))]
    frame = framed(Window(start, end), extent([[round(value * NS_PER_MS) for value in values]]))
    measured = " ".join(
        f"{frame.x.at((quarter + 0.5) * QUARTER_NS)},{frame.y.at(value * NS_PER_MS)}"
        for quarter, value in past
    )
    known = frame.x.at(_middle(made.last) if past else start)
    shapes = [
        *_band(made.ahead, made.last, frame),
        f'<polyline class="median loss-0" points="{measured}"/>',
        f'<path class="mark" d="M{known} 0v{PLANE}"/>',
    ]
    return picture(frame, title, shapes, ())


def _middle(quarter: int) -> Instant:
    return quarter * QUARTER_NS + QUARTER_NS // 2


def _band(ahead: Sequence[Ahead], last: int, frame: Frame) -> list[str]:
    def points(values: Sequence[float]) -> list[str]:
        return [
            f"{frame.x.at(_middle(last + each.horizon))},{frame.y.at(value * NS_PER_MS)}"
            for each, value in zip(ahead, values, strict=True)
        ]

    upper, lower = points([each.high for each in ahead]), points([each.low for each in ahead])
    bars = [f'<path class="forecast-end" d="M{low}L{high}"/>' for low, high in zip(lower, upper, strict=True)]
    return [
        f'<polygon class="smoke-near" points="{" ".join([*upper, *reversed(lower)])}"/>',
        *bars,
        f'<polyline class="forecast" points="{" ".join(points([each.middle for each in ahead]))}"/>',
    ]
