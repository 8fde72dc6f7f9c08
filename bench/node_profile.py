"""Scenario "node": all the work of a node on 1,000 targets, in one process, as a share of one core."""

import json
import sys
from pathlib import Path

from bench import rivals
from bench.bridge import https_server
from bench.emulator import Emulator, scratch
from bench.figure import Column, Table
from bench.net import Net
from bench.process import run as run_program

NET = Net(hops_min=8, hops_max=20, hop_us=2000.0)
TARGETS = 1000
SPREAD = 60


def run(runs: int, quick: bool) -> list[Table]:
    """CPU and memory of 1,000 pings/s, 17 traces/s and 10 HTTPS/s."""
    seconds = 6 if quick else 15
    table = Table(
        f"Node: {TARGETS} targets, a ping a second and a trace a minute each, 10 HTTPS/s",
        [
            Column("CPU", "% of a core", goal=4.0),
            Column("peak RSS", "MB", goal=64.0),
            Column("pings lost", "probes", goal=0.0),
            Column("pings", "measured"),
            Column("traces", "ended"),
            Column("traces reached", "%", goal=100.0, at_least=True),
            Column("HTTPS", "measured"),
        ],
        f"{seconds} s after the start; the library calls of a node in one asyncio loop",
    )
    with scratch() as folder:
        file = rivals.write_targets(folder / "targets", NET.targets(TARGETS))
        command = [sys.executable, "-m", "bench.node_client", str(seconds), str(file)]
        for _ in range(min(runs, 3)):
            with Emulator(NET) as emulator, https_server(emulator.cpu):
                ran = run_program(command, limit_s=60)
            if ran.code:
                print(f"bench: node ended with {ran.code}: {ran.err.strip()[-300:]}", file=sys.stderr)
                table.add("nettrace", {})
                continue
            said = json.loads(ran.out)
            values = {
                "CPU": said["cpu_percent"],
                "peak RSS": said["rss_mb"],
                "pings lost": float(said["lost"]),
                "pings": float(said["samples"]),
                "traces": float(said["traces"]),
                "traces reached": 100 * said["reached"] / max(1, said["traces"]),
                "HTTPS": float(said["exchanges"]),
            }
            table.add("nettrace", values)
        spread, crowded = NET.targets(SPREAD * TARGETS)[::SPREAD], NET.targets(TARGETS)
        return [
            table,
            _rounds(
                rivals.write_targets(folder / "spread", spread), runs, seconds,
                "four targets a /24, as its budgets allow; traces begin within 30 s of the start, so twice as often as later",
            ),
            _rounds(
                rivals.write_targets(folder / "crowded", crowded), runs, seconds,
                "all in four /24s, whose budgets grant 60 packets a second each: a quarter of what these rounds want", None,
            ),
        ]  # fmt: skip


def _rounds(file: Path, runs: int, seconds: int, note: str, unmeasured: float | None = 0.0) -> Table:
    """The same pings and traces as rounds of a node, each with its policy, budgets and record."""
    table = Table(
        f"Node: the pings and traces of {TARGETS} targets as rounds of its schedule",
        [
            Column("CPU", "% of a core", goal=4.0),
            Column("pings", "a second"),
            Column("traces", "a second"),
            Column("not measured", "rounds", goal=unmeasured),
            Column("latest start", "ms"),
            Column("waited", "packets"),
        ],
        note,
    )
    for _ in range(min(runs, 3)):
        with Emulator(NET):
            ran = run_program(
                [sys.executable, "-m", "bench.node_rounds", str(seconds), str(file)], limit_s=60
            )
        if ran.code:
            print(f"bench: node ended with {ran.code}: {ran.err.strip()[-300:]}", file=sys.stderr)
            table.add("nettrace", {})
            continue
        said = json.loads(ran.out)
        names = ("cpu_percent", "pings_per_s", "traces_per_s", "unmeasured", "latest_start_ms", "waited")
        table.add(
            "nettrace", {column.name: said[name] for column, name in zip(table.columns, names, strict=True)}
        )
    return table
