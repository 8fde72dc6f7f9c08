"""Routes: what many traces of one pair have in common, how they change, and which leg is to blame for a delay."""

from enum import StrEnum

import msgspec

from nettrace.model.instant import Instant
from nettrace.model.measurement import Method


class RouteClass(StrEnum):
    """What a route change is.

    `LOAD_BALANCING` says that a pair is balanced over several ways: the route itself has not changed.
    """

    AS_PATH = "as_path"
    IP_PATH = "ip_path"
    LOAD_BALANCING = "load_balancing"
    DESTINATION = "destination"


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """Canonical identity of equivalent traces.

    Attributes:
        id: stable public name, made from the networks most traces of the route cross, never from one trace.
        since: when its first trace began.
        hops: addresses of its latest trace up to the target, None where nothing answered.
        as_path: ASes of that trace in order, without repetitions; empty where none is known.
        networks: the /24 or /48 networks most of its traces crossed, sorted.
        traces: how many were seen, fading: old ones count less.
    """

    id: str
    since: Instant
    hops: tuple[str | None, ...]
    as_path: tuple[int, ...] = ()
    networks: tuple[str, ...] = ()
    traces: int = 0


class RouteChange(msgspec.Struct, frozen=True, kw_only=True):
    """A classified step from one route to another.

    Attributes:
        at: when the first trace on the new route began.
        detected_at: when the trace began that proved it.
        kind: what changed; of `LOAD_BALANCING`, `before` and `after` are two ways of one route.
        rtt_delta_ns: median round trip after less before, or None when the target did not answer on both sides.
        rtt_moved: the difference is more than the noise of both sides; None when there is no difference to judge.
        confidence: 1 - 0.5^n for n independent pieces of evidence.
        reverted: the route had been seen before and is back.
        traces: how many traces agreed on the new route when it was declared.
    """

    vantage: str | None
    target: str
    method: Method
    at: Instant
    detected_at: Instant
    kind: RouteClass
    before: Route
    after: Route
    rtt_delta_ns: int | None = None
    rtt_moved: bool | None = None
    confidence: float
    reverted: bool = False
    traces: int


class SharedChange(msgspec.Struct, frozen=True, kw_only=True):
    """One event seen as route changes of several vantages.

    Attributes:
        towards: the target they all measure, or None when what they share is an AS.
        asn: the AS common to all that was left or all that was entered, or None.
        at: the earliest of the changes.
        p_value: chance that so many vantages change within the window by themselves.
        out_of: how many vantages watch the target (or cross the AS).
    """

    towards: str | None
    asn: int | None
    at: Instant
    changes: tuple[RouteChange, ...]
    out_of: int
    p_value: float


class Leg(msgspec.Struct, frozen=True, kw_only=True):
    """The stretch between two hops that is blamed, or may be.

    Attributes:
        a: the near end's address, seen from the vantages.
        added_ns: how much longer a round trip over it takes than before, or None when only its loss changed.
        loss: share of probes newly lost over it, or None when loss did not change.
        confidence: 0 to 1; at most 0.5 when fewer than three vantages saw it.
        tied: other stretches crossed by exactly the same paths, which no measurement at hand tells apart from it.
    """

    a: str
    b: str
    added_ns: int | None
    loss: float | None
    confidence: float
    tied: tuple[tuple[str, str], ...] = ()


class BlameVerdict(StrEnum):
    """How far the question was answered."""

    LEG = "leg"
    CANNOT_TELL = "cannot_tell"
    NONE = "none"


class Scope(StrEnum):
    """Where most of the trouble lies: at one vantage, at one target, or between."""

    VANTAGE = "vantage"
    TARGET = "target"
    MIDDLE = "middle"


class Blame(msgspec.Struct, frozen=True, kw_only=True):
    """Which leg degraded after an instant.

    Attributes:
        since: the instant asked about.
        legs: the legs at fault; when `verdict` is `CANNOT_TELL`, the set in which the fault lies.
        affected: the pairs (vantage, target) whose round trip or loss got worse.
        scope: the coarse answer, None when nothing got worse.
        paths: how many pairs had enough traces on both sides of the instant to be judged.
    """

    since: Instant
    verdict: BlameVerdict
    legs: tuple[Leg, ...] = ()
    affected: tuple[tuple[str | None, str], ...] = ()
    scope: Scope | None = None
    paths: int = 0
