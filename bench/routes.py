"""Scenario "routes": false changes in series in which nothing changes, and how many planted ones are found.

Series are real ones (RIPE Atlas, `$NETTRACE_DATASETS/atlas/trace_ts_*.jsonl.gz`) where they are at hand, else generated
ones; `bench/routes_data.py` says what is planted. Beside the tracker: the seeds' hash of the hop list, the hop list
compared with wildcards for silence, and the overlap of address sets (Jaccard), each with the trace before.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from random import Random
from time import process_time

from bench.figure import OURS, Column, Table
from bench.routes_data import (
    CUT_AT,
    LENGTH,
    PLANTED_AT,
    WITHIN,
    Series,
    by_slash16,
    cut_series,
    generated_series,
    real_series,
    resampled,
    with_as_change,
    with_ip_change,
)
from nettrace.analysis.routes.tracker import RouteTracker
from nettrace.model.path import Trace
from nettrace.model.route import RouteClass

Method = Callable[[list[Trace]], list[int]]
"""A series -> the places of the traces at which a change is declared."""


def run(runs: int, quick: bool) -> list[Table]:
    """A table for each target; each run is another seed, so other resamplings and other planted changes."""
    found = real_series()
    origin = "real series" if found else "generated series: NETTRACE_DATASETS names no data"
    made = [
        _table(f"routes: {name} ({origin})", series, runs, quick)
        for name, series in (found or {"made up": generated_series(Random(11))}).items()
    ]
    return [*made, *(_silence(share, runs, quick) for share in (0.0, 0.05, 0.1))]


def _silence(share: float, runs: int, quick: bool) -> Table:
    """What a node sees: one flow, hops that keep silent at random, and a cut that sends the traffic another way."""
    table = Table(
        f"routes: one flow, {share:.0%} of hops silent at random, a way cut",
        [
            Column("false", "per 100 traces", 0.0),
            Column("told by its second trace", "%", 99.0, at_least=True),
            Column("told", "%", 100.0, at_least=True),
            Column("as an AS path", "%", 95.0, at_least=True),
        ],
        note="pairs made up, four of eight to fourteen hops replaced, one of them in another AS; a /16 stands for an AS",
    )
    for seed in range(1, runs + 1):
        random = Random(seed)
        pairs = [cut_series(random, share) for _ in range(50 if quick else 200)]
        table.add(OURS, _second_trace(pairs))
    return table


def _second_trace(pairs: list[list[Trace]]) -> dict[str, float | None]:
    told = [list(_followed(pair)) for pair in pairs]
    found = [[(place, kind) for place, kind in each if place >= CUT_AT] for each in told]
    first = [each[0] for each in found if each]
    return {
        "false": 100 * sum(place < CUT_AT for each in told for place, _ in each) / (len(pairs) * CUT_AT),
        "told by its second trace": 100 * sum(place <= CUT_AT + 1 for place, _ in first) / len(pairs),
        "told": 100 * len(first) / len(pairs),
        "as an AS path": 100 * sum(kind is RouteClass.AS_PATH for _, kind in first) / len(pairs),
    }


def _table(title: str, series: Series, runs: int, quick: bool) -> Table:
    table = Table(
        title,
        [
            Column("false", "per 100 traces", 1.5),
            Column("AS changes found", "%", 98.0, at_least=True),
            Column("IP changes found", "%", 85.0, at_least=True),
            Column("delay", "traces"),
            Column("balancing told", "per 100 traces"),
            Column("CPU", "us/trace"),
        ],
        note=f"each series' own traces drawn {LENGTH} times, a change planted at {PLANTED_AT}, found within {WITHIN}; "
        "a /16 stands for an AS",
    )
    for seed in range(1, runs + 1):
        cases = list(_cases(series, seed, quick))
        for name, method in METHODS.items():
            table.add(name, _measure(method, cases))
        table.add(OURS, {"balancing told": _balancing(cases)})
    return table


def _cases(series: Series, seed: int, quick: bool) -> Iterator[tuple[str, list[Trace]]]:
    random = Random(seed)
    for vantage in list(series)[: 8 if quick else None]:
        null = resampled(series[vantage], random)
        donor = series[random.choice([other for other in series if other != vantage])]
        yield "null", null
        for kind, changed in (
            ("as", with_as_change(null, donor, random)),
            ("ip", with_ip_change(null, random)),
        ):
            if changed is not None:
                yield kind, changed


def _measure(method: Method, cases: list[tuple[str, list[Trace]]]) -> dict[str, float | None]:
    planted, found, delays, false, traces = Counter[str](), Counter[str](), [], 0, 0
    started = process_time()
    for kind, series in cases:
        declared = method(series)
        traces += len(series)
        if kind == "null":
            false += len(declared)
            continue
        planted[kind] += 1
        hit = next((place for place in declared if PLANTED_AT <= place < PLANTED_AT + WITHIN), None)
        if hit is not None:
            found[kind] += 1
            delays.append(hit - PLANTED_AT)
    quiet = sum(len(series) for kind, series in cases if kind == "null")
    return {
        "false": 100 * false / quiet,
        "AS changes found": 100 * found["as"] / planted["as"] if planted["as"] else None,
        "IP changes found": 100 * found["ip"] / planted["ip"] if planted["ip"] else None,
        "delay": sum(delays) / len(delays) if delays else None,
        "CPU": (process_time() - started) / traces * 1e6,
    }


def _balancing(cases: list[tuple[str, list[Trace]]]) -> float:
    quiet = [series for kind, series in cases if kind == "null"]
    told = sum(kind is RouteClass.LOAD_BALANCING for series in quiet for _, kind in _followed(series))
    return 100 * told / sum(map(len, quiet))


def _tracker(series: list[Trace]) -> list[int]:
    return [place for place, kind in _followed(series) if kind is not RouteClass.LOAD_BALANCING]


def _followed(series: list[Trace]) -> Iterator[tuple[int, RouteClass]]:
    tracker = RouteTracker()
    for place, trace in enumerate(series):
        change = tracker.feed(trace, by_slash16)
        if change is not None:
            yield place, change.kind


def _hops(trace: Trace) -> tuple[str | None, ...]:
    return tuple(hop.address for hop in trace.hops)


def _naive(series: list[Trace]) -> list[int]:
    hashes = [hash(_hops(trace)) for trace in series]
    return [place for place in range(1, len(series)) if hashes[place] != hashes[place - 1]]


def _wildcard(series: list[Trace]) -> list[int]:
    hops = [_hops(trace) for trace in series]
    return [place for place in range(1, len(series)) if _contradict(hops[place - 1], hops[place])]


def _contradict(one: tuple[str | None, ...], other: tuple[str | None, ...]) -> bool:
    return any(a and b and a != b for a, b in zip(one, other, strict=False))


def _jaccard(series: list[Trace]) -> list[int]:
    sets = [set(_hops(trace)) - {None} for trace in series]
    return [
        place
        for place in range(1, len(series))
        if len(sets[place] & sets[place - 1]) < 0.5 * len(sets[place] | sets[place - 1])
    ]


METHODS: dict[str, Method] = {
    OURS: _tracker,
    "naive hash": _naive,
    "wildcard, trace before": _wildcard,
    "Jaccard < 0.5, trace before": _jaccard,
}
