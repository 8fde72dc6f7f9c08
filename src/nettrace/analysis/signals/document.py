"""A signal as its public JSON document, `nettrace.signal/1`."""

from typing import Any

import msgspec

from nettrace.model.instant import NS_PER_S, Instant, ms
from nettrace.model.signal import Signal


def signal_document(signal: Signal) -> dict[str, Any]:
    """`nettrace.signal/1`. Times are Unix seconds, levels ms; `null` is what this kind of signal has not."""
    step = None if signal.from_ns is None or signal.to_ns is None else signal.to_ns - signal.from_ns
    return {
        "schema": "nettrace.signal/1",
        "kind": signal.kind,
        "at": _seconds(signal.at),
        "detected_at": _seconds(signal.detected_at),
        "direction": signal.direction,
        "severity": signal.severity,
        "confidence": signal.confidence,
        "from_ms": ms(signal.from_ns),
        "to_ms": ms(signal.to_ns),
        "delta_ms": ms(step),
        "from_loss": signal.from_loss,
        "to_loss": signal.to_loss,
        "tier": signal.tier,
        "updates": signal.updates,
        "returns_to": None if signal.returns_to is None else _seconds(signal.returns_to),
        "flapping": signal.flapping,
        "detector": signal.detector,
        "evidence": _evidence(signal),
    }


def _evidence(signal: Signal) -> dict[str, Any]:
    made = msgspec.to_builtins(signal.evidence)
    made["noise_ms"] = ms(made.pop("noise_ns"))
    return made


def _seconds(at: Instant) -> float:
    return at / NS_PER_S
