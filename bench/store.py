"""History of 30 days beside PostgreSQL with the same rows, in turn, in one run: quantiles, comparisons, raw days, bytes.

As a program: python -m bench.store --rows 20300000
"""

import argparse
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from time import perf_counter, process_time

import numpy as np

from bench.figure import OURS, Column, Table, nearest_rank
from bench.history_data import END_DAY, Day, Plan, build, named, size_of
from bench.peer_postgres import Postgres, postgres
from nettrace.model.target import RoundMethod
from nettrace.store.embedded.reader import EmbeddedReader
from nettrace.store.embedded.schema import NS_PER_DAY
from nettrace.store.port import Choice
from nettrace.store.rows import Resolution, Window

ROWS = 20_318_400
KINDS = ("ds30d", "sum30d", "cmp7d", "raw24")
METHODS = (RoundMethod.ICMP, RoundMethod.TCP, RoundMethod.UDP, RoundMethod.HTTP)
QUANTILES = (0.5, 0.95, 0.99)
VANTAGES = 7
END = END_DAY * NS_PER_DAY

DS30D = """
SELECT ts / 3600000, count(*), percentile_disc(ARRAY[0.5, 0.95, 0.99]) WITHIN GROUP (ORDER BY rtt_us)
FROM sample WHERE series = %s AND ts >= %s AND ts < %s GROUP BY 1 ORDER BY 1
"""
SUM30D = """
SELECT series, count(*), percentile_disc(ARRAY[0.5, 0.95, 0.99]) WITHIN GROUP (ORDER BY rtt_us)
FROM sample WHERE series = %s AND ts >= %s AND ts < %s GROUP BY 1
"""
CMP7D = """
SELECT series, count(*), percentile_disc(ARRAY[0.5, 0.95, 0.99]) WITHIN GROUP (ORDER BY rtt_us)
FROM sample WHERE series = ANY(%s) AND ts >= %s AND ts < %s GROUP BY 1 ORDER BY 1
"""
RAW_FIELDS = ("rtt_ns", "sent", "received", "outcome")
"""With `due` as many columns as `RAW24` gives, saying as much."""
RAW24 = "SELECT ts, rtt_us, jitter_us, loss, status FROM sample WHERE series = %s AND ts >= %s AND ts < %s ORDER BY ts"


def plan_of(rows: int) -> Plan:
    """7 vantages x up to 100 targets x 4 methods, 30 days; icmp and tcp of a fifth every 60 s, the rest every 15 min."""
    targets = max(5, round(100 * rows / ROWS))
    series = named(VANTAGES, targets, METHODS)
    hot = max(3, targets // 5)
    fast = np.array([int(each.target[1:4]) < hot and each.method in METHODS[:2] for each in series])
    days = np.full(len(series), 30)
    return Plan(series, np.where(fast, 60, 900), days, probes=1, unit_ns=1_000)


def run(runs: int, quick: bool) -> Sequence[Table]:
    """The comparison; quick: a twentieth of the rows."""
    return [measure(ROWS // 20 if quick else ROWS, 30 if quick else 100)]


def measure(rows: int, asks: int) -> Table:
    """Build both stores, then ask both in turn."""
    table = Table(
        f"store: 30 days, {rows:,} rows wanted",
        [
            Column("ds30d", "ms p50"), Column("ds30d times", "x", 15, at_least=True), Column("ds30d p99", "ms"), Column("ds30d CPU", "ms"), Column("ds30d CPU times", "x"),
            Column("sum30d", "ms p50"), Column("sum30d times", "x", 15, at_least=True), Column("sum30d p99", "ms"),
            Column("sum30d CPU", "ms"), Column("sum30d CPU times", "x"),
            Column("cmp7d", "ms p50"), Column("cmp7d times", "x", 25, at_least=True), Column("cmp7d p99", "ms"), Column("cmp7d CPU", "ms"), Column("cmp7d CPU times", "x"),
            Column("raw24", "ms p50"), Column("raw24 times", "x", 2, at_least=True), Column("raw24 p99", "ms"), Column("raw24 CPU", "ms"), Column("raw24 CPU times", "x"),
            Column("raw24 rounds", "ms p50"), Column("raw24 of a sealed day", "ms p50"),
            Column("sealed", "bytes/row"), Column("sealed part", "of PostgreSQL", 1 / 12), Column("all", "bytes/row"),
            Column("error", "%", 1.0),
        ],
        note="hour buckets of 30 days; 30 days as one; 5 targets x 7 vantages over 7 days; 1,440 raw rounds, the columns PostgreSQL gives, "
        "and as whole `Round` objects (`raw24 rounds`); in turn, one process. CPU is the mean, PostgreSQL's with its server's process. `sealed` is Parquet alone, `all` with rollups and a day of hot rows",
    )  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="nettrace-bench-") as name:
        Path(name).chmod(0o755)
        plan, ours = plan_of(rows), Path(name) / "ours"
        with postgres(Path(name) / "peer") as peer:

            def told(_day: int, made: Day) -> None:
                peer.load(made.series, made.due // 10**6, made.rtt // 1000, made.rtt < 0)

            build(ours, plan, told)
            peer.finish()
            reader = EmbeddedReader(ours)
            try:
                _ask_both(table, plan, reader, peer, asks)
            finally:
                reader.close()
            sealed_rows = int(((plan.days - plan.hot_days) * (86_400 // plan.interval_s)).sum())
            sealed, theirs = size_of(ours / "segments") / sealed_rows, peer.bytes() / plan.rows
            table.add(
                OURS, {"sealed": sealed, "sealed part": sealed / theirs, "all": size_of(ours) / plan.rows}
            )
            table.add(f"PostgreSQL {peer.version.split()[0]}", {"sealed": theirs, "all": theirs})
    return table


def _ask_both(table: Table, plan: Plan, reader: EmbeddedReader, peer: Postgres, asks: int) -> None:
    noise = np.random.default_rng(7)
    name = f"PostgreSQL {peer.version.split()[0]}"
    fast = np.flatnonzero(plan.interval_s == 60)
    month, week, day = (Window(END - days * NS_PER_DAY, END) for days in (30, 7, 1))
    old = Window(END - 10 * NS_PER_DAY, END - 9 * NS_PER_DAY)
    errors: list[float] = []
    taken: dict[tuple[str, str], list[float]] = {}

    used: dict[tuple[str, str], float] = {}

    def timed(kind: str, who: str, ask: Callable[[], object]) -> object:
        theirs = peer.cpu_s() if who == name else 0.0
        began, mine = perf_counter(), process_time()
        found = ask()
        taken.setdefault((kind, who), []).append((perf_counter() - began) * 1000)
        spent = process_time() - mine + (peer.cpu_s() - theirs if who == name else 0.0)
        used[kind, who] = used.get((kind, who), 0.0) + 1000 * spent / asks
        return found

    for _ in range(asks):
        number = int(noise.choice(fast))
        one = plan.series[number]
        choice = Choice(targets=(one.target,), vantages=(one.vantage,), methods=(one.method,))
        (mine,) = timed("ds30d", OURS, lambda c=choice: reader.history(c, month, Resolution.HOUR, QUANTILES))  # type: ignore[misc]
        theirs = timed("ds30d", name, lambda n=number: peer.ask(DS30D, n + 1, *_ms(month)))
        errors += _errors(list(zip(*mine.quantiles_ns.values(), strict=True)), mine.rounds, theirs)  # type: ignore[arg-type]
        found = timed("sum30d", OURS, lambda c=choice: reader.summary(c, month, QUANTILES))
        theirs = timed("sum30d", name, lambda n=number: peer.ask(SUM30D, n + 1, *_ms(month)))
        errors += _errors(
            [tuple(each.quantiles_ns.values()) for each in found], [each.rounds for each in found], theirs
        )  # type: ignore[attr-defined, arg-type]
        targets = tuple(f"t{place:03d}.example" for place in (0, 1, 2, 3, 4))
        several = Choice(targets=targets, methods=(one.method,))
        numbers = [
            n + 1
            for n, each in enumerate(plan.series)
            if each.target in targets and each.method == one.method
        ]
        found = timed("cmp7d", OURS, lambda c=several: reader.summary(c, week, QUANTILES))
        theirs = timed("cmp7d", name, lambda n=numbers: peer.ask(CMP7D, n, *_ms(week)))
        errors += _errors(
            [tuple(each.quantiles_ns.values()) for each in found], [each.rounds for each in found], theirs
        )  # type: ignore[attr-defined, arg-type]
        mine = timed("raw24", OURS, lambda c=choice: reader.raw(c, day, fields=RAW_FIELDS, limit=10_000))
        theirs = timed("raw24", name, lambda n=number: peer.ask(RAW24, n + 1, *_ms(day)))
        if [each // 10**6 for each in mine.due] != [row[0] for row in theirs]:  # type: ignore[attr-defined]
            raise AssertionError("NetTrace and PostgreSQL do not give the same rounds")
        timed("raw24 rounds", OURS, lambda c=choice: reader.rounds(c, day, limit=10_000))
        timed(
            "raw24 of a sealed day",
            OURS,
            lambda c=choice: reader.raw(c, old, fields=RAW_FIELDS, limit=10_000),
        )
    for who in (OURS, name):
        for kind in KINDS:
            values = taken[kind, who]
            table.add(who, {kind: nearest_rank(values, 0.5), f"{kind} p99": nearest_rank(values, 0.99)})
            table.add(who, {f"{kind} CPU": used[kind, who]})
    for kind in ("raw24 rounds", "raw24 of a sealed day"):
        table.add(OURS, {kind: nearest_rank(taken[kind, OURS], 0.5)})
    for kind in KINDS:
        table.add(OURS, {f"{kind} times": float(np.median(taken[kind, name]) / np.median(taken[kind, OURS]))})
        table.add(OURS, {f"{kind} CPU times": used[kind, name] / used[kind, OURS]})
    table.add(OURS, {"error": 100 * max(errors)})


def _ms(window: Window) -> tuple[int, int]:
    return window.start // 10**6, window.end // 10**6


def _errors(
    mine: list[tuple[int, ...]], counts: list[int], theirs: list[tuple[int, int, list[int]]]
) -> list[float]:
    """How far each quantile is from PostgreSQL's exact one, as a part of it; the counts must be the same."""
    if counts != [row[1] for row in theirs]:
        raise AssertionError("NetTrace and PostgreSQL do not count the same rows")
    return [
        abs(a - b * 1000) / (b * 1000) for ours, row in zip(mine, theirs, strict=True) for a, b in zip(ours, row[2], strict=True)
    ]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=ROWS // 20)
    parser.add_argument("--asks", type=int, default=100)
    given = parser.parse_args()
    table = measure(given.rows, given.asks)
    print(table.text())
    for line in table.broken():
        print(f"MISSED {line}")


if __name__ == "__main__":
    sys.exit(main())
