"""Reports become rows: what of them is new, what follows from it, and everything one transaction writes of it."""

import zlib
from collections.abc import Sequence
from hashlib import sha256

import msgspec

from nettrace.errors import NotFound
from nettrace.model.instant import NS_PER_MS, Instant, rfc3339
from nettrace.model.measurement import Outcome
from nettrace.model.path import Trace
from nettrace.model.target import Series
from nettrace.model.vantage import Vantage, third_party
from nettrace.store.arrival import numbers
from nettrace.store.embedded.database import Connection, Row, value
from nettrace.store.embedded.hot import INSERT_ROUND, Past
from nettrace.store.embedded.memory import POOL, Memory, Track
from nettrace.store.embedded.samples import beside, pack, pack_hints, pack_stages
from nettrace.store.embedded.schema import (
    CLOCK_CODE,
    NS_PER_HOUR,
    NS_PER_US,
    OUTCOME_CODE,
    REASON_CODE,
)
from nettrace.store.port import Accepted, Conclusion, Watcher
from nettrace.store.rows import Event, LiveKind
from nettrace.wire.frames import Gap, Record, Report

NOBODY = ""
"""Account of a live event whose request is not known: no key has it."""

_encode = msgspec.msgpack.Encoder().encode


class Intake:
    """One transaction's worth of reports.

    Arguments: the writing connection, its memory, the past (is a late round known?), and when the hub got them.
    """

    def __init__(self, connection: Connection, memory: Memory, past: Past, at: Instant) -> None:
        self._connection = connection
        self._memory = memory
        self._past = past
        self._at = at
        self._rounds: list[Row] = []
        self._keys: set[tuple[int, Instant]] = set()
        self._live: list[Row] = []
        self._latest: dict[int, Row] = {}
        self._traces: list[Row] = []
        self._dirty: list[Row] = []

    def take(self, report: Report, watcher: Watcher | None) -> Accepted:
        """Sort out a report and keep what is new for `write`. Raises NotFound for a node that never enrolled."""
        memory = self._memory
        known = memory.nodes.get(report.node)
        if known is None:
            raise NotFound(f"no node '{report.node}'", "Enrol it: nettrace fleet token, then nettrace node")
        vantage = known[0]
        begun = memory.progress.get((report.node, report.epoch), 0)
        upto, entries = _contiguous(report, begun)
        if upto == begun:
            return Accepted(upto_seq=upto, new=())
        new: list[Record | Gap] = []
        tracks: list[Track | None] = []
        for entry in entries:
            track = None
            if isinstance(entry, Record):
                track = memory.track(vantage.code, entry.target, entry.endpoint, entry.method)
                if not self._is_new(track, entry.due):
                    continue
            new.append(entry)
            tracks.append(track)
        conclusion = watcher.conclude(vantage, new, self._at) if watcher and new else Conclusion()
        routes = {seq: memory.route(name) for seq, name in conclusion.route_of.items()}
        for entry, track in zip(new, tracks, strict=True):
            if isinstance(entry, Gap):
                self._keep_gap(report, vantage, entry)
            elif track is not None:
                self._keep(vantage.code, entry, track, routes.get(entry.seq))
        self._conclude(conclusion)
        memory.progress[report.node, report.epoch] = upto
        self._connection.execute(
            "INSERT INTO progress VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET upto = excluded.upto, at = excluded.at",
            (report.node, report.epoch, upto, self._at),
        )
        return Accepted(upto_seq=upto, new=tuple(new))

    def _is_new(self, track: Track, due: Instant) -> bool:
        key = (track.id, due)
        if due <= track.newest and (key in self._keys or self._past.round(track.id, due) is not None):
            return False
        track.newest = max(due, track.newest)
        self._keys.add(key)
        return True

    def _keep(self, vantage: str, record: Record, track: Track, route: int | None) -> None:
        memory, measured, due = self._memory, record.measurement, record.due
        kept = numbers(measured)
        row: Row = (
            track.id, due, measured.at // NS_PER_US - due // NS_PER_US, self._at // NS_PER_MS - due // NS_PER_MS,
            OUTCOME_CODE[measured.outcome], None if measured.reason is None else REASON_CODE[measured.reason],
            None if measured.address is None else memory.address(measured.address),
            kept.sent, kept.received, kept.not_measured, kept.rtt_ns, *beside(kept.min_ns, kept.max_ns), kept.error_ns,
            kept.grade, pack(kept.samples_ns, kept.rtt_ns), pack_stages(kept.stages_ns), kept.status,
            kept.tls_version, route, kept.hop_count, None if kept.clock is None else CLOCK_CODE[kept.clock],
            record.request, pack_hints(kept.server_hints),
        )  # fmt: skip
        self._rounds.append(row)
        hour = (due // NS_PER_HOUR, track.id)
        if hour not in memory.dirty:
            memory.dirty.add(hour)
            self._dirty.append(hour)
        kind, account = LiveKind.ROUND, track.account
        if isinstance(measured, Trace):
            kind = LiveKind.TRACE
            self._traces.append((track.id, due, self._at, route, zlib.compress(_encode(measured), 1)))
        if record.request is not None:
            kind, account = LiveKind.MEASUREMENT, self._asked_by(record.request)
        memory.head += 1
        self._live.append((memory.head, kind, self._at, track.id, due, None, None, account, None))
        if record.request is None:
            self._refresh(track, row, measured.outcome is Outcome.MEASURED)
        place = (vantage, record.target, record.endpoint)
        if measured.resolved and memory.resolved.get(place) != measured.resolved:
            memory.resolved[place] = measured.resolved
            self._compare(place, record, track)

    def _refresh(self, track: Track, row: Row, is_measured: bool) -> None:  # noqa: FBT001
        """Make the round its series' latest, if it is newer; or the last measured one behind a latest that is not."""
        due: Instant = row[1]
        if due > track.due:
            blob = _encode(row)
            if track.step(due):
                self._connection.execute(
                    "UPDATE series SET interval_s = ? WHERE id = ?", (track.interval_s, track.id)
                )
            track.is_measured = is_measured
            if is_measured:
                track.measured, track.measured_due = blob, due
            self._latest[track.id] = (
                track.id, self._memory.head, due, blob, None if is_measured else track.measured,
            )  # fmt: skip
        elif is_measured and not track.is_measured and due > track.measured_due:
            track.measured, track.measured_due = _encode(row), due
            waiting = self._latest.get(track.id)
            if waiting is not None:
                self._latest[track.id] = (*waiting[:1], self._memory.head, *waiting[2:4], track.measured)
            else:
                self._connection.execute(
                    "UPDATE latest SET seq = ?, measured = ? WHERE series = ?",
                    (self._memory.head, track.measured, track.id),
                )

    def _asked_by(self, request: str) -> str:
        account = value(self._connection, "SELECT account FROM request WHERE id = ?", (request,))
        return NOBODY if account is None else str(account)

    def _keep_gap(self, report: Report, vantage: Vantage, gap: Gap) -> None:
        self._connection.execute(
            "INSERT INTO gap (vantage, node, epoch, seq, last_seq, reason, since, until, stored_at, target)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                vantage.code, report.node, report.epoch, gap.seq, gap.last_seq, gap.reason, gap.since, gap.until,
                self._at, gap.target,
            ),
        )  # fmt: skip
        lost = gap.lost
        known, key = self._memory.nodes[report.node]
        changed = msgspec.structs.replace(known, lost_records=known.lost_records + lost)
        self._memory.nodes[report.node] = (changed, key)
        self._connection.execute("UPDATE node SET body = ? WHERE id = ?", (_encode(changed), report.node))
        body = {
            "object": "gap", "region": vantage.code, "reason": gap.reason, "records": lost,
            "since": rfc3339(gap.since), "until": rfc3339(gap.until), "host": gap.target or None,
        }  # fmt: skip
        self.tell(LiveKind.GAP, msgspec.json.encode(body), vantage=vantage.code)

    def _compare(self, place: tuple[str, str, str], record: Record, track: Track) -> None:
        """An address this endpoint never had before, seen from there, is an event; not of a stranger's resolver."""
        if third_party(place[0]):
            return
        resolved = record.measurement.resolved
        pool = self._memory.pools.get(place)
        added = [address for address in resolved if pool is None or address not in pool]
        if not added:
            return
        kept = ([*pool, *added] if pool else list(dict.fromkeys(added)))[-POOL:]
        self._memory.pools[place] = kept
        self._connection.execute(
            "INSERT INTO pool VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET addresses = excluded.addresses",
            (*place, " ".join(kept)),
        )
        if pool is not None:
            self.conclude_event(_address_change(place, record, added, pool), track)

    def _conclude(self, conclusion: Conclusion) -> None:
        memory, connection = self._memory, self._connection
        for state in conclusion.routes:
            number = memory.track_of(state.series).id
            route = memory.route(state.route, state.hops, state.as_path)
            connection.execute(
                "UPDATE route_state SET until = ? WHERE series = ? AND since < ? AND until IS NULL",
                (state.since, number, state.since),
            )
            connection.execute(
                "INSERT INTO route_state VALUES (?, ?, ?, ?)"
                " ON CONFLICT DO UPDATE SET route = excluded.route, until = excluded.until",
                (number, state.since, route, state.until),
            )
        for event in conclusion.events:
            self.conclude_event(event, None if event.series is None else memory.track_of(event.series))
        if conclusion.detector_state:
            connection.executemany(
                "REPLACE INTO detector_state VALUES (?, ?)", conclusion.detector_state.items()
            )

    def conclude_event(self, event: Event, track: Track | None) -> None:
        """Store an event and put it into the live log; one that is there already stays as it was."""
        series = event.series
        target = event.target or (series.target if series else None)
        vantage = event.vantage or (series.vantage if series else None)
        self._connection.execute(
            "INSERT OR IGNORE INTO event VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                event.id, event.kind, event.at, event.detected_at, track.id if track else None, target, vantage,
                event.severity, event.confidence, event.body, self._at,
            ),
        )  # fmt: skip
        if self._connection.changes():
            kind = LiveKind.ROUTE_CHANGE if event.kind == "route_change" else LiveKind.SIGNAL
            account = self._memory.accounts.get(target) if target else None
            self.tell(kind, event.body, target=target, vantage=vantage, account=account)

    def tell(
        self, kind: LiveKind, body: bytes, *, target: str | None = None, vantage: str | None = None,
        account: str | None = None,
    ) -> None:  # fmt: skip
        """Put an event into the live log."""
        self._memory.head += 1
        self._live.append((self._memory.head, kind, self._at, None, None, target, vantage, account, body))

    def write(self) -> None:
        """Everything kept, into the tables."""
        many = self._connection.executemany
        many(INSERT_ROUND, self._rounds)
        many("INSERT INTO live VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", self._live)
        many("REPLACE INTO latest VALUES (?, ?, ?, ?, ?)", self._latest.values())
        many("INSERT INTO trace VALUES (?, ?, ?, ?, ?)", self._traces)
        many("INSERT OR IGNORE INTO dirty VALUES (?, ?)", self._dirty)


def _contiguous(report: Report, upto: int) -> tuple[int, Sequence[Record | Gap]]:
    """The entries behind `upto` as far as they have no hole, and the number they reach."""
    if report.first_seq > upto + 1:
        return upto, ()
    found: list[Record | Gap] = []
    for entry in report.entries:
        last = entry.last_seq if isinstance(entry, Gap) else entry.seq
        if last <= upto:
            continue
        if entry.seq > upto + 1:
            break
        if isinstance(entry, Gap) and entry.seq <= upto:
            found.append(msgspec.structs.replace(entry, seq=upto + 1))
        else:
            found.append(entry)
        upto = last
    return upto, found


def _address_change(
    place: tuple[str, str, str], record: Record, added: Sequence[str], pool: Sequence[str]
) -> Event:
    vantage, target, endpoint = place
    series = Series(vantage, target, endpoint, record.method)
    measured = record.measurement
    seen = sha256(f"{series} {record.due} {' '.join(added)}".encode()).hexdigest()[:20]
    moved = not set(measured.resolved) & set(pool)
    body = {
        "object": "event", "id": f"sig_{seen}", "kind": "address_change", "region": vantage, "target": target,
        "endpoint": endpoint, "method": record.method, "at": rfc3339(measured.at), "severity": "notice" if moved else "info",
        "addresses": list(measured.resolved), "added": list(added), "known_before": list(pool), "moved": moved,
    }  # fmt: skip
    return Event(
        id=f"sig_{seen}", kind="address_change", at=measured.at, detected_at=record.due, series=series,
        target=target, vantage=vantage, severity="notice" if moved else "info", body=msgspec.json.encode(body),
    )  # fmt: skip
