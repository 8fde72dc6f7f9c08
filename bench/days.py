"""Scenario "days": 48 virtual hours of the demo's internet through the whole hub, five incidents in it, and who was told when.

Rounds through the writer's watchers into the store, events into alert rules: `nettrace.testing.hub_days`. Five vantages, five
targets, a round a minute. A hub that is away for an hour, spikes and ordinary loss are in it too and are no incidents.

`python -m bench.days SEED...` lives scripts that nothing was tuned on: cables, targets, nodes, hours and sizes are drawn.
"""

import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from random import Random
from time import monotonic
from typing import Any

import msgspec

from bench.blame_truth import ways
from bench.figure import OURS, Column, Table
from nettrace.lab.routing import Conditions
from nettrace.lab.truth import Oracle, TruePath
from nettrace.lab.world import Event
from nettrace.lab.worldfile import load
from nettrace.model.alert import IncidentState
from nettrace.store.rows import Window
from nettrace.testing.hub_days import BEGIN, MINUTE, Days, Mishap

HOUR = 60
TARGETS = ("engine.cme.lab", "engine.lse.lab", "engine.hkex.lab", "engine.jpx.lab", "www.deribit.com")
VANTAGES = ("ewr", "lhr", "sin", "bom", "ord")
RULES: dict[str, object] = {
    "rule": [
        {"name": "leg", "preset": "degraded-leg"},
        {"name": "slow", "preset": "derived", "for": "10m"},
        {"name": "down", "preset": "down", "k": 2, "for": "2m"},
        {"name": "silent", "preset": "silent-node"},
        {"name": "route", "preset": "route-change"},
        {"name": "loss", "preset": "loss"},
    ]
}
INCIDENTS = (
    ("congested cable", 6, "leg"), ("cut cable", 13, "route"), ("dead target", 20, "target"),
    ("silent node", 26, "vantage"), ("lossy cable", 38, "leg"),
)  # fmt: skip
SCRIPT = (
    Mishap(minute=6 * HOUR, event=Event(kind="congest", subject="dxb-bom", delay_ms=15.0)),
    Mishap(minute=7 * HOUR, event=Event(kind="clear", subject="dxb-bom")),
    Mishap(minute=13 * HOUR, event=Event(kind="cut", subject="ewr-ord")),
    Mishap(minute=15 * HOUR, event=Event(kind="restore", subject="ewr-ord")),
    Mishap(minute=20 * HOUR, down="engine.jpx.lab"),
    Mishap(minute=20 * HOUR + 40, up="engine.jpx.lab"),
    Mishap(minute=26 * HOUR, silent="bom"),
    Mishap(minute=27 * HOUR, heard="bom"),
    Mishap(minute=32 * HOUR, away=True),
    Mishap(minute=33 * HOUR, back=True),
    Mishap(minute=38 * HOUR, event=Event(kind="congest", subject="fra-ist-2", loss=0.12)),
    Mishap(minute=39 * HOUR, event=Event(kind="clear", subject="fra-ist-2")),
)


Incident = tuple[str, int, str]
"""Its name, its hour, and what its cause is about."""
DRAWN = (101, 102)
_LEAST_CROSSING = 4


def run(runs: int, quick: bool) -> list[Table]:
    """The tables: pages, events of causes, delays. A quick run ends behind the second incident, and draws nothing."""
    hours = 16 if quick else 48
    wanted = [each for each in INCIDENTS if each[1] < hours]
    table = _table(f"days: {hours} virtual hours, {len(wanted)} incidents", wanted)
    for seed in range(1, runs + 1):
        with tempfile.TemporaryDirectory(prefix="nettrace-days-") as folder:
            table.add(OURS, _lived(Path(folder), hours, seed, wanted, SCRIPT))
    return [table] if quick else [table, others(DRAWN)]


def others(seeds: Iterable[int]) -> Table:
    """Scripts drawn by seed, the same kinds of incidents in each."""
    table = _table("days: 48 virtual hours, scripts drawn by seed", INCIDENTS)
    for seed in seeds:
        incidents, script = drawn(seed)
        with tempfile.TemporaryDirectory(prefix="nettrace-days-") as folder:
            table.add(f"script {seed}", _lived(Path(folder), 48, seed, incidents, script))
    return table


def drawn(seed: int) -> tuple[list[Incident], list[Mishap]]:
    """One of each kind of incident, in the order and about as far apart as in `SCRIPT`.

    A slow or lossy cable behind which one target lies alone is that target's incident: nobody can tell its last leg from itself.
    """
    random, oracle = Random(seed), Oracle(load("world"))
    hours = [hour + random.randint(-1, 1) for _, hour, _ in INCIDENTS]
    usual = _ways(oracle)
    busy = sorted(
        cable
        for cable in {cable for path in usual.values() for cable in path.cables}
        if sum(cable in path.cables for path in usual.values()) >= _LEAST_CROSSING
    )
    slow, lossy = random.sample(busy, 2)
    detours = [cable for cable in busy if cable not in {slow, lossy} and _is_detour(oracle, usual, cable)]
    cut, target, node = random.choice(detours), random.choice(TARGETS), random.choice(VANTAGES)
    minute = [HOUR * hour for hour in hours]
    added, loss = round(random.uniform(8.0, 20.0), 1), round(random.uniform(0.1, 0.2), 2)
    script = [
        Mishap(minute=minute[0], event=Event(kind="congest", subject=slow, delay_ms=added)),
        Mishap(minute=minute[0] + HOUR, event=Event(kind="clear", subject=slow)),
        Mishap(minute=minute[1], event=Event(kind="cut", subject=cut)),
        Mishap(minute=minute[1] + 2 * HOUR, event=Event(kind="restore", subject=cut)),
        Mishap(minute=minute[2], down=target),
        Mishap(minute=minute[2] + 40, up=target),
        Mishap(minute=minute[3], silent=node),
        Mishap(minute=minute[3] + HOUR, heard=node),
        Mishap(minute=32 * HOUR, away=True),
        Mishap(minute=33 * HOUR, back=True),
        Mishap(minute=minute[4], event=Event(kind="congest", subject=lossy, loss=loss)),
        Mishap(minute=minute[4] + HOUR, event=Event(kind="clear", subject=lossy)),
    ]
    print(
        f"script {seed}: {slow} +{added} ms, {cut} cut, {target}, {node}, {lossy} loses {loss}",
        file=sys.stderr,
    )
    first, last = ("leg" if len(_behind(usual, cable)) > 1 else "target" for cable in (slow, lossy))
    kinds = [first, *(kind for *_, kind in INCIDENTS[1:-1]), last]
    return [
        (name, hour, kind) for (name, *_), hour, kind in zip(INCIDENTS, hours, kinds, strict=True)
    ], script


def _ways(oracle: Oracle) -> dict[tuple[str, str], TruePath]:
    return {pair: path for pair, path in ways(oracle, TARGETS).items() if pair[0] in VANTAGES}


def _behind(usual: dict[tuple[str, str], TruePath], cable: str) -> set[str]:
    """The targets that are reached over a cable."""
    return {target for (_, target), path in usual.items() if cable in path.cables}


def _is_detour(oracle: Oracle, usual: dict[tuple[str, str], TruePath], cable: str) -> bool:
    """Whether all is still reached without the cable, and two vantages at least go another way."""
    after = _ways(Oracle(oracle.world, Conditions().after(Event(kind="cut", subject=cable))))
    moved = {pair[0] for pair, path in after.items() if path.as_path != usual[pair].as_path}
    return all(path.reaches for path in after.values()) and len(moved) > 1


def _table(title: str, wanted: Sequence[Incident]) -> Table:
    return Table(
        title,
        [
            Column("told once", "incidents", float(len(wanted)), at_least=True),
            Column("other pages", "n", 0.0),
            Column("events of one cause told more than once", "n", 0.0),
            *(Column(name, "minutes to page") for name, *_ in wanted),
            Column("took", "s"),
        ],
        note="a cut cable is told when a second vantage has traced the way around it",
    )


def _lived(
    folder: Path, hours: int, seed: int, wanted: Sequence[Incident], script: Sequence[Mishap]
) -> dict[str, float | None]:
    started = monotonic()
    days = Days(folder, TARGETS, RULES, script, vantages=VANTAGES, seed=seed)
    try:
        days.run(hours * HOUR)
        for each in days.opened():
            print(
                f"  {(each.opened_at - BEGIN) / MINUTE / HOUR:.2f} h: {each.cause} {each.state}",
                file=sys.stderr,
            )
        pages = [(each.cause.partition(":")[0], (each.opened_at - BEGIN) / MINUTE) for each in days.opened()]
        closed = sum(each.state is IncidentState.CLOSED for each in days.opened())
        events = days.reader.events(
            Window(BEGIN, days.now + MINUTE), kinds=("degraded_leg", "route_change_shared"), limit=1000
        )
    finally:
        days.close()
    figures: dict[str, float | None] = {}
    for name, hour, kind in wanted:
        mine = [page for page in pages if page[0] == kind and 0 <= page[1] - hour * HOUR <= HOUR]
        figures[name] = mine[0][1] - hour * HOUR if len(mine) == 1 else None
    told = sum(figures[name] is not None for name, *_ in wanted)
    bodies: list[dict[str, Any]] = [msgspec.json.decode(each.body) for each in events]
    opened = sum(not body["updates"] for body in bodies)
    causes = sum(kind in {"leg", "route"} for *_, kind in wanted)
    return figures | {
        "told once": float(told if closed == len(pages) else 0),
        "other pages": float(len(pages) - told),
        "events of one cause told more than once": float(max(0, opened - causes)),
        "took": monotonic() - started,
    }


if __name__ == "__main__":
    print(others([int(each) for each in sys.argv[1:]] or DRAWN).text())
