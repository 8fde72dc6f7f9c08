"""Draws the outline of the land once: world-atlas' land-110m.json to the path the map page fills.

The file is in the npm package world-atlas 2.0.2 (ISC; its data is Natural Earth, public domain):
`python scripts/make_land.py land-110m.json src/nettrace/web/land.txt`. Antarctica is left out: nothing is measured there.
"""

import json
import sys
from pathlib import Path

from nettrace.analysis.geo.projection import HALF_HEIGHT, HALF_WIDTH, project

SCALE = 500 / HALF_WIDTH
SOUTH = -60.0


def arcs_of(topology: dict) -> list[list[tuple[float, float]]]:
    """The arcs as (longitude, latitude), delta decoding undone (TopoJSON 1.0, section 2.1.3)."""
    scale, translate = topology["transform"]["scale"], topology["transform"]["translate"]
    decoded = []
    for arc in topology["arcs"]:
        x = y = 0
        points = []
        for dx, dy in arc:
            x, y = x + dx, y + dy
            points.append((x * scale[0] + translate[0], y * scale[1] + translate[1]))
        decoded.append(points)
    return decoded


def ring(arcs: list[list[tuple[float, float]]], numbers: list[int]) -> list[tuple[float, float]]:
    """One closed line of several arcs; a negative number is an arc read backwards."""
    points: list[tuple[float, float]] = []
    for number in numbers:
        arc = arcs[number] if number >= 0 else arcs[~number][::-1]
        points += arc[1:] if points else arc
    return points


def cut(placed: list[tuple[float, float]]) -> list[list[tuple[float, float]]]:
    """A ring in the parts that lie on either side of the map's edge."""
    parts: list[list[tuple[float, float]]] = [[]]
    for point in placed:
        if parts[-1] and abs(point[0] - parts[-1][-1][0]) > HALF_WIDTH:
            parts.append([])
        parts[-1].append(point)
    if len(parts) > 1:  # the last part goes on where the first began
        parts[0] = parts.pop() + parts[0]
    return [part for part in parts if len(part) > 2]


def outline(points: list[tuple[float, float]]) -> str:
    """A ring as path data."""
    steps = [f"{(x + HALF_WIDTH) * SCALE:.1f} {(HALF_HEIGHT - y) * SCALE:.1f}" for x, y in points]
    return "M" + "L".join(dict.fromkeys(steps)) + "Z"


def main(source: str, target: str) -> None:
    """Read the topology, write the path."""
    topology = json.loads(Path(source).read_text())
    arcs = arcs_of(topology)
    drawn = []
    for geometry in topology["objects"]["land"]["geometries"]:
        polygons = geometry["arcs"] if geometry["type"] == "MultiPolygon" else [geometry["arcs"]]
        for polygon in polygons:
            for numbers in polygon:
                points = ring(arcs, numbers)
                if max(latitude for _, latitude in points) < SOUTH:
                    continue
                placed = [project(latitude, min(longitude, 179.999)) for longitude, latitude in points]
                drawn += [outline(part) for part in cut(placed)]
    Path(target).write_text("".join(drawn) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
