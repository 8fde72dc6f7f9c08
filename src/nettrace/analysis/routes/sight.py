"""What one trace proves about a route: its answering public hops, without silence and without the target."""

from collections.abc import Callable
from functools import lru_cache
from ipaddress import IPv4Address, ip_address, ip_network

import msgspec

from nettrace.model.instant import Instant
from nettrace.model.measurement import Outcome
from nettrace.model.path import Hop, Trace

AsnOf = Callable[[str], int | None]
"""Address -> number of the AS that announces it, or None."""

_PRIVATE = tuple(
    ip_network(prefix)
    for prefix in (
        "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16",
        "::/127", "fc00::/7", "fe80::/10",
    )
)  # fmt: skip
"""Ranges that mean something else in every network (RFC 6890): no evidence of a route through the internet."""


class Sight(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The evidence in one trace.

    Attributes:
        hops: addresses by TTL up to the target, None where nothing answered; silence at the end is cut off.
        networks: answering address -> its network, in order of TTL; private hops and the target itself left out.
        places: `TTL NETWORK` of each such hop -> TTL.
        steps: `TTL ADDRESS` of each such hop -> TTL.
        asns: TTL -> AS of the first address that answered there, where it is known.
        flow: number of the flow the trace kept.
        destination: network of the target's address, or "" when it had none.
        rtt_ns: round trip to the target, None unless it was reached.
    """

    at: Instant
    hops: tuple[str | None, ...]
    networks: dict[str, str]
    places: dict[str, int]
    flow: int
    destination: str
    rtt_ns: int | None
    steps: dict[str, int] = {}
    asns: dict[int, int] = {}

    @property
    def ases(self) -> tuple[int, ...]:
        """The ASes of those hops in order, without repetitions."""
        return tuple(dict.fromkeys(self.asns[ttl] for ttl in sorted(self.asns)))


def sight(trace: Trace, asn_of: AsnOf | None = None) -> Sight | None:
    """What the trace proves, or None when no hop answered that says anything.

    Private hops are no evidence unless the target's own address is private: then they are the network in question.
    Hops that were not asked but inferred from other flows are left out, too.
    """
    if trace.outcome is Outcome.NOT_MEASURED:
        return None
    ends = {trace.address, trace.answered_from}
    inside = trace.address is not None and is_private(trace.address)
    networks: dict[str, str] = {}
    places: dict[str, int] = {}
    steps: dict[str, int] = {}
    asns: dict[int, int] = {}
    for hop in trace.hops:
        if hop.address is None or hop.inferred_from:
            continue
        for address in (hop.address, *hop.also):
            if address not in ends and (inside or not is_private(address)):
                network = networks[address] = network_of(address)
                places[f"{hop.ttl} {network}"] = steps[f"{hop.ttl} {address}"] = hop.ttl
        number = None if hop.address in ends or hop.address not in networks else _number(hop, asn_of)
        if number is not None:
            asns.setdefault(hop.ttl, number)
    if not networks:
        return None
    return Sight(
        at=trace.at,
        hops=shown_hops(trace),
        networks=networks,
        places=places,
        steps=steps,
        asns=asns,
        flow=trace.flow,
        destination=network_of(trace.address) if trace.address else "",
        rtt_ns=trace.rtt_ns if trace.reached else None,
    )


def together(seen: Sight, held: Sight) -> Sight | None:
    """Two looks at one path as one: where `seen` heard nothing, what `held` heard; None when they contradict each other.

    They do where both heard, at one TTL, networks that have nothing in common. Balancing within a network is none.
    """
    heard, other = _by_ttl(seen), _by_ttl(held)
    if any(heard[ttl].isdisjoint(other[ttl]) for ttl in heard.keys() & other.keys()):
        return None
    lent = other.keys() - heard.keys()
    if not lent:
        return seen
    crossed = {network for ttl in lent for network in other[ttl]}
    return msgspec.structs.replace(
        seen,
        networks={**{a: net for a, net in held.networks.items() if net in crossed}, **seen.networks},
        places=seen.places | {place: ttl for place, ttl in held.places.items() if ttl in lent},
        steps=seen.steps | {step: ttl for step, ttl in held.steps.items() if ttl in lent},
        asns=seen.asns | {ttl: number for ttl, number in held.asns.items() if ttl in lent},
    )


def _by_ttl(seen: Sight) -> dict[int, set[str]]:
    found: dict[int, set[str]] = {}
    for place, ttl in seen.places.items():
        found.setdefault(ttl, set()).add(place.partition(" ")[2])
    return found


def shown_hops(trace: Trace) -> tuple[str | None, ...]:
    """The trace as a list of addresses, place = TTL - 1, silence at its end cut off.

    What answered a last probe of the highest TTL (Atlas sends one behind a gap) stands behind one silent hop.
    """
    made: list[str | None] = []
    for hop in trace.hops:
        if hop.address is None:
            continue
        gap = hop.ttl - 1 - len(made)
        made += [None] * (1 if gap > _LONGEST_GAP else max(0, gap))
        made.append(hop.address)
    return tuple(made)


_LONGEST_GAP = 30


def _number(hop: Hop, asn_of: AsnOf | None) -> int | None:
    if hop.asn is not None or asn_of is None or hop.address is None:
        return hop.asn
    return asn_of(hop.address)


@lru_cache(maxsize=65_536)
def network_of(address: str) -> str:
    """The /24 of an IPv4 address or the /48 of an IPv6 one; what is no address stands for itself.

    >>> network_of("192.0.2.77"), network_of("2001:db8:1:2::3")
    ('192.0.2.0/24', '2001:db8:1::/48')
    """
    try:
        found = ip_address(address)
    except ValueError:
        return address
    return str(ip_network((found, 24 if isinstance(found, IPv4Address) else 48), strict=False))


@lru_cache(maxsize=65_536)
def is_private(address: str) -> bool:
    """Whether the address means something else in every network.

    >>> is_private("192.168.1.1"), is_private("198.18.0.1")
    (True, False)
    """
    try:
        found = ip_address(address)
    except ValueError:
        return False
    return any(found in network for network in _PRIVATE if network.version == found.version)
