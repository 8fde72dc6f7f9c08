"""Where the time of a request goes: its stages one after another, cold and on a connection that stands.

Each stage stands in its own line with its name and its figure, so nothing is told by colour alone.
"""

from collections.abc import Iterable, Mapping, Sequence
from statistics import median_low

import msgspec

from nettrace.model.instant import NS_PER_MS, Instant
from nettrace.store.rows import Round
from nettrace.web.chart import Tools
from nettrace.web.scale import Axis, value_ticks
from nettrace.web.xml import text

STAGES = {
    "dns": "name looked up", "connect": "TCP connect", "tls": "TLS handshake", "ttfb": "request to first byte",
    "rest": "rest of the answer",
}  # fmt: skip
"""Stages in their order, in words."""

COLD, KEPT_ALIVE = "cold", "kept alive"
_WIDTH, _LEFT, _RIGHT, _TOP, _LINE = 720, 190, 90, 22, 22


class Bar(msgspec.Struct, frozen=True, kw_only=True):
    """One stage of one kind of request."""

    row: str
    stage: str
    words: str
    start_ns: int
    length_ns: int


class Waterfall(msgspec.Struct, frozen=True, kw_only=True):
    """A drawn one with what it rests on.

    Attributes:
        derived: no request went over a standing connection; that line is the cold one's own request.
        vantage_shown: whether the page has to say from where.
    """

    vantage: str
    method: str
    svg: str
    bars: tuple[Bar, ...]
    count: int
    start: Instant
    end: Instant
    derived: bool
    tools: Tools | None = None
    vantage_shown: bool = False


def stage_medians(found: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """The median of each stage over requests that had it; what is left of their totals is `rest`.

    >>> stage_medians([{"connect": 4, "ttfb": 5, "total": 10}, {"connect": 6, "ttfb": 5, "total": 12}])
    {'connect': 4, 'ttfb': 5, 'rest': 1}
    """
    values: dict[str, list[int]] = {name: [] for name in STAGES}
    for stages in found:
        known = {name: stages[name] for name in STAGES if name in stages}
        for name, length in known.items():
            values[name].append(length)
        if "total" in stages:
            values["rest"].append(max(0, stages["total"] - sum(known.values())))
    return {name: median_low(lengths) for name, lengths in values.items() if lengths}


def bars_of(cold: Mapping[str, int], warm: Mapping[str, int]) -> tuple[Bar, ...]:
    """The stages of both kinds of request, each beginning where the one before ended."""
    made: list[Bar] = []
    for row, stages in ((COLD, cold), (KEPT_ALIVE, warm)):
        at = 0
        for name, words in STAGES.items():
            if name in stages and (name != "rest" or stages[name]):
                made.append(Bar(row=row, stage=name, words=words, start_ns=at, length_ns=stages[name]))
                at += stages[name]
    return tuple(made)


def waterfalls(rounds: Sequence[Round], title: str) -> list[Waterfall]:
    """One for each vantage and method whose rounds have stages."""
    groups: dict[tuple[str, str], list[Round]] = {}
    for each in rounds:
        if "ttfb" in each.stages_ns:
            groups.setdefault((each.series.vantage, each.series.method.value), []).append(each)
    return [_waterfall(vantage, method, group, title) for (vantage, method), group in sorted(groups.items())]


def _waterfall(vantage: str, method: str, group: Sequence[Round], title: str) -> Waterfall:
    cold = stage_medians(each.stages_ns for each in group if "connect" in each.stages_ns)
    warm = stage_medians(each.stages_ns for each in group if "connect" not in each.stages_ns)
    derived = not warm
    bars = bars_of(cold, warm or {name: cold[name] for name in ("ttfb", "rest") if name in cold})
    return Waterfall(
        vantage=vantage, method=method, bars=bars, svg=draw(bars, f"{title} from {vantage}: stages of a request"),
        count=len(group), start=min(each.due for each in group), end=max(each.due for each in group), derived=derived,
    )  # fmt: skip


def draw(bars: Sequence[Bar], title: str) -> str:
    """The bars as SVG; an empty string when there is none."""
    if not bars:
        return ""
    ends = {row: max((bar.start_ns + bar.length_ns for bar in bars if bar.row == row), default=0) for row in (COLD, KEPT_ALIVE)}  # fmt: skip
    ticks = value_ticks(0, max(*ends.values(), 1) / NS_PER_MS)
    x = Axis(0, ticks[-1] * NS_PER_MS, _LEFT, _WIDTH - _RIGHT)
    lines: list[str] = []
    y = _TOP
    for row, end in ends.items():
        mine = [bar for bar in bars if bar.row == row]
        if not mine:
            continue
        lines.append(
            f'<text class="fall-row" x="4" y="{y + 15}">{row}</text>'
            f'<text class="fall-row" x="{_WIDTH - 4}" y="{y + 15}" text-anchor="end">{_ms(end)} in all</text>'
        )
        for number, bar in enumerate(mine, 1):
            lines.append(_bar(bar, x, y + number * _LINE))
        y += (len(mine) + 1) * _LINE + 8
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="fall" viewBox="0 0 {_WIDTH} {y}" role="img" aria-label="{text(title)}">'
        f"<title>{text(title)}</title>{''.join(_grid(ticks, x, y))}{''.join(lines)}</svg>"
    )


def _grid(ticks: Sequence[float], x: Axis, height: int) -> Iterable[str]:
    for number, tick in enumerate(ticks):
        at = x.at(tick * NS_PER_MS)
        seldom = " tick-wide" if number % 2 else ""
        yield f'<path class="grid" d="M{at} {_TOP - 6}V{height}"/>'
        yield f'<text class="tick{seldom}" x="{at}" y="12" text-anchor="middle">{tick:g}{" ms" if tick == ticks[-1] else ""}</text>'


def _bar(bar: Bar, x: Axis, y: int) -> str:
    left, right = x.at(bar.start_ns), x.at(bar.start_ns + bar.length_ns)
    return (
        f'<text class="fall-name" x="16" y="{y + 15}">{bar.words}</text>'
        f'<rect class="fall-{bar.stage}" x="{left}" y="{y + 3}" width="{max(1.0, right - left):.1f}" height="{_LINE - 7}">'
        f"<title>{bar.words}: {_ms(bar.length_ns)}</title></rect>"
        f'<text class="fall-name" x="{right + 5}" y="{y + 15}">{_ms(bar.length_ns)}</text>'
    )


def _ms(ns: int) -> str:
    value = ns / NS_PER_MS
    return f"{value:.{2 if value < 10 else 1 if value < 100 else 0}f} ms"
