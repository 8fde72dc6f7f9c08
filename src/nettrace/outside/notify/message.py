"""A notice as a document (`nettrace.alert/1`) and as words: what every channel sends, each in its own shape."""

from typing import Any

import msgspec

from nettrace.model.alert import Incident, Notice, NoticeKind
from nettrace.model.instant import Instant, rfc3339
from nettrace.model.signal import Severity

Document = dict[str, Any]
MOST_BYTES = 20_000
"""Standard Webhooks: a body is smaller than 20 kB."""


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be told, with the id that stays the same at every attempt."""

    id: str
    document: Document

    @property
    def kind(self) -> str:
        """The notice's kind."""
        return str(self.document["notice"])

    @property
    def incident(self) -> Document:
        """The incident it is about."""
        found: Document = self.document["incident"]
        return found

    @property
    def subject(self) -> str:
        """One line: how bad, what, and what became of it."""
        incident = self.incident
        return f"[{str(incident['severity']).upper()}] {self.kind.replace('_', ' ')}: {incident['cause']}"

    @property
    def text(self) -> str:
        """A few lines for a person."""
        incident = self.incident
        lines = [self.subject, f"Since {incident['since']} · {incident['id']}"]
        lines += ["Rules: " + ", ".join(incident["rules"])] if incident["rules"] else []
        if incident["targets"]:
            lines.append("Targets: " + ", ".join(incident["targets"][:10]))
        if incident["vantages"]:
            lines.append("Seen from: " + ", ".join(incident["vantages"][:10]))
        for why in incident["why"][:5]:
            number = "" if why["value"] is None else f" {why['value']:g} (above {why['threshold']:g})"
            lines.append(
                f"- {why['subject']}: {why['metric']}{number}" + (f" {why['event']}" if why["event"] else "")
            )
        if incident["traces"]:
            lines.append("Traces: " + ", ".join(incident["traces"]))
        if self.kind == "closed":
            lines.append(f"Closed {incident['closed_at']}: {incident['closed_by']}")
        return "\n".join([*lines, *([self.document["detail"]] if self.document.get("detail") else [])])


def notice_document(notice: Notice, detail: str = "") -> bytes:
    """`nettrace.alert/1` as JSON, smaller than 20 kB: long lists are cut and their full length is told.

    >>> notice_document(example(5)).startswith(b'{"schema":"nettrace.alert/1","notice":"test"')
    True
    """
    for most in (50, 10, 2):
        document: Document = {
            "schema": "nettrace.alert/1", "notice": notice.kind, "number": notice.number, "at": rfc3339(notice.at),
            "incident": incident_document(notice.incident, most), "detail": detail,
        }  # fmt: skip
        encoded = msgspec.json.encode(document)
        if len(encoded) < MOST_BYTES - 1000:
            break
    return encoded


def incident_document(incident: Incident, most: int = 1000) -> Document:
    """`nettrace.incident/1`. Times are RFC 3339; lists are cut after `most`, `counts` says how long they are."""

    def when(at: Instant | None) -> str | None:
        return None if at is None else rfc3339(at)

    return {
        "schema": "nettrace.incident/1", "id": incident.id, "state": incident.state, "severity": incident.severity,
        "cause": incident.cause, "rules": list(incident.rules[:most]), "targets": list(incident.targets[:most]),
        "vantages": list(incident.vantages[:most]),
        "counts": {"targets": len(incident.targets), "vantages": len(incident.vantages), "why": len(incident.why)},
        "since": rfc3339(incident.since), "opened_at": rfc3339(incident.opened_at), "page_at": when(incident.page_at),
        "acknowledged_at": when(incident.acknowledged_at), "acknowledged_by": incident.acknowledged_by,
        "closed_at": when(incident.closed_at), "closed_by": incident.closed_by, "traces": list(incident.traces[:most]),
        "why": [msgspec.to_builtins(each) for each in incident.why[:most]],
    }  # fmt: skip


def example(at: Instant) -> Notice:
    """A notice to test a channel with."""
    incident = Incident(
        id="inc_test",
        cause="target:test.example",
        severity=Severity.INFO,
        rules=("test",),
        since=at,
        opened_at=at,
    )
    return Notice(kind=NoticeKind.TEST, at=at, incident=incident, channels=(), number=1)
