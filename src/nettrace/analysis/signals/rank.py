"""A fast one became slow: it has fallen behind others of its own group, beyond what their rank ever did by chance.

For each pair (a, b) of a group, quarters of an hour in which a was the slower are counted before and lately. Lately is
improbable when a Binomial(n, q) reaches that count, q being the share before (with one of each added, so that nothing is
impossible) and n the recent quarters, fewer where quarters that follow each other resemble each other: n (1 - r) / (1 + r)
with lag-1 autocorrelation r (Bayley and Hammersley 1946). All pairs of all groups looked at together are held to one false
discovery rate (`control.believed`).
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from math import ceil, comb
from statistics import median

import msgspec

from nettrace.analysis.signals.control import believed

Levels = Mapping[str, Mapping[int, float]]
"""Member of a group -> quarter of an hour -> median in ms."""

LEAST_MEMBERS, LEAST_BEFORE, LEAST_LATELY = 3, 24, 6
FALSE_DISCOVERY_RATE = 0.05
FALLEN_SHARE = 0.25
"""A member has fallen when so large a share of the others has overtaken it."""
FAST_SHARE = 0.5
"""Only what was in this part of its group can become slow."""
LASTING_SHARE = 0.75
"""Of the recent quarters: what was slower for less of them came and went, and is no new rank."""
GATE_MS, GATE_SHARE = 0.2, 0.008
"""Levels closer than this are a tie."""
_STRONGEST = 0.9


class Fallen(msgspec.Struct, frozen=True, kw_only=True):
    """A member that was fast and is not.

    Attributes:
        group, name: which group, and which of its members.
        rank_before, rank_after: 1 is the fastest of `of`.
        before_ms, after_ms: its own medians.
        overtaken_by: who was slower than it and is faster now.
        p_value: the largest of theirs.
    """

    group: str
    name: str
    rank_before: int
    rank_after: int
    of: int
    before_ms: float
    after_ms: float
    overtaken_by: tuple[str, ...]
    p_value: float


class _Duel(msgspec.Struct, frozen=True):
    group: str
    a: str
    b: str
    p_value: float


def fallen(groups: Mapping[str, Levels], since: int, rate: float = FALSE_DISCOVERY_RATE) -> list[Fallen]:
    """Members that fell in their groups in the quarters from `since` on, compared with those before it.

    >>> calm = {name: {quarter: level for quarter in range(60)} for name, level in (("a", 5.0), ("b", 7.0), ("c", 9.0))}
    >>> slow = calm | {"a": {quarter: 5.0 if quarter < 52 else 12.0 for quarter in range(60)}}
    >>> fallen({"g": calm}, 52), [(each.name, each.rank_before, each.rank_after) for each in fallen({"g": slow}, 52)]
    ([], [('a', 1, 3)])
    """
    duels = [duel for group, levels in groups.items() for duel in _duels(group, levels, since)]
    sure = [duels[place] for place in believed([duel.p_value for duel in duels], rate)]
    made: list[Fallen] = []
    for group, levels in groups.items():
        for name in sorted(levels):
            lost = [duel for duel in sure if duel.group == group and duel.a == name]
            one = _fallen(group, name, levels, since, lost) if lost else None
            if one is not None:
                made.append(one)
    return made


def pairs_compared(groups: Mapping[str, Levels], since: int) -> int:
    """How many pairs `fallen` compares."""
    return sum(len(_duels(group, levels, since)) for group, levels in groups.items())


def is_back(levels: Levels, name: str, overtaken_by: Sequence[str], since: int) -> bool:
    """Whether a fallen member is ahead again of most of those that overtook it, in the quarters from `since` on."""
    ahead = behind = 0
    for other in overtaken_by:
        for quarter, level in levels.get(name, {}).items():
            theirs = levels.get(other, {}).get(quarter)
            if quarter >= since and theirs is not None:
                ahead += level < theirs
                behind += level >= theirs
    return ahead > behind


def _duels(group: str, levels: Levels, since: int) -> list[_Duel]:
    names = sorted(levels)
    if len(names) < LEAST_MEMBERS:
        return []
    made: list[_Duel] = []
    for a in names:
        for b in names:
            p_value = None if a == b else _p_value(levels[a], levels[b], since)
            if p_value is not None:
                made.append(_Duel(group, a, b, p_value))
    return made


def _p_value(a: Mapping[int, float], b: Mapping[int, float], since: int) -> float | None:
    """How likely a is the slower so often lately, when nothing has changed; None when too little is known."""
    both = sorted(a.keys() & b.keys())
    before = [a[quarter] > b[quarter] for quarter in both if quarter < since]
    lately = [a[quarter] > b[quarter] for quarter in both if quarter >= since]
    if len(before) < LEAST_BEFORE or len(lately) < LEAST_LATELY:
        return None
    if sum(lately) < LASTING_SHARE * len(lately):
        return 1.0
    share = (sum(before) + 1) / (len(before) + 2)
    alike = _autocorrelation(before)
    count = max(1, int(len(lately) * (1 - alike) / (1 + alike)))
    slower = int(count * sum(lately) / len(lately))
    return sum(comb(count, n) * share**n * (1 - share) ** (count - n) for n in range(slower, count + 1))


def _autocorrelation(flags: Sequence[bool]) -> float:
    mean = sum(flags) / len(flags)
    spread = sum((flag - mean) ** 2 for flag in flags)
    if not spread:
        return 0.0
    together = sum((one - mean) * (other - mean) for one, other in pairwise(flags))
    return min(_STRONGEST, max(0.0, together / spread))


def _fallen(group: str, name: str, levels: Levels, since: int, lost: Sequence[_Duel]) -> Fallen | None:
    before = {other: _median(each, since, early=True) for other, each in levels.items()}
    after = {other: _median(each, since, early=False) for other, each in levels.items()}
    mine = before[name], after[name]
    if mine[0] is None or mine[1] is None or not _beyond(mine[1], mine[0]):
        return None
    by = [
        duel
        for duel in lost
        if (theirs := after[duel.b]) is not None
        and (was := before[duel.b]) is not None
        and _beyond(mine[1], theirs)
        and _beyond(was, mine[0])
    ]
    rank_before, rank_after = _rank(name, before), _rank(name, after)
    if len(by) < max(1, ceil(FALLEN_SHARE * (len(levels) - 1))) or rank_before > ceil(
        FAST_SHARE * len(levels)
    ):
        return None
    return Fallen(
        group=group, name=name, rank_before=rank_before, rank_after=rank_after, of=len(levels), before_ms=mine[0],
        after_ms=mine[1], overtaken_by=tuple(duel.b for duel in by), p_value=max(duel.p_value for duel in by),
    )  # fmt: skip


def _median(level: Mapping[int, float], since: int, *, early: bool) -> float | None:
    values = [value for quarter, value in level.items() if (quarter < since) is early]
    return median(values) if values else None


def _rank(name: str, levels: Mapping[str, float | None]) -> int:
    mine = levels[name]
    return 1 + sum(theirs is not None and mine is not None and theirs < mine for theirs in levels.values())


def _beyond(one: float, other: float) -> bool:
    return one - other >= max(GATE_MS, GATE_SHARE * other)
