"""Paths of several vantages to one target as a layered graph: what they share is drawn once.

Layers count from the target backwards, because that is where paths meet. Silence is drawn as silence; addresses that
share the load stand in one box.
"""

from collections.abc import Mapping, Sequence

import msgspec

from nettrace.model.instant import NS_PER_MS
from nettrace.model.path import Hop, Trace
from nettrace.web.xml import text

_COLUMN, _ROW, _BOX_WIDTH, _BOX_HEIGHT, _MARGIN = 150, 46, 124, 32, 14
_SWEEPS = 4
_SHADES = 6
"""Classes of the stylesheet that tell vantages apart; the words on each start do so too."""


class Node(msgspec.Struct, frozen=True, kw_only=True):
    """One box.

    Attributes:
        layer: hops from the target, 0 at the target itself.
        kind: `vantage`, `hop`, `silent` or `target`.
    """

    key: str
    layer: int
    kind: str
    label: str
    detail: str
    title: str


class Graph(msgspec.Struct, frozen=True):
    """Boxes, and lines between them with the vantages whose paths take each."""

    nodes: Mapping[str, Node]
    edges: Mapping[tuple[str, str], tuple[str, ...]]


def graph(target: str, paths: Mapping[str, Trace]) -> Graph:
    """The graph of each vantage's path to the target."""
    nodes: dict[str, Node] = {}
    edges: dict[tuple[str, str], list[str]] = {}
    for vantage, trace in paths.items():
        previous = f"vantage {vantage}"
        length = len(trace.hops) + (0 if trace.reached else 1)
        nodes[previous] = Node(
            key=previous, layer=length, kind="vantage", label=vantage, detail="", title=f"from {vantage}"
        )
        for index, hop in enumerate(trace.hops):
            last = trace.reached and index == len(trace.hops) - 1
            node = _node(hop, vantage, length - index - 1, target if last else None)
            kept = nodes.get(node.key)
            if kept is None or kept.layer < node.layer:
                nodes[node.key] = node
            edges.setdefault((previous, node.key), []).append(vantage)
            previous = node.key
        if not trace.reached:
            nodes.setdefault(
                "target", Node(key="target", layer=0, kind="target", label=target, detail="", title=target)
            )
            edges.setdefault((previous, "target"), []).append(f"{vantage} (not reached)")
    return Graph(nodes, {pair: tuple(dict.fromkeys(names)) for pair, names in edges.items()})


def _node(hop: Hop, vantage: str, layer: int, target: str | None) -> Node:
    rtts = [sample.rtt_ns for sample in hop.samples if sample.rtt_ns is not None]
    rtt = f"{min(rtts) / NS_PER_MS:.1f} ms" if rtts else ""
    if target is not None:
        title = f"{target} {hop.address}: {rtt}"
        return Node(key="target", layer=0, kind="target", label=target, detail=rtt, title=title)
    if hop.address is None:
        key = f"silent {vantage} {hop.ttl}"
        return Node(
            key=key,
            layer=layer,
            kind="silent",
            label="no answer",
            detail="",
            title=f"hop {hop.ttl} from {vantage} stays silent",
        )
    place = f", {hop.place.name}" if hop.place else ""
    network = f"AS{hop.asn}" + (f" {hop.as_name}" if hop.as_name else "") if hop.asn else ""
    more = f" +{len(hop.also)}" if hop.also else ""
    title = f"hop {hop.ttl} from {vantage}: {hop.address}{' shares the load with ' + ', '.join(hop.also) if hop.also else ''}"
    title += f" {hop.name or ''} {network}{place} {rtt}".rstrip()
    return Node(
        key=hop.address, layer=layer, kind="hop", label=hop.address + more, detail=network or rtt, title=title
    )


def draw(made: Graph) -> str:
    """The graph as SVG, vantages left and the target right."""
    layers = _layers(made)
    if not layers:
        return ""
    width = len(layers) * _COLUMN + _MARGIN
    height = max(len(layer) for layer in layers) * _ROW + 2 * _MARGIN
    placed: dict[str, tuple[float, float]] = {}
    for number, layer in enumerate(layers):
        top = (height - len(layer) * _ROW) / 2 + (_ROW - _BOX_HEIGHT) / 2
        for row, key in enumerate(layer):
            placed[key] = (width - (number + 1) * _COLUMN, round(top + row * _ROW, 1))
    vantages = [node.label for node in made.nodes.values() if node.kind == "vantage"]
    lines = [
        _line(placed, pair, names, vantages)
        for pair, names in made.edges.items()
        if set(pair) <= placed.keys()
    ]
    boxes = [_box(made.nodes[key], at) for key, at in placed.items()]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="paths" viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img" '
        f'aria-label="Paths from {text(", ".join(vantages))}">{"".join(lines)}{"".join(boxes)}</svg>'
    )


def _layers(made: Graph) -> list[list[str]]:
    """Keys by layer, each layer ordered by where its neighbours stand (barycentre sweeps, Sugiyama 1981)."""
    if not made.nodes:
        return []
    layers: list[list[str]] = [[] for _ in range(max(node.layer for node in made.nodes.values()) + 1)]
    for key, node in sorted(made.nodes.items(), key=lambda item: (item[1].kind != "vantage", item[0])):
        layers[node.layer].append(key)
    neighbours: dict[str, list[str]] = {}
    for a, b in made.edges:
        neighbours.setdefault(a, []).append(b)
        neighbours.setdefault(b, []).append(a)
    layers = [layer for layer in layers if layer]
    for _ in range(_SWEEPS):
        rank = {key: row / max(1, len(layer) - 1) for layer in layers for row, key in enumerate(layer)}
        for layer in layers:
            layer.sort(key=lambda key: _mean([rank[other] for other in neighbours.get(key, [])], rank[key]))
            rank.update({key: row / max(1, len(layer) - 1) for row, key in enumerate(layer)})
    return layers


def _mean(values: Sequence[float], otherwise: float) -> float:
    return sum(values) / len(values) if values else otherwise


def _line(
    placed: Mapping[str, tuple[float, float]], pair: tuple[str, str], names: Sequence[str], vantages: Sequence[str]
) -> str:  # fmt: skip
    (x1, y1), (x2, y2) = placed[pair[0]], placed[pair[1]]
    x1, y1, y2 = x1 + _BOX_WIDTH, y1 + _BOX_HEIGHT / 2, y2 + _BOX_HEIGHT / 2
    middle = (x1 + x2) / 2
    shade = vantages.index(names[0]) % _SHADES if len(names) == 1 and names[0] in vantages else "many"
    missing = any("not reached" in name for name in names)
    return (
        f'<path class="way way-{shade}{" way-missing" if missing else ""}" d="M{x1:g} {y1:g}C{middle:g} {y1:g} {middle:g} {y2:g} {x2:g} {y2:g}">'
        f"<title>{text(', '.join(names))}</title></path>"
    )


def _box(node: Node, at: tuple[float, float]) -> str:
    x, y = at
    shown = node.label if len(node.label) <= 20 else node.label[:19] + "…"
    detail = (
        f'<text class="box-detail" x="{x + 6:g}" y="{y + 26:g}">{text(node.detail[:22])}</text>'
        if node.detail
        else ""
    )
    return (
        f'<g class="box box-{node.kind}"><title>{text(node.title)}</title><rect x="{x:g}" y="{y:g}" width="{_BOX_WIDTH}" height="{_BOX_HEIGHT}" rx="5"/>'
        f'<text class="box-name" x="{x + 6:g}" y="{y + (14 if node.detail else 20):g}">{text(shown)}</text>{detail}</g>'
    )
