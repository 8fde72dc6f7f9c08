"""The public JSON documents (`nettrace.ping/1` ...): what doors print and what replay reads.

One document a measurement, units in the names, `null` always "not measured". Fields may be added; a field
that is here keeps its name and meaning for as long as the schema's number stands.
"""

from collections.abc import Iterable
from math import ceil
from typing import Any

from nettrace.analysis.oneway import OneWay, one_way
from nettrace.errors import Invalid
from nettrace.model.instant import ms, rfc3339
from nettrace.model.measurement import (
    DnsLookup,
    HttpExchange,
    Measurement,
    NtpQuery,
    Ping,
    Sample,
    SampleState,
    Stage,
    Stages,
    StampTest,
    TlsCertificate,
    Way,
    WebSocketPings,
)
from nettrace.model.path import Hop, Label, Trace

Document = dict[str, Any]


def percentile(sorted_values: list[int], fraction: float) -> int | None:
    """The smallest value that at least `fraction` of the values do not exceed (nearest rank), or None.

    >>> percentile([10, 20, 30, 40], 0.5)
    20
    >>> percentile(list(range(1, 101)), 0.07)  # 0.07 * 100 is a little more than 7 in binary
    7
    """
    if not sorted_values:
        return None
    return sorted_values[max(0, ceil(round(fraction * len(sorted_values), 9)) - 1)]


def document(measurement: Measurement) -> Document:
    """The measurement as its public JSON document."""
    match measurement:
        case Ping():
            return ping_document(measurement)
        case Trace():
            return trace_document(measurement)
        case HttpExchange():
            return http_document(measurement)
        case WebSocketPings():
            return websocket_document(measurement)
        case DnsLookup():
            return dns_document(measurement)
        case TlsCertificate():
            return tls_document(measurement)
        case NtpQuery():
            return ntp_document(measurement)
        case StampTest():
            return stamp_document(measurement)
        case _:
            raise Invalid(f"no public document for {type(measurement).__name__}")


def ping_document(ping: Ping) -> Document:
    """`nettrace.ping/1`. `rtt_ms` has `sent` values; probes that prove nothing are only counted, in `not_measured`."""
    return {
        "schema": "nettrace.ping/1",
        "vantage": ping.vantage,
        "target": ping.target,
        "address": ping.address,
        "resolved": list(ping.resolved),
        "method": ping.method,
        "port": ping.port,
        **_verdict(ping),
        **_distribution(ping.samples),
        "clock": ping.clock,
        "at": rfc3339(ping.at),
    }


def trace_document(trace: Trace) -> Document:
    """`nettrace.trace/1`. The hop list ends at the destination when `reached`."""
    return {
        "schema": "nettrace.trace/1",
        "vantage": trace.vantage,
        "target": trace.target,
        "address": trace.address,
        "resolved": list(trace.resolved),
        "method": trace.method,
        "port": trace.port,
        "flow": trace.flow,
        **_verdict(trace),
        "reached": trace.reached,
        "stop": trace.stop,
        "rtt_ms": ms(trace.rtt_ns) if trace.reached else None,
        "hops": [_hop(hop) for hop in trace.hops],
        "answered_from": trace.answered_from,
        "path_mtu_bytes": trace.path_mtu_bytes,
        "balances": [
            {
                "ttl": balance.ttl,
                "addresses": list(balance.addresses),
                "flows_probed": balance.flows_probed,
                "confidence": round(balance.confidence, 4),
            }
            for balance in trace.balances
        ],
        "clock": trace.clock,
        "at": rfc3339(trace.at),
    }


def http_document(exchange: HttpExchange) -> Document:
    """`nettrace.http/1`. Each stage's `_ms` is that stage alone; `total_ms` spans all of them."""
    return {
        "schema": "nettrace.http/1",
        "vantage": exchange.vantage,
        "url": exchange.url,
        "target": exchange.target,
        "address": exchange.address,
        "resolved": list(exchange.resolved),
        **_verdict(exchange),
        "status": exchange.status,
        "tls_version": exchange.tls_version,
        "reused": exchange.reused,
        **_stages(exchange.stages),
        "body_bytes": exchange.body_bytes,
        "server_hints": exchange.server_hints,
        "clock": exchange.clock,
        "at": rfc3339(exchange.at),
    }


def websocket_document(pings: WebSocketPings) -> Document:
    """`nettrace.ws/1`: the connection's stages and the distribution of its ping round trips."""
    return {
        "schema": "nettrace.ws/1",
        "vantage": pings.vantage,
        "url": pings.url,
        "target": pings.target,
        "address": pings.address,
        "resolved": list(pings.resolved),
        **_verdict(pings),
        "status": pings.status,
        "tls_version": pings.tls_version,
        **{_WS_STAGE.get(name, name): value for name, value in _stages(pings.stages).items()},
        **_distribution(pings.samples),
        "clock": pings.clock,
        "at": rfc3339(pings.at),
    }


_WS_STAGE = {"error_ms": "stage_error_ms", "grades": "stage_grades"}
"""Bars and grades of the stages; without `stage_` they are those of the pings."""


def dns_document(lookup: DnsLookup) -> Document:
    """`nettrace.dns/1`: one question to one server."""
    sample = lookup.sample
    return {
        "schema": "nettrace.dns/1",
        "vantage": lookup.vantage,
        "name": lookup.target,
        "type": lookup.question_type,
        "server": lookup.address,
        **_verdict(lookup),
        "rcode": lookup.rcode,
        "answers": [{"type": kind, "data": data, "ttl_s": ttl} for kind, data, ttl in lookup.answers],
        "rtt_ms": ms(sample.rtt_ns) if sample else None,
        "error_ms": ms(sample.error_ns) if sample else None,
        "grade": sample.grade if sample else None,
        "clock": lookup.clock,
        "at": rfc3339(lookup.at),
    }


def tls_document(shown: TlsCertificate) -> Document:
    """`nettrace.tls/1`: `response_ms` runs from the start of the connect until the certificates had arrived."""
    return {
        "schema": "nettrace.tls/1",
        "vantage": shown.vantage,
        "target": shown.target,
        "address": shown.address,
        "port": shown.port,
        **_verdict(shown),
        "tls_version": shown.tls_version,
        "fingerprints_sha256": list(shown.fingerprints),
        "alert": shown.alert,
        "connect_ms": ms(shown.connect_ns),
        "response_ms": ms(shown.response_ns),
        "clock": shown.clock,
        "at": rfc3339(shown.at),
    }


def ntp_document(query: NtpQuery) -> Document:
    """`nettrace.ntp/1`: round trips to a time server, and how far it says the clock is off."""
    return {
        "schema": "nettrace.ntp/1",
        "vantage": query.vantage,
        "target": query.target,
        "address": query.address,
        **_verdict(query),
        **_distribution(query.samples),
        "offset_ms": [ms(offset) for offset in query.offsets_ns],
        "stratum": query.stratum,
        "reference": query.reference,
        "root_delay_ms": ms(query.root_delay_ns),
        "root_dispersion_ms": ms(query.root_dispersion_ns),
        "clock": query.clock,
        "at": rfc3339(query.at),
    }


def stamp_document(test: StampTest) -> Document:
    """`nettrace.stamp/1`: round trips without the reflector's residence, and both ways with the clocks' error stated.

    A way's `delay_ms` is null where the clocks cannot tell it: `why` says so, and `error_ms` is the bound all the same.
    """
    out, back = one_way(test)
    return {
        "schema": "nettrace.stamp/1",
        "vantage": test.vantage,
        "target": test.target,
        "address": test.address,
        "resolved": list(test.resolved),
        "port": test.port,
        "authenticated": test.authenticated,
        **_verdict(test),
        **_distribution(test.samples),
        "residence_ms": [ms(held) for held in test.residence_ns],
        "out": _direction(test.out, out),
        "back": _direction(test.back, back),
        "own_clock_error_ms": ms(test.own_error_ns),
        "peer_clock_error_ms": ms(test.peer_error_ns),
        "rejected": test.rejected,
        "clock": test.clock,
        "at": rfc3339(test.at),
    }


def _direction(way: Way, told: OneWay) -> Document:
    return {
        "sent": way.sent,
        "received": way.received,
        "lost": None if way.received is None else way.sent - way.received,
        "reordered": way.reordered,
        "delay_ms": ms(told.delay_ns),
        "min_ms": ms(told.min_ns),
        "max_ms": ms(told.max_ns),
        "error_ms": ms(told.error_ns),
        "resolvable": told.delay_ns is not None,
        "why": told.why,
        "hops": way.hops,
    }


def _verdict(measurement: Measurement) -> Document:
    return {"outcome": measurement.outcome, "reason": measurement.reason, "detail": measurement.detail}


def _distribution(samples: Iterable[Sample]) -> Document:
    everything = tuple(samples)
    counted = [sample for sample in everything if sample.state is not SampleState.NOT_MEASURED]
    answered = sorted(sample.rtt_ns for sample in counted if sample.rtt_ns is not None)
    return {
        "sent": len(counted),
        "received": len(answered),
        "not_measured": len(everything) - len(counted),
        "rtt_ms": [ms(sample.rtt_ns) for sample in counted],
        "error_ms": [ms(sample.error_ns) for sample in counted],
        "grades": [sample.grade for sample in counted],
        "min_ms": ms(answered[0]) if answered else None,
        "p50_ms": ms(percentile(answered, 0.5)),
        "p95_ms": ms(percentile(answered, 0.95)),
        "max_ms": ms(answered[-1]) if answered else None,
    }


def _stages(stages: Stages) -> Document:
    def duration(stage: Stage | None) -> float | None:
        return ms(stage.duration_ns) if stage else None

    return {
        "dns_ms": duration(stages.dns),
        "connect_ms": duration(stages.connect),
        "tls_ms": duration(stages.tls),
        "ttfb_ms": duration(stages.ttfb),
        "total_ms": ms(stages.total_ns),
        "tls_client_cpu_ms": ms(stages.tls_client_cpu_ns),
        "first_byte_exact": stages.first_byte_exact,
        "error_ms": {
            name: ms(stage.error_ns) if stage else None
            for name, stage in (
                ("dns", stages.dns),
                ("connect", stages.connect),
                ("tls", stages.tls),
                ("ttfb", stages.ttfb),
            )
        },
        "grades": {
            name: stage.grade if stage else None
            for name, stage in (
                ("dns", stages.dns),
                ("connect", stages.connect),
                ("tls", stages.tls),
                ("ttfb", stages.ttfb),
            )
        },
    }


def _hop(hop: Hop) -> Document:
    # A probe that proved nothing was sent again; as a null it would pass for a loss.
    counted = [sample for sample in hop.samples if sample.state is not SampleState.NOT_MEASURED]
    shown = counted or hop.samples[:1]
    made: Document = {
        "ttl": hop.ttl,
        "address": hop.address,
        "rtt_ms": [ms(sample.rtt_ns) for sample in shown],
        "error_ms": [ms(sample.error_ns) for sample in shown],
        "grades": [sample.grade for sample in shown],
        "name": hop.name,
        "asn": hop.asn,
        "as_name": hop.as_name,
        "place": _place(hop),
        "mpls": [_label(label) for label in hop.labels] or None,
    }
    if hop.also:
        made["also"] = list(hop.also)
    if hop.annotation:
        made["annotation"] = hop.annotation
    if hop.inferred_from:
        made["inferred"] = True
        made["inferred_from"] = hop.inferred_from
    return made


def _place(hop: Hop) -> Document | None:
    place = hop.place
    if place is None:
        return None
    return {
        "name": place.name,
        "country": place.country,
        "lat": place.latitude,
        "lon": place.longitude,
        "radius_km": place.radius_km,
        "evidence": place.evidence,
    }


def _label(label: Label) -> Document:
    return {"label": label.label, "tc": label.traffic_class, "s": label.bottom, "ttl": label.ttl}
