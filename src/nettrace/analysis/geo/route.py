"""How far a route strays: stretch of the whole and of every hop, and the detour in kilometres."""

import msgspec

from nettrace.analysis.geo.floor import Floor, floor_between, floor_of, stretch
from nettrace.analysis.geo.sphere import between_km
from nettrace.model.measurement import SampleState
from nettrace.model.path import Hop, Place, Trace


class HopStretch(msgspec.Struct, frozen=True, kw_only=True):
    """What one hop says of the route.

    Attributes:
        rtt_ns: the least round trip to it, or None.
        floor: from the vantage to its place, or None when its place is not known.
        stretch: least round trip over the fibre floor, or None; also None when the hop's error radius is
            not smaller than its distance, because such a ratio says nothing.
        way_km: length of the way so far over the places known, or None at the hops between them.
        detour_km: that way less the great circle from the vantage to here.
    """

    ttl: int
    rtt_ns: int | None
    floor: Floor | None = None
    stretch: float | None = None
    way_km: float | None = None
    detour_km: float | None = None


class RouteStretch(msgspec.Struct, frozen=True, kw_only=True):
    """What the whole route costs against light.

    Attributes:
        rtt_ns: round trip to the destination; None unless it was reached.
        floor: from vantage to destination, or None when either place is not known.
        stretch: round trip over the fibre floor, or None.
        way_floor: floors of the way over all places known, vantage and destination included: what a
            perfect fibre along the route really taken would need.
        hops: one per hop, in order.
    """

    rtt_ns: int | None
    floor: Floor | None
    stretch: float | None
    way_floor: Floor | None
    hops: tuple[HopStretch, ...]


def least_rtt_ns(hop: Hop) -> int | None:
    """The least round trip of a hop's answered samples, or None."""
    answered = [
        sample.rtt_ns
        for sample in hop.samples
        if sample.state is SampleState.ANSWERED and sample.rtt_ns is not None
    ]
    return min(answered, default=None)


def route_stretch(trace: Trace, origin: Place | None, destination: Place | None) -> RouteStretch:
    """Stretch of an annotated trace from `origin`, where the vantage stands, to `destination`.

    A destination nobody gave is taken from the last hop's own place when the trace reached it.
    """
    if destination is None and trace.reached and trace.hops:
        destination = trace.hops[-1].place
    rtt_ns = trace.rtt_ns if trace.reached else None
    if origin is None:
        hops = tuple(HopStretch(ttl=hop.ttl, rtt_ns=least_rtt_ns(hop)) for hop in trace.hops)
        return RouteStretch(rtt_ns=rtt_ns, floor=None, stretch=None, way_floor=None, hops=hops)
    made: list[HopStretch] = []
    way_km, last = 0.0, origin
    for hop in trace.hops:
        if hop.place is not None:
            way_km += between_km(last, hop.place)
            last = hop.place
        made.append(_hop(hop, origin, way_km))
    whole = floor_between(origin, destination) if destination else None
    return RouteStretch(
        rtt_ns=rtt_ns,
        floor=whole,
        stretch=stretch(rtt_ns, whole) if whole else None,
        way_floor=floor_of(way_km + between_km(last, destination)) if destination else None,
        hops=tuple(made),
    )


def _hop(hop: Hop, origin: Place, way_km: float) -> HopStretch:
    rtt_ns = least_rtt_ns(hop)
    if hop.place is None:
        return HopStretch(ttl=hop.ttl, rtt_ns=rtt_ns)
    floor = floor_between(origin, hop.place)
    tells = floor.distance_km > hop.place.radius_km
    return HopStretch(
        ttl=hop.ttl,
        rtt_ns=rtt_ns,
        floor=floor,
        stretch=stretch(rtt_ns, floor) if tells else None,
        way_km=way_km,
        detour_km=max(0.0, way_km - floor.distance_km),
    )
