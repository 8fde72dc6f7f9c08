"""Services and moving inside the optimum: equal to trying every set of sites, every stand of every copy, every machine."""

import random
from collections.abc import Iterator, Mapping
from itertools import combinations, product
from typing import Any

import msgspec
import pytest
from tests.property.test_plan import request_of

from nettrace.errors import Invalid
from nettrace.placement.front import front
from nettrace.placement.plan import Plan, Solver, Status, make_plan
from nettrace.placement.request import parse_request
from nettrace.placement.sensitivity import Number, flips

SOLVERS = [Solver.SEARCH, Solver.HIGHS]
NEEDS = ("vcpu", "memory_gb", "disk_gb", "transfer_tb")


def instance(seed: int, most_sites: int = 5) -> dict[str, Any]:
    """Few venues, sites with up to three machines, services of every kind, some sites in use."""
    rng = random.Random(seed)
    sites = [_site(rng, number) for number in range(rng.randint(1, most_sites))]
    venues: list[dict[str, Any]] = [
        {
            "name": f"v{number}",
            "usd_per_ms_month": float(rng.randint(0, 3)),
            **({"max_ms": 90.0} if rng.random() < 0.2 else {}),
        }
        for number in range(rng.randint(1, 3))
    ]
    latency = [
        {"venue": venue["name"], "site": site["name"], "p50_ms": float(rng.randint(1, 120))}
        for venue in venues
        for site in sites
        if rng.random() < 0.9
    ]
    services = [_service(rng, number, venues) for number in range(rng.randint(0, 3))]
    for number, service in enumerate(services[1:], 1):
        if service["copies"] and rng.random() < 0.3:
            service["apart"] = [f"d{rng.randrange(number)}"]
            service["apart_by"] = rng.choice(["site", "provider", "country"])
    limits: dict[str, Any] = {"usd_per_hour": 10.0, "months": 2.0}
    if rng.random() < 0.4:
        limits["budget_usd_month"] = float(rng.randint(2, 40) * 10)
    if rng.random() < 0.4:
        limits["max_sites"] = rng.randint(1, 3)
    if rng.random() < 0.3:
        limits["redundancy"] = 1
    return {"limits": limits, "venue": venues, "site": sites, "latency": latency, "service": services}


def _site(rng: random.Random, number: int) -> dict[str, Any]:
    sizes = sorted(rng.sample([1, 2, 4, 8], rng.randint(1, 3)))
    return {
        "name": f"s{number}", "provider": rng.choice("ab"), "country": rng.choice(["JP", "SG", "US"]),
        "usd_month": float(rng.randint(0, 3) * 10), "pinned": rng.random() < 0.05, "in_use": rng.random() < 0.3,
        "move_usd": float(rng.choice([0, 20, 200])), "move_hours": float(rng.choice([0, 4])),
        "plan": [
            {"name": f"m{size}", "usd_month": float(size * rng.randint(3, 9)), "vcpu": float(size), "memory_gb": size * rng.choice([1.0, 2.0]), **({"disk_gb": size * 20.0} if rng.random() < 0.5 else {})}
            for size in sizes
        ],
    }  # fmt: skip


def _service(rng: random.Random, number: int, venues: list[dict[str, Any]]) -> dict[str, Any]:
    made: dict[str, Any] = {"name": f"d{number}", "vcpu": rng.choice([0.5, 1.0, 3.0]), "memory_gb": rng.choice([0.5, 2.0, 5.0]), "disk_gb": rng.choice([0.0, 30.0]), "copies": rng.choice([0, 1, 1, 2])}  # fmt: skip
    if made["copies"] and rng.random() < 0.3:
        made |= {"venues": [rng.choice(venues)["name"]], "max_ms": float(rng.randint(30, 120))}
    if made["copies"] and rng.random() < 0.2:
        made["forbid_countries"] = ["US"]
    return made


def totals(raw: Mapping[str, Any]) -> Iterator[tuple[float, float, tuple[str, ...]]]:
    """(cost, latency cost, sites) of every way that keeps all requirements, straight from their meaning."""
    for size in range(len(raw["site"]) + 1):
        for chosen in combinations(raw["site"], size):
            latency, money = _latency(raw, chosen), _money(raw, chosen)
            if latency is not None and money is not None:
                yield money, latency, tuple(site["name"] for site in chosen)


def _latency(raw: Mapping[str, Any], chosen: tuple[dict[str, Any], ...]) -> float | None:
    total = 0.0
    p50 = {(row["venue"], row["site"]): row["p50_ms"] for row in raw["latency"]}
    for venue in raw["venue"]:
        found = [p50[venue["name"], site["name"]] for site in chosen if (venue["name"], site["name"]) in p50]
        if (
            not found
            or min(found) > venue.get("max_ms", 1e9)
            or len(found) <= raw["limits"].get("redundancy", 0)
        ):
            return None
        total += venue["usd_per_ms_month"] * min(found)
    return total


def _money(raw: Mapping[str, Any], chosen: tuple[dict[str, Any], ...]) -> float | None:
    limits, names = raw["limits"], {site["name"] for site in chosen}
    if any(site["pinned"] and site["name"] not in names for site in raw["site"]):
        return None
    moving = sum(
        (site["move_usd"] + site["move_hours"] * limits["usd_per_hour"]) / limits["months"]
        for site in raw["site"]
        if (site["name"] in names) != site["in_use"]
    )
    machines = [each for ways in _ways(raw, chosen) if (each := _machines(raw, chosen, ways)) is not None]
    if not machines or len(chosen) > limits.get("max_sites", 99):
        return None
    total = moving + sum(site["usd_month"] for site in chosen) + min(machines)
    return None if total > limits.get("budget_usd_month", 1e9) else total


def _ways(
    raw: Mapping[str, Any], chosen: tuple[dict[str, Any], ...]
) -> Iterator[tuple[tuple[dict[str, Any], ...], ...]]:
    """Every allowed stand of every service: for each service its sites."""
    p50 = {(row["venue"], row["site"]): row["p50_ms"] for row in raw["latency"]}

    def fits(service: dict[str, Any], site: dict[str, Any]) -> bool:
        near = all(
            p50.get((venue, site["name"]), 1e9) <= service["max_ms"] for venue in service.get("venues", ())
        )
        return near and site["country"] not in service.get("forbid_countries", ())

    choices = [
        list(combinations([site for site in chosen if fits(service, site)], service["copies"]))
        if service["copies"]
        else [chosen]
        for service in raw["service"]
    ]
    for ways in product(*choices):
        stands = {service["name"]: sites for service, sites in zip(raw["service"], ways, strict=True)}
        if all(
            stands[other] is sites
            or not {site[_key(service)] for site in sites} & {site[_key(service)] for site in stands[other]}
            for service, sites in zip(raw["service"], ways, strict=True)
            for other in service.get("apart", ())
        ) and all(
            len({site[_key(service)] for site in sites}) == len(sites)
            for service, sites in zip(raw["service"], ways, strict=True)
            if service["copies"]
        ):
            yield ways


def _key(service: dict[str, Any]) -> str:
    kind: str = service.get("apart_by", "site")
    return "name" if kind == "site" else kind


def _machines(
    raw: Mapping[str, Any], chosen: tuple[dict[str, Any], ...], ways: tuple[tuple[dict[str, Any], ...], ...]
) -> float | None:
    total = 0.0
    for site in chosen:
        here = [service for service, sites in zip(raw["service"], ways, strict=True) if site in sites]
        fitting = [
            plan["usd_month"]
            for plan in site["plan"]
            if all(sum(each.get(key, 0.0) for each in here) <= plan.get(key, 1e9) for key in NEEDS)
        ]
        if not fitting:
            return None
        total += min(fitting)
    return total


def usable(raw: dict[str, Any]) -> bool:
    """Whether no copies = 0 service is somebody's apart (refused by the form) and every name is another's."""
    whole = {service["name"] for service in raw["service"] if not service["copies"]}
    return not any(set(service.get("apart", ())) & whole for service in raw["service"])


def instances(count: int) -> Iterator[tuple[int, dict[str, Any]]]:
    yield from ((seed, raw) for seed in range(count) if usable(raw := instance(seed)))


def check_carried(raw: Mapping[str, Any], plan: Plan) -> None:
    """Each rented machine holds what runs there, every service runs, and the sum is the price."""
    plans = {site["name"]: {each["name"]: each for each in site["plan"]} for site in raw["site"]}
    needs = {service["name"]: service for service in raw["service"]}
    for each in plan.rented:
        machine = plans[each.site][each.plan or ""]
        for key in NEEDS:
            total = sum(needs[name].get(key, 0.0) for name in each.services)
            assert total == pytest.approx(getattr(each, key))
            assert total <= machine.get(key, 1e9)
    for service in raw["service"]:
        there = [each.site for each in plan.rented if service["name"] in each.services]
        assert len(there) == (service["copies"] or len(plan.sites))
    assert plan.cost_usd_month == pytest.approx(
        sum(each.usd_month for each in plan.rented) + (plan.moving_usd_month or 0)
    )
    assert plan.moving_usd_month == pytest.approx(sum(move.usd_month for move in plan.moves))


@pytest.mark.parametrize("solver", SOLVERS)
def test_the_optimum_with_services_and_moving_is_the_exhaustive_one(solver: Solver) -> None:
    kinds: dict[Status, int] = {}
    larger = 0
    for seed, raw in instances(400 if solver is Solver.SEARCH else 120):
        plan = make_plan(request_of(raw), solver)
        found = list(totals(raw))
        kinds[plan.status] = kinds.get(plan.status, 0) + 1
        if not found:
            assert plan.status is Status.INFEASIBLE, seed
            continue
        best = min(money + latency for money, latency, _ in found)
        assert plan.objective_usd_month == pytest.approx(best, abs=1e-5), seed
        ties = [sites for money, latency, sites in found if money + latency <= best + 1e-6]
        assert plan.sites == min(ties, key=len) or len(plan.sites) == len(min(ties, key=len)), seed
        check_carried(raw, plan)
        larger += any(each.plan != raw_plan(raw, each.site) for each in plan.rented)
    assert min(kinds.values()) > 10
    assert larger > 10, "the size of a machine was never a choice"


def raw_plan(raw: Mapping[str, Any], site: str) -> str:
    """A site's cheapest machine."""
    plans = next(each for each in raw["site"] if each["name"] == site)["plan"]
    return min(plans, key=lambda each: each["usd_month"])["name"]


def test_both_solvers_choose_the_same_sites_and_machines() -> None:
    for seed, raw in instances(100):
        searched, solved = (make_plan(request_of(raw), solver) for solver in SOLVERS)
        if searched.status is Status.INFEASIBLE:
            assert (solved.status, len(solved.conflict)) == (searched.status, len(searched.conflict)), seed
            continue
        assert msgspec.structs.replace(searched, solver=Solver.HIGHS, gap=None) == msgspec.structs.replace(
            solved, gap=None, bound_usd_month=searched.bound_usd_month
        ), seed


@pytest.mark.parametrize("solver", SOLVERS)
def test_a_conflict_with_services_cannot_hold_and_without_any_member_it_can(solver: Solver) -> None:
    named = 0
    for seed, raw in instances(300 if solver is Solver.SEARCH else 120):
        plan = make_plan(request_of(raw), solver)
        if plan.status is not Status.INFEASIBLE or plan.conflict[0].endswith(" latency"):
            continue
        assert not list(totals(only(raw, set(plan.conflict)))), seed
        for name in plan.conflict:
            assert any(totals(only(raw, set(plan.conflict) - {name}))), (seed, name)
        named += any(name.endswith(" placed") for name in plan.conflict)
    assert named > 5


def only(raw: Mapping[str, Any], kept: set[str]) -> dict[str, Any]:
    """The request with no requirements but these."""
    limits = {
        key: value for key, value in raw["limits"].items() if key in {"usd_per_hour", "months"} or key in kept
    }
    venues = [
        {
            key: value
            for key, value in venue.items()
            if key != "max_ms" or f"venue {venue['name']} max_ms" in kept
        }
        for venue in raw["venue"]
    ]
    sites = [
        {**site, "pinned": site["pinned"] and f"site {site['name']} pinned" in kept} for site in raw["site"]
    ]
    services = [service for service in raw["service"] if f"service {service['name']} placed" in kept]
    names = {service["name"] for service in services}
    services = [
        {**each, "apart": [name for name in each.get("apart", ()) if name in names]} for each in services
    ]
    return {**raw, "limits": limits, "venue": venues, "site": sites, "service": services}


@pytest.mark.parametrize("solver", SOLVERS)
def test_the_front_counts_machines_and_moving(solver: Solver) -> None:
    for seed, raw in instances(60 if solver is Solver.SEARCH else 25):
        free = {
            **raw,
            "limits": {key: value for key, value in raw["limits"].items() if key != "budget_usd_month"},
        }
        points = {(round(money, 4), round(latency, 4)) for money, latency, _ in totals(free)}
        expected = {
            point
            for point in points
            if not any(other != point and other[0] <= point[0] and other[1] <= point[1] for other in points)
        }
        found = {
            (round(each.cost_usd_month, 4), round(each.latency_usd_month, 4))
            for each in front(request_of(raw), solver)
        }
        assert found == expected, seed


REQUEST = """
venue = [{name = "tse", usd_per_ms_month = 1}]
site = [
  {name = "near", usd_month = 0, plan = [{name = "small", usd_month = 10, vcpu = 1}, {name = "large", usd_month = 90, vcpu = 8}]},
  {name = "far", usd_month = 0, plan = [{name = "mid", usd_month = 30, vcpu = 4}]},
]
latency = [{venue = "tse", site = "near", p50_ms = 2}, {venue = "tse", site = "far", p50_ms = 22}]
"""


def test_a_service_goes_where_its_machine_is_cheap_and_stays_with_its_venue_when_told_to() -> None:
    free = make_plan(parse_request(REQUEST + 'service = [{name = "ml", vcpu = 3}]'))
    assert [(each.site, each.plan, each.services) for each in free.rented] == [
        ("near", "small", ()),
        ("far", "mid", ("ml",)),
    ]
    bound = make_plan(
        parse_request(REQUEST + 'service = [{name = "engine", vcpu = 3, venues = ["tse"], max_ms = 5}]')
    )
    assert [(each.site, each.plan, each.usd_month) for each in bound.rented] == [("near", "large", 90)]
    assert (free.objective_usd_month, bound.objective_usd_month) == (42, 92)


def test_leaving_a_site_in_use_must_be_worth_its_effort() -> None:
    plain = REQUEST.replace("usd_per_ms_month = 1", "usd_per_ms_month = 0.4").replace(
        '{name = "far", usd_month = 0',
        '{name = "far", usd_month = 0, in_use = true, move_hours = 8, move_usd = 100',
    )
    dear, cheap = (
        make_plan(parse_request(f"limits = {{usd_per_hour = {rate}, months = 12}}" + plain))
        for rate in (100, 10)
    )
    assert (dear.sites, dear.moves, dear.moving_usd_month) == (("far",), (), 0)
    assert cheap.sites == ("near",)
    assert [(move.site, move.gives_up, move.usd_once, move.usd_month) for move in cheap.moves] == [
        ("far", True, 180, 15)
    ]
    assert (cheap.cost_usd_month, cheap.objective_usd_month) == (25, 25.8)


@pytest.mark.parametrize(
    ("service", "words"),
    [
        ('{name = "a", vcpu = -1}', "vcpu is -1"),
        ('{name = "a", copies = 13}', "13 copies together; 12"),
        ('{name = "a", venues = ["tse"]}', "venues and max_ms go together"),
        ('{name = "a", apart = ["b"]}', "apart names 'b'"),
        ('{name = "a", copies = 0, venues = ["tse"], max_ms = 3}', "stands at every chosen site"),
        ('{name = "a", cpu = 1}', "did you mean 'vcpu'"),
    ],
)
def test_a_service_that_cannot_be_is_refused(service: str, words: str) -> None:
    with pytest.raises(Invalid, match=words):
        parse_request(REQUEST + f"service = [{service}]")


def test_services_need_machines_to_choose_from() -> None:
    text = 'venue = [{name = "v", usd_per_ms_month = 1}]\nsite = [{name = "s", usd_month = 1}]\nservice = [{name = "a"}]'
    with pytest.raises(Invalid, match=r"site 's'.*: what can be rented there is not given"):
        parse_request(text)


@pytest.mark.parametrize("solver", SOLVERS)
def test_the_choice_holds_up_to_the_effort_at_which_it_flips_and_not_beyond(solver: Solver) -> None:
    kinds: set[tuple[bool, bool]] = set()
    for seed, raw in instances(150 if solver is Solver.SEARCH else 30):
        plan = make_plan(request_of(raw), solver)
        if plan.status is Status.INFEASIBLE:
            continue
        for flip in flips(request_of(raw), plan.sites, solver):
            if flip.number is not Number.MOVING or abs(flip.flips_at - flip.now) < 0.01:
                continue
            for share, still in ((0.999, True), (1.001, False)):
                value = flip.now + share * (flip.flips_at - flip.now)
                if value < 0:
                    continue
                moved = {**raw, "site": [{**site, "move_usd": value, "move_hours": 0.0} if site["name"] == flip.site else site for site in raw["site"]]}  # fmt: skip
                ways = list(totals(moved))
                ours = min(
                    (money + latency for money, latency, sites in ways if sites == plan.sites), default=1e9
                )
                others = min(
                    (money + latency for money, latency, sites in ways if sites != plan.sites), default=1e9
                )
                assert (ours <= others + 1e-6) == still or (not still and ours >= others - 1e-6), (seed, flip)
            kinds.add((flip.site in plan.sites, flip.flips_at > flip.now))
    assert kinds == {(chosen, rises) for chosen in (True, False) for rises in (True, False)}
