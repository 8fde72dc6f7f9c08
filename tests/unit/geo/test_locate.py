"""Which place the round trips favour, on real matrices, a world of known truth, and real anycast."""

import csv
import gzip
import json
import os
import random
from collections import defaultdict
from pathlib import Path

import pytest

from nettrace.analysis.geo.floor import fibre_ns
from nettrace.analysis.geo.locate import METRO_KM, Found, Region, Vantaged, locate, within
from nettrace.analysis.geo.sphere import between_km
from nettrace.errors import LabError
from nettrace.hub.whereabouts import Seen, whereabouts
from nettrace.lab.truth import Oracle
from nettrace.lab.worldfile import load
from nettrace.model.path import Place
from nettrace.outside.places import find, regions
from nettrace.placement.registry.load import built_in
from nettrace.placement.registry.places import sites_of

PAIRS = Path(__file__).parents[2] / "data" / "cloud_pairs_2022.csv"
ANSWERED = {Found.LOCATED, Found.AMBIGUOUS}
CANDIDATES = [site.place for site in sites_of(built_in(), find) if site.place is not None]


def right(region: Region, truth: Place) -> bool:
    """Whether the true place is in an area that is named."""
    return any(between_km(each.place, truth) <= METRO_KM for each in region.candidates)


def scored(cases: list[tuple[Place, list[Vantaged]]]) -> tuple[int, int]:
    """Of how many cases something was said, and in how many of those it was right."""
    found = [(locate(seen, CANDIDATES), truth) for truth, seen in cases if len(seen) >= 5]
    told = [(region, truth) for region, truth in found if region.found in ANSWERED]
    return len(told), sum(right(region, truth) for region, truth in told)


def identifiable(seen: list[Vantaged]) -> bool:
    """Whether anybody could tell: the circles of light in glass leave candidates of one area. It ranks nothing and knows no detours."""
    left = [
        each
        for each in CANDIDATES
        if all(fibre_ns(max(0.0, between_km(each, by.origin) - each.radius_km - by.origin.radius_km)) <= by.rtt_ns for by in seen)
    ]  # fmt: skip
    return bool(left) and all(between_km(left[0], each) <= METRO_KM for each in left)


def identified(cases: list[tuple[Place, list[Vantaged]]]) -> tuple[int, int]:
    """Of how many cases anybody could tell the place, and in how many of those it is named."""
    told = [
        (locate(seen, CANDIDATES), truth) for truth, seen in cases if len(seen) >= 5 and identifiable(seen)
    ]
    return len(told), sum(found.found in ANSWERED and right(found, truth) for found, truth in told)


def place(name: str) -> Place:
    found = find(name)
    assert found is not None
    return found


def test_an_answer_within_a_millisecond_names_the_city() -> None:
    region = locate([Vantaged(place("Tokyo"), 900_000), Vantaged(place("Singapore"), 72_000_000)], CANDIDATES)
    assert (region.found, region.candidates[0].place.name) == (Found.LOCATED, "Tokyo")


def test_answers_from_two_ends_of_the_world_at_once_are_anycast() -> None:
    cities = [place(name) for name in ("Tokyo", "London", "New York")]
    region = locate([Vantaged(city, 2_000_000) for city in cities], CANDIDATES)
    assert (region.found, len(region.sites), region.candidates) == (Found.ANYCAST, 3, ())


def test_circles_that_overlap_in_pairs_but_not_together_are_anycast_too() -> None:
    around = [
        (0.0, 0.0),
        (0.0, 20.0),
        (17.3, 10.0),
    ]  # a triangle with sides of 2,200 km, its middle 1,280 km from each
    seen = [
        Vantaged(
            Place(name="v", latitude=latitude, longitude=longitude, radius_km=0, evidence="given"), 8_000_000
        )
        for latitude, longitude in around
    ]
    assert locate(seen, CANDIDATES).found is Found.ANYCAST
    assert locate(seen[:2], CANDIDATES).found is not Found.ANYCAST


def test_one_slow_answer_says_nothing() -> None:
    region = locate([Vantaged(place("Tokyo"), 150_000_000)], CANDIDATES)
    assert (region.found, region.allowed > 100) == (Found.CANNOT_TELL, True)


def test_where_light_leaves_no_candidate_none_is_named() -> None:
    region = locate([Vantaged(place("Honolulu"), 1_000_000)], list(regions("hetzner").values()))
    assert (region.found, region.allowed) == (Found.CANNOT_TELL, 0)


def test_cloud_regions_are_found_from_the_other_regions() -> None:
    by: dict[str, list[Vantaged]] = defaultdict(list)
    for row in csv.DictReader(line for line in PAIRS.read_text().splitlines() if not line.startswith("#")):
        if row["from"] != row["to"]:
            by[row["to"]].append(Vantaged(place(row["from"]), round(float(row["rtt_ms"]) * 1e6)))
    cases = [(place(name), seen) for name, seen in by.items()]
    told, hits = scored(cases)
    assert told >= 25
    assert hits >= 0.95 * told
    assert identified(cases) == (6, 6)


def test_in_the_lab_edges_and_origins_are_told_apart_and_found() -> None:
    """From eight vantages: every anycast edge is recognised, nineteen of twenty answers about single places are right."""
    world = load("world")
    oracle, sites = Oracle(world), {site.code: site for site in world.site}

    def at(code: str) -> Place:
        site = sites[code]
        return Place(
            name=code, latitude=site.latitude, longitude=site.longitude, radius_km=20, evidence="given"
        )

    anycast, single, origins, could = [], [], [], []
    for target in world.target:
        seen, edges = [], set()
        for vantage in world.vantage:
            try:
                truth = oracle.pair(vantage.code, target.name)
            except LabError:
                continue
            if not truth["reaches"]:
                continue
            rtt = round(truth["rtt_ms"] * 1e6)
            wait = truth["first_byte_wait_ms"] or 0.0
            seen.append(Seen(at(vantage.site), rtt, rtt + round((wait + target.think_ms) * 1e6)))
            edges.add(truth["edge"])
        if not seen:
            continue
        made = whereabouts(target.name, seen, built_in(), find)
        assert made.edge is not None
        assert made.origin is not None
        if len(edges) > 1:
            anycast.append(made.edge.found)
        else:
            [edge] = edges
            named = made.edge.found in ANSWERED and right(made.edge, at(edge))
            if made.edge.found in ANSWERED:
                single.append(named)
            if identifiable([Vantaged(each.origin, each.rtt_ns or 0) for each in seen]):
                could.append(named)
        if target.origin and made.origin.found in ANSWERED:
            origins.append(right(made.origin, at(target.origin.site)))
    assert len(anycast) >= 80
    assert set(anycast) == {Found.ANYCAST}
    assert len(single) >= 35
    assert sum(single) >= 0.95 * len(single)
    assert len(could) >= 10
    assert sum(could) >= 0.95 * len(could)
    assert len(origins) >= 15
    assert sum(origins) >= 0.95 * len(origins)


@pytest.fixture(scope="module")
def datasets() -> Path:
    folder = os.environ.get("NETTRACE_DATASETS")
    if not folder:
        pytest.skip("NETTRACE_DATASETS names no folder: data that may not be shipped was not tried")
    return Path(folder)


def test_real_anycast_answers_are_never_too_soon_for_their_site_and_its_place_is_found(
    datasets: Path,
) -> None:
    """Cloudflare's resolvers of 2015 with the site that answered (RIPE Atlas, T. Levine)."""
    best: dict[str, dict[int, Vantaged]] = defaultdict(dict)
    sites: dict[str, Place] = {}
    with gzip.open(datasets / "atlas" / "anycast_dns_with_geo.jsonl.gz", "rt") as file:
        rows = [json.loads(line) for line in file]
    for row in rows:
        site = Place(
            name=row["dst_city"], latitude=row["dst_lat"], longitude=row["dst_lon"], radius_km=20, evidence="given"
        )  # fmt: skip
        origin = Place(
            name="p", latitude=row["src_lat"], longitude=row["src_lon"], radius_km=1, evidence="given"
        )
        answer = Vantaged(origin, round(row["result"]["rt"] * 1e6))
        assert within(site, answer)
        sites[site.name] = site
        least = best[site.name].get(row["prb_id"])
        if least is None or answer.rtt_ns < least.rtt_ns:
            best[site.name][row["prb_id"]] = answer
    everything = [answer for answers in best.values() for answer in answers.values()]
    assert locate(everything, CANDIDATES).found is Found.ANYCAST

    chance, cases = random.Random(7), []
    for name, answers in best.items():
        for size in (5, 10, 20, 40):
            if len(answers) >= size:
                cases += [(sites[name], chance.sample(list(answers.values()), size)) for _ in range(25)]
    told, hits = scored(cases)
    assert told >= 50
    assert hits >= 0.95 * told
    known, named = identified(cases)
    assert known >= 50
    assert named >= 0.95 * known


@pytest.mark.parametrize("matrix", ["aws", "azure"])
def test_regions_are_found_on_matrices_that_may_not_be_shipped(datasets: Path, matrix: str) -> None:
    cases = _aws(datasets) if matrix == "aws" else _azure(datasets)
    told, hits = scored(cases)
    assert told >= 10
    assert hits >= 0.95 * told


def _aws(datasets: Path) -> list[tuple[Place, list[Vantaged]]]:
    known = regions("aws")
    table = json.loads((datasets / "latency" / "aws_cloudping_p50_1y.json").read_text())["data"]
    return [
        (
            known[to],
            [Vantaged(known[at], round(table[at][to] * 1e6)) for at in table if at != to and at in known],
        )
        for to in table
        if to in known
    ]


def _azure(datasets: Path) -> list[tuple[Place, list[Vantaged]]]:
    known = regions("azure")
    names = json.loads((datasets / "geo" / "azure_region_coordinates.json").read_text())
    code = {entry["displayName"]: key for key, entry in names.items()}
    head, *rows = list(
        csv.reader((datasets / "latency" / "azure_region_rtt_p50.csv").read_text().splitlines())
    )

    def at(name: str) -> Place | None:
        return known.get(code.get(name, "")) or known.get(name.lower().replace(" ", ""))

    made = []
    for column, to in enumerate(head[1:], 1):
        truth = at(to)
        seen = [
            Vantaged(origin, round(float(row[column]) * 1e6))
            for row in rows
            if row[0] != to and row[column] and float(row[column]) > 0 and (origin := at(row[0])) is not None
        ]
        if truth is not None:
            made.append((truth, seen))
    return made
