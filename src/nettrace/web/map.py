"""The map: what is measured from where, drawn as great circles, coloured by how far above light each pair is."""

from functools import cache, lru_cache
from importlib.resources import files
from typing import Any

import msgspec
from litestar import Response
from litestar.handlers import HTTPRouteHandler

from nettrace.analysis.geo.projection import HALF_HEIGHT, HALF_WIDTH, great_circle, project
from nettrace.hub.floors import engine_place, floor_to, vantage_place
from nettrace.hub.query import speaking
from nettrace.model.instant import NS_PER_MS
from nettrace.model.path import Place
from nettrace.model.target import Lifecycle, Target
from nettrace.web import chart
from nettrace.web.door import Visit, door
from nettrace.web.hub import Hub
from nettrace.web.tabular import table
from nettrace.web.targets import Row, row_of

WIDTH = 1000
_SCALE = WIDTH / 2 / HALF_WIDTH
HEIGHT = round(1.83 * HALF_HEIGHT * _SCALE)
"""Down to 60 degrees south: nothing is measured beyond."""

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


class Spot(msgspec.Struct, frozen=True):
    """A place with what stands there."""

    x: float
    y: float
    words: str
    href: str
    state: str


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
    order = {"none": 0, "near": 1, "usual": 2, "far": 3, "beyond": 4, "sublight": 5, "failed": 6}
    arcs.sort(key=lambda arc: order[arc.shade])
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
    if visit.query.get("format") == "csv":
        return table([_HEADINGS, *(_line(arc) for arc in arcs)])
    asked = {"cat": category} if category else {}
    told = {
        "tools": chart.world(asked, [known.code for known in visit.snapshot.vantages.values()]),
        "page": "map", "ways": ways, "land": land(), "width": WIDTH, "height": HEIGHT, "arcs": arcs, "engines": engines, "vantages": vantages,
        "unplaced": sum(place is None for _, place in placed), "category": category,
        "categories": sorted({target.category for target in visible}), "bounds": " ".join(f"{name}:{bound:g}" for name, bound in _BOUNDS),
    }  # fmt: skip
    return visit.page("map.html", told, embed=visit.embed)


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
    x, y = _placed(*project(place.latitude, place.longitude))
    return Spot(x, y, f"{words}, {place.name}", href, state)


def _path(origin: Place, end: Place) -> str:
    return _way((origin.latitude, origin.longitude), (end.latitude, end.longitude))


@lru_cache(4096)
def _way(origin: tuple[float, float], end: tuple[float, float]) -> str:
    """A great circle as a path on this map; places are few, pairs between them many."""
    return "".join(
        "M" + "L".join(f"{x} {y}" for x, y in (_placed(*point) for point in line))
        for line in great_circle(origin, end)
    )


def _placed(x: float, y: float) -> tuple[float, float]:
    return round((x + HALF_WIDTH) * _SCALE, 1), round((HALF_HEIGHT - y) * _SCALE, 1)
