# ruff: noqa: S101 - asserting is what it is for
"""What a store must do to be one: run each of `CHECKS` on fresh engines, and `story` on anything hypothesis invents.

An engine is given by how its writer and its readers are opened; every check begins with an empty store.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Protocol

import msgspec

from nettrace.model.instant import NS_PER_S, Instant
from nettrace.model.measurement import Method, Outcome, Ping
from nettrace.model.target import Endpoint, Lifecycle, Role, RoundMethod, Series, Target
from nettrace.model.vantage import Clock, Vantage, VantageState
from nettrace.store.port import (
    Choice,
    Conclusion,
    EnrolToken,
    StoreReader,
    StoreWriter,
)
from nettrace.store.rows import (
    Event,
    LiveKind,
    RouteState,
)
from nettrace.testing.conformance.agreement import ALL, agree, agree_as_of
from nettrace.testing.conformance.made import (
    HOUR,
    START,
    VANTAGES,
    Renew,
    Reopen,
    Send,
    Story,
    Wait,
    report,
)
from nettrace.testing.conformance.oracle import Oracle
from nettrace.wire.frames import Gap, Record


class Engine(Protocol):
    """One store of the kind that is checked."""

    def writer(self) -> StoreWriter:
        """Open it for writing; made when there is none."""
        ...

    def reader(self) -> StoreReader:
        """Open it for reading."""
        ...


def enrol_all(writer: StoreWriter) -> None:
    """Let in the nodes of `made.VANTAGES`; the later of a region's is its heir, made active beside the first."""
    for number, (node, code) in enumerate(VANTAGES.items()):
        token = EnrolToken(
            id=f"tok_{number}", hash=bytes([number]), region=code, created_at=0, expires_at=START
        )
        writer.put_token(token)
        assert writer.enrol(token.hash, Vantage(code=code, node=node), b"key", START - 1) is not None


def story(engine: Engine, told: Story) -> None:
    """Whatever nodes send in whatever order, the store answers as an oracle that searches lists does."""
    oracle = Oracle(VANTAGES)
    writer = engine.writer()
    enrol_all(writer)
    epochs = dict.fromkeys(VANTAGES, 1)
    now = START + 40 * HOUR
    times: list[Instant] = []
    try:
        for step in told.steps:
            now += 1_234_567
            match step:
                case Send(node=node, first=first, count=count):
                    sent = report(node, epochs[node], told.entries[node][first : first + count])
                    accepted = writer.accept(sent, now)
                    upto, new = oracle.accept(sent, now)
                    assert (accepted.upto_seq, list(accepted.new)) == (upto, new)
                    times.append(now)
                case Renew(node=node):
                    epochs[node] += 1
                case Wait(hours=hours):
                    now += hours * HOUR
                    for _ in range(10_000):
                        if not writer.maintain(now):
                            break
                case Reopen():
                    writer.close()
                    writer = engine.writer()
        reader = engine.reader()
        try:
            agree(reader, oracle)
            for moment in times[:: max(1, len(times) // 3)]:
                agree_as_of(reader, oracle, moment)
        finally:
            reader.close()
        assert writer.check() == []
    finally:
        writer.close()


def check_tokens_and_nodes(engine: Engine) -> None:
    """A token lets one machine in, once and in time; a region's heir revokes the one before."""
    writer = engine.writer()
    token = EnrolToken(id="tok_1", hash=b"h", region="ams", created_at=1, expires_at=100)
    writer.put_token(token)
    first = Vantage(code="ams", node="n1", city="Amsterdam")
    assert writer.enrol(b"wrong", first, b"k1", 50) is None
    assert writer.enrol(b"h", Vantage(code="nyc", node="n1"), b"k1", 50) is None
    assert writer.enrol(b"h", first, b"k1", 100) is None
    made = writer.enrol(b"h", first, b"k1", 99)
    assert made == msgspec.structs.replace(first, enrolled_at=99)
    assert writer.enrol(b"h", Vantage(code="ams", node="n2"), b"k2", 99) is None
    writer.put_token(msgspec.structs.replace(token, id="tok_2", hash=b"i"))
    assert writer.enrol(b"i", Vantage(code="ams", node="n2"), b"k2", 99) is not None
    clock = Clock(offset_ns=5, error_ns=2)
    heard = msgspec.structs.replace(
        report("n2", 1, ()), version="1.0", methods={"icmp": "raw"}, problems=("p",)
    )
    writer.heard("n2", 120, heard, clock)
    writer.set_state("n2", VantageState.DRAINED, 130)
    reader = engine.reader()
    old, new = reader.nodes()
    assert (old.vantage.state, old.key) == (VantageState.REVOKED, b"k1")
    assert (new.vantage.state, new.key) == (VantageState.DRAINED, b"k2")
    assert (new.vantage.last_seen, new.vantage.version, new.vantage.clock) == (120, "1.0", clock)
    assert (new.vantage.methods, new.vantage.problems) == ({"icmp": "raw"}, ("p",))
    reader.close()
    writer.close()


def check_targets(engine: Engine) -> None:
    """Targets are replaced by host and retired, never forgotten; every change grows the version."""
    writer, endpoint = engine.writer(), Endpoint(name="rest", host="a.example", role=Role.API)
    reader = engine.reader()
    versions = [reader.targets_version()]
    target = Target(host="a.example", name="A", category="x", endpoints=(endpoint,), account="acct")
    versions.append(writer.put_targets([target], 1))
    renamed = msgspec.structs.replace(target, name="B")
    versions.append(writer.put_targets([renamed], 2))
    assert reader.targets() == [renamed]
    versions.append(writer.drop_target("a.example", 3))
    assert reader.targets() == [msgspec.structs.replace(renamed, lifecycle=Lifecycle.RETIRED)]
    writer.put_setting("tiers", b"{}", 4)
    versions.append(reader.targets_version())
    assert versions == sorted(set(versions))
    assert reader.settings() == {"tiers": b"{}"}
    told = [each for each in reader.live(0).events if each.kind is LiveKind.TARGET]
    assert [(each.target, each.account) for each in told] == [("a.example", "acct")] * 3
    reader.close()
    writer.close()


def check_events_and_routes(engine: Engine) -> None:
    """What a watcher concludes is stored with the records it saw, each of them once, and published in order."""
    writer = engine.writer()
    enrol_all(writer)
    reader = engine.reader()
    series = Series("ams", "a.example", "rest", RoundMethod.TCP)
    watcher = _Watcher(series)
    spoken = _records(3)
    for sent in (spoken[:2], spoken[:2], spoken):
        writer.accept(report("node-a", 1, sent), START + HOUR, watcher)
    assert watcher.seen == list(spoken)
    events = reader.events(ALL)
    assert [each.id for each in events] == ["sig_3", "sig_2", "sig_1"]
    assert {each.series for each in events} == {series}
    assert (reader.event("sig_2"), reader.event("sig_9")) == (events[1], None)
    assert [each.id for each in reader.events(ALL, limit=1, before=(events[0].detected_at, "sig_3"))] == [
        "sig_2"
    ]
    assert reader.events(ALL, kinds=["loss"]) == []
    assert reader.events(ALL, choice=Choice(vantages=("nyc",))) == []
    assert reader.events(ALL, as_of=START + HOUR - 1) == []
    held = reader.routes(Choice(), ALL)
    assert [(each.route, each.until) for each in held] == [
        ("rt_1", spoken[1].due), ("rt_2", spoken[2].due), ("rt_3", None),
    ]  # fmt: skip
    assert held[0].hops == ("192.0.2.9", None)
    assert [each.route for each in reader.rounds(Choice(), ALL, limit=9)] == ["rt_1", "rt_2", "rt_3"]
    assert reader.detector_state() == reader.detector_state("cu") == {"cusum": b"3"}
    assert reader.detector_state("d") == reader.detector_state("cusum 2") == {}
    kinds = [each.kind for each in reader.live(0).events if each.kind is not LiveKind.VANTAGE]
    assert kinds.count(LiveKind.SIGNAL) == 3
    assert kinds.count(LiveKind.ROUND) == 3
    again = msgspec.structs.replace(events[0], body=b"other")
    writer.publish([again, msgspec.structs.replace(again, id="sig_4", body=b'{"a":1}')], START + HOUR)
    assert [each.body for each in reader.events(ALL)][:2] == [b'{"a":1}', b"{}"]
    assert reader.live(reader.head() - 1).events[0].body == b'{"a":1}'
    reader.close()
    writer.close()


def check_a_failed_watcher_changes_nothing(engine: Engine) -> None:
    """When the watcher breaks, nothing of the report is stored, and the same report is taken whole later."""
    writer = engine.writer()
    enrol_all(writer)
    reader = engine.reader()
    head = reader.head()
    sent = report("node-a", 1, _records(2))
    with suppress(ZeroDivisionError):
        writer.accept(sent, START + HOUR, _Broken())
        raise AssertionError("the watcher's failure was swallowed")
    assert reader.rounds(Choice(), ALL, limit=9) == []
    assert reader.head() == head
    assert writer.accept(sent, START + HOUR).new == sent.entries
    assert len(reader.rounds(Choice(), ALL, limit=9)) == 2
    reader.close()
    writer.close()


class _Broken:
    def conclude(self, node: Vantage, new: Sequence[Record | Gap], at: Instant) -> Conclusion:
        raise ZeroDivisionError


class _Watcher:
    def __init__(self, series: Series) -> None:
        self.seen: list[Record | Gap] = []
        self._series = series

    def conclude(self, node: Vantage, new: Sequence[Record | Gap], at: Instant) -> Conclusion:
        self.seen += new
        records = [each for each in new if isinstance(each, Record)]
        return Conclusion(
            events=tuple(
                Event(
                    id=f"sig_{each.seq}", kind="shift", at=each.due, detected_at=each.due, series=self._series
                )
                for each in records
            ),
            routes=tuple(
                RouteState(
                    series=self._series, route=f"rt_{each.seq}", hops=("192.0.2.9", None), since=each.due
                )
                for each in records
            ),
            route_of={each.seq: f"rt_{each.seq}" for each in records},
            detector_state={"cusum": str(len(self.seen)).encode()},
        )


def _records(count: int) -> tuple[Record, ...]:
    return tuple(
        Record(
            seq=number, target="a.example", endpoint="rest", method=RoundMethod.TCP, due=START + number * 60 * NS_PER_S,
            measurement=Ping(
                target="a.example", address="192.0.2.1", at=START, outcome=Outcome.FAILED, method=Method.TCP,
            ),
        )
        for number in range(1, count + 1)
    )  # fmt: skip


CHECKS: tuple[Callable[[Engine], None], ...] = (
    check_tokens_and_nodes,
    check_targets,
    check_events_and_routes,
    check_a_failed_watcher_changes_nothing,
)
"""Everything but `story`, which needs something to tell."""
