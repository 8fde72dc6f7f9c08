"""What is new: the live log and the newest round of each series."""

from typing import NamedTuple

import msgspec

from nettrace.store.documents import encoded, round_document, stored_trace_document
from nettrace.store.embedded.database import Connection, value
from nettrace.store.embedded.hot import Past
from nettrace.store.embedded.memory import newest_live
from nettrace.store.embedded.paths import stored_trace
from nettrace.store.embedded.rounds import Names, Row, round_of
from nettrace.store.embedded.schema import ROUND_COLUMNS, SLOT_NS
from nettrace.store.rows import Latest, Live, LiveKind, LivePage

_ROUND = ", ".join(f"round.{name}" for name in ROUND_COLUMNS)
_LIVE = f"""
SELECT live.seq, live.kind, live.at, live.series, live.due, live.target, live.vantage, live.account, live.body, {_ROUND}
FROM live LEFT JOIN round ON round.slot = live.due / {SLOT_NS}
  AND round.series = live.series AND round.due = live.due
WHERE live.seq > ? ORDER BY live.seq LIMIT ?"""  # noqa: S608 - own words
_LATEST = """
SELECT latest.seq, latest.round, latest.measured, series.interval_s FROM latest JOIN series ON series.id = latest.series
WHERE latest.seq > ?1{changed} ORDER BY latest.seq"""
_CHANGED = " AND latest.series IN (SELECT series FROM live WHERE seq > ?1)"

_row = msgspec.msgpack.Decoder(tuple[object, ...])


class _Entry(NamedTuple):
    """One row of `live`."""

    seq: int
    kind: str
    at: int
    series: int | None
    due: int | None
    target: str | None
    vantage: str | None
    account: str | None
    body: bytes | None


def live_page(connection: Connection, past: Past, names: Names, after: int, limit: int) -> LivePage:
    """The live log behind a number. A round's body is made here, from its row: the writer has no time for it."""
    head = newest_live(connection)
    oldest = value(connection, "SELECT min(seq) FROM live")
    events = [
        _event(connection, past, names, _Entry(*row[:9]), row[9:])
        for row in connection.execute(_LIVE, (after, limit))
    ]
    return LivePage(events=tuple(events), head=head, oldest=head + 1 if oldest is None else oldest)


def _event(connection: Connection, past: Past, names: Names, entry: _Entry, row: tuple[object, ...]) -> Live:
    target, vantage, body = entry.target, entry.vantage, entry.body
    if entry.series is not None and entry.due is not None:
        series = names.series(entry.series)
        target, vantage = series.target, series.vantage
        body = _body(connection, past, names, entry.kind, row, (entry.series, entry.due))
    return Live(
        seq=entry.seq, kind=LiveKind(entry.kind), at=entry.at, body=body or b"{}", target=target, vantage=vantage,
        account=entry.account,
    )  # fmt: skip


def _body(
    connection: Connection, past: Past, names: Names, kind: str, row: tuple[object, ...], key: tuple[int, int]
) -> bytes:
    if kind == LiveKind.TRACE:
        for due, stored_at, route, body in connection.execute(
            "SELECT due, stored_at, route, body FROM trace WHERE series = ? AND due = ?", key
        ):
            return encoded(stored_trace_document(stored_trace(names, key[0], due, stored_at, route, body)))
    found = past.round(*key) if row[0] is None else round_of(Row(*row), names)  # type: ignore[arg-type]
    return b"{}" if found is None else encoded(round_document(found))


def newest_rounds(connection: Connection, names: Names, after: int) -> list[Latest]:
    """The newest round of every series that changed behind a live number.

    While the live log reaches back that far it says which changed; an index would cost the writer for each round.
    """
    if after >= newest_live(connection):
        return []
    known = value(connection, "SELECT 1 FROM live WHERE seq = ?", (after + 1,))
    sql = _LATEST.format(changed=_CHANGED if known else "")
    return [
        Latest(
            seq=seq,
            round=round_of(Row(*_row.decode(last)), names),  # type: ignore[arg-type]
            measured=None if measured is None else round_of(Row(*_row.decode(measured)), names),  # type: ignore[arg-type]
            interval_s=interval_s,
        )
        for seq, last, measured, interval_s in connection.execute(sql, (after,))
    ]
