"""What somebody expected of a target, held against what was measured and against the speed of light."""

from enum import StrEnum

import msgspec

from nettrace.analysis.edge import BEHIND_EDGE_NS
from nettrace.model.instant import NS_PER_MS


class Expectation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An expected round trip.

    Attributes:
        target: the host expected to answer.
        vantage: the place it was expected from: a code, a city, a cloud region; None is "wherever I am".
        low_ms, high_ms: the round trip expected.
        stands: where the target was said to stand, or None.
        source: who expected it, and when.
    """

    target: str
    vantage: str | None = None
    low_ms: float
    high_ms: float
    stands: str | None = None
    source: str = ""


class Observed(msgspec.Struct, frozen=True, kw_only=True):
    """What was measured of a pair over the window.

    Attributes:
        min_ns, p50_ns: of the round trip (ping or TCP connect), None when nothing was measured.
        first_byte_min_ns: fastest first byte of a request on a connection already open, or None.
        rounds, failed: rounds in the window, and those that failed.
    """

    min_ns: int | None = None
    p50_ns: int | None = None
    first_byte_min_ns: int | None = None
    rounds: int = 0
    failed: int = 0


class Verdict(StrEnum):
    """What measurement says of an expectation."""

    WITHIN = "within"
    OUTSIDE = "outside"
    IMPOSSIBLE = "impossible"
    EDGE = "edge_not_origin"
    NO_DATA = "no_data"


class Validation(msgspec.Struct, frozen=True, kw_only=True):
    """One expectation judged.

    Attributes:
        expectation_impossible: even the slowest end of what was expected is faster than light.
        floor_ns: light in vacuum between the two places, both ways; None when one of them is not known.
        why: one sentence for a person.
    """

    expectation: Expectation
    observed: Observed
    verdict: Verdict
    expectation_impossible: bool
    floor_ns: int | None
    why: str


def validate(expectation: Expectation, observed: Observed, floor_ns: int | None) -> Validation:
    """The expectation judged; `floor_ns` is the vacuum floor from the vantage to where the target was said to stand.

    An answer faster than that floor came from somewhere nearer, and one whose first byte takes far longer than its
    handshake was relayed: both are an edge's, and say nothing of the origin. What was expected may itself be faster
    than light, whatever was measured.

    >>> wanted = Expectation(target="api.example", low_ms=40, high_ms=80, stands="Singapore")
    >>> seen = Observed(min_ns=2_000_000, p50_ns=2_100_000, rounds=9)
    >>> validate(wanted, seen, floor_ns=102_300_000).verdict
    <Verdict.EDGE: 'edge_not_origin'>
    """
    impossible = floor_ns is not None and expectation.high_ms * NS_PER_MS < floor_ns

    def said(verdict: Verdict, why: str) -> Validation:
        if impossible and floor_ns is not None:
            why += f"; what was expected is faster than light ({floor_ns / NS_PER_MS:.1f} ms)"
        return Validation(
            expectation=expectation, observed=observed, verdict=verdict, expectation_impossible=impossible,
            floor_ns=floor_ns, why=why,
        )  # fmt: skip

    if observed.p50_ns is None or observed.min_ns is None:
        rounds = (
            f"{observed.rounds} rounds, {observed.failed} of them failed" if observed.rounds else "no round"
        )
        return said(Verdict.IMPOSSIBLE if impossible else Verdict.NO_DATA, f"nothing was measured ({rounds})")
    p50_ms = observed.p50_ns / NS_PER_MS
    edge = _edge(expectation, observed, floor_ns)
    if edge:
        return said(Verdict.EDGE, edge)
    if impossible:
        return said(Verdict.IMPOSSIBLE, f"measured {p50_ms:.1f} ms")
    if expectation.low_ms <= p50_ms <= expectation.high_ms:
        return said(Verdict.WITHIN, f"measured {p50_ms:.1f} ms")
    side = "less" if p50_ms < expectation.low_ms else "more"
    return said(Verdict.OUTSIDE, f"measured {p50_ms:.1f} ms, {side} than expected")


def _edge(expectation: Expectation, observed: Observed, floor_ns: int | None) -> str | None:
    """Why the answers were an edge's, or None when nothing says so."""
    least = observed.min_ns
    if least is None:
        return None
    if floor_ns is not None and least < floor_ns:
        return (
            f"an edge answered: {least / NS_PER_MS:.1f} ms is faster than light from {expectation.stands} "
            f"({floor_ns / NS_PER_MS:.1f} ms)"
        )
    behind = observed.first_byte_min_ns - least if observed.first_byte_min_ns is not None else 0
    if behind > BEHIND_EDGE_NS:
        return f"an edge answered: the first byte takes {behind / NS_PER_MS:.0f} ms more than the handshake"
    return None
