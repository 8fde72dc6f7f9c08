"""Holds what a hub has after a soak against the ledger: lost, doubled, invented, and holes nobody explains."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from bench.soak_gate import Ledger, Name
from nettrace.hub.open import open_reader, open_writer
from nettrace.hub.place import Data
from nettrace.model.instant import NS_PER_S, Instant
from nettrace.store.port import Choice
from nettrace.store.rows import Window

Span = tuple[Instant, Instant]
JITTER_NS = 2 * NS_PER_S
"""The most a moment of a series lies beside its interval (docs/guides/scheduling.md)."""


@dataclass(frozen=True)
class Remains:
    """What a soak left.

    Attributes:
        acknowledged: rounds the hub had said it has; `stored` are those it has.
        invented: rounds of the hub that no node was seen to send.
        holes: stretches of a series without a round; `unexplained` are those that no gap the fleet states itself covers.
        reasons: of the stated gaps.
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
    reasons: Mapping[str, int] = field(default_factory=dict[str, int])


def count(
    data: Data, ledger: Ledger, intervals_ns: Mapping[str, int], lasts_ns: Mapping[str, int]
) -> Remains:
    """Compare, round by round.

    Args:
        data: of a hub that has ended.
        ledger: of the gate before it.
        intervals_ns: by method, how often its series are due.
        lasts_ns: by method, how long a round takes that nobody answers.
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
    spans: dict[tuple[str, str], list[Span]] = {}
    for region, gap in stated:
        spans.setdefault((region, gap.target), []).append((gap.since, gap.until))
    holes, unexplained = find_holes(stored, spans, intervals_ns, lasts_ns)
    return Remains(
        acknowledged=len(safe), stored=len(stored), lost=len(safe - stored.keys()),
        doubled=sum(times - 1 for times in stored.values()), invented=len(stored.keys() - set(ledger.sent.values())),
        holes=holes, unexplained=unexplained, gaps=len(stated),
        longest_gap_s=max(((gap.until - gap.since) / NS_PER_S for _, gap in stated), default=0.0), faults=faults,
        reasons=Counter(gap.reason for _, gap in stated),
    )  # fmt: skip


def find_holes(
    names: Iterable[Name],
    spans: Mapping[tuple[str, str], Sequence[Span]],
    intervals_ns: Mapping[str, int],
    lasts_ns: Mapping[str, int],
) -> tuple[int, list[str]]:
    """How many stretches have no round although their schedule wants one, and those that are not explained, in words.

    A moment without a round is explained by what happened while its round was being made: a gap that its vantage states,
    of everything ("") or of this target, and that touches the half interval behind the moment (or what a round takes that
    nobody answers, where intervals are so short that this is longer), nothing before it and nothing later.

    >>> s = 10**9
    >>> names = [("nyc", "t", "rest", "icmp", at * s) for at in (0, 10, 50, 60)]
    >>> find_holes(names, {("nyc", ""): [(21 * s, 41 * s)]}, {"icmp": 10 * s}, {})
    (1, [])
    >>> find_holes(names, {("nyc", "t"): [(21 * s, 34 * s)]}, {"icmp": 10 * s}, {})
    (1, ['nyc t rest icmp: 40.0 s without a round, 1 of 3 moments unexplained'])
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
        lasts = max(interval // 2, lasts_ns.get(who[3], 0))
        known = [*spans.get((who[0], ""), ()), *spans.get((who[0], who[1]), ())]
        for before, after in pairwise(sorted(dues)):
            missing = round((after - before) / interval) - 1
            if missing <= 0:
                continue
            holes += 1
            # A series' first round after a start comes early, so that only one end of a hole may lie on its moments.
            there = [before + turn * interval for turn in range(1, missing + 1)]
            back = [after - turn * interval for turn in range(1, missing + 1)]
            bare = min(
                sum(not explained(each, interval, lasts, known) for each in way) for way in (there, back)
            )
            if bare:
                words = f"{(after - before) / NS_PER_S:.1f} s without a round, {bare} of {missing} moments unexplained"
                unexplained.append(f"{' '.join(who)}: {words}")
    return holes, unexplained


def explained(moment: Instant, interval_ns: int, lasts_ns: int, spans: Iterable[Span]) -> bool:
    """Whether one of these touches the round of a moment, which lasts so long; moments jitter by a twentieth of an interval.

    >>> explained(100, 40, 20, [(0, 97)]), explained(100, 40, 20, [(0, 98)]), explained(100, 40, 20, [(122, 200)])
    (False, True, True)
    >>> explained(100, 40, 20, [(123, 200)])
    False
    """
    jitter = min(JITTER_NS, interval_ns // 20)
    last = moment + lasts_ns + jitter
    return any(since <= last and until >= moment - jitter for since, until in spans)
