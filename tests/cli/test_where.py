"""`nettrace where` and the measured side of `nettrace claim audit`, from a file and from a hub's store."""

import time
from pathlib import Path

import pytest
from tests.cli.program import nettrace

from nettrace.catalogue.load import built_in
from nettrace.model.instant import NS_PER_S
from nettrace.model.measurement import (
    Grade,
    HttpExchange,
    Method,
    Outcome,
    Ping,
    Sample,
    SampleState,
    Stage,
    Stages,
)
from nettrace.model.target import RoundMethod
from nettrace.model.vantage import Vantage
from nettrace.store.embedded.writer import EmbeddedWriter
from nettrace.store.port import EnrolToken
from nettrace.wire.frames import Record, Report

HOST = "api.binance.com"
TOKYO = b"""# least round trips
place,min_rtt_ms,first_byte_ms
Tokyo,1.9,4.1
aws:ap-northeast-3,9.6,11.5
Singapore,72.5,75
"Portland, OR",110,113
Frankfurt,231,
"""
SITES = {
    "nrt": (35.68, 139.7, 1.5, 3.0),
    "sin": (1.29, 103.85, 71.0, 73.0),
    "ewr": (40.79, -74.06, 165.0, 168.0),
}


def test_a_file_of_round_trips_locates_edge_and_origin() -> None:
    row = nettrace("where", HOST, "--rtt", "-", stdin=TOKYO).row
    assert (row["schema"], row["vantages"], row["relayed"]) == ("nettrace.where/1", 5, False)
    assert (row["edge"]["found"], row["edge"]["regions"][0]["name"]) == ("located", "Tokyo")
    assert (
        row["origin"]["regions"][0]["name"] == "Tokyo"
    )  # Osaka is still possible: a server may have thought
    assert row["origin"]["regions"][0]["residual_ms"] > 0
    assert row["venues"][0] == {
        "venue": "binance-spot", "place": {"name": "Tokyo", "country": "JP", "lat": pytest.approx(35.69, abs=0.01),
                                           "lon": pytest.approx(139.69, abs=0.01)},
        "allowed": True, "agrees": True,
    }  # fmt: skip


def test_an_edge_is_told_from_what_stands_behind_it() -> None:
    text = b"Tokyo,1.5,120\nSingapore,1.2,190\nLondon,0.9,75\nNew York,1.1,8\nChicago,1,24\nFrankfurt,1,86"
    row = nettrace("where", "www.example.com", "--rtt", "-", stdin=text).row
    assert (row["edge"]["found"], len(row["edge"]["sites"]), row["relayed"]) == ("anycast", 6, True)
    assert row["origin"]["found"] in {"located", "ambiguous"}
    assert "New York" in {near["name"] for near in row["origin"]["regions"]} | {"New York"}
    assert all(near["country"] in {"US", "CA"} for near in row["origin"]["regions"])
    told = nettrace("where", "www.example.com", "--rtt", "-", "-o", "table", stdin=text).out
    assert "anycast: no place is within reach of all 6 answers: at least 6 machines" in told


def test_too_little_is_answered_with_cannot_tell() -> None:
    row = nettrace("where", HOST, "--rtt", "-", stdin=b"London,240").row
    assert (row["edge"]["found"], row["edge"]["regions"], row["origin"]) == ("cannot_tell", [], None)
    assert row["venues"][0]["agrees"] is None


def test_headers_that_name_an_airport_are_held_against_light() -> None:
    row = nettrace("where", HOST, "--rtt", "-", "--header", "x-amz-cf-pop: NRT57-P1", "--header", "cf-ray: 8f1c2d-LHR", stdin=TOKYO).row  # fmt: skip
    assert [(hint["place"]["name"], hint["allowed"]) for hint in row["hints"]] == [
        ("Tokyo", True),
        ("London", False),
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [(b"", "nothing is known"), (b"Atlantis,3", "line 1: 'Atlantis' is no known place"), (b"Tokyo,x", "line 1: 'x' is no time"),
     (b"Tokyo", "line 1: write PLACE"), (b"Tokyo,-3", "line 1"), (b"Tokyo,,", "line 1: it has no time")],
)  # fmt: skip
def test_what_is_no_round_trip_is_refused(text: bytes, said: str) -> None:
    done = nettrace("where", HOST, "--rtt", "-", stdin=text)
    assert (done.code, done.out) == (2, "")
    assert said in done.err


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A hub to which three nodes have reported round trips and first bytes of the last hour."""
    folder = tmp_path_factory.mktemp("hub")
    writer, now = EmbeddedWriter(folder), time.time_ns()
    writer.put_targets([target for target in built_in() if target.host == HOST], now)
    for code, (latitude, longitude, rtt_ms, first_ms) in SITES.items():
        token = code.encode()
        writer.put_token(EnrolToken(id=code, hash=token, region=code, created_at=0, expires_at=2**62))
        vantage = Vantage(code=code, node=f"node_{code}", latitude=latitude, longitude=longitude)
        writer.enrol(token, vantage, token, now)
        due = now - 1800 * NS_PER_S
        sample = Sample(
            state=SampleState.ANSWERED, rtt_ns=round(rtt_ms * 1e6), error_ns=900, grade=Grade.KERNEL
        )
        ping = Ping(
            target=HOST, address="192.0.2.1", at=due, outcome=Outcome.MEASURED, method=Method.TCP, port=443, samples=(sample,)
        )  # fmt: skip
        http = HttpExchange(
            target=HOST, url=f"https://{HOST}/", address="192.0.2.1", at=due, outcome=Outcome.MEASURED, status=200,
            stages=Stages(ttfb=Stage(duration_ns=round(first_ms * 1e6), error_ns=900, grade=Grade.KERNEL)),
        )  # fmt: skip
        entries = (
            Record(seq=1, target=HOST, endpoint="rest", method=RoundMethod.TCP, due=due, measurement=ping),
            Record(seq=2, target=HOST, endpoint="rest", method=RoundMethod.HTTP, due=due, measurement=http),
        )
        writer.accept(Report(node=f"node_{code}", epoch="e", first_seq=1, entries=entries, sent_at=due), due)
    writer.close()
    return str(folder)


def test_a_hubs_minima_locate_a_host(data: str) -> None:
    row = nettrace("where", HOST, "--data", data).row
    assert (row["vantages"], row["edge"]["found"], row["edge"]["regions"][0]["name"]) == (
        3,
        "located",
        "Tokyo",
    )
    assert row["edge"]["nearest"]["rtt_ms"] == 1.5
    assert row["behind_ms"] == pytest.approx(1.5)
    assert nettrace("where", "unheard.example", "--data", data).code == 2


def test_claims_are_held_against_what_a_hub_measured(data: str) -> None:
    rows = {row["id"]: row for row in nettrace("claim", "audit", "--data", data).rows}
    said = rows["plan-binance"]["measured"]
    assert (said["verdict"], said["vantage"], said["p50_ms"]) == (
        "contradicted",
        "ewr",
        pytest.approx(165, rel=0.01),
    )
    assert rows["binance-from-singapore"]["measured"]["verdict"] == "contradicted"
    assert rows["binance-from-london"]["measured"]["verdict"] == "no_data"
    assert rows["lag-singapore"]["measured"] is None


def test_a_file_counts_though_the_environment_names_a_hub(tmp_path: Path) -> None:
    env = {"NETTRACE_DATA": str(tmp_path / "none")}
    assert nettrace("where", HOST, "--rtt", "-", stdin=TOKYO, env=env).row["vantages"] == 5
    assert nettrace("where", HOST, env=env).code == 1
