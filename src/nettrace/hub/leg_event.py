"""The event of a degraded leg as a document: what is told when it is opened, brought up to date and closed.

`nettrace.degraded_leg/1`. Each statement is an event of its own in the store; those that only move an earlier one have
`updates` true and name it in `opened_by`. `confidence` is that something happened to these pairs at once; how sure the
leg is stands with each leg. `subject` is what the first statement held for the cause and never changes:
alerts hang on it.
"""

from collections.abc import Iterable, Sequence
from hashlib import blake2b
from typing import Any

import msgspec

from nettrace.hub.cause import Cause
from nettrace.model.instant import NS_PER_S, Instant, ms, rfc3339
from nettrace.model.path import Hop, Trace
from nettrace.model.route import Blame, BlameVerdict
from nettrace.store.rows import Event
from nettrace.wire.route_documents import blame_document

KIND, SCHEMA = "degraded_leg", "nettrace.degraded_leg/1"
_LOSS_WARNS, _LOSS_CRITICAL = 0.05, 0.25
_STEPS_MS = ((30.0, "critical"), (10.0, "warning"), (3.0, "notice"))
_MOST_SIGNALS = 200
_MOVED_SHARE, _MOVED_NS = 0.25, 2_000_000
"""An update is told for another verdict, more pairs, or an amount that moved by this much."""
_SURER = 0.1
"""Other legs are told when they are so much surer: two ends of one cable are not told in turns."""


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """An event that was opened and not closed, as it was told last.

    Attributes:
        document: the newest statement.
        pairs: that were ever said to be affected.
        signals: that it explains.
    """

    id: str
    since: Instant
    opened_at: Instant
    document: dict[str, Any]
    pairs: tuple[tuple[str | None, str], ...]
    signals: tuple[str, ...]
    count: int


class _Body(msgspec.Struct):
    opened_by: str
    tier: str
    affected: list[tuple[str | None, str]]
    signals: list[str]


def standing(told: Iterable[Event]) -> list[Told]:
    """The events among what was told that are not over, oldest first."""
    legs: dict[str, Told] = {}
    for event in sorted(told, key=lambda event: (event.detected_at, event.id)):
        body = msgspec.json.decode(event.body, type=_Body)
        before = legs.pop(body.opened_by, None)
        if body.tier in {"ended", "transient"}:
            continue
        legs[body.opened_by] = Told(
            id=body.opened_by, since=event.at, opened_at=before.opened_at if before else event.detected_at,
            document=msgspec.json.decode(event.body), count=before.count + 1 if before else 1,
            pairs=_joined(before.pairs if before else (), body.affected),
            signals=tuple(dict.fromkeys((*(before.signals if before else ()), *body.signals))),
        )  # fmt: skip
    return sorted(legs.values(), key=lambda leg: (leg.opened_at, leg.id))


def opened(found: Blame, cause: Cause, traces: Sequence[Trace], now: Instant) -> Event:
    """The first statement about a cause."""
    made = "leg_" + blake2b(cause.id.encode(), digest_size=10).hexdigest()
    first = found.legs[0]
    named = found.verdict is BlameVerdict.LEG
    document = _document(found, cause, traces, cause.since, now)
    document |= {"id": made, "opened_by": made, "updates": False}
    document |= {"subject": f"leg:{first.a}>{first.b}" if named else f"leg:{made}"}
    return _event(document, made, cause.since, now)


def updated(leg: Told, found: Blame, cause: Cause, traces: Sequence[Trace], now: Instant) -> Event | None:
    """What is known now, when that is something else than was told before."""
    document = _document(found, cause, traces, leg.since, now)
    document["affected"] = [list(pair) for pair in _joined(leg.pairs, document["affected"])]
    if not _differs(leg.document, document):
        return None
    return _moved(leg, document, leg.since, now)


def closed(leg: Told, now: Instant, why: str) -> Event:
    """The end: `recovered`, `lasting` when it is how things are now, or `rerouted`: it was no leg, and is taken back."""
    document = leg.document | {
        "tier": "transient" if why == "rerouted" else "ended", "direction": "down", "ended_at": rfc3339(now), "ended_because": why, "detected_at": rfc3339(now),
        "affected": [list(pair) for pair in leg.pairs], "severity": "info",
    }  # fmt: skip
    return _moved(leg, document, leg.since, now)


def _moved(leg: Told, document: dict[str, Any], since: Instant, now: Instant) -> Event:
    made = "leg_" + blake2b(f"{leg.id} {leg.count} {now}".encode(), digest_size=10).hexdigest()
    document |= {"id": made, "opened_by": leg.id, "updates": True, "subject": leg.document["subject"]}
    return _event(document, made, since, now)


def _event(document: dict[str, Any], made: str, since: Instant, now: Instant) -> Event:
    targets = {target for _, target in document["affected"]}
    vantages = {vantage for vantage, _ in document["affected"]}
    return Event(
        id=made, kind=KIND, at=since, detected_at=now, severity=document["severity"], confidence=document["confidence"],
        target=next(iter(targets)) if len(targets) == 1 else None,
        vantage=next(iter(vantages)) if len(vantages) == 1 else None, body=msgspec.json.encode(document),
    )  # fmt: skip


def _document(
    found: Blame, cause: Cause, traces: Sequence[Trace], since: Instant, now: Instant
) -> dict[str, Any]:
    hops = {hop.address: hop for trace in traces for hop in trace.hops if hop.address is not None}
    legs = [
        shown | _end("a", leg.a, hops) | _end("b", leg.b, hops)
        for shown, leg in zip(blame_document(found)["legs"], found.legs, strict=True)
    ]
    pairs = [list(pair) for pair in _joined(tuple(cause.pairs), found.affected)]
    added = max((leg.added_ns for leg in found.legs if leg.added_ns is not None), default=None)
    loss = max((leg.loss for leg in found.legs if leg.loss is not None), default=None)
    return {
        "object": "event", "schema": SCHEMA, "kind": KIND, "at": rfc3339(since), "detected_at": rfc3339(now),
        "delay_s": round((now - since) / NS_PER_S, 3), "tier": "confirmed", "direction": "up",
        "severity": _severity(added, loss, {vantage for vantage, _ in pairs}),
        "confidence": round(cause.confidence, 4), "verdict": found.verdict, "legs": legs,
        "added_ms": ms(added), "loss": None if loss is None else round(loss, 4), "affected": pairs,
        "scope": found.scope, "paths": found.paths, "signals": [each.id for each in cause.events][:_MOST_SIGNALS],
    }  # fmt: skip


def _end(side: str, address: str, hops: dict[str, Hop]) -> dict[str, Any]:
    """Where an end of a leg stands and whose it is, as far as its traces were annotated."""
    hop = hops.get(address)
    place = hop.place if hop else None
    return {
        f"{side}_place": place.name if place else None, f"{side}_asn": hop.asn if hop else None,
        f"{side}_as_name": hop.as_name if hop else None,
    }  # fmt: skip


def _severity(added_ns: int | None, loss: float | None, vantages: set[str | None]) -> str:
    """By size; critical needs two vantages, for one alone may have the trouble at its own door."""
    step = (added_ns or 0) / 1e6
    word = next((word for least, word in _STEPS_MS if step >= least), "info")
    if loss is not None and loss >= _LOSS_WARNS:
        word = "critical" if loss >= _LOSS_CRITICAL or word == "critical" else "warning"
    return "warning" if word == "critical" and len(vantages) < 2 else word


def _better(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether the other statement says more of the leg: names it, names another much more surely, or leaves fewer open."""
    named = [document["verdict"] == BlameVerdict.LEG for document in (one, other)]
    if named[0] != named[1]:
        return named[1]
    if named[1]:
        return _surest(other) > _surest(one) + _SURER
    return len(other["legs"]) < len(one["legs"])


def _differs(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether there is anything new; what was said of the leg stays in `other` unless it can be said better."""
    better = _better(one, other)
    same = sorted((leg["a"], leg["b"]) for leg in one["legs"]) == sorted(
        (leg["a"], leg["b"]) for leg in other["legs"]
    )
    if not better and not same:
        other |= {name: one[name] for name in ("verdict", "legs", "added_ms", "loss", "scope", "paths")}
    before, after = one["added_ms"] or 0.0, other["added_ms"] or 0.0
    moved = abs(after - before) > max(_MOVED_NS / 1e6, _MOVED_SHARE * abs(before))
    return better or moved or sorted(map(str, one["affected"])) != sorted(map(str, other["affected"]))


def _surest(document: dict[str, Any]) -> float:
    return max(float(leg["confidence"]) for leg in document["legs"])


def _joined(
    one: tuple[tuple[str | None, str], ...], more: Iterable[Sequence[Any]]
) -> tuple[tuple[str | None, str], ...]:
    pairs = {*one, *((pair[0], pair[1]) for pair in more)}
    return tuple(sorted(pairs, key=lambda pair: (pair[0] or "", pair[1])))
