"""Claims audited: what cannot be is called so, and what is true never is."""

import csv
import gzip
import json
import os
from pathlib import Path

import pytest

from nettrace.analysis.geo.claim import Claim, Verdict, judge
from nettrace.analysis.geo.floor import vacuum_ns
from nettrace.analysis.geo.sphere import between_km, distance_km
from nettrace.errors import ConfigError
from nettrace.hub.claims import audit, audit_document
from nettrace.outside.places import find, regions
from nettrace.placement.registry.claims import ClaimKind, RegisteredClaim, built_in_claims, read_claims
from nettrace.placement.registry.load import built_in

CLAIMS = {claim.id: claim for claim in built_in_claims()}
PAIRS = Path(__file__).parents[2] / "data" / "cloud_pairs_2022.csv"

IMPOSSIBLE = {
    "plan-binance", "cdmx-coingecko", "binance-from-singapore", "bybit-from-singapore", "binance-from-london",
    "binance-from-new-jersey", "phase2-binance", "bybit-from-london", "worldwide-20", "worldwide-50",
    "alert-mexico-singapore", "alert-new-jersey-singapore", "dashboard-binance", "dashboard-bybit",
}  # fmt: skip
IMPLAUSIBLE = {"cdmx-binance", "lag-singapore", "alert-london-singapore", "chicago-cboe"}


def verdict(name: str) -> Verdict | None:
    return audit(CLAIMS[name], built_in(), find).verdict


def test_forty_claims_and_more_are_on_record_each_with_document_and_line() -> None:
    assert sum(claim.kind is ClaimKind.LATENCY for claim in CLAIMS.values()) >= 40
    assert all(claim.line > 0 and claim.quote and claim.document for claim in CLAIMS.values())


@pytest.mark.parametrize("name", sorted(IMPOSSIBLE))
def test_what_is_faster_than_light_is_flagged(name: str) -> None:
    assert verdict(name) is Verdict.IMPOSSIBLE


@pytest.mark.parametrize("name", sorted(IMPLAUSIBLE))
def test_what_only_microwave_could_do_is_flagged(name: str) -> None:
    assert verdict(name) is Verdict.IMPLAUSIBLE


def test_a_number_may_be_impossible_as_said_and_possible_where_the_venue_really_stands() -> None:
    made = audit(CLAIMS["bybit-from-singapore"], built_in(), find)
    assert [each.verdict for each in made.as_said] == [Verdict.IMPOSSIBLE]
    assert made.as_known is not None
    assert (made.as_known.verdict, made.agrees) == (Verdict.POSSIBLE, False)


def test_of_several_places_a_document_names_the_best_counts() -> None:
    claim = RegisteredClaim(
        id="x", kind=ClaimKind.LATENCY, quote="q", document="d", line=1, date="2026", origin="London",
        said=("Tokyo", "Dublin, IE"), low_ms=25, high_ms=35,
    )  # fmt: skip
    assert audit(claim, built_in(), find).verdict is Verdict.POSSIBLE


def test_a_number_that_holds_three_round_trips_is_judged_by_a_third() -> None:
    made = audit_document(audit(CLAIMS["cdmx-binance"], built_in(), find), None)
    assert (made["round_trips"], made["high_ms"], made["as_known"]["verdict"]) == (3, 236.8, "implausible")


def test_claims_of_location_are_held_against_the_registry() -> None:
    said = {
        name: audit_document(audit(claim, built_in(), find), None)["registry"]
        for name, claim in CLAIMS.items()
        if claim.kind is ClaimKind.LOCATION
    }
    assert said["stands-kraken"] == said["stands-bybit"] == said["stands-mexc"] == "contradicts"
    assert said["stands-coinbase"] == said["stands-tse"] == "agrees"
    assert said["stands-coingecko"] == "unknown"


def test_nothing_is_said_of_venues_nobody_can_place() -> None:
    assert verdict("cdmx-twelve-data") is Verdict.UNKNOWN_PLACE


def test_no_true_pair_of_a_measured_matrix_is_called_impossible() -> None:
    rows = list(csv.DictReader(line for line in PAIRS.read_text().splitlines() if not line.startswith("#")))
    assert len(rows) >= 200
    said = []
    for row in rows:
        time_ns = round(float(row["rtt_ms"]) * 1e6)
        claim = Claim(text="", origin=row["from"], destination=row["to"], low_ns=time_ns, high_ns=time_ns)
        said.append(judge(claim, find).verdict)
    assert set(said) == {Verdict.POSSIBLE}


@pytest.mark.parametrize(
    "text",
    ["[[claim", 'claim = [{id = "a"}]',
     'claim = [{id = "a", kind = "latency", quote = "q", document = "d", line = 1, date = "2026", said = ["London"]}]',
     'claim = [{id = "a", kind = "location", quote = "q", document = "d", line = 1, date = "2026", said = ["London"]}]'],
)  # fmt: skip
def test_what_is_no_claim_is_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        read_claims(text, "mine.toml")


def test_a_claim_of_a_venue_nobody_knows_is_refused() -> None:
    claim = RegisteredClaim(
        id="x",
        kind=ClaimKind.LOCATION,
        quote="q",
        document="d",
        line=1,
        date="2026",
        venue="nope",
        said=("London",),
    )
    with pytest.raises(ConfigError, match="'nope'"):
        audit(claim, built_in(), find)


WRONG_COORDINATES = {
    "Cromwell", "Maidstone", "Toledo", "Monticello", "St Louis", "Salem", "La Ceiba", "San Jose", "Halifax", "Portland",
    "Charlotte", "Fremont",
}  # fmt: skip
"""Of WonderNetwork's cities those whose coordinates are another city's of the same name, or whose machine stands elsewhere."""
WRONG_PAIRS = {("Gothenburg", "Riga"), ("Ktis", "Prague"), ("Paris", "Roubaix"), ("Auckland", "Wellington")}
"""Pairs of which one machine is not where it was said: 0.2 ms from Gothenburg to Riga."""


@pytest.fixture(scope="module")
def datasets() -> Path:
    folder = os.environ.get("NETTRACE_DATASETS")
    if not folder:
        pytest.skip("NETTRACE_DATASETS names no folder: data that may not be shipped was not tried")
    return Path(folder)


def test_of_forty_thousand_true_pairs_only_those_with_wrong_coordinates_are_impossible(
    datasets: Path,
) -> None:
    with (datasets / "geo" / "wondernetwork_cities.csv").open() as file:
        cities = {row["city"]: (float(row["Lat"]), float(row["Long"])) for row in csv.DictReader(file)}
    names = sorted(cities, key=len, reverse=True)
    with gzip.open(datasets / "latency" / "wondernetwork_2018.csv.gz", "rt") as file:
        rows = [row for row in csv.DictReader(file) if float(row["min_ms"] or 0) > 0]
    ends = {
        row["dst"]: next((name for name in names if row["dst"].startswith(f"{name} ")), "") for row in rows
    }
    judged, impossible = 0, set()
    for row in rows:
        one, other = row["src_city"], ends[row["dst"]]
        if one in cities and other in cities:
            judged += 1
            if float(row["min_ms"]) * 1e6 < vacuum_ns(distance_km(*cities[one], *cities[other])):
                impossible.add((one, other))
    assert judged > 40_000
    left = {pair for pair in impossible if not WRONG_COORDINATES & set(pair)}
    assert {tuple(sorted(pair)) for pair in left} == {tuple(sorted(pair)) for pair in WRONG_PAIRS}


def test_no_pair_of_amazons_regions_is_impossible(datasets: Path) -> None:
    places = regions("aws")
    table = json.loads((datasets / "latency" / "aws_cloudping_p50_1y.json").read_text())["data"]
    pairs = [
        (one, other) for one in table for other in table[one] if one != other and {one, other} <= set(places)
    ]
    assert len(pairs) > 900
    assert all(
        table[one][other] * 1e6 >= vacuum_ns(between_km(places[one], places[other])) for one, other in pairs
    )
