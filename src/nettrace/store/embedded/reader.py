"""A reader of an embedded store; any number of them, in any processes, while one writes."""

from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import msgspec

from nettrace.errors import NotFound
from nettrace.model.account import Key
from nettrace.model.alert import Delivery, DeliveryState, Incident, IncidentState, Order
from nettrace.model.instant import NS_PER_S, Instant
from nettrace.model.target import Series, Target
from nettrace.model.vantage import Vantage
from nettrace.store.embedded.database import explained, open_reader, snapshot, value
from nettrace.store.embedded.feed import live_page, newest_rounds
from nettrace.store.embedded.filed import Filed
from nettrace.store.embedded.hot import Asked, Sorting
from nettrace.store.embedded.index import SeriesIndex, names_of
from nettrace.store.embedded.memory import newest_live
from nettrace.store.embedded.past import past
from nettrace.store.embedded.paths import event, events, gaps, routes, traces
from nettrace.store.embedded.rounds import parse_round_id
from nettrace.store.embedded.schema import DATABASE, NS_PER_DAY
from nettrace.store.port import QUANTILES, Choice, NodeRow
from nettrace.store.rows import (
    ROUND_FIELDS,
    Audit,
    Columns,
    Event,
    Export,
    Latest,
    LivePage,
    MeasurementRequest,
    RawColumns,
    Resolution,
    Round,
    RouteState,
    StoredTrace,
    Summary,
    Window,
)
from nettrace.wire.frames import Gap

T = TypeVar("T")
LATE_NS = 60 * NS_PER_S
"""How long behind its deadline an on-demand round may still have come in."""

EVER = Window(0, 2**62)
PAGE = 2_000
_BEHIND_ALL = chr(0x10FFFF)
"""Behind every name that begins alike."""


class EmbeddedReader:
    """A `StoreReader` over a data folder.

    Raises:
        StoreError: there is no store, or one of another version.
        StoreCorrupt: its file is damaged.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._path = folder / DATABASE
        self._connection = open_reader(self._path)
        self._index = SeriesIndex(self._connection)
        self._names = names_of(self._connection, self._index)
        self._past = past(self._connection, folder, self._names)
        self._filed = Filed(self._connection, self._path, self._index)
        self._data_version = -1
        self._head = 0

    @contextmanager
    def _reading(self) -> Generator[None]:
        with snapshot(self._connection, self._path):
            yield

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()

    # -- live and latest
    def head(self) -> int:
        """See `StoreReader.head`: a look at the WAL's index while nothing was written."""
        with explained(self._path):
            found = value(self._connection, "PRAGMA data_version")
            if found != self._data_version:
                self._head = newest_live(self._connection)
                self._data_version = found
        return self._head

    def live(self, after: int, limit: int = 1000) -> LivePage:
        """See `StoreReader.live`."""
        with self._reading():
            return live_page(self._connection, self._past, self._names, after, limit)

    def latest(self, after: int = 0) -> list[Latest]:
        """See `StoreReader.latest`."""
        with self._reading():
            return newest_rounds(self._connection, self._names, after)

    # -- history
    def series(self, choice: Choice) -> list[Series]:
        """See `StoreReader.series`."""
        with self._reading():
            return sorted(self._index.chosen(choice).values())

    def rounds(
        self, choice: Choice, window: Window, *, limit: int, newest_first: bool = False,
        after: tuple[Instant, Series] | None = None, as_of: Instant | None = None,
    ) -> list[Round]:  # fmt: skip
        """See `StoreReader.rounds`."""
        return self.raw(
            choice, window, limit=limit, newest_first=newest_first, after=after, as_of=as_of
        ).rounds()

    def raw(
        self, choice: Choice, window: Window, *, fields: Sequence[str] = ROUND_FIELDS, limit: int,
        newest_first: bool = False, after: tuple[Instant, Series] | None = None, as_of: Instant | None = None,
    ) -> RawColumns:  # fmt: skip
        """See `StoreReader.raw`."""
        order = Sorting.BACKWARDS if newest_first else Sorting.DUE
        asked = Asked(fields=tuple(fields), order=order, limit=limit, after=after, as_of=as_of)
        with self._reading():
            return self._past.raw(self._index.chosen(choice), window, asked)

    def scan(self, choice: Choice, window: Window, as_of: Instant | None = None) -> Iterator[list[Round]]:
        """See `StoreReader.scan`."""
        for columns in self.raw_scan(choice, window, as_of=as_of):
            rounds = columns.rounds()
            for start in range(0, len(rounds), PAGE):
                yield rounds[start : start + PAGE]

    def raw_scan(
        self, choice: Choice, window: Window, *, fields: Sequence[str] = ROUND_FIELDS, as_of: Instant | None = None
    ) -> Iterator[RawColumns]:  # fmt: skip
        """See `StoreReader.raw_scan`. It has a connection of its own: one moment's view, whatever else is read."""
        asked = Asked(fields=tuple(fields), as_of=as_of)
        with EmbeddedReader(self._folder) as other, other._reading():
            yield from other._past.raw_scan(other._index.chosen(choice), window, asked)

    def __enter__(self) -> "EmbeddedReader":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def history(
        self, choice: Choice, window: Window, resolution: Resolution, quantiles: Sequence[float] = QUANTILES,
        as_of: Instant | None = None,
    ) -> list[Columns]:  # fmt: skip
        """See `StoreReader.history`."""
        if as_of is None:
            found = self._filed.history(choice, window, resolution, quantiles)
            if found is not None:
                return found
        with self._reading():
            return self._past.history(self._index.chosen(choice), window, resolution, quantiles, as_of)

    def summary(
        self,
        choice: Choice,
        window: Window,
        quantiles: Sequence[float] = QUANTILES,
        as_of: Instant | None = None,
    ) -> list[Summary]:
        """See `StoreReader.summary`."""
        if as_of is None:
            found = self._filed.summary(choice, window, quantiles)
            if found is not None:
                return found
        with self._reading():
            return self._past.summary(self._index.chosen(choice), window, quantiles, as_of)

    def round(self, id: str) -> Round | None:  # noqa: A002
        """See `StoreReader.round`."""
        try:
            series, due = parse_round_id(id)
        except NotFound:
            return None
        with self._reading():
            return self._past.round(series, due)

    def request_rounds(self, request: str) -> list[Round]:
        """See `StoreReader.request_rounds`."""
        with self._reading():
            body = value(self._connection, "SELECT body FROM request WHERE id = ?", (request,))
            if body is None:
                return self._past.requested(request, EVER)
            asked = msgspec.msgpack.decode(body, type=MeasurementRequest)
            end = min(asked.deadline + LATE_NS, asked.created_at + NS_PER_DAY)
            return self._past.requested(request, Window(asked.created_at, end))

    # -- paths and events
    def traces(self, choice: Choice, window: Window, limit: int) -> list[StoredTrace]:
        """See `StoreReader.traces`."""
        with self._reading():
            return traces(self._connection, self._names, self._index.chosen(choice), window, limit)

    def routes(self, choice: Choice, window: Window) -> list[RouteState]:
        """See `StoreReader.routes`."""
        with self._reading():
            return routes(self._connection, self._index.chosen(choice), window)

    def events(
        self, window: Window, *, kinds: Sequence[str] = (), choice: Choice | None = None, limit: int = 100,
        before: tuple[Instant, str] | None = None, as_of: Instant | None = None,
    ) -> list[Event]:  # fmt: skip
        """See `StoreReader.events`."""
        with self._reading():
            return events(
                self._connection, self._index, window, kinds=kinds, choice=choice, limit=limit, before=before,
                as_of=as_of,
            )  # fmt: skip

    def event(self, id: str) -> Event | None:  # noqa: A002
        """See `StoreReader.event`."""
        with self._reading():
            return event(self._connection, self._index, id)

    def gaps(self, window: Window, vantages: Sequence[str] = ()) -> list[tuple[str, Gap]]:
        """See `StoreReader.gaps`."""
        with self._reading():
            return gaps(self._connection, window, vantages)

    def detector_state(self, prefix: str = "") -> dict[str, bytes]:
        """See `StoreReader.detector_state`."""
        with self._reading():
            sql = "SELECT name, value FROM detector_state WHERE name >= ? AND name < ?"
            return dict(self._pairs(sql, prefix, prefix + _BEHIND_ALL))

    # -- control plane
    def _pairs(self, sql: str, *bindings: object) -> Iterator[tuple[str, bytes]]:
        return ((str(name), bytes(content)) for name, content in self._connection.execute(sql, bindings))

    def _bodies(self, kind: type[T], sql: str, *bindings: object) -> list[T]:
        with self._reading():
            return [
                msgspec.msgpack.decode(body, type=kind) for (body,) in self._connection.execute(sql, bindings)
            ]

    def targets(self) -> list[Target]:
        """See `StoreReader.targets`: by host."""
        return self._bodies(Target, "SELECT body FROM target ORDER BY host")

    def targets_version(self) -> int:
        """See `StoreReader.targets_version`."""
        with self._reading():
            return int(value(self._connection, "SELECT value FROM meta WHERE name = 'targets_version'"))

    def nodes(self) -> list[NodeRow]:
        """See `StoreReader.nodes`: by region, oldest first."""
        with self._reading():
            rows = self._connection.execute("SELECT body, key FROM node")
            found = [
                NodeRow(vantage=msgspec.msgpack.decode(body, type=Vantage), key=key) for body, key in rows
            ]
        return sorted(found, key=lambda row: (row.vantage.code, row.vantage.enrolled_at, row.vantage.node))

    def keys(self, account: str | None = None) -> list[Key]:
        """See `StoreReader.keys`: by id."""
        return self._bodies(Key, "SELECT body FROM key WHERE ?1 IS NULL OR account = ?1 ORDER BY id", account)

    def key(self, hash: bytes) -> Key | None:  # noqa: A002
        """See `StoreReader.key`."""
        return next(iter(self._bodies(Key, "SELECT body FROM key WHERE hash = ?", hash)), None)

    def requests(self, *, account: str | None = None, limit: int = 100) -> list[MeasurementRequest]:
        """See `StoreReader.requests`."""
        return self._bodies(
            MeasurementRequest,
            "SELECT body FROM request WHERE ?1 IS NULL OR account = ?1 ORDER BY created_at DESC, id DESC LIMIT ?2",
            account, limit,
        )  # fmt: skip

    def exports(self, account: str | None = None) -> list[Export]:
        """See `StoreReader.exports`."""
        return self._bodies(
            Export,
            "SELECT body FROM export WHERE ?1 IS NULL OR account = ?1 ORDER BY created_at DESC, id DESC",
            account,
        )

    def audit(self, limit: int = 100) -> list[Audit]:
        """See `StoreReader.audit`."""
        with self._reading():
            rows = self._connection.execute(
                "SELECT at, actor, action, subject, outcome, detail FROM audit ORDER BY id DESC LIMIT ?",
                (limit,),
            )
            return [
                Audit(at=at, actor=actor, action=action, subject=subject, outcome=outcome, detail=detail)
                for at, actor, action, subject, outcome, detail in rows
            ]

    # -- alerts
    def incidents(self, *, states: Sequence[IncidentState] = (), limit: int = 100) -> list[Incident]:
        """See `StoreReader.incidents`."""
        return self._bodies(
            Incident,
            "SELECT body FROM incident WHERE ?1 = '' OR instr(?1, ' ' || state || ' ')"
            " ORDER BY opened_at DESC, id DESC LIMIT ?2",
            _words(states), limit,
        )  # fmt: skip

    def deliveries(
        self, *, states: Sequence[DeliveryState] = (), incident: str | None = None, limit: int = 100
    ) -> list[Delivery]:
        """See `StoreReader.deliveries`."""
        if tuple(states) == (DeliveryState.PENDING,) and incident is None:
            return self._bodies(
                Delivery,
                "SELECT body FROM delivery WHERE state = 'pending' ORDER BY created_at, id LIMIT ?",
                limit,
            )
        return self._bodies(
            Delivery,
            "SELECT body FROM delivery WHERE (?1 = '' OR instr(?1, ' ' || state || ' '))"
            " AND (?2 IS NULL OR incident = ?2) ORDER BY created_at DESC, id DESC LIMIT ?3",
            _words(states), incident, limit,
        )  # fmt: skip

    def delivery(self, id: str) -> Delivery | None:  # noqa: A002
        """See `StoreReader.delivery`."""
        return next(iter(self._bodies(Delivery, "SELECT body FROM delivery WHERE id = ?", id)), None)

    def alert_orders(self, after: int = 0) -> list[Order]:
        """See `StoreReader.alert_orders`."""
        with self._reading():
            rows = self._connection.execute(
                "SELECT number, body FROM alert_order WHERE number > ? ORDER BY number", (after,)
            )
            return [
                msgspec.structs.replace(msgspec.msgpack.decode(body, type=Order), number=number)
                for number, body in rows
            ]

    def alert_state(self) -> dict[str, bytes]:
        """See `StoreReader.alert_state`."""
        with self._reading():
            return dict(self._pairs("SELECT name, value FROM alert_state"))

    def settings(self) -> dict[str, bytes]:
        """See `StoreReader.settings`."""
        with self._reading():
            return dict(self._pairs("SELECT name, value FROM setting"))


def _words(states: Sequence[str]) -> str:
    """Words to look one up in: empty is "any"."""
    return f" {' '.join(states)} " if states else ""
