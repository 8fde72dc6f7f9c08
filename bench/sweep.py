"""Scenarios "sweep": thousands of Paris traces at once, on a friendly net, inside a CPU quota, and on a hard net."""

from collections.abc import Sequence
from pathlib import Path

from bench import ours, rivals
from bench.emulator import Emulator, scratch
from bench.figure import Column, Table
from bench.load import IDLE, QUOTA, under
from bench.net import Net
from bench.rivals import Tool
from bench.verdict import judge_hops

FRIENDLY = Net(hops_min=12, hops_max=12, hop_us=2000.0)
HARD = Net(
    hops_min=8,
    hops_max=20,
    hop_us=2000.0,
    ecmp=4,
    silent_routers=0.12,
    silent_targets=0.05,
    loss=0.005,
)


def run(runs: int, quick: bool) -> list[Table]:
    """Speed and completeness of the sweep."""
    count = 2_000 if quick else 10_000
    scale = count / 10_000
    with scratch() as folder:
        targets = FRIENDLY.targets(count)
        file = rivals.write_targets(folder / "targets", targets)
        return [
            _friendly(runs, scale, file, targets),
            _in_quota(runs, scale, file, targets),
            _hard(runs, scale, file, targets),
        ]


def _columns(
    wall_s: float, hops: float, cpu_s: float | None = None, rss_mb: float | None = None
) -> list[Column]:
    return [
        Column("wall", "s", goal=wall_s),
        Column("CPU", "s", goal=cpu_s),
        Column("peak RSS", "MB", goal=rss_mb),
        Column("hops", "% of visible", goal=hops, at_least=True),
        Column("wrong hops", "cells", goal=0.0),
        Column("probes", "sent"),
    ]


def _friendly(runs: int, scale: float, file: Path, targets: Sequence[str]) -> Table:
    table = Table(
        f"Sweep: {len(targets)} targets x 12 hops",
        _columns(max(1.0, 2.5 * scale), 100.0, 0.7 if scale == 1 else None, 32.0),
        "Debian's scamper sends at most 10,000 probes/s; RTT 24 ms",
    )
    for _ in range(runs):
        _measure(table, ours.sweep(file, 100_000), FRIENDLY, IDLE, targets)
    _rival(table, rivals.scamper_trace(file, 10_000), FRIENDLY, IDLE, targets, runs)
    return table


def _in_quota(runs: int, scale: float, file: Path, targets: Sequence[str]) -> Table:
    table = Table(
        f"Sweep: {len(targets)} targets x 12 hops inside {QUOTA}",
        _columns(max(5.0, 8.0 * scale), 100.0),
        "CPU quota of a small cloud VM; ours asked for 20,000 probes/s, scamper for its 10,000",
    )
    for _ in range(runs):
        _measure(table, ours.sweep(file, 20_000), FRIENDLY, QUOTA, targets)
    if scale == 1:
        _rival(table, rivals.scamper_trace(file, 10_000), FRIENDLY, QUOTA, targets, runs)
    return table


def _hard(runs: int, scale: float, file: Path, targets: Sequence[str]) -> Table:
    table = Table(
        f"Sweep: {len(targets)} targets on the hard net",
        _columns(max(8.0, 12.0 * scale), 99.5),
        "8-20 hops, ECMP 4, 12 % silent routers, 5 % silent targets, 0.5 % loss; 20,000 probes/s",
    )
    for _ in range(runs):
        _measure(table, ours.sweep(file, 20_000), HARD, IDLE, targets)
    for in_flight in (1, 4) if scale == 1 else (4,):
        tool = rivals.scamper_trace(file, 10_000, tries=2, in_flight=in_flight)
        _rival(table, tool, HARD, IDLE, targets, runs)
    return table


SLOW_RUNS = 3
"""Runs of a rival that needs many times our time: their spread is small and the suite must end."""


def _rival(table: Table, tool: Tool, net: Net, load: str, targets: Sequence[str], runs: int) -> None:
    if rivals.version("scamper"):
        for _ in range(min(runs, SLOW_RUNS)):
            _measure(table, tool, net, load, targets)


def _measure(table: Table, tool: Tool, net: Net, load: str, targets: Sequence[str]) -> None:
    emulator = Emulator(net)
    with emulator, under(load) as place:
        ran, report = tool.run(place, limit_s=150)
    hops = judge_hops(report, net, targets)
    values = {
        "wall": ran.wall_s,
        "CPU": ran.cpu_s,
        "peak RSS": ran.rss_mb,
        "hops": hops.share,
        "wrong hops": float(hops.wrong),
        "probes": float(emulator.statistics.get("seen", 0)),
    }
    table.add(tool.name, values)
