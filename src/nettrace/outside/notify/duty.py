"""Services that keep incidents of their own: PagerDuty's Events API v2 and whatever speaks Alertmanager's API v2.

Both are told the same key for the whole life of an incident, so that opening and closing it there follows what
happens here, and a repeated delivery changes nothing.
"""

from typing import Any

import msgspec

from nettrace.analysis.alerts.rule import ChannelSpec
from nettrace.model.alert import ORDER
from nettrace.model.signal import Severity
from nettrace.outside.notify.message import Message
from nettrace.outside.notify.post import Answer, post
from nettrace.outside.notify.secret import address_of, secret

PAGERDUTY = "https://events.pagerduty.com"
_FAR = "2100-01-01T00:00:00Z"
_SEVERITY = {"info": "info", "notice": "info", "warning": "warning", "critical": "critical"}


def pagerduty(name: str, spec: ChannelSpec, message: Message) -> Answer:
    """https://developer.pagerduty.com/docs/events-api-v2-overview."""
    incident = message.incident
    body: dict[str, Any] = {
        "routing_key": secret(spec.token, f"channel '{name}': token"),
        "event_action": "resolve" if message.kind == "closed" else "trigger",
        "dedup_key": incident["id"],
        "payload": {
            "summary": message.subject[:1024], "source": incident["cause"], "severity": _SEVERITY[incident["severity"]],
            "timestamp": incident["opened_at"], "class": ", ".join(incident["rules"]), "custom_details": message.document,
        },
    }  # fmt: skip
    url = f"{address_of(spec.url or PAGERDUTY, name).rstrip('/')}/v2/enqueue"
    return post(url, msgspec.json.encode(body), {}, allow=spec.allow)


def alertmanager(name: str, spec: ChannelSpec, message: Message) -> Answer:
    """`POST /api/v2/alerts`.

    An alert without an end would end there by itself after minutes, so it is given one far away. The severity is a label
    (routes go by it) and so part of the alert's identity there: with the current one, the lesser ones are ended.
    """
    incident = message.incident
    ended, worst = message.kind == "closed", ORDER.index(Severity(incident["severity"]))
    alerts: list[dict[str, Any]] = [
        {
            "labels": {
                "alertname": "NetTrace", "severity": severity, "cause": incident["cause"], "incident": incident["id"],
            },
            "annotations": {"summary": message.subject, "description": message.text},
            "startsAt": incident["opened_at"],
            "endsAt": message.document["at"] if ended or severity != ORDER[worst] else _FAR,
        }
        for severity in ORDER[: worst + 1]
    ]  # fmt: skip
    base = address_of(spec.url, f"channel '{name}': url").rstrip("/")
    return post(f"{base}/api/v2/alerts", msgspec.json.encode(alerts), {}, allow=spec.allow)
