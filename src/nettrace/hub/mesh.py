"""The mesh: which nodes measure each other, with which key, and what each pair's two directions look like beside each other."""

import hashlib
import hmac
from collections.abc import Iterable, Mapping
from itertools import combinations

import msgspec

from nettrace.hub.latest import Snapshot, stale
from nettrace.model.target import Endpoint, Role, RoundMethod, Series
from nettrace.model.vantage import VantageState
from nettrace.store.port import NodeRow
from nettrace.store.rows import Latest, Round
from nettrace.wire.frames import MeshPeer, Task

SUFFIX = ".mesh"
"""Rounds to the node of vantage `sin` are stored under the target `sin.mesh`."""
ENDPOINT, OUT, BACK = "node", "out", "back"
"""The endpoints of its series: the whole round trip and traces, the way there, the way from there."""
_METHODS = (RoundMethod.STAMP, RoundMethod.TRACE)


def mesh_target(vantage: str) -> str:
    """What rounds to a vantage's node are stored under.

    >>> mesh_target("sin")
    'sin.mesh'
    """
    return vantage + SUFFIX


def pair_key(one: NodeRow, other: NodeRow) -> bytes:
    """The key of a pair, from the secrets of both, the same from either side; gone when either of them is.

    A node knows its own secret only, so it cannot make the key of a pair it is not in.
    """
    low, high = sorted((one, other), key=lambda row: row.vantage.node)
    names = f"stamp {low.vantage.node} {high.vantage.node}".encode()
    return hmac.new(low.key + high.key, names, hashlib.sha256).digest()


def mesh_of(own: NodeRow, nodes: Iterable[NodeRow]) -> tuple[tuple[MeshPeer, ...], tuple[Task, ...]]:
    """Whom a node answers, and whom it measures: every other active node, as far as that can be reached."""
    peers: list[MeshPeer] = []
    tasks: list[Task] = []
    for row in sorted(nodes, key=lambda each: each.vantage.node):
        other = row.vantage
        if other.node == own.vantage.node or other.state is not VantageState.ACTIVE or other.third_party:
            continue
        peers.append(MeshPeer(target=mesh_target(other.code), key=pair_key(own, row)))
        host, _, port = other.reflector.rpartition(":")
        if host and port.isdigit():
            endpoint = Endpoint(
                name=ENDPOINT, host=host.strip("[]"), role=Role.NODE, port=int(port), methods=_METHODS
            )
            tasks.append(Task(target=mesh_target(other.code), endpoint=endpoint, methods=_METHODS))
    return tuple(peers), tuple(tasks)


class Leg(msgspec.Struct, frozen=True, kw_only=True):
    """One direction between two vantages, as measured by the pair's sender.

    Attributes:
        by: the vantage whose session it was.
        delay_ns: None when the clocks cannot tell; `error_ns` is their bound all the same.
        lost, reordered: None when nobody can tell.
        hops: routers, by the TTL.
    """

    origin: str
    target: str
    by: str
    at: int
    stale: bool
    delay_ns: int | None
    min_ns: int | None
    max_ns: int | None
    error_ns: int | None
    sent: int
    lost: int | None
    reordered: int | None
    hops: int | None


class Pair(msgspec.Struct, frozen=True, kw_only=True):
    """Two vantages: the round trip, and both directions beside each other.

    Attributes:
        rtt_ns: the better known of the two round trips, one by each end, with its bar.
        there, back: from `one` to `other` and from `other` to `one`; None while nobody measured it.
        asymmetry_ns: there minus back, where both are known, and what that may be off.
        traces: (vantage, target) of the newest traces each way.
    """

    one: str
    other: str
    rtt_ns: int | None
    error_ns: int | None
    at: int | None
    there: Leg | None
    back: Leg | None
    asymmetry_ns: int | None
    asymmetry_error_ns: int | None
    traces: tuple[tuple[str, str], ...]


def unmeasured(one: str, other: str) -> Pair:
    """Two vantages that have not measured each other."""
    return Pair(
        one=one, other=other, rtt_ns=None, error_ns=None, at=None, there=None, back=None, asymmetry_ns=None,
        asymmetry_error_ns=None, traces=(),
    )  # fmt: skip


def pairs(snapshot: Snapshot) -> list[Pair]:
    """Every pair of vantages that measured each other at least one way, by name."""
    codes = sorted(
        {target.removesuffix(SUFFIX) for target in snapshot.newest if target.endswith(SUFFIX)}
        | {
            each.vantage
            for target, rows in snapshot.newest.items()
            if target.endswith(SUFFIX)
            for each in rows
        }
    )
    found = (_pair(snapshot, one, other) for one, other in combinations(codes, 2))
    return [pair for pair in found if pair is not None]


def _pair(snapshot: Snapshot, one: str, other: str) -> Pair | None:
    sessions = [_session(snapshot, one, other), _session(snapshot, other, one)]
    rounds = [whole.round for session in sessions if (whole := session.get(ENDPOINT)) is not None]
    if not rounds:
        return None
    measured = [each for each in rounds if each.rtt_ns is not None]
    best = min(measured, key=lambda each: (each.error_ns or 0, -each.at), default=None)
    there = _better(
        _leg(sessions[0], OUT, one, other, snapshot), _leg(sessions[1], BACK, one, other, snapshot)
    )
    back = _better(
        _leg(sessions[1], OUT, other, one, snapshot), _leg(sessions[0], BACK, other, one, snapshot)
    )
    both = there is not None and back is not None and there.delay_ns is not None and back.delay_ns is not None
    traces = tuple(
        (origin, mesh_target(goal))
        for origin, goal in ((one, other), (other, one))
        if Series(origin, mesh_target(goal), ENDPOINT, RoundMethod.TRACE)
        in snapshot.newest.get(mesh_target(goal), {})
    )
    return Pair(
        one=one, other=other, rtt_ns=best.rtt_ns if best else None, error_ns=best.error_ns if best else None,
        at=max(each.at for each in rounds), there=there, back=back, traces=traces,
        asymmetry_ns=(there.delay_ns or 0) - (back.delay_ns or 0) if both and there and back else None,
        asymmetry_error_ns=(there.error_ns or 0) + (back.error_ns or 0) if both and there and back else None,
    )  # fmt: skip


def _session(snapshot: Snapshot, by: str, to: str) -> Mapping[str, Latest]:
    rows = snapshot.newest.get(mesh_target(to), {})
    return {
        series.endpoint: row
        for series, row in rows.items()
        if series.vantage == by and series.method is RoundMethod.STAMP
    }


def _leg(session: Mapping[str, Latest], way: str, origin: str, target: str, snapshot: Snapshot) -> Leg | None:
    row = session.get(way)
    if row is None:
        return None
    made: Round = row.round
    told = made.not_measured == 0
    return Leg(
        origin=origin, target=target, by=made.series.vantage, at=made.at, stale=stale(row, snapshot.at),
        delay_ns=made.rtt_ns, min_ns=made.min_ns, max_ns=made.max_ns, error_ns=made.error_ns,
        sent=made.sent + made.not_measured, lost=made.sent - made.received if told else None, reordered=made.status,
        hops=made.hop_count,
    )  # fmt: skip


def _better(one: Leg | None, other: Leg | None) -> Leg | None:
    """Of two measurements of one direction, the fresh one that tells a delay with the smaller bound."""
    known = [each for each in (one, other) if each is not None]
    return min(
        known,
        key=lambda each: (each.stale, each.delay_ns is None, each.error_ns or 0, -each.at),
        default=None,
    )
