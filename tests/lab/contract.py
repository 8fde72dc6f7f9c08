"""What a document of the command line must say of the small world, as its truth is."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tests.cli.program import PROGRAM, Done, check_shape, run

from nettrace.lab.session import RunningLab
from nettrace.lab.truth import Oracle, TruePath
from nettrace.measure.tracing.flow import flow_for
from nettrace.model.measurement import Method

OPEN = ["west.lab", "quiet.lab", "edge.lab", "resolver.lab"]
SILENT_S = "3"
"""How long is waited for an answer where some host gives none: the others' answers take 0.1 s."""
SLACK_MS = 100.0
"""No result may be faster than the truth, none wrong in the order; `./dev bench truth` proves precision."""


def at(lab: RunningLab, vantage: str, *words: str, program: Sequence[str] = PROGRAM) -> Done:
    """`nettrace WORDS...` at a vantage."""
    return run([*lab.prefix(vantage), *program, *words])


def side_by_side(runs: Sequence[Callable[[], Done]]) -> list[Done]:
    """All these runs at once: they mostly wait."""
    with ThreadPoolExecutor(len(runs)) as pool:
        return [each.result() for each in [pool.submit(one) for one in runs]]


def truth_of(oracle: Oracle, vantage: str, row: dict[str, Any]) -> TruePath:
    """The path of exactly the flow that a trace document says it used."""
    address = row["address"]
    flow = flow_for(address, Method(row["method"]), row["flow"], row["port"])
    return oracle.path(vantage, address, flow, 6 if ":" in address else 4)


def check_trace(row: dict[str, Any], path: TruePath, clocks: Sequence[str] = ("kernel",)) -> None:
    """Hops, labels and times as they are on this path."""
    check_shape(row)
    assert (row["outcome"], row["reached"]) == ("measured", True), row
    assert row["clock"] in clocks
    # Where the kernel stamps no departure, nothing is early but by what a system call needs to hand a packet over.
    early_ms = 0.02 if row["clock"] == "kernel" else 0.1
    *routers, end = row["hops"]
    assert [hop["address"] for hop in routers] == [None if hop.silent else hop.address for hop in path.hops]
    assert end["address"] == row["address"]
    for hop, true in zip(routers, path.hops, strict=True):
        assert [label["label"] for label in hop["mpls"] or ()] == list(true.labels)
        check_times(hop["rtt_ms"], true.rtt_ns, early_ms)
    check_times(end["rtt_ms"], path.rtt_ns, early_ms)
    check_times([row["rtt_ms"]], path.rtt_ns, early_ms)


def check_times(rtts: Sequence[float | None], true_ns: int, early_ms: float = 0.02) -> None:
    for rtt in rtts:
        true = true_ns / 1e6
        assert rtt is None or true - early_ms <= rtt < true + SLACK_MS, f"{rtt} ms, in truth {true}"
