"""Every call of the API, described once; `Client` and `AsyncClient` both offer them under these names."""

from typing import Any, cast

import msgspec

from nettrace.client import answers, judgements
from nettrace.client.call import Call, Names, Rows, Value, When, names, query_of, rfc3339, segment

API = "/api/v1"


def targets(
    *, category: str | None = None, region: str | None = None, lifecycle: str | None = None, limit: int = 1000,
    cursor: str | None = None,
) -> Rows[answers.TargetRow]:  # fmt: skip
    """All targets with their newest round."""
    query = query_of({"category": category, "region": region, "lifecycle": lifecycle, "limit": limit})
    return Rows(path=f"{API}/targets", row=answers.TargetRow, query=query, cursor=cursor)


def target(host: str) -> Call[answers.Target]:
    """One target and its endpoints."""
    return Call(path=f"{API}/targets/{segment(host)}", shape=answers.Target)


def custom_targets() -> Call[judgements.CustomTargets]:
    """Your account's own targets."""
    return Call(path=f"{API}/targets/custom", shape=judgements.CustomTargets)


def add_custom_target(
    host: str, *, name: str = "", category: str = "Mine", url: str | None = None, port: int | None = None,
    methods: Names = (),
) -> Call[answers.Target]:  # fmt: skip
    """Have a host watched for your account alone; the same again is the same target."""
    ask = judgements.CustomTargetAsk(
        host=host, name=name, category=category, url=url, port=port, methods=names(methods)
    )
    return _made(f"{API}/targets/custom", answers.Target, ask)


def remove_custom_target(host: str) -> Call[answers.Target]:
    """Stop watching one of your own; its history stays."""
    return Call(path=f"{API}/targets/custom/{segment(host)}", shape=answers.Target, method="DELETE")


def vantages() -> Rows[answers.Vantage]:
    """The places the hub measures from, and how they are."""
    return Rows(path=f"{API}/vantages", row=answers.Vantage)


def vantage(code: str) -> Call[answers.Vantage]:
    """One vantage."""
    return Call(path=f"{API}/vantages/{segment(code)}", shape=answers.Vantage)


def latency(host: str, *, region: Names | None = None) -> Call[answers.Latency]:
    """The newest round of every series of a target."""
    query = query_of({"region": names(region)})
    return Call(path=f"{API}/latency/{segment(host)}", shape=answers.Latency, query=query)


def history(  # noqa: PLR0913 - the API's parameters
    host: str, *, start: When | None = None, end: When | None = None, resolution: str = "auto",
    region: Names | None = None, endpoint: str | None = None, method: str | None = None,
    percentiles: Names | None = None, order: str | None = None, as_of: When | None = None, limit: int = 5000,
    cursor: str | None = None,
) -> Rows[answers.HistoryRow]:  # fmt: skip
    """The history of a target in buckets, or its rounds with `resolution="raw"`; the last 24 hours when not said.

    `percentiles=["50", "99.9"]` gives rows the fields `p50_ms` and `p99_9_ms` in place of the usual percentiles.
    """
    query = query_of(
        {
            "start": start, "end": end, "resolution": resolution, "region": names(region), "endpoint": endpoint,
            "method": method, "percentiles": names(percentiles), "order": order, "as_of": as_of, "limit": limit,
        }
    )  # fmt: skip
    row = answers.HistoryRow if percentiles is None else _history_row(names(percentiles))
    return Rows(path=f"{API}/latency/{segment(host)}/history", row=row, query=query, cursor=cursor)


def _history_row(percentiles: tuple[str, ...]) -> type[answers.HistoryRow]:
    """The row with the fields for these percentiles besides."""
    asked = [f"p{each.replace('.', '_')}_ms" for each in percentiles]
    known = answers.HistoryRow.__struct_fields__
    more: list[Any] = [
        (name, float | None, None) for name in asked if name not in known and name.isidentifier()
    ]
    made = msgspec.defstruct("HistoryRow", more, bases=(answers.HistoryRow,), frozen=True, kw_only=True)
    return cast("type[answers.HistoryRow]", made)


def rounds(  # noqa: PLR0913 - the API's parameters
    *, host: str | None = None, start: When | None = None, end: When | None = None, region: Names | None = None,
    endpoint: str | None = None, method: str | None = None, order: str | None = None, as_of: When | None = None,
    limit: int = 1000, cursor: str | None = None,
) -> Rows[answers.Round]:  # fmt: skip
    """Rounds as they were measured, newest first; the last hour when not said."""
    query = query_of(
        {
            "host": host, "start": start, "end": end, "region": names(region), "endpoint": endpoint, "method": method,
            "order": order, "as_of": as_of, "limit": limit,
        }
    )  # fmt: skip
    return Rows(path=f"{API}/rounds", row=answers.Round, query=query, cursor=cursor)


def round(id: str) -> Call[answers.Round]:  # noqa: A001, A002 - the API's noun
    """One round by its id."""
    return Call(path=f"{API}/rounds/{segment(id)}", shape=answers.Round)


def raw(
    host: str, *, start: When | None = None, end: When | None = None, region: Names | None = None,
    method: str | None = None, as_of: When | None = None, limit: int = 50_000, cursor: str | None = None,
) -> Rows[answers.HistoryRow]:  # fmt: skip
    """Rounds of one target by time in the largest pages there are; the last 30 days when not said."""
    query = query_of(
        {
            "start": start,
            "end": end,
            "region": names(region),
            "method": method,
            "as_of": as_of,
            "limit": limit,
        }
    )
    return Rows(path=f"{API}/export/{segment(host)}", row=answers.HistoryRow, query=query, cursor=cursor)


def routes(host: str, *, region: Names | None = None) -> Call[answers.Routes]:
    """The routes to a target now, hop by hop."""
    query = query_of({"region": names(region)})
    return Call(path=f"{API}/routes/{segment(host)}", shape=answers.Routes, query=query)


def route_changes(
    host: str, *, start: When | None = None, end: When | None = None, region: Names | None = None, limit: int = 1000,
    cursor: str | None = None,
) -> Rows[answers.RouteChange]:  # fmt: skip
    """How the routes to a target changed, newest first; the last 24 hours when not said."""
    query = query_of({"start": start, "end": end, "region": names(region), "limit": limit})
    path = f"{API}/routes/{segment(host)}/changes"
    return Rows(path=path, row=answers.RouteChange, query=query, cursor=cursor)


def rankings(
    *, category: str | None = None, role: str | None = None, region: str | None = None, start: When | None = None,
    end: When | None = None, limit: int | None = None,
) -> Call[judgements.Rankings]:  # fmt: skip
    """Targets by median RTT from one region, with intervals and ties; the last hour when not said."""
    query = query_of(
        {"category": category, "role": role, "region": region, "start": start, "end": end, "limit": limit}
    )
    return Call(path=f"{API}/rankings", shape=judgements.Rankings, query=query)


def compare(
    hosts: Names, *, region: Names | None = None, start: When | None = None, end: When | None = None
) -> Call[judgements.Comparison]:
    """Two to ten targets side by side, and whether they differ; the last hour when not said."""
    query = query_of({"hosts": names(hosts), "region": names(region), "start": start, "end": end})
    return Call(path=f"{API}/compare", shape=judgements.Comparison, query=query)


def signals(  # noqa: PLR0913 - the API's parameters
    *, kind: Names | None = None, host: str | None = None, region: Names | None = None, direction: str | None = None,
    start: When | None = None, end: When | None = None, as_of: When | None = None, limit: int = 1000,
    cursor: str | None = None,
) -> Rows[answers.Event]:  # fmt: skip
    """What detectors concluded, newest first; the last 24 hours when not said."""
    asked: dict[str, Value] = {
        "kind": names(kind),
        "host": host,
        "region": names(region),
        "direction": direction,
    }
    query = query_of({**asked, "start": start, "end": end, "as_of": as_of, "limit": limit})
    return Rows(path=f"{API}/signals", row=answers.Event, query=query, cursor=cursor)


def signal_summary(*, hours: int = 24) -> Call[judgements.SignalSummary]:
    """Signals of the last hours, counted."""
    return Call(
        path=f"{API}/signals/summary", shape=judgements.SignalSummary, query=query_of({"hours": hours})
    )


def signal_record(*, days: int | None = None) -> Call[judgements.SignalRecord]:
    """How often each detector looked, spoke and was right, over the newest so many days or all."""
    return Call(path=f"{API}/signals/record", shape=judgements.SignalRecord, query=query_of({"days": days}))


def events(
    *, kind: Names | None = None, host: str | None = None, region: Names | None = None, start: When | None = None,
    end: When | None = None, as_of: When | None = None, limit: int = 1000, cursor: str | None = None,
) -> Rows[answers.Event]:  # fmt: skip
    """Signals, route changes and address changes, newest first; the last 24 hours when not said."""
    asked: dict[str, Value] = {"kind": names(kind), "host": host, "region": names(region)}
    query = query_of({**asked, "start": start, "end": end, "as_of": as_of, "limit": limit})
    return Rows(path=f"{API}/events", row=answers.Event, query=query, cursor=cursor)


def event(id: str) -> Call[answers.Event]:  # noqa: A002
    """One event in full."""
    return Call(path=f"{API}/events/{segment(id)}", shape=answers.Event)


def measurements(*, limit: int = 1000, cursor: str | None = None) -> Rows[judgements.Measurement]:
    """Your measurements, newest first, without their results."""
    query = query_of({"limit": limit})
    return Rows(path=f"{API}/measurements", row=judgements.Measurement, query=query, cursor=cursor)


def measurement(id: str) -> Call[judgements.Measurement]:  # noqa: A002
    """A measurement and its results so far."""
    return Call(path=f"{API}/measurements/{segment(id)}", shape=judgements.Measurement)


def create_measurement(
    host: str, *, region: Names | None = None, endpoint: str | None = None, method: str | None = None,
    probes: int | None = None,
) -> Call[judgements.Measurement]:  # fmt: skip
    """Ask for a measurement and do not wait; see `measure`."""
    regions = None if region is None else names(region)
    ask = judgements.MeasurementAsk(
        target=host, regions=regions, endpoint=endpoint, method=method, probes=probes
    )
    return _made(f"{API}/measurements", judgements.Measurement, ask)


def exports(*, limit: int = 1000, cursor: str | None = None) -> Rows[judgements.Export]:
    """Your exports, newest first."""
    return Rows(path=f"{API}/exports", row=judgements.Export, query=query_of({"limit": limit}), cursor=cursor)


def export_state(id: str) -> Call[judgements.Export]:  # noqa: A002
    """An export: its state, then its files."""
    return Call(path=f"{API}/exports/{segment(id)}", shape=judgements.Export)


def create_export(
    start: When, end: When, *, host: Names | None = None, region: Names | None = None, method: Names | None = None,
    format: str = "parquet", resolution: str = "raw",  # noqa: A002 - the API's noun
) -> Call[judgements.Export]:  # fmt: skip
    """Ask for an export and do not wait; see `export`."""
    ask = judgements.ExportAsk(
        start=rfc3339(start), end=rfc3339(end), hosts=names(host), regions=names(region), methods=names(method),
        format=format, resolution=resolution,
    )  # fmt: skip
    return _made(f"{API}/exports", judgements.Export, ask)


def limits() -> Call[judgements.Limits]:
    """What this key may do; free."""
    return Call(path=f"{API}/limits", shape=judgements.Limits)


def usage() -> Call[judgements.Usage]:
    """Calls of this account today; free."""
    return Call(path=f"{API}/usage", shape=judgements.Usage)


def keys() -> Call[judgements.Keys]:
    """The account's keys, without their secrets."""
    return Call(path=f"{API}/keys", shape=judgements.Keys)


def create_key(
    *, name: str = "", scopes: Names = ("read",), test: bool = False, expires_at: When | None = None
) -> Call[judgements.Key]:
    """A new key; its secret is in `key`, this once. Never sent twice by itself: a lost answer would lose the secret."""
    expires = None if expires_at is None else rfc3339(expires_at)
    ask = judgements.KeyAsk(name=name, scopes=names(scopes), test=test, expires_at=expires)
    return msgspec.structs.replace(_made(f"{API}/keys", judgements.Key, ask), repeatable=False)


def revoke_key(id: str) -> Call[judgements.Key]:  # noqa: A002
    """Revoke a key, at once and everywhere."""
    return Call(path=f"{API}/keys/{segment(id)}", shape=judgements.Key, method="DELETE")


def _made(path: str, shape: Any, ask: judgements.Ask) -> Call[Any]:
    return Call(path=path, shape=shape, method="POST", body=msgspec.json.encode(ask), once=True)
