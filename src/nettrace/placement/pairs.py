"""Venues traded together: each pair becomes a venue whose latency from a site is that of its legs from there.

What solves, explains and doubts a plan then knows venues only. A pair is traded from one site, so nothing is lost by it; its
legs stay venues of their own, served by themselves.
"""

from collections.abc import Iterable, Sequence

from msgspec.structs import replace

from nettrace.placement.request import By, Evidence, Latency, Pair, Request, Venue

_WEAKEST = (Evidence.ESTIMATED, Evidence.GIVEN, Evidence.MEASURED)


def with_pairs(request: Request) -> Request:
    """The request with each pair as a venue too, and its latency from every site that has one to all of its legs.

    A pair that is there already is left as it is.
    """
    there = {venue.name for venue in request.venue}
    pairs = [pair for pair in request.pair if pair.name not in there]
    if not pairs:
        return request
    rows = {(row.venue, row.site): row for row in request.latency}
    more: list[Latency] = []
    for pair in pairs:
        for site in request.site:
            legs = [rows.get((name, site.name)) for name in pair.venues]
            found = [leg for leg in legs if leg is not None]
            if len(found) == len(legs):
                more.append(joint(pair, found))
    venues = (*request.venue, *(_venue(pair, request.venue) for pair in pairs))
    return replace(request, venue=venues, latency=(*request.latency, *more))


def joint(pair: Pair, legs: Sequence[Latency]) -> Latency:
    """The pair's latency from the site of these legs; as sure as the least sure of them.

    >>> legs = [Latency(venue="a", site="s", p50_ms=3), Latency(venue="b", site="s", p50_ms=4, low_ms=3.5, high_ms=9)]
    >>> made = joint(Pair(name="ab", venues=("a", "b"), usd_per_ms_month=1), legs)
    >>> made.p50_ms, made.low_ms, made.high_ms
    (4, 3.5, 9)
    """
    together = max if pair.by is By.WORSE else sum
    known = any(leg.low_ms is not None or leg.high_ms is not None for leg in legs)

    def end(values: Iterable[float | None]) -> float:
        return together(
            leg.p50_ms if value is None else value for leg, value in zip(legs, values, strict=True)
        )

    return Latency(
        venue=pair.name,
        site=legs[0].site,
        p50_ms=together(leg.p50_ms for leg in legs),
        low_ms=end(leg.low_ms for leg in legs) if known else None,
        high_ms=end(leg.high_ms for leg in legs) if known else None,
        evidence=min((leg.evidence for leg in legs), key=_WEAKEST.index),
    )


def _venue(pair: Pair, venues: Iterable[Venue]) -> Venue:
    legs = [venue for venue in venues if venue.name in pair.venues]
    return Venue(
        name=pair.name,
        usd_per_ms_month=pair.usd_per_ms_month,
        max_ms=pair.max_ms,
        backup_max_ms=pair.backup_max_ms,
        forbid_countries=tuple(dict.fromkeys(code.upper() for leg in legs for code in leg.forbid_countries)),
    )
