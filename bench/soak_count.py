"""Holds what a hub has after a soak against the ledger: lost, doubled, invented, and holes nobody explains."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from bench.soak_gate import Ledger, Name
from nettrace.hub.open import open_reader, open_writer
from nettrace.hub.place import Data
from nettrace.model.instant import NS_PER_S, Instant
from nettrace.store.port import Choice
from nettrace.store.rows import Window

Span = tuple[Instant, Instant]
MESH = ".mesh"
SLACK_NS = 4 * NS_PER_S
"""Jitter of two rounds of a series, and what a busy machine adds."""


@dataclass(frozen=True)
class Remains:
    """What a soak left.

    Attributes:
        acknowledged: rounds the hub had said it has; `stored` are those it has.
        invented: rounds of the hub that no node was seen to send.
        holes: stretches of a series without a round; `unexplained` are those no gap, drain or revocation covers.
    """

    acknowledged: int
    stored: int
    lost: int
    doubled: int
    invented: int
    holes: int
    unexplained: list[str]
    gaps: int
    longest_gap_s: float
    faults: list[str]


def count(
    data: Data, ledger: Ledger, absences: Mapping[str, Sequence[Span]], intervals_ns: Mapping[str, int]
) -> Remains:
    """Compare, round by round.

    Args:
        data: of a hub that has ended.
        ledger: of the gate before it.
        absences: by vantage, when it was drained or revoked by order.
        intervals_ns: by method, how often its series are due.
    """
    whole = Window(0, 2**62)
    reader = open_reader(data)
    try:
        stored = Counter(
            (row.series.vantage, row.series.target, row.series.endpoint, row.series.method.value, row.due)
            for page in reader.scan(Choice(), whole)
            for row in page
            if row.request is None
        )
        stated = reader.gaps(whole)
    finally:
        reader.close()
    writer = open_writer(data)
    faults = [f"{fault.where}: {fault.what}" for fault in writer.check()]
    writer.close()
    safe = set(ledger.safe())
    spans: dict[str, list[Span]] = {region: list(each) for region, each in absences.items()}
    for region, gap in stated:
        spans.setdefault(region, []).append((gap.since, gap.until))
    holes, unexplained = find_holes(stored, spans, intervals_ns)
    return Remains(
        acknowledged=len(safe), stored=len(stored), lost=len(safe - stored.keys()),
        doubled=sum(times - 1 for times in stored.values()), invented=len(stored.keys() - set(ledger.sent.values())),
        holes=holes, unexplained=unexplained, gaps=len(stated),
        longest_gap_s=max(((gap.until - gap.since) / NS_PER_S for _, gap in stated), default=0.0), faults=faults,
    )  # fmt: skip


def find_holes(
    names: Iterable[Name], spans: Mapping[str, Sequence[Span]], intervals_ns: Mapping[str, int]
) -> tuple[int, list[str]]:
    """How many stretches have no round although their schedule wants one, and those that nothing explains, in words.

    A stated gap explains itself and one interval on either side: that is where a series has its next moment. A round
    to another node is explained by that one's absence as well.

    >>> s = 10**9
    >>> names = [("nyc", "t", "rest", "icmp", at * s) for at in (0, 10, 50, 60)]
    >>> find_holes(names, {"nyc": [(11 * s, 45 * s)]}, {"icmp": 10 * s})
    (1, [])
    >>> find_holes(names, {"nyc": [(11 * s, 20 * s)]}, {"icmp": 10 * s})
    (1, ['nyc t rest icmp: 40.0 s without a round, 30.0 s of them unexplained'])
    """
    series: dict[tuple[str, ...], list[Instant]] = {}
    for *who, due in names:
        series.setdefault(tuple(map(str, who)), []).append(int(due))
    holes = 0
    unexplained: list[str] = []
    for who, dues in sorted(series.items()):
        interval = intervals_ns.get(who[3])
        if interval is None:
            continue
        known = [*spans.get(who[0], ()), *spans.get(who[1].removesuffix(MESH), ())]
        for before, after in pairwise(sorted(dues)):
            if after - before <= interval + SLACK_NS:
                continue
            holes += 1
            longest = max(uncovered((before, after), known))
            if longest > interval + SLACK_NS:
                words = f"{(after - before) / NS_PER_S:.1f} s without a round, {longest / NS_PER_S:.1f} s of them unexplained"
                unexplained.append(f"{' '.join(who)}: {words}")
    return holes, unexplained


def uncovered(whole: Span, spans: Iterable[Span]) -> list[int]:
    """How long each part of a stretch is that lies in none of these.

    >>> uncovered((0, 100), [(10, 30), (20, 40), (90, 200)])
    [10, 0, 50, 0]
    """
    found, reached = [], whole[0]
    for since, until in sorted(spans):
        if until <= reached or since >= whole[1]:
            continue
        found.append(max(0, since - reached))
        reached = min(until, whole[1])
    return [*found, whole[1] - reached]
