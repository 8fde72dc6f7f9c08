"""What a plan promises, and whether it was kept: each venue's latency from the site that serves it."""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any

import msgspec

from nettrace.errors import Invalid
from nettrace.placement.document.brief import Brief
from nettrace.placement.document.seen import Seen
from nettrace.placement.plan import Plan

_SHARE = 0.1
_LEAST_MS = 2.0


class Promise(msgspec.Struct, frozen=True, kw_only=True):
    """A venue's latency as planned; `high_ms` is what it may be at most."""

    venue: str
    site: str
    p50_ms: float
    high_ms: float


class Score(StrEnum):
    """What became of a promise."""

    KEPT = "kept"
    BROKEN = "broken"
    NOT_MEASURED = "not_measured"


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """A promise beside its result.

    Attributes:
        sure: the whole interval of the new median lies on that side; None without an interval.
    """

    promise: Promise
    score: Score
    seen: Seen | None
    sure: bool | None


def most_ms(p50: float, high: float | None) -> float:
    """What a promised median may be at most: the interval's end, but a tenth or 2 ms more than the median at least.

    Two runs of a few minutes differ by more than the interval of either, which knows nothing of other hours.

    >>> most_ms(10.0, 10.2), most_ms(100.0, None), most_ms(10.0, 30.0)
    (12.0, 110.0, 30.0)
    """
    return round(max(high or 0.0, p50 + max(_SHARE * p50, _LEAST_MS)), 3)


def promises(plan: Plan) -> list[Promise]:
    """What a plan promises."""
    return [
        Promise(
            venue=each.venue, site=each.site, p50_ms=each.p50_ms, high_ms=most_ms(each.p50_ms, each.high_ms)
        )
        for each in plan.assignments
    ]


def promised(document: Mapping[str, Any]) -> tuple[list[Promise], Brief]:
    """What a stored `nettrace.plan/1` promises, and the brief it was made by.

    Raises:
        Invalid: it is none, or has no plan in it.
    """
    if document.get("schema") != "nettrace.plan/1":
        raise Invalid(
            f"this is no nettrace.plan/1 but {document.get('schema')!r}",
            "Make one: nettrace plan REQUEST.toml -o json > plan.json",
        )
    if not document["assignments"]:
        raise Invalid("the plan serves no venue: there is nothing to verify")
    made = [
        Promise(
            venue=each["venue"],
            site=each["site"],
            p50_ms=each["p50_ms"],
            high_ms=most_ms(each["p50_ms"], each["high_ms"]),
        )
        for each in document["assignments"]
    ]
    return made, msgspec.convert(document.get("brief", {}), Brief)


def verified(wanted: Sequence[Promise], pairs: Mapping[tuple[str, str], Seen]) -> list[Kept]:
    """Each promise held against what was measured since."""
    return [_kept(each, pairs.get((each.venue, each.site))) for each in wanted]


def _kept(promise: Promise, seen: Seen | None) -> Kept:
    if seen is None:
        return Kept(promise=promise, score=Score.NOT_MEASURED, seen=None, sure=None)
    score = Score.KEPT if seen.p50_ms <= promise.high_ms else Score.BROKEN
    end = seen.high_ms if score is Score.KEPT else seen.low_ms
    sure = None if end is None else (end <= promise.high_ms) == (score is Score.KEPT)
    return Kept(promise=promise, score=score, seen=seen, sure=sure)


def verdict_document(kept: Kept) -> dict[str, Any]:
    """`nettrace.plan_verdict/1`."""
    seen = kept.seen
    return {
        "schema": "nettrace.plan_verdict/1", "venue": kept.promise.venue, "site": kept.promise.site, "verdict": kept.score,
        "sure": kept.sure, "promised_ms": kept.promise.p50_ms, "most_ms": kept.promise.high_ms,
        "p50_ms": seen.p50_ms if seen else None, "low_ms": seen.low_ms if seen else None,
        "high_ms": seen.high_ms if seen else None, "p95_ms": seen.p95_ms if seen else None, "n": seen.n if seen else None,
        "lost": seen.lost if seen else None, "host": seen.host if seen else None,
        "since": seen.since if seen else None, "until": seen.until if seen else None,
    }  # fmt: skip
