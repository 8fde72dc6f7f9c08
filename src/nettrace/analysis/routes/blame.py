"""Which leg became worse at an instant, from traces of many vantages to many targets on both sides of it."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from math import exp
from typing import NamedTuple

import msgspec

from nettrace.analysis.routes.forest import Forest, Link, Node, Pair, Side
from nettrace.analysis.routes.roundtrip import single_fault
from nettrace.analysis.routes.tomography import (
    DELAY_MS,
    LOSS,
    UNKNOWN,
    Fault,
    Observation,
    Scale,
    faults,
    is_bad,
)
from nettrace.analysis.routes.trunk import Trunks
from nettrace.model.instant import NS_PER_MS, Instant
from nettrace.model.path import Trace
from nettrace.model.route import Blame, BlameVerdict, Leg, Scope

_PARTED = 0.3
"""Observations' worth of evidence below which two links count as not told apart."""

_MANY_PATHS = 6
_ENOUGH_VANTAGES = 3
_MOST_FEW = 0.5
_SCOPE = 0.8
_MOST_TIED = 16
_SAME = 0.05
"""Amounts that differ by no more than this share may be one fault seen twice."""
_RELIABLE = 0.2
"""A router that left more probes unanswered before says nothing of loss: it limits its answers."""


Rounds = Mapping[Pair, tuple[Side, Side]]
"""What round-trip rounds of a pair met before and after the instant: many more than its traces."""


def blame(
    traces: Iterable[Trace], since: Instant, rounds: Rounds | None = None, *, foreknown: bool = False
) -> Blame:
    """The legs whose added delay or loss since the instant explains what was met.

    Each pair should have at least three traces on both sides. Ways that were taken on one side only are not
    compared, so load balancing and reroutes by themselves blame nobody. `CANNOT_TELL` when something became
    worse and more than one link explains it equally well: then the legs are the set in which the fault lies.
    Before that is said, links between the same two places are judged as one, where the hops know their places.

    `rounds`, measured end to end beside the traces, say how much a pair moved; traces say by which way. Those of a pair
    whose traces show its way on one side only are left out, for its way may have changed. With `foreknown`, one that
    was not traced since is taken to go the way it went: so a leg is told by the first rounds, and wrongly more often
    (docs/decisions/0264).
    """
    traces = list(traces)
    forest, trunks = Forest(traces, since), (Trunks(traces, apart=True), Trunks(traces))
    if rounds:
        _measured_by_rounds(forest, rounds, foreknown=foreknown)
    judged: set[Pair] = set()
    affected: set[Pair] = set()
    found: list[_Explained] = []
    for scale in (DELAY_MS, LOSS):
        seen, ends = _observations(forest, loss=scale is LOSS)
        bad = {pair for number, pairs in ends.items() if is_bad(seen[number], scale) for pair in pairs}
        judged.update(pair for pairs in ends.values() for pair in pairs)
        explained = _explained(seen, scale, trunks) if bad else []
        if explained:
            found += explained
            affected |= bad
    if not found:
        return Blame(since=since, verdict=BlameVerdict.NONE, paths=len(judged))
    verdict, legs = _legs(found)
    return Blame(
        since=since,
        verdict=verdict,
        legs=tuple(legs),
        affected=tuple(sorted(affected, key=lambda pair: (pair[0] or "", pair[1]))),
        scope=_scope(affected, judged),
        paths=len(judged),
    )


class _Explained(NamedTuple):
    """A fault, the links it is not told apart from, and whether its differential shows it."""

    fault: Fault
    rivals: list[Link]
    sure: bool
    is_loss: bool


def _explained(seen: Sequence[Observation], scale: Scale, trunks: Sequence[Trunks]) -> list[_Explained]:
    """The faults; where no link's two ends differ, what end-to-end shifts alone leave possible."""
    made: list[_Explained] = []
    for sure in (True, False):
        made = _rated(faults(seen, scale, differential=sure), sure=sure, is_loss=scale is LOSS)
        if made:
            break
    one = bool(made) and scale is DELAY_MS and _may_be_one(made)
    alone = _alone(seen, trunks, made[0].fault.amount) if one else None
    if alone is not None and (alone.sure or not _crossed_by_half(made, seen)):
        return [alone]
    if not made or any(each.sure for each in made):
        return made
    cables = trunks[-1]
    between = _rated(faults(cables.merged(seen), scale), sure=True, is_loss=scale is LOSS)
    named = [(each, cables.told(each.fault.link)) for each in between if each.sure]
    return [
        each._replace(fault=msgspec.structs.replace(each.fault, link=link)) for each, link in named if link
    ] or made


def _may_be_one(found: Sequence[_Explained]) -> bool:
    """Whether legs told apart add the same, or half of it: one link, crossed once or twice, does; chance seldom."""
    amounts = [each.fault.amount for each in found if each.sure]
    most = max(amounts, default=0.0)
    return all(min(abs(each - most), abs(2 * each - most)) <= _SAME * most for each in amounts)


def _alone(seen: Sequence[Observation], trunks: Sequence[Trunks], amount: float) -> _Explained | None:
    """The one link that explains everything, ways back included: by addresses, else by places; None when none does.

    Where none is told apart from the rest, those of the coarsest view that has any remain; links between addresses do
    only where no places are known, for a cable of several addresses is none of them.
    """
    by_address = _alone_of(single_fault(seen, DELAY_MS, amount), lambda link: link)
    if by_address is not None and by_address.sure:
        return by_address
    made: _Explained | None = None
    for each in trunks:
        found = single_fault(each.merged(seen), DELAY_MS, amount)
        made = _alone_of(found, partial(each.told, both=True)) or made
        if made is not None and made.sure:
            return made
    return made if any(each.known for each in trunks) else by_address


def _alone_of(found: Fault | None, told: Callable[[Link], Link | None]) -> _Explained | None:
    link = told(found.link) if found is not None else None
    if found is None or link is None:
        return None
    rivals = _unparted(found)
    named = [name for each in rivals if (name := told(each))]
    return _Explained(msgspec.structs.replace(found, link=link), named, sure=not rivals, is_loss=False)


def _crossed_by_half(found: Sequence[_Explained], seen: Sequence[Observation]) -> bool:
    """Whether half of all bad ends lie behind links that are told apart: ways cross a slow link there as often as back."""
    links = {each.fault.link for each in found if each.sure}
    bad = [one for one in seen if one.ends and is_bad(one, DELAY_MS)]
    return 2 * sum(bool(links.intersection(one.links)) for one in bad) >= len(bad)


def _rated(found: Iterable[Fault], *, sure: bool, is_loss: bool) -> list[_Explained]:
    made = [(fault, _unparted(fault)) for fault in found]
    return [
        _Explained(fault, rivals, sure and not rivals and _located(fault), is_loss) for fault, rivals in made
    ]


def _located(fault: Fault) -> bool:
    """Whether both ends of the link were measured; or, inside a tunnel, whether two vantages have only this link in common."""
    return fault.seen or (fault.vantages > 1 and not fault.tied)


def _measured_by_rounds(forest: Forest, rounds: Rounds, *, foreknown: bool) -> None:
    """Let rounds stand for the ends of their pairs: at the end most of a pair's traces reached, both before and after.

    With `foreknown`, those of a pair that was not traced after stand at the end most of its traces reached before.
    """
    traced = {pair for node in forest.nodes if _count(node.after) for pair in node.pairs}
    ends: dict[Pair, tuple[int, Node]] = {}
    for node in forest.nodes:
        before = _count(node.before)
        for pair in node.pairs & rounds.keys():
            seen = before if foreknown and pair not in traced else min(before, _count(node.after))
            if seen > ends.get(pair, (0, node))[0]:
                ends[pair] = (seen, node)
    for pair, (_, node) in ends.items():
        if len(node.pairs) == 1:
            before, after = rounds[pair]
            node.before, node.after = msgspec.structs.replace(before), msgspec.structs.replace(after)


def _count(side: Side) -> int:
    return len(side.rtts_ms) + side.lost


def _observations(forest: Forest, *, loss: bool) -> tuple[list[Observation], dict[int, set[Pair]]]:
    """What the nodes say, and which of them (by number) end which pairs."""
    made: list[Observation] = []
    ends: dict[int, set[Pair]] = {}
    numbers: dict[int, int | None] = {-1: None}
    for place, node in enumerate(forest.nodes):
        found = node.loss_shift() if loss else node.shift_ms()
        if found is None or (loss and not node.pairs and node.before.loss > _RELIABLE):
            continue
        if node.pairs:
            ends[len(made)] = node.pairs
        numbers[place] = len(made)
        made.append(
            Observation(
                shift=found[0],
                error=found[1],
                links=node.links,
                near=numbers.get(node.parent, UNKNOWN),
                ends=bool(node.pairs),
                vantage=node.vantage,
            )
        )
    return made, ends


def _legs(found: Sequence[_Explained]) -> tuple[BlameVerdict, list[Leg]]:
    """One leg a fault, with those it is not told apart from; or, when no fault is told apart, all that remain."""
    sure = any(each.sure for each in found)
    legs: dict[Link, Leg] = {}
    for each in found:
        if sure and not each.sure and _repeats(each, found):
            continue
        for link in (each.fault.link, *(() if sure else each.rivals)):
            leg = _leg(each, link)
            legs[link] = _merged(legs[link], leg) if link in legs else leg
    return (BlameVerdict.LEG if sure else BlameVerdict.CANNOT_TELL), list(legs.values())


def _repeats(one: _Explained, found: Sequence[_Explained]) -> bool:
    """Whether a fault that is not told apart adds what one that is adds already, or half of it: its other direction."""
    amount = one.fault.amount
    return any(
        each.sure
        and each.is_loss is one.is_loss
        and any(abs(amount - part * each.fault.amount) <= _SAME * amount for part in (0.5, 1.0, 2.0))
        for each in found
    )


def _unparted(fault: Fault) -> list[Link]:
    return [link for link, gain in fault.rivals if fault.gain - gain < _PARTED * fault.amount][:_MOST_TIED]


def _leg(found: _Explained, link: Link) -> Leg:
    fault, rivals = found.fault, found.rivals
    return Leg(
        a=link[0],
        b=link[1],
        added_ns=None if found.is_loss else round(fault.amount * NS_PER_MS),
        loss=1 - exp(-fault.amount) if found.is_loss else None,
        confidence=_confidence(found),
        tied=tuple(each for each in (fault.link, *rivals) if each != link) if rivals else (),
    )


def _confidence(found: _Explained) -> float:
    """By how many near-end observations part the link from the next best; halved and less where nothing parts it."""
    fault = found.fault
    paths = min(1.0, fault.ends / _MANY_PATHS)
    if not found.sure:
        return paths * _MOST_FEW / (1 + len(found.rivals))
    best = max((gain for _, gain in fault.rivals), default=0.0)
    evidence = (fault.gain - best) / fault.amount if fault.amount else 0.0
    confidence = paths * evidence / (evidence + _PARTED)
    return confidence if fault.vantages >= _ENOUGH_VANTAGES else min(_MOST_FEW, confidence)


def _merged(one: Leg, other: Leg) -> Leg:
    return Leg(
        a=one.a,
        b=one.b,
        added_ns=one.added_ns if one.added_ns is not None else other.added_ns,
        loss=one.loss if one.loss is not None else other.loss,
        confidence=max(one.confidence, other.confidence),
        tied=one.tied or other.tied,
    )


def _scope(affected: set[Pair], judged: set[Pair]) -> Scope:
    """BlameIt's coarse answer (Jin et al., SIGCOMM 2019): the vantage, the target, or the middle."""
    for place, scope in ((0, Scope.VANTAGE), (1, Scope.TARGET)):
        bad, all_of = Counter(pair[place] for pair in affected), Counter(pair[place] for pair in judged)
        one = [name for name in bad if all_of[name] > 1 and bad[name] >= _SCOPE * all_of[name]]
        if len(one) == 1 and bad[one[0]] >= _SCOPE * len(affected):
            return scope
    return Scope.MIDDLE
