"""Scenario "blame_lab": faults planted in the lab, measured with real packets from eight vantages, and who is blamed.

`python -m bench.blame --lab 50 [--seed 7]`, or `./dev bench blame_lab`. Each fault makes one cable 5 to 15 ms slower each
way; it is traced before and after from every vantage by the `nettrace` command, which also asks for the hops' reverse names,
once. Right is a leg in which the slow cable lies. What is identifiable follows from the world alone (`bench.blame_truth`);
half of the faults are. Of the others only "cannot tell", or right, is good. Control runs trace eight balanced flows and
break nothing. The second row is the same traces without the names: hops by address alone.
"""

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from random import Random
from types import TracebackType
from typing import Self

import msgspec

from bench.blame_truth import Truth, ways
from bench.emulator import Unavailable
from bench.figure import OURS, Column, Table
from nettrace.analysis.geo.annotate import Lookups, annotate
from nettrace.analysis.geo.hints import hinted_place
from nettrace.analysis.routes.blame import blame
from nettrace.lab.permission import lab_obstacle
from nettrace.lab.routing import Conditions
from nettrace.lab.session import RunningLab
from nettrace.lab.truth import Oracle, TruePath
from nettrace.lab.world import Event
from nettrace.model.path import Trace
from nettrace.model.route import Blame, BlameVerdict
from nettrace.outside.hints import router_codes
from nettrace.wire.traces import read_trace

FAULTS, QUICK_FAULTS = 50, 6
WORLD = "world"
TARGETS = (
    "engine.lse.lab", "engine.cme.lab", "engine.okx.lab", "engine.hkex.lab", "engine.nyse.lab", "engine.kraken.lab",
    "engine.deribit.lab",
)  # fmt: skip
BEFORE, AFTER, REFRESH = 5, 4, 10
ADDRESSES = "by address alone"
COUNTED = ("wrong of the others", "identifiable", "wrong of them", "cannot tell")
_AGENT = """
import click, sys
from nettrace.cli.root import group
for line in sys.stdin:
    names, *flows = line.split()
    for flow in flows:
        try:
            group.main(["trace", "-4", names, "--method", "udp", "--timeout", "0.9", "-o", "ndjson", "--flow", flow, *sys.argv[1:]], standalone_mode=False)
        except click.exceptions.Exit:
            pass
    print("done", flush=True)
"""


class Agents:
    """A process at each vantage that traces when it is told to."""

    def __init__(self, lab: RunningLab, vantages: Sequence[str]) -> None:
        self._running = {
            vantage: subprocess.Popen(
                [*lab.prefix(vantage), sys.executable, "-c", _AGENT, *TARGETS],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            )
            for vantage in vantages
        }  # fmt: skip

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self._running.values():
            if process.stdin:
                process.stdin.close()
            process.wait(30)

    def scan(self, *flows: int, names: bool = False) -> list[Trace]:
        """A trace of each flow from every vantage to every target; with the hops' reverse names if asked for."""
        for process in self._running.values():
            print("--names" if names else "--no-names", *flows, file=process.stdin, flush=True)
        made: list[Trace] = []
        for vantage, process in self._running.items():
            for line in process.stdout or ():
                if line == "done\n":
                    break
                said = msgspec.json.decode(line)
                known = {
                    hop["address"]: hop["name"] for hop in said["hops"] if hop["address"] and hop["name"]
                }
                lookups = Lookups(names=known, hint=lambda name: hinted_place(name, router_codes()))
                trace = annotate(read_trace(said), lookups)
                made.append(msgspec.structs.replace(trace, vantage=vantage))
        return made


def run(runs: int, quick: bool) -> list[Table]:
    """The table; `runs` is not used, for faults are many already."""
    del runs
    return [faults(QUICK_FAULTS if quick else FAULTS)]


def faults(count: int, seed: int = 7) -> Table:
    """So many faults, one after the other.

    Raises:
        Unavailable: no lab is possible here.
    """
    obstacle = lab_obstacle()
    if obstacle is not None:
        raise Unavailable(obstacle)
    table = Table(
        f"blame: {count} faults in the lab, real packets, 8 vantages to {len(TARGETS)} targets",
        [
            Column("top leg right", "% of identifiable", 90.0, at_least=True),
            Column("wrong of the others", "n", 0.0),
            *(Column(name, "n") for name in COUNTED[1:]),
            Column("blamed when only balanced", "n", 0.0),
        ],
        note="each one cable 5 to 15 ms slower each way, five traces before and four after",
    )
    scores = {OURS: Score(), ADDRESSES: Score()}
    with ExitStack() as stack:
        lab = stack.enter_context(RunningLab.start(WORLD, name=f"blame-{os.getpid()}"))
        oracle, truth = lab.oracle(), Truth(lab.oracle().world, TARGETS)
        agents = stack.enter_context(Agents(lab, tuple(oracle.topology.vantages)))
        before: list[Trace] = []
        for number, event in enumerate(plan(oracle, truth, count, Random(seed))):
            if number % REFRESH == 0:
                before = [*agents.scan(0, names=True), *agents.scan(*[0] * (BEFORE - 1))]
            lab.happen(event)
            traces = [*before, *(after := agents.scan(*[0] * AFTER))]
            lab.happen(Event(kind="clear", subject=event.subject))
            since = min(trace.at for trace in after)
            said = scores[OURS].take(truth, event, blame(traces, since))
            plain = scores[ADDRESSES].take(truth, event, blame(unnamed(traces), since))
            print(
                f"  {number} {event.subject} +{event.delay_ms} ms"
                f"{'' if truth.identifiable(event.subject) else ' (not identifiable)'}: {said}; {ADDRESSES}: {plain}",
                file=sys.stderr, flush=True,
            )  # fmt: skip
        quiet = [*agents.scan(0, 1, 2, 3, names=True), *(later := agents.scan(4, 5, 6, 7, 0, 1, 2, 3))]
        since = min(trace.at for trace in later)
        balanced = {OURS: len(blame(quiet, since).legs), ADDRESSES: len(blame(unnamed(quiet), since).legs)}
    for row, score in scores.items():
        table.add(row, score.figures() | {"blamed when only balanced": float(balanced[row])})
    return table


def plan(oracle: Oracle, truth: Truth, count: int, random: Random) -> list[Event]:
    """Cables that some pair crosses and whose delay moves no route: one that is identifiable, one that is not, in turns."""
    paths = ways(oracle, TARGETS)
    cables = sorted({cable for path in paths.values() for cable in path.cables})
    made: dict[bool, list[Event]] = {True: [], False: []}
    for cable in random.sample(cables, len(cables)):
        event = Event(kind="congest", subject=cable, delay_ms=10.0)
        after = ways(Oracle(oracle.world, Conditions().after(event)), TARGETS)
        if all(_addresses(after[pair]) == _addresses(path) for pair, path in paths.items()):
            made[truth.identifiable(cable)].append(event)
    turns = [each[number % len(each)] for number in range(count) for each in made.values() if each][:count]
    return [msgspec.structs.replace(event, delay_ms=round(random.uniform(5.0, 15.0), 1)) for event in turns]


class Score:
    """Answers so far, of one way of looking at the same traces."""

    def __init__(self) -> None:
        self._counts = Counter[str]()

    def take(self, truth: Truth, event: Event, found: Blame) -> str:
        """Count an answer; what it was, in a word."""
        known, told = truth.identifiable(event.subject), found.verdict is BlameVerdict.LEG
        top = max(found.legs, key=lambda leg: leg.confidence) if told else None
        right = top is not None and (top.a, top.b) in truth.legs[event.subject]
        self._counts["identifiable"] += known
        self._counts["top leg right"] += known and right
        self._counts["wrong of them"] += known and told and not right
        self._counts["wrong of the others"] += not known and told and not right
        self._counts["cannot tell"] += found.verdict is BlameVerdict.CANNOT_TELL
        return f"{found.verdict}{'' if not told else ' right' if right else ' WRONG'}"

    def figures(self) -> dict[str, float | None]:
        """The table's columns."""
        known = self._counts["identifiable"]
        return {name: float(self._counts[name]) for name in COUNTED} | {
            "top leg right": 100 * self._counts["top leg right"] / known if known else None
        }


def unnamed(traces: Sequence[Trace]) -> list[Trace]:
    """The same traces without what names of hops say."""
    return [
        msgspec.structs.replace(
            trace, hops=tuple(msgspec.structs.replace(hop, name=None, place=None) for hop in trace.hops)
        )
        for trace in traces
    ]


def _addresses(path: TruePath) -> tuple[str, ...]:
    return tuple(hop.address for hop in path.hops)
