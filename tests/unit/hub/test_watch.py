"""Routes followed inside the storing transaction: once, whatever fails, is repeated or is started again in between."""

import pytest
from tests.unit.routes.paths import EAST, START, STEP, WEST, trace

from nettrace.errors import NetTraceError
from nettrace.hub.enrolment import token_hash
from nettrace.hub.open import open_reader, open_recorder, open_writer
from nettrace.hub.place import Data
from nettrace.model.target import RoundMethod, Series
from nettrace.model.vantage import Vantage
from nettrace.store.port import Choice, EnrolToken
from nettrace.store.rows import Window
from nettrace.wire.frames import Record, Report

WINDOW = Window(START, START + 1000 * STEP)
SERIES = Series("nyc", "api.example", "site", RoundMethod.TRACE)
TRACES = [WEST] * 6 + [EAST] * 6
"""Six traces one way, six the other."""


class Hub:
    """A recorder on a real store; `again` is a new life of it."""

    def __init__(self, folder) -> None:
        self.data = Data(folder)
        writer = open_writer(self.data)
        token = EnrolToken(id="t", hash=token_hash("t"), region="nyc", created_at=0, expires_at=2**62)
        writer.put_token(token)
        writer.enrol(token.hash, Vantage(code="nyc", node="n"), b"k" * 32, START)
        writer.close()
        self.said: list[str] = []
        self.recorder = self._open()

    def _open(self):
        return open_recorder(self.data, lambda: START + 100 * STEP, self.said.append)

    def again(self) -> None:
        self.recorder.close()
        self.recorder = self._open()

    def send(self, *numbers: int):
        entries = tuple(
            Record(
                seq=number + 1, target="api.example", endpoint="site", method=RoundMethod.TRACE,
                due=START + number * STEP, measurement=trace(TRACES[number], number),
            )
            for number in numbers
        )  # fmt: skip
        report = Report(node="n", epoch="e", first_seq=numbers[0] + 1, entries=entries, sent_at=START)
        return self.recorder.take_all([(report, None)])[0]

    def found(self):
        reader = open_reader(self.data)
        try:
            choice = Choice(targets=("api.example",))
            events = reader.events(WINDOW, kinds=("route_change",))
            return reader.routes(choice, WINDOW), events, reader.traces(choice, WINDOW, 100)
        finally:
            reader.close()


@pytest.fixture
def hub(tmp_path):
    hub = Hub(tmp_path / "d")
    yield hub
    hub.recorder.close()


def assert_told_once(hub) -> None:
    routes, events, traces = hub.found()
    west, east = routes
    assert (west.series, west.since, west.until) == (SERIES, START, START + 6 * STEP)
    assert (east.hops[2], east.until) == ("198.19.1.1", None)
    (event,) = events
    assert event.at == START + 6 * STEP
    assert (
        event.id.startswith("rc_") and west.route.encode() in event.body and east.route.encode() in event.body
    )
    assert {each.route for each in traces} == {None, west.route, east.route}
    assert hub.said == []


def test_a_change_of_route_is_stored_with_the_traces_that_prove_it(hub):
    for number in range(12):
        hub.send(number)
    assert_told_once(hub)


def test_a_restart_after_any_trace_changes_nothing(hub):
    for number in range(12):
        hub.send(number)
        hub.again()
    assert_told_once(hub)


def test_reports_that_come_twice_change_nothing(hub):
    for number in range(12):
        hub.send(*range(max(0, number - 3), number + 1))
        hub.send(*range(max(0, number - 3), number + 1))
    assert_told_once(hub)


def test_a_transaction_that_fails_leaves_nothing_in_the_watchers_memory(hub, monkeypatch):
    store = hub.recorder._store
    real = store.accept_all

    def failing(reports, at, watcher):
        watcher.conclude(Vantage(code="nyc", node="n"), reports[0].entries, at)
        raise NetTraceError("the disk is away")

    for number in range(12):
        monkeypatch.setattr(store, "accept_all", failing)
        assert isinstance(hub.send(number), NetTraceError)
        monkeypatch.setattr(store, "accept_all", real)
        hub.send(number)
    assert_told_once(hub)


def test_a_fault_of_the_watcher_stops_no_record(hub, monkeypatch):
    monkeypatch.setattr("nettrace.analysis.routes.tracker.RouteTracker.feed", lambda *_: 1 / 0)
    assert hub.send(0, 1, 2).upto_seq == 3
    assert len(hub.found()[2]) == 3
    assert "ZeroDivisionError" in hub.said[0]
