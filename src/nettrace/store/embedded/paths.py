"""Traces, the routes that held, events and gaps."""

import zlib
from collections.abc import Sequence
from typing import Any, TypeVar

import msgspec

from nettrace.errors import StoreCorrupt
from nettrace.model.instant import Instant
from nettrace.model.path import Trace
from nettrace.model.target import Series
from nettrace.store.embedded.database import RESTORE, Connection
from nettrace.store.embedded.index import SeriesIndex
from nettrace.store.embedded.rounds import Names, round_id
from nettrace.store.port import Choice
from nettrace.store.rows import Event, RouteState, StoredTrace, Window
from nettrace.wire.frames import Gap

T = TypeVar("T")
_trace = msgspec.msgpack.Decoder(Trace)


def stored_trace(
    names: Names, series: int, due: Instant, stored_at: Instant, route: int | None, body: bytes
) -> StoredTrace:
    """The trace that a row of `trace` stands for."""
    try:
        trace = _trace.decode(zlib.decompress(body))
    except (zlib.error, msgspec.DecodeError) as error:
        raise StoreCorrupt(f"the trace of series {series} due {due} is damaged", RESTORE) from error
    return StoredTrace(
        id=round_id(series, due), series=names.series(series), due=due, trace=trace, route=names.route(route),
        stored_at=stored_at,
    )  # fmt: skip


def traces(
    connection: Connection, names: Names, series: dict[int, Series], window: Window, limit: int
) -> list[StoredTrace]:
    """Traces of these series, newest first."""
    keys = [
        (due, series[number], number)
        for number in series
        for (due,) in connection.execute(
            "SELECT due FROM trace WHERE series = ? AND due >= ? AND due < ? ORDER BY due DESC LIMIT ?",
            (number, window.start, window.end, limit),
        )
    ]
    keys.sort(reverse=True)
    return [
        stored_trace(names, number, due, stored_at, route, body)
        for due, _, number in keys[:limit]
        for stored_at, route, body in connection.execute(
            "SELECT stored_at, route, body FROM trace WHERE series = ? AND due = ?", (number, due)
        )
    ]


def routes(connection: Connection, series: dict[int, Series], window: Window) -> list[RouteState]:
    """Routes of these series that held at some time of the window, by series and time."""
    return [
        RouteState(
            series=series[number], route=name, hops=_decoded(hops, tuple[str | None, ...]),
            as_path=_decoded(as_path, tuple[int, ...]), since=since, until=until,
        )
        for number in sorted(series, key=lambda each: series[each])
        for since, until, name, hops, as_path in connection.execute(
            "SELECT since, until, name, hops, as_path FROM route_state JOIN route ON route.id = route_state.route"
            " WHERE series = ? AND since < ? AND (until IS NULL OR until > ?) ORDER BY since",
            (number, window.end, window.start),
        )
    ]  # fmt: skip


def _decoded(body: bytes | None, kind: type[tuple[T, ...]]) -> tuple[T, ...]:
    return () if body is None else msgspec.msgpack.decode(body, type=kind)


def events(
    connection: Connection, index: SeriesIndex, window: Window, *, kinds: Sequence[str], choice: Choice | None,
    limit: int, before: tuple[Instant, str] | None, as_of: Instant | None,
) -> list[Event]:  # fmt: skip
    """Events by (detected_at, id), newest first."""
    where, given = ["detected_at >= ?", "detected_at < ?"], [window.start, window.end]
    bindings: list[object] = list(given)
    if kinds:
        where.append(_any_of("kind", kinds, bindings))
    if choice is not None:
        for column, words in (("event.target", choice.targets), ("event.vantage", choice.vantages),
                              ("endpoint", choice.endpoints), ("method", choice.methods)):  # fmt: skip
            if words:
                where.append(_any_of(column, words, bindings))
    if before is not None:
        where.append("(detected_at, event.id) < (?, ?)")
        bindings += before
    if as_of is not None:
        where.append("stored_at <= ?")
        bindings.append(as_of)
    sql = f"{_EVENT} WHERE {' AND '.join(where)} ORDER BY detected_at DESC, event.id DESC LIMIT ?"
    return [_event(index, row) for row in connection.execute(sql, (*bindings, limit))]


def event(connection: Connection, index: SeriesIndex, wanted: str) -> Event | None:
    """The event with this id."""
    row = next(iter(connection.execute(f"{_EVENT} WHERE event.id = ?", (wanted,))), None)
    return None if row is None else _event(index, row)


_EVENT = (
    "SELECT event.id, kind, at, detected_at, event.series, event.target, event.vantage, severity, confidence, body,"
    " stored_at FROM event LEFT JOIN series ON series.id = event.series"
)


def _event(index: SeriesIndex, row: Sequence[Any]) -> Event:
    number, kind, at, detected_at, series, target, vantage, severity, confidence, body, stored_at = row
    return Event(
        id=number, kind=kind, at=at, detected_at=detected_at, series=None if series is None else index.series(series),
        target=target, vantage=vantage, severity=severity, confidence=confidence, body=body, stored_at=stored_at,
    )  # fmt: skip


def gaps(connection: Connection, window: Window, vantages: Sequence[str]) -> list[tuple[str, Gap]]:
    """Stretches nobody measured, that touch the window, by vantage and time."""
    bindings: list[object] = [window.end, window.start, window.start]
    only = f" AND {_any_of('vantage', vantages, bindings)}" if vantages else ""
    return [
        (vantage, Gap(seq=seq, last_seq=last_seq, reason=reason, since=since, until=until, target=target))
        for vantage, seq, last_seq, reason, since, until, target in connection.execute(
            "SELECT vantage, seq, last_seq, reason, since, until, target FROM gap"  # noqa: S608 - own words, values bound
            f" WHERE since < ? AND (until > ? OR since >= ?){only} ORDER BY vantage, since, id",
            tuple(bindings),
        )
    ]


def _any_of(column: str, words: Sequence[str], bindings: list[object]) -> str:
    bindings += [str(word) for word in words]
    return f"{column} IN ({', '.join('?' * len(words))})"
