"""Other people's vantages in the store: enrolled by the ordinary door, watched by nobody, meant only where they are named."""

import functools
from typing import Any, cast

import msgspec
import pytest
from tests.unit.routes.paths import EAST, START, STEP, WEST, trace

from nettrace.errors import Conflict, Invalid
from nettrace.hub.alerting import heard_facts
from nettrace.hub.enrolment import valid_region
from nettrace.hub.latest import Newest
from nettrace.hub.link import HubWriter
from nettrace.hub.mesh import mesh_of
from nettrace.hub.open import open_reader, open_recorder, open_writer
from nettrace.hub.place import Data
from nettrace.hub.rank_watch import RankWatch
from nettrace.hub.third_party import Meant, keep, meant
from nettrace.hub.whereabouts import seen_by_hub
from nettrace.model.measurement import Method, Outcome, Ping, Sample, SampleState
from nettrace.model.remote import Errand, RemoteResult, ThirdPartyProbe
from nettrace.model.target import Endpoint, Role, RoundMethod, Target
from nettrace.model.vantage import VantageState
from nettrace.store.port import Choice
from nettrace.store.rows import Window

HOST, CODE, LATER = "api.example", "globalping:tokyo-jp-as16509", START + 100 * STEP
WINDOW = Window(START - STEP, LATER)
PROBE = ThirdPartyProbe(
    code=CODE, service="globalping", city="Tokyo", country="JP", latitude=35.7, longitude=139.7
)
ENDPOINTS = (
    Endpoint(
        name="site",
        host=HOST,
        role=Role.API,
        port=443,
        url=f"https://{HOST}/time",
        methods=(RoundMethod.TCP,),
    ),
)
TARGET = Target(host=HOST, name="Example", category="exchange", endpoints=ENDPOINTS)
SITE = Meant(HOST, "site", RoundMethod.ICMP)


class Here:
    """A recorder called as its link would call it."""

    def __init__(self, data: Data) -> None:
        self.recorder = open_recorder(data, lambda: LATER, lambda _: None)

    def __getattr__(self, name: str) -> Any:
        return functools.partial(self._run, name)

    def _run(self, name: str, *args: Any) -> Any:
        if name == "take":
            [answer] = self.recorder.take_all([(args[0], None)])
            if isinstance(answer, Exception):
                raise answer
            return answer
        return self.recorder.run(name, args)


@pytest.fixture
def data(tmp_path):
    place = Data(tmp_path)
    store = open_writer(place)
    store.put_targets([TARGET], START)
    store.close()
    return place


@pytest.fixture
def writer(data):
    here = Here(data)
    yield cast("HubWriter", here)
    here.recorder.close()


@pytest.fixture
def reader(data, writer):
    opened = open_reader(data)
    yield opened
    opened.close()


def pinged(at: int, rtt_ns: int = 2_000_000, address: str = "192.0.2.1") -> RemoteResult:
    sample = Sample(state=SampleState.ANSWERED, rtt_ns=rtt_ns)
    made = Ping(
        target=HOST, address=address, at=at, outcome=Outcome.MEASURED, method=Method.ICMP, samples=(sample,),
        resolved=(address,), vantage=CODE,
    )  # fmt: skip
    return RemoteResult(probe=PROBE, measurement=made)


NAMED = Choice(vantages=(CODE,))


def test_a_measurement_is_kept_once_whatever_is_repeated_and_two_probes_of_one_town_are_two_rounds(
    writer, reader
):
    for _ in range(2):
        assert keep(writer, SITE, [pinged(START), pinged(START, 3_000_000)], "globalping:1", LATER) == (CODE,)
    keep(writer, SITE, [pinged(START + STEP)], "globalping:2", LATER)
    assert [each.rtt_ns for each in reader.rounds(NAMED, WINDOW, limit=9)] == [
        2_000_000,
        3_000_000,
        2_000_000,
    ]
    [row] = reader.nodes()
    assert (row.vantage.third_party, row.vantage.city, row.vantage.node) == ("globalping", "Tokyo", CODE)


def test_whoever_does_not_name_it_does_not_get_it(writer, reader):
    keep(writer, SITE, [pinged(START)], "globalping:1", LATER)
    assert reader.series(Choice()) == [] and reader.series(Choice(targets=(HOST,))) == []
    assert list(reader.scan(Choice(), WINDOW)) == [] and reader.summary(Choice(), WINDOW) == []
    newest = Newest(LATER)
    newest.refresh(reader, LATER)
    assert not newest.snapshot.newest and not newest.snapshot.vantages
    assert set(newest.snapshot.third_parties) == {CODE} and len(newest.snapshot.lent[HOST]) == 1
    assert heard_facts(reader) == [], "nobody waits for a probe that was asked once"
    hour = range(60)
    watch = RankWatch(reader, lambda _: None)
    assert not [event for minute in hour for event in watch.look(LATER + minute * 60_000_000_000)]


def test_who_looked_is_known_wherever_the_look_is_shown_also_when_it_comes_while_the_hub_reads(
    writer, reader, monkeypatch
):
    keep(writer, SITE, [pinged(START)], "globalping:1", LATER)
    newest, latest, other = Newest(LATER), reader.latest, "globalping:osaka-jp-as2516"
    newest.refresh(reader, LATER)
    keep(writer, SITE, [pinged(START + STEP)], "globalping:2", LATER)

    def read(after):
        probe = msgspec.structs.replace(PROBE, code=other, city="Osaka")
        keep(writer, SITE, [msgspec.structs.replace(pinged(START), probe=probe)], "globalping:3", LATER)
        return latest(after)

    monkeypatch.setattr(reader, "latest", read)
    newest.refresh(reader, LATER)
    assert {series.vantage for series in newest.snapshot.lent[HOST]} == {CODE, other}
    assert set(newest.snapshot.third_parties) == {CODE, other}


def test_no_node_can_take_a_strangers_name():
    with pytest.raises(Invalid, match="cannot be a region's code"):
        valid_region(CODE)


def test_strangers_are_no_peers_of_the_mesh(writer, reader):
    keep(writer, SITE, [pinged(START)], "globalping:1", LATER)
    [row] = reader.nodes()
    own = msgspec.structs.replace(row, vantage=msgspec.structs.replace(row.vantage, code="nyc", node="n"))
    assert mesh_of(own, [own, row]) == ((), ())


def test_a_route_or_an_address_that_moved_before_a_strangers_eyes_is_no_event(writer, reader):
    for number, path in enumerate([WEST] * 6 + [EAST] * 6):
        made = trace(path, number)
        moved = RemoteResult(probe=PROBE, measurement=made)
        keep(writer, Meant(HOST, "site", RoundMethod.TRACE), [moved], f"globalping:{number}", LATER)
    keep(writer, SITE, [pinged(START)], "globalping:a", LATER)
    keep(writer, SITE, [pinged(START + STEP, address="192.0.2.9")], "globalping:b", LATER)
    assert len(reader.traces(NAMED, WINDOW, 100)) == 12
    assert reader.events(Window(0, 2**62)) == [] and reader.routes(NAMED, WINDOW) == []


def test_where_a_host_stands_may_be_told_by_them_by_name(writer, reader):
    keep(writer, SITE, [pinged(START)], "globalping:1", LATER)
    [seen] = seen_by_hub(reader, HOST, WINDOW)
    assert seen.origin.name == CODE and "third party" in seen.origin.evidence


def test_what_the_operator_revoked_stays_out_until_he_says_otherwise(writer, reader):
    keep(writer, SITE, [pinged(START)], "globalping:1", LATER)
    writer.set_state(CODE, VantageState.REVOKED, LATER)
    with pytest.raises(Conflict, match="revoked"):
        keep(writer, SITE, [pinged(START + STEP)], "globalping:2", LATER)
    writer.set_state(CODE, VantageState.ACTIVE, LATER)
    keep(writer, SITE, [pinged(START + STEP)], "globalping:2", LATER)
    assert len(reader.rounds(NAMED, WINDOW, limit=9)) == 2


@pytest.mark.parametrize(
    ("words", "method"),
    [
        ({"kind": "ping"}, RoundMethod.ICMP),
        ({"kind": "ping", "method": Method.TCP}, RoundMethod.TCP),
        ({"kind": "trace", "method": Method.UDP}, RoundMethod.TRACE),
        ({"kind": "http", "url": f"https://{HOST}/time"}, RoundMethod.HTTP),
        ({"kind": "ping", "method": Method.TCP, "port": 80}, None),
        ({"kind": "http", "url": f"https://{HOST}/"}, None),
        ({"kind": "ping", "target": "other.example"}, None),
    ],
)
def test_results_stand_only_under_the_very_endpoint_they_measured(words, method):
    errand = Errand(**{"target": HOST, "places": ("Tokyo",), **words})
    if method is None:
        with pytest.raises(Invalid, match="no target with an endpoint at"):
            meant([TARGET], errand)
    else:
        assert meant([TARGET], errand) == Meant(HOST, "site", method)
