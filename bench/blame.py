"""Scenario "blame": planted bad links in internets on paper, and who names them.

Half of the worlds make a bad link slow in one direction, half in both. A named leg is right when it is the bad
link, one crossed by exactly the same paths, or bridges silent routers over one of these. Beside the tomography:
what a suspicion says by the first round alone (docs/decisions/0264), the largest jump between neighbouring hops of each
slow path, and voting (007, Arzani et al., NSDI 2018).

`python -m bench.blame --lab 50` plants so many in the lab instead, with real packets (`bench.blame_lab`).
"""

import argparse
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import pairwise
from random import Random
from time import process_time

from bench.blame_world import SINCE, Link, Planted, World, forward_links, plant, traces
from bench.figure import OURS, Column, Table
from nettrace.analysis.routes.blame import blame
from nettrace.analysis.routes.forest import Forest, Node, Pair, Side
from nettrace.model.instant import NS_PER_MS
from nettrace.model.path import Trace
from nettrace.model.route import BlameVerdict

WORLDS, QUICK_WORLDS = 100, 12
RIVALS_EVERY = 5
"""Others answer for one world in five: the rivals' figures are so far off that more would only cost time."""
FIRST_ROUND, PROBES = "first round, ways known before", 3

VANTAGES = 8


def run(runs: int, quick: bool) -> list[Table]:
    """Both tables; a run is 100 worlds with one to three bad links, so that five runs plant 1,000."""
    return [_faults(runs, quick), _quiet(runs, quick)]


def _faults(runs: int, quick: bool) -> Table:
    worlds = QUICK_WORLDS if quick else WORLDS
    table = Table(
        f"blame: {VANTAGES} vantages, 50 targets, 1 to 3 links 3 to 40 ms slower, {worlds} worlds a run",
        [
            Column("precision", "%", 90.0, at_least=True),
            Column("recall", "%", 90.0, at_least=True),
            Column("faults", "n"),
            Column("cannot tell", "% of worlds"),
            Column("CPU", "ms/world"),
        ],
        note="15 % of the routers silent, 20 % answer late at times, asymmetric ways back",
    )
    for number in range(runs):
        scores = {name: Score() for name in METHODS}
        for seed in range(number * worlds, (number + 1) * worlds):
            world = World(Random(seed), VANTAGES)
            planted = plant(world, 1 + seed % 3, both_ways=bool(seed // 3 % 2))
            measured, links = list(traces(world, planted)), forward_links(world)
            truth = Truth(world, planted, links)
            for name, method in METHODS.items():
                if name == OURS or seed % RIVALS_EVERY == 0:
                    scores[name].take(method, measured, truth)
        for name, score in scores.items():
            table.add(name, score.figures())
    return table


def _quiet(runs: int, quick: bool) -> Table:
    worlds = QUICK_WORLDS // 3 if quick else WORLDS // 10
    table = Table(
        f"blame: nothing is wrong, {worlds} worlds a run",
        [Column("legs named", "n", 0.0), Column("verdict none", "%", 100.0, at_least=True)],
    )
    for number in range(runs):
        found = [
            blame(traces(World(Random(10_000 + number * worlds + seed), VANTAGES), Planted({})), SINCE)
            for seed in range(worlds)
        ]
        quiet = sum(each.verdict is BlameVerdict.NONE for each in found)
        table.add(
            OURS,
            {
                "legs named": float(sum(len(each.legs) for each in found)),
                "verdict none": 100 * quiet / worlds,
            },
        )
    return table


class Truth:
    """Which bad link a named leg stands for."""

    def __init__(self, world: World, planted: Planted, links: dict[Link, frozenset[tuple[str, str]]]) -> None:
        self.bad = {frozenset(link) for link in planted.added_ms}
        twins = {
            link: [bad for bad in planted.added_ms if links.get(bad) == pairs]
            for link, pairs in links.items()
        }
        self._meant: dict[Link, frozenset[str]] = {
            link: frozenset(bad[0]) for link, bad in twins.items() if bad
        }
        self._meant |= {link: frozenset(link) for link in planted.added_ms}
        self._bridges: dict[Link, frozenset[str]] = {}
        for vantage in world.vantages:
            for target in world.targets:
                self._bridge(world, world.way(vantage, target))

    def _bridge(self, world: World, way: list[str]) -> None:
        loud = [place for place, router in enumerate(way) if router not in world.silent]
        for a, b in pairwise(loud):
            for link in pairwise(way[a : b + 1]) if b > a + 1 else ():
                if link in self._meant:
                    self._bridges[way[a], way[b]] = self._meant[link]

    def meant(self, link: Link) -> frozenset[str] | None:
        """The bad link that is meant, or None when the leg is innocent."""
        return self._meant.get(link) or self._bridges.get(link)


class Score:
    """Right and wrong names over many worlds."""

    def __init__(self) -> None:
        self.right = self.wrong = self.found = self.faults = self.unsure = self.worlds = 0
        self.seconds = 0.0

    def take(self, method: "Method", measured: list[Trace], truth: Truth) -> None:
        """One world's answer."""
        started = process_time()
        legs = method(measured)
        self.seconds += process_time() - started
        self.worlds += 1
        self.faults += len(truth.bad)
        if legs is None:
            self.unsure += 1
            return
        meant = [truth.meant(link) for link in legs]
        self.right += sum(each is not None for each in meant)
        self.wrong += meant.count(None)
        self.found += len({each for each in meant if each is not None} & truth.bad)

    def figures(self) -> dict[str, float | None]:
        """As columns of the table."""
        named = self.right + self.wrong
        return {
            "precision": 100 * self.right / named if named else None,
            "recall": 100 * self.found / self.faults,
            "faults": float(self.faults),
            "cannot tell": 100 * self.unsure / self.worlds,
            "CPU": 1000 * self.seconds / self.worlds,
        }


Method = Callable[[list[Trace]], "list[Link] | None"]


def _tomography(measured: list[Trace]) -> list[Link] | None:
    found = blame(measured, SINCE)
    return None if found.verdict is BlameVerdict.CANNOT_TELL else [(leg.a, leg.b) for leg in found.legs]


def _bad_ends(forest: Forest) -> Iterator[Node]:
    for node in forest.nodes:
        shift = node.shift_ms() if node.pairs else None
        if shift is not None and shift[0] >= max(1.5, 4 * shift[1]):
            yield node


def _largest_jump(measured: list[Trace]) -> list[Link]:
    forest = Forest(measured, SINCE)
    named: set[Link] = set()
    for end in _bad_ends(forest):
        best, link, node, behind = 1.5, None, end, end.shift_ms()
        while node.parent >= 0 and behind is not None:
            near = forest.nodes[node.parent]
            before = near.shift_ms()
            if before is not None and behind[0] - before[0] > best:
                best, link = behind[0] - before[0], (near.address, node.address)
            node, behind = near, before
        named |= {link} if link else set()
    return sorted(named)


def _voting(measured: list[Trace]) -> list[Link]:
    bad = [node.links for node in _bad_ends(Forest(measured, SINCE))]
    named: list[Link] = []
    least = 0.01 * len(bad)
    while bad:
        votes = Counter[Link]()
        for links in bad:
            for link in links:
                votes[link] += 1 / len(links)
        link, weight = votes.most_common(1)[0]
        if weight < least:
            break
        named.append(link)
        bad = [links for links in bad if link not in links]
    return named


def _first_round(measured: list[Trace]) -> list[Link] | None:
    """What a suspicion says: three probes of each pair since, and its ways as they were traced before."""
    rounds: dict[Pair, tuple[Side, Side]] = {}
    for trace in measured:
        side = rounds.setdefault((trace.vantage, trace.target), (Side(), Side()))[trace.at >= SINCE]
        if trace.rtt_ns is not None and (trace.at < SINCE or len(side.rtts_ms) < PROBES):
            side.rtts_ms.append(trace.rtt_ns / NS_PER_MS)
    found = blame([trace for trace in measured if trace.at < SINCE], SINCE, rounds, foreknown=True)
    return None if found.verdict is BlameVerdict.CANNOT_TELL else [(leg.a, leg.b) for leg in found.legs]


METHODS: dict[str, Method] = {
    OURS: _tomography, FIRST_ROUND: _first_round, "largest hop jump": _largest_jump, "voting (007)": _voting
}  # fmt: skip


def main() -> int:
    """`python -m bench.blame [--lab N]`; exit 1 when a goal is missed."""
    parser = argparse.ArgumentParser(prog="bench blame")
    parser.add_argument("--lab", type=int, metavar="N", help="plant N faults in the lab, with real packets")
    parser.add_argument(
        "--seed", type=int, default=7, metavar="N", help="which cables, and how slow (lab only)"
    )
    given = parser.parse_args()
    if given.lab is None:
        tables = run(5, quick=False)
    else:
        from bench.blame_lab import faults

        tables = [faults(given.lab, given.seed)]
    for table in tables:
        print(table.text())
    return int(any(table.broken() for table in tables))


if __name__ == "__main__":
    sys.exit(main())
