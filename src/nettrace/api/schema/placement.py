"""Placements and claims."""

from typing import Any, Literal

import msgspec


class PlacementAsk(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What is to be placed.

    Attributes:
        request: the text of a file as `nettrace plan` reads it, or its tables as JSON: venue, site, latency, limits, document.
        estimates: pairs without a latency that are estimated: of registry venues and sites, all with coordinates, or none.
        hours: so far back this hub's own measurements stand for latencies; they replace the request's.
        document: with the document (sections of blocks), not only the plan.
        pareto, sensitivity: every sensible trade of site cost and latency; which number would change the choice. Unasked
            where the request is small.
        chance: draws for the chance that the choice is right.
    """

    request: str | dict[str, Any]
    estimates: Literal["registry", "all", "never"] = "registry"
    hours: float | None = None
    document: bool = True
    pareto: bool = False
    sensitivity: bool = False
    chance: int | None = None
    seed: int = 1


class AssignmentShape(msgspec.Struct, kw_only=True):
    """What serves a venue; `evidence` is measured, estimated or given."""

    venue: str
    site: str
    backup: str | None
    p50_ms: float
    low_ms: float | None
    high_ms: float | None
    evidence: str
    backup_p50_ms: float | None
    backup_low_ms: float | None
    backup_high_ms: float | None
    backup_evidence: str | None
    latency_usd_month: float
    p95_ms: float | None = None
    by: str | None = None
    basis: list[str] = []


class TradeShape(msgspec.Struct, kw_only=True):
    """A set of sites that no other beats in both costs."""

    sites: list[str]
    cost_usd_month: float
    latency_usd_month: float
    objective_usd_month: float
    within_budget: bool


class PlacementShape(msgspec.Struct, kw_only=True):
    """`nettrace.plan/1`, the same as `nettrace plan -o json`: with `document`, `measured` and more where these were asked for.

    Attributes:
        rented: each chosen site with its machine and the services on it.
        moves: what is set up and given up; `moving_usd_month` is its share of a month.
        status: `optimal`, or `feasible` when time ran out: then `gap` says how far from the bound.
    """

    schema: str
    status: str
    solver: str
    objective_usd_month: float
    bound_usd_month: float
    gap: float
    cost_usd_month: float
    latency_usd_month: float
    sites: list[str]
    assignments: list[AssignmentShape]
    moving_usd_month: float = 0.0
    rented: list[dict[str, Any]] = []
    moves: list[dict[str, Any]] = []
    pareto: list[TradeShape] = []
    sensitivity: list[dict[str, Any]] = []
    chance: dict[str, Any] = {}
    document: dict[str, Any] = {}


class JudgementShape(msgspec.Struct, kw_only=True):
    """What light says of a claim to one place: floors of one round trip, or one way where the claim is of one."""

    place: str
    verdict: str
    floor_ms: float | None
    fibre_ms: float | None


class ClaimEvidence(msgspec.Struct, kw_only=True):
    """What this hub measured: `within`, `contradicted`, `edge_not_origin` or `no_data`."""

    verdict: str
    vantage: str | None
    min_ms: float | None
    p50_ms: float | None


class ClaimShape(msgspec.Struct, kw_only=True):
    """A claim and what became of it (`nettrace.claim_audit/1`).

    Attributes:
        finding: all considered: impossible, contradicted, implausible, possible or unknown_place.
        verdict: light alone; null for a claim of location.
        as_known: with the place where the registry puts the venue.
        registry: whether it puts it where the document does: agrees, contradicts, unknown; null when that says nothing.
        source: who keeps it on record: nettrace, or the operator's file.
    """

    schema: str
    id: str
    finding: str
    kind: str
    quote: str
    document: str
    line: int
    date: str
    origin: str | None = msgspec.field(name="from")
    venue: str | None
    low_ms: float | None
    high_ms: float | None
    direction: str
    round_trips: int
    verdict: str | None
    said: list[str]
    as_said: list[JudgementShape]
    as_known: JudgementShape | None
    registry: str | None
    measured: ClaimEvidence | None
    why: str
    note: str | None
    source: str
