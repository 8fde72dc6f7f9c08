"""Scenario "node": all the work of a node on 1,000 targets, in one process, as a share of one core."""

import json
import sys

from bench import rivals
from bench.bridge import https_server
from bench.emulator import Emulator, scratch
from bench.figure import Column, Table
from bench.net import Net
from bench.process import run as run_program

NET = Net(hops_min=8, hops_max=20, hop_us=2000.0)
TARGETS = 1000


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
    return [table]
