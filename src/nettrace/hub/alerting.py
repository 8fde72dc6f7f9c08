"""Alerts of a hub: what its store says becomes facts, and what the rules make of them becomes rows of its store.

Everything that is new in the live log is fed with the time of its commit, so that a restart, or a late start, sees what
happened in the order it happened. Incidents, deliveries and the evaluator's memory are stored in one transaction:
an incident is never without its notices, and none is told twice because of a crash.
"""

import tomllib
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from hashlib import blake2b
from itertools import groupby
from pathlib import Path
from typing import Any, cast

import msgspec

from nettrace.analysis.alerts.evaluator import Evaluator, Turn
from nettrace.analysis.alerts.fact import EventSeen, Fact, Heard, Known, Ordered, RoundSeen
from nettrace.analysis.alerts.rule import RuleBook, read_book
from nettrace.errors import ConfigError
from nettrace.hub.market_hours import market_sessions
from nettrace.hub.shelf import mark
from nettrace.model.alert import AlertStep, Delivery, Incident, Notice, NoticeKind, Order
from nettrace.model.instant import NS_PER_S, Instant
from nettrace.model.measurement import Outcome
from nettrace.model.signal import Direction, Severity
from nettrace.model.target import Lifecycle, RoundMethod, Series
from nettrace.model.vantage import VantageState, load_values, third_party
from nettrace.outside.notify.message import notice_document
from nettrace.runtime.named_file import read_text
from nettrace.store.port import Choice, StoreReader
from nettrace.store.rows import Event, Live, LiveKind, MeasurementRequest, Round, Window

FILE = "alerts.toml"
_ABSENT, _UNREAD = (0, -1), (0, -2)
_EVALUATOR, _PLACE = "evaluator", "place"
_PAGE = 1000
KEEP_NS = 30 * NS_PER_S
"""The evaluator's memory is stored so often, and whenever there is something to tell; what came since is read again."""
_AROUND_NS, _KNOWN_NS = 5 * NS_PER_S, 60 * NS_PER_S
TRACED_FROM, TRACE_DEADLINE_NS = 4, 60 * NS_PER_S


class BookFile:
    """The rules in a data folder, read again when the file changes. Without the file there are none.

    Attributes:
        book: the rules in force; None until there were any that could be read, so that a mistake at a start does not
            take away the rules that incidents hang on.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._looked = self._read = _UNREAD
        self.book: RuleBook | None = None

    def refresh(self) -> bool:
        """True when there are other rules than before. A file that is being written is left alone until the next look.

        Raises:
            ConfigError: what stands there is wrong; the rules of before hold on, and it is said once.
        """
        try:
            found = self._path.stat()
            mark = (found.st_mtime_ns, found.st_size)
        except FileNotFoundError:
            mark = _ABSENT
        is_settled, self._looked = self._looked in {mark, _UNREAD}, mark
        if mark == self._read or not is_settled:
            return False
        self._read = mark
        before, self.book = self.book, RuleBook() if mark == _ABSENT else load(self._path)
        return self.book != before


def load(path: Path) -> RuleBook:
    """The rules of a file.

    Raises:
        ConfigError: it cannot be read, or something in it is wrong.
    """
    text = read_text(path)
    try:
        return read_book(tomllib.loads(text), market_sessions())
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: {error}", "See docs/guides/alerts.md for the form") from error
    except ConfigError as error:
        raise ConfigError(f"{path}: {error.detail}", error.hint) from error


class _Place(msgspec.Struct, frozen=True, kw_only=True):
    """Up to where the live log and people's orders have been seen."""

    seq: int
    order: int = 0


class Stepped(msgspec.Struct, frozen=True, kw_only=True):
    """What a step came to: what is to be stored, the traces to be made, and what else people ordered."""

    step: AlertStep | None
    requests: tuple[MeasurementRequest, ...] = ()
    orders: tuple[Order, ...] = ()


class Alerting:
    """The rules of one hub against its store, a step at a time.

    Args:
        reader: of this object alone.
        book: the rules in force.
        account: whose rules they are: they see its own targets and everybody's, and their incidents are its own.
            None is the hub's operator, who sees everything.
    """

    def __init__(self, reader: StoreReader, book: RuleBook, account: str | None = None) -> None:
        self._reader = reader
        self._book = book
        self._account = account
        self._suffix = "" if account is None else f"~{mark(account)}"
        stored = reader.alert_state()
        parts = _parts(stored, self._suffix)
        self._evaluator = Evaluator.resume(book, parts) if "" in parts else Evaluator(book)
        place = stored.get(_PLACE + self._suffix)
        self._place = (
            _Place(seq=reader.head()) if place is None else msgspec.msgpack.decode(place, type=_Place)
        )
        self._intervals: dict[Series, float] = {}
        self._intervals_at = 0
        self._around_at = self._known_at = self._kept_at = -(2**62)

    def use(self, book: RuleBook) -> None:
        """Go on with other rules."""
        self._book = book
        self._evaluator = self._evaluator.under(book)
        self._around_at = self._known_at = -(2**62)

    def step(self, now: Instant) -> Stepped:
        """Take what is new until now."""
        turns: list[Turn] = []
        if now - self._around_at >= _AROUND_NS:
            self._around_at = now
            facts: list[Fact] = list(heard_facts(self._reader))
            if now - self._known_at >= _KNOWN_NS:
                self._known_at = now
                facts = [*known_facts(self._reader, now, self._account), *facts]
            turns.append(self._evaluator.feed(self._oldest_unseen(now), facts))
        turns += self._news()
        orders = self._reader.alert_orders(self._place.order)
        turns.append(self._evaluator.feed(now, _ordered(orders, self._suffix)))
        if orders:
            self._place = msgspec.structs.replace(self._place, order=orders[-1].number)
        requests = self._traced(turns, now) if self._book.trace else {}
        step = self._store(turns, requests, now, ordered=bool(orders))
        others = (
            tuple(each for each in orders if each.action not in {"ack", "close"})
            if self._account is None
            else ()
        )  # the hub's own rules speak for all channels
        return Stepped(
            step=step, requests=tuple(r for made in requests.values() for r in made), orders=others
        )

    def _oldest_unseen(self, now: Instant) -> Instant:
        """What stands around is learnt before what waits in the log, not after it."""
        page = self._reader.live(self._place.seq, 1)
        return min(now, page.events[0].at) if page.events else now

    def _news(self) -> Iterable[Turn]:
        while True:
            page = self._reader.live(self._place.seq, _PAGE)
            if not page.events:
                if page.oldest > self._place.seq + 1:  # the log was cut behind our place
                    self._place = msgspec.structs.replace(self._place, seq=page.oldest - 1)
                return
            self._learn_intervals(page.head)
            for at, events in groupby(page.events, key=lambda event: event.at):
                seen = (
                    each for each in events if self._account is None or each.account in {None, self._account}
                )
                facts = [fact for each in seen if (fact := fact_of(each, self._intervals)) is not None]
                if facts:
                    yield self._evaluator.feed(at, facts)
            self._place = msgspec.structs.replace(self._place, seq=page.events[-1].seq)

    def _learn_intervals(self, head: int) -> None:
        for each in self._reader.latest(self._intervals_at):
            self._intervals[each.round.series] = each.interval_s
        self._intervals_at = head

    def _traced(self, turns: Sequence[Turn], now: Instant) -> dict[str, tuple[MeasurementRequest, ...]]:
        """A trace of what each new incident is about, from where it was seen: the path as it is now, not afterwards."""
        targets = {target.host: target for target in self._reader.targets()}
        made: dict[str, tuple[MeasurementRequest, ...]] = {}
        for notice in (each for turn in turns for each in turn.notices if each.kind is NoticeKind.OPENED):
            incident = notice.incident
            host = next((host for host in incident.targets if host in targets), None)
            if host is None or not incident.vantages or now - notice.at > TRACE_DEADLINE_NS:
                continue
            request = MeasurementRequest(
                id="req_" + blake2b((incident.id + self._suffix).encode(), digest_size=10).hexdigest(),
                account=self._account or "alerts", target=host,
                endpoint=targets[host].endpoints[0], method=RoundMethod.TRACE, wanted=incident.vantages[:TRACED_FROM],
                created_at=now, deadline=now + TRACE_DEADLINE_NS,
            )  # fmt: skip
            made[incident.id] = (request,)
        return made

    def _store(
        self,
        turns: Sequence[Turn],
        requests: Mapping[str, tuple[MeasurementRequest, ...]],
        now: Instant,
        *,
        ordered: bool,
    ) -> AlertStep | None:
        incidents = {each.id: each for turn in turns for each in turn.incidents}
        traces = {one: tuple(request.id for request in made) for one, made in requests.items()}
        for one, ids in traces.items():
            attached = self._evaluator.attach(one, ids)
            incidents[one] = attached or msgspec.structs.replace(incidents[one], traces=ids)
        incidents = {one: self._owned(each) for one, each in incidents.items()}
        notices = [self._addressed(each) for turn in turns for each in turn.notices]
        if not incidents and not notices and not ordered and now - self._kept_at < KEEP_NS:
            return None
        self._kept_at = now
        deliveries = [
            d
            for each in notices
            for d in deliveries_of(each, traces.get(each.incident.id.removesuffix(self._suffix), ()), now)
        ]
        memory = self._evaluator.parts()
        state = {
            **{_named(part, self._suffix): packed for part, packed in memory.items()},
            _PLACE + self._suffix: msgspec.msgpack.encode(self._place),
        }
        return AlertStep(incidents=tuple(incidents.values()), deliveries=tuple(deliveries), state=state)

    def _owned(self, incident: Incident) -> Incident:
        """The incident as it is stored: of an account, under a name that no other account's has."""
        if self._account is None:
            return incident
        return msgspec.structs.replace(incident, id=incident.id + self._suffix, account=self._account)

    def _addressed(self, notice: Notice) -> Notice:
        channels = tuple(name + self._suffix for name in notice.channels)
        return msgspec.structs.replace(notice, incident=self._owned(notice.incident), channels=channels)


def _named(part: str, suffix: str) -> str:
    """The row of a part of the evaluator's memory: a series has one of its own, so that no row grows with the fleet."""
    return f"{_EVALUATOR}{suffix} {part}" if part else _EVALUATOR + suffix


def _parts(stored: Mapping[str, bytes], suffix: str) -> dict[str, bytes]:
    """The parts of one owner's memory, as last stored."""
    whole = _EVALUATOR + suffix
    found = {
        name.removeprefix(whole + " "): packed
        for name, packed in stored.items()
        if name.startswith(whole + " ")
    }
    return {"": stored[whole], **found} if whole in stored else {}


def deliveries_of(notice: Notice, traces: tuple[str, ...], now: Instant, detail: str = "") -> list[Delivery]:
    """A notice for each of its channels; ids follow from what is told, so the same notice is the same delivery for ever."""
    if traces:
        incident = msgspec.structs.replace(notice.incident, traces=traces)
        notice = msgspec.structs.replace(notice, incident=incident)
    body = notice_document(notice, detail)
    return [
        Delivery(
            id="msg_" + blake2b(f"{notice.incident.id} {notice.number} {notice.kind} {name}".encode(), digest_size=10).hexdigest(),
            channel=name, incident=notice.incident.id, kind=notice.kind, created_at=now, body=body, next_at=now,
        )
        for name in notice.channels
    ]  # fmt: skip


def log_place(reader: StoreReader) -> int | None:
    """Up to which number of the live log the hub's own rules have seen, as last stored; None when they never ran."""
    place = reader.alert_state().get(_PLACE)
    return None if place is None else msgspec.msgpack.decode(place, type=_Place).seq


# -- facts
def known_facts(reader: StoreReader, now: Instant, account: str | None = None) -> list[Known]:
    """What the targets are, those an account may see when one is named; the AS is the last one of a route that holds now, where routes know any."""
    asn = {
        route.series.target: route.as_path[-1]
        for route in reader.routes(Choice(), Window(now, now + 1))
        if route.as_path
    }
    idle = {Lifecycle.RETIRED, Lifecycle.RENAMED}
    return [
        Known(
            target=target.host,
            category=target.category,
            asn=asn.get(target.host),
            watched=target.lifecycle not in idle,
        )
        for target in reader.targets()
        if account is None or target.account in {None, account}
    ]


def heard_facts(reader: StoreReader) -> list[Heard]:
    """When each vantage was heard of; one with no active node is not waited for, nor are other people's."""
    found: dict[str, Heard] = {}
    for node in (row.vantage for row in reader.nodes() if not row.vantage.third_party):
        serving = node.state is VantageState.ACTIVE
        if serving or node.code not in found:
            found[node.code] = Heard(
                vantage=node.code, at=node.last_seen or node.enrolled_at, serving=serving,
                load=load_values(node.load),
            )  # fmt: skip
    return list(found.values())


def fact_of(event: Live, intervals: Mapping[Series, float]) -> Fact | None:
    """A line of the live log as a fact; None when rules have no use for it. On-demand rounds prove nothing here."""
    if event.kind not in {LiveKind.ROUND, LiveKind.SIGNAL, LiveKind.ROUTE_CHANGE}:
        return None
    body = cast("dict[str, Any]", msgspec.json.decode(event.body))
    if event.kind is not LiveKind.ROUND:
        return event_fact(body, event.target, event.vantage)
    if body.get("request") is not None or "outcome" not in body:
        return None
    if third_party(body["region"]):
        return None
    series = Series(body["region"], body["host"], body["endpoint"], RoundMethod(body["method"]))
    rtt_ms = body["rtt_ms"]
    return RoundSeen(
        series=series, due=_instant(body["due"]), interval_ns=round(intervals.get(series, 60.0) * NS_PER_S),
        outcome=Outcome(body["outcome"]), rtt_ns=None if rtt_ms is None else round(rtt_ms * 1e6),
        sent=body["sent"], received=body["received"],
    )  # fmt: skip


def round_fact(stored: Round, interval_s: float) -> RoundSeen:
    """A stored round as a fact."""
    return RoundSeen(
        series=stored.series, due=stored.due, interval_ns=round(interval_s * NS_PER_S), outcome=stored.outcome,
        rtt_ns=stored.rtt_ns, sent=stored.sent, received=stored.received,
    )  # fmt: skip


def event_fact(body: Mapping[str, Any], target: str | None, vantage: str | None) -> EventSeen:
    """A signal's or route change's public document as a fact."""
    legs = [(leg["a"], leg["b"]) for leg in body.get("legs", ())]
    tier = str(body.get("tier", "confirmed"))
    over = tier in {"transient", "ended"} or body.get("returns_to") is not None or bool(body.get("reverted"))
    return EventSeen(
        id=str(body.get("id", "")), kind=str(body.get("kind", "")), target=target, vantage=vantage,
        method=body.get("method"), severity=Severity(body.get("severity", "info")),
        confidence=float(body.get("confidence") or 0.0), tier=tier, klass=str(body.get("class", "")),
        worse=body.get("direction") != Direction.DOWN, over=over, legs=tuple((a, b) for a, b in legs if a and b),
        pairs=tuple((str(pair[0]), str(pair[1])) for pair in body.get("affected", ())), subject=str(body.get("subject", "")),
    )  # fmt: skip


def _ordered(orders: Sequence[Order], suffix: str = "") -> list[Fact]:
    """The orders about incidents of one owner, which the evaluator knows without their suffix."""
    made: list[Fact] = []
    for order in orders:
        incident, separator, owner = order.subject.partition("~")
        if separator + owner != suffix:
            continue
        if order.action == "ack":
            made.append(Ordered(action="ack", incident=incident, actor=order.actor))
        elif order.action == "close":
            made.append(Ordered(action="close", incident=incident, actor=order.actor))
    return made


def _instant(text: str) -> Instant:
    """An instant of a public document: RFC 3339 with microseconds."""
    made = datetime.fromisoformat(text)
    return int(made.timestamp()) * NS_PER_S + made.microsecond * 1000


# -- preview
def preview(reader: StoreReader, book: RuleBook, window: Window) -> list[Incident]:
    """The incidents these rules would have opened over what is stored, oldest first, each as it ended or still is.

    Rounds count as if each had been stored within a minute; gaps of our own are gaps here too. A node that was silent is
    not seen, because signs of life are not history.
    """
    evaluator = Evaluator(book)
    intervals = {each.round.series: each.interval_s for each in reader.latest()}
    found: dict[str, Incident] = {}
    pending = list(reversed(_events(reader, window)))
    evaluator.feed(window.start, known_facts(reader, window.end))
    for minute, rounds in groupby(_rounds(reader, window), key=lambda each: each.due // (60 * NS_PER_S)):
        now = (minute + 1) * 60 * NS_PER_S
        facts: list[Fact] = [
            round_fact(each, intervals.get(each.series, 60.0)) for each in rounds if each.request is None
        ]
        while pending and pending[-1].detected_at <= now:
            event = pending.pop()
            facts.append(event_fact(msgspec.json.decode(event.body), event.target, event.vantage))
        found.update({each.id: each for each in evaluator.feed(now, facts).incidents})
    return sorted(found.values(), key=lambda each: (each.opened_at, each.id))


def _rounds(reader: StoreReader, window: Window) -> Iterable[Round]:
    after: tuple[Instant, Series] | None = None
    while page := reader.rounds(Choice(), window, limit=5000, after=after):
        yield from page
        after = (page[-1].due, page[-1].series)


def _events(reader: StoreReader, window: Window) -> list[Event]:
    """Oldest first."""
    found: list[Event] = []
    before: tuple[Instant, str] | None = None
    while page := reader.events(window, limit=_PAGE, before=before):
        found += page
        before = (page[-1].detected_at, page[-1].id)
    return found[::-1]
