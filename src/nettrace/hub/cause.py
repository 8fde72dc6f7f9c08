"""One cause, one line: events that belong together, and the leg that explains them.

A cable that breaks moves the round trips of every pair that crossed it, each a signal of its own. Events belong together
when they happened close in time, went the same way, and are connected through targets or vantages they share; what
merely happened at the same time elsewhere stays apart, and so does the repair.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence

import msgspec

from nettrace.hub.mesh import SUFFIX
from nettrace.model.instant import NS_PER_S, Instant
from nettrace.model.route import Blame, BlameVerdict, Leg, Scope
from nettrace.store.rows import Event

NEAR_NS = 180 * NS_PER_S
"""Events within three rounds of the usual cadence may have one cause."""

BLAMED = frozenset({"shift", "loss", "route_change", "anomaly", "trend"})
EXPLAINING = frozenset({"degraded_leg", "route_change_shared"})
"""Events that say what is behind others."""
_SEVERITIES = ("info", "notice", "warning", "critical")

LegOf = Callable[["Cause"], Blame | None]


class Cause(msgspec.Struct, frozen=True, kw_only=True):
    """Events that belong together.

    Attributes:
        id: of its earliest event, by which its page is found.
        since: when the earliest is estimated to have happened; `detected_at` when the first was proven.
        events: all of them, earliest first.
        pairs: (vantage, target) affected.
        slower, faster: pairs whose level went up or down.
        added_ns: median change of the levels that moved, or None when none did.
    """

    id: str
    since: Instant
    detected_at: Instant
    events: tuple[Event, ...]
    kinds: tuple[str, ...]
    pairs: tuple[tuple[str, str], ...]
    slower: int
    faster: int
    added_ns: int | None
    severity: str
    confidence: float

    @property
    def targets(self) -> tuple[str, ...]:
        """Targets affected, by name."""
        return tuple(sorted({target for _, target in self.pairs}))

    @property
    def vantages(self) -> tuple[str, ...]:
        """Vantages that see it, by name."""
        return tuple(sorted({vantage for vantage, _ in self.pairs}))


class _Leg(msgspec.Struct):
    """A leg in an event's document."""

    a: str
    b: str
    added_ms: float | None = None
    loss: float | None = None
    confidence: float = 0.0
    tied: list[tuple[str, str]] = []
    a_place: str | None = None
    b_place: str | None = None
    a_as_name: str | None = None
    b_as_name: str | None = None

    @property
    def words(self) -> str:
        """Between which places, or addresses where the places are not known or the same."""
        if self.a_place and self.b_place and self.a_place != self.b_place:
            return f"{self.a_place} to {self.b_place}"
        return f"{self.a} to {self.b}"


class _Body(msgspec.Struct):
    """What is read of an event's document."""

    direction: str | None = None
    delta_ms: float | None = None
    updates: bool = False
    signals: list[str] = []
    children: list[str] = []
    asn: int | None = None
    verdict: str = "none"
    legs: list[_Leg] = []
    added_ms: float | None = None
    loss: float | None = None
    affected: list[tuple[str | None, str]] = []
    scope: str | None = None
    paths: int = 0


def causes(events: Iterable[Event], near_ns: int = NEAR_NS) -> list[Cause]:
    """The causes behind events, newest first. Updates of an event (confirmed, ended) are not events of their own."""
    ordered = sorted(
        (event for event in events if not _body(event.body).updates), key=lambda event: (event.at, event.id)
    )
    groups: list[list[Event]] = []
    for event in ordered:
        near = [group for group in groups if event.at - group[-1].at <= near_ns and _connected(group, event)]
        joined = [each for group in near for each in group]
        groups = [group for group in groups if group not in near]
        groups.append(sorted([*joined, event], key=lambda each: (each.at, each.id)))
    groups = _gathered(groups)
    return sorted((one_cause(group) for group in groups), key=lambda cause: (-cause.since, cause.id))


def _gathered(groups: list[list[Event]]) -> list[list[Event]]:
    """Events that explain others stand with these, however far apart they were told."""
    for event in [event for group in groups for event in group if event.kind in EXPLAINING]:
        body = _body(event.body)
        parts = {event.id, *body.signals, *body.children}
        mine = [group for group in groups if any(each.id in parts for each in group)]
        if len(mine) > 1:
            joined = sorted((each for group in mine for each in group), key=lambda each: (each.at, each.id))
            groups = [*(group for group in groups if group not in mine), joined]
    return groups


def _connected(group: Sequence[Event], event: Event) -> bool:
    """Whether an event shares a target or a vantage with one of a group that went no other way."""
    if event.kind in EXPLAINING or any(each.kind in EXPLAINING for each in group):
        return False  # these say themselves what belongs to them
    way, mine = _body(event.body).direction, _ends(event)
    return any(
        not mine.isdisjoint(_ends(each))
        for each in group
        if way is None or _body(each.body).direction in {None, way}
    )


def _ends(event: Event) -> set[tuple[str, str]]:
    """What an event stands at: its vantage and its target, which on the mesh is a vantage too."""
    ends = {("vantage", event.vantage)} if event.vantage is not None else set[tuple[str, str]]()
    if event.target is not None:
        peer = event.target.removesuffix(SUFFIX)
        ends.add(("target", event.target) if peer == event.target else ("vantage", peer))
    return ends


def one_cause(group: Sequence[Event]) -> Cause:
    """Events as one cause; they are given earliest first, and at least one."""
    bodies = {event.id: _body(event.body) for event in group}
    moved: dict[tuple[str, str], float] = {}
    for event in group:
        delta = bodies[event.id].delta_ms
        if event.vantage and event.target and delta is not None and event.kind == "shift":
            moved[event.vantage, event.target] = delta
    levels = sorted(moved.values())
    pairs = {(event.vantage, event.target) for event in group if event.vantage and event.target}
    pairs |= {(vantage, target) for body in bodies.values() for vantage, target in body.affected if vantage}
    return Cause(
        id=group[0].id,
        since=group[0].at,
        detected_at=min(event.detected_at for event in group),
        events=tuple(group),
        kinds=tuple(kind for kind, _ in Counter(event.kind for event in group).most_common()),
        pairs=tuple(sorted(pairs)),
        slower=sum(delta > 0 for delta in levels),
        faster=sum(delta < 0 for delta in levels),
        added_ns=round(levels[len(levels) // 2] * 1e6) if levels else None,
        severity=max((event.severity for event in group), key=lambda word: _SEVERITIES.index(word) if word in _SEVERITIES else 0),
        confidence=1 - _all_wrong(group),
    )  # fmt: skip


def _all_wrong(group: Sequence[Event]) -> float:
    """How likely nothing happened at all; never below 1 in 1,000, for events of one cause are not independent."""
    chance = 1.0
    for event in group:
        chance *= 1 - (event.confidence if event.confidence is not None else 0.5)
    return max(0.001, chance)


def in_words(cause: Cause) -> str:
    """A cause in one line.

    >>> event = Event(id="sig_1", kind="loss", at=0, detected_at=5, target="api.example", vantage="nyc")
    >>> in_words(causes([event])[0])
    'loss: api.example from nyc'
    """
    pairs, targets, vantages = len(cause.pairs), cause.targets, cause.vantages
    said = _explained(cause)
    if pairs <= 1:
        where = f"{targets[0]} from {vantages[0]}" if pairs else (cause.events[0].target or "")
    elif len(targets) == 1:
        where = f"{targets[0]} from {len(vantages)} vantages"
    elif len(vantages) == 1:
        where = f"{len(targets)} targets from {vantages[0]}"
    else:
        where = f"{pairs} pairs: {len(targets)} targets from {len(vantages)} vantages"
    if said:
        return f"{said}: {where}"
    if cause.added_ns is not None:
        side = "slower" if cause.slower >= cause.faster else "faster"
        return f"{side} by {abs(cause.added_ns) / 1e6:.3g} ms: {where}"
    return f"{cause.kinds[0].replace('_', ' ')}: {where}"


def _explained(cause: Cause) -> str:
    """What the newest event that explains the others says, in words; nothing when there is none."""
    for event in reversed(cause.events):
        if event.kind == "route_change_shared":
            body = _body(event.body)
            beside = f" (AS {body.asn})" if body.asn is not None else ""
            return f"routes changed together{beside}"
        if event.kind == "degraded_leg":
            body = _body(event.body)
            added = "" if body.added_ms is None else f" by {body.added_ms:.3g} ms"
            lost = "" if body.loss is None else f", {body.loss:.0%} lost"
            if body.verdict == "leg":
                return f"leg {body.legs[0].words} degraded{added}{lost}"
            return f"one of {len(body.legs)} legs degraded{added}{lost}"
    return ""


def stored_blame(cause: Cause) -> tuple[Blame, dict[str, str]] | None:
    """What the hub itself concluded about the leg when it happened, if it did, and where its ends stand."""
    event = next((each for each in reversed(cause.events) if each.kind == "degraded_leg"), None)
    if event is None:
        return None
    return blame_said(event.body, event.at)


def blame_said(document: bytes, since: Instant) -> tuple[Blame, dict[str, str]]:
    """The verdict that a degraded leg's document holds, and where the ends of its legs stand, by address."""
    body = _body(document)
    legs = [
        Leg(
            a=leg.a, b=leg.b, added_ns=None if leg.added_ms is None else round(leg.added_ms * 1e6), loss=leg.loss,
            confidence=leg.confidence, tied=tuple(leg.tied),
        )
        for leg in body.legs
    ]  # fmt: skip
    ends = [(leg.a, leg.a_place, leg.a_as_name) for leg in body.legs]
    ends += [(leg.b, leg.b_place, leg.b_as_name) for leg in body.legs]
    said = Blame(
        since=since, verdict=BlameVerdict(body.verdict), legs=tuple(legs), affected=tuple(body.affected),
        scope=None if body.scope is None else Scope(body.scope), paths=body.paths,
    )  # fmt: skip
    return said, {address: where(place, owner) for address, place, owner in ends if place or owner}


def where(place: str | None, owner: str | None) -> str:
    """Where a router stands and whose it is.

    >>> where("Mumbai", "Amberway"), where(None, "Amberway")
    ('Mumbai (Amberway)', 'Amberway')
    """
    return f"{place} ({owner})" if place and owner else place or owner or ""


def _body(document: bytes) -> _Body:
    try:
        return msgspec.json.decode(document, type=_Body, strict=False)
    except msgspec.DecodeError:
        return _Body()
