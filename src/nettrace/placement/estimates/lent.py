"""Round trips measured from other people's vantages as rows of evidence: hints, never the answer."""

from collections.abc import Callable, Iterable, Iterator
from statistics import median

import msgspec

from nettrace.model.instant import NS_PER_MS, Instant, rfc3339
from nettrace.model.measurement import Ping
from nettrace.model.path import Place
from nettrace.model.remote import RemoteResult
from nettrace.placement.estimates.evidence import FindPlace, Row
from nettrace.placement.registry.facts import Registry
from nettrace.placement.registry.places import engine_of


class Look(msgspec.Struct, frozen=True, kw_only=True):
    """Round trips of one of other people's vantages to one host.

    Attributes:
        code: the vantage's.
        end: what it is called as an end of a row; its coordinates when empty.
        at: of the newest.
    """

    code: str
    host: str
    latitude: float
    longitude: float
    rtts_ns: tuple[int, ...]
    at: Instant
    end: str = ""


class Lent(msgspec.Struct, frozen=True):
    """Rows, and why some results gave none."""

    rows: tuple[Row, ...]
    refused: tuple[str, ...]


def looks_of(results: Iterable[RemoteResult]) -> Iterator[Look]:
    """What an errand's pings found, of probes that say where they stand and were answered."""
    for result in results:
        ping, probe = result.measurement, result.probe
        times = [each.rtt_ns for each in ping.samples if each.rtt_ns] if isinstance(ping, Ping) else []
        if times and probe.latitude is not None and probe.longitude is not None:
            yield Look(
                code=probe.code, host=result.measurement.target, latitude=probe.latitude, longitude=probe.longitude,
                rtts_ns=tuple(times), at=result.measurement.at, end=probe.region or "",
            )  # fmt: skip


def lent_rows(
    looks: Iterable[Look], registry: Registry, find: FindPlace, floor_ns: Callable[[Place, Place], int]
) -> Lent:
    """A row for each look at an endpoint of a registry venue; `own` is false.

    A round trip faster than light from the venue's engine was answered by an edge: it is refused, as is a host that is
    no venue's endpoint, because a row for it would be evidence of nothing. `floor_ns`: light's round trip between two places.
    """
    rows: list[Row] = []
    refused: dict[str, None] = {}
    for look in looks:
        venues = [
            each for each in registry.venues.values() if any(end.host == look.host for end in each.endpoints)
        ]
        if not venues:
            refused[f"{look.host} is no endpoint of a registry venue: no row of evidence"] = None
        here = Place(
            name=look.code, latitude=look.latitude, longitude=look.longitude, radius_km=0.0, evidence="given"
        )
        for venue in venues:
            engine = engine_of(venue, find)
            if engine is None:
                refused[f"nobody knows where {venue.name} stands: no row of evidence"] = None
            elif floor_ns(here, engine) > min(look.rtts_ns):
                refused[f"{look.code}: faster than light from {venue.name}: an edge answered, no row"] = None
            else:
                rows.append(
                    Row(
                        a=look.end or f"{look.latitude:.4f},{look.longitude:.4f}", b=venue.name,
                        p50_ms=round(median(look.rtts_ns) / NS_PER_MS, 3), n=len(look.rtts_ns),
                        at=rfc3339(look.at)[:10], source=look.code,
                    )
                )  # fmt: skip
    return Lent(tuple(rows), tuple(refused))
