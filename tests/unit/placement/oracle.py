"""Placement by trying everything: what the planner must equal, written from the contract and sharing nothing with it."""

from collections.abc import Iterator, Mapping
from decimal import Decimal
from itertools import combinations
from typing import Any

Request = Mapping[str, Any]


def exact(number: float) -> Decimal:
    """The decimal number that was written."""
    return Decimal(repr(float(number)))


def subsets(request: Request) -> Iterator[tuple[str, ...]]:
    names = [site["name"] for site in request["site"]]
    for size in range(len(names) + 1):
        yield from combinations(names, size)


def pairs(
    request: Request, venue: Mapping[str, Any], chosen: tuple[str, ...]
) -> Iterator[tuple[str, str | None]]:
    """Every (site, backup) that may serve a venue."""
    limits = request.get("limits", {})
    sites = {site["name"]: site for site in request["site"]}
    p50 = {row["site"]: row["p50_ms"] for row in request["latency"] if row["venue"] == venue["name"]}
    allowed = [
        name
        for name in chosen
        if name in p50 and sites[name]["country"] not in venue.get("forbid_countries", ())
    ]
    for main in allowed:
        if p50[main] > venue.get("max_ms", float("inf")):
            continue
        if limits.get("redundancy", 0) == 0:
            yield main, None
            continue
        key = limits.get("backup_differs", "site")
        key = "name" if key == "site" else key
        for backup in allowed:
            near = p50[backup] <= venue.get("backup_max_ms", float("inf"))
            if backup != main and near and sites[backup][key] != sites[main][key]:
                yield main, backup


def objective(request: Request, chosen: tuple[str, ...]) -> Decimal | None:
    """What these sites and the best assignment to them cost, or None when a requirement is broken."""
    limits = request.get("limits", {})
    price = sum((exact(site["usd_month"]) for site in request["site"] if site["name"] in chosen), Decimal())
    if "budget_usd_month" in limits and price > exact(limits["budget_usd_month"]):
        return None
    if len(chosen) > limits.get("max_sites", len(chosen)):
        return None
    if any(site.get("pinned") and site["name"] not in chosen for site in request["site"]):
        return None
    total = price
    for venue in request["venue"]:
        p50 = {row["site"]: row["p50_ms"] for row in request["latency"] if row["venue"] == venue["name"]}
        served = [p50[main] for main, _ in pairs(request, venue, chosen)]
        if not served:
            return None
        total += exact(venue["usd_per_ms_month"]) * exact(min(served))
    return total


def first_best(request: Request) -> tuple[Decimal, tuple[str, ...]] | None:
    """The least objective over all sets of sites and its sites (fewest, then first in the request), or None."""
    found: tuple[Decimal, tuple[str, ...]] | None = None
    for chosen in subsets(request):
        value = objective(request, chosen)
        if value is not None and (found is None or value < found[0]):
            found = value, chosen
    return found


def best(request: Request) -> Decimal | None:
    """The least objective over all sets of sites, or None."""
    found = first_best(request)
    return found[0] if found else None


def named(request: Request) -> list[str]:
    """The names of everything that can be dropped."""
    limits = request.get("limits", {})
    redundant = limits.get("redundancy", 0) == 1
    names = [key for key in ("budget_usd_month", "max_sites") if key in limits]
    names += ["redundancy"] * redundant
    names += ["backup_differs"] * (redundant and limits.get("backup_differs", "site") != "site")
    names += [f"site {site['name']} pinned" for site in request["site"] if site.get("pinned")]
    for venue in request["venue"]:
        keys = ("max_ms", *(["backup_max_ms"] * redundant), "forbid_countries")
        names += [f"venue {venue['name']} {key}" for key in keys if venue.get(key)]
    return names


def only(request: Request, kept: set[str]) -> dict[str, Any]:
    """The request with no requirements but these."""
    limits = dict(request.get("limits", {}))
    for key in ("budget_usd_month", "max_sites", "redundancy", "backup_differs"):
        if key not in kept:
            limits.pop(key, None)
    sites = [{**site, "pinned": f"site {site['name']} pinned" in kept} for site in request["site"]]
    venues = [
        {
            key: value
            for key, value in venue.items()
            if key not in {"max_ms", "backup_max_ms", "forbid_countries"}
            or f"venue {venue['name']} {key}" in kept
        }
        for venue in request["venue"]
    ]
    return {**request, "limits": limits, "site": sites, "venue": venues}


def holds(request: Request, kept: set[str]) -> bool:
    """Whether these requirements can hold together."""
    narrowed = only(request, kept)
    return any(objective(narrowed, chosen) is not None for chosen in subsets(narrowed))


def smallest_conflict(request: Request) -> int | None:
    """How many requirements the smallest conflict has (looking up to 4), or None."""
    names = named(request)
    return next(
        (size for size in range(5) for kept in combinations(names, size) if not holds(request, set(kept))),
        None,
    )


def front(request: Request) -> set[tuple[Decimal, Decimal]]:
    """All (cost, latency cost) that no set of sites beats in both; the budget is left out."""
    free = only(request, set(named(request)) - {"budget_usd_month"})
    points: set[tuple[Decimal, Decimal]] = set()
    for chosen in subsets(free):
        total = objective(free, chosen)
        if total is not None:
            price = sum(
                (exact(site["usd_month"]) for site in free["site"] if site["name"] in chosen), Decimal()
            )
            points.add((price, total - price))
    return {
        point
        for point in points
        if not any(other != point and other[0] <= point[0] and other[1] <= point[1] for other in points)
    }
