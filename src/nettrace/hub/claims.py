"""The registry's claims audited: by light, by what the registry knows, and by what a hub has measured."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec

from nettrace.analysis.expectation import Expectation
from nettrace.analysis.expectation import Verdict as Measured
from nettrace.analysis.geo.claim import Claim, Judgement, Verdict, judge
from nettrace.analysis.geo.sphere import nearest_km
from nettrace.errors import ConfigError
from nettrace.hub.facts import claims as known_claims
from nettrace.hub.facts import facts as known_facts
from nettrace.hub.validation import validate_all
from nettrace.model.instant import NS_PER_MS, ms
from nettrace.model.path import Place
from nettrace.outside.places import find as find_place
from nettrace.placement.registry.claims import ClaimKind, RegisteredClaim
from nettrace.placement.registry.facts import Protocol, Registry
from nettrace.placement.registry.places import engine_of
from nettrace.store.port import StoreReader
from nettrace.store.rows import Window

FindPlace = Callable[[str], Place | None]

SAME_PLACE_KM = 30.0
"""Two names within this of one another are one place: a metropolitan area."""

_WORST = (Verdict.IMPOSSIBLE, Verdict.IMPLAUSIBLE, Verdict.POSSIBLE)
_MEASURED = {
    Measured.WITHIN: "within",
    Measured.OUTSIDE: "contradicted",
    Measured.IMPOSSIBLE: "contradicted",
    Measured.EDGE: "edge_not_origin",
    Measured.NO_DATA: "no_data",
}


class Audit(msgspec.Struct, frozen=True, kw_only=True):
    """A claim and what became of it.

    Attributes:
        verdict: the worse of what light says to the places the document names (the best of those) and to where
            the registry puts the venue's engine; None for a claim of location.
        as_said: one judgement for each place the document names.
        as_known: the judgement with the registry's place, or None when it knows none.
        agrees: whether the registry puts the venue where the document does; None when it does not know.
    """

    claim: RegisteredClaim
    verdict: Verdict | None
    as_said: tuple[Judgement, ...]
    as_known: Judgement | None
    agrees: bool | None


class Evidence(msgspec.Struct, frozen=True):
    """What a hub's measurements say of a claim: `within`, `contradicted`, `edge_not_origin` or `no_data`."""

    verdict: str
    vantage: str | None
    min_ns: int | None
    p50_ns: int | None
    why: str


def audit(claim: RegisteredClaim, registry: Registry, find: FindPlace) -> Audit:
    """What light and the registry say of a claim.

    Raises:
        ConfigError: it names a venue the registry does not have.
    """
    venue = None
    if claim.venue is not None:
        venue = registry.venues.get(claim.venue)
        if venue is None:
            raise ConfigError(
                f"claim '{claim.id}' names the venue '{claim.venue}', which the registry lacks",
                "`nettrace registry list` names those it has; --registry FILE adds your own",
            )
    engine = engine_of(venue, find) if venue else None
    said = tuple((name, find(name)) for name in claim.said)
    if claim.kind is ClaimKind.LOCATION:
        return Audit(
            claim=claim, verdict=None, as_said=(), as_known=None, agrees=_agree(engine, [p for _, p in said])
        )
    to_said = tuple(_judged(claim, name, place, find) for name, place in said)
    to_known = _judged(claim, claim.venue or "", engine, find) if engine else None
    best = min((each.verdict for each in to_said), key=_goodness, default=None)
    verdicts = [each for each in (best, to_known.verdict if to_known else None) if each in _WORST]
    return Audit(
        claim=claim,
        verdict=min(verdicts, key=_WORST.index, default=Verdict.UNKNOWN_PLACE),
        as_said=to_said,
        as_known=to_known,
        agrees=_agree(engine, [place for _, place in said]) if said else None,
    )


def measured(
    claim: RegisteredClaim, registry: Registry, reader: StoreReader, window: Window, find: FindPlace
) -> Evidence | None:
    """What a hub measured of a claim's pair; None for a claim no round trip answers: of location, one-way, or without host."""
    host = _host(claim, registry)
    if host is None or claim.one_way or claim.origin is None or claim.low_ms is None or claim.high_ms is None:
        return None
    expected = Expectation(
        target=host,
        vantage=claim.origin,
        low_ms=claim.low_ms / claim.round_trips,
        high_ms=claim.high_ms / claim.round_trips,
        stands=claim.said[0] if len(claim.said) == 1 else None,
        source=claim.document,
    )
    judged = validate_all(reader, [expected], window, find, None)
    best = next((each for each in judged if each.validation.observed.min_ns is not None), judged[0])
    seen = best.validation.observed
    verdict = "no_data" if seen.min_ns is None else _MEASURED[best.validation.verdict]
    return Evidence(verdict, best.vantage, seen.min_ns, seen.p50_ns, best.validation.why)


def audit_document(made: Audit, evidence: Evidence | None) -> dict[str, Any]:
    """`nettrace.claim_audit/1`: floors are those of one round trip, or one way where the claim is of one."""
    claim = made.claim
    return {
        "schema": "nettrace.claim_audit/1", "id": claim.id, "kind": claim.kind, "quote": claim.quote,
        "document": claim.document, "line": claim.line, "date": claim.date, "from": claim.origin,
        "venue": claim.venue, "low_ms": claim.low_ms, "high_ms": claim.high_ms,
        "direction": "one_way" if claim.one_way else "round_trip", "round_trips": claim.round_trips,
        "verdict": made.verdict, "as_said": [_judgement(each) for each in made.as_said],
        "as_known": _judgement(made.as_known) if made.as_known else None, "said": list(claim.said),
        "registry": _registry(made),
        "measured": _evidence(evidence), "why": " ".join(_why(made, evidence)), "note": claim.note,
        "source": claim.source,
    }  # fmt: skip


FINDINGS = ("impossible", "contradicted", "implausible", "possible", "unknown_place")
"""What became of a claim, all considered, worst first."""


def finding(document: dict[str, Any]) -> str:
    """What a `nettrace.claim_audit/1` comes to: light first, then measurement and the registry.

    >>> finding({"verdict": "possible", "measured": {"verdict": "contradicted"}, "registry": None})
    'contradicted'
    >>> finding({"verdict": None, "measured": None, "registry": "agrees"})
    'possible'
    """
    verdict, seen, known = document["verdict"], document["measured"], document["registry"]
    if verdict == Verdict.IMPOSSIBLE:
        return "impossible"
    if (seen is not None and seen["verdict"] == "contradicted") or (
        verdict is None and known == "contradicts"
    ):
        return "contradicted"
    return str(verdict or ("possible" if known == "agrees" else Verdict.UNKNOWN_PLACE))


def audit_all(reader: StoreReader, window: Window, visible: Callable[[str], bool]) -> list[dict[str, Any]]:
    """Every claim that ships and the operator's own, with what a hub measured of it where whoever asks may see the host; `finding` beside it."""
    facts = known_facts()
    made: list[dict[str, Any]] = []
    for claim in known_claims():
        host = _host(claim, facts)
        seen = measured(claim, facts, reader, window, find_place) if host and visible(host) else None
        document = audit_document(audit(claim, facts, find_place), seen)
        made.append({**document, "finding": finding(document), "host": host})
    return made


def _registry(made: Audit) -> str | None:
    """What the registry says of where the document puts the venue; None when the document puts it nowhere."""
    if not made.claim.venue or not made.claim.said:
        return None
    return {True: "agrees", False: "contradicts", None: "unknown"}[made.agrees]


def _judged(claim: RegisteredClaim, name: str, place: Place | None, find: FindPlace) -> Judgement:
    origin = claim.origin or ""
    low, high = claim.low_ms or 0.0, claim.high_ms or 0.0
    scale = NS_PER_MS / claim.round_trips
    asked = Claim(
        text=claim.quote,
        origin=origin,
        destination=name,
        low_ns=round(low * scale),
        high_ns=round(high * scale),
        one_way=claim.one_way,
    )
    ends = {origin: find(origin), name: place}
    return judge(asked, ends.__getitem__)


def _goodness(verdict: Verdict) -> int:
    """Unknown counts as worse than any judgement: it says nothing."""
    return -_WORST.index(verdict) if verdict in _WORST else 1


def _agree(engine: Place | None, said: Sequence[Place | None]) -> bool | None:
    places = [place for place in said if place is not None]
    if engine is None or not places:
        return None
    return all(nearest_km(engine, place) <= SAME_PLACE_KM for place in places)


def _host(claim: RegisteredClaim, registry: Registry) -> str | None:
    venue = registry.venues.get(claim.venue or "")
    if venue is None:
        return None
    rest = (endpoint.host for endpoint in venue.endpoints if endpoint.protocol is Protocol.REST)
    return next(iter((*venue.hosts, *rest)), None)


def _why(made: Audit, evidence: Evidence | None) -> Iterator[str]:
    """Sentences for a person."""
    for each in made.as_said:
        yield f"{_sentence(each)} as the document puts it."
    if made.as_known is not None:
        yield f"{_sentence(made.as_known)} where the registry puts {made.claim.venue}."
    if made.agrees is False and made.claim.kind is ClaimKind.LOCATION:
        yield f"The registry puts {made.claim.venue} elsewhere."
    elif made.agrees is None and made.as_known is None and made.claim.venue:
        yield f"Where {made.claim.venue} stands is not known."
    if evidence is not None and evidence.verdict != "no_data":
        yield f"From {evidence.vantage}: {evidence.why}."


def _sentence(judgement: Judgement) -> str:
    place = judgement.destination
    if judgement.floor is None or place is None:
        return f"{judgement.claim.destination} is not known,"
    share = 0.5 if judgement.claim.one_way else 1.0
    light, fibre = (
        round(ns * share / NS_PER_MS, 1) for ns in (judgement.floor.vacuum_ns, judgement.floor.fibre_ns)
    )
    return f"{judgement.verdict.capitalize()} to {place.name} (light {light:g} ms, fibre {fibre:g} ms),"


def _judgement(judgement: Judgement) -> dict[str, Any]:
    share = 0.5 if judgement.claim.one_way else 1.0
    floor, place = judgement.floor, judgement.destination
    return {
        "place": place.name if place else judgement.claim.destination,
        "verdict": judgement.verdict,
        "floor_ms": ms(round(floor.vacuum_ns * share)) if floor else None,
        "fibre_ms": ms(round(floor.fibre_ns * share)) if floor else None,
    }


def _evidence(evidence: Evidence | None) -> dict[str, Any] | None:
    if evidence is None:
        return None
    return {
        "verdict": evidence.verdict,
        "vantage": evidence.vantage,
        "min_ms": ms(evidence.min_ns),
        "p50_ms": ms(evidence.p50_ns),
    }
