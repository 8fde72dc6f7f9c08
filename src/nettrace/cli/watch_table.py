"""The rows of `nettrace trace --watch` as lines that fit the screen: narrow ones drop columns, low ones drop hops."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from nettrace.cli.output import milliseconds
from nettrace.cli.watch import SPARK_LENGTH, HopHistory, PathHistory, sparkline
from nettrace.model.instant import ms

GAP = "  "
NAME_WIDTH = 20
"""A hop's name gets at least so much; what other columns leave, up to what the longest needs, is added."""

FRESH = "*"
_TIME_WIDTH = 6


class Line(NamedTuple):
    """One line of the table; `fresh` when its router is new."""

    text: str
    fresh: bool = False


class _Column(NamedTuple):
    """One column with its cell of every row; of those there is no room for all of, the lower `worth` goes first."""

    title: str
    worth: int
    width: int
    cells: Sequence[str]
    left: bool = False


_ALWAYS, _SPARE = 9, 5
"""Worth of what is never dropped, and of the first column that waits until the name has its room."""


def table(history: PathHistory, stretches: Mapping[int, float | None], width: int, height: int) -> list[Line]:
    """Heading and rows, at most `height` lines of at most `width` characters.

    The hop, its loss, last and best round trip are always there. Stretch, AS and worst follow as far as there is room
    and something to show, then the whole of the hop's name, then mean, recent round trips, place and spread.
    """
    rows = history.hops
    columns, name_width = _chosen(_columns(rows, stretches), rows, width)
    heading = [_fit(column.title, column.width, left=column.left) for column in columns]
    lines = [Line(GAP.join(["ttl", _fit("hop", name_width, left=True), *heading]).rstrip())]
    for number in _shown(len(rows), height - 1):
        if number is None:
            lines.append(Line(f"  …{GAP}{len(rows) - height + 2} more hops; a higher window shows them"))
            continue
        row = rows[number]
        fresh = history.is_fresh(row)
        cells = [f"{row.ttl:>3}", _fit((FRESH if fresh else "") + row.label, name_width, left=True)]
        cells += [_fit(column.cells[number], column.width, left=column.left) for column in columns]
        lines.append(Line(GAP.join(cells).rstrip(), fresh))
    return [Line(line.text[:width], line.fresh) for line in lines]


def _chosen(columns: Sequence[_Column], rows: Sequence[HopHistory], width: int) -> tuple[list[_Column], int]:
    """The columns there is room for, in the order they stand, and the width of the name."""
    longest = max((len(row.label) + len(FRESH) for row in rows), default=0)
    name_width = NAME_WIDTH
    left = width - 3 - len(GAP) - NAME_WIDTH
    taken: list[_Column] = []
    for column in sorted(columns, key=lambda column: -column.worth):
        if column.worth == _SPARE:
            grown = min(max(longest, NAME_WIDTH), NAME_WIDTH + max(0, left))
            left -= grown - name_width
            name_width = grown
        if any(column.cells) and (column.worth == _ALWAYS or column.width + len(GAP) <= left):
            taken.append(column)
            left -= column.width + len(GAP)
    return [column for column in columns if column in taken], name_width


def _columns(rows: Sequence[HopHistory], stretches: Mapping[int, float | None]) -> list[_Column]:
    """Every column, as they stand from left to right."""
    losses = ["-" if row.loss_percent is None else f"{row.loss_percent:.0f}%" for row in rows]
    asns = [f"AS{row.hop.asn}" if row.hop.asn else "" for row in rows]
    places = [_place(row) for row in rows]
    recent = SPARK_LENGTH // 2
    return [
        _Column("loss", _ALWAYS, 4, losses),
        _Column("last", _ALWAYS, _TIME_WIDTH, [_time(row.last_ns) for row in rows]),
        _Column("best", _ALWAYS, _TIME_WIDTH, [_time(row.best_ns) for row in rows]),
        _Column("mean", _SPARE, _TIME_WIDTH, [_time(int(row.mean_ns) or None) for row in rows]),
        _Column("worst", 6, _TIME_WIDTH, [_time(row.worst_ns) for row in rows]),
        _Column("spread", 2, _TIME_WIDTH, [_time(_whole(row.spread_ns)) for row in rows]),
        _Column("stretch", 8, 7, [_ratio(stretches.get(row.ttl)) for row in rows]),
        _Column("AS", 7, max(map(len, asns), default=0), asns, left=True),
        _Column("place", 3, min(18, max(5, *map(len, places), 0)), places, left=True),
        _Column("recent", 4, recent, [sparkline(row.recent[-recent:]) for row in rows], left=True),
    ]


def _place(row: HopHistory) -> str:
    return row.hop.place.name if row.hop.place else ""


def _ratio(stretch: float | None) -> str:
    return f"{stretch:.2f}x" if stretch else ""


def _whole(value: float | None) -> int | None:
    return None if value is None else int(value)


def _time(ns: int | None) -> str:
    return milliseconds(ms(ns), 0)


def _fit(text: str, width: int, *, left: bool) -> str:
    if len(text) > width:
        text = text[: width - 1] + "…"
    return text.ljust(width) if left else text.rjust(width)


def _shown(rows: int, room: int) -> list[int | None]:
    """Numbers of all rows, or of the first ones, a gap (None) and the last: where the path ends is always seen."""
    if rows <= room:
        return list(range(rows))
    return [*range(max(0, room - 2)), None, rows - 1]
