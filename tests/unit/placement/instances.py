"""Random requests of every kind: loose and tight, with ties, forbidden countries, holes, pins and backups."""

import random
from typing import Any


def instance(seed: int, most_sites: int = 12, most_venues: int = 10) -> dict[str, Any]:
    """A request from a seed: half of them with round numbers, so that plans tie."""
    rng = random.Random(seed)
    round_numbers = rng.random() < 0.5
    sites = [_site(rng, number, round_numbers) for number in range(rng.randint(1, most_sites))]
    venues = [_venue(rng, number, round_numbers) for number in range(rng.randint(1, most_venues))]
    full = rng.choice([1.0, 0.9, 0.6])
    latency = [
        _latency(rng, venue["name"], site["name"], round_numbers)
        for venue in venues
        for site in sites
        if rng.random() < full
    ]
    limits: dict[str, Any] = {}
    if rng.random() < 0.5:
        limits["budget_usd_month"] = float(rng.randint(0, 40) * 10)
    if rng.random() < 0.5:
        limits["max_sites"] = rng.randint(1, 5)
    if rng.random() < 0.5:
        limits["redundancy"] = 1
        limits["backup_differs"] = rng.choice(["site", "provider", "country"])
    return {"limits": limits, "venue": venues, "site": sites, "latency": latency}


def _site(rng: random.Random, number: int, round_numbers: bool) -> dict[str, Any]:
    return {
        "name": f"s{number}",
        "provider": rng.choice("abc"),
        "country": rng.choice(["JP", "SG", "US", "GB"]),
        "usd_month": float(rng.randint(0, 4) * 20) if round_numbers else round(rng.uniform(0, 150), 2),
        "pinned": rng.random() < 0.08,
    }


def _venue(rng: random.Random, number: int, round_numbers: bool) -> dict[str, Any]:
    made: dict[str, Any] = {
        "name": f"v{number}",
        "usd_per_ms_month": float(rng.randint(0, 3)) if round_numbers else round(rng.expovariate(0.5), 3),
    }
    if rng.random() < 0.3:
        made["max_ms"] = float(rng.randint(10, 120))
    if rng.random() < 0.3:
        made["backup_max_ms"] = float(rng.randint(20, 150))
    if rng.random() < 0.2:
        made["forbid_countries"] = rng.sample(["JP", "SG", "US", "GB"], rng.randint(1, 2))
    return made


def _latency(rng: random.Random, venue: str, site: str, round_numbers: bool) -> dict[str, Any]:
    p50 = float(rng.randint(1, 15) * 10) if round_numbers else round(rng.uniform(0.3, 180), 2)
    return {"venue": venue, "site": site, "p50_ms": p50, "low_ms": p50 * 0.9, "high_ms": p50 * 1.2}
