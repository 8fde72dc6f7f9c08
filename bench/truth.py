"""Scenario "truth": how far each tool's round trips are from the kernel's own stamps on the device.

200 targets at 0.77 ms (so that tools printing three digits are not judged by their rounding), 2,000 probes a
second, three loads; ICMP echo and UDP traces; root and an ordinary user.
"""

from collections.abc import Iterator
from pathlib import Path

from bench import ours, rivals, stretch
from bench.capture import Capture, probes
from bench.emulator import Emulator, scratch
from bench.figure import Column, Table
from bench.load import BURNERS, IDLE, QUOTA, under
from bench.net import Net
from bench.rivals import Tool
from bench.verdict import judge, truth_by_key

NET = Net(hop_us=64.0)
TARGETS, PPS = 200, 2000.0
LOADS = (IDLE, BURNERS, QUOTA)
ORDINARY = "nettrace (no root)"


def run(runs: int, quick: bool) -> list[Table]:
    """ICMP and UDP round-trip errors under three loads."""
    loads = (BURNERS, QUOTA) if quick else LOADS
    tables = [
        Table(
            f"Truth: {what}, {load}",
            [
                Column("p50", "us"),
                Column("p99", "us"),
                Column("p99.9", "us", goal=2.0),
                Column("bar holds", "%", goal=99.9, at_least=True),
                Column("false loss", "probes", goal=0.0),
                Column("samples", "per run"),
            ],
            f"|reported - true| round trip; {TARGETS} targets, {PPS:.0f} probes/s, AF_PACKET stamps",
        )
        for what in ("ICMP ping", "UDP trace")
        for load in loads
        if not (quick and what == "UDP trace" and load == QUOTA)
    ]
    by_title = {table.title: table for table in tables}
    with scratch() as folder:
        for _ in range(runs):
            for load in loads:
                for tool, ordinary, by_ttl in _tools(folder, "ICMP ping", quick):
                    _measure(by_title[f"Truth: ICMP ping, {load}"], tool, load, ordinary, by_ttl)
                if quick and load == QUOTA:
                    continue
                for tool, ordinary, by_ttl in _tools(folder, "UDP trace", quick):
                    _measure(by_title[f"Truth: UDP trace, {load}"], tool, load, ordinary, by_ttl)
    return [*tables, stretch.table(NET, TARGETS, runs)]


def _tools(folder: Path, what: str, quick: bool) -> Iterator[tuple[Tool, bool, bool]]:
    """Tool, whether it runs without rights, and whether its values belong to a TTL."""
    targets = NET.targets(TARGETS)
    file = rivals.write_targets(folder / "targets", targets)
    rounds = 10 if quick else 12
    if what == "ICMP ping":
        yield ours.ping(file, TARGETS, rounds, PPS), False, False
        yield ours.ping(file, TARGETS, rounds, PPS, name=ORDINARY), True, False
        if rivals.version("fping"):
            yield rivals.fping(file, TARGETS, rounds, PPS), False, False
        if rivals.version("scamper"):
            yield rivals.scamper_ping(file, TARGETS, rounds, PPS), False, False
        if rivals.version("scamper") and not quick:
            yield rivals.scamper_ping(file, TARGETS, rounds, PPS, datalink=True), False, False
        if rivals.version("mtr") and not quick:
            yield rivals.mtr(targets[:20], rounds // 2), False, True
        return
    yield ours.trace(file, PPS), False, True
    yield ours.trace(file, PPS, name=ORDINARY), True, True
    if rivals.version("scamper"):
        yield rivals.scamper_trace(file, PPS), False, True
        yield rivals.scamper_trace(file, PPS, datalink=True), False, True
    if rivals.version("traceroute") and not quick:
        yield rivals.traceroute(targets), False, True


def _measure(table: Table, tool: Tool, load: str, ordinary: bool, by_ttl: bool) -> None:
    with Emulator(NET, ethernet=True) as emulator:
        emulator.permit_ping()
        with under(load, ordinary=ordinary) as place, Capture(emulator.device) as capture:
            _, report = tool.run(place, limit_s=60)
    resolution = ours.RESOLUTION_US if tool.name.startswith("nettrace") else 0.0
    verdict = judge(report, truth_by_key(probes(capture.packets), by_ttl=by_ttl), resolution)
    values = {
        "p50": verdict.error(0.5),
        "p99": verdict.error(0.99),
        "p99.9": verdict.error(0.999),
        "bar holds": verdict.bar_holds,
        "false loss": float(max(0, verdict.false_losses - report.taken_back)),
        "samples": float(len(verdict.errors)),
    }
    table.add(tool.name, values)
