"""Paths of several vantages to one target as a layered graph: what they share is drawn once.

Layers count from the target backwards, because that is where paths meet; vantages stand left. Silence is drawn as
silence; addresses that share the load stand beside each other, joined by thin lines. Whatever came, went or grew worse
says so in words and by its shape as well.
"""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import TypeVar

import msgspec

from nettrace.model.instant import NS_PER_MS
from nettrace.model.path import Hop, Trace

_MOST_SHARING = 4
"""Boxes for addresses that share the load at one hop; more are counted."""

GROUPS = {"": "single addresses", "as": "networks (AS)", "place": "places"}
"""By what hops may be put together."""


T = TypeVar("T", bound=Hashable)


class Node(msgspec.Struct, frozen=True, kw_only=True):
    """One box.

    Attributes:
        layer: hops from the target, 0 at the target itself.
        kind: `vantage`, `hop`, `silent` or `target`.
        change: `came`, `gone` or empty, against another instant.
        hops: the addresses in it.
    """

    key: str
    layer: int
    kind: str
    label: str
    detail: str
    title: str
    change: str = ""
    hops: tuple[str, ...] = ()


class Edge(msgspec.Struct, frozen=True, kw_only=True):
    """A line between two boxes.

    Attributes:
        vantages: whose paths take it.
        missing: the target beyond it did not answer.
        shared: one of several ways the load is spread over; which goes on where is not known.
        worse: what a degraded leg adds here in words, or empty.
    """

    vantages: tuple[str, ...]
    missing: bool = False
    shared: bool = False
    change: str = ""
    worse: str = ""


class Graph(msgspec.Struct, frozen=True):
    """Boxes, and lines between them."""

    nodes: Mapping[str, Node]
    edges: Mapping[tuple[str, str], Edge]


class Box(msgspec.Struct, frozen=True):
    """What stands at one step of one path: its key, and how it is shown.

    Attributes:
        detail: what holds for every path through it; round trips, which do not, are joined to it as a range.
        rtts_ns: the least round trip of each path.
    """

    key: str
    kind: str
    label: str
    detail: str
    title: str
    hops: tuple[str, ...] = ()
    rtts_ns: tuple[int, ...] = ()


def graph(target: str, paths: Mapping[str, Trace], group: str = "") -> Graph:
    """The graph of each vantage's path to the target, hops put together by `group` (a key of `GROUPS`)."""
    boxes: dict[str, Box] = {}
    edges: dict[tuple[str, str], Edge] = {}
    for vantage, trace in paths.items():
        steps = _steps(target, vantage, trace, group)
        for step in steps:
            for box in step:
                known = boxes.get(box.key, box)
                rtts = (*known.rtts_ns, *box.rtts_ns) if known is not box else box.rtts_ns
                boxes[box.key] = msgspec.structs.replace(known, rtts_ns=rtts)
        for index, step in enumerate(steps[1:]):
            before = steps[index]
            missing = index == len(steps) - 2 and not trace.reached
            for a in before:
                for b in step:
                    _join(edges, (a.key, b.key), vantage, missing=missing, shared=len(before) + len(step) > 2)
    layers = _layers_of(boxes, edges)
    nodes = {
        key: Node(
            key=key,
            layer=layers[key],
            kind=box.kind,
            label=box.label,
            detail=", ".join(each for each in (box.detail, _range(box.rtts_ns)) if each),
            title=box.title,
            hops=box.hops,
        )
        for key, box in boxes.items()
    }
    return Graph(nodes, edges)


def _join(
    edges: dict[tuple[str, str], Edge], pair: tuple[str, str], vantage: str, *, missing: bool, shared: bool
) -> None:
    if pair[0] == pair[1]:
        return
    known = edges.get(pair, Edge(vantages=(), shared=shared))
    names = tuple(dict.fromkeys((*known.vantages, vantage)))
    edges[pair] = Edge(vantages=names, missing=known.missing or missing, shared=known.shared and shared)


def _steps(target: str, vantage: str, trace: Trace, group: str) -> list[list[Box]]:
    """A path as boxes from its vantage to the target; several at one step share the load."""
    balanced = {each.ttl: each.addresses for each in trace.balances}
    steps = [[Box(f"vantage {vantage}", "vantage", vantage, "", f"from {vantage}")]]
    last = len(trace.hops) - 1
    for index, hop in enumerate(trace.hops):
        if trace.reached and index == last:
            words = f"{target} {hop.address}: {_range(_rtts(hop))} from {vantage}"
            steps.append([Box("target", "target", target, "", words, _known(hop), _rtts(hop))])
        else:
            steps.append(_hop(hop, vantage, group, balanced.get(hop.ttl, ())))
    if not trace.reached:
        steps.append([Box("target", "target", target, "", target)])
    return _merged(steps) if group else steps


def _known(hop: Hop) -> tuple[str, ...]:
    return (hop.address, *hop.also) if hop.address else ()


def _hop(hop: Hop, vantage: str, group: str, balanced: Sequence[str]) -> list[Box]:
    if hop.address is None:
        words = f"hop {hop.ttl} from {vantage} stays silent"
        return [Box(f"silent {vantage} {hop.ttl}", "silent", "no answer", "", words)]
    addresses = tuple(dict.fromkeys((hop.address, *hop.also, *balanced)))
    place = hop.place.name if hop.place else ""
    network = f"AS{hop.asn}" + (f" {hop.as_name}" if hop.as_name else "") if hop.asn else ""
    rtts = _rtts(hop)
    if group:
        name = place if group == "place" else network
        if not name:
            name = "place not known" if group == "place" else "network not known"
            return [
                Box(
                    f"unknown {vantage} {hop.ttl}", "hop", name, "", f"{hop.address}: {name}", addresses, rtts
                )
            ]
        return [Box(f"{group} {name}", "hop", name, "", f"{name}, from {vantage}: {', '.join(addresses)}", addresses, rtts)]  # fmt: skip
    made: list[Box] = []
    beyond = len(addresses) - _MOST_SHARING
    for number, address in enumerate(addresses[:_MOST_SHARING], 1):
        told = f"hop {hop.ttl} from {vantage}: {address}"
        told += f", shares the load with {', '.join(each for each in addresses if each != address)}" if len(addresses) > 1 else ""  # fmt: skip
        told += "".join(f", {each}" for each in (hop.name, network, place, _range(rtts)) if each)
        more = f" +{beyond}" if beyond > 0 and number == _MOST_SHARING else ""
        known = network or place
        made.append(Box(address, "hop", address + more, known, told, (address,), () if known else rtts))
    return made


def _rtts(hop: Hop) -> tuple[int, ...]:
    """The least round trip to a hop, or nothing where there is none."""
    rtts = [sample.rtt_ns for sample in hop.samples if sample.rtt_ns is not None]
    return (min(rtts),) if rtts else ()


def _range(rtts_ns: Sequence[int]) -> str:
    """Round trips of several paths in few words: a box many paths run through has no single one.

    >>> _range([]), _range([23_200_000]), _range([430_000, 200_000_000])
    ('', '23.2 ms', '0.4 to 200 ms')
    """
    if not rtts_ns:
        return ""
    low, high = (f"{value / NS_PER_MS:.{0 if value >= 100 * NS_PER_MS else 1}f}" for value in (min(rtts_ns), max(rtts_ns)))  # fmt: skip
    return f"{low} ms" if low == high else f"{low} to {high} ms"


def _merged(steps: Sequence[list[Box]]) -> list[list[Box]]:
    """Neighbours of one group as one box that says how many hops it holds; silences between them as one."""
    made: list[list[Box]] = []
    counts: list[int] = []
    for step in steps:
        (box,) = step
        before = made[-1][0] if made else None
        same = before is not None and (before.key == box.key or before.kind == box.kind == "silent")
        if before is not None and same and box.kind != "vantage":
            counts[-1] += 1
            made[-1] = [msgspec.structs.replace(before, hops=tuple(dict.fromkeys((*before.hops, *box.hops))), rtts_ns=box.rtts_ns or before.rtts_ns)]  # fmt: skip
        else:
            made.append(step)
            counts.append(1)
    return [[_counted(step[0], count)] for step, count in zip(made, counts, strict=True)]


def _counted(box: Box, count: int) -> Box:
    if count == 1 or box.kind == "target":
        return box
    return msgspec.structs.replace(box, detail=f"{count} hops")


def _layers_of(boxes: Mapping[str, Box], edges: Iterable[tuple[str, str]]) -> dict[str, int]:
    """Each box's longest way to the target; where paths run in a circle, as far as rounds of the circle were counted."""
    pairs = list(edges)
    layers = dict.fromkeys(boxes, 0)
    for _ in range(len(boxes)):
        moved = False
        for a, b in pairs:
            if layers[a] <= layers[b] < len(boxes):
                layers[a], moved = layers[b] + 1, True
        if not moved:
            break
    levels = {level: number for number, level in enumerate(sorted(set(layers.values())))}
    made = {key: levels[layer] for key, layer in layers.items()}
    far = max((made[key] for key, box in boxes.items() if box.kind == "vantage"), default=0)
    far = max(far, 1 + max((layer for key, layer in made.items() if boxes[key].kind != "vantage"), default=0))
    return {key: far if boxes[key].kind == "vantage" else layer for key, layer in made.items()}


def against(target: str, now: Mapping[str, Trace], then: Mapping[str, Trace], group: str = "") -> Graph:
    """The graph of now with what went since then, each box and line told by `change`.

    Only vantages that traced at both instants are compared: who did not look has not lost its path.
    """
    both = set(now) & set(then)
    union = graph(
        target, {**now, **{f"{name}\0": trace for name, trace in then.items() if name in both}}, group
    )
    new = graph(target, {name: trace for name, trace in now.items() if name in both}, group)
    old = graph(target, {name: trace for name, trace in then.items() if name in both}, group)
    only_now = graph(target, {name: trace for name, trace in now.items() if name not in both}, group)
    kept = {key: node for key, node in union.nodes.items() if "\0" not in key}
    nodes = {
        key: msgspec.structs.replace(node, change="" if node.kind != "hop" or key in only_now.nodes else _change(new.nodes, old.nodes, key))
        for key, node in kept.items()
    }  # fmt: skip
    edges: dict[tuple[str, str], Edge] = {}
    for pair, edge in union.edges.items():
        a, b = pair[0].replace("\0", ""), pair[1].replace("\0", "")
        if a not in nodes or b not in nodes:
            continue  # what was silent then and is no more: silence is no change
        names = tuple(dict.fromkeys(name.removesuffix("\0") for name in edge.vantages))
        silent = "silent" in {nodes[a].kind, nodes[b].kind}
        change = "" if silent or (a, b) in only_now.edges else _change(new.edges, old.edges, (a, b))
        known = edges.get((a, b))
        names = tuple(dict.fromkeys((*known.vantages, *names))) if known else names
        edges[a, b] = msgspec.structs.replace(edge, vantages=names, change=change)
    return Graph(nodes, edges)


def _change(new: Mapping[T, object], old: Mapping[T, object], key: T) -> str:
    if (key in new) == (key in old):
        return ""
    return "came" if key in new else "gone"


def worsened(made: Graph, legs: Mapping[tuple[str, str], str]) -> Graph:
    """The graph with degraded legs marked: addresses of both ends, and what is added in words."""
    boxes = {address: key for key, node in made.nodes.items() for address in node.hops}
    marked = {(boxes.get(a, ""), boxes.get(b, "")): words for (a, b), words in legs.items()}
    edges = {
        pair: msgspec.structs.replace(edge, worse=marked.get(pair, "")) for pair, edge in made.edges.items()
    }
    return Graph(made.nodes, edges)
