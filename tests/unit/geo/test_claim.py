"""Claims in the words people write them, judged against light."""

import csv
from pathlib import Path

import pytest

from nettrace.analysis.geo.claim import Verdict, claim_document, judge, parse_claim
from nettrace.errors import Invalid
from nettrace.outside.places import find

PAIRS = Path(__file__).parents[2] / "data/cloud_pairs_2022.csv"


@pytest.mark.parametrize(
    ("text", "origin", "destination", "low_ms", "high_ms"),
    [
        ("EWR -> SIN 40ms", "EWR", "SIN", 40, 40),
        ("sin->nrt 10 ms", "sin", "nrt", 10, 10),
        ("Tokyo → London < 150ms", "Tokyo", "London", 0, 150),
        ("35.6,139.7 -> 1.35,103.8 35ms", "35.6,139.7", "1.35,103.8", 35, 35),
        ("-33.9,151.2->1.35,103.8 35ms", "-33.9,151.2", "1.35,103.8", 35, 35),
        ("EWR to SIN 40-80 ms", "EWR", "SIN", 40, 80),
        ("EWR to SIN 40 to 80 ms", "EWR", "SIN", 40, 80),
        ("from New York to London in about 0.1 s", "New York", "London", 100, 100),
        ("aws:us-east-1 -> aws:eu-west-1 - 60ms", "aws:us-east-1", "aws:eu-west-1", 60, 60),
        ("60 ms aws:us-east-1 → gcp:asia-east1", "aws:us-east-1", "gcp:asia-east1", 60, 60),
        ("EWR-SIN 40ms", "EWR", "SIN", 40, 40),
        ("EWR <-> SIN: ~250us", "EWR", "SIN", 0.25, 0.25),
        ("New York, NY => São Paulo = 110 ms RTT", "New York, NY", "São Paulo", 110, 110),
        ("Paris -> Lyon 4,5 ms", "Paris", "Lyon", 4.5, 4.5),
        ("a -> b 900us - 2ms", "a", "b", 0.9, 2),
        ("EWR > SIN > 40 ms", "EWR", "SIN", 40, None),
    ],
)
def test_the_ways_people_write_claims(
    text: str, origin: str, destination: str, low_ms: float, high_ms: float | None
) -> None:
    claim = parse_claim(text)
    assert (claim.origin, claim.destination) == (origin, destination)
    assert claim.low_ns == round(low_ms * 1e6)
    assert claim.high_ns == (None if high_ms is None else round(high_ms * 1e6))
    assert not claim.one_way


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hello",
        "EWR -> SIN",
        "EWR -> SIN 40",
        "EWR 40 ms",
        "a -> b -> c 5 ms",
        "a -> b 5ms 6ms",
        "a -> b 9-3 ms",
    ],
)
def test_what_is_no_claim_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(Invalid):
        parse_claim(text)


def test_a_number_no_latency_can_have_is_refused_not_overflowed() -> None:
    with pytest.raises(Invalid, match="longer than a day"):
        parse_claim(f"a -> b {'9' * 400} ms")


@pytest.mark.parametrize(
    ("text", "floor_ms", "fibre_ms"),
    [
        ("EWR -> SIN 40-80 ms", 102.3, 150.1),
        ("CDMX -> SIN 29.8 ms", 110.8, 162.7),
        ("Singapore -> Tokyo 10-15 ms", 35.5, 52.1),
        ("SIN -> NRT 10 ms", 35.5, 52.1),
        ("SIN -> HKG 5-15 ms", 17.3, 25.3),
        ("LHR -> TYO 25-35 ms", 63.8, 93.6),
    ],
)
def test_numbers_that_were_published_and_cannot_be(text: str, floor_ms: float, fibre_ms: float) -> None:
    made = claim_document(judge(parse_claim(text), find))
    assert made["schema"] == "nettrace.claim/1"
    assert made["verdict"] == "impossible"
    assert made["floor_ms"] == pytest.approx(floor_ms, abs=0.05)
    assert made["fibre_ms"] == pytest.approx(fibre_ms, abs=0.05)


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        ("SIN -> NRT 52.0 ms", Verdict.IMPLAUSIBLE),
        ("SIN -> NRT 52.1 ms", Verdict.POSSIBLE),
        ("SIN -> NRT 35.4 ms", Verdict.IMPOSSIBLE),
        ("SIN -> NRT 35.5 ms", Verdict.IMPLAUSIBLE),
        ("SIN -> NRT 10-60 ms", Verdict.POSSIBLE),  # the slow end is
        ("SIN -> NRT > 10 ms", Verdict.POSSIBLE),
        ("SIN -> NRT 18 ms one-way", Verdict.IMPLAUSIBLE),
        ("SIN -> NRT 17 ms one way", Verdict.IMPOSSIBLE),
        ("NRT -> HND 0.01 ms", Verdict.POSSIBLE),  # one city
        ("SIN -> SIN 0 ms", Verdict.POSSIBLE),
        ("SIN -> api.example.com 10 ms", Verdict.UNKNOWN_PLACE),
        ("Nowhere -> SIN 10 ms", Verdict.UNKNOWN_PLACE),
    ],
)
def test_verdicts(text: str, verdict: Verdict) -> None:
    assert judge(parse_claim(text), find).verdict is verdict


def test_a_one_way_claim_is_shown_half_the_floors() -> None:
    there = claim_document(judge(parse_claim("SIN -> NRT 20 ms one-way"), find))
    both = claim_document(judge(parse_claim("SIN -> NRT 20 ms"), find))
    assert there["direction"] == "one_way"
    assert there["floor_ms"] == pytest.approx(both["floor_ms"] / 2, abs=0.001)


def test_an_unknown_place_has_no_figures() -> None:
    made = claim_document(judge(parse_claim("SIN -> Atlantis 10 ms"), find))
    assert (made["floor_ms"], made["fibre_ms"], made["distance_km"]) == (None, None, None)
    assert made["to"] == {"asked": "Atlantis", "name": None, "country": None, "lat": None, "lon": None}


def test_no_true_measurement_between_cloud_regions_is_called_impossible() -> None:
    rows = [line for line in PAIRS.read_text().splitlines() if not line.startswith("#")]
    verdicts = {
        (row["from"], row["to"]): judge(
            parse_claim(f"{row['from']} -> {row['to']} {row['rtt_ms']} ms"), find
        ).verdict
        for row in csv.DictReader(rows)
    }
    assert len(verdicts) > 200
    assert {pair: verdict for pair, verdict in verdicts.items() if verdict is not Verdict.POSSIBLE} == {}
