"""Latency at the hours that count: only what was measured while the venue was open decides, and the rest is told beside it."""

from collections.abc import Iterator
from datetime import UTC, datetime, time
from pathlib import Path

import pytest
from tests.browser.world import enrol

from nettrace.analysis.alerts.calendar import is_open
from nettrace.analysis.alerts.rule import Session
from nettrace.errors import Invalid
from nettrace.hub.open import open_reader, open_writer
from nettrace.hub.place import Data
from nettrace.hub.placements import Sources, Wanted, full_document, ground_of, history
from nettrace.hub.trading_hours import longest_quiet, quiet_words, sessions, trading_session
from nettrace.model.instant import NS_PER_S
from nettrace.model.measurement import Grade, Method, Outcome, Ping, Sample, SampleState
from nettrace.model.target import Endpoint, Role, RoundMethod, Target
from nettrace.placement.document.brief import split
from nettrace.placement.document.seen import Measured
from nettrace.placement.registry.load import built_in
from nettrace.placement.request import parse_request
from nettrace.store.port import StoreReader
from nettrace.store.rows import Window
from nettrace.wire.frames import Record, Report

MONDAY = round(datetime(2026, 6, 8, tzinfo=UTC).timestamp()) * NS_PER_S
HOUR = 3600 * NS_PER_S
HOST = "tse.example"
REQUEST = """
venue = [{name = "tse", usd_per_ms_month = 1}, {name = "kraken-spot", usd_per_ms_month = 1}]
site = [{name = "lon", usd_month = 1}]
latency = [{venue = "kraken-spot", site = "lon", p50_ms = 2}]
[document]
venue = [{name = "tse", host = "tse.example"%s}]
"""


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[StoreReader]:
    """Ten minutes apart over two days: 9 ms while Tokyo trades, 5 ms else."""
    tokyo = trading_session("tse", built_in())
    assert tokyo is not None
    store = open_writer(Data(tmp_path / "hub"))
    store.put_targets(
        (
            Target(
                host=HOST,
                name=HOST,
                category="x",
                endpoints=(Endpoint(name="site", host=HOST, role=Role.WEB),),
            ),
        ),
        MONDAY,
    )
    enrol(store, "lon", "London, GB", MONDAY + 48 * HOUR, MONDAY)
    entries = tuple(_record(seq, MONDAY + seq * HOUR // 6, tokyo) for seq in range(1, 288))
    store.accept(Report(node="node-lon", epoch="e1", first_seq=1, entries=entries, sent_at=MONDAY + 48 * HOUR, version="1"), MONDAY + 48 * HOUR)  # fmt: skip
    store.close()
    made = open_reader(Data(tmp_path / "hub"))
    yield made
    made.close()


def _record(seq: int, at: int, tokyo: Session) -> Record:
    rtt = (9_000_000 if is_open(tokyo, at) else 5_000_000) + seq % 7
    sample = Sample(state=SampleState.ANSWERED, sent_at=at, rtt_ns=rtt, error_ns=10_000, grade=Grade.KERNEL)
    ping = Ping(target=HOST, address="198.18.0.1", at=at, outcome=Outcome.MEASURED, method=Method.TCP, port=443, samples=(sample,))  # fmt: skip
    return Record(seq=seq, target=HOST, endpoint="site", method=RoundMethod.TCP, due=at, measurement=ping)


def test_the_median_is_that_of_trading_hours_unless_all_are_wanted(reader: StoreReader) -> None:
    made = {}
    for hours in ("", ', hours = "all"'):
        own, brief = split(REQUEST % hours)
        made[hours] = history(reader, Window(MONDAY, MONDAY + 48 * HOUR), parse_request(own), brief)[
            "tse", "lon"
        ]
    trading, all_hours = made.values()
    assert trading.p50_ms == pytest.approx(9, abs=0.01)
    assert trading.low_ms is not None
    assert trading.p95_ms == pytest.approx(9, abs=0.01)
    assert (trading.hours, trading.n) == (
        "tse",
        sum(is_open(trading_session("tse", built_in()), MONDAY + seq * HOUR // 6) for seq in range(1, 288)),
    )  # type: ignore[arg-type]
    assert (trading.closed_p50_ms, trading.closed_p95_ms) == (
        pytest.approx(5, abs=0.01),
        pytest.approx(5, abs=0.01),
    )
    assert all_hours.p50_ms == pytest.approx(5, rel=0.01)
    assert (all_hours.hours, all_hours.n) == (None, 287)


def test_the_plan_says_by_which_hours_and_when_to_work_on_a_site(reader: StoreReader) -> None:
    def measure(request: object, brief: object) -> Measured:
        return Measured(pairs=history(reader, Window(MONDAY, MONDAY + 48 * HOUR), request, brief))  # type: ignore[arg-type]

    plan = full_document(ground_of(REQUEST % "", Sources(facts=built_in(), measure=measure), Wanted()))
    told = plan["assignments"][0]
    assert (told["evidence"], told["by"]) == ("measured", "rtt, while tse is open")
    assert told["p95_ms"] == pytest.approx(9, abs=0.01)
    assert "is the longest stretch outside all of their sessions, those that never close aside" in str(plan)


def test_the_quiet_stretch_is_outside_every_session() -> None:
    one = Session(zone="UTC", open=time(8), close=time(16))
    other = Session(zone="UTC", open=time(14), close=time(22))
    assert longest_quiet([one, other], MONDAY) == (
        MONDAY + (4 * 24 + 22) * HOUR,
        MONDAY + (7 * 24 + 8) * HOUR,
    )
    whole = Session(
        zone="UTC", open=time(0), close=time(0), days=("mon", "tue", "wed", "thu", "fri", "sat", "sun")
    )
    assert longest_quiet([whole], MONDAY) is None
    assert quiet_words(["kraken-spot"], built_in(), MONDAY) is None


def test_a_result_is_in_session_by_its_own_time() -> None:
    trades = sessions(built_in())
    tokyo = trades("tse")
    assert tokyo is not None
    assert tokyo.is_open("2026-06-08T01:00:30.123456789Z")  # Monday 10:00 in Tokyo
    assert not tokyo.is_open("2026-06-08T09:00:00Z")
    assert not tokyo.is_open("2026-06-07T01:00:00Z")  # Sunday
    assert trades("kraken-spot") is None
    assert trades("nobody-knows") is None
    for no_instant in ("yesterday", "2026-06-08T01:00:00"):
        with pytest.raises(Invalid, match="is no instant"):
            tokyo.is_open(no_instant)
