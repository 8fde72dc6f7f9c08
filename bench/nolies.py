"""Scenario "nolies": whole days in virtual time, where the simulator knows the truth about every probe.

Targets are pinged and traced at real cadence through ECMP, 12 % silent routers, rate limits, 0.5 % loss, reroutes,
stragglers, clock steps and pauses of the host. The second table is the CPU of the machines alone.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from time import process_time

from bench.figure import OURS, Column, Table
from nettrace.measure.tracing.ping import PingOptions, PingRound
from nettrace.measure.tracing.trace import TraceOptions, TraceRun
from nettrace.model.measurement import Grade
from nettrace.model.path import Departure, Reply, ReplyKind
from nettrace.testing.simdriver import EPOCH
from nettrace.testing.simworld import WorldShape
from nettrace.testing.virtual_day import Day, live, walk_pairs

LIES = {
    "false losses": "false loss",
    "false hops": "false hop",
    "false ends": "hops to the destination",
    "broken bars": "round trip off",
}


def run(runs: int, quick: bool) -> list[Table]:
    """The tables; each run is another seed, so another internet and other accidents."""
    return [_days(runs, quick), _pairs(runs, quick), _cpu(runs, quick)]


def _days(runs: int, quick: bool) -> Table:
    sites = 15 if quick else 60
    table = Table(
        f"nolies: 24 virtual hours, {sites} targets, a ping round a minute, a trace each ten minutes",
        [
            *(Column(name, "n", 0.0) for name in (*LIES, "other lies")),
            *(Column(name, unit) for name, unit in (("probes", "n"), ("traces", "n"), ("virtual/real", "x"))),
        ],
        note="ECMP, 12 % silent routers, 1/s limits, 0.5 % loss, 4 reroutes a day and target, "
        "200 clock steps, 2,000 pauses",
    )
    for seed in range(1, runs + 1):
        clock: list[float] = []
        with _timed(clock):
            ledger = live(Day(world=WorldShape(sites=sites)), seed)
        counts = {name: sum(word in lie for lie in ledger.lies) for name, word in LIES.items()}
        table.add(
            OURS,
            {
                **{name: float(count) for name, count in counts.items()},
                "other lies": float(len(ledger.lies) - sum(counts.values())),
                "probes": float(ledger.probes),
                "traces": float(ledger.traces),
                "virtual/real": 86_400 / clock[0],
            },
        )
    return table


def _pairs(runs: int, quick: bool) -> Table:
    count = 200 if quick else 1000
    table = Table(
        f"nolies: hop lists of {count} pairs against the truth",
        [Column("exact", "%", 100.0, at_least=True), Column("hops", "n")],
        note="exact: every hop that answers at all is there, none else, and the end is the end",
    )
    for seed in range(1, runs + 1):
        pairs = walk_pairs(count, seed)
        table.add(OURS, {"exact": 100 * pairs.exact / pairs.traced, "hops": float(pairs.hops)})
        for line in pairs.missing:
            print(f"  {line}")
    return table


def _cpu(runs: int, quick: bool) -> Table:
    probes = 5_000 if quick else 50_000
    table = Table(
        "nolies: CPU of the machines alone (asked, departed, answered, concluded)",
        [
            Column("ping", "us/probe", 15.0),
            Column("trace", "us/probe"),
            Column("1,000 targets", "% of a core", 4.0),
        ],
        note="1,000 targets: a ping a second and a 15-hop trace a minute each",
    )
    for _ in range(runs):
        ping, trace = ping_cost(probes), trace_cost(probes // 16)
        share = 100 * (1000 * ping + 1000 / 60 * 16 * trace) / 1e6
        table.add(OURS, {"ping": ping, "trace": trace, "1,000 targets": share})
    return table


def ping_cost(probes: int, count: int = 20) -> float:
    """Microseconds of CPU for each probe of rounds of `count`, construction and result included."""
    took: list[float] = []
    with _timed(took):
        for _ in range(probes // count):
            machine, now = PingRound("t", "198.18.0.1", PingOptions(count=count)), EPOCH
            while not machine.done:
                for probe in machine.due(now, 8):
                    machine.departed(Departure(probe.key, now, 0, Grade.KERNEL))
                    machine.replied(
                        Reply(key=probe.key, kind=ReplyKind.ECHO_REPLY, source="198.18.0.1", received_at=now)
                    )
                now = machine.wake_at(now) or now
            machine.result()
    return took[0] / probes * 1e6


def trace_cost(traces: int, length: int = 15) -> float:
    """Microseconds of CPU for each probe of traces of this length, construction and result included."""
    took: list[float] = []
    probes = 0
    with _timed(took):
        for _ in range(traces):
            machine, now = TraceRun("t", "198.18.0.1", TraceOptions()), EPOCH
            while not machine.done:
                for probe in machine.due(now, 8):
                    probes += 1
                    machine.departed(Departure(probe.key, now, 0, Grade.KERNEL))
                    machine.replied(_answer(probe.key, probe.ttl, length, now))
                now += 10_000_000
            machine.result()
    return took[0] / probes * 1e6


def _answer(key: int, ttl: int, length: int, now: int) -> Reply:
    if ttl < length:
        return Reply(key=key, kind=ReplyKind.TIME_EXCEEDED, source=f"10.0.0.{ttl}", received_at=now)
    left = ttl - length + 1
    return Reply(
        key=key, kind=ReplyKind.UNREACHABLE, code=3, source="198.18.0.1", received_at=now, quoted_ttl=left
    )


@contextmanager
def _timed(into: list[float]) -> Iterator[None]:
    started = process_time()
    yield
    into.append(process_time() - started)
