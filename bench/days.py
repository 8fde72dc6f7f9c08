"""Scenario "days": 48 virtual hours of the demo's internet through the whole hub, five incidents in it, and who was told when.

Rounds through the writer's watchers into the store, events into alert rules: `nettrace.testing.hub_days`. Five vantages, five
targets, a round a minute. A hub that is away for an hour, spikes and ordinary loss are in it too and are no incidents.
"""

import tempfile
from pathlib import Path
from time import monotonic
from typing import Any

import msgspec

from bench.figure import OURS, Column, Table
from nettrace.lab.world import Event
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


def run(runs: int, quick: bool) -> list[Table]:
    """The table: pages, events of causes, delays. A quick run ends behind the second incident."""
    hours = 16 if quick else 48
    wanted = [each for each in INCIDENTS if each[1] < hours]
    table = Table(
        f"days: {hours} virtual hours, {len(wanted)} incidents",
        [
            Column("told once", "incidents", float(len(wanted)), at_least=True),
            Column("other pages", "n", 0.0),
            Column("events of one cause told more than once", "n", 0.0),
            *(Column(name, "minutes to page") for name, *_ in wanted),
            Column("took", "s"),
        ],
        note="a cut cable is told when a second vantage has traced the way around it",
    )
    for seed in range(1, runs + 1):
        with tempfile.TemporaryDirectory(prefix="nettrace-days-") as folder:
            table.add(OURS, _lived(Path(folder), hours, seed, wanted))
    return [table]


def _lived(
    folder: Path, hours: int, seed: int, wanted: list[tuple[str, int, str]]
) -> dict[str, float | None]:
    started = monotonic()
    days = Days(folder, TARGETS, RULES, SCRIPT, vantages=VANTAGES, seed=seed)
    try:
        days.run(hours * HOUR)
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
