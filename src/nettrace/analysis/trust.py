"""Which vantages cannot be where they say, or are answered by something nearer than their targets. Pure.

Light is the judge, twice. Between two vantages that measure each other a round trip is never below the vacuum floor of
their places. And a target both of them measure stands somewhere: the way from one vantage to it and on to the other is at
least as long as the way between the two, so both round trips together are never below that floor either. Contradictions
among many vantages have a smallest explanation: a vantage in the wrong place, or behind a middlebox that answers early,
is in all of its own and in nobody else's; a target that answers in many places (anycast) contradicts everybody, and
proves nothing against anyone.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations

import msgspec

from nettrace.analysis.geo.floor import vacuum_ns
from nettrace.analysis.geo.sphere import nearest_km
from nettrace.model.instant import ms
from nettrace.model.path import Place

LEAST_TARGETS = 3
"""So many targets must contradict a vantage before it is called untrustworthy ..."""
LEAST_SHARE = 0.2
"""... and so much of what can be judged of it; most targets stand too far away to contradict anybody."""
APART_NS = 20_000_000
"""... and by what vantages so far apart say: a content network that nobody declared, with an edge here and one edge
among neighbours there, looks like a liar to those neighbours, but not to two ends of the world."""
LEAST_PEERS = 2
"""So many peers of the mesh suffice: a node stands in one place."""
LEAST_SEEN = 4
"""A target that fewer vantages measure accuses nobody."""
MOST_LIARS = 0.25
"""A target is explained by liars only while they are so few of those who measure it; else it is many places at once."""
_SHOWN = 5

Couple = tuple[str, str]


class Sight(msgspec.Struct, frozen=True):
    """How near something was seen.

    Attributes:
        rtt_ns: the least round trip of a round; `error_ns` is its bar, which counts in everybody's favour.
        peer: it is another vantage, by its code.
    """

    vantage: str
    target: str
    rtt_ns: int
    error_ns: int = 0
    peer: bool = False


class Trust(msgspec.Struct, frozen=True, kw_only=True):
    """What speaks for and against a vantage.

    Attributes:
        score: the share of what could be judged that does not contradict it; None when nothing could.
        judged: targets and peers that could have contradicted it.
        contradicted: those that do, and whom it alone explains.
        flagged: its numbers are not to be believed.
        evidence: the contradictions in words, the worst first.
    """

    vantage: str
    score: float | None
    judged: int
    contradicted: int
    flagged: bool
    evidence: tuple[str, ...] = ()


class _Case(msgspec.Struct):
    judged: int = 0
    peers: int = 0
    accusers: set[str] = msgspec.field(default_factory=set[str])
    against: list[tuple[float, str]] = msgspec.field(default_factory=list[tuple[float, str]])


def trust(places: Mapping[str, Place | None], sights: Iterable[Sight]) -> dict[str, Trust]:
    """Every vantage's trust, by its code.

    Args:
        places: where each vantage says it stands; one that does not say cannot be judged.
        sights: what they measured, of targets that answer in one place as far as known, and of each other.
    """
    cases = {code: _Case() for code in places}
    stands = {code: place for code, place in places.items() if place is not None}
    targets: dict[str, list[Sight]] = {}
    peers: dict[Couple, Sight] = {}
    for sight in sights:
        if sight.vantage not in stands:
            continue
        if not sight.peer:
            targets.setdefault(sight.target, []).append(sight)
        elif sight.target in stands:
            couple = _couple(sight.vantage, sight.target)
            if (
                couple not in peers
                or sight.rtt_ns + sight.error_ns < peers[couple].rtt_ns + peers[couple].error_ns
            ):
                peers[couple] = sight
    floors = {_couple(one, other): vacuum_ns(nearest_km(stands[one], stands[other])) for one, other in combinations(sorted(stands), 2)}  # fmt: skip
    _judge_peers(cases, peers, floors)
    for target, seen in sorted(targets.items()):
        _judge_target(cases, target, seen, floors)
    return {code: _verdict(code, case, floors) for code, case in cases.items()}


def _couple(one: str, other: str) -> Couple:
    return (one, other) if one < other else (other, one)


def _judge_peers(
    cases: dict[str, _Case], peers: Mapping[Couple, Sight], floors: Mapping[Couple, int]
) -> None:
    """Round trips of the mesh against the floor between the two."""
    told: dict[Couple, int] = {}
    for couple, sight in peers.items():
        most = sight.rtt_ns + sight.error_ns
        for code in couple:
            cases[code].judged += 1
        if most < floors[couple]:
            told[couple] = most
    for liar, couples in _explained(told, len({code for couple in peers for code in couple})):
        for couple in couples:
            other = couple[0] if couple[1] == liar else couple[1]
            words = (
                f"{ms(told[couple])} ms to the node at {other}; light in vacuum needs {ms(floors[couple])} ms"
            )
            cases[liar].against.append((floors[couple] / max(1, told[couple]), words))
            cases[liar].peers += 1


def _judge_target(
    cases: dict[str, _Case], target: str, seen: Sequence[Sight], floors: Mapping[Couple, int]
) -> None:
    """Two round trips to one target together against the floor between those who measured them."""
    best: dict[str, int] = {}
    for sight in seen:
        most = sight.rtt_ns + sight.error_ns
        best[sight.vantage] = min(best.get(sight.vantage, most), most)
    if len(best) < LEAST_SEEN:
        return
    told = {
        couple: best[couple[0]] + best[couple[1]]
        for couple in combinations(sorted(best), 2)
        if best[couple[0]] + best[couple[1]] < floors[couple]
    }
    found = _explained(told, len(best))
    if told and not found:
        return
    for code in best:
        cases[code].judged += 1
    for liar, couples in found:
        cases[liar].accusers.update(code for couple in couples for code in couple if code != liar)
        couple = max(couples, key=lambda each: floors[each] / max(1, told[each]))
        other = couple[0] if couple[1] == liar else couple[1]
        words = (
            f"{ms(best[liar])} ms to {target}, which {other} has at {ms(best[other])} ms: together less than the "
            f"{ms(floors[couple])} ms that light needs between the two"
        )
        cases[liar].against.append((floors[couple] / max(1, told[couple]), words))


def _explained(told: Mapping[Couple, int], of: int) -> list[tuple[str, list[Couple]]]:
    """The few whose lies explain all contradictions, each with its own; empty when that is nobody, or not clear.

    >>> _explained({("a", "x"): 1, ("b", "x"): 1, ("c", "x"): 1}, of=4)
    [('x', [('a', 'x'), ('b', 'x'), ('c', 'x')])]
    >>> _explained({("a", "b"): 1}, of=4), _explained({("a", "b"): 1, ("a", "c"): 1, ("b", "c"): 1}, of=3)
    ([], [])
    """
    left = set(told)
    found: list[tuple[str, list[Couple]]] = []
    while left:
        counts = Counter(code for couple in left for code in couple).most_common(2)
        if (len(counts) > 1 and counts[0][1] == counts[1][1]) or len(found) + 1 > max(
            1, int(MOST_LIARS * of)
        ):
            return []
        liar = counts[0][0]
        found.append((liar, sorted(couple for couple in left if liar in couple)))
        left -= set(found[-1][1])
    return found


def _verdict(code: str, case: _Case, floors: Mapping[Couple, int]) -> Trust:
    against = sorted(case.against, reverse=True)
    share = len(against) / case.judged if case.judged else 0.0
    apart = any(floors[couple] >= APART_NS for couple in combinations(sorted(case.accusers), 2))
    by_targets = len(against) - case.peers >= LEAST_TARGETS and share >= LEAST_SHARE and apart
    return Trust(
        vantage=code, score=round(1 - min(1.0, share), 3) if case.judged else None, judged=case.judged,
        contradicted=len(against), flagged=by_targets or case.peers >= LEAST_PEERS,
        evidence=tuple(words for _, words in against[:_SHOWN]),
    )  # fmt: skip
