"""The public JSON of stored rounds: what the stream, the API and exports show of one."""

from typing import Any

import msgspec

from nettrace.model.instant import ms, rfc3339
from nettrace.store.rows import Round, StoredTrace
from nettrace.wire.documents import trace_document

Document = dict[str, Any]


def round_document(shown: Round) -> Document:
    """A round as its public document; null is "not measured"."""
    series = shown.series
    return {
        "object": "round",
        "id": shown.id,
        "region": series.vantage,
        "target": series.target,
        "endpoint": series.endpoint,
        "method": series.method,
        "due": rfc3339(shown.due),
        "at": rfc3339(shown.at),
        "outcome": shown.outcome,
        "reason": shown.reason,
        "address": shown.address,
        "sent": shown.sent,
        "received": shown.received,
        "not_measured": shown.not_measured,
        "rtt_ms": ms(shown.rtt_ns),
        "min_ms": ms(shown.min_ns),
        "max_ms": ms(shown.max_ns),
        "error_ms": ms(shown.error_ns),
        "grade": shown.grade,
        "samples_ms": [ms(sample) for sample in shown.samples_ns],
        "stages_ms": {name: ms(duration) for name, duration in shown.stages_ns.items()},
        "status": shown.status,
        "tls_version": shown.tls_version,
        "route": shown.route,
        "hop_count": shown.hop_count,
        "clock": shown.clock,
        "request": shown.request,
        "stored_at": rfc3339(shown.stored_at),
    }


def stored_trace_document(shown: StoredTrace) -> Document:
    """A trace as its public document, with where it belongs."""
    series = shown.series
    return {
        "object": "trace",
        "id": shown.id,
        "region": series.vantage,
        "endpoint": series.endpoint,
        "due": rfc3339(shown.due),
        "route": shown.route,
        **trace_document(shown.trace),
        "target": series.target,
    }


def encoded(document: Document) -> bytes:
    """A document as JSON bytes."""
    return msgspec.json.encode(document)
