"""On-demand measurements as they are asked for: who may be measured, by what, from where, and what it costs.

The same rules for the API and for MCP. Targets are the catalogue's and the account's own: nobody's machine is measured
because a stranger typed its name.
"""

from collections.abc import Sequence

import msgspec

from nettrace.errors import Invalid, InvalidField, Unmeasurable
from nettrace.hub import keys, query
from nettrace.hub.latest import Snapshot
from nettrace.model.instant import NS_PER_S, Instant
from nettrace.model.target import Endpoint, Lifecycle, RoundMethod, Target
from nettrace.model.vantage import VantageState
from nettrace.store.rows import MeasurementRequest

DEADLINE_S = 60
MOST_PROBES = 20
_PACKETS = {RoundMethod.ICMP: 1, RoundMethod.UDP: 1, RoundMethod.TCP: 3}
"""Packets sent for a probe; exchanges and traces send what they need and are not foreseen."""


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody wants measured now.

    Attributes:
        regions: vantages to ask; None is all that are up.
        endpoint: the target's first one when None. method: the one it was measured by when None.
        id: given where the same request twice shall be one measurement.
    """

    target: str
    regions: tuple[str, ...] | None = None
    endpoint: str | None = None
    method: str | None = None
    probes: int = 5
    id: str | None = None


class Cost(msgspec.Struct, frozen=True, kw_only=True):
    """What a measurement takes. `packets` is None where nobody can say beforehand."""

    calls: int
    probes: int
    packets: int | None
    rows: int
    usd: float
    eta_s: float


def request_of(snapshot: Snapshot, account: str, wish: Wish, now: Instant) -> MeasurementRequest:
    """The measurement an account asks for.

    Raises:
        NotFound: no such target, or somebody else's. Unmeasurable: nobody can measure it, or not so.
        Invalid: a field is wrong.
    """
    target = query.target_of(snapshot, wish.target, account)
    if target.lifecycle in {Lifecycle.RETIRED, Lifecycle.RENAMED}:
        hint = f"It is {target.replaced_by} now" if target.replaced_by else "Its history is kept"
        raise Unmeasurable(f"{target.host} is {target.lifecycle}; nobody measures it", hint)
    endpoint = query.endpoint_of(target, wish.endpoint)
    method = _method(snapshot, target, endpoint, wish.method)
    if not 1 <= wish.probes <= MOST_PROBES:
        raise InvalidField("probes", f"1 to {MOST_PROBES} probes")
    return MeasurementRequest(
        id=wish.id or keys.identifier("req_"), account=account, target=target.host, endpoint=endpoint, method=method,
        wanted=_regions(snapshot, wish.regions), probes=wish.probes, created_at=now, deadline=now + DEADLINE_S * NS_PER_S,
    )  # fmt: skip


def cost_of(request: MeasurementRequest) -> Cost:
    """What it takes before it is done: for previews."""
    probes = request.probes * len(request.wanted)
    packets = _PACKETS.get(request.method)
    return Cost(
        calls=1, probes=probes, packets=None if packets is None else probes * packets, rows=len(request.wanted),
        usd=0.0, eta_s=1.0 + 0.2 * request.probes,
    )  # fmt: skip


def _method(snapshot: Snapshot, target: Target, endpoint: Endpoint, wanted: str | None) -> RoundMethod:
    try:
        method = RoundMethod(wanted) if wanted else query.method_of(snapshot, target, endpoint)
    except ValueError:
        raise Invalid(f"no method '{wanted}'", f"There are {', '.join(RoundMethod)}") from None
    if method in {RoundMethod.HTTP, RoundMethod.WS} and endpoint.url is None:
        raise Unmeasurable(f"{endpoint.name} of {target.host} has no URL for {method}", "Ask for tcp or icmp")
    return method


def _regions(snapshot: Snapshot, regions: Sequence[str] | None) -> tuple[str, ...]:
    active = {code for code, each in snapshot.vantages.items() if each.state is VantageState.ACTIVE}
    if regions is None:
        chosen = tuple(sorted(code for code in active if not snapshot.down(code)))
        if not chosen:
            raise Unmeasurable("no vantage is up", "See /api/v1/vantages")
        return chosen
    query.check_regions(snapshot, regions)
    chosen = tuple(sorted(set(regions)))
    if not chosen:
        raise InvalidField("regions", "name at least one region, or leave it out")
    if idle := sorted(set(chosen) - active):
        raise Unmeasurable(f"{', '.join(idle)} takes no work", "See /api/v1/vantages")
    return chosen
