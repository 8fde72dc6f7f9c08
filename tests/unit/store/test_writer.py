"""What the embedded writer does beyond what every store must."""

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from nettrace.errors import NotFound
from nettrace.model.instant import NS_PER_S
from nettrace.model.measurement import Method, Outcome, Ping
from nettrace.model.target import Endpoint, Role, RoundMethod, Target
from nettrace.model.vantage import Vantage
from nettrace.store.embedded.reader import EmbeddedReader
from nettrace.store.embedded.writer import EmbeddedWriter
from nettrace.store.port import EnrolToken
from nettrace.store.rows import LiveKind, MeasurementRequest, Window
from nettrace.wire.frames import Gap, Record, Report

START = 1_790_035_200 * NS_PER_S
ALL = Window(0, 2**62)
REST = Endpoint(name="rest", host="a.example", role=Role.API)


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[EmbeddedWriter]:
    made = EmbeddedWriter(tmp_path)
    made.put_token(EnrolToken(id="tok", hash=b"h", region="ams", created_at=0, expires_at=START))
    made.enrol(b"h", Vantage(code="ams", node="n"), b"key", 1)
    yield made
    made.close()


@pytest.fixture
def reader(writer: EmbeddedWriter, tmp_path: Path) -> Iterator[EmbeddedReader]:
    with EmbeddedReader(tmp_path) as made:
        yield made


def record(
    seq: int, due_s: float, *resolved: str, request: str | None = None, method: RoundMethod = RoundMethod.TCP
) -> Record:
    due = START + int(due_s * NS_PER_S)
    ping = Ping(
        target="a.example", address=None, at=due, outcome=Outcome.FAILED, method=Method.TCP, resolved=resolved
    )
    return Record(
        seq=seq,
        target="a.example",
        endpoint="rest",
        method=method,
        due=due,
        measurement=ping,
        request=request,
    )


def report(*entries: Record | Gap, epoch: str = "e") -> Report:
    return Report(node="n", epoch=epoch, first_seq=entries[0].seq, entries=entries, sent_at=START)


def test_a_node_nobody_enrolled_is_not_listened_to(writer: EmbeddedWriter, reader: EmbeddedReader) -> None:
    stranger = msgspec.structs.replace(report(record(1, 0)), node="stranger")
    with pytest.raises(NotFound, match="stranger"):
        writer.accept_all([report(record(1, 0)), stranger], START)
    assert reader.latest() == []


def test_a_series_interval_is_what_its_rounds_show(writer: EmbeddedWriter, reader: EmbeddedReader) -> None:
    web = RoundMethod.HTTP
    for seq in range(1, 12):
        writer.accept(report(record(2 * seq - 1, 5 * seq), record(2 * seq, 900 * seq, method=web)), START)
        every = {each.round.series.method: each.interval_s for each in reader.latest()}
        assert every[web] == 900
        assert every[RoundMethod.TCP] in {60, 5}
    assert every[RoundMethod.TCP] == 5


def test_an_address_never_had_before_is_an_event_and_a_pool_that_turns_is_not(
    writer: EmbeddedWriter, reader: EmbeddedReader
) -> None:
    seen = [
        ("1.1.1.1", "1.1.1.2"),
        ("1.1.1.2", "1.1.1.1"),
        ("1.1.1.2",),
        (),
        ("1.1.1.2", "1.1.1.3"),
        ("9.9.9.9",),
    ]
    for number, resolved in enumerate(seen, 1):
        writer.accept(report(record(number, 60 * number, *resolved)), START)
    moved, added = reader.events(ALL, kinds=["address_change"])
    assert (added.severity, msgspec.json.decode(added.body)["added"]) == ("info", ["1.1.1.3"])
    assert (moved.severity, msgspec.json.decode(moved.body)["moved"]) == ("notice", True)
    assert moved.detected_at == START + 360 * NS_PER_S
    live = [each for each in reader.live(0).events if each.kind is LiveKind.SIGNAL]
    assert [each.body for each in live] == [added.body, moved.body]


def test_a_custom_targets_rounds_are_for_its_account_alone(
    writer: EmbeddedWriter, reader: EmbeddedReader
) -> None:
    target = Target(host="a.example", name="A", category="custom", endpoints=(REST,))
    writer.accept(report(record(1, 60)), START)
    writer.put_targets([msgspec.structs.replace(target, account="acct")], START)
    writer.accept(report(record(2, 120)), START)
    rounds = [each.account for each in reader.live(0).events if each.kind is LiveKind.ROUND]
    assert rounds == [None, "acct"]


def test_an_on_demand_round_is_for_who_asked_and_not_the_series_latest(
    writer: EmbeddedWriter, reader: EmbeddedReader
) -> None:
    asked = MeasurementRequest(
        id="req_1", account="acct", target="a.example", endpoint=REST, method=RoundMethod.TCP, wanted=("ams",)
    )
    writer.put_request(asked)
    writer.accept(
        report(record(1, 60), record(2, 90, request="req_1"), record(3, 95, request="req_?")), START
    )
    told = [(each.kind, each.account) for each in reader.live(0).events][-3:]
    assert told == [(LiveKind.ROUND, None), (LiveKind.MEASUREMENT, "acct"), (LiveKind.MEASUREMENT, "")]
    assert [each.round.due for each in reader.latest()] == [START + 60 * NS_PER_S]
    assert [each.due for each in reader.request_rounds("req_1")] == [START + 90 * NS_PER_S]
    assert reader.requests(account="acct") == [asked]
    assert reader.requests(account="other") == []


def test_a_gap_that_overlaps_what_is_known_counts_only_what_is_new(
    writer: EmbeddedWriter, reader: EmbeddedReader
) -> None:
    writer.accept(report(record(1, 0), record(2, 60)), START)
    gap = Gap(seq=1, last_seq=10, reason="spool_full", since=START, until=START + NS_PER_S)
    assert writer.accept(report(gap), START).upto_seq == 10
    assert [(each.seq, each.last_seq) for _, each in reader.gaps(ALL)] == [(3, 10)]
    assert reader.nodes()[0].vantage.lost_records == 8
    body = msgspec.json.decode(reader.live(reader.head() - 1).events[0].body)
    assert (body["region"], body["records"], body["reason"]) == ("ams", 8, "spool_full")


def test_a_gap_in_which_nothing_was_measured_loses_no_record_and_keeps_its_target(
    writer: EmbeddedWriter, reader: EmbeddedReader
) -> None:
    gap = Gap(seq=1, last_seq=1, reason="unassigned", since=START, until=START + NS_PER_S, target="sin.mesh")
    writer.accept(report(gap), START)
    assert [each.target for _, each in reader.gaps(ALL)] == ["sin.mesh"]
    assert reader.nodes()[0].vantage.lost_records == 0
    body = msgspec.json.decode(reader.live(reader.head() - 1).events[0].body)
    assert (body["records"], body["host"]) == (0, "sin.mesh")


def test_a_bodys_json_is_the_rounds_public_document(writer: EmbeddedWriter, reader: EmbeddedReader) -> None:
    writer.accept(report(record(1, 60)), START)
    event = reader.live(reader.head() - 1).events[0]
    shown = msgspec.json.decode(event.body)
    assert (shown["object"], shown["region"], shown["rtt_ms"], shown["outcome"]) == (
        "round",
        "ams",
        None,
        "failed",
    )
    found = reader.round(shown["id"])
    assert found is not None
    assert found.due == START + 60 * NS_PER_S


def test_the_live_log_keeps_a_day_at_most_and_its_numbers_go_on(
    writer: EmbeddedWriter, reader: EmbeddedReader, tmp_path: Path
) -> None:
    writer.accept(report(record(1, 0)), START)
    head = reader.head()
    while writer.maintain(START + 3600 * NS_PER_S):
        pass
    assert [each.kind for each in reader.live(0).events] == [LiveKind.ROUND]
    while writer.maintain(START + 25 * 3600 * NS_PER_S):
        pass
    assert (reader.live(0).events, reader.live(0).oldest, reader.head()) == ((), head + 1, head)
    writer.close()
    again = EmbeddedWriter(tmp_path)
    again.accept(report(record(2, 60)), START)
    assert reader.head() == head + 1
    again.close()
