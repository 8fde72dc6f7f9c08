"""A plan as pictures: who is served from where on the map, the trades of site cost and latency, intervals as bars."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from nettrace.placement.document.cell import milli
from nettrace.placement.sheet import money
from nettrace.web.map import place_on, way
from nettrace.web.scale import Axis, value_ticks
from nettrace.web.xml import text

WIDTH, HEIGHT = 820, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 76, 24, 14, 46


class Way(msgspec.Struct, frozen=True):
    """A venue's great circle to its site; `kind` is what the latency rests on."""

    path: str
    kind: str
    words: str


class Stand(msgspec.Struct, frozen=True):
    """A site or venue on the map; `kind` is chosen, open or venue."""

    x: float
    y: float
    kind: str
    name: str
    words: str


class Drawn(msgspec.Struct, frozen=True):
    """The map: ways below, places above, and the names nobody knows the place of."""

    ways: tuple[Way, ...]
    stands: tuple[Stand, ...]
    unplaced: tuple[str, ...]


def world(plan: Mapping[str, Any], request: Mapping[str, Any]) -> Drawn:
    """The plan on the map."""
    known = {
        (table, each["name"]): (each["lat"], each["lon"])
        for table in ("site", "venue")
        for each in request[table]
        if each["lat"] is not None and each["lon"] is not None
    }
    ways: list[Way] = []
    for row in plan["assignments"]:
        ends = known.get(("site", row["site"])), known.get(("venue", row["venue"]))
        if ends[0] is not None and ends[1] is not None:
            words = f"{row['venue']} from {row['site']}: {milli(row['p50_ms'])} ms{within(row)}, {row['evidence']}"
            ways.append(Way(way(ends[0], ends[1]), row["evidence"], words))
    stands: list[Stand] = []
    for (table, name), at in known.items():
        kind = "venue" if table == "venue" else "chosen" if name in plan["sites"] else "open"
        words = {"venue": "venue", "chosen": "chosen site", "open": "site not chosen"}[kind]
        stands.append(Stand(*place_on(at), kind, name, f"{name}: {words}"))
    stands.sort(key=lambda each: ("open", "chosen", "venue").index(each.kind))
    lost = tuple(
        each["name"] for table in ("site", "venue") for each in request[table] if (table, each["name"]) not in known
    )  # fmt: skip
    return Drawn(tuple(ways), tuple(stands), lost)


def within(row: Mapping[str, Any]) -> str:
    """The interval in words, or nothing."""
    if row["low_ms"] is None or row["high_ms"] is None:
        return ""
    return f" ({milli(row['low_ms'])} to {milli(row['high_ms'])})"


def bars(rows: Sequence[Mapping[str, Any]]) -> list[tuple[float, float, float]]:
    """Low end, median and high end of each assignment in per cent of the greatest of all."""
    most = max((row["high_ms"] or row["p50_ms"] for row in rows), default=0) or 1.0
    return [
        tuple(
            round(100 * value / most, 2)
            for value in (
                row["p50_ms"] if row["low_ms"] is None else row["low_ms"],
                row["p50_ms"],
                row["p50_ms"] if row["high_ms"] is None else row["high_ms"],
            )
        )
        for row in rows
    ]


def pareto(
    trades: Sequence[Mapping[str, Any]], spread: Sequence[Sequence[float]], sites: Sequence[str]
) -> str:
    """The front: what sites cost to the right, what latency costs upwards, a bar from all-low to all-high intervals."""
    if not trades:
        return ""
    across = value_ticks(
        0.0 if len(trades) == 1 else min(each["cost_usd_month"] for each in trades),
        max(each["cost_usd_month"] for each in trades) or 1.0,
    )
    up = value_ticks(0.0, max(*(high for _, high in spread), 1e-6), 4)
    x = Axis(across[0], across[-1], _LEFT, WIDTH - _RIGHT)
    y = Axis(up[0], up[-1], HEIGHT - _BOTTOM, _TOP)
    points = [(x.at(each["cost_usd_month"]), y.at(each["latency_usd_month"])) for each in trades]
    steps = "".join(
        f"L{at} {points[number - 1][1]}L{at} {up}" for number, (at, up) in enumerate(points) if number
    )
    body = [*_grid(x, y, across, up), f'<path class="front" d="M{points[0][0]} {points[0][1]}{steps}"/>']
    for number, (trade, ends, (left, top)) in enumerate(zip(trades, spread, points, strict=True), 1):
        low, high = y.at(ends[0]), y.at(ends[1])
        kind = (
            "chosen"
            if list(trade["sites"]) == list(sites)
            else "within"
            if trade["within_budget"]
            else "beyond"
        )
        body.append(
            f'<g class="trade {kind}"><path class="bar-line" d="M{left} {low}V{high}M{left - 5} {low}h10M{left - 5} {high}h10"/>'
            f'<circle cx="{left}" cy="{top}" r="6"/><text class="tick" x="{left + 10}" y="{top - 7}">{number}</text>'
            f"<title>{number}: {text(', '.join(trade['sites']))}: sites {money(trade['cost_usd_month'])}, "
            f"latency {money(trade['latency_usd_month'])} ({money(ends[0])} to {money(ends[1])})</title></g>"
        )
    told = f"Cost of sites against cost of latency for {len(trades)} sensible choices; the table below has the same"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="pareto" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="{text(told)}">{"".join(body)}</svg>'
    )


def _grid(x: Axis, y: Axis, across: Sequence[float], up: Sequence[float]) -> list[str]:
    made: list[str] = []
    for tick in up:
        at = y.at(tick)
        made.append(f'<path class="grid" d="M{_LEFT} {at}H{WIDTH - _RIGHT}"/>')
        made.append(f'<text class="tick" x="{_LEFT - 8}" y="{at + 4}" text-anchor="end">${tick:,g}</text>')
    for number, tick in enumerate(across):
        at, seldom = x.at(tick), " tick-wide" if number % 2 else ""
        made.append(f'<path class="grid" d="M{at} {_TOP}V{HEIGHT - _BOTTOM}"/>')
        made.append(
            f'<text class="tick{seldom}" x="{at}" y="{HEIGHT - 28}" text-anchor="middle">${tick:,g}</text>'
        )
    made.append(
        f'<text class="tick" x="{(WIDTH + _LEFT) / 2:g}" y="{HEIGHT - 6}" text-anchor="middle">sites, a month</text>'
    )
    made.append(f'<text class="tick" x="{_LEFT + 6}" y="{_TOP + 12}">latency, a month</text>')
    return made
