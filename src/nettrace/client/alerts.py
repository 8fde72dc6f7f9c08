"""Alerts: what they say, and how to ask for them. Rules are written in the words of docs/guides/alerts.md."""

from typing import Any

import msgspec

from nettrace.client.answers import Answer, At, Listed
from nettrace.client.call import Call, Names, Rows, When, names, query_of, rfc3339, segment
from nettrace.client.calls import API

ALERTS = f"{API}/alerts"


class AlertRule(Answer, frozen=True, kw_only=True):
    """A rule with everything it left out filled in; `hold` is the field `for`."""

    name: str
    metric: str
    severity: str
    hold: str = msgspec.field(name="for")
    k: int
    n: int
    above: float | None = None
    recover: float | None = None
    mads: float | None = None
    targets: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    vantages: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    channels: tuple[str, ...] = ()
    preset: str | None = None


class AlertRules(Listed[AlertRule], frozen=True, kw_only=True):
    """An account's rules."""

    data: tuple[AlertRule, ...]


class Channel(Answer, frozen=True, kw_only=True):
    """Where notices go; `secret` signs webhooks and is given once."""

    name: str
    kind: str
    host: str
    created_at: At
    least_severity: str = "info"
    allow: tuple[str, ...] = ()
    secret: str | None = None


class Channels(Listed[Channel], frozen=True, kw_only=True):
    """An account's channels."""

    data: tuple[Channel, ...]


class ChannelTest(Answer, frozen=True, kw_only=True):
    """What became of a test notice."""

    channel: str
    delivered: bool
    detail: str


class Silence(Answer, frozen=True, kw_only=True):
    """A stretch of time in which what it names is not judged."""

    id: str
    start: At
    end: At
    targets: tuple[str, ...] = ()
    vantages: tuple[str, ...] = ()
    note: str = ""


class Silences(Listed[Silence], frozen=True, kw_only=True):
    """An account's silences."""

    data: tuple[Silence, ...]


class Incident(Answer, frozen=True, kw_only=True):
    """One cause for as long as it lasts; `why` holds the numbers its rules rest on."""

    id: str
    state: str
    severity: str
    cause: str
    since: At
    opened_at: At
    rules: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()
    vantages: tuple[str, ...] = ()
    acknowledged_at: At | None = None
    acknowledged_by: str | None = None
    closed_at: At | None = None
    closed_by: str | None = None
    traces: tuple[str, ...] = ()
    why: tuple[dict[str, Any], ...] = ()


def alert_rules() -> Call[AlertRules]:
    """Your rules."""
    return Call(path=f"{ALERTS}/rules", shape=AlertRules)


def alert_rule(name: str) -> Call[AlertRule]:
    """One rule."""
    return Call(path=f"{ALERTS}/rules/{segment(name)}", shape=AlertRule)


def put_alert_rule(name: str, **words: Any) -> Call[AlertRule]:
    """A rule, or another one in its place: `put_alert_rule("slow", preset="derived", k=2, **{"for": "5m"})`."""
    return _put("rules", AlertRule, {"name": name, **words})


def drop_alert_rule(name: str) -> Call[AlertRule]:
    """Take a rule away."""
    return Call(path=f"{ALERTS}/rules/{segment(name)}", shape=AlertRule, method="DELETE")


def channels() -> Call[Channels]:
    """Your channels."""
    return Call(path=f"{ALERTS}/channels", shape=Channels)


def put_channel(name: str, kind: str, url: str, **words: Any) -> Call[Channel]:
    """A channel. Never sent twice by itself: a lost answer would lose a webhook's secret."""
    made: Call[Channel] = _put("channels", Channel, {"name": name, "kind": kind, "url": url, **words})
    return msgspec.structs.replace(made, repeatable=False)


def drop_channel(name: str) -> Call[Channel]:
    """Take a channel away."""
    return Call(path=f"{ALERTS}/channels/{segment(name)}", shape=Channel, method="DELETE")


def test_channel(name: str) -> Call[ChannelTest]:
    """Send a test notice now."""
    return _put(f"channels/{segment(name)}/test", ChannelTest, {})


def silences() -> Call[Silences]:
    """Your silences."""
    return Call(path=f"{ALERTS}/silences", shape=Silences)


def add_silence(
    start: When, end: When, *, host: Names = (), region: Names = (), note: str = ""
) -> Call[Silence]:
    """Judge nothing of this for a while; nothing named is everything."""
    body = {
        "start": rfc3339(start),
        "end": rfc3339(end),
        "targets": names(host),
        "vantages": names(region),
        "note": note,
    }
    return _put("silences", Silence, body)


def drop_silence(id: str) -> Call[Silence]:  # noqa: A002
    """End a silence."""
    return Call(path=f"{ALERTS}/silences/{segment(id)}", shape=Silence, method="DELETE")


def incidents(*, state: Names | None = None, limit: int = 1000, cursor: str | None = None) -> Rows[Incident]:
    """Incidents of your rules, newest first."""
    query = query_of({"state": names(state), "limit": limit})
    return Rows(path=f"{ALERTS}/incidents", row=Incident, query=query, cursor=cursor)


def incident(id: str) -> Call[Incident]:  # noqa: A002
    """One incident."""
    return Call(path=f"{ALERTS}/incidents/{segment(id)}", shape=Incident)


def acknowledge(id: str) -> Call[Incident]:  # noqa: A002
    """An incident is yours: no repetition, no escalation; within a second."""
    return _put(f"incidents/{segment(id)}/ack", Incident, {})


def close_incident(id: str) -> Call[Incident]:  # noqa: A002
    """End an incident; within a second."""
    return _put(f"incidents/{segment(id)}/close", Incident, {})


def _put(path: str, shape: Any, body: dict[str, Any]) -> Call[Any]:
    return Call(
        path=f"{ALERTS}/{path}", shape=shape, method="POST", body=msgspec.json.encode(body), once=True
    )
