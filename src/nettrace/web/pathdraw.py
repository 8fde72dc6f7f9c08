"""A path graph as SVG: columns by distance from the target, lines that never run through a box."""

from collections.abc import Mapping, Sequence
from itertools import pairwise

from nettrace.web.pathgraph import Edge, Graph, Node
from nettrace.web.xml import text

_COLUMN, _BOX_WIDTH, _BOX_HEIGHT, _MARGIN = 172, 128, 34, 14
_ROW, _WAY = 46, 14
"""Heights of a box with its space, and of a line that only passes a column."""

_SWEEPS, _SHADES = 6, 6
"""Rounds of ordering; classes of the stylesheet that tell vantages apart (the words on each start do so too)."""

_SIGNS = {"came": "+ ", "gone": "✕ ", "": ""}

Places = dict[str, tuple[float, float]]


def draw(made: Graph) -> str:
    """The graph, vantages left and the target right; an empty string when there is nothing."""
    if not made.nodes:
        return ""
    routes, layers = _routed(made)
    _order(layers, routes)
    heights = [sum(_height(key) for key in layer) for layer in layers]
    width, height = len(layers) * _COLUMN - (_COLUMN - _BOX_WIDTH) + 2 * _MARGIN, max(heights) + 2 * _MARGIN
    placed: Places = {}
    for number, layer in enumerate(layers):
        y = _MARGIN + (max(heights) - heights[number]) / 2
        for key in layer:
            placed[key] = (width - _MARGIN - _BOX_WIDTH - number * _COLUMN, round(y + _height(key) / 2, 1))
            y += _height(key)
    vantages = [node.label for node in made.nodes.values() if node.kind == "vantage"]
    order = sorted(made.edges.items(), key=lambda item: (bool(item[1].worse), item[1].change != "gone"))
    lines = [_line(placed, routes[pair], edge, vantages) for pair, edge in order]
    labels = [_label(placed, routes[pair], edge) for pair, edge in order if edge.worse]
    boxes = [_box(node, placed[key]) for key, node in made.nodes.items()]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="paths" viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img" '
        f'aria-label="Paths from {text(", ".join(vantages))}">{"".join(lines)}{"".join(boxes)}{"".join(labels)}</svg>'
    )


def _height(key: str) -> int:
    return _WAY if key.startswith("\0") else _ROW


def _routed(made: Graph) -> tuple[dict[tuple[str, str], list[str]], list[list[str]]]:
    """Every line as the boxes and passages it visits, and all of those by column."""
    layers: list[list[str]] = [[] for _ in range(max(node.layer for node in made.nodes.values()) + 1)]
    for key, node in sorted(made.nodes.items(), key=lambda item: (item[1].kind != "vantage", item[0])):
        layers[node.layer].append(key)
    routes: dict[tuple[str, str], list[str]] = {}
    for number, (a, b) in enumerate(made.edges):
        far, near = made.nodes[a].layer, made.nodes[b].layer
        between = [f"\0{number} {layer}" for layer in range(far - 1, near, -1)]
        for layer, key in zip(range(far - 1, near, -1), between, strict=True):
            layers[layer].append(key)
        routes[a, b] = [a, *between, b]
    return routes, layers


def _order(layers: list[list[str]], routes: Mapping[tuple[str, str], Sequence[str]]) -> None:
    """Order each column by where its neighbours stand (barycentre sweeps, Sugiyama 1981)."""
    neighbours: dict[str, list[str]] = {}
    for route in routes.values():
        for a, b in pairwise(route):
            neighbours.setdefault(a, []).append(b)
            neighbours.setdefault(b, []).append(a)
    rank = {key: row / max(1, len(layer) - 1) for layer in layers for row, key in enumerate(layer)}
    for sweep in range(_SWEEPS):
        for layer in layers if sweep % 2 else reversed(layers):
            layer.sort(key=lambda key: _mean([rank[other] for other in neighbours.get(key, ())], rank[key]))
            rank.update({key: row / max(1, len(layer) - 1) for row, key in enumerate(layer)})


def _mean(values: Sequence[float], otherwise: float) -> float:
    return sum(values) / len(values) if values else otherwise


def _line(placed: Places, route: Sequence[str], edge: Edge, vantages: Sequence[str]) -> str:
    x, y = placed[route[0]]
    x += _BOX_WIDTH
    path = [f"M{x:g} {y:g}"]
    for key in route[1:]:
        to_x, to_y = placed[key]
        middle = (x + to_x) / 2
        path.append(f"C{middle:g} {y:g} {middle:g} {to_y:g} {to_x:g} {to_y:g}")
        x, y = to_x, to_y
        if key.startswith("\0"):
            x += _BOX_WIDTH
            path.append(f"H{x:g}")
    alone = len(edge.vantages) == 1 and edge.vantages[0] in vantages
    shade = vantages.index(edge.vantages[0]) % _SHADES if alone else "many"
    marks = [
        ("missing", edge.missing),
        ("shared", edge.shared),
        (edge.change, edge.change),
        ("worse", edge.worse),
    ]
    names = "".join(f" way-{name}" for name, so in marks if so)
    return (
        f'<path class="way way-{shade}{names}" d="{"".join(path)}"><title>{text(_told(edge))}</title></path>'
    )


def _told(edge: Edge) -> str:
    """A line in words."""
    told = "from " + ", ".join(edge.vantages)
    told += "; the target did not answer" if edge.missing else ""
    told += "; one of several ways that share the load" if edge.shared else ""
    told += {"came": "; new since then", "gone": "; gone since then", "": ""}[edge.change]
    return told + (f"; degraded: {edge.worse}" if edge.worse else "")


def _label(placed: Places, route: Sequence[str], edge: Edge) -> str:
    """A degraded leg's words over the middle of its line."""
    (x1, y1), (x2, y2) = placed[route[0]], placed[route[1]]
    x, y = (x1 + _BOX_WIDTH + x2) / 2, (y1 + y2) / 2 - 8
    return f'<text class="worse-name" x="{x:g}" y="{y:g}" text-anchor="middle">▲ {text(edge.worse)}</text>'


def _box(node: Node, at: tuple[float, float]) -> str:
    x, y = at[0], at[1] - _BOX_HEIGHT / 2
    detail = (
        f'<text class="box-detail" x="{x + 7:g}" y="{y + 27:g}">{text(_short(node.detail, 22))}</text>'
        if node.detail
        else ""
    )
    changed = f" box-{node.change}" if node.change else ""
    said = {"came": ", new since then", "gone": ", gone since then", "": ""}[node.change]
    name = _short(_SIGNS[node.change] + node.label, 17)
    return (
        f'<g class="box box-{node.kind}{changed}"><title>{text(node.title + said)}</title>'
        f'<rect x="{x:g}" y="{y:g}" width="{_BOX_WIDTH}" height="{_BOX_HEIGHT}" rx="5"/>'
        f'<text class="box-name" x="{x + 7:g}" y="{y + (15 if node.detail else 21):g}">{text(name)}</text>{detail}</g>'
    )


def _short(words: str, most: int) -> str:
    return words if len(words) <= most else words[: most - 1] + "…"
