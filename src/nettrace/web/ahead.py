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
from nettrace.web.kept import kept
from nettrace.web.scale import Axis, extent, time_ticks, value_ticks
from nettrace.web.smoke import HEIGHT, WIDTH
from nettrace.web.xml import text

_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 8, 10, 24


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
    seen = extent([[round(value * NS_PER_MS) for value in values]]) or (0, NS_PER_MS)
    ticks = value_ticks(seen[0] / NS_PER_MS, seen[1] / NS_PER_MS)
    x, y = (
        Axis(float(start), float(end), _LEFT, WIDTH - _RIGHT),
        Axis(ticks[0], ticks[-1], HEIGHT - _BOTTOM, _TOP),
    )
    lines = [
        f'<path class="grid" d="M{_LEFT} {y.at(tick)}H{WIDTH - _RIGHT}"/><text class="tick" x="{_LEFT - 6}" y="{y.at(tick) + 4}" text-anchor="end">{tick:g}{" ms" if number == len(ticks) - 1 else ""}</text>'
        for number, tick in enumerate(ticks)
    ]  # fmt: skip
    lines += [
        f'<text class="tick{" tick-wide" if number % 3 else ""}" x="{x.at(when)}" y="{HEIGHT - 6}" text-anchor="middle">{label}</text>'
        for number, (when, label) in enumerate(time_ticks(start, end))
    ]
    measured = " ".join(f"{x.at((quarter + 0.5) * QUARTER_NS)},{y.at(value)}" for quarter, value in past)
    known = _middle(made.last) if past else start
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="smoke" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{text(title)}"><title>{text(title)}</title>'
        f"{''.join(lines)}{_band(made.ahead, made.last, x, y)}"
        f'<polyline class="median loss-0" fill="none" points="{measured}"/><path class="mark" d="M{x.at(known)} {_TOP}V{HEIGHT - _BOTTOM}"/></svg>'
    )


def _middle(quarter: int) -> Instant:
    return quarter * QUARTER_NS + QUARTER_NS // 2


def _band(ahead: Sequence[Ahead], last: int, x: Axis, y: Axis) -> str:
    at = [x.at(_middle(last + each.horizon)) for each in ahead]
    upper = [f"{place},{y.at(each.high)}" for place, each in zip(at, ahead, strict=True)]
    lower = [f"{place},{y.at(each.low)}" for place, each in zip(at, ahead, strict=True)]
    middle = " ".join(f"{place},{y.at(each.middle)}" for place, each in zip(at, ahead, strict=True))
    bars = "".join(
        f'<path class="forecast-end" d="M{place} {y.at(each.low)}V{y.at(each.high)}"/>' for place, each in zip(at, ahead, strict=True)
    )  # fmt: skip
    return (
        f'<polygon class="smoke-near" points="{" ".join([*upper, *reversed(lower)])}"/>{bars}'
        f'<polyline class="forecast" fill="none" points="{middle}"/>'
    )
