"""The public JSON documents of routes: `nettrace.route_change/1` and `nettrace.blame/1`."""

from typing import Any

from nettrace.model.instant import ms, rfc3339
from nettrace.model.route import Blame, Leg, RouteChange

Document = dict[str, Any]


def route_change_document(change: RouteChange) -> Document:
    """`nettrace.route_change/1`: `from` and `to` are hop lists, null where nothing answered."""
    return {
        "schema": "nettrace.route_change/1",
        "vantage": change.vantage,
        "target": change.target,
        "method": change.method,
        "at": rfc3339(change.at),
        "detected_at": rfc3339(change.detected_at),
        "class": change.kind,
        "from": list(change.before.hops),
        "to": list(change.after.hops),
        "from_route": change.before.id,
        "to_route": change.after.id,
        "from_as": list(change.before.as_path),
        "to_as": list(change.after.as_path),
        "reverted": change.reverted,
        "rtt_delta_ms": ms(change.rtt_delta_ns),
        "rtt_moved": change.rtt_moved,
        "confidence": round(change.confidence, 4),
        "traces": change.traces,
    }


def blame_document(blame: Blame) -> Document:
    """`nettrace.blame/1`: `legs` are at fault, or, when the verdict is `cannot_tell`, the set that remains."""
    return {
        "schema": "nettrace.blame/1",
        "since": rfc3339(blame.since),
        "verdict": blame.verdict,
        "legs": [_leg(leg) for leg in blame.legs],
        "affected": [list(pair) for pair in blame.affected],
        "scope": blame.scope,
        "paths": blame.paths,
    }


def _leg(leg: Leg) -> Document:
    return {
        "a": leg.a,
        "b": leg.b,
        "added_ms": ms(leg.added_ns),
        "loss": None if leg.loss is None else round(leg.loss, 4),
        "confidence": round(leg.confidence, 4),
        "tied": [list(pair) for pair in leg.tied],
    }
