"""What was measured of each pair of site and venue: medians with intervals, and the stages of a request."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from statistics import median
from typing import Any, NamedTuple

import msgspec
from msgspec.structs import replace

from nettrace.placement.document.brief import Brief, VenueNote
from nettrace.placement.request import Evidence, Latency, Request

_FEWEST = 6
"""With fewer values no two of them hold the median with 95 % confidence."""


class Sessions(NamedTuple):
    """When a venue trades.

    Attributes:
        calendar: its name in the registry.
        is_open: whether it trades at an instant (RFC 3339).
    """

    calendar: str
    is_open: Callable[[str], bool]


def always(_venue: str) -> Sessions | None:
    """No venue ever closes."""
    return None


class Result(msgspec.Struct, frozen=True):
    """One result document, and at which vantage it was taken."""

    vantage: str
    document: Mapping[str, Any]


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """The latency of a pair as it was measured.

    Attributes:
        host: whose answers these are.
        by: `rtt`, or `request`: first byte on a kept-alive connection.
        n, lost: answers, and probes or requests without one.
        low_ms, high_ms: 95 % interval of the median over these answers; None with fewer than six. It speaks of the time
            they were taken in, not of other hours.
        mad_ms: median absolute deviation from the median; None where only a summary was kept.
        since, until: first and last result (RFC 3339).
        hours: the calendar in whose sessions these answers came, None for all hours; then `closed_p50_ms` and
            `closed_p95_ms` are of the other hours, where there were answers.
        true: not measured but the lab's own truth.
    """

    venue: str
    site: str
    host: str
    by: str
    n: int
    lost: int
    p50_ms: float
    p95_ms: float
    mad_ms: float | None
    low_ms: float | None
    high_ms: float | None
    since: str | None
    until: str | None
    hours: str | None = None
    closed_p50_ms: float | None = None
    closed_p95_ms: float | None = None
    true: bool = False


class Stages(msgspec.Struct, frozen=True, kw_only=True):
    """Medians of a venue's requests from a site, by stage; None is "not measured".

    Attributes:
        cold_ms: a request on a new connection, from looking up the name to the answer's first byte.
        warm_ms: the same on a connection that is open already.
        ws_ms: WebSocket ping to pong.
    """

    venue: str
    site: str
    n: int
    dns_ms: float | None
    connect_ms: float | None
    tls_ms: float | None
    ttfb_ms: float | None
    cold_ms: float | None
    warm_ms: float | None
    ws_ms: float | None


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """Everything the results say about the request's pairs.

    Attributes:
        hosts: medians of other hosts of a venue, by (venue, site, host).
        unsplit: why all hours count of a pair whose venue closes, in words.
    """

    pairs: dict[tuple[str, str], Seen] = {}
    stages: dict[tuple[str, str], Stages] = {}
    hosts: dict[tuple[str, str, str], Seen] = {}
    unsplit: dict[tuple[str, str], str] = {}


def quantile(values: Sequence[float], share: float) -> float:
    """The nearest-rank quantile.

    >>> quantile([3.0, 1.0, 2.0], 0.5)
    2.0
    """
    ordered = sorted(values)
    return ordered[max(0, -(-round(share * 1e6) * len(ordered) // 10**6) - 1)]


def median_interval(values: Sequence[float]) -> tuple[float, float] | None:
    """The 95 % interval of the median by order statistics (David and Nagaraja, "Order Statistics", 7.1); None below six.

    >>> median_interval([1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
    (1.0, 6.0)
    """
    count = len(values)
    if count < _FEWEST:
        return None
    low, term, below = 0, 1, 1
    while below * 40 <= 2**count:
        low += 1
        term = term * (count - low + 1) // low
        below += term
    ordered = sorted(values)
    return ordered[low - 1], ordered[count - low]


def gathered(
    results: Iterable[Result],
    request: Request,
    brief: Brief,
    sessions: Callable[[str], Sessions | None] = always,
) -> Measured:
    """What results say about the request's pairs; those of other vantages and hosts are left aside.

    Of a venue that closes (`sessions`) the answers while it is open count, where there are six or more; else all do.
    Read are `nettrace.ping/1`, `nettrace.http/1`, `nettrace.ws/1` and, where no packets may be sent, `nettrace.lab_truth/1`.
    """
    sites = {brief.of_site(site.name).vantage or site.name: site.name for site in request.site}
    heard: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for result in results:
        site, host = sites.get(result.vantage), _host(result.document)
        if site is not None and host is not None:
            heard.setdefault((site, host), []).append(result.document)
    made = Measured(pairs={}, stages={}, hosts={}, unsplit={})
    for venue in request.venue:
        note = brief.of_venue(venue.name)
        trades = sessions(venue.name) if note.hours == "trading" else None
        for site in request.site:
            _add(made, note, site.name, heard, trades)
    return made


def with_measured(request: Request, measured: Measured) -> Request:
    """The request with measured latencies in place of what it says itself."""
    rows = {(row.venue, row.site): row for row in request.latency}
    for (venue, site), seen in measured.pairs.items():
        rows[venue, site] = Latency(
            venue=venue,
            site=site,
            p50_ms=seen.p50_ms,
            low_ms=seen.low_ms,
            high_ms=seen.high_ms,
            p95_ms=seen.p95_ms,
            by=f"{seen.by}, while {seen.hours} is open" if seen.hours else seen.by,
            evidence=Evidence.GIVEN if seen.true else Evidence.MEASURED,
        )
    return replace(request, latency=tuple(rows.values()))


def set_aside(request: Request) -> tuple[Request, tuple[str, ...]]:
    """The request without the venues that have no latency at all, and their names."""
    known = {row.venue for row in request.latency}
    kept = tuple(venue for venue in request.venue if venue.name in known)
    return replace(request, venue=kept), tuple(v.name for v in request.venue if v.name not in known)


def _add(
    made: Measured,
    note: VenueNote,
    site: str,
    heard: Mapping[tuple[str, str], list[Mapping[str, Any]]],
    trades: Sessions | None,
) -> None:
    asked = host_of_url(note.url)
    stages = _stages(
        note, site, heard.get((site, asked or ""), []), heard.get((site, host_of_url(note.ws) or ""), [])
    )
    if stages is not None:
        made.stages[note.name, site] = stages
    own = asked if note.by == "request" else note.host
    found = heard.get((site, own or ""), [])
    seen = _seen(note.name, site, own, note.by, found)
    if seen is not None and trades is not None and not seen.true:
        seen = _at_hours(made, seen, found, trades)
    if seen is not None:
        made.pairs[note.name, site] = seen
    for host in (own, *note.nearer):
        other = _seen(note.name, site, host, "rtt", heard.get((site, host or ""), []))
        if other is not None and host is not None:
            made.hosts[note.name, site, host] = other


def _seen(
    venue: str, site: str, host: str | None, by: str, found: Sequence[Mapping[str, Any]]
) -> Seen | None:
    truth = next((each for each in found if each["schema"] == "nettrace.lab_truth/1"), None)
    values, lost = _warm(found) if by == "request" else _round_trips(found)
    if not values and truth is not None:
        wait = (truth["first_byte_wait_ms"] or 0.0) if by == "request" else 0.0
        values = [truth["rtt_ms"] + wait]
    else:
        truth = None
    if not values or host is None:
        return None
    middle, interval = quantile(values, 0.5), median_interval(values)
    times = sorted(each["at"] for each in found if each.get("at"))
    return Seen(
        venue=venue, site=site, host=host, by=by, n=len(values), lost=lost,
        p50_ms=round(middle, 3), p95_ms=round(quantile(values, 0.95), 3),
        mad_ms=round(median(abs(each - middle) for each in values), 3),
        low_ms=round(interval[0], 3) if interval else None, high_ms=round(interval[1], 3) if interval else None,
        since=times[0] if times else None, until=times[-1] if times else None, true=truth is not None,
    )  # fmt: skip


def _at_hours(made: Measured, seen: Seen, found: Sequence[Mapping[str, Any]], trades: Sessions) -> Seen:
    """The same of the answers while the venue trades; all of them, and why, where those are too few."""
    inside = [each for each in found if each.get("at") and trades.is_open(each["at"])]
    outside = [each for each in found if each.get("at") and each not in inside]
    own = _seen(seen.venue, seen.site, seen.host, seen.by, inside)
    if own is None or own.n < _FEWEST:
        few = f"{own.n if own else 0} of {seen.n} answers came while {trades.calendar} was open"
        made.unsplit[seen.venue, seen.site] = f"{few}, {_FEWEST} are needed"
        return seen
    closed = _seen(seen.venue, seen.site, seen.host, seen.by, outside)
    return replace(
        own, hours=trades.calendar, closed_p50_ms=closed.p50_ms if closed else None,
        closed_p95_ms=closed.p95_ms if closed else None,
    )  # fmt: skip


def _round_trips(found: Sequence[Mapping[str, Any]]) -> tuple[list[float], int]:
    pings = [each for each in found if each["schema"] == "nettrace.ping/1"]
    values = [rtt for each in pings for rtt in each["rtt_ms"] if rtt is not None]
    return values, sum(each["sent"] for each in pings) - len(values)


def _warm(found: Sequence[Mapping[str, Any]]) -> tuple[list[float], int]:
    asked = [each for each in found if each["schema"] == "nettrace.http/1" and each["reused"]]
    values = [each["ttfb_ms"] for each in asked if each["ttfb_ms"] is not None]
    return values, len(asked) - len(values)


def _stages(
    note: VenueNote, site: str, found: Sequence[Mapping[str, Any]], live: Sequence[Mapping[str, Any]]
) -> Stages | None:
    asked = [each for each in found if each["schema"] == "nettrace.http/1" and each["ttfb_ms"] is not None]
    cold = [each for each in asked if not each["reused"] and each["connect_ms"] is not None]
    warm = [each["ttfb_ms"] for each in asked if each["reused"]]
    pings = [
        rtt for each in live if each["schema"] == "nettrace.ws/1" for rtt in each["rtt_ms"] if rtt is not None
    ]
    if not cold and not warm and not pings:
        return None

    def stage(name: str) -> float | None:
        return _median(each[name] for each in cold if each[name] is not None)

    names = ("dns_ms", "connect_ms", "tls_ms", "ttfb_ms")
    return Stages(
        venue=note.name, site=site, n=len(cold), dns_ms=stage("dns_ms"), connect_ms=stage("connect_ms"),
        tls_ms=stage("tls_ms"), ttfb_ms=stage("ttfb_ms"),
        cold_ms=_median(sum(each[name] or 0.0 for name in names) for each in cold),
        warm_ms=_median(warm), ws_ms=_median(pings),
    )  # fmt: skip


def _median(values: Iterable[float]) -> float | None:
    found = list(values)
    return round(quantile(found, 0.5), 3) if found else None


def _host(document: Mapping[str, Any]) -> str | None:
    return host_of_url(document["url"]) if "url" in document else document.get("target")


def host_of_url(url: str | None) -> str | None:
    """The host of a URL.

    >>> host_of_url("https://api.example:8443/v1")
    'api.example'
    """
    if url is None:
        return None
    rest = url.partition("://")[2].partition("/")[0].rpartition("@")[2]
    return rest.rpartition(":")[0] if rest.rpartition(":")[2].isdigit() else rest
