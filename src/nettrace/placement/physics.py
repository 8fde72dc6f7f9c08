"""Latencies that light forbids: a request that holds one is refused, not planned with."""

from collections.abc import Callable

from nettrace.errors import Invalid
from nettrace.placement.request import Request

Floor = Callable[[float, float, float, float], float]
"""(latitude, longitude, latitude, longitude) -> least round trip of anything between them, in ms."""


def check_physics(request: Request, floor_ms: Floor) -> None:
    """Return when no latency is below its floor; pairs without coordinates at both ends are not judged.

    Raises:
        Invalid: one is, with its floor.
    """
    venues = {venue.name: venue for venue in request.venue}
    sites = {site.name: site for site in request.site}
    for row in request.latency:
        venue, site = venues[row.venue], sites[row.site]
        if venue.lat is None or venue.lon is None or site.lat is None or site.lon is None:
            continue
        floor = floor_ms(site.lat, site.lon, venue.lat, venue.lon)
        if row.p50_ms < floor:
            raise Invalid(
                f"{row.p50_ms:g} ms between site '{row.site}' and venue '{row.venue}' is impossible: "
                f"light needs {floor:.3f} ms there and back",
                "An edge answered instead of the engine, or a coordinate is wrong",
            )
