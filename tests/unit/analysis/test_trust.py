"""A lying vantage is flagged with its evidence, and no honest one is: in worlds where every truth is known."""

from itertools import permutations

import pytest

from nettrace.analysis.geo.floor import fibre_ns
from nettrace.analysis.geo.sphere import between_km
from nettrace.analysis.trust import Sight, trust
from nettrace.lab.worldfile import load
from nettrace.model.path import Place

CITIES = {
    "nyc": (40.7, -74.0), "lon": (51.5, -0.1), "fra": (50.1, 8.7), "sin": (1.3, 103.8), "tyo": (35.7, 139.7),
    "syd": (-33.9, 151.2), "sao": (-23.5, -46.6), "lax": (34.0, -118.2),
}  # fmt: skip
ENGINES = {**CITIES, "chi": (41.9, -87.6), "hkg": (22.3, 114.2), "par": (48.9, 2.3), "bom": (19.1, 72.9)}


def place(where):
    return Place(name="x", latitude=where[0], longitude=where[1], radius_km=20.0, evidence="given")


def rtt(one, other):
    return int(fibre_ns(between_km(place(one), place(other))) * 1.3) + 200_000


def world(*, stands=None, early=None, anycast=0, mesh=True, cities=CITIES):
    """What everybody measures. `stands` moves vantages from where they say; `early` puts a middlebox before one."""
    true = {**cities, **(stands or {})}
    sights = []
    for code, where in true.items():
        for name, engine in ENGINES.items():
            seen = 900_000 if code == early else rtt(where, engine)
            sights.append(Sight(code, name, seen, 10_000))
        sights += [Sight(code, f"cdn-{number}", 2_000_000, 10_000) for number in range(anycast)]
        if mesh:
            sights += [
                Sight(code, other, rtt(where, at), 10_000, peer=True)
                for other, at in true.items()
                if other != code
            ]
    return trust({code: place(where) for code, where in cities.items()}, sights)


def flagged(found):
    return {code for code, each in found.items() if each.flagged}


def test_no_honest_vantage_is_flagged():
    found = world()
    assert flagged(found) == set()
    assert all(each.score == 1.0 and each.judged and not each.evidence for each in found.values())


def test_targets_that_answer_everywhere_prove_nothing_against_anybody():
    assert flagged(world(anycast=40)) == set()


@pytest.mark.parametrize("mesh", [True, False])
def test_a_vantage_in_the_wrong_place_is_flagged_with_its_evidence(mesh):
    found = world(stands={"sin": CITIES["fra"]}, mesh=mesh)
    assert flagged(found) == {"sin"}
    assert found["sin"].score < 0.75
    assert "light" in found["sin"].evidence[0] and "ms" in found["sin"].evidence[0]


def test_a_middlebox_that_answers_early_is_flagged_and_its_neighbours_are_not():
    found = world(early="tyo", mesh=False, anycast=5)
    assert flagged(found) == {"tyo"}
    assert len(found["tyo"].evidence) == 5


def test_two_liars_among_eight_are_both_found():
    assert flagged(world(stands={"sin": CITIES["fra"], "lax": CITIES["lon"]})) == {"sin", "lax"}


def test_of_two_that_contradict_each_other_nobody_is_accused():
    two = {code: CITIES[code] for code in ("nyc", "sin")}
    assert flagged(world(stands={"sin": CITIES["nyc"]}, cities=two)) == set()


def test_who_does_not_say_where_it_stands_is_not_judged():
    found = trust({"x": None}, [Sight("x", "t", 1)])
    assert (found["x"].score, found["x"].flagged) == (None, False)


def test_whoever_is_moved_far_is_mostly_found_and_never_anybody_else():
    """Not every lie can be told: between half-way places detours of real fibre leave light enough time."""
    far = [
        (liar, elsewhere)
        for liar, elsewhere in permutations(CITIES, 2)
        if between_km(place(CITIES[liar]), place(CITIES[elsewhere])) > 5000
    ]
    found = [flagged(world(stands={liar: CITIES[elsewhere]})) for liar, elsewhere in far]
    assert all(each <= {liar} for each, (liar, _) in zip(found, far, strict=True))
    assert sum(map(len, found)) > 0.6 * len(far)


@pytest.mark.parametrize("name", ["small", "world"])
def test_no_vantage_of_the_demos_world_is_flagged(name):
    """The lab's own truth: every pair's round trip as the lab delivers it."""
    from nettrace.lab.truth import Oracle

    made = load(name)
    oracle = Oracle(made)
    sites = {site.code: site for site in made.site}
    places = {v.code: place((sites[v.site].latitude, sites[v.site].longitude)) for v in made.vantage}
    sights = [
        Sight(pair["vantage"], pair["target"], int(pair["rtt_ms"] * 1e6), 20_000)
        for pair in oracle.document()["pairs"]
        if pair["reaches"]
    ]
    sights += [
        Sight(one, other, int(oracle.pair(one, other)["rtt_ms"] * 1e6), 20_000, peer=True)
        for one in places
        for other in places
        if one != other
    ]
    found = trust(places, sights)
    assert flagged(found) == set()
    assert len(places) < 3 or any(each.judged for each in found.values())
