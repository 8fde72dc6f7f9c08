"""What may have got worse within the last rounds, across the fleet: said before any detector can prove it, as a suspicion.

Nothing is stored and nothing is told to alerts: it is a look at what is stored, anew each time, and it is gone when the
next rounds are as usual or when the detectors have spoken.
"""

from collections.abc import Iterable, Mapping
from statistics import median_low

import msgspec

from nettrace.analysis.signals.suspect import LEAST_USUAL, LONGEST, USUAL, Outside, outside, strongest
from nettrace.hub.cause import Cause
from nettrace.hub.hindsight import Hindsight, leg_of
from nettrace.hub.latest import Snapshot
from nettrace.model.instant import NS_PER_S, Instant
from nettrace.model.measurement import Grade
from nettrace.model.target import Series
from nettrace.store.port import Choice, StoreReader
from nettrace.store.rows import Window

Pair = tuple[str, str]

MONTH_S = 30 * 86_400
"""A suspicion is told when chance alone would make one less often than once a month, at the cadence of the rounds."""
_PINGS = ("icmp", "tcp", "udp")
_MOST_ROUNDS = 100_000


class Suspected(msgspec.Struct, frozen=True, kw_only=True):
    """A suspicion.

    Attributes:
        since: when the first of the rounds that are not usual was due.
        pairs: (vantage, target) with what makes each suspicious, worst first.
        shared: what all of them have in common in words, or empty.
        rounds: for how many rounds at least, at `counted` pairs of `of`.
        chance: that so many are at once, each by chance.
        every_s: how often chance alone would make such a suspicion, in seconds between two.
    """

    since: Instant
    pairs: tuple[tuple[Pair, Outside], ...]
    shared: str
    rounds: int
    counted: int
    of: int
    chance: float
    every_s: float


def suspected(
    reader: StoreReader, snapshot: Snapshot, hosts: Iterable[str], now: Instant
) -> Suspected | None:
    """What may be worse now at these targets, or None when nothing is that chance would not bring about."""
    interval_s = cadence_s(snapshot)
    back_ns = round((USUAL + LONGEST) * interval_s * NS_PER_S)
    found = reader.raw(
        Choice(methods=_PINGS), Window(now - back_ns, now + NS_PER_S), fields=("rtt_ns", "grade", "request"),
        limit=_MOST_ROUNDS, newest_first=True,
    )  # fmt: skip
    wanted = set(hosts)  # of whom this visitor may see the rounds
    rounds: dict[Series, list[tuple[Instant, int]]] = {}
    for series, due, rtt_ns, grade, request in zip(
        found.series, found.due, found.rtt_ns, found.grade, found.request, strict=True
    ):
        if rtt_ns is not None and request is None and grade != Grade.USER and series.target in wanted:
            rounds.setdefault(series, []).append((due, rtt_ns))
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


def _told(rounds: Mapping[Pair, list[tuple[Instant, int]]], interval_s: float) -> Suspected | None:
    """The suspicion in the rounds of pairs, oldest first."""
    runs = {pair: outside([rtt_ns for _, rtt_ns in known]) for pair, known in rounds.items()}
    groups: dict[str, list[Pair]] = {"": list(runs)}
    for vantage, target in runs:
        groups.setdefault(f"all from {vantage}", []).append((vantage, target))
        groups.setdefault(f"all to {target}", []).append((vantage, target))
    strong = strongest({name: [run.rounds if (run := runs[pair]) else 0 for pair in pairs] for name, pairs in groups.items()})  # fmt: skip
    if strong is None or strong[1].chance >= interval_s / MONTH_S:
        return None
    name, proof = strong
    pairs = [(pair, run) for pair in groups[name] if (run := runs[pair]) is not None]
    pairs.sort(key=lambda each: (each[1].high_ns / each[1].now_ns, each[0]))
    since = min(rounds[pair][-run.rounds][0] for pair, run in pairs if run.rounds >= proof.rounds)
    return Suspected(
        since=since, pairs=tuple(pairs), shared=name, rounds=proof.rounds, counted=proof.pairs, of=proof.of,
        chance=proof.chance, every_s=interval_s / max(proof.chance, 1e-12),
    )  # fmt: skip


def suspected_leg(reader: StoreReader, since: Instant, now: Instant) -> Hindsight:
    """Which leg explains it by what is measured so far; it may be too early to tell."""
    unproven = Cause(
        id="", since=since, detected_at=now, events=(), kinds=(), pairs=(), slower=0, faster=0, added_ns=None,
        severity="notice", confidence=0.0,
    )  # fmt: skip
    return leg_of(reader, unproven, now)
