"""`./dev bench [NAME ...]`: prints benchmark figures, each with its spread, its goal and its rivals."""

import argparse
import importlib.util
import os
import platform
import subprocess
import sys
import time
from collections.abc import Sequence

from bench import rivals
from bench.emulator import Unavailable
from bench.figure import Table, write_json

SCENARIOS = {
    "truth": "round-trip errors of ICMP and UDP under load, beside fping, scamper, mtr and traceroute",
    "streams": "errors of TCP connect, TLS and first byte under load, beside libcurl",
    "sweep": "10,000 traces at once, also inside a CPU quota and on a hard net, beside scamper",
    "limits": "200 targets behind eight Linux routers with default ICMP limits, beside scamper",
    "steady": "CPU a probe at 1,000 probes/s beside fping and scamper; 90 % dark targets",
    "node": "a whole node's work on 1,000 targets",
    "node_size": "a node installed alone: bytes on disk, memory while it works within 256 MB",
    "start": "import time and idle memory",
    "lab": "the lab's own precision and rate",
    "ingest": "durable reports a second into the store, beside PostgreSQL COPY",
    "faults": "the store's writer killed again and again: nothing acknowledged lost or doubled",
    "hub_faults": "a hub's writer and API workers killed at random: nothing acknowledged lost or doubled",
    "routes": "false and found route changes on real series, beside naive hash, wildcard and Jaccard",
    "blame": "1,000 planted bad links in internets on paper, beside hop jumps and voting",
    "days": "48 virtual hours of the demo's internet with five incidents: pages, causes, delays",
    "blame_lab": "50 slow cables in the lab, real packets from eight vantages: which leg is blamed",
    "api": "requests a second of one API worker on a million rounds, beside the earlier system's figures",
    "flat": "the same questions to a hub of 20 million rounds and to one of a million, turn by turn",
    "series": "a series of 1,000 rounds beside FastAPI, which is installed for it in an environment of its own",
    "stream": "what a delivery costs with 1,000 receivers, and whether each of them gets everything",
    "web": "first paint on 3G, script a frame at 1,000 rounds a second, reply to pixel, memory of a tab",
    "nolies": "a virtual day: no false loss, no false hop",
    "store": "30 days of history beside PostgreSQL with the same rows: quantiles, comparisons, bytes",
    "year": "a year of 100 targets x 10 vantages: how long any history query takes, how much room it needs",
    "estimates": "latencies of hidden pairs and sites of real matrices (NETTRACE_DATASETS: folder of matrices)",
    "market": "lead-lag, event studies and backtests where nothing is, and where something was planted (NETTRACE_DATASETS: folder)",
    "plan": "the planner beside trying everything, and 600 venues x 120 sites to the proof",
    "detectors": "detectors on labelled series and on noise, beside textbook methods (NETTRACE_DATASETS: folder of labels)",
}
SUITES = {
    "probing": ("start", "truth", "streams", "sweep", "limits", "steady", "node"),
    "signals": ("detectors", "routes", "blame", "blame_lab", "market", "days"),
}
"""Names that stand for several: all that is measured of probing, and of signals, in one command."""
MODULES = {"node": "node_profile", "detectors": "signals"}
NEVER_QUICK = ("limits",)
"""What takes a minute whatever is asked: left out of a quick `probing`."""


def main() -> int:
    """Run scenarios and print their tables; exit 1 when a goal is missed and `--check` was given."""
    given = _arguments().parse_args()
    names = [
        name
        for word in given.names
        for name in SUITES.get(word, (word,))
        if word == name or not (given.quick and name in NEVER_QUICK)
    ]
    if not names:
        _list()
        return 0
    unknown = [name for name in names if name not in SCENARIOS]
    if unknown:
        sys.exit(f"./dev bench: no benchmark '{unknown[0]}'; there are {', '.join((*SUITES, *SCENARIOS))}")
    runs = given.runs or (1 if given.quick else 5)
    host = describe_host(runs)
    print("  ".join(f"{key}: {value}" for key, value in host.items()), flush=True)
    tables: list[Table] = []
    for name in dict.fromkeys(names):
        tables += run_scenario(name, runs, given.quick)
    broken = [line for table in tables for line in table.broken()]
    print("\nGoals missed:" if broken else "\nAll goals met.")
    for line in broken:
        print(f"  {line}")
    if given.json:
        write_json(given.json, tables, host)
    return int(bool(broken) and given.check)


def run_scenario(name: str, runs: int, quick: bool) -> list[Table]:
    """The tables of one scenario, printed as they are made; empty when this host cannot run it."""
    started = time.monotonic()
    name = MODULES.get(name, name)
    if importlib.util.find_spec(f"bench.{name}") is None:
        print(f"\n{name}: no such benchmark in this checkout")
        return []
    module = importlib.import_module(f"bench.{name}")
    if not hasattr(module, "run"):  # a program of its own
        subprocess.run([sys.executable, "-m", f"bench.{name}", *(["--quick"] if quick else [])], check=False)
        return []
    try:
        tables: Sequence[Table] = module.run(runs, quick)
    except Unavailable as problem:
        print(f"\n{name}: not run: {problem}")
        return []
    for table in tables:
        print(f"\n{table.text()}")
    print(f"  [{name}: {time.monotonic() - started:.0f} s]", flush=True)
    return list(tables)


def describe_host(runs: int) -> dict[str, object]:
    """What the figures were made on."""
    tools = [rivals.version(name) for name in ("scamper", "fping", "mtr", "traceroute")]
    return {
        "kernel": platform.release(),
        "CPUs": os.cpu_count(),
        "python": platform.python_version(),
        "rivals": ", ".join(tool for tool in tools if tool)
        or "none installed (apt install scamper fping mtr-tiny traceroute)",
        "runs": runs,
        "load": f"{os.getloadavg()[0]:.2f}",
    }


def _list() -> None:
    print("usage: ./dev bench NAME ... [--quick] [--runs N] [--json FILE] [--check]\n")
    for name, parts in SUITES.items():
        print(f"  {name:<9} all of: {', '.join(parts)}")
    for name, meaning in SCENARIOS.items():
        print(f"  {name:<9} {meaning}")


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="./dev bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="which; without one they are listed")
    parser.add_argument("--quick", action="store_true", help="one small run of each")
    parser.add_argument("--runs", type=int, help="runs the median is taken of (5, or 1 with --quick)")
    parser.add_argument("--json", metavar="FILE", help="also write everything as JSON")
    parser.add_argument("--check", action="store_true", help="exit 1 when a goal is missed")
    return parser


if __name__ == "__main__":
    sys.exit(main())
