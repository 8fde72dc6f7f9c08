"""The smoke chart: a distribution over time, with what was lost, what was not measured, and what light allows.

After Tobias Oetiker's SmokePing: the median as a line whose colour tells loss, the spread around it as smoke.
"""

from collections.abc import Iterable, Sequence
from itertools import pairwise

import msgspec

from nettrace.model.instant import NS_PER_MS, NS_PER_S, Instant, rfc3339
from nettrace.store.rows import STEP_S, Columns, Resolution, Window
from nettrace.web.scale import Axis, extent, time_ticks, value_ticks
from nettrace.web.xml import text

WIDTH, HEIGHT = 900, 260
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 8, 10, 24
_LABEL = 36
"""Half a label of the time axis: nearer to an end it would run into what stands there."""

_LOSS = ((0.0, "loss-0"), (0.01, "loss-1"), (0.05, "loss-2"), (0.20, "loss-3"), (1.0, "loss-4"))
"""Classes of the stylesheet by the share of probes lost: up to and including each bound."""


class Mark(msgspec.Struct, frozen=True):
    """Something that happened: drawn as a line through the chart, with a link to it."""

    at: Instant
    words: str
    href: str


def loss_class(sent: int, received: int) -> str:
    """How a bucket's median is coloured.

    >>> loss_class(100, 100), loss_class(100, 97), loss_class(100, 0)
    ('loss-0', 'loss-2', 'loss-4')
    """
    share = (sent - received) / sent if sent else 0.0
    return next(name for bound, name in _LOSS if share <= bound)


def smoke(
    columns: Columns, window: Window, title: str, *, floor_ns: int | None = None, marks: Sequence[Mark] = (),
    span_ns: tuple[int, int] | None = None,
) -> str:  # fmt: skip
    """The chart as SVG. Needs the quantiles p5, p25, p50, p75 and p95 in `columns`.

    `span_ns` sets the value axis, so that several charts can be read against each other. Bars
    hatched grey are "not measured"; bars hatched red had probes and no answer.
    """
    quantile = columns.quantiles_ns
    seen = span_ns or extent([quantile["p5"], quantile["p95"], [floor_ns]])
    ticks = value_ticks(seen[0] / NS_PER_MS, seen[1] / NS_PER_MS) if seen else [0.0, 1.0]
    x = Axis(float(window.start), float(window.end), _LEFT, WIDTH - _RIGHT)
    y = Axis(ticks[0] * NS_PER_MS, ticks[-1] * NS_PER_MS, HEIGHT - _BOTTOM, _TOP)
    body = [
        *_grid(x, y, ticks, window),
        *_absent(columns, window, x),
        *_bands(columns, x, y),
        *_medians(columns, x, y),
        *_floor(floor_ns, y),
        *(_mark(mark, x) for mark in marks if window.start <= mark.at < window.end),
    ]
    role = (
        "group" if marks else "img"
    )  # marks are links: what is inside an image cannot be reached by keyboard
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="smoke" viewBox="0 0 {WIDTH} {HEIGHT}" role="{role}" aria-label="{text(title)}" '
        f'data-start="{rfc3339(window.start)[:19]}Z" data-end="{rfc3339(window.end)[:19]}Z" data-left="{_LEFT}" data-right="{WIDTH - _RIGHT}">'
        f"<title>{text(title)}</title>{''.join(body)}</svg>"
    )


def _grid(x: Axis, y: Axis, ticks: Sequence[float], window: Window) -> Iterable[str]:
    for number, tick in enumerate(ticks):
        at, unit = y.at(tick * NS_PER_MS), " ms" if number == len(ticks) - 1 else ""
        yield f'<path class="grid" d="M{_LEFT} {at}H{WIDTH - _RIGHT}"/>'
        yield f'<text class="tick" x="{_LEFT - 6}" y="{at + 4}" text-anchor="end">{tick:g}{unit}</text>'
    for number, (when, label) in enumerate(time_ticks(window.start, window.end)):
        at = x.at(when)
        seldom = " tick-wide" if number % 3 else ""  # a phone has room for each third
        yield f'<path class="grid" d="M{at} {_TOP}V{HEIGHT - _BOTTOM}"/>'
        side = "start" if at < _LEFT + _LABEL else "end" if at > WIDTH - _RIGHT - _LABEL else "middle"
        yield f'<text class="tick{seldom}" x="{at}" y="{HEIGHT - 6}" text-anchor="{side}">{label}</text>'


def _absent(columns: Columns, window: Window, x: Axis) -> Iterable[str]:
    """Hatching wherever there is no number: grey when nobody looked, red when nobody answered."""
    step = step_ns(columns)
    covered = window.start
    for start, measured, failed in zip(columns.start, columns.measured, columns.failed, strict=True):
        if start - covered >= step:
            yield _hatch(covered, start, x, "unmeasured", "not measured")
        if measured == 0:
            name, words = ("failed", "no answer") if failed else ("unmeasured", "not measured")
            yield _hatch(start, start + step, x, name, words)
        covered = start + step
    if window.end - covered >= step:
        yield _hatch(covered, window.end, x, "unmeasured", "not measured")


def _hatch(start: Instant, end: Instant, x: Axis, name: str, words: str) -> str:
    left, right = x.at(start), x.at(end)
    height = HEIGHT - _TOP - _BOTTOM
    title = f"{words}: {rfc3339(start)[:16]} to {rfc3339(end)[:16]}"
    return (
        f'<rect class="{name}" x="{left}" y="{_TOP}" width="{max(1.0, right - left):.1f}" height="{height}">'
        f"<title>{title}</title></rect>"
    )


def step_ns(columns: Columns) -> int:
    """How long a bucket speaks for: as wide as it is, or twice the usual distance where rounds come more seldom.

    A minute in which nothing was due is not "not measured".
    """
    width = STEP_S.get(columns.resolution, 60) * NS_PER_S
    steps = sorted(later - earlier for earlier, later in pairwise(columns.start))
    usual = steps[len(steps) // 2] if steps else width
    return 2 * usual if usual > width or columns.resolution is Resolution.RAW else width


def _runs(columns: Columns) -> Iterable[list[int]]:
    """Stretches of neighbouring buckets that have a median."""
    step, run = step_ns(columns), list[int]()
    for index, start in enumerate(columns.start):
        if columns.quantiles_ns["p50"][index] is None or (
            run and start - columns.start[run[-1]] > 1.5 * step
        ):
            yield run
            run = []
        if columns.quantiles_ns["p50"][index] is not None:
            run.append(index)
    yield run


def _middle(columns: Columns, index: int, x: Axis) -> float:
    return x.at(columns.start[index] + STEP_S.get(columns.resolution, 0) * NS_PER_S / 2)


def _bands(columns: Columns, x: Axis, y: Axis) -> Iterable[str]:
    for low, high, name in (("p5", "p95", "smoke-wide"), ("p25", "p75", "smoke-near")):
        for run in _runs(columns):
            if run:
                upper = [_point(columns, index, high, x, y) for index in run]
                lower = [_point(columns, index, low, x, y) for index in reversed(run)]
                yield f'<polygon class="{name}" points="{" ".join(upper + lower)}"/>'


def _point(columns: Columns, index: int, quantile: str, x: Axis, y: Axis) -> str:
    value = columns.quantiles_ns[quantile][index] or 0
    return f"{_middle(columns, index, x)},{y.at(value)}"


def _medians(columns: Columns, x: Axis, y: Axis) -> Iterable[str]:
    for run in _runs(columns):
        for earlier, later in pairwise(run):
            name, told = _lost(columns, later)
            start, end = (_point(columns, index, "p50", x, y) for index in (earlier, later))
            yield f'<path class="median {name}" d="M{start}L{end}">{told}</path>'
        if len(run) == 1:
            at_x, at_y = _point(columns, run[0], "p50", x, y).split(",")
            name, told = _lost(columns, run[0])
            yield f'<circle class="median {name}" cx="{at_x}" cy="{at_y}" r="2">{told}</circle>'


def _lost(columns: Columns, index: int) -> tuple[str, str]:
    """A bucket's class by loss, and in words what was lost if anything was."""
    sent, lost = columns.sent[index], columns.sent[index] - columns.received[index]
    words = f"{lost} of {sent} probes lost, {rfc3339(columns.start[index])[:16]}"
    return loss_class(sent, columns.received[index]), f"<title>{words}</title>" if lost else ""


def _floor(floor_ns: int | None, y: Axis) -> Iterable[str]:
    if floor_ns is not None:
        at = y.at(floor_ns)
        yield f'<path class="floor" d="M{_LEFT} {at}H{WIDTH - _RIGHT}"/>'
        yield (
            f'<text class="floor-name" x="{WIDTH - _RIGHT - 4}" y="{at - 4}" text-anchor="end">'
            f"light in fibre {floor_ns / NS_PER_MS:.1f} ms</text>"
        )


def _mark(mark: Mark, x: Axis) -> str:
    at = x.at(mark.at)
    return (
        f'<a href="{text(mark.href)}"><path class="mark" d="M{at} {_TOP}V{HEIGHT - _BOTTOM}"/>'
        f'<path class="mark-flag" d="M{at} {_TOP}h8l-3 4 3 4h-8z"/><title>{text(mark.words)}</title></a>'
    )
