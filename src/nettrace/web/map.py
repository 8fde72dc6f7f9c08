"""The map: what is measured from where, drawn as great circles, coloured by how far above light each pair is."""

import re
from collections.abc import Sequence
from functools import cache, lru_cache
from importlib.resources import files
from itertools import pairwise
from math import hypot
from typing import Any
from urllib.parse import urlencode

import msgspec
from litestar import Response
from litestar.handlers import HTTPRouteHandler

from nettrace.analysis.geo.projection import CENTRE_DEGREES, HALF_HEIGHT, HALF_WIDTH, great_circle, project
from nettrace.hub.floors import engine_place, floor_to, vantage_place
from nettrace.hub.query import speaking
from nettrace.model.instant import NS_PER_MS
from nettrace.model.path import Place
from nettrace.model.target import Lifecycle, Target
from nettrace.web import chart
from nettrace.web.causes import standing_rows
from nettrace.web.door import Visit, door
from nettrace.web.hub import Hub
from nettrace.web.tabular import table
from nettrace.web.targets import Row, row_of

WIDTH = 1000
_SCALE = WIDTH / 2 / HALF_WIDTH
HEIGHT = round(1.83 * HALF_HEIGHT * _SCALE)
"""Down to 60 degrees south: nothing is measured beyond."""

_POLAR = 80.0
"""Latitude beyond which nothing is drawn."""
_SLACK = 0.7
_LETTER = 13.0
"""Width of a letter of a place's name, in the map's units, where it is drawn largest: on a phone."""
_FIRST, _LISTED = 200, 8
"""Pairs on the map before it has been painted once; the others follow."""

_BOUNDS = (("sublight", 1.0), ("near", 1.6), ("usual", 2.5), ("far", 4.0))
"""Classes by stretch: measured over light in fibre. Below 1 somebody nearer answered."""


class Arc(msgspec.Struct, frozen=True, kw_only=True):
    """One pair on the map."""

    path: str
    shade: str
    words: str
    host: str
    vantage: str
    row: Row
    stretch: float | None
    fibre_ns: int


class Worse(msgspec.Struct, frozen=True):
    """A way that is degraded now: drawn beneath its arcs, with a word in the middle of it where there is room."""

    path: str
    words: str
    x: float
    y: float
    has_room: bool


class Spot(msgspec.Struct, frozen=True):
    """A place with what stands there.

    Attributes:
        label: where its name stands and on which side it ends, clear of the names before it.
    """

    x: float
    y: float
    words: str
    href: str
    state: str
    label: tuple[float, float, str] = (0.0, 0.0, "start")


def map_doors(hub: Hub) -> list[HTTPRouteHandler]:
    """The map."""
    return [door(hub, "/map", map_page)]


async def map_page(visit: Visit) -> Response[Any]:
    """Vantages, engines whose place is known, and the ways between them."""
    category = visit.query.get("cat", "")
    visible = [
        target
        for target in visit.snapshot.visible(visit.account)
        if target.lifecycle in {Lifecycle.ACTIVE, Lifecycle.UNVERIFIED}
    ]
    targets = [target for target in visible if category in {"", target.category}]
    arcs = [arc for target in targets for arc in _arcs(visit, target)]
    rows = await visit.hub.readers.run(lambda reader: standing_rows(reader, visit)) if visit.caller else []
    open_now = [row for row in rows if row.state == "open"]
    bad = {pair for row in open_now for pair in row.story.worse}
    order = {"none": 0, "near": 1, "usual": 2, "far": 3, "beyond": 4, "sublight": 1, "failed": 6}
    arcs.sort(key=lambda arc: ((arc.vantage, arc.host) in bad, order[arc.shade], arc.stretch or 0.0))
    if visit.query.get("format") == "csv":
        return table([_HEADINGS, *(_line(arc) for arc in arcs)])
    total, whole = len(arcs), "all" in visit.query
    arcs = arcs if whole else arcs[-_FIRST:]  # what comes last is drawn above the others
    ways = {path: f"w{number}" for number, path in enumerate(dict.fromkeys(arc.path for arc in arcs))}
    placed = [(target, engine_place(target)) for target in targets]
    engines = [_spot(place, target.name, f"/t/{target.host}", "engine") for target, place in placed if place]
    vantages = [
        _spot(
            place,
            known.code,
            f"/fleet#{known.code}",
            "silent" if visit.snapshot.down(known.code) else "reporting",
        )
        for known in visit.snapshot.vantages.values()
        if (place := vantage_place(known))
    ]
    asked = {"cat": category} if category else {}
    told = {
        "tools": chart.world(asked, [known.code for known in visit.snapshot.vantages.values()]),
        "open_now": open_now[:_LISTED], "worse": _worse(arcs, bad), "total": total, "whole": whole,
        "rest": f"/map?{urlencode({**asked, 'all': '1'})}" if total > _FIRST else "",
        "page": "map", "ways": ways, "land": land(), "rim": rim(), "width": WIDTH, "height": HEIGHT, "arcs": arcs, "engines": engines, "vantages": labelled(vantages),
        "unplaced": sum(place is None for _, place in placed), "category": category,
        "categories": sorted({target.category for target in visible}), "bounds": " ".join(f"{name}:{bound:g}" for name, bound in _BOUNDS),
    }  # fmt: skip
    return visit.page("map.html", told, embed=visit.embed)


def _worse(arcs: Sequence[Arc], bad: set[tuple[str, str]]) -> list[Worse]:
    """The ways degraded pairs take, each once."""
    found: dict[str, list[Arc]] = {}
    for arc in arcs:
        if (arc.vantage, arc.host) in bad:
            found.setdefault(arc.path, []).append(arc)
    made: list[Worse] = []
    taken: list[tuple[float, float, float, float]] = []
    for path, mine in found.items():
        x, y = _middle(path)
        box = (x - 65, y - 22, x + 65, y + 8)  # as on a phone, where words are largest
        clear = not any(_meet(box, other) for other in taken)
        taken += [box] if clear else []
        words = f"degraded: {', '.join(f'{arc.vantage} to {arc.host}' for arc in mine)}"
        made.append(Worse(path, words, x, y, clear))
    return made


def _middle(path: str) -> tuple[float, float]:
    """The point in the middle of a drawn way."""
    first = path.split("M")[1]
    start, _, steps = first.partition("l")
    moves = [(int(x), int(y)) for x, y in re.findall(r"(-?\d+) ?(-?\d+)", steps)]
    x, y = (int(each) for each in start.split(" "))
    half, walked = sum(hypot(*move) for move in moves) / 2, 0.0
    for dx, dy in moves:
        length = hypot(dx, dy)
        if walked + length >= half and length:
            share = (half - walked) / length
            return round(x + share * dx, 1), round(y + share * dy, 1)
        x, y, walked = x + dx, y + dy, walked + length
    return float(x), float(y)


def labelled(spots: Sequence[Spot]) -> list[Spot]:
    """The spots with places for their names: right, left, above or below, wherever it is clear of all that stands there."""
    squares = [(spot.x - 6, spot.y - 6, spot.x + 6, spot.y + 6) for spot in spots]
    taken: list[tuple[float, float, float, float]] = []
    made: list[Spot] = []
    for number, spot in enumerate(spots):
        wide = _LETTER * len(spot.words.split(",")[0])
        sides = (
            ((spot.x + 8, spot.y + 4, "start"), (spot.x + 8, spot.y - 11, spot.x + 8 + wide, spot.y + 9)),
            ((spot.x - 8, spot.y + 4, "end"), (spot.x - 8 - wide, spot.y - 11, spot.x - 8, spot.y + 9)),
            ((spot.x, spot.y - 9, "middle"), (spot.x - wide / 2, spot.y - 29, spot.x + wide / 2, spot.y - 9)),
            (
                (spot.x, spot.y + 20, "middle"),
                (spot.x - wide / 2, spot.y + 5, spot.x + wide / 2, spot.y + 25),
            ),
        )
        others = [*taken, *squares[:number], *squares[number + 1 :]]
        label, box = min(sides, key=lambda side: sum(_meet(side[1], other) for other in others))
        taken.append(box)
        made.append(msgspec.structs.replace(spot, label=label))
    return made


def _meet(one: tuple[float, float, float, float], other: tuple[float, float, float, float]) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


_HEADINGS = ("vantage", "host", "state", "rtt_ms", "stretch", "round")


def _line(arc: Arc) -> list[str]:
    row = arc.row
    measured = row.rtt_ns is not None and row.state == "measured"
    return [
        arc.vantage, arc.host, row.state, f"{(row.rtt_ns or 0) / NS_PER_MS:.4f}" if measured else "",
        f"{arc.stretch:.3f}" if arc.stretch is not None and measured else "", row.round_id,
    ]  # fmt: skip


@cache
def land() -> str:
    """The outline of the land (Natural Earth, public domain) as a path on this map."""
    return files("nettrace.web").joinpath("land.txt").read_text(encoding="ascii").strip()


@cache
def rim() -> str:
    """The edge of the map: beyond it a line goes on at the other side."""
    latitudes = range(round(_POLAR), -61, -5)
    sides = [
        [_placed(*project(float(each), side)) for each in latitudes]
        for side in (CENTRE_DEGREES - 179.9, CENTRE_DEGREES + 179.9)
    ]
    return "".join(f"M{' '.join(f'{x:g},{y:g}' for x, y in side)}" for side in sides)


def _arcs(visit: Visit, target: Target) -> list[Arc]:
    place = engine_place(target)
    if place is None:
        return []
    found: list[Arc] = []
    for latest in speaking(visit.snapshot, target):
        row = row_of(latest, visit.now)
        known = visit.snapshot.vantages.get(row.vantage)
        origin = vantage_place(known) if known else None
        floor = floor_to(known, target)
        if origin is None or floor is None:
            continue
        stretch = row.rtt_ns / floor.fibre_ns if row.rtt_ns is not None and floor.fibre_ns else None
        found.append(
            Arc(
                path=_path(origin, place), shade=shade_of(row.state, stretch), host=target.host, vantage=row.vantage,
                row=row, stretch=stretch, fibre_ns=floor.fibre_ns, words=_words(target, row, stretch, floor.fibre_ns),
            )
        )  # fmt: skip
    return found


def shade_of(state: str, stretch: float | None) -> str:
    """How a pair is drawn.

    >>> shade_of("measured", 1.3), shade_of("measured", 0.2), shade_of("failed", 1.3), shade_of("stale", None)
    ('near', 'sublight', 'failed', 'none')
    """
    if state == "failed":
        return "failed"
    if state != "measured" or stretch is None:
        return "none"
    return next((name for name, bound in _BOUNDS if stretch < bound), "beyond")


def _words(target: Target, row: Row, stretch: float | None, fibre_ns: int) -> str:
    told = f"{row.vantage} to {target.name}: {row.words}"
    if row.rtt_ns is not None and row.state == "measured":
        told += f", {row.rtt_ns / NS_PER_MS:.2f} ms, light in fibre {fibre_ns / NS_PER_MS:.1f} ms"
    if stretch is not None and stretch < 1 and row.state == "measured":
        told += ": somebody nearer answered"
    return told


def _spot(place: Place, words: str, href: str, state: str) -> Spot:
    x, y = place_on((place.latitude, place.longitude))
    return Spot(x, y, f"{words}, {place.name}", href, state)


def place_on(at: tuple[float, float]) -> tuple[float, float]:
    """Where a (latitude, longitude) lies on this map, in pixels."""
    return _placed(*project(*at))


def _path(origin: Place, end: Place) -> str:
    return way((origin.latitude, origin.longitude), (end.latitude, end.longitude))


@lru_cache(4096)
def way(origin: tuple[float, float], end: tuple[float, float]) -> str:
    """A great circle as a path on this map; places are few, pairs between them many.

    Whole pixels, and only points the eye would miss. Where it passes a pole the line has a gap: the map draws the pole as
    wide as the equator.
    """
    top, bottom = (project(side * _POLAR, 0.0)[1] for side in (1, -1))
    lines: list[list[tuple[float, float]]] = []
    for line in great_circle(origin, end):
        lines.append([])
        for x, y in line:
            if bottom <= y <= top:
                lines[-1].append(_placed(x, y))
            elif lines[-1]:
                lines.append([])
    return "".join(_drawn(thinned(line)) for line in lines if len(line) > 1)


def _drawn(line: Sequence[tuple[float, float]]) -> str:
    points = [(round(x), round(y)) for x, y in line]
    steps = [f"{x - px} {y - py}" for (px, py), (x, y) in pairwise(points)]
    return f"M{points[0][0]} {points[0][1]}l{' '.join(steps)}".replace(" -", "-")


def thinned(line: Sequence[tuple[float, float]], slack: float = _SLACK) -> list[tuple[float, float]]:
    """The points of a line that matter: none that is left out lies further from it than this (Ramer, Douglas, Peucker).

    >>> thinned([(0.0, 0.0), (1.0, 0.1), (2.0, 0.0), (3.0, 5.0)])
    [(0.0, 0.0), (2.0, 0.0), (3.0, 5.0)]
    """
    (ax, ay), (bx, by) = line[0], line[-1]
    length = hypot(bx - ax, by - ay) or 1.0
    far = [
        abs((bx - ax) * (ay - y) - (ax - x) * (by - ay)) / length if length else 0.0 for x, y in line[1:-1]
    ]
    if not far or max(far) <= slack:
        return [line[0], line[-1]]
    at = far.index(max(far)) + 1
    return [*thinned(line[: at + 1], slack)[:-1], *thinned(line[at:], slack)]


def _placed(x: float, y: float) -> tuple[float, float]:
    return round((x + HALF_WIDTH) * _SCALE, 1), round((HALF_HEIGHT - y) * _SCALE, 1)
