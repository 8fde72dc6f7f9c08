"""The frame of a chart over time: shapes that stretch to any width, and words that keep their size.

Two layers share one area. Shapes lie in a plane of 1000 by 1000 that the browser stretches (strokes keep their width,
by the stylesheet); words and whatever must keep its form are placed in shares of the area. So a chart is as legible
on a phone as on a wall, without a script and without being drawn twice.
"""

from collections.abc import Iterable

import msgspec

from nettrace.model.instant import NS_PER_MS, Instant, rfc3339
from nettrace.store.rows import Window
from nettrace.web.scale import Axis, time_ticks, value_ticks
from nettrace.web.xml import text

PLANE = 1000
_EDGE = 0.06
"""Labels of the time axis nearer to an end than this share of it would run into what stands there."""


class Frame(msgspec.Struct, frozen=True):
    """Both axes: `x` from instants in ns, `y` from values in ns, each to a place in the plane."""

    window: Window
    ticks_ms: tuple[float, ...]
    x: Axis
    y: Axis

    def across(self, at: Instant) -> str:
        """An instant as a share of the width.

        >>> framed(Window(0, 3600 * 10**9), None).across(900 * 10**9)
        '25%'
        """
        return share(self.x.at(at))

    def up(self, value_ns: float) -> str:
        """A value as a share of the height, counted from above."""
        return share(self.y.at(value_ns))


def framed(window: Window, seen_ns: tuple[int, int] | None) -> Frame:
    """The frame of a stretch of time and of the least and greatest value in it, or of 0 to 1 ms where nothing was seen."""
    ticks = value_ticks(seen_ns[0] / NS_PER_MS, seen_ns[1] / NS_PER_MS) if seen_ns else [0.0, 1.0]
    return Frame(
        window=window, ticks_ms=tuple(ticks), x=Axis(float(window.start), float(window.end), 0, PLANE),
        y=Axis(ticks[0] * NS_PER_MS, ticks[-1] * NS_PER_MS, PLANE, 0),
    )  # fmt: skip


def share(place: float) -> str:
    """A place in the plane as a share.

    >>> share(123.0), share(1000.0)
    ('12.3%', '100%')
    """
    return f"{place * 100 / PLANE:.4g}%"


def picture(frame: Frame, title: str, shapes: Iterable[str], words: Iterable[str], *, linked: bool = False) -> str:  # fmt: skip
    """The whole chart as SVG: grid and axes, `shapes` in the plane, `words` in shares above them.

    `linked` says that there are links among the words: what is inside an image cannot be reached by keyboard.
    """
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="smoke" role="{"group" if linked else "img"}" aria-label="{text(title)}" '
        f'data-start="{rfc3339(frame.window.start)[:19]}Z" data-end="{rfc3339(frame.window.end)[:19]}Z"><title>{text(title)}</title>'
        f'<svg class="plot" viewBox="0 0 {PLANE} {PLANE}" preserveAspectRatio="none">{_grid(frame)}{"".join(shapes)}</svg>'
        f'<svg class="words"><rect class="area" width="100%" height="100%"/>{_labels(frame)}{"".join(words)}</svg></svg>'
    )


def _grid(frame: Frame) -> str:
    levels = "".join(f"M0 {frame.y.at(tick * NS_PER_MS)}h{PLANE}" for tick in frame.ticks_ms)
    whole = "".join(
        f"M{frame.x.at(when)} 0v{PLANE}" for when, _ in time_ticks(frame.window.start, frame.window.end)
    )
    return f'<path class="grid" d="{levels}{whole}"/>'


def _labels(frame: Frame) -> str:
    made: list[str] = []
    for tick in frame.ticks_ms:
        unit = " ms" if tick == frame.ticks_ms[-1] else ""
        made.append(
            f'<text class="tick" x="0" dx="-6" y="{frame.up(tick * NS_PER_MS)}" dy="4" text-anchor="end">{tick:g}{unit}</text>'
        )
    for number, (when, label) in enumerate(time_ticks(frame.window.start, frame.window.end)):
        seldom = " tick-wide" if number % 3 else ""  # a phone has room for each third
        at = frame.x.at(when) / PLANE
        side = "start" if at < _EDGE else "end" if at > 1 - _EDGE else "middle"
        made.append(
            f'<text class="tick{seldom}" x="{frame.across(when)}" y="100%" dy="17" text-anchor="{side}">{label}</text>'
        )
    return "".join(made)
