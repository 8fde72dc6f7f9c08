"""The newest round of every series, held in memory and refreshed from the store's live log.

A `Snapshot` never changes; a refresh makes the next one, sharing everything that stayed the same. Doors keep
what they encoded beside the target it shows, so a new round costs the encoding of one target, not of all.
"""

from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from nettrace.model.instant import NS_PER_S, Instant
from nettrace.model.target import Lifecycle, Series, Target
from nettrace.model.vantage import Vantage, VantageState, third_party
from nettrace.store.port import StoreReader
from nettrace.store.rows import Event, Latest, Window

STALE_INTERVALS = 3
TICK_NS = 5 * NS_PER_S
"""How often ages are looked at again although nothing new came."""
HOUR_NS = 3600 * NS_PER_S
SILENT_NS = 180 * NS_PER_S
"""A vantage that was not heard for so long counts as down."""

MOST_WHOLE, MOST_KEPT = 200, 50_000
"""Bounds on what is kept encoded, for whoever asks in a thousand ways."""

T = TypeVar("T")


@dataclass(kw_only=True)
class Snapshot:
    """What is known at one moment.

    Attributes:
        seq: the live log was read up to here.
        at: when.
        version: grows with every snapshot that differs.
        targets: by host, active ones of everybody and custom ones.
        vantages: our own, by code; `third_parties` the other people's, whose rounds are in `lent` and nowhere else.
        newest: by host, then by series, of our own vantages.
        versions: by host, the version that last changed it.
        events_1h: signals and route changes of the last hour.
    """

    seq: int
    at: Instant
    version: int = 0
    targets: Mapping[str, Target] = field(default_factory=dict[str, Target])
    vantages: Mapping[str, Vantage] = field(default_factory=dict[str, Vantage])
    newest: Mapping[str, Mapping[Series, Latest]] = field(default_factory=dict[str, Mapping[Series, Latest]])
    third_parties: Mapping[str, Vantage] = field(default_factory=dict[str, Vantage])
    lent: Mapping[str, Mapping[Series, Latest]] = field(default_factory=dict[str, Mapping[Series, Latest]])
    versions: Mapping[str, int] = field(default_factory=dict[str, int])
    events_1h: tuple[Event, ...] = ()
    _kept: dict[tuple[str, Hashable], tuple[int, bytes]] = field(
        default_factory=dict[tuple[str, Hashable], tuple[int, bytes]]
    )
    _whole: dict[Hashable, object] = field(default_factory=dict[Hashable, object])

    def of_target(self, host: str, what: Hashable, make: Callable[[], bytes]) -> bytes:
        """Bytes that depend on one target only: made once for each of its versions."""
        version = self.versions.get(host, 0)
        key = (host, what)
        kept = self._kept.get(key)
        if kept is not None and kept[0] == version:
            return kept[1]
        made = make()
        if len(self._kept) < MOST_KEPT:
            self._kept[key] = (version, made)
        return made

    def of_all(self, what: Hashable, make: Callable[[], T]) -> T:
        """What depends on everything here: made once for this snapshot."""
        found = self._whole.get(what)
        if found is None:
            found = make()
            if len(self._whole) < MOST_WHOLE:
                self._whole[what] = found
        return found  # type: ignore[return-value]

    def visible(self, account: str) -> list[Target]:
        """Targets this account may see, by host."""
        return [target for target in self.targets.values() if target.account in {None, account}]

    def ages(self, now: Instant) -> dict[str, float | None]:
        """How old each vantage's newest round is, in seconds; None before its first."""
        newest: dict[str, Instant] = {}
        for rows in self.newest.values():
            for series, row in rows.items():
                newest[series.vantage] = max(newest.get(series.vantage, 0), row.round.at)
        return {
            code: round((now - newest[code]) / NS_PER_S, 3) if code in newest else None
            for code in sorted({*self.vantages, *newest})
        }

    def down(self, vantage: str) -> bool:
        """Whether a vantage is known and silent."""
        known = self.vantages.get(vantage)
        return known is not None and (known.last_seen is None or self.at - known.last_seen > SILENT_NS)


def stale(latest: Latest, at: Instant) -> bool:
    """Whether a series' newest round is older than three of its intervals, or measured nothing."""
    return at - latest.round.due > STALE_INTERVALS * int(latest.interval_s * NS_PER_S)


class Newest:
    """Follows the live log. One thread refreshes at a time; anybody reads `snapshot`.

    Args:
        at: now.
        tell: hears of every newest round that came in, in the thread that refreshes.

    Attributes:
        looked_at: when the store was last asked with success.
    """

    def __init__(
        self, at: Instant, tell: Callable[[list[Latest], Instant], None] = lambda _rows, _now: None
    ) -> None:
        self._tell = tell
        self._kept: dict[tuple[str, Hashable], tuple[int, bytes]] = {}
        self._targets_version = -1
        self._ticked_at = 0
        self.looked_at = 0
        self.snapshot = Snapshot(seq=-1, at=at)

    def refresh(self, reader: StoreReader, now: Instant) -> bool:
        """Take in what is new; True when a new snapshot was made."""
        old = self.snapshot
        head = reader.head()
        self.looked_at = now
        tick = now - self._ticked_at >= TICK_NS
        news = reader.latest(max(0, old.seq)) if head != old.seq else []
        # Asked behind the rows: so who measured them is known wherever they are shown.
        stored = reader.targets_version()
        if head == old.seq and stored == self._targets_version and not tick:
            return False
        version = old.version + 1
        lent = [row for row in news if third_party(row.round.series.vantage)]
        if lent:
            news = [row for row in news if not third_party(row.round.series.vantage)]
        targets, vantages, others = old.targets, old.vantages, old.third_parties
        versions = dict(old.versions)
        if stored != self._targets_version:
            targets = {
                target.host: target for target in sorted(reader.targets(), key=lambda target: target.host)
            }
            versions = dict.fromkeys(targets, version)
        if tick or stored != self._targets_version:
            known = _vantages(reader)
            vantages = {code: each for code, each in known.items() if not each.third_party}
            others = {code: each for code, each in known.items() if each.third_party}
        self._targets_version = stored
        self._tell(news, now)
        newest = _merged(old.newest, news)
        changed = {row.round.series.target for row in (*news, *lent)} | _aged(newest, old.at, now)
        versions.update(dict.fromkeys(changed, version))
        events = _events(reader, now) if tick or head != old.seq else old.events_1h
        if tick:
            self._ticked_at = now
            self._forget(versions)
        self.snapshot = Snapshot(
            seq=head, at=now, version=version, targets=targets, vantages=vantages, newest=newest,
            versions=versions, events_1h=events, third_parties=others, lent=_merged(old.lent, lent), _kept=self._kept,
        )  # fmt: skip
        return True

    def _forget(self, versions: Mapping[str, int]) -> None:
        """Drop bytes of targets that changed since: nobody asks for them any more."""
        for key, (version, _) in list(self._kept.items()):
            if versions.get(key[0], 0) != version:
                self._kept.pop(key, None)


def _vantages(reader: StoreReader) -> dict[str, Vantage]:
    """The vantages by code; of a code's several nodes the one that is not revoked, else the newest."""
    found: dict[str, Vantage] = {}
    for row in sorted(
        reader.nodes(),
        key=lambda row: (row.vantage.state is not VantageState.REVOKED, row.vantage.enrolled_at),
    ):
        found[row.vantage.code] = row.vantage
    return dict(sorted(found.items()))


def _merged(
    old: Mapping[str, Mapping[Series, Latest]], news: Iterable[Latest]
) -> Mapping[str, Mapping[Series, Latest]]:
    changed: dict[str, dict[Series, Latest]] = {}
    for row in news:
        host = row.round.series.target
        changed.setdefault(host, dict(old.get(host, {})))[row.round.series] = row
    return {**old, **changed} if changed else old


def _aged(newest: Mapping[str, Mapping[Series, Latest]], before: Instant, now: Instant) -> set[str]:
    """Targets whose shown ages change between two looks: all with a series that is stale or measured nothing."""
    if now // TICK_NS == before // TICK_NS:
        return set()
    return {
        host
        for host, rows in newest.items()
        if any(stale(row, now) or row.round.rtt_ns is None for row in rows.values())
    }


def _events(reader: StoreReader, now: Instant) -> tuple[Event, ...]:
    return tuple(reader.events(Window(now - HOUR_NS, now + NS_PER_S), limit=1000))


def measured_now(targets: Iterable[Target]) -> list[Target]:
    """Those that are still watched."""
    return [target for target in targets if target.lifecycle in {Lifecycle.ACTIVE, Lifecycle.UNVERIFIED}]
