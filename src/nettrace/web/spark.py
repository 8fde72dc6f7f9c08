"""Small charts in a table's cell: drawn by the server, gaps left open."""

from collections.abc import Sequence
from itertools import groupby

from nettrace.web.xml import text

_WIDTH, _HEIGHT = 120, 24
_QUIET = 0.1
"""A line that moves by less than a tenth of its value looks as quiet as it is."""


def sparkline(values: Sequence[float | None], title: str) -> str:
    """The values as an SVG line, oldest left; None is a gap, never zero. An empty string when there is nothing.

    >>> sparkline([None, None], "nothing")
    ''
    """
    known = [value for value in values if value is not None]
    if not known:
        return ""
    low, high = min(known), max(known)
    span = max(high - low, abs(high) * _QUIET, 1e-9)
    step = _WIDTH / max(1, len(values) - 1)

    def point(index: int, value: float) -> str:
        return f"{index * step:.1f},{_HEIGHT - 3 - (value - low) / span * (_HEIGHT - 6):.1f}"

    drawn: list[str] = []
    for present, run in groupby(enumerate(values), key=lambda item: item[1] is not None):
        points = [point(index, value) for index, value in run if value is not None]
        if present and len(points) > 1:
            drawn.append(f'<polyline points="{" ".join(points)}"/>')
        elif present:
            x, y = points[0].split(",")
            drawn.append(f'<circle cx="{x}" cy="{y}" r="1.5"/>')
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="spark" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{text(title)}">'
        f"<title>{text(title)}</title>{''.join(drawn)}</svg>"
    )
