"""Rules that come ready: the seed table's fixed thresholds, and those that know each pair by its own past.

Fixed thresholds in ms fit one distance at most: 100 ms is a fault from next door and normal across an ocean. The table
is here for those who want it; `derived` is what we would use. Replication lag is nothing a network measurement sees: it
comes from the operator's gauge files at a node, and from nowhere else (docs/decisions/0196).
"""

from collections.abc import Mapping
from typing import Any

PRESETS: Mapping[str, Mapping[str, Any]] = {
    "latency-warning": {"metric": "p95", "above": 100.0, "recover": 90.0, "severity": "warning"},
    "latency-critical": {"metric": "p95", "above": 500.0, "recover": 450.0, "severity": "critical"},
    "down": {"metric": "failed", "above": 1, "recover": 0, "for": "1m", "severity": "critical"},
    "errors-warning": {"metric": "errors", "above": 5.0, "recover": 1.0, "window": "30m", "least": 20, "severity": "warning"},
    "errors-critical": {"metric": "errors", "above": 20.0, "recover": 5.0, "window": "30m", "least": 20, "severity": "critical"},
    "derived": {"metric": "p50", "mads": 8.0, "severity": "warning"},
    "silent-node": {"metric": "silence", "above": 180, "for": "0s", "severity": "critical"},
    "blind-node": {"metric": "blind", "above": 80.0, "recover": 50.0, "for": "2m", "severity": "critical"},
    "replication-warning": {"metric": "replication", "above": 1.0, "recover": 0.5, "for": "1m", "severity": "warning"},
    "replication-critical": {"metric": "replication", "above": 5.0, "recover": 2.5, "for": "1m", "severity": "critical"},
    "cpu-warning": {"metric": "cpu", "above": 80.0, "recover": 70.0, "for": "10m", "severity": "warning"},
    "cpu-critical": {"metric": "cpu", "above": 95.0, "recover": 85.0, "for": "10m", "severity": "critical"},
    "memory-warning": {"metric": "memory", "above": 80.0, "recover": 75.0, "for": "5m", "severity": "warning"},
    "memory-critical": {"metric": "memory", "above": 95.0, "recover": 90.0, "for": "2m", "severity": "critical"},
    "disk-warning": {"metric": "disk", "above": 80.0, "recover": 78.0, "for": "5m", "severity": "warning"},
    "disk-critical": {"metric": "disk", "above": 95.0, "recover": 93.0, "for": "1m", "severity": "critical"},
    "route-change": {"metric": "route", "classes": ["as_path", "destination"], "confidence": 0.8, "for": "5m",
                     "severity": "notice"},
    "shift": {"metric": "signal", "kinds": ["shift"], "least_severity": "warning", "confidence": 0.8, "for": "0s",
              "severity": "warning"},
    "loss": {"metric": "signal", "kinds": ["loss"], "confidence": 0.8, "for": "10m", "lasts": "1d", "severity": "warning"},
    "degraded-leg": {"metric": "signal", "kinds": ["degraded_leg"], "confidence": 0.8, "for": "0s", "lasts": "25h",
                     "severity": "warning"},
    "shared-route-change": {"metric": "signal", "kinds": ["route_change_shared"], "least_severity": "notice",
                            "confidence": 0.8, "for": "0s", "severity": "notice"},
    "rank": {"metric": "signal", "kinds": ["rank"], "least_severity": "notice", "confidence": 0.8, "for": "0s",
             "lasts": "7d", "severity": "notice"},
}  # fmt: skip
"""name -> fields of a rule; what the rule itself says goes before them."""
