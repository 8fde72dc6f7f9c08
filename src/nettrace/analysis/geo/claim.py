"""Judges latency claims such as "EWR -> SIN 40ms" against light.

Pure: where places are is the caller's knowledge, handed in as a function.
"""

import re
from collections.abc import Callable
from enum import StrEnum
from typing import Any

import msgspec

from nettrace.analysis.geo.floor import Floor, floor_between
from nettrace.errors import Invalid
from nettrace.model.path import Place

FindPlace = Callable[[str], Place | None]

EXAMPLES = '"EWR -> SIN 40ms", "Tokyo to London < 150 ms", "35.6,139.7 -> 1.35,103.8 35ms"'

LONGEST_NS = 86_400 * 10**9
"""No claim is longer than a day."""

_NUMBER = r"\d+(?:[.,]\d+)?"
_UNIT = r"(?:ns|us|µs|μs|ms|msec|s|sec|millis(?:econds?)?|microseconds?|seconds?)"
_TIME = re.compile(
    rf"""(?:\b(?:in|at|is|takes)\s+)?(?P<relation><=|>=|<|>|≤|≥|~|≈|=|:|@|\b(?:under|below|less\ than|up\ to|within|over|above|about|around|in|at|is)\b)?
    \s*(?<![\w.,-])(?P<low>{_NUMBER})\s*(?P<low_unit>{_UNIT})?\s*
    (?:(?:-|\u2013|\u2014|\.\.+|\bto\b)\s*(?P<high>{_NUMBER})\s*)?(?P<unit>{_UNIT})(?![a-z0-9])""",
    re.VERBOSE | re.IGNORECASE,
)
_ARROW = re.compile(r"\s*(?:<?-+>|<?=+>|[→⟶➜⇒↔⇄])\s*|\s+(?:to|and|[>|/\u2013\u2014-])\s+", re.IGNORECASE)
_CODES = re.compile(r"\s*([a-z]{3})\s*[-\u2013/]\s*([a-z]{3})\s*", re.IGNORECASE)
_ONE_WAY = re.compile(r"\bone[\s-]?way\b|\bowd\b|\b1[\s-]?way\b", re.IGNORECASE)
_NOISE = re.compile(
    r"\b(?:rtt|ping|round[\s-]?trip(?:\s+time)?|latency|from|both\s+ways|two[\s-]?way)\b|[()]", re.IGNORECASE
)
_NS = {"n": 1.0, "u": 1e3, "µ": 1e3, "μ": 1e3, "mi": 1e6, "ms": 1e6, "mic": 1e3, "s": 1e9}


class Verdict(StrEnum):
    """What physics says of a claim."""

    POSSIBLE = "possible"
    IMPLAUSIBLE = "implausible"
    IMPOSSIBLE = "impossible"
    UNKNOWN_PLACE = "unknown_place"


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody says: this long from here to there.

    Attributes:
        low_ns, high_ns: the claimed time; equal unless a range was claimed. A lower bound ("> 40 ms") has
            `high_ns` None, an upper one ("< 40 ms") `low_ns` 0.
        one_way: the claim is of one direction; otherwise a round trip is meant.
    """

    text: str
    origin: str
    destination: str
    low_ns: int
    high_ns: int | None
    one_way: bool = False


class Judgement(msgspec.Struct, frozen=True, kw_only=True):
    """A claim and what became of it; `floor` is None when a place is not known.

    `floor` is always that of the round trip, however the claim was made.
    """

    claim: Claim
    verdict: Verdict
    origin: Place | None
    destination: Place | None
    floor: Floor | None


def parse_claim(text: str) -> Claim:
    """The claim a text makes.

    Raises:
        Invalid: no time with a unit, or not exactly two places, can be read from it.

    >>> parse_claim("EWR -> SIN 40-80 ms").high_ns
    80000000
    """
    rest = _ONE_WAY.sub(" ", text)
    times = list(_TIME.finditer(rest))
    if not times:
        raise Invalid(f"no time in the claim {text!r}", f"Write it like {EXAMPLES}")
    if len(times) > 1:
        raise Invalid(f"more than one time in the claim {text!r}", "Check one claim at a time")
    time = times[0]
    low, high = _bounds(time, text)
    places = _NOISE.sub(" ", f"{rest[: time.start()]} {rest[time.end() :]}")
    codes = _CODES.fullmatch(places)
    parts = codes.groups() if codes else _ARROW.split(places)
    ends = [part for part in map(_tidy, parts) if part]
    if len(ends) != 2:
        raise Invalid(f"the claim {text!r} does not name two places", f"Write it like {EXAMPLES}")
    return Claim(
        text=text,
        origin=ends[0],
        destination=ends[1],
        low_ns=low,
        high_ns=high,
        one_way=_ONE_WAY.search(text) is not None,
    )


def judge(claim: Claim, find: FindPlace) -> Judgement:
    """What physics says of a claim: a range is as possible as its slowest end.

    >>> judge(
    ...     parse_claim("a -> b 60ms"),
    ...     lambda name: Place(name=name, latitude=0, longitude=ord(name), radius_km=0, evidence="given"),
    ... ).verdict
    <Verdict.POSSIBLE: 'possible'>
    """
    origin, destination = find(claim.origin), find(claim.destination)
    if origin is None or destination is None:
        return Judgement(
            claim=claim,
            verdict=Verdict.UNKNOWN_PLACE,
            origin=origin,
            destination=destination,
            floor=None,
        )
    floor = floor_between(origin, destination)
    return Judgement(
        claim=claim,
        verdict=_verdict(claim, floor),
        origin=origin,
        destination=destination,
        floor=floor,
    )


def claim_document(judgement: Judgement) -> dict[str, Any]:
    """`nettrace.claim/1`. Floors are those of what was claimed: halved for a one-way claim."""
    claim, floor = judgement.claim, judgement.floor
    share = 0.5 if claim.one_way else 1.0
    return {
        "schema": "nettrace.claim/1",
        "claim": claim.text,
        "verdict": judgement.verdict,
        "floor_ms": _ms(floor.vacuum_ns * share) if floor else None,
        "fibre_ms": _ms(floor.fibre_ns * share) if floor else None,
        "distance_km": round(floor.distance_km, 1) if floor else None,
        "claimed_ms": None if claim.high_ns is None else _ms(claim.high_ns),
        "claimed_low_ms": _ms(claim.low_ns),
        "direction": "one_way" if claim.one_way else "round_trip",
        "from": _place(claim.origin, judgement.origin),
        "to": _place(claim.destination, judgement.destination),
    }


def _verdict(claim: Claim, floor: Floor) -> Verdict:
    if claim.high_ns is None:
        return Verdict.POSSIBLE
    round_trip = claim.high_ns * (2 if claim.one_way else 1)
    if round_trip >= floor.fibre_ns:
        return Verdict.POSSIBLE
    return Verdict.IMPLAUSIBLE if round_trip >= floor.vacuum_ns else Verdict.IMPOSSIBLE


def _bounds(time: re.Match[str], text: str) -> tuple[int, int | None]:
    scale = _scale(time["unit"])
    low_scale = _scale(time["low_unit"]) if time["low_unit"] else scale
    low = _ns(time["low"], low_scale)
    high = _ns(time["high"], scale) if time["high"] else low
    if high > LONGEST_NS:
        raise Invalid(f"the time in {text!r} is longer than a day", "Latencies are claimed in ms")
    if high < low:
        raise Invalid(f"the range in {text!r} runs backwards", "Write the smaller time first")
    match (time["relation"] or "").lower():
        case "<" | "<=" | "≤" | "under" | "below" | "less than" | "up to" | "within":
            return 0, high
        case ">" | ">=" | "≥" | "over" | "above":
            return low, None
        case _:
            return low, high


def _ns(number: str, scale: float) -> int:
    return round(min(float(number.replace(",", ".")) * scale, 2.0 * LONGEST_NS))


def _scale(unit: str) -> float:
    unit = unit.lower()
    return _NS.get(unit[:3]) or _NS.get(unit[:2]) or _NS[unit[0]]


def _tidy(text: str) -> str:
    return " ".join(text.split()).strip(" :;=")


def _ms(ns: float) -> float:
    return round(ns / 1e6, 3)


def _place(asked: str, place: Place | None) -> dict[str, Any]:
    if place is None:
        return {"asked": asked, "name": None, "country": None, "lat": None, "lon": None}
    return {
        "asked": asked,
        "name": place.name,
        "country": place.country,
        "lat": place.latitude,
        "lon": place.longitude,
    }
