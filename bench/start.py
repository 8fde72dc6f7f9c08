"""Scenario "start": what a node costs before it has done anything: import time and resident memory."""

import sys

from bench.figure import Column, Table
from bench.load import HERE
from bench.process import run as run_program

MODULES = (
    "nettrace.measure.probing.ping",
    "nettrace.measure.probing.path",
    "nettrace.measure.sweeping.sweep",
    "nettrace.measure.streams.http",
    "nettrace.measure.streams.websocket",
    "nettrace.measure.streams.dns",
    "nettrace.wire.documents",
)
IDLE_PROGRAM = f"""
import asyncio, {", ".join(MODULES)}
async def idle():
    await asyncio.sleep(0.2)
    for line in open("/proc/self/status"):
        if line.startswith("VmRSS"):
            print(int(line.split()[1]) / 1024)
asyncio.run(idle())
"""


def run(runs: int, quick: bool) -> list[Table]:
    """Import of everything a node measures with, and its memory when idle."""
    table = Table(
        "Start: a node's imports",
        [Column("import", "s", goal=0.2), Column("idle RSS", "MiB", goal=40.0), Column("bare Python", "s")],
        "import: python -c 'import MODULES' from start to end, bytecode cached; bare: python -c pass",
    )
    run_program([sys.executable, "-c", IDLE_PROGRAM])
    for _ in range(3 * runs if not quick else 3):
        bare = run_program([sys.executable, "-c", "pass"])
        imports = run_program([sys.executable, "-c", "import " + ", ".join(MODULES)])
        idle = run_program([sys.executable, "-c", IDLE_PROGRAM], HERE)
        failed = imports.code or idle.code
        if failed:
            print(f"bench: start: {imports.err.strip().splitlines()[-1:]}", file=sys.stderr)
        values = {
            "import": None if failed else imports.wall_s,
            "idle RSS": None if failed else float(idle.out),
            "bare Python": bare.wall_s,
        }
        table.add("nettrace", values)
    return [table]
