"""Causes with what became of them: which are open, which are over and since when, and what only came and went.

A change that takes an earlier one back is that one's end and no cause of its own; a pair that goes back and forth between
two levels is one line. Nothing is remembered: the same events make the same stories.
"""

from collections.abc import Iterable, Sequence
from enum import StrEnum
from statistics import median

import msgspec

from nettrace.hub.cause import NEAR_NS, Cause, causes, in_words, one_cause
from nettrace.model.instant import NS_PER_S, Instant
from nettrace.store.rows import Event

STILL_BAD = 0.2
"""A cause is over when at most this share of its pairs is still worse."""
FLAP_NS = 15 * 60 * NS_PER_S
"""Changes of one pair no further apart than this may be one that goes back and forth."""
_LEAST_FLAPS = 3
_LASTING = frozenset({"shift", "loss", "trend", "divergence"})
_ENDED = frozenset({"ended", "transient"})


class Became(StrEnum):
    """What became of a cause."""

    OPEN = "open"
    OVER = "over"
    BETTER = "better"
    PASSED = "passed"


class Story(msgspec.Struct, frozen=True, kw_only=True):
    """A cause and its end.

    Attributes:
        became: `open` while something is worse; `over` when it is as before, or its detector has settled with it; `better`
            when levels went down by themselves; `passed` when nothing lasts: an anomaly, a change of a route or an address.
        over_at: when it was over, of what is over.
        worse: pairs that are worse still.
        ends: events that took the cause's changes back.
        times: how often a pair went up when it goes back and forth, else 0.
    """

    cause: Cause
    became: Became
    words: str
    over_at: Instant | None = None
    worse: tuple[tuple[str, str], ...] = ()
    ends: tuple[Event, ...] = ()
    times: int = 0

    @property
    def severity(self) -> str:
        """Of the cause; good news is never worse than `info`."""
        return "info" if self.became is Became.BETTER else self.cause.severity

    def holds(self, event: Event) -> bool:
        """Whether an event is part of this."""
        return any(each.id == event.id for each in (*self.cause.events, *self.ends))


class _Body(msgspec.Struct):
    at: float | str | None = None
    direction: str | None = None
    tier: str = ""
    updates: bool = False
    opened_by: str = ""
    returns_to: float | None = None
    from_ms: float | None = None
    to_ms: float | None = None


class _Ledger:
    """Which events end which, and when."""

    def __init__(self, events: Iterable[Event]) -> None:
        self.bodies = {event.id: _read(event) for event in events}
        self.ended: dict[str, Instant] = {}
        self.taken_back: dict[str, list[Event]] = {}
        self.returns: set[str] = set()
        self._note(sorted(events, key=lambda event: (event.detected_at, event.id)))

    def _note(self, events: Sequence[Event]) -> None:
        first = {self._key(each, each.at): each.id for each in events if not self.bodies[each.id].updates}
        said = {
            (str(each.series), each.kind, self.bodies[each.id].at): each.id
            for each in events
            if not self.bodies[each.id].updates
        }
        for each in events:
            body = self.bodies[each.id]
            if body.updates and body.tier in _ENDED:
                over = body.opened_by or first.get(self._key(each, each.at), "")
                self.ended.setdefault(over, each.detected_at)
            elif body.returns_to is not None:
                began = said.get((str(each.series), each.kind, body.returns_to))
                if began is not None:
                    self.ended[began] = each.at  # when it was, not when that was proven
                    self.taken_back.setdefault(began, []).append(each)
                    self.returns.add(each.id)

    @staticmethod
    def _key(event: Event, at: Instant) -> tuple[str, str, Instant]:
        return str(event.series), event.kind, at


def stories(events: Iterable[Event], near_ns: int = NEAR_NS) -> list[Story]:
    """What lies behind events and what became of it, newest first. Updates among the events tell the ends."""
    known = list(events)
    ledger = _Ledger(known)
    found = causes((each for each in known if each.id not in ledger.returns), near_ns)
    told = [_story(cause, ledger) for cause in found]
    return _folded(told, ledger)


def _story(cause: Cause, ledger: _Ledger) -> Story:
    ends = tuple(end for each in cause.events for end in ledger.taken_back.get(each.id, ()))
    lasting = [each for each in cause.events if each.kind in _LASTING]
    worse = [each for each in lasting if ledger.bodies[each.id].direction != "down"]
    legs = [each for each in cause.events if each.kind == "degraded_leg"]
    bad = {_pair(each) for each in worse if each.id not in ledger.ended}
    pairs = {_pair(each) for each in worse}
    over = [ledger.ended[each.id] for each in (legs or worse) if each.id in ledger.ended]
    if legs and len(over) == len(legs):
        bad = set[tuple[str, str]]()
    words = in_words(cause)
    if (pairs and len(bad) > STILL_BAD * len(pairs)) or (legs and not over and not pairs):
        return Story(cause=cause, became=Became.OPEN, words=words, worse=tuple(sorted(bad)), ends=ends)
    if pairs or legs:
        return Story(cause=cause, became=Became.OVER, words=words, over_at=max(over, default=None) or _last(worse, ledger), ends=ends)  # fmt: skip
    became = Became.BETTER if lasting else Became.PASSED
    ended = ledger.ended.get(cause.id) if became is Became.PASSED else None
    return Story(cause=cause, became=Became.OVER if ended else became, words=words, over_at=ended)


def _last(worse: Iterable[Event], ledger: _Ledger) -> Instant | None:
    return max((ledger.ended[each.id] for each in worse if each.id in ledger.ended), default=None)


def _folded(told: Sequence[Story], ledger: _Ledger) -> list[Story]:
    """Stories of one pair that follow each other closely are one: it goes back and forth."""
    runs: dict[tuple[str, str], list[list[Story]]] = {}
    for story in sorted(told, key=lambda each: each.cause.since):
        if len(story.cause.pairs) == 1 and set(story.cause.kinds) == {"shift"}:
            mine = runs.setdefault(story.cause.pairs[0], [[]])
            if mine[-1] and story.cause.since - (mine[-1][-1].over_at or mine[-1][-1].cause.since) > FLAP_NS:
                mine.append([])
            mine[-1].append(story)
    kept = {id(story): story for story in told}
    for run in (run for mine in runs.values() for run in mine):
        if len(run) >= _LEAST_FLAPS:
            for story in run:
                del kept[id(story)]
            joined = _flapping(run, ledger)
            kept[id(joined)] = joined
    return sorted(kept.values(), key=lambda each: (-each.cause.since, each.cause.id))


def _flapping(run: Sequence[Story], ledger: _Ledger) -> Story:
    events = sorted(
        (event for story in run for event in story.cause.events), key=lambda each: (each.at, each.id)
    )
    cause, last = one_cause(events), run[-1]
    levels = [
        sorted((body.from_ms, body.to_ms))
        for event in events
        if (body := ledger.bodies[event.id]).from_ms is not None and body.to_ms is not None
    ]
    low, high = (median(each[side] for each in levels) for side in (0, 1)) if levels else (0.0, 0.0)
    vantage, target = cause.pairs[0]
    words = f"back and forth between {low:.3g} and {high:.3g} ms, {len(run)} times: {target} from {vantage}"
    return Story(
        cause=cause, became=last.became, words=words, over_at=last.over_at, worse=last.worse, times=len(run),
        ends=tuple(end for story in run for end in story.ends),
    )  # fmt: skip


def _pair(event: Event) -> tuple[str, str]:
    return event.vantage or "", event.target or ""


def _read(event: Event) -> _Body:
    try:
        return msgspec.json.decode(event.body, type=_Body, strict=False)
    except msgspec.DecodeError:
        return _Body()
