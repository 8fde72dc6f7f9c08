"""Round trips measured from other people's vantages as rows of evidence: hints, never the answer."""

from collections.abc import Callable, Iterable
from statistics import median

import msgspec

from nettrace.model.instant import NS_PER_MS, rfc3339
from nettrace.model.measurement import Ping
from nettrace.model.path import Place
from nettrace.model.remote import RemoteResult
from nettrace.placement.estimates.evidence import FindPlace, Row
from nettrace.placement.registry.facts import Registry
from nettrace.placement.registry.places import engine_of


class Lent(msgspec.Struct, frozen=True):
    """Rows, and why some results gave none."""

    rows: tuple[Row, ...]
    refused: tuple[str, ...]


def lent_rows(
    results: Iterable[RemoteResult],
    registry: Registry,
    find: FindPlace,
    floor_ns: Callable[[Place, Place], int],
) -> Lent:
    """A row for each probe that pinged an endpoint of a registry venue; `own` is false.

    A round trip faster than light from the venue's engine was answered by an edge: it is refused, as is a host that is
    no venue's endpoint, because a row for it would be evidence of nothing. `floor_ns`: light's round trip between two places.
    """
    rows: list[Row] = []
    refused: dict[str, None] = {}
    for result in results:
        ping, probe = result.measurement, result.probe
        times = [each.rtt_ns for each in ping.samples if each.rtt_ns] if isinstance(ping, Ping) else []
        if not times or probe.latitude is None or probe.longitude is None:
            continue
        venues = [
            each
            for each in registry.venues.values()
            if any(end.host == ping.target for end in each.endpoints)
        ]
        if not venues:
            refused[f"{ping.target} is no endpoint of a registry venue: no row of evidence"] = None
        here = Place(
            name=probe.code,
            latitude=probe.latitude,
            longitude=probe.longitude,
            radius_km=0.0,
            evidence="given",
        )
        for venue in venues:
            engine = engine_of(venue, find)
            if engine is None:
                refused[f"nobody knows where {venue.name} stands: no row of evidence"] = None
            elif floor_ns(here, engine) > min(times):
                refused[f"{probe.code}: faster than light from {venue.name}: an edge answered, no row"] = None
            else:
                rows.append(
                    Row(
                        a=probe.region or f"{probe.latitude:.4f},{probe.longitude:.4f}", b=venue.name,
                        p50_ms=round(median(times) / NS_PER_MS, 3), n=len(times), at=rfc3339(ping.at)[:10],
                        source=probe.code,
                    )
                )  # fmt: skip
    return Lent(tuple(rows), tuple(refused))
