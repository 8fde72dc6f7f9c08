# ruff: noqa: B008 - windows are made for the question they stand beside
"""A year of 100 targets x 10 vantages every 5 minutes, 105 million rounds of 3 probes: how long any history query takes.

As a program: python -m bench.year --days 365 [--keep FOLDER]: the store is made there, or asked if it is there already.
"""

import argparse
import resource
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from time import perf_counter, process_time

import numpy as np

from bench.figure import OURS, Column, Table, nearest_rank
from bench.history_data import END_DAY, Plan, build, named, size_of
from nettrace.model.target import RoundMethod, Series
from nettrace.store.embedded.reader import EmbeddedReader
from nettrace.store.embedded.schema import NS_PER_DAY, NS_PER_HOUR
from nettrace.store.port import Choice
from nettrace.store.rows import Resolution, Window

END = END_DAY * NS_PER_DAY
QUESTIONS = (
    "1m of 24 h", "15m of 7 d", "1h of 30 d", "1d of all", "summary of 30 d", "10 vantages 7 d", "100 targets 24 h",
    "raw 24 h", "oldest raw page", "newest page of all",
)  # fmt: skip
PROBES = 3


def run(runs: int, quick: bool) -> Sequence[Table]:
    """Quick: twenty days."""
    del runs
    return [measure(20 if quick else 365, 10 if quick else 40)]


def measure(days: int, asks: int, keep: Path | None = None) -> Table:
    """Build the store, then ask everything in turn, each time of other series and other windows."""
    series = named(10, 100, [RoundMethod.TCP])
    plan = Plan(series, np.full(len(series), 300), np.full(len(series), days), probes=PROBES)
    table = Table(
        f"year: {days} days, {plan.rows:,} rounds of {PROBES} probes",
        [
            *(Column(question, "ms p95", 100) for question in QUESTIONS),
            Column("size", "GB", 12), Column("memory", "MB", 2048), Column("built", "rounds/s"),
        ],
        note="windows end anywhere, so edges are counted from single rounds",
    )  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="nettrace-bench-") as name:
        folder = keep or Path(name) / "store"
        built: float | None = None
        if not folder.exists():
            began = perf_counter()
            build(folder, plan)
            built = plan.rows / (perf_counter() - began)
        with EmbeddedReader(folder) as reader:
            taken, spent = _ask(reader, series, days, asks)
        table.add(OURS, {question: nearest_rank(values, 0.95) for question, values in taken.items()})
        table.add(f"{OURS} p50", {question: nearest_rank(values, 0.5) for question, values in taken.items()})
        table.add(
            f"{OURS} CPU p95", {question: nearest_rank(values, 0.95) for question, values in spent.items()}
        )
        used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        table.add(OURS, {"size": size_of(folder) / 1e9, "memory": used, "built": built})
    return table


Taken = dict[str, list[float]]
"""Milliseconds by question."""


def _ask(reader: EmbeddedReader, series: Sequence[Series], days: int, asks: int) -> tuple[Taken, Taken]:
    """How long each question took by the clock, and in CPU time of the process."""
    noise = np.random.default_rng(3)
    taken: Taken = {question: [] for question in QUESTIONS}
    spent: Taken = {question: [] for question in QUESTIONS}
    for _ in range(asks):
        one = series[int(noise.integers(len(series)))]
        choice = Choice(targets=(one.target,), vantages=(one.vantage,), methods=(one.method,))
        several = Choice(targets=(one.target,))
        end = (
            END
            - int(noise.integers(0, max(1, days - 8) * 24)) * NS_PER_HOUR
            + int(noise.integers(0, NS_PER_HOUR))
        )

        def window(hours: float, upto: int = end) -> Window:
            return Window(upto - round(hours * NS_PER_HOUR), upto)

        questions: dict[str, Callable[[], object]] = {
            "1m of 24 h": lambda c=choice, w=window(24): reader.history(c, w, Resolution.MINUTE),  # type: ignore[misc]
            "15m of 7 d": lambda c=choice, w=window(168, END - int(noise.integers(0, min(days, 80)) * NS_PER_DAY)): (
                reader.history(c, w, Resolution.QUARTER)
            ),
            "1h of 30 d": lambda c=choice, w=window(720): reader.history(c, w, Resolution.HOUR),  # type: ignore[misc]
            "1d of all": lambda c=choice: reader.history(c, Window(0, END), Resolution.DAY),  # type: ignore[misc]
            "summary of 30 d": lambda c=choice, w=window(720.31): reader.summary(c, w),  # type: ignore[misc]
            "10 vantages 7 d": lambda c=several, w=window(168): reader.summary(c, w),  # type: ignore[misc]
            "100 targets 24 h": lambda w=window(24), v=one.vantage: reader.summary(Choice(vantages=(v,)), w),  # type: ignore[misc]
            "raw 24 h": lambda c=choice, w=window(24): reader.rounds(c, w, limit=1_000),  # type: ignore[misc]
            "oldest raw page": lambda c=choice: reader.rounds(c, Window(0, END), limit=1_000),  # type: ignore[misc]
            "newest page of all": lambda upto=end: reader.rounds(
                Choice(), Window(0, upto), limit=1_000, newest_first=True
            ),  # type: ignore[misc]
        }
        for name, ask in questions.items():
            began, used = perf_counter(), process_time()
            found = ask()
            taken[name].append((perf_counter() - began) * 1000)
            spent[name].append((process_time() - used) * 1000)
            if not found and days > 31:
                raise AssertionError(f"nothing found: {name}")
    return taken, spent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--days", type=int, default=20)
    parser.add_argument("--asks", type=int, default=40)
    parser.add_argument("--keep", type=Path, metavar="FOLDER")
    given = parser.parse_args()
    table = measure(given.days, given.asks, given.keep)
    print(table.text())
    for line in table.broken():
        print(f"MISSED {line}")


if __name__ == "__main__":
    sys.exit(main())
