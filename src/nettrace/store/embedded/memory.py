"""What the writer remembers so that it need not ask SQLite for each row: numbers, newest rounds, progress.

Everything here can be read back from the tables; after a transaction that failed it is thrown away and is.
"""

import msgspec

from nettrace.model.instant import NS_PER_S, Instant
from nettrace.model.target import RoundMethod, Series
from nettrace.model.vantage import Vantage
from nettrace.store.embedded.database import Connection, value
from nettrace.store.embedded.slot import EVER, SOUGHT, sought
from nettrace.wire.frames import Cadence

DIFFERENCES = 5
"""Rounds between two looks at a series' interval."""

POOL = 64
"""Addresses remembered of an endpoint; the oldest are forgotten first."""

_row = msgspec.msgpack.Decoder(list[object])


def usual_interval_s(method: RoundMethod) -> float:
    """How often a method's rounds are due until its series shows otherwise."""
    plan = Cadence()
    match method:
        case RoundMethod.TRACE:
            return plan.trace_s
        case RoundMethod.HTTP | RoundMethod.WS | RoundMethod.DNS:
            return plan.exchange_s
        case _:
            return plan.rtt_s


class Track:
    """One series as far as stored.

    Attributes:
        newest: due of the newest round stored, whoever asked for it; -1 without any.
        due: due of the newest scheduled one, that in `latest`; -1 without any.
        measured: the newest scheduled round that measured something, as `latest` keeps it; None without one.
    """

    __slots__ = (
        "_gaps",
        "account",
        "due",
        "id",
        "interval_s",
        "is_measured",
        "measured",
        "measured_due",
        "newest",
    )

    def __init__(self, number: int, interval_s: float, account: str | None) -> None:
        self.id = number
        self.interval_s = interval_s
        self.account = account
        self.newest: Instant = -1
        self.due: Instant = -1
        self.is_measured = False
        self.measured: bytes | None = None
        self.measured_due: Instant = -1
        self._gaps: list[int] = []

    def step(self, due: Instant) -> bool:
        """Note a newer scheduled round; True when the interval turns out to be another."""
        if self.due >= 0:
            self._gaps.append(due - self.due)
        self.due = due
        if len(self._gaps) < DIFFERENCES:
            return False
        seen = sorted(self._gaps)[DIFFERENCES // 2] / NS_PER_S
        self._gaps.clear()
        if abs(seen - self.interval_s) <= 0.2 * self.interval_s:
            return False
        self.interval_s = seen
        return True


class Memory:
    """The writer's memory, read from the tables."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.head: int = newest_live(connection)
        self.nodes: dict[str, tuple[Vantage, bytes]] = {
            node: (msgspec.msgpack.decode(body, type=Vantage), key)
            for node, key, body in connection.execute("SELECT id, key, body FROM node")
        }
        self.progress: dict[tuple[str, str], int] = {
            (node, epoch): upto
            for node, epoch, upto in connection.execute("SELECT node, epoch, upto FROM progress")
        }
        self.accounts: dict[str, str | None] = dict(connection.execute("SELECT host, account FROM target"))
        self.pools: dict[tuple[str, str, str], list[str]] = {
            (vantage, target, endpoint): addresses.split()
            for vantage, target, endpoint, addresses in connection.execute("SELECT * FROM pool")
        }
        self.resolved: dict[tuple[str, str, str], tuple[str, ...]] = {}
        self.dirty: set[tuple[int, int]] = set()
        self._tracks: dict[tuple[str, str, str, str], Track] = {}
        self._addresses: dict[str, int] = {}
        self._routes: dict[str, int] = {}

    def track(self, vantage: str, target: str, endpoint: str, method: RoundMethod) -> Track:
        """The series of that name; a row is made for a new one."""
        name = (vantage, target, endpoint, method)
        found = self._tracks.get(name)
        if found is None:
            found = self._tracks[name] = self._load(name, method)
        return found

    def track_of(self, series: Series) -> Track:
        """The same, by its name."""
        return self.track(series.vantage, series.target, series.endpoint, series.method)

    def _load(self, name: tuple[str, str, str, str], method: RoundMethod) -> Track:
        ask = self._connection
        account = self.accounts.get(name[1])
        for number, interval in ask.execute(
            "SELECT id, interval_s FROM series WHERE vantage = ? AND target = ? AND endpoint = ? AND method = ?",
            name,
        ):
            track = Track(number, interval, account)
            break
        else:
            interval = usual_interval_s(method)
            ask.execute(
                "INSERT INTO series (vantage, target, endpoint, method, interval_s) VALUES (?, ?, ?, ?, ?)",
                (*name, interval),
            )
            return Track(ask.last_insert_rowid(), interval, account)
        sealed = value(ask, "SELECT max(max_due) FROM segment WHERE state = 'live'")
        for due, last, measured in ask.execute(
            "SELECT due, round, measured FROM latest WHERE series = ?", (track.id,)
        ):
            track.due = due
            track.is_measured = measured is None and _row.decode(last)[4] == 0
            track.measured = last if track.is_measured else measured
            if track.measured is not None:
                track.measured_due = int(str(_row.decode(track.measured)[1]))
        newest = value(  # of those behind the latest: on-demand rounds
            ask,
            f"SELECT max(r.due) FROM {SOUGHT}",  # noqa: S608 - own words
            sought(ask, (track.id,), track.due + 1, EVER),
        )
        track.newest = max(track.due, -1 if newest is None else newest, -1 if sealed is None else sealed)
        return track

    def address(self, text: str) -> int:
        """The number of an address; a row is made for a new one."""
        found = self._addresses.get(text)
        if found is None:
            found = value(self._connection, "SELECT id FROM address WHERE text = ?", (text,))
            if found is None:
                self._connection.execute("INSERT INTO address (text) VALUES (?)", (text,))
                found = self._connection.last_insert_rowid()
            self._addresses[text] = found
        return found

    def route(self, name: str, hops: tuple[str | None, ...] = (), as_path: tuple[int, ...] = ()) -> int:
        """The number of a route; a row is made for a new one, and its hops are filled in when they come later."""
        found = self._routes.get(name)
        if found is None:
            found = value(self._connection, "SELECT id FROM route WHERE name = ?", (name,))
            if found is None:
                self._connection.execute("INSERT INTO route (name) VALUES (?)", (name,))
                found = self._connection.last_insert_rowid()
            self._routes[name] = found
        if hops:
            self._connection.execute(
                "UPDATE route SET hops = ?, as_path = ? WHERE id = ? AND hops IS NULL",
                (msgspec.msgpack.encode(hops), msgspec.msgpack.encode(as_path), found),
            )
        return found

    def forget_tracks(self) -> None:
        """Look series up anew: what is known of their targets has changed."""
        self._tracks.clear()


def newest_live(connection: Connection) -> int:
    """The newest live number: of the log, or where it goes on after a restore."""
    newest = value(connection, "SELECT max(seq) FROM live")
    return int(
        newest if newest is not None else value(connection, "SELECT value FROM meta WHERE name = 'live_head'")
    )
