"""What may have got worse within the last rounds, across the fleet: said before any detector can prove it, as a suspicion.

Nothing is stored and nothing is told to alerts: it is a look at what is stored, anew each time, and it is gone when the
next rounds are as usual or when the detectors have spoken.
"""

from collections.abc import Iterable, Mapping, Sequence
from statistics import median_low
from typing import NamedTuple

import msgspec

from nettrace.analysis.routes.blame import blame
from nettrace.analysis.signals.suspect import (
    LEAST_USUAL,
    LONGEST,
    USUAL,
    Joint,
    Outside,
    outside,
    stand,
    strongest,
)
from nettrace.hub.hindsight import standing_at
from nettrace.hub.latest import Snapshot
from nettrace.hub.leg_watch import rounds_around, traces_around
from nettrace.model.instant import NS_PER_S, Instant
from nettrace.model.measurement import Grade
from nettrace.model.route import Blame
from nettrace.model.target import Series
from nettrace.store.port import Choice, StoreReader
from nettrace.store.rows import Window

Pair = tuple[str, str]

MONTH_S = 30 * 86_400
"""A suspicion is told when chance alone would make one less often than once a month, at the cadence of the rounds."""
ALIKE = 0.25
"""Of the usual rise of the pairs that make a suspicion: a pair that rose by less is not of it."""
_PINGS = ("icmp", "tcp", "udp")
_MOST_ROUNDS = 100_000


class Suspected(msgspec.Struct, frozen=True, kw_only=True):
    """A suspicion.

    Attributes:
        since: when the first of the rounds that are not usual was due.
        there_by: when the first of them was due whose every probe was slow: what is slow was so by then.
        pairs: (vantage, target) with what makes each suspicious, worst first.
        shared: what all of them have in common in words, or empty.
        rounds, far: for how many rounds at least, and how many times what is usual above it, at `counted` pairs of `of`.
        share: of a pair's rounds at which it is so by itself.
        chance: that so many are at once, each by chance.
        every_s: how often chance alone would make such a suspicion, in seconds between two.
    """

    since: Instant
    there_by: Instant
    pairs: tuple[tuple[Pair, Outside], ...]
    shared: str
    rounds: int
    far: int
    counted: int
    of: int
    share: float
    chance: float
    every_s: float


class SuspectedLeg(msgspec.Struct, frozen=True, kw_only=True):
    """The leg that a suspicion points at.

    Attributes:
        where: in which place the legs' ends stand and whose they are, by address.
        traced: of `judged` pairs, how many were traced since: the others are taken to go the way they went before.
    """

    blame: Blame
    where: dict[str, str]
    traced: int
    judged: int


class _Met(NamedTuple):
    """A round: when it was due, the median of its probes and the quickest."""

    due: Instant
    rtt_ns: int
    min_ns: int


def suspected(
    reader: StoreReader, snapshot: Snapshot, hosts: Iterable[str], now: Instant
) -> Suspected | None:
    """What may be worse now at these targets, or None when nothing is that chance would not bring about."""
    interval_s = cadence_s(snapshot)
    back_ns = round((USUAL + LONGEST) * interval_s * NS_PER_S)
    found = reader.raw(
        Choice(methods=_PINGS), Window(now - back_ns, now + NS_PER_S), fields=("rtt_ns", "min_ns", "grade", "request"),
        limit=_MOST_ROUNDS, newest_first=True,
    )  # fmt: skip
    wanted = set(hosts)  # of whom this visitor may see the rounds
    rounds: dict[Series, list[_Met]] = {}
    for series, due, rtt_ns, min_ns, grade, request in zip(
        found.series, found.due, found.rtt_ns, found.min_ns, found.grade, found.request, strict=True
    ):
        if rtt_ns is not None and request is None and grade != Grade.USER and series.target in wanted:
            rounds.setdefault(series, []).append(_Met(due, rtt_ns, rtt_ns if min_ns is None else min_ns))
    best: dict[Pair, tuple[tuple[int, str], Series]] = {}
    for series, known in rounds.items():
        pair = (series.vantage, series.target)
        if len(known) > LEAST_USUAL:
            rank = (len(known), str(series))
            best[pair] = max(best.get(pair, (rank, series)), (rank, series), key=lambda each: each[0])
    return _told({pair: sorted(rounds[series]) for pair, (_, series) in best.items()}, interval_s)


def cadence_s(snapshot: Snapshot) -> float:
    """How often the usual series is measured."""
    intervals = [latest.interval_s for rows in snapshot.newest.values() for latest in rows.values()]
    return median_low(intervals) if intervals else 60.0


def _told(rounds: Mapping[Pair, list[_Met]], interval_s: float) -> Suspected | None:
    """The suspicion in the rounds of pairs, oldest first."""
    rtts = {pair: [met.rtt_ns for met in known] for pair, known in rounds.items()}
    runs = {pair: outside(known) for pair, known in rtts.items()}
    groups: dict[str, list[Pair]] = {"": list(runs)}
    for vantage, target in runs:
        groups.setdefault(f"all from {vantage}", []).append((vantage, target))
        groups.setdefault(f"all to {target}", []).append((vantage, target))
    stands = {pair: stand(known, runs[pair]) for pair, known in rtts.items()}
    strong = strongest({name: [stands[pair] for pair in pairs] for name, pairs in groups.items()})
    if strong is None or strong[1].rate >= interval_s / MONTH_S:
        return None
    name, proof = strong
    pairs = _alike([(pair, run) for pair in groups[name] if (run := runs[pair]) is not None], proof)
    pairs.sort(key=lambda each: (each[1].high_ns / each[1].now_ns, each[0]))
    first = [
        (rounds[pair][-run.rounds], run)
        for pair, run in pairs
        if run.rounds >= proof.rounds and run.far > proof.far
    ]
    whole = [met.due for met, run in first if met.min_ns > 2 * run.high_ns - run.low_ns]
    return Suspected(
        since=min(met.due for met, _ in first), there_by=min(whole, default=max(met.due for met, _ in first)),
        pairs=tuple(pairs), shared=name, rounds=proof.rounds, far=proof.far, counted=proof.pairs, of=proof.of,
        share=proof.share, chance=proof.chance, every_s=interval_s / max(proof.rate, 1e-12),
    )  # fmt: skip


def _alike(pairs: Sequence[tuple[Pair, Outside]], proof: Joint) -> list[tuple[Pair, Outside]]:
    """Those that rose alike: what one fault makes slower it makes slower by as much, a flicker meanwhile is not of it."""
    rises = [
        run.now_ns - run.high_ns for _, run in pairs if run.rounds >= proof.rounds and run.far > proof.far
    ]
    least = ALIKE * median_low(rises)
    return [(pair, run) for pair, run in pairs if run.now_ns - run.high_ns >= least]


def suspected_leg(reader: StoreReader, found: Suspected, now: Instant) -> SuspectedLeg:
    """Which leg explains it by the rounds so far and the ways that traces took before, or since where there are any.

    Traces come seldom; rounds of pairs that share a leg and of pairs that do not tell it before the next trace. It may
    be too early to tell, and where a way changed meanwhile the old one is judged until it is traced anew.
    """
    traces = traces_around(reader, found.there_by, now)
    rounds = rounds_around(reader, found.there_by, now)
    said = blame(traces, found.there_by, rounds, foreknown=True)
    traced = {(trace.vantage, trace.target) for trace in traces if trace.at >= found.there_by}
    return SuspectedLeg(
        blame=said, where=standing_at(said, traces), traced=len(traced & rounds.keys()), judged=said.paths
    )
