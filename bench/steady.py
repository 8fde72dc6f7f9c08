"""Scenarios "steady" and "dark": the cost of a probe at a monitor's pace, and targets that never answer."""

from collections.abc import Callable, Sequence
from pathlib import Path

from bench import ours, rivals
from bench.emulator import Emulator, scratch
from bench.figure import Column, Table
from bench.load import HERE
from bench.net import Net
from bench.rivals import Tool

NET = Net(hop_us=2000.0)
DARK = Net(hop_us=2000.0, silent_targets=0.9)
TARGETS = 1000


def run(runs: int, quick: bool) -> list[Table]:
    """CPU a probe at 1,000 probes a second."""
    long, short = (3, 1) if quick else (7, 1)
    table = Table(
        f"Steady: {TARGETS} targets, one ping a second each",
        [
            Column("CPU/probe", "us", goal=15.0),
            Column("peak RSS", "MB"),
            Column("start", "CPU-ms"),
            Column("lost", "probes", goal=0.0),
        ],
        f"CPU of {long} rounds less CPU of {short}, by the probes between them; start: what is left of the short run",
    )
    with scratch() as folder:
        file = rivals.write_targets(folder / "targets", NET.targets(TARGETS))
        makers: list[Callable[[int], Tool]] = [lambda rounds: ours.ping(file, TARGETS, rounds, 1000.0)]
        if rivals.version("fping") and not quick:
            makers.append(lambda rounds: rivals.fping(file, TARGETS, rounds, 1000.0))
        if rivals.version("scamper"):
            makers.append(lambda rounds: rivals.scamper_ping(file, TARGETS, rounds, 1000.0))
        for _ in range(min(runs, 3)):
            for maker in makers:
                _measure(table, maker, long, short)
        return [table, *dark(runs, quick, folder)]


def _measure(table: Table, maker: Callable[[int], Tool], long: int, short: int) -> None:
    cpu: dict[int, float] = {}
    rss = lost = 0.0
    for rounds in (long, short):
        tool = maker(rounds)
        with Emulator(NET):
            ran, report = tool.run(HERE, limit_s=60)
        cpu[rounds] = ran.cpu_s
        rss = max(rss, ran.rss_mb)
        answered = sum(value is not None for values in report.rtts.values() for value in values)
        lost += TARGETS * rounds - answered
    probe_us = (cpu[long] - cpu[short]) / (TARGETS * (long - short)) * 1e6
    values = {
        "CPU/probe": probe_us,
        "peak RSS": rss,
        "start": 1000 * cpu[short] - probe_us * TARGETS * short / 1000,
        "lost": lost,
    }
    table.add(tool.name, values)


def dark(runs: int, quick: bool, folder: Path) -> list[Table]:
    """5,000 targets of which 90 % never answer: the time must be the sum of the waits asked for, no more."""
    count = 1000 if quick else 5000
    targets = DARK.targets(count)
    file = rivals.write_targets(folder / "dark", targets)
    awake = [target for target in targets if DARK.answers(target)]
    table = Table(
        f"Dark: {count} targets, 90 % of them silent",
        [
            Column("ping wall", "s", goal=5.0),
            Column("answering found", "%", goal=100.0, at_least=True),
            Column("sweep wall", "s", goal=15.0),
            Column("sweep hops", "% of visible", goal=100.0, at_least=True),
            Column("peak RSS", "MB"),
        ],
        "ping: 3 rounds a second apart, 1 s timeout: 3 s and the start; sweep: 20,000 probes/s, 1 s timeout, last hops retried",
    )
    for _ in range(min(runs, 3)):
        _measure_dark(table, file, targets, awake)
    return [table]


def _measure_dark(table: Table, file: Path, targets: Sequence[str], awake: Sequence[str]) -> None:
    from bench.verdict import judge_hops

    ping = ours.ping(file, len(targets), 3, float(len(targets)), more=("--timeout", "1"))
    with Emulator(DARK):
        ran, report = ping.run(HERE, limit_s=60)
    found = sum(any(value is not None for value in report.rtts.get((target, 0), [])) for target in awake)
    sweep = ours.sweep(file, 20_000, more=("--timeout", "1"))
    with Emulator(DARK):
        swept, traces = sweep.run(HERE, limit_s=90)
    values = {
        "ping wall": ran.wall_s,
        "answering found": 100 * found / len(awake),
        "sweep wall": swept.wall_s,
        "sweep hops": judge_hops(traces, DARK, targets).share,
        "peak RSS": max(ran.rss_mb, swept.rss_mb),
    }
    table.add("nettrace", values)
