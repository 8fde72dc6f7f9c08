"""Rows of a hub's folder under the names of the REST API: ns to ms, instants to text."""

from typing import Any

import msgspec

from nettrace.hub import query
from nettrace.hub.floors import floor_to
from nettrace.hub.latest import Snapshot, stale
from nettrace.mcp.plain import Document
from nettrace.model.instant import Instant, ms, rfc3339
from nettrace.model.path import Hop
from nettrace.model.target import Target
from nettrace.model.vantage import Vantage
from nettrace.store.rows import Event, Latest, MeasurementRequest, Round


def maybe(at: Instant | None) -> str | None:
    """The instant as text, None for none."""
    return None if at is None else rfc3339(at)


def loss(sent: int, received: int) -> float | None:
    """The share that stayed unanswered; None when nothing was sent."""
    return None if sent <= 0 else round((sent - received) / sent, 6)


def target_row(snapshot: Snapshot, target: Target, region: str | None) -> Document:
    """A target with the newest round of its first endpoint."""
    spoken = query.speaking(snapshot, target, () if region is None else (region,))
    latest = query.shown(spoken, snapshot.at)
    newest = latest.round if latest else None
    return {
        "host": target.host, "name": target.name, "category": target.category, "lifecycle": target.lifecycle,
        "role": target.endpoints[0].role, "fronted_by": target.endpoints[0].fronted_by,
        "region": newest.series.vantage if newest else region, "method": newest.series.method if newest else None,
        "outcome": newest.outcome if newest else "not_measured",
        "reason": newest.reason if newest else "not_scheduled", "at": maybe(newest.at) if newest else None,
        "rtt_ms": ms(newest.rtt_ns) if newest else None,
        "loss": loss(newest.sent, newest.received) if newest else None,
        "stale": latest is not None and stale(latest, snapshot.at),
        "regions_measured": sum(row.round.rtt_ns is not None and not stale(row, snapshot.at) for row in spoken),
        "regions": len(spoken),
    }  # fmt: skip


def reading_row(snapshot: Snapshot, latest: Latest, target: Target) -> Document:
    """A series' newest round; `floor_ms` is what light allows, where both places are known."""
    newest = latest.round
    floor = floor_to(snapshot.vantages.get(newest.series.vantage), target)
    return {
        **round_row(newest), "stale": stale(latest, snapshot.at),
        "floor_ms": ms(floor.vacuum_ns) if floor else None,
    }  # fmt: skip


def round_row(stored: Round) -> Document:
    """A round in few fields."""
    series = stored.series
    return {
        "region": series.vantage, "host": series.target, "endpoint": series.endpoint, "method": series.method,
        "outcome": stored.outcome, "reason": stored.reason, "at": rfc3339(stored.at), "rtt_ms": ms(stored.rtt_ns),
        "min_ms": ms(stored.min_ns), "max_ms": ms(stored.max_ns), "error_ms": ms(stored.error_ns),
        "sent": stored.sent, "received": stored.received, "loss": loss(stored.sent, stored.received),
        "address": stored.address, "status": stored.status, "route": stored.route, "hop_count": stored.hop_count,
    }  # fmt: skip


def bucket_row(bucket: query.Bucket) -> Document:
    """A bucket of a history."""
    columns, at = bucket.columns, bucket.index
    return {
        "at": rfc3339(bucket.start), "region": columns.series.vantage, "endpoint": columns.series.endpoint,
        "method": columns.series.method, "outcome": query.bucket_outcome(columns, at),
        "p50_ms": ms(columns.quantiles_ns["p50"][at]), "p95_ms": ms(columns.quantiles_ns["p95"][at]),
        "min_ms": ms(columns.min_ns[at]), "max_ms": ms(columns.max_ns[at]), "rounds": columns.rounds[at],
        "failed": columns.failed[at], "not_measured": columns.not_measured[at],
        "loss": loss(columns.sent[at], columns.received[at]),
    }  # fmt: skip


def ranked_row(place: query.Ranked) -> Document:
    """A target's place within its group."""
    summary = place.summary
    return {
        "rank": place.rank, "rank_last": place.rank_last, "tied": place.tied, "group": place.group,
        "host": place.target.host, "method": summary.series.method, "p50_ms": ms(summary.quantiles_ns["p50"]),
        "low_ms": ms(summary.low_p50_ns), "high_ms": ms(summary.high_p50_ns),
        "p95_ms": ms(summary.quantiles_ns["p95"]), "loss": loss(summary.sent, summary.received),
    }  # fmt: skip


def compared_row(row: query.Compared) -> Document:
    """One target of a comparison from one vantage."""
    summary = row.summary
    known = summary.quantiles_ns if summary else {}
    measured, failed = (summary.measured, summary.failed) if summary else (0, 0)
    return {
        "host": row.target.host, "region": row.region, "group": query.group_of(row.endpoint), "method": row.method,
        "outcome": "measured" if measured else "failed" if failed else "not_measured",
        "p50_ms": ms(known.get("p50")), "low_ms": ms(summary.low_p50_ns) if summary else None,
        "high_ms": ms(summary.high_p50_ns) if summary else None, "p95_ms": ms(known.get("p95")),
        "loss": loss(summary.sent, summary.received) if summary else None,
    }  # fmt: skip


def difference_row(pair: query.Difference) -> Document:
    """How much slower one is than another."""
    return {
        "host": pair.host, "than": pair.than, "region": pair.region, "difference_ms": ms(pair.difference_ns),
        "low_ms": ms(pair.low_ns), "high_ms": ms(pair.high_ns), "clear": pair.clear, "comparable": pair.comparable,
    }  # fmt: skip


def route_row(now: query.RouteNow) -> Document:
    """A route with the hops of a trace that took it."""
    trace = now.trace.trace if now.trace else None
    newest = now.newest.trace if now.newest else None
    return {
        "region": now.series.vantage, "endpoint": now.series.endpoint,
        "route": now.state.route if now.state else (now.newest.route if now.newest else None),
        "since": maybe(now.state.since) if now.state else None,
        "as_path": list(now.state.as_path) if now.state else [], "at": maybe(trace.at) if trace else None,
        "outcome": newest.outcome if newest else "not_measured",
        "reason": newest.reason if newest else "not_scheduled", "reached": trace.reached if trace else None,
        "rtt_ms": ms(trace.rtt_ns) if trace and trace.reached else None,
        "hop_count": len(trace.hops) if trace else None, "hops": [_hop(hop) for hop in trace.hops] if trace else [],
    }  # fmt: skip


def _hop(hop: Hop) -> Document:
    return {
        "ttl": hop.ttl, "address": hop.address, "asn": hop.asn, "name": hop.name,
        "place": hop.place.name if hop.place else None, "rtt_ms": [ms(sample.rtt_ns) for sample in hop.samples],
    }  # fmt: skip


def event_row(event: Event) -> Document:
    """An event with what its detector concluded."""
    series = event.series
    try:
        said: Any = msgspec.json.decode(event.body)
    except msgspec.DecodeError:
        said = {}
    return {
        "id": event.id, "kind": event.kind, "host": event.target or (series.target if series else None),
        "region": event.vantage or (series.vantage if series else None), "at": rfc3339(event.at),
        "detected_at": rfc3339(event.detected_at), "severity": event.severity, "confidence": event.confidence,
        "document": said,
    }  # fmt: skip


def vantage_row(snapshot: Snapshot, vantage: Vantage) -> Document:
    """A vantage with how it is."""
    clock = vantage.clock
    own = [
        row.round.at for rows in snapshot.newest.values() for series, row in rows.items() if series.vantage == vantage.code
    ]  # fmt: skip
    return {
        "code": vantage.code, "node": vantage.node, "state": vantage.state, "up": not snapshot.down(vantage.code),
        "last_seen": maybe(vantage.last_seen), "newest_round_at": maybe(max(own, default=None)), "city": vantage.city,
        "country": vantage.country, "version": vantage.version, "problems": list(vantage.problems),
        "clock_offset_ms": ms(clock.offset_ns) if clock else None,
        "clock_error_ms": ms(clock.error_ns) if clock else None, "lost_records": vantage.lost_records,
    }  # fmt: skip


def measurement_row(request: MeasurementRequest, results: list[Round]) -> Document:
    """A measurement with what it has brought so far."""
    return {
        "id": request.id, "state": request.state, "target": request.target, "method": request.method,
        "probes": request.probes, "regions": list(request.wanted), "answered": list(request.answered),
        "results": [round_row(each) for each in results],
    }  # fmt: skip
