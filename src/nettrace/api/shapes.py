"""From what the hub knows to what the API promises: ns to ms, instants to text, nothing else."""

from typing import Any

import msgspec

from nettrace.api import schema
from nettrace.hub import query
from nettrace.hub.latest import Snapshot, stale
from nettrace.hub.tiers import SELF
from nettrace.model.account import Key, Tier
from nettrace.model.instant import NS_PER_S, Instant, ms, rfc3339
from nettrace.model.path import Hop
from nettrace.model.target import Endpoint, Target
from nettrace.model.vantage import Vantage, third_party
from nettrace.store.documents import stages_document
from nettrace.store.rows import Event, Latest, MeasurementRequest, Round, Window


def maybe(at: Instant | None) -> str | None:
    """The instant as text, None for none."""
    return None if at is None else rfc3339(at)


def window_shape(window: Window) -> schema.WindowShape:
    """A window as text."""
    return schema.WindowShape(start=rfc3339(window.start), end=rfc3339(window.end))


def loss(sent: int, received: int) -> float | None:
    """The share that stayed unanswered; None when nothing was sent.

    >>> loss(0, 0), loss(4, 3)
    (None, 0.25)
    """
    return None if sent <= 0 else round((sent - received) / sent, 6)


def last_measured(latest: Latest, at: Instant) -> schema.LastMeasured | None:
    """The last value that was measured, when the newest round has none or is old."""
    newest = latest.round
    if newest.rtt_ns is not None and not stale(latest, at):
        return None
    known = newest if newest.rtt_ns is not None else latest.measured
    if known is None:
        return None
    age_s = round(max(0, at - known.at) / NS_PER_S, 1)
    return schema.LastMeasured(rtt_ms=ms(known.rtt_ns), at=rfc3339(known.at), age_s=age_s)


def stages(stages_ns: dict[str, int]) -> schema.StagesShape | None:
    """Stages of an exchange, None when it has none."""
    told = stages_document(stages_ns)
    return None if told is None else schema.StagesShape(**told)


def reading(latest: Latest, target: Target, at: Instant) -> schema.Reading:
    """A series' newest round."""
    newest = latest.round
    endpoint = next((each for each in target.endpoints if each.name == newest.series.endpoint), None)
    return schema.Reading(
        region=newest.series.vantage, endpoint=newest.series.endpoint, method=newest.series.method,
        role=endpoint.role if endpoint else None, fronted_by=endpoint.fronted_by if endpoint else None,
        outcome=newest.outcome, reason=newest.reason, at=rfc3339(newest.at), rtt_ms=ms(newest.rtt_ns),
        min_ms=ms(newest.min_ns), max_ms=ms(newest.max_ns), error_ms=ms(newest.error_ns), grade=newest.grade,
        sent=newest.sent, received=newest.received, loss=loss(newest.sent, newest.received),
        stale=stale(latest, at), last_measured=last_measured(latest, at), stages=stages(newest.stages_ns),
        status=newest.status, tls_version=newest.tls_version,
        server_hints=newest.server_hints or None, address=newest.address, route=newest.route,
        hop_count=newest.hop_count, round=newest.id, third_party=third_party(newest.series.vantage) or None,
    )  # fmt: skip


def target_row(snapshot: Snapshot, target: Target, region: str | None) -> schema.TargetRow:
    """A target's line: from one vantage, or from the nearest."""
    endpoint = target.endpoints[0]
    rows = query.speaking(snapshot, target, () if region is None else (region,))
    latest = query.shown(rows, snapshot.at)
    newest = latest.round if latest else None
    rtt_ms = ms(newest.rtt_ns) if newest else None
    route, hops = _path(snapshot, target, newest)
    return schema.TargetRow(
        host=target.host, name=target.name, category=target.category, lifecycle=target.lifecycle,
        replaced_by=target.replaced_by, custom=target.account is not None, endpoint=endpoint.name,
        role=endpoint.role, fronted_by=endpoint.fronted_by,
        region=newest.series.vantage if newest else region, method=newest.series.method if newest else None,
        outcome=newest.outcome if newest else "not_measured",
        reason=newest.reason if newest else "not_scheduled",
        at=rfc3339(newest.at) if newest else None, rtt_ms=rtt_ms,
        loss=loss(newest.sent, newest.received) if newest else None,
        stale=latest is not None and stale(latest, snapshot.at),
        last_measured=last_measured(latest, snapshot.at) if latest else None,
        route=route, hop_count=hops,
        regions_measured=sum(row.round.rtt_ns is not None and not stale(row, snapshot.at) for row in rows),
        regions=len(rows), total_rtt=rtt_ms, route_hash=route, last_scan=rfc3339(newest.at) if newest else None,
    )  # fmt: skip


def _path(snapshot: Snapshot, target: Target, newest: Round | None) -> tuple[str | None, int | None]:
    """Route and hop count of the newest round, else of the newest trace of the same vantage and endpoint."""
    if newest is None or newest.route is not None or newest.hop_count is not None:
        return (newest.route, newest.hop_count) if newest else (None, None)
    for series, row in snapshot.newest.get(target.host, {}).items():
        same = series.vantage == newest.series.vantage and series.endpoint == newest.series.endpoint
        if same and series.method == "trace":
            return row.round.route, row.round.hop_count
    return None, None


def endpoint_shape(endpoint: Endpoint) -> schema.EndpointShape:
    """One way to a target."""
    return schema.EndpointShape(
        name=endpoint.name, host=endpoint.host, role=endpoint.role, port=endpoint.port, url=endpoint.url,
        fronted_by=endpoint.fronted_by, methods=[method.value for method in endpoint.methods],
    )  # fmt: skip


def round_row(stored: Round) -> schema.RoundRow:
    """A round in full."""
    series = stored.series
    return schema.RoundRow(
        id=stored.id, host=series.target, region=series.vantage, endpoint=series.endpoint, method=series.method,
        due=rfc3339(stored.due), at=rfc3339(stored.at), outcome=stored.outcome, reason=stored.reason,
        address=stored.address, sent=stored.sent, received=stored.received, not_measured=stored.not_measured,
        rtt_ms=ms(stored.rtt_ns), min_ms=ms(stored.min_ns), max_ms=ms(stored.max_ns),
        error_ms=ms(stored.error_ns), grade=stored.grade, clock=stored.clock,
        samples_ms=[ms(sample) for sample in stored.samples_ns], stages=stages(stored.stages_ns),
        status=stored.status, tls_version=stored.tls_version,
        server_hints=stored.server_hints or None, route=stored.route, hop_count=stored.hop_count,
        request=stored.request, stored_at=rfc3339(stored.stored_at),
    )  # fmt: skip


def hop_shape(hop: Hop) -> schema.HopShape:
    """One hop, with its earlier names."""
    return schema.HopShape(
        ttl=hop.ttl, address=hop.address, name=hop.name, asn=hop.asn, as_name=hop.as_name,
        place=hop.place.name if hop.place else None,
        rtt_ms=[ms(sample.rtt_ns) for sample in hop.samples if sample.state != "not_measured"],
        hop=hop.ttl, ip=hop.address, host=hop.name,
    )  # fmt: skip


def event_row(event: Event) -> schema.SignalRow:
    """An event with its document."""
    series = event.series
    host = event.target or (series.target if series else None)
    said = _said(event)
    return schema.SignalRow(
        id=event.id, kind=event.kind, host=host, region=event.vantage or (series.vantage if series else None),
        endpoint=series.endpoint if series else None, method=series.method if series else None,
        at=rfc3339(event.at), detected_at=rfc3339(event.detected_at), direction=said.direction,
        severity=event.severity, confidence=event.confidence, signal_type=event.kind, target_host=host,
        created_at=rfc3339(event.detected_at), document=msgspec.Raw(event.body),
    )  # fmt: skip


class _Said(msgspec.Struct):
    """What a list shows of an event's document."""

    direction: str | None = None
    class_: str | None = msgspec.field(default=None, name="class")
    rtt_delta_ms: float | None = None
    from_: Any = msgspec.field(default=None, name="from")
    to: Any = None


def _said(event: Event) -> _Said:
    try:
        return msgspec.json.decode(event.body, type=_Said)
    except msgspec.DecodeError:
        return _Said()


def change_row(event: Event) -> schema.ChangeRow:
    """A route change with its earlier names."""
    said, series = _said(event), event.series
    return schema.ChangeRow(
        id=event.id, region=event.vantage or (series.vantage if series else None),
        endpoint=series.endpoint if series else None, class_=said.class_, at=rfc3339(event.at),
        detected_at=rfc3339(event.detected_at), severity=event.severity, confidence=event.confidence,
        rtt_delta_ms=said.rtt_delta_ms, old_route_hash=_text(said.from_), new_route_hash=_text(said.to),
        rtt_delta=said.rtt_delta_ms, document=msgspec.Raw(event.body),
    )  # fmt: skip


def _text(said: object) -> str | None:
    """A route's name when the document holds one, else what it holds as JSON."""
    if said is None or isinstance(said, str):
        return said
    return msgspec.json.encode(said).decode()


def vantage_row(snapshot: Snapshot, vantage: Vantage) -> schema.VantageRow:
    """A vantage with how it is."""
    own = [
        row.round
        for rows in (snapshot.lent if vantage.third_party else snapshot.newest).values()
        for series, row in rows.items()
        if series.vantage == vantage.code
    ]
    clock = vantage.clock
    return schema.VantageRow(
        code=vantage.code, state=vantage.state, up=not snapshot.down(vantage.code) and not vantage.third_party,
        last_seen=maybe(vantage.last_seen), city=vantage.city, country=vantage.country,
        latitude=vantage.latitude, longitude=vantage.longitude, version=vantage.version,
        methods=vantage.methods, problems=list(vantage.problems),
        clock_offset_ms=ms(clock.offset_ns) if clock else None, clock_error_ms=ms(clock.error_ns) if clock else None,
        lost_records=vantage.lost_records, newest_round_at=maybe(max((each.at for each in own), default=None)),
        targets=len({each.series.target for each in own}), third_party=vantage.third_party or None,
    )  # fmt: skip


def tier_row(tier: Tier) -> schema.TierRow:
    """What a tier holds."""
    return schema.TierRow(
        name=tier.name, title=tier.title, price_usd_month=0 if tier is SELF else tier.price_usd_month,
        calls_per_day=tier.calls_per_day, calls_per_minute=tier.calls_per_minute,
        history_days=tier.history_days, features=sorted(tier.features), streams=tier.streams,
        custom_targets=tier.custom_targets,
    )  # fmt: skip


def key_shape(key: Key, secret: str | None = None) -> schema.KeyShape:
    """A key as the hub knows it, with its secret when it was just made."""
    return schema.KeyShape(
        id=key.id, name=key.name, hint=key.hint, tier=key.tier, scopes=sorted(key.scopes), live=key.live,
        created_at=rfc3339(key.created_at), expires_at=maybe(key.expires_at), revoked_at=maybe(key.revoked_at),
        key=secret,
    )  # fmt: skip


def measurement_shape(request: MeasurementRequest, results: list[Round]) -> schema.MeasurementShape:
    """An on-demand measurement with its results."""
    return schema.MeasurementShape(
        id=request.id, state=request.state, target=request.target, endpoint=request.endpoint.name,
        method=request.method, probes=request.probes, regions=list(request.wanted),
        answered=list(request.answered), created_at=rfc3339(request.created_at),
        deadline=rfc3339(request.deadline), results=[round_row(each) for each in results],
    )  # fmt: skip


def measurement_row(request: MeasurementRequest) -> schema.MeasurementRow:
    """An on-demand measurement in a list."""
    return schema.MeasurementRow(
        id=request.id, state=request.state, target=request.target, endpoint=request.endpoint.name,
        method=request.method, probes=request.probes, regions=list(request.wanted),
        answered=list(request.answered), created_at=rfc3339(request.created_at), deadline=rfc3339(request.deadline),
    )  # fmt: skip
