"""Whose round trip was it: the venue's, or that of a content network's edge standing in front of it?

A TCP handshake is answered by the first machine that terminates it. When that machine is a CDN's, its RTT says
how near the CDN is and nothing of the venue. Two things tell them apart: an answer faster than light from where
the venue stands, and a first byte that takes much longer than the handshake on a connection already open.
"""

from enum import StrEnum

import msgspec

from nettrace.model.instant import NS_PER_MS

BEHIND_EDGE_NS = 15 * NS_PER_MS
"""A first byte this much slower than the handshake is more than a server's thinking on a time endpoint."""

PLAUSIBLE_STRETCH = 3.0
"""Public routes run at 1.2 to 3 times the fibre floor; beyond that a place is not supported by the number."""


class Stands(StrEnum):
    """Who answered the handshake."""

    EDGE = "edge"
    ORIGIN = "origin"
    UNKNOWN = "unknown"


class EdgeVerdict(msgspec.Struct, frozen=True, kw_only=True):
    """Who answered, and why we think so.

    Attributes:
        behind_ns: how much longer the answer takes than the handshake (origin and thinking time), or None.
        why: one sentence for a person.
    """

    stands: Stands
    behind_ns: int | None
    why: str


def judge_edge(
    connect_ns: int,
    ttfb_ns: int | None,
    *,
    place: str | None,
    hard_floor_ns: int | None,
    fibre_floor_ns: int | None,
) -> EdgeVerdict:
    """Who answered a handshake of `connect_ns` when requests on the open connection take `ttfb_ns`.

    Floors are round trips from here to where the venue's engine stands (`place`), None when either is unknown.
    All times are minima over several samples, in nanoseconds.

    >>> judge_edge(4_100_000, 231_000_000, place="Tokyo", hard_floor_ns=64_000_000, fibre_floor_ns=94_000_000).stands
    <Stands.EDGE: 'edge'>
    """
    behind = None if ttfb_ns is None else max(0, ttfb_ns - connect_ns)
    if hard_floor_ns is not None and connect_ns < hard_floor_ns:
        why = f"an edge: from {place} light alone needs {hard_floor_ns / NS_PER_MS:.1f} ms"
        return EdgeVerdict(stands=Stands.EDGE, behind_ns=behind, why=why)
    if behind is not None and behind > BEHIND_EDGE_NS:
        why = f"an edge near you: the answer takes {behind / NS_PER_MS:.0f} ms more than the handshake"
        return EdgeVerdict(stands=Stands.EDGE, behind_ns=behind, why=why)
    if fibre_floor_ns:
        stretch = connect_ns / fibre_floor_ns
        if stretch <= PLAUSIBLE_STRETCH:
            why = f"{place} is plausible: {stretch:.2f}x the fibre floor"
            return EdgeVerdict(stands=Stands.ORIGIN, behind_ns=behind, why=why)
        why = f"cannot tell: {stretch:.1f}x the fibre floor to {place}"
        return EdgeVerdict(stands=Stands.UNKNOWN, behind_ns=behind, why=why)
    if fibre_floor_ns == 0:
        why = f"cannot tell: you are in {place} too, there is no distance to judge by"
        return EdgeVerdict(stands=Stands.UNKNOWN, behind_ns=behind, why=why)
    why = (
        "cannot tell: where the engine stands is not known"
        if place is None
        else "say --from PLACE to compare with light"
    )
    return EdgeVerdict(stands=Stands.UNKNOWN, behind_ns=behind, why=why)
