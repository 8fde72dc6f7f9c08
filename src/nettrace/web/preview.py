"""The picture that a link to a status page brings along: name, state, round trip, ninety days."""

from collections.abc import Sequence

from nettrace.model.instant import Instant, rfc3339
from nettrace.model.target import Target
from nettrace.web.badge import age, milliseconds
from nettrace.web.raster import Canvas, Colour, fitted, plain
from nettrace.web.targets import Row

WIDTH, HEIGHT = 1200, 630
"""What networks ask for (Open Graph, large card)."""

_PAPER, _INK, _SOFT, _LINE, _GOOD, _SLOW, _BAD, _ACCENT = range(8)
_PALETTE: tuple[Colour, ...] = (
    (14, 18, 23), (232, 235, 240), (179, 188, 201), (58, 68, 82), (111, 211, 136), (240, 180, 90), (255, 139, 130),
    (108, 178, 255),
)  # fmt: skip
_EDGE = 60
_BAR = {"ok": (_GOOD, 90), "part": (_SLOW, 66), "down": (_BAD, 40), "none": (_LINE, 10)}
"""Colour and height: what a day was is told by both."""


def preview(target: Target, row: Row | None, days: Sequence[str], now: Instant) -> bytes:
    """The picture as PNG; `days` are kinds of days, oldest first, as a status page has them."""
    canvas = Canvas(WIDTH, HEIGHT, _PALETTE)
    wide = WIDTH - 2 * _EDGE
    name = target.name if plain(target.name) else target.host
    canvas.box(0, 0, WIDTH, 10, _ACCENT)
    canvas.words(fitted(name, wide, 9), (_EDGE, 60), 9, _INK)
    if name != target.host:
        canvas.words(fitted(target.host, wide, 4), (_EDGE, 150), 4, _SOFT)
    state, number, told, colour = _said(row)
    canvas.box(_EDGE, 216, 28, 28, colour)
    canvas.words(fitted(state, wide - 50, 5), (_EDGE + 50, 212), 5, colour)
    canvas.words(fitted(number, wide, 16), (_EDGE, 280), 16, _INK)
    front = target.endpoints[0].fronted_by if target.endpoints else None
    told += f", to an edge of {front}" if front and row is not None else ""
    canvas.words(fitted(told, wide, 4), (_EDGE, 420), 4, _SOFT)
    step = wide // max(1, len(days))
    for place, kind in enumerate(days):
        shade, height = _BAR.get(kind, _BAR["none"])
        canvas.box(_EDGE + place * step, 564 - height, max(1, step - 3), height, shade)
    canvas.words(f"{len(days)} days", (_EDGE, 584), 3, _SOFT)
    canvas.words(
        f"NetTrace, drawn {rfc3339(now)[:16].replace('T', ' ')} UTC", (WIDTH - _EDGE - 690, 584), 3, _SOFT
    )
    return canvas.png()


def _said(row: Row | None) -> tuple[str, str, str, int]:
    """State, number, how it was measured, and the state's colour. A number that is old says how old it is."""
    if row is None:
        return "no data yet", "unknown", "nobody has measured it", _SOFT
    number = "unknown" if row.rtt_ns is None else milliseconds(row.rtt_ns)
    told = f"from {row.vantage} by {row.method}"
    told += f", {age(row.age_ns / 1e9)} old" if row.age_ns is not None else ""
    if row.state == "measured":
        return "answers", number, told, _GOOD
    old = f"last {number}" if row.rtt_ns is not None else "none known"
    return row.words, old, told, _BAD if row.state == "failed" else _SOFT
