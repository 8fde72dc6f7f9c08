"""Where a host stands, from the least round trips to it from many known places.

Light bounds: an answer that took `rtt` came from within `reach_km(rtt)` of whoever asked, so a host stands where all
those circles overlap (Gueye et al., "Constraint-based geolocation of Internet hosts", IEEE/ACM ToN 14(6), 2006, with
light in vacuum instead of fitted lines, so the true place is never excluded). Circles that do not overlap prove that
several machines share the address: anycast (Cicalese et al., "Characterizing IPv4 anycast", CoNEXT 2015).

Among candidates that light allows, the one is best whose distances explain the round trips with the usual detours of
real routes; when others explain them nearly as well, the answer is all of them, or "cannot tell". Pure.
"""

from collections.abc import Sequence
from enum import StrEnum
from math import acos, atan2, cos, degrees, log, radians, sin, sqrt

import msgspec

from nettrace.analysis.geo.floor import fibre_ns, reach_km
from nettrace.analysis.geo.sphere import (
    EARTH_RADIUS_KM,
    ELLIPSOID_ERROR,
    HALF_ROUND_KM,
    between_km,
    destination,
    distance_km,
)
from nettrace.model.path import Place

SLACK_KM = 1.0
"""Allowed for rounding, so that a circle's own edge lies in it."""

METRO_KM = 150.0
"""Candidates this near to one another are one answer: RTT cannot tell data centres of one area apart."""

ACCESS_NS = 500_000
"""What the last mile and the machines add even next door."""

USUAL_STRETCH_LOG, STRETCH_SPREAD = 0.57, 0.25
"""Median and Laplace width of ln(rtt / fibre floor) over public routes between cloud regions."""

ODD = 3.0
"""No one detour counts for more than this: a vantage's own line, or a route gone astray, says nothing of the place."""

BELOW_GLASS_SPREAD = 0.05
"""The same width below the fibre floor."""

WORTH, MOST_WORTH = 8.0, 0.5
"""How many vantages' say all together have at most, and each: their routes share links, so they are no independent witnesses."""

THINKING_WORTH = 0.6
"""How much less answers say whose maker may have thought for an unknown time."""

NEAR_ENOUGH = 3.0
"""A candidate this much less likely (in log likelihood) than the best one is still named: e^3 is about 20 to 1."""

MOST_NAMED = 8
"""An answer of more areas than this tells nobody where to go: it is "cannot tell"."""

FAR_STRETCH = 2.5
"""When even the best candidate needs more detour than this from its nearest vantage, nothing near was measured."""


NEAR_NS = 4_000_000
"""An answer this quick was measured from near (400 km in glass): over short ways the last mile makes any stretch."""


class Vantaged(msgspec.Struct, frozen=True):
    """The least round trip from a known place."""

    origin: Place
    rtt_ns: int


class Found(StrEnum):
    """How much the round trips say."""

    LOCATED = "located"
    """One area explains them."""
    AMBIGUOUS = "ambiguous"
    """A few areas do."""
    CANNOT_TELL = "cannot_tell"
    """Too many areas do, or none that is a candidate."""
    ANYCAST = "anycast"
    """No single place can have given all answers."""


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """A place that light allows.

    Attributes:
        score: log likelihood of the round trips, 0 for the best candidate, else below.
        residual_ns: root mean square of what the round trips take beyond the usual for that distance.
        stretch: of the nearest vantage: its round trip over its fibre floor, None where the two are too near for a ratio.
    """

    place: Place
    score: float
    residual_ns: int
    stretch: float | None


class Region(msgspec.Struct, frozen=True, kw_only=True):
    """What many round trips say of one place.

    Attributes:
        candidates: those still in question, best first; of anycast none.
        allowed: how many candidates light allows.
        point: latitude and longitude of a point that all circles hold, or None when there is none.
        sites: of anycast: vantages whose circles do not touch: at least so many machines answer.
        nearest: the vantage with the least round trip: what is looked for stands within its reach.
    """

    found: Found
    candidates: tuple[Candidate, ...]
    allowed: int
    point: tuple[float, float] | None
    sites: tuple[Vantaged, ...]
    nearest: Vantaged
    why: str


def locate(seen: Sequence[Vantaged], candidates: Sequence[Place], thinking_ns: int = 0) -> Region:
    """Which of the candidates the round trips allow and favour; `seen` must hold at least one.

    `thinking_ns` is the most that a machine may take for an answer beside the way: 0 for handshakes and pings.

    >>> def city(name, latitude, longitude):
    ...     return Place(name=name, latitude=latitude, longitude=longitude, radius_km=0, evidence="given")
    >>> london, paris, tokyo = city("London", 51.5, -0.1), city("Paris", 48.9, 2.4), city("Tokyo", 35.7, 139.7)
    >>> made = locate([Vantaged(london, 1_000_000), Vantaged(paris, 8_000_000)], [london, paris, tokyo])
    >>> made.found, made.candidates[0].place.name, made.allowed
    (<Found.LOCATED: 'located'>, 'London', 1)
    """
    nearest = min(seen, key=lambda each: each.rtt_ns)
    apart = apart_sites(seen)
    point = common_point(seen) if len(apart) == 1 else None
    if point is None:
        return Region(
            found=Found.ANYCAST, candidates=(), allowed=0, point=None, sites=apart, nearest=nearest,
            why=f"no place is within reach of all {len(seen)} answers: at least {max(2, len(apart))} machines share the address",
        )  # fmt: skip
    allowed = [place for place in candidates if all(within(place, each) for each in seen)]
    ranked = _ranked(allowed, seen, thinking_ns)
    named = tuple(each for each in ranked if each.score >= -NEAR_ENOUGH)
    found, why = _judged(named, nearest)
    return Region(
        found=found, candidates=named, allowed=len(allowed), point=point, sites=(), nearest=nearest, why=why
    )


def within(place: Place, seen: Vantaged) -> bool:
    """Whether an answer from that place could have come so soon; every doubt counts for it."""
    return between_km(place, seen.origin) <= _reach(seen) + place.radius_km


def common_point(seen: Sequence[Vantaged]) -> tuple[float, float] | None:
    """A point within reach of every answer, or None when there is none.

    Where circles overlap, the overlap is bounded by arcs: it holds a crossing of two edges, or the whole edge of one
    circle, or it is the whole earth. So it is enough to try crossings, one point of each edge and the centres.
    """
    circles = _tightest(seen)
    for latitude, longitude in _points(circles):
        if all(
            distance_km(latitude, longitude, at.latitude, at.longitude) <= reach + SLACK_KM
            for at, reach in circles
        ):
            return latitude, longitude
    return None


def apart_sites(seen: Sequence[Vantaged]) -> tuple[Vantaged, ...]:
    """Vantages whose circles do not touch one another, smallest first: each was answered by a machine of its own."""
    kept: list[Vantaged] = []
    for each in sorted(seen, key=lambda one: one.rtt_ns):
        if all(between_km(each.origin, one.origin) > _reach(each) + _reach(one) for one in kept):
            kept.append(each)
    return tuple(kept)


def _reach(seen: Vantaged) -> float:
    """How far away the answer may have come from, with the vantage's own radius and the sphere's error."""
    reach = reach_km(seen.rtt_ns) / (1 - ELLIPSOID_ERROR) + seen.origin.radius_km + SLACK_KM
    return min(reach, HALF_ROUND_KM)


def _tightest(seen: Sequence[Vantaged]) -> list[tuple[Place, float]]:
    """Circles that no other lies wholly within: only these bound the overlap. Smallest first."""
    kept: list[tuple[Place, float]] = []
    for each in sorted(seen, key=_reach):
        reach = _reach(each)
        if all(between_km(each.origin, at) + smaller > reach for at, smaller in kept):
            kept.append((each.origin, reach))
    return kept


def _points(circles: Sequence[tuple[Place, float]]) -> list[tuple[float, float]]:
    points = [(at.latitude, at.longitude) for at, _ in circles]
    points += [destination(at.latitude, at.longitude, 0.0, reach) for at, reach in circles]
    for number, one in enumerate(circles):
        for other in circles[:number]:
            points += _crossings(one, other)
    return points


def _crossings(one: tuple[Place, float], other: tuple[Place, float]) -> list[tuple[float, float]]:
    """Where the edges of two circles cross, by the plane each lies in: none, or two points."""
    first, second = _vector(one[0]), _vector(other[0])
    near, far = cos(one[1] / EARTH_RADIUS_KM), cos(other[1] / EARTH_RADIUS_KM)
    dot = sum(a * b for a, b in zip(first, second, strict=True))
    apart = 1 - dot * dot
    if apart < 1e-12:
        return []
    x, y = (near - dot * far) / apart, (far - dot * near) / apart
    middle = tuple(x * a + y * b for a, b in zip(first, second, strict=True))
    left = 1 - sum(a * a for a in middle)
    if left < 0:
        return []
    normal = (
        first[1] * second[2] - first[2] * second[1],
        first[2] * second[0] - first[0] * second[2],
        first[0] * second[1] - first[1] * second[0],
    )
    step = sqrt(left / apart)
    return [_point(tuple(a + way * step * n for a, n in zip(middle, normal, strict=True))) for way in (1, -1)]


def _vector(place: Place) -> tuple[float, float, float]:
    phi, east = radians(place.latitude), radians(place.longitude)
    return cos(phi) * cos(east), cos(phi) * sin(east), sin(phi)


def _point(vector: tuple[float, ...]) -> tuple[float, float]:
    x, y, z = vector
    return 90 - degrees(acos(max(-1.0, min(1.0, z)))), degrees(atan2(y, x))


def _ranked(allowed: Sequence[Place], seen: Sequence[Vantaged], thinking_ns: int) -> list[Candidate]:
    """The candidates with their scores, best first; of one area only the best."""
    if not allowed:
        return []
    weight = min(MOST_WORTH, WORTH / len(seen)) * (THINKING_WORTH if thinking_ns else 1.0)
    scored = sorted(
        ((_likelihood(place, seen, thinking_ns) * weight, place) for place in allowed),
        key=lambda each: -each[0],
    )
    best = scored[0][0]
    kept: list[Candidate] = []
    for score, place in scored:
        if all(between_km(place, one.place) > METRO_KM for one in kept):
            kept.append(
                Candidate(
                    place=place,
                    score=score - best,
                    residual_ns=_residual_ns(place, seen),
                    stretch=_nearest_stretch(place, seen),
                )
            )
    return kept


def _likelihood(place: Place, seen: Sequence[Vantaged], thinking_ns: int) -> float:
    """Log likelihood of the round trips, if the host stood there: Laplace in the logarithm of stretch.

    Of the time to think as much is taken off as the place's own nearest answer leaves room for. What glass does not
    allow is far less likely than a detour: only microwave links and wrong coordinates do it.
    """
    room = min(each.rtt_ns - _least_ns(place, each) for each in seen)
    thought = max(0.0, min(room, thinking_ns))
    total = 0.0
    for each in seen:
        stretch = log((each.rtt_ns - thought) / _least_ns(place, each))
        total -= min(abs(stretch - USUAL_STRETCH_LOG) / STRETCH_SPREAD, ODD)
        total -= max(0.0, -stretch) / BELOW_GLASS_SPREAD
    return total


def _least_ns(place: Place, seen: Vantaged) -> float:
    return fibre_ns(between_km(place, seen.origin)) + ACCESS_NS


def _residual_ns(place: Place, seen: Sequence[Vantaged]) -> int:
    usual = 2.718281828459045**USUAL_STRETCH_LOG
    squares = [(each.rtt_ns - usual * _least_ns(place, each)) ** 2 for each in seen]
    return round(sqrt(sum(squares) / len(squares)))


def _nearest_stretch(place: Place, seen: Sequence[Vantaged]) -> float | None:
    near = min(seen, key=lambda each: between_km(place, each.origin))
    least = fibre_ns(between_km(place, near.origin))
    return near.rtt_ns / least if least > ACCESS_NS else None


def _judged(named: Sequence[Candidate], nearest: Vantaged) -> tuple[Found, str]:
    if not named:
        return Found.CANNOT_TELL, "no candidate region is within reach of all answers"
    best = named[0]
    if len(named) > MOST_NAMED:
        return Found.CANNOT_TELL, f"{len(named)} areas explain the answers about equally well"
    far = min(nearest.rtt_ns / _least_ns(best.place, nearest), best.stretch or 0.0)
    if far > FAR_STRETCH and nearest.rtt_ns > NEAR_NS:
        return Found.CANNOT_TELL, f"nothing was measured from near {best.place.name}, the best candidate"
    if len(named) == 1:
        return Found.LOCATED, f"only {best.place.name} explains the answers"
    return Found.AMBIGUOUS, f"{len(named)} areas explain the answers"
