"""Scenario "blame_lab": faults planted in the lab, measured with real packets from eight vantages, and who is blamed.

`python -m bench.blame --lab 50`, or `./dev bench blame_lab`. Each fault makes one cable 5 to 15 ms slower each way; it is
traced before and after from every vantage by the `nettrace` command. Right is a leg whose ends lie on both sides of the slow
cable by the world's own arithmetic. A fault is identifiable when both ends of it answer for themselves on at least two pairs that
share the link (inside MPLS tunnels and across parallel routers they do not); half of the faults are such. Of the others only
"cannot tell", or right, is good. Control runs trace eight balanced flows and break nothing.
"""

import os
import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from itertools import pairwise
from random import Random
from types import TracebackType
from typing import Self

import msgspec

from bench.emulator import Unavailable
from bench.figure import OURS, Column, Table
from nettrace.analysis.routes.blame import blame
from nettrace.lab.paths import flow_hash
from nettrace.lab.permission import lab_obstacle
from nettrace.lab.routing import Conditions
from nettrace.lab.session import RunningLab
from nettrace.lab.truth import Oracle, TruePath
from nettrace.lab.world import Event
from nettrace.measure.tracing.flow import flow_for
from nettrace.model.measurement import Method
from nettrace.model.path import Trace
from nettrace.model.route import Blame, BlameVerdict
from nettrace.wire.traces import read_trace

FAULTS, QUICK_FAULTS = 50, 6
WORLD = "world"
TARGETS = (
    "engine.lse.lab", "engine.cme.lab", "engine.okx.lab", "engine.hkex.lab", "engine.nyse.lab", "engine.kraken.lab",
    "engine.deribit.lab",
)  # fmt: skip
BEFORE, AFTER, REFRESH = 5, 4, 10
LEAST_PAIRS, LEAST_VANTAGES = 2, 1
_AGENT = """
import click, sys
from nettrace.cli.root import group
for line in sys.stdin:
    for flow in line.split():
        try:
            group.main(["trace", "-4", "--method", "udp", "--timeout", "0.9", "-o", "ndjson", "--flow", flow, *sys.argv[1:]], standalone_mode=False)
        except click.exceptions.Exit:
            pass
    print("done", flush=True)
"""

Link = tuple[str, str]
Paths = dict[tuple[str, str], TruePath]


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

    def scan(self, *flows: int) -> list[Trace]:
        """A trace of each flow from every vantage to every target."""
        for process in self._running.values():
            print(*flows, file=process.stdin, flush=True)
        made: list[Trace] = []
        for vantage, process in self._running.items():
            for line in process.stdout or ():
                if line == "done\n":
                    break
                trace = read_trace(msgspec.json.decode(line))
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
            Column("identifiable", "n"),
            Column("cannot tell", "n"),
            Column("blamed when only balanced", "n", 0.0),
        ],
        note="each one cable 5 to 15 ms slower each way, five traces before and four after",
    )
    right = wrong = identifiable = unsure = 0
    with ExitStack() as stack:
        lab = stack.enter_context(RunningLab.start(WORLD, name=f"blame-{os.getpid()}"))
        oracle, random = lab.oracle(), Random(seed)
        agents = stack.enter_context(Agents(lab, tuple(oracle.topology.vantages)))
        planned = plan(oracle, count, random)
        before: list[Trace] = []
        for number, event in enumerate(planned):
            if number % REFRESH == 0:
                before = agents.scan(*[0] * BEFORE)
            lab.happen(event)
            after = agents.scan(*[0] * AFTER)
            lab.happen(Event(kind="clear", subject=event.subject))
            found = blame([*before, *after], min(trace.at for trace in after))
            good, known = judged(oracle, event, found)
            identifiable += known
            right += known and good and found.verdict is BlameVerdict.LEG
            wrong += not known and not good
            unsure += found.verdict is BlameVerdict.CANNOT_TELL
            print(
                f"  {event.subject} +{event.delay_ms:.0f} ms: {found.verdict} {'right' if good else 'wrong'}"
                f"{'' if known else ' (not identifiable)'}", file=sys.stderr, flush=True,
            )  # fmt: skip
        quiet = [*agents.scan(0, 1, 2, 3), *(later := agents.scan(4, 5, 6, 7, 0, 1, 2, 3))]
        balanced = blame(quiet, min(trace.at for trace in later))
    table.add(
        OURS,
        {
            "top leg right": 100 * right / identifiable if identifiable else None, "wrong of the others": float(wrong),
            "identifiable": float(identifiable), "cannot tell": float(unsure),
            "blamed when only balanced": float(len(balanced.legs)),
        },
    )  # fmt: skip
    return table


def plan(oracle: Oracle, count: int, random: Random) -> list[Event]:
    """Cables that some pair crosses and whose delay moves no route: one that is identifiable, one that is not, in turns."""
    paths = ways(oracle)
    cables = sorted({cable for path in paths.values() for cable in path.cables})
    made: dict[bool, list[Event]] = {True: [], False: []}
    unanswered = Blame(since=0, verdict=BlameVerdict.CANNOT_TELL)
    for cable in random.sample(cables, len(cables)):
        event = Event(kind="congest", subject=cable, delay_ms=10.0)
        after = ways(Oracle(oracle.world, Conditions().after(event)))
        if all(_addresses(after[pair]) == _addresses(path) for pair, path in paths.items()):
            made[judged(oracle, event, unanswered)[1]].append(event)
    turns = [each[number % len(each)] for number in range(count) for each in made.values() if each][:count]
    return [msgspec.structs.replace(event, delay_ms=round(random.uniform(5.0, 15.0), 1)) for event in turns]


def ways(oracle: Oracle) -> Paths:
    """The truth of every pair's canonical flow."""
    found: Paths = {}
    for vantage in oracle.topology.vantages:
        for target in TARGETS:
            found[vantage, target] = oracle.path(
                vantage, target, flow_for(address_of(oracle, target), Method.UDP)
            )
    return found


def address_of(oracle: Oracle, target: str) -> str:
    """A target's IPv4 address."""
    host = oracle.topology.find(target)
    return ".".join(map(str, host.address4)) if host and host.address4 else ""


def judged(oracle: Oracle, event: Event, found: Blame) -> tuple[bool, bool]:
    """Whether the answer is good, and whether the fault is identifiable.

    Routers inside an MPLS tunnel send their answers by its end, so that they say nothing of where a delay lies: a fault is
    identifiable on a way when both of its ends answer for themselves.
    """
    ways_of: dict[Link, set[tuple[str, str]]] = {}
    suspects: set[Link] = set()
    clear: dict[Link, set[tuple[str, str]]] = {}
    for pair, path in ways(oracle).items():
        walk = _walk(oracle, path, pair, event.subject)
        for (near, *_), (far, *_) in pairwise(walk):
            ways_of.setdefault((near, far), set()).add(pair)
        for place, ((near, early, said), (far, late, told)) in enumerate(pairwise(walk)):
            if late and not early:
                suspects |= _bracket(walk, place)
                suspects.add((near, far))
                if said and told:
                    clear.setdefault((near, far), set()).add(pair)
    known = any(
        len(pairs) >= LEAST_PAIRS and len({vantage for vantage, _ in pairs}) >= LEAST_VANTAGES
        for pairs in clear.values()
    )
    if found.verdict is not BlameVerdict.LEG:
        return not known, known
    top = max(found.legs, key=lambda leg: leg.confidence)
    same = {link for link, pairs in ways_of.items() if any(pairs == ways_of.get(one) for one in suspects)}
    return (top.a, top.b) in suspects | same, known


Place = tuple[str, bool, bool]
"""Address, whether it lies behind the slow cable, and whether its answers say where it stands."""


def _bracket(walk: Sequence[Place], place: int) -> set[Link]:
    """The links between the hops nearest to a step that answer for themselves."""
    start, end = place, place + 1
    while start > 0 and not walk[start][2]:
        start -= 1
    while end < len(walk) - 1 and not walk[end][2]:
        end += 1
    return {(near, far) for (near, *_), (far, *_) in pairwise(walk[start : end + 1])}


def _walk(oracle: Oracle, path: TruePath, pair: tuple[str, str], cable: str) -> list[Place]:
    """The vantage, every hop that answers, and the target."""
    topology = oracle.topology
    here, there = topology.vantages[pair[0]], topology.find(pair[1])
    if there is None:
        return []
    flow = flow_for(address_of(oracle, pair[1]), Method.UDP)
    ports = flow.source_port.to_bytes(2) + flow.destination_port.to_bytes(2)
    forward = oracle.paths.forward(
        here.address4, there.address4, flow_hash(here.address4, there.address4, 17, ports)
    )
    walked = 0
    behind: dict[bytes, bool] = {}
    for hop in forward.hops:
        while (
            walked < len(forward.links)
            and sum(link.delay_ns for link in forward.links[: walked + 1]) <= hop.forward_ns
        ):
            walked += 1
        crossed = forward.links[:walked]
        behind[hop.address] = any(link.cable is not None and link.cable.code == cable for link in crossed)
    made: list[Place] = [(pair[0], False, True)]
    for hop, true in zip(forward.hops, path.hops, strict=True):
        if not true.silent:
            made.append((true.address, behind[hop.address], not true.labels))
    return [*made, (address_of(oracle, pair[1]), cable in path.cables, True)]


def _addresses(path: TruePath) -> tuple[str, ...]:
    return tuple(hop.address for hop in path.hops)
