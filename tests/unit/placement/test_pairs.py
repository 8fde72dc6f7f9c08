"""Venues traded together: a pair is served from one site by its worse leg or by both, and the optimum is the exhaustive one."""

import random
from itertools import combinations

import pytest

from nettrace.errors import Invalid
from nettrace.placement.pairs import with_pairs
from nettrace.placement.plan import Solver, Status, make_plan
from nettrace.placement.request import (
    By,
    Evidence,
    Latency,
    Limits,
    Pair,
    Request,
    Site,
    Venue,
    parse_request,
)

REQUEST = """
venue = [{name = "a", usd_per_ms_month = 0}, {name = "b", usd_per_ms_month = 0, forbid_countries = ["us"]}]
site = [{name = "at-a", usd_month = 10, country = "JP"}, {name = "at-b", usd_month = 10, country = "SG"}, {name = "between", usd_month = 12, country = "TW"}]
latency = [
  {venue = "a", site = "at-a", p50_ms = 1}, {venue = "b", site = "at-a", p50_ms = 70},
  {venue = "a", site = "at-b", p50_ms = 70}, {venue = "b", site = "at-b", p50_ms = 1},
  {venue = "a", site = "between", p50_ms = 40}, {venue = "b", site = "between", p50_ms = 38},
]
pair = [{name = "arb", venues = ["a", "b"], usd_per_ms_month = 1, by = "%s"}]
"""


def exhaustive(request: Request) -> float | None:
    """The least objective over every set of sites, straight from what a pair means."""
    p50 = {(row.venue, row.site): row.p50_ms for row in request.latency}
    legs = [((venue.name,), venue.usd_per_ms_month, venue.max_ms, By.SUM) for venue in request.venue]
    legs += [(pair.venues, pair.usd_per_ms_month, pair.max_ms, pair.by) for pair in request.pair]
    best: float | None = None
    for size in range(len(request.site) + 1):
        for chosen in combinations(request.site, size):
            total = sum(site.usd_month for site in chosen)
            if request.limits.budget_usd_month is not None and total > request.limits.budget_usd_month:
                continue
            for names, weight, most, by in legs:
                found = [
                    (max if by is By.WORSE else sum)(p50[name, site.name] for name in names)
                    for site in chosen
                    if all((name, site.name) in p50 for name in names)
                ]
                if not found or (most is not None and min(found) > most):
                    break
                total += weight * min(found)
            else:
                best = total if best is None else min(best, total)
    return best


def an_instance(seed: int) -> Request:
    draw = random.Random(seed)
    venues = [
        Venue(name=f"v{at}", usd_per_ms_month=draw.choice([0, 1, 2.5])) for at in range(draw.randint(2, 5))
    ]
    sites = [Site(name=f"s{at}", usd_month=draw.randint(0, 60)) for at in range(draw.randint(1, 6))]
    rows = [
        Latency(venue=venue.name, site=site.name, p50_ms=draw.randint(1, 60))
        for venue in venues
        for site in sites
        if draw.random() < 0.85
    ]
    pairs = [
        Pair(
            name=f"p{at}", venues=tuple(each.name for each in draw.sample(venues, 2)), by=draw.choice(list(By)),
            usd_per_ms_month=draw.choice([0.5, 2, 4]), max_ms=draw.choice([None, None, 30, 70]),
        )
        for at in range(draw.randint(1, 3))
    ]  # fmt: skip
    limits = Limits(budget_usd_month=draw.choice([None, 50, 120]))
    return Request(
        venue=tuple(venues), site=tuple(sites), latency=tuple(rows), pair=tuple(pairs), limits=limits
    )


@pytest.mark.parametrize("solver", [Solver.SEARCH, Solver.HIGHS])
def test_the_optimum_with_pairs_is_the_exhaustive_one(solver: Solver) -> None:
    kinds: set[Status] = set()
    for seed in range(150 if solver is Solver.SEARCH else 40):
        request = an_instance(seed)
        plan, least = make_plan(request, solver), exhaustive(request)
        kinds.add(plan.status)
        assert plan.objective_usd_month == (None if least is None else pytest.approx(least)), seed
    assert kinds == {Status.OPTIMAL, Status.INFEASIBLE}


def test_a_pair_is_traded_from_one_site() -> None:
    plans = {by: make_plan(parse_request(REQUEST % by)) for by in By}
    assert plans[By.WORSE].sites == ("between",)
    assert plans[By.SUM].sites == ("at-a",)
    assert {each.venue: each.p50_ms for each in plans[By.SUM].assignments} == {"a": 1, "b": 70, "arb": 71}


def test_a_pair_is_as_sure_as_its_least_sure_leg_and_refuses_what_they_refuse() -> None:
    request = parse_request(REQUEST % "sum")
    sure = Latency(venue="a", site="at-a", p50_ms=1, low_ms=0.5, high_ms=2, evidence=Evidence.MEASURED)
    made = with_pairs(
        Request(
            venue=request.venue, site=request.site, latency=(sure, *request.latency[1:]), pair=request.pair
        )
    )
    row = next(row for row in made.latency if (row.venue, row.site) == ("arb", "at-a"))
    assert (row.low_ms, row.high_ms, row.evidence) == (70.5, 72, Evidence.GIVEN)
    assert made.venue[-1].forbid_countries == ("US",)
    assert with_pairs(made) is made


@pytest.mark.parametrize(
    ("pair", "words"),
    [
        ('{name = "a", venues = ["a", "b"], usd_per_ms_month = 1}', "another venue or pair has it"),
        ('{name = "p", venues = ["a"], usd_per_ms_month = 1}', "two legs or more, not 1"),
        (
            '{name = "p", venues = ["a", "bb"], usd_per_ms_month = 1}',
            "there is no venue 'bb'; did you mean 'b'",
        ),
        ('{name = "p", venues = ["a", "b"], usd_per_ms_month = -1}', "below zero"),
        ('{name = "p", venues = ["a", "b"], usd_per_ms = 1}', "did you mean 'usd_per_ms_month'"),
    ],
)
def test_a_pair_that_cannot_be_is_refused(pair: str, words: str) -> None:
    text = "\n".join(line for line in REQUEST.splitlines() if not line.startswith("pair"))
    with pytest.raises(Invalid, match=words):
        parse_request(f"{text}\npair = [{pair}]")
