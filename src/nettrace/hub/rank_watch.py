"""A fast exchange became slow, as an event: its rank among its own kind fell, from one vantage, and stayed down.

Ranks are compared within one category, one group of answerers (origin, API, edge ... never mixed, `hub.query.group_of`), one
method and one vantage. Each vantage is looked at once an hour of the hub's time, in a minute of its own, from what was
stored before that minute, as in `hub.leg_watch`.
"""

from collections.abc import Iterable
from hashlib import blake2b
from typing import Any
from zlib import crc32

import msgspec

from nettrace.analysis.signals.rank import Fallen, Levels, fallen, is_back
from nettrace.hub.minute_watch import TURN_NS, MinuteWatch
from nettrace.hub.query import PINGS, group_of
from nettrace.model.instant import NS_PER_MS, NS_PER_S, Instant, rfc3339
from nettrace.model.signal import severity_of
from nettrace.model.target import Series
from nettrace.store.port import Choice, StoreReader
from nettrace.store.rows import Event, Resolution, Window

KIND, SCHEMA = "rank", "nettrace.rank/1"
QUARTER_NS = 900 * NS_PER_S
HOUR_MINUTES = 60
BEFORE, LATELY, BACK = 96, 8, 4
"""Quarters of an hour: a day before, compared with the last two hours; one hour ahead again ends it."""
LASTING_NS = 7 * 86_400 * NS_PER_S
_MOST = 5000

Groups = dict[str, dict[str, dict[int, float]]]


class _Body(msgspec.Struct):
    opened_by: str
    tier: str
    group_key: str
    overtaken_by: list[str]


class RankWatch(MinuteWatch):
    """Watches for ranks that fall, each vantage in a minute of its own of every hour."""

    looks_for = "fallen rank"

    def look(self, now: Instant) -> list[Event]:
        """What is to be told of the vantages whose minute has just come."""
        minute = now // TURN_NS % HOUR_MINUTES
        codes = sorted({row.vantage.code for row in self.reader.nodes() if not row.vantage.third_party})
        due = [code for code in codes if crc32(code.encode()) % HOUR_MINUTES == minute]
        return [event for code in due for event in ranks_at(self.reader, code, now)]


def ranks_at(
    reader: StoreReader, vantage: str, now: Instant, told: Iterable[Event] | None = None
) -> list[Event]:
    """What is to be told of a vantage's rankings at an instant, from what was stored before it.

    `told` are the events of ranks made before, those of the store when not given.
    """
    if told is None:
        window = Window(now - LASTING_NS, now + LASTING_NS)
        choice = Choice(vantages=(vantage,))
        told = reader.events(window, kinds=(KIND,), choice=choice, limit=_MOST, as_of=now - 1)
    groups, series = _groups(reader, vantage, now)
    end = now // QUARTER_NS
    standing = _standing(told)
    made = [event for one in standing.values() if (event := _end(one, groups, end, now)) is not None]
    for each in fallen(groups, end - LATELY):
        if (each.group, each.name) not in standing:
            made.append(_event(each, series[each.group, each.name], now))
    return made


def _groups(reader: StoreReader, vantage: str, now: Instant) -> tuple[Groups, dict[tuple[str, str], Series]]:
    """Medians by group, target and quarter; of a target's endpoints in one group the first stands for it."""
    kinds = {
        (target.host, endpoint.name): f"{target.category}/{group_of(endpoint)}"
        for target in reader.targets()
        if target.account is None
        for endpoint in target.endpoints
    }
    end = now // QUARTER_NS * QUARTER_NS
    window = Window(end - (BEFORE + LATELY) * QUARTER_NS, end)
    choice = Choice(vantages=(vantage,), methods=tuple(method.value for method in PINGS))
    groups: Groups = {}
    series: dict[tuple[str, str], Series] = {}
    found = reader.history(choice, window, Resolution.QUARTER, (0.5,), as_of=now - 1)
    for columns in sorted(found, key=lambda columns: columns.series):
        one = columns.series
        kind = kinds.get((one.target, one.endpoint))
        if kind is None:
            continue
        group = f"{kind}/{one.method}"
        if series.setdefault((group, one.target), one) != one:
            continue
        levels = zip(columns.start, columns.quantiles_ns["p50"], strict=True)
        groups.setdefault(group, {})[one.target] = {
            start // QUARTER_NS: level / NS_PER_MS for start, level in levels if level is not None
        }
    return groups, series


def _standing(told: Iterable[Event]) -> dict[tuple[str, str], Event]:
    open_: dict[tuple[str, str], Event] = {}
    for event in sorted(told, key=lambda event: (event.detected_at, event.id)):
        body = msgspec.json.decode(event.body, type=_Body)
        key = (body.group_key, event.target or "")
        if body.tier == "ended":
            open_.pop(key, None)
        else:
            open_[key] = event
    return open_


def _end(event: Event, groups: Groups, end: int, now: Instant) -> Event | None:
    body = msgspec.json.decode(event.body, type=_Body)
    levels: Levels = groups.get(body.group_key, {})
    recovered = is_back(levels, event.target or "", body.overtaken_by, end - BACK)
    if not recovered and now - event.detected_at < LASTING_NS - 2 * HOUR_MINUTES * TURN_NS:
        return None
    made = "rk_" + blake2b(f"{event.id} {now}".encode(), digest_size=10).hexdigest()
    document: dict[str, Any] = msgspec.json.decode(event.body)
    document |= {
        "id": made, "updates": True, "tier": "ended", "direction": "down", "detected_at": rfc3339(now), "severity": "info",
        "ended_because": "recovered" if recovered else "lasting",
    }  # fmt: skip
    return msgspec.structs.replace(
        event, id=made, detected_at=now, severity="info", body=msgspec.json.encode(document), stored_at=0
    )


def _event(found: Fallen, series: Series, now: Instant) -> Event:
    since = (now // QUARTER_NS - LATELY) * QUARTER_NS
    made = "rk_" + blake2b(f"{series} {now}".encode(), digest_size=10).hexdigest()
    severity = severity_of(round(found.before_ms * NS_PER_MS), round(found.after_ms * NS_PER_MS))
    category, group, method = found.group.split("/")
    document: dict[str, Any] = {
        "object": "event", "schema": SCHEMA, "id": made, "kind": KIND, "region": series.vantage, "target": series.target,
        "endpoint": series.endpoint, "method": method, "category": category, "group": group, "group_key": found.group,
        "at": rfc3339(since), "detected_at": rfc3339(now), "direction": "up", "tier": "confirmed", "updates": False,
        "opened_by": made, "severity": severity, "confidence": round(1 - found.p_value, 6), "p_value": found.p_value,
        "rank_before": found.rank_before, "rank_after": found.rank_after, "of": found.of,
        "from_ms": round(found.before_ms, 4), "to_ms": round(found.after_ms, 4),
        "delta_ms": round(found.after_ms - found.before_ms, 4), "overtaken_by": list(found.overtaken_by),
    }  # fmt: skip
    return Event(
        id=made, kind=KIND, at=since, detected_at=now, series=series, target=series.target, vantage=series.vantage,
        severity=severity, confidence=round(1 - found.p_value, 6), body=msgspec.json.encode(document),
    )  # fmt: skip
