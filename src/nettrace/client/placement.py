"""Placements and claims: what to ask, and what comes back."""

from typing import Any

import msgspec

from nettrace.client.answers import Answer, Listed
from nettrace.client.call import Call, query_of
from nettrace.client.calls import API


class Assignment(Answer, frozen=True, kw_only=True):
    """What serves a venue; `evidence` is measured, estimated or given."""

    venue: str
    site: str
    p50_ms: float
    evidence: str
    latency_usd_month: float
    low_ms: float | None = None
    high_ms: float | None = None
    backup: str | None = None
    backup_p50_ms: float | None = None
    backup_low_ms: float | None = None
    backup_high_ms: float | None = None
    backup_evidence: str | None = None


class Trade(Answer, frozen=True, kw_only=True):
    """A set of sites that no other beats in both costs."""

    sites: tuple[str, ...]
    cost_usd_month: float
    latency_usd_month: float
    objective_usd_month: float
    within_budget: bool


class Placement(Answer, frozen=True, kw_only=True):
    """A plan with its proof: `status` is optimal, or feasible with the `gap` to the bound."""

    status: str
    solver: str
    objective_usd_month: float
    bound_usd_month: float
    gap: float
    cost_usd_month: float
    latency_usd_month: float
    sites: tuple[str, ...]
    assignments: tuple[Assignment, ...]
    pareto: tuple[Trade, ...] = ()
    sensitivity: tuple[dict[str, Any], ...] = ()
    chance: dict[str, Any] = msgspec.field(default_factory=dict[str, Any])
    document: dict[str, Any] = msgspec.field(default_factory=dict[str, Any])


class ClaimEvidence(Answer, frozen=True, kw_only=True):
    """What the hub measured of a claim."""

    verdict: str
    vantage: str | None = None
    min_ms: float | None = None
    p50_ms: float | None = None


class Claim(Answer, frozen=True, kw_only=True):
    """A claim and what became of it; `verdict` is light alone, `finding` all considered."""

    id: str
    finding: str
    kind: str
    quote: str
    document: str
    line: int
    why: str
    venue: str | None = None
    verdict: str | None = None
    low_ms: float | None = None
    high_ms: float | None = None
    registry: str | None = None
    measured: ClaimEvidence | None = None


class Claims(Listed[Claim], frozen=True, kw_only=True):
    """The claims of the registry."""

    data: tuple[Claim, ...]


def place(
    request: str | dict[str, Any], *, estimates: str = "registry", hours: float | None = None, document: bool = False,
    pareto: bool = False, sensitivity: bool = False, chance: int | None = None,
) -> Call[Placement]:  # fmt: skip
    """Where servers should stand: the text or the tables of a request as `nettrace plan` reads it, solved at the hub.

    `hours` lets what the hub measured so far back stand for latencies. What cannot be is refused with the smallest conflict.
    """
    asked: dict[str, Any] = {
        "request": request, "estimates": estimates, "hours": hours, "document": document, "pareto": pareto,
        "sensitivity": sensitivity, "chance": chance,
    }  # fmt: skip
    body = msgspec.json.encode({name: value for name, value in asked.items() if value is not None})
    return Call(path=f"{API}/placements", shape=Placement, method="POST", body=body)


def claims(*, finding: str | None = None, venue: str | None = None, hours: int = 48) -> Call[Claims]:
    """What was claimed of latency and location, held against light, the registry and the hub's measurements."""
    query = query_of({"finding": finding, "venue": venue, "hours": hours})
    return Call(path=f"{API}/claims", shape=Claims, query=query)
