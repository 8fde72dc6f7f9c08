"""`./dev bench flat`: the same questions to a hub of a million rounds and to one of twenty million, turn by turn.

Both hubs stand side by side with the same 1,000 series, every five minutes from ten vantages; the larger one only reaches
further back. Nobody should notice which one answers. The rounds end in the past, so windows are named; the newest rounds
are of now. CPU of the worker for a request is what is compared: it holds on a busy machine. As a program:
`python -m bench.flat --rows 20000000`.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from math import ceil
from pathlib import Path

import numpy as np

from bench.api import NS, load, served
from bench.figure import OURS, Column, Table
from bench.history_data import END_DAY, Plan, build, named
from nettrace.model.target import RoundMethod, Series

SMALL, LARGE = 1_000_000, 20_000_000
VANTAGES, TARGETS, INTERVAL_S = 10, 100, 300
A_DAY = VANTAGES * TARGETS * 86_400 // INTERVAL_S
DAY_NS = 86_400 * NS
END_NS = END_DAY * DAY_NS
MOST = 1.25
"""Flat: no question may cost more than a quarter more; twenty times the rounds would be 20."""


def run(runs: int, quick: bool) -> list[Table]:
    """The figures; quick: two million rounds beside a million."""
    return [measured(2 * SMALL if quick else LARGE, runs, 2.0 if quick else 5.0)]


def questions() -> dict[str, list[str]]:
    """The paths asked for in turn, by the name of the figure; all windows lie in what both hubs hold."""
    hosts = [f"t{number:03}.example" for number in range(TARGETS)]
    fresh = [
        f"/api/v1/latency/{hosts[number % TARGETS]}/history?region=v{number % VANTAGES:02}"
        f"&start={END_NS - DAY_NS - number * NS}&end={END_NS - number * NS}"
        for number in range(20_000)
    ]
    end = END_NS
    return {
        "/targets": ["/api/v1/targets"],
        "/history": [f"/api/v1/latency/{hosts[0]}/history?resolution=raw&limit=500&order=desc&start=2020-01-01T00:00:00Z&end={end}"],
        "/history fresh": fresh,
        "/history raw": [f"{path}&resolution=raw&limit=500" for path in fresh],
        "/livez": ["/livez"],
    }  # fmt: skip


def measured(rows: int, runs: int, seconds: float) -> Table:
    """Build both hubs, then ask them in turn."""
    asked = questions()
    table = Table(
        f"API: a hub of {rows:,} rounds beside one of {SMALL:,}, one worker each",
        [
            *(Column(f"{name} CPU", "us") for name in asked),
            *(Column(f"{name} CPU, larger / smaller", "x", MOST) for name in asked if name != "/livez"),
        ],
        note="/history: kept answers; fresh: a day in 15-minute buckets, another window every time; raw: its rounds",
    )
    with tempfile.TemporaryDirectory(prefix="nettrace-bench-") as name, ExitStack() as stack:
        servers: dict[int, tuple[tuple[str, int], int]] = {}
        for number in (SMALL, rows):
            folder = Path(name) / str(number)
            began = time.monotonic()
            stored = filled(folder, number)
            print(f"  {stored:,} rounds stored in {time.monotonic() - began:.0f} s", flush=True)
            servers[number] = stack.enter_context(served(folder))
        for turn in range(runs):
            for question, paths in asked.items():
                spent = {
                    number: load(*servers[number], paths, seconds)[2]
                    for number in (servers if turn % 2 == 0 else reversed(servers))
                }
                table.add(OURS, {f"{question} CPU": spent[rows]})
                table.add(f"{OURS}, {SMALL:,} rounds", {f"{question} CPU": spent[SMALL]})
                if question != "/livez":
                    table.add(OURS, {f"{question} CPU, larger / smaller": spent[rows] / spent[SMALL]})
    return table


def filled(folder: Path, rows: int) -> int:
    """A hub with so many rounds behind it, its targets, and a newest round of each from one vantage."""
    series = named(VANTAGES, TARGETS, [RoundMethod.TCP])
    days = ceil(rows / A_DAY)
    plan = Plan(series, np.full(len(series), INTERVAL_S), np.full(len(series), days), probes=1)
    build(folder, plan)
    _newest(folder, series)
    return plan.rows


def _newest(folder: Path, series: Sequence[Series]) -> None:
    from nettrace.hub.open import open_writer
    from nettrace.hub.place import Data
    from nettrace.model.measurement import Clock, Grade, Method, Outcome, Ping, Sample, SampleState
    from nettrace.model.target import Endpoint, Role, Target
    from nettrace.model.vantage import Vantage
    from nettrace.store.port import EnrolToken
    from nettrace.wire.frames import Record, Report

    now = time.time_ns()
    store = open_writer(Data(folder))
    hosts = sorted({each.target for each in series})
    endpoints = {host: (Endpoint(name="rest", host=host, role=Role.API),) for host in hosts}
    store.put_targets(
        [Target(host=host, name=host, category="c", endpoints=endpoints[host]) for host in hosts], now
    )
    for code in sorted({each.vantage for each in series}):
        token = EnrolToken(
            id=code, hash=code.encode() * 8, region=code, created_at=now, expires_at=now + DAY_NS
        )
        store.put_token(token)
        store.enrol(token.hash, Vantage(code=code, node=f"n{code}", enrolled_at=now), b"k" * 32, now)
    sample = Sample(state=SampleState.ANSWERED, rtt_ns=5_000_000, error_ns=1000, grade=Grade.KERNEL)
    entries = tuple(
        Record(
            seq=place, target=host, endpoint="rest", method=RoundMethod.TCP, due=now,
            measurement=Ping(
                target=host, address="198.18.0.1", at=now, outcome=Outcome.MEASURED, method=Method.TCP,
                samples=(sample,), clock=Clock.KERNEL,
            ),
        )
        for place, host in enumerate(hosts, 1)
    )  # fmt: skip
    store.accept(Report(node="nv00", epoch="e", first_seq=1, entries=entries, sent_at=now), now)
    while store.maintain(now, 1.0):
        pass
    store.close()


def main() -> int:
    """One comparison; exit 1 when it is not flat."""
    parser = argparse.ArgumentParser(prog="python -m bench.flat", description=__doc__)
    parser.add_argument("--rows", type=int, default=LARGE)
    parser.add_argument("--runs", type=int, default=3)
    given = parser.parse_args()
    table = measured(given.rows, given.runs, 5.0)
    print(table.text())
    return int(bool(table.broken()))


if __name__ == "__main__":
    sys.exit(main())
