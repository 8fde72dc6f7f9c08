"""A placement request's missing latencies, estimated; what the request gives stays."""

from collections.abc import Callable, Iterable

from msgspec.structs import replace

from nettrace.placement.estimates.estimate import Estimate, estimates
from nettrace.placement.estimates.evidence import End, Evidence
from nettrace.placement.estimates.model import Model
from nettrace.placement.request import Latency, Request, Site, Venue

EndOf = Callable[[Venue | Site], End | None]
"""The end that a venue or a site is, None when nothing says where it stands or what was measured of it."""


def missing(request: Request) -> list[tuple[str, str]]:
    """Pairs (venue, site) without a row."""
    given = {(row.venue, row.site) for row in request.latency}
    every = ((venue.name, site.name) for venue in request.venue for site in request.site)
    return [pair for pair in every if pair not in given]


def filled(
    request: Request, evidence: Evidence, end_of: EndOf, pairs: Iterable[tuple[str, str]]
) -> tuple[Request, dict[tuple[str, str], Estimate]]:
    """The request with a latency row for each of `pairs` that can be estimated, and the estimates by (venue, site)."""
    ends: dict[str, End] = {}
    for each in (*request.venue, *request.site):
        end = end_of(each)
        if end is not None:
            ends[each.name] = end
    asked = [pair for pair in pairs if pair[0] in ends and pair[1] in ends]
    if not asked:
        return request, {}
    model = Model(evidence.joined(Evidence({end.name: end for end in ends.values()})))
    found = estimates(model, [(ends[venue].name, ends[site].name) for venue, site in asked])
    made = {pair: each for pair, each in zip(asked, found, strict=True) if each is not None}
    rows = tuple(_row(pair, each) for pair, each in made.items())
    return replace(request, latency=(*request.latency, *rows)), made


def _row(pair: tuple[str, str], each: Estimate) -> Latency:
    return Latency(
        venue=pair[0],
        site=pair[1],
        p50_ms=each.p50_ms,
        low_ms=each.low_ms,
        high_ms=each.high_ms,
        p95_ms=each.p95_ms,
        p95_low_ms=each.p95_low_ms,
        p95_high_ms=each.p95_high_ms,
        evidence=each.evidence,
        by=each.by,
        basis=each.basis,
    )
