"""Signals concluded inside the storing transaction: the same as a replay of what is stored, whatever happens between."""

import random

import pytest

from nettrace.analysis.signals.catalogue import detector
from nettrace.hub.enrolment import token_hash
from nettrace.hub.open import open_reader, open_recorder, open_writer
from nettrace.hub.place import Data
from nettrace.hub.signal_watch import NAMES, observed
from nettrace.model.instant import NS_PER_MS, NS_PER_S
from nettrace.model.measurement import Clock, Grade, Method, Outcome, Ping, Reason, Sample, SampleState
from nettrace.model.target import RoundMethod
from nettrace.model.vantage import Vantage
from nettrace.store.port import Choice, EnrolToken
from nettrace.store.rows import Window
from nettrace.wire.frames import Record, Report

START = 1_795_000_000 * NS_PER_S
STEP = 60 * NS_PER_S
ROUNDS = 400
MOVED = 200
WINDOW = Window(0, START + 10_000 * STEP)
HOST = "api.example"


def rtt_ms(number: int, noise: random.Random) -> float | None:
    """A level that moves from 20 to 31 ms, and an outage near the end."""
    if 330 <= number < 350:
        return None
    return (20.0 if number < MOVED else 31.0) + noise.expovariate(2.0)


def ping(number: int, value: float | None, grade: Grade = Grade.KERNEL) -> Ping:
    at = START + number * STEP
    sample = (
        Sample(state=SampleState.LOST, sent_at=at)
        if value is None
        else Sample(
            state=SampleState.ANSWERED, sent_at=at, rtt_ns=round(value * NS_PER_MS), error_ns=900, grade=grade
        )
    )
    return Ping(
        target=HOST, address="198.18.0.1", at=at, method=Method.TCP, port=443, samples=(sample,), clock=Clock.KERNEL,
        outcome=Outcome.FAILED if value is None else Outcome.MEASURED, reason=Reason.TIMEOUT if value is None else None,
    )  # fmt: skip


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
        self.sent = 0
        self.recorder = self._open()

    def _open(self):
        return open_recorder(self.data, lambda: START + 1000 * STEP, self.said.append)

    def again(self) -> None:
        self.recorder.close()
        self.recorder = self._open()

    def send(self, pings: dict[int, Ping], request: str | None = None) -> None:
        entries = tuple(
            Record(
                seq=self.sent + place, target=HOST, endpoint="rest", method=RoundMethod.TCP, due=START + number * STEP,
                measurement=measured, request=request,
            )
            for place, (number, measured) in enumerate(pings.items(), 1)
        )  # fmt: skip
        report = Report(node="n", epoch="e", first_seq=self.sent + 1, entries=entries, sent_at=START)
        self.recorder.take_all([(report, None)])
        self.sent += len(entries)

    def signals(self) -> list[tuple[str, int, int]]:
        """What was concluded, in order: kind, when it happened, when it was proven."""
        reader = open_reader(self.data)
        try:
            found = reader.events(WINDOW, choice=Choice(targets=(HOST,)), limit=1000)
            return sorted(
                (event.kind, event.at, event.detected_at) for event in found if event.kind != "address_change"
            )
        finally:
            reader.close()

    def replayed(self) -> list[tuple[str, int, int]]:
        """What the same detectors say of what is stored."""
        reader = open_reader(self.data)
        try:
            rows = reader.rounds(Choice(targets=(HOST,)), WINDOW, limit=10_000)
        finally:
            reader.close()
        made = [detector(name) for name in NAMES]
        signals = []
        for row in rows:
            observation = observed(row.outcome, row.rtt_ns, row.grade, row.due)
            if observation is not None and row.request is None:
                signals += [signal for each in made for signal in each.feed(observation)]
        return sorted((signal.kind.value, signal.at, signal.detected_at) for signal in signals)


def everything() -> dict[int, Ping]:
    noise = random.Random(7)
    return {number: ping(number, rtt_ms(number, noise)) for number in range(ROUNDS)}


@pytest.fixture
def hub(tmp_path):
    made = Hub(tmp_path)
    yield made
    made.recorder.close()
    assert not made.said


def parts(pings: dict[int, Ping], size: int) -> list[dict[int, Ping]]:
    rows = list(pings.items())
    return [dict(rows[first : first + size]) for first in range(0, len(rows), size)]


def test_live_signals_are_those_of_a_replay_of_the_store(hub: Hub) -> None:
    for part in parts(everything(), 50):
        hub.send(part)
    live = hub.signals()
    assert live == hub.replayed()
    shifts = [at for kind, at, _ in live if kind == "shift"]
    assert any(abs(at - (START + MOVED * STEP)) <= 2 * STEP for at in shifts)
    assert "loss" in {kind for kind, _, _ in live}


def test_restarts_in_between_change_nothing(hub: Hub) -> None:
    for part in parts(everything(), 37):
        hub.send(part)
        hub.again()
    assert hub.signals() == hub.replayed()


def test_a_round_that_comes_late_is_stored_and_proves_nothing(hub: Hub) -> None:
    pings = everything()
    late = {number: pings.pop(number) for number in range(190, 230, 3)}
    for part in parts(pings, 60):
        hub.send(part)
    before = hub.signals()
    hub.send(late)
    assert hub.signals() == before
    hub.again()
    hub.send({ROUNDS + 1: ping(ROUNDS + 1, 31.2)})
    assert [each for each in hub.signals() if each[2] <= START + ROUNDS * STEP] == before


def test_times_taken_by_the_program_alone_and_on_demand_rounds_prove_nothing(hub: Hub) -> None:
    noise = random.Random(7)
    hub.send(
        {
            number: ping(number, rtt_ms(number, noise), Grade.USER)
            for number in range(ROUNDS)
            if not 330 <= number < 350
        }
    )
    assert hub.signals() == []
    hub.send(
        {number + 5000: ping(number, rtt_ms(number, noise)) for number in range(ROUNDS)}, request="req_1"
    )
    assert hub.signals() == []


def test_steady_series_are_quiet(hub: Hub) -> None:
    noise = random.Random(3)
    hub.send({number: ping(number, 20.0 + noise.expovariate(2.0)) for number in range(1000)})
    assert [kind for kind, _, _ in hub.signals() if kind in {"shift", "trend", "loss"}] == []
