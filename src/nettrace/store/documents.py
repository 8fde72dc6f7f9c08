"""The public JSON of stored rounds: what the stream, the API and exports show of one."""

from collections.abc import Mapping
from typing import Any

import msgspec

from nettrace.model.instant import ms, rfc3339
from nettrace.store.rows import Round, StoredTrace
from nettrace.wire.documents import trace_document

Document = dict[str, Any]


_STAGES = ("dns", "connect", "tls", "ttfb", "total")


def stages_document(stages_ns: Mapping[str, int]) -> dict[str, float | None] | None:
    """The steps of an exchange in ms, each by itself; None when there are none.

    >>> stages_document({"dns": 1_500_000, "total": 2_000_000}), stages_document({})
    ({'dns_ms': 1.5, 'total_ms': 2.0}, None)
    """
    found = {f"{name}_ms": ms(stages_ns[name]) for name in _STAGES if name in stages_ns}
    return found or None


def round_document(shown: Round) -> Document:
    """A round as its public document, the same in the stream as in `GET /api/v1/rounds/{id}`; null is "not measured"."""
    series = shown.series
    return {
        "object": "round",
        "id": shown.id,
        "region": series.vantage,
        "host": series.target,
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
        "stages": stages_document(shown.stages_ns),
        "status": shown.status,
        "tls_version": shown.tls_version,
        "server_hints": shown.server_hints or None,
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
