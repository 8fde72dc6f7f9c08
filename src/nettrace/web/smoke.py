"""The smoke chart: a distribution over time, with what was lost, what was not measured, and what light allows.

After Tobias Oetiker's SmokePing: the median as a line whose colour tells loss, the spread around it as smoke.
"""

from collections.abc import Iterable, Sequence
from itertools import pairwise

import msgspec

from nettrace.model.instant import NS_PER_MS, NS_PER_S, Instant, rfc3339
from nettrace.store.rows import STEP_S, Columns, Resolution, Window
from nettrace.web.frame import PLANE, Frame, framed, picture, share
from nettrace.web.scale import extent
from nettrace.web.xml import text

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
    frame = framed(window, span_ns or extent([quantile["p5"], quantile["p95"], [floor_ns]]))
    told = [mark for mark in marks if window.start <= mark.at < window.end]
    shapes = [*_bands(columns, frame), *_medians(columns, frame), *_floor(floor_ns, frame)]
    words = [
        *_absent(columns, frame), *_floor_name(floor_ns, frame), *(_mark(mark, frame) for mark in told)
    ]  # fmt: skip
    return picture(frame, title, shapes, words, linked=bool(marks))


def _absent(columns: Columns, frame: Frame) -> Iterable[str]:
    """Hatching wherever there is no number: grey when nobody looked, red when nobody answered."""
    step, window = step_ns(columns), frame.window
    covered = window.start
    for start, measured, failed in zip(columns.start, columns.measured, columns.failed, strict=True):
        if start - covered >= step:
            yield _hatch(covered, start, frame, "unmeasured", "not measured")
        if measured == 0:
            name, words = ("failed", "no answer") if failed else ("unmeasured", "not measured")
            yield _hatch(start, start + step, frame, name, words)
        covered = start + step
    if window.end - covered >= step:
        yield _hatch(covered, window.end, frame, "unmeasured", "not measured")


def _hatch(start: Instant, end: Instant, frame: Frame, name: str, words: str) -> str:
    left, right = frame.x.at(start), frame.x.at(end)
    title = f"{words}: {rfc3339(start)[:16]} to {rfc3339(end)[:16]}"
    return (
        f'<rect class="{name}" x="{share(left)}" width="{share(max(1.0, right - left))}" height="100%">'
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


def _middle(columns: Columns, index: int, frame: Frame) -> float:
    return frame.x.at(columns.start[index] + STEP_S.get(columns.resolution, 0) * NS_PER_S / 2)


def _bands(columns: Columns, frame: Frame) -> Iterable[str]:
    for low, high, name in (("p5", "p95", "smoke-wide"), ("p25", "p75", "smoke-near")):
        for run in _runs(columns):
            if run:
                upper = [_point(columns, index, high, frame) for index in run]
                lower = [_point(columns, index, low, frame) for index in reversed(run)]
                yield f'<polygon class="{name}" points="{" ".join(upper + lower)}"/>'


def _point(columns: Columns, index: int, quantile: str, frame: Frame) -> str:
    value = columns.quantiles_ns[quantile][index] or 0
    return f"{_middle(columns, index, frame)},{frame.y.at(value)}"


def _medians(columns: Columns, frame: Frame) -> Iterable[str]:
    for run in _runs(columns):
        for earlier, later in pairwise(run):
            name, told = _lost(columns, later)
            start, end = (_point(columns, index, "p50", frame) for index in (earlier, later))
            yield f'<path class="median {name}" d="M{start}L{end}">{told}</path>'
        if len(run) == 1:
            # a stroke without length: its round ends make a dot, which a circle in a stretched plane would not be
            name, told = _lost(columns, run[0])
            yield f'<path class="median dot {name}" d="M{_point(columns, run[0], "p50", frame)}h0">{told}</path>'


def _lost(columns: Columns, index: int) -> tuple[str, str]:
    """A bucket's class by loss, and in words what was lost if anything was."""
    sent, lost = columns.sent[index], columns.sent[index] - columns.received[index]
    words = f"{lost} of {sent} probes lost, {rfc3339(columns.start[index])[:16]}"
    return loss_class(sent, columns.received[index]), f"<title>{words}</title>" if lost else ""


def _floor(floor_ns: int | None, frame: Frame) -> Iterable[str]:
    if floor_ns is not None:
        yield f'<path class="floor" d="M0 {frame.y.at(floor_ns)}h{PLANE}"/>'


def _floor_name(floor_ns: int | None, frame: Frame) -> Iterable[str]:
    if floor_ns is not None:
        yield (
            f'<text class="floor-name" x="100%" dx="-4" y="{frame.up(floor_ns)}" dy="-4" text-anchor="end">'
            f"light in fibre {floor_ns / NS_PER_MS:.1f} ms</text>"
        )


def _mark(mark: Mark, frame: Frame) -> str:
    at = frame.across(mark.at)
    return (
        f'<a href="{text(mark.href)}"><line class="mark" x1="{at}" x2="{at}" y1="0" y2="100%"/>'
        f'<svg class="flag" x="{at}"><path class="mark-flag" d="M0 0h8l-3 4 3 4h-8z"/></svg><title>{text(mark.words)}</title></a>'
    )
