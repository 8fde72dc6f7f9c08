"""A node whose clock is far ahead freezes nothing: its rounds take the hub's time, and it is said."""

from pathlib import Path

from tests.unit.hub.reports import NOW, record, report

from nettrace.hub.enrolment import token_hash
from nettrace.hub.hub_time import SLACK_NS, in_hub_time
from nettrace.hub.open import open_reader, open_recorder, open_writer
from nettrace.hub.place import Data
from nettrace.model.instant import NS_PER_S
from nettrace.model.vantage import Clock, Vantage
from nettrace.store.port import EnrolToken

HOUR = 3600 * NS_PER_S
CLOCK = Clock(offset_ns=0, error_ns=NS_PER_S)


def test_what_is_within_the_bound_stays_as_the_node_said() -> None:
    near = report("n", record(1, due=NOW + SLACK_NS), record(2, due=NOW - HOUR))
    assert in_hub_time(near, CLOCK, NOW) is near


def test_rounds_of_the_future_keep_their_distances_and_end_now() -> None:
    entries = [record(1, due=NOW - 60), record(2, due=NOW + HOUR), record(3, due=NOW + HOUR + 5)]
    made = in_hub_time(report("n", *entries), CLOCK, NOW)
    assert [each.due for each in made.entries] == [NOW - 60, NOW - 5, NOW]
    assert made.entries[2].measurement.at == NOW
    assert "stamped up to 3600 s in the future" in made.problems[-1]


def test_the_newest_round_of_a_series_is_not_held_by_one_of_next_week(tmp_path: Path) -> None:
    data = Data(tmp_path)
    writer = open_writer(data)
    token = EnrolToken(id="t", hash=token_hash("t"), region="nyc", created_at=0, expires_at=2**62)
    writer.put_token(token)
    writer.enrol(token.hash, Vantage(code="nyc", node="n"), b"k" * 32, NOW)
    writer.close()
    now = NOW
    recorder = open_recorder(data, lambda: now, print)
    reader = open_reader(data)
    try:
        recorder.take_all([(report("n", record(1, due=NOW + 168 * HOUR)), CLOCK)])
        now += 60 * NS_PER_S
        recorder.take_all([(report("n", record(2, due=now)), CLOCK)])
        (latest,) = reader.latest()
        assert latest.round.due == now
        (node,) = reader.nodes()
        assert node.vantage.last_seen == NOW + 60 * NS_PER_S
    finally:
        reader.close()
        recorder.close()
