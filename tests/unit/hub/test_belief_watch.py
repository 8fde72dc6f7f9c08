"""What is believed of a shift: what came since counts, and a replay says the same."""

import random
from collections.abc import Iterator

import msgspec
import pytest

from nettrace.hub.belief_watch import SHARE, replayed
from nettrace.hub.enrolment import token_hash
from nettrace.hub.open import open_reader, open_recorder, open_writer
from nettrace.hub.place import Data
from nettrace.model.instant import NS_PER_MS, NS_PER_S, Instant
from nettrace.model.measurement import Grade, Method, Outcome, Ping, Sample, SampleState
from nettrace.model.target import Endpoint, Role, RoundMethod, Target
from nettrace.model.vantage import Vantage
from nettrace.store.port import EnrolToken, StoreReader
from nettrace.store.rows import Event, Window
from nettrace.wire.frames import Record, Report

BEGIN: Instant = 1_772_409_600 * NS_PER_S
MINUTE: Instant = 60 * NS_PER_S
SERIES, ROUNDS, STEP_MINUTES, MOVED = 40, 110, 4, 80
STEPS_MS = (6.0, 6.0, 6.0, 6.0, 3.4)


def level_ms(number: int, place: int) -> float:
    return 40.0 + (STEPS_MS[number] if number < len(STEPS_MS) and place >= MOVED else 0.0)


def report(place: int, dice: random.Random) -> Report:
    now = BEGIN + place * STEP_MINUTES * MINUTE
    entries = []
    for number in range(SERIES):
        rtt_ns = int((level_ms(number, place) + dice.gauss(0, 1)) * NS_PER_MS)
        sample = Sample(state=SampleState.ANSWERED, sent_at=now, rtt_ns=rtt_ns, error_ns=10_000, grade=Grade.KERNEL)  # fmt: skip
        ping = Ping(
            target=f"t{number}.example", address="203.0.113.1", at=now, outcome=Outcome.MEASURED, method=Method.ICMP,
            port=0, samples=(sample,),
        )  # fmt: skip
        entries.append(
            Record(
                seq=place * SERIES + number + 1, target=ping.target, endpoint="site", method=RoundMethod.ICMP, due=now,
                measurement=ping,
            )
        )  # fmt: skip
    return Report(node="node_a", epoch="e", first_seq=place * SERIES + 1, entries=tuple(entries), sent_at=now)


def enrol(data: Data) -> None:
    writer = open_writer(data)
    token = EnrolToken(id="a", hash=token_hash("a"), region="a", created_at=0, expires_at=2**62)
    writer.put_token(token)
    writer.enrol(token.hash, Vantage(code="a", node="node_a", enrolled_at=BEGIN), b"k" * 32, BEGIN)
    site = Endpoint(name="site", host="t.example", role=Role.API, methods=(RoundMethod.ICMP,))
    hosts = [f"t{number}.example" for number in range(SERIES)]
    writer.put_targets(
        [
            Target(
                host=host,
                name=host,
                category="exchange",
                endpoints=(msgspec.structs.replace(site, host=host),),
            )
            for host in hosts
        ],
        BEGIN,
    )
    writer.close()


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StoreReader]:
    """Seven hours of forty series: five move by three to six deviations of their noise."""
    data, now, dice = Data(tmp_path_factory.mktemp("hub")), BEGIN, random.Random(1)
    enrol(data)
    said: list[str] = []
    recorder = open_recorder(data, lambda: now, said.append)
    reader = open_reader(data)
    for place in range(ROUNDS):
        now = BEGIN + place * STEP_MINUTES * MINUTE
        assert not isinstance(recorder.take_all([(report(place, dice), None)])[0], Exception)
    assert said == []
    yield reader
    reader.close()
    recorder.close()


def shifts(reader: StoreReader) -> tuple[list[tuple[Event, dict]], list[tuple[Event, dict]]]:
    """Those that were told, and what was said once more because it is believed; oldest first."""
    found = reader.events(Window(BEGIN, BEGIN + 10**18), kinds=("shift",), limit=1000)
    read = [
        (each, msgspec.json.decode(each.body)) for each in sorted(found, key=lambda e: (e.detected_at, e.id))
    ]
    return [one for one in read if not one[1]["updates"]], [one for one in read if "believed" in one[1]]


def test_what_is_believed_is_what_was_said_last_of_the_shift(lived: StoreReader) -> None:
    _, believed = shifts(lived)
    for each, body in believed:
        before = lived.events(
            Window(BEGIN, each.detected_at), kinds=("shift",), limit=1000, as_of=each.stored_at - 1
        )
        last = next(other for other in before if (other.series, other.at) == (each.series, each.at))
        assert body["tier"] == msgspec.json.decode(last.body)["tier"]
    assert "confirmed" in {body["tier"] for _, body in believed}


def test_a_step_that_proves_little_when_told_is_believed_by_what_came_since(lived: StoreReader) -> None:
    told, believed = shifts(lived)
    moving = {f"t{number}.example" for number in range(len(STEPS_MS))}
    assert {each.target for each, _ in told} == {each.target for each, _ in believed} == moving
    at = {each.id: each.stored_at for each, _ in told}
    for each, body in believed:
        mark = body["believed"]
        assert each.stored_at - at[body["of"]] <= 65 * MINUTE
        assert mark["q_value"] <= mark["share"] == SHARE
        assert SERIES * 1440 // STEP_MINUTES <= mark["tested"] <= SERIES * 4 * 96, (
            "however seldom a round is due"
        )
    assert any(body["believed"]["after_s"] >= 300 and body["believed"]["since"] > 4 for _, body in believed)


@pytest.mark.parametrize("late", [0, (MOVED + 6) * STEP_MINUTES * MINUTE])
def test_a_replay_of_all_or_of_the_end_says_the_same(lived: StoreReader, late: Instant) -> None:
    _, believed = shifts(lived)
    live = [each for each, _ in believed if each.stored_at >= BEGIN + late]
    again = replayed(lived, Window(BEGIN + late, BEGIN + 10**18))
    assert live and sorted(again, key=lambda each: (each.detected_at, each.id)) == live
