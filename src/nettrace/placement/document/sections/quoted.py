"""An earlier document held against this one: what in it is right, wrong or unknown, and where the two differ."""

from collections.abc import Mapping
from typing import Any

from nettrace.placement.document.brief import Quoted
from nettrace.placement.document.cell import milli
from nettrace.placement.document.ground import Ground
from nettrace.placement.document.shape import Block, Head, Items, Kind, Section, Words, table
from nettrace.placement.sheet import money

_SLACK = 0.1
"""A quoted time this far outside a measured one is another number, not rounding."""


def judged(ground: Ground) -> list[dict[str, Any]]:
    """Each claim of the earlier document: `right`, `wrong` or `unknown`, with the evidence."""
    return [_judged(ground, audit) for audit in ground.audits]


def _judged(ground: Ground, audit: Mapping[str, Any]) -> dict[str, Any]:
    verdict, why = _verdict(ground, audit)
    low, high = audit["low_ms"], audit["high_ms"]
    said = "" if low is None else f"{low:g} ms" if low == high else f"{low:g}-{high:g} ms"
    return {
        "id": audit["id"], "quote": audit["quote"], "line": audit["line"], "from": audit["from"] or "",
        "venue": audit["venue"] or ", ".join(audit["said"]), "said": said or ", ".join(audit["said"]), "verdict": verdict, "why": why,
    }  # fmt: skip


def _verdict(ground: Ground, audit: Mapping[str, Any]) -> tuple[str, str]:
    if audit["kind"] == "location":
        words = {"agrees": "right", "contradicts": "wrong", "unknown": "unknown", None: "unknown"}
        return words[audit["registry"]], _registry_words(ground, audit)
    if audit["verdict"] in {"impossible", "implausible"}:
        edge = (
            " The time itself may be true: then an edge near by answered." if audit["round_trips"] > 1 else ""
        )
        return "wrong", f"{audit['why']}{edge}"
    seen = ground.seen(audit["venue"], audit["site"]) if audit["site"] and audit["venue"] else None
    if seen is None:
        return "unknown", "Light allows it; the pair was not measured."
    stages = ground.measured.stages.get((audit["venue"], audit["site"]))
    trips = audit["round_trips"]
    cold = stages.cold_ms if stages else None
    if trips > 1 and (ground.world or cold is None):
        there = f"in the lab's world '{ground.world}'" if ground.world else f"from {audit['site']}"
        fresh = "" if cold is None else f", a request on a new connection {milli(cold)} ms"
        return "unknown", (
            f"Light allows it. It is a whole request on a new connection, {trips} round trips, taken once; {there} one round trip "
            f"takes {milli(seen.p50_ms)} ms{fresh}."
        )
    value = cold if trips > 1 and cold is not None else seen.p50_ms
    what = "a request on a new connection takes" if trips > 1 else "it takes"
    where = f"In the lab's world '{ground.world}'" if ground.world else "Measured"
    told = f"{where}, from {audit['site']}, {what} {milli(value)} ms ({'its truth' if seen.true else f'n {seen.n}'})."
    low, high = audit["low_ms"] * (1 - _SLACK), audit["high_ms"] * (1 + _SLACK)
    return ("right" if low <= value <= high else "wrong"), told


def _registry_words(ground: Ground, audit: Mapping[str, Any]) -> str:
    stand = ground.engine(audit["venue"]) if audit["venue"] else None
    if stand is None or stand.place == "unknown":
        return "Nobody has said where it stands."
    return f"The registry has {stand.place} ({stand.confidence.value}: {stand.source})."


def differences(ground: Ground, quoted: Quoted) -> list[dict[str, Any]]:
    """Each site of either document: recommended by which, and what this plan says of it."""
    theirs, ours = quoted.sites, ground.plan.sites
    made: list[dict[str, Any]] = []
    for name in dict.fromkeys((*theirs, *ours)):
        who = (
            "both"
            if name in theirs and name in ours
            else "only the earlier document"
            if name in theirs
            else "only this plan"
        )
        made.append({"site": name, "who": who, "why": _why(ground, name)})
    return made


def _why(ground: Ground, site: str) -> str:
    if site in ground.plan.sites:
        served = ", ".join(ground.title(each.venue) for each in ground.serves(site))
        if served:
            return f"serves {served}"
        return "the request pins it" if ground.site(site).pinned else "a backup"
    usd, _ = ground.latency_usd(ground.plan.sites)
    more, _ = ground.latency_usd((*ground.plan.sites, site))
    return f"would save {money(usd - more)} a month of latency for {money(ground.price(site))}"


def compared(ground: Ground, quoted: Quoted) -> list[dict[str, Any]]:
    """The earlier document's sites and this plan's, by the same measurements and prices."""
    made: list[dict[str, Any]] = []
    for who, sites in (("the earlier document's sites", quoted.sites), ("this plan", ground.plan.sites)):
        latency, lost = ground.latency_usd(sites)
        price = sum(ground.price(name) for name in sites)
        made.append(
            {
                "who": who,
                "sites": ", ".join(sites),
                "price": price,
                "latency": latency,
                "total": price + latency,
                "lost": ", ".join(lost),
            }
        )
    return made


def beside(ground: Ground) -> Section | None:
    """The section, or None where the request quotes no earlier document."""
    quoted = ground.brief.quoted
    if quoted is None:
        return None
    blocks: list[Block] = []
    if quoted.sites:
        columns = [("who", ""), ("sites", "sites"), ("price", "sites a month", Kind.USD), ("latency", "latency a month", Kind.USD), ("total", "together", Kind.USD), ("lost", "cannot serve")]  # fmt: skip
        blocks += [
            Head("Its recommendation and this one, by the same numbers"),
            table(columns, compared(ground, quoted)),
            table([("site", "site"), ("who", "recommended by"), ("why", "why")], differences(ground, quoted)),
        ]
    if quoted.costs:
        rows: list[dict[str, Any]] = [{"what": each.what, "usd": each.usd_month} for each in quoted.costs]
        rows.append({"what": "this plan's sites", "usd": ground.plan.cost_usd_month})
        blocks += [Head("Sums it names"), table([("what", "what"), ("usd", "a month", Kind.USD)], rows)]
    found = judged(ground)
    if found:
        tally = {word: sum(row["verdict"] == word for row in found) for word in ("right", "wrong", "unknown")}
        blocks += [
            Head("Its numbers"),
            Words(
                f"Of {len(found)} statements {tally['right']} are right, {tally['wrong']} wrong and {tally['unknown']} unknown.",
                strong=True,
            ),
            table(
                [
                    ("line", "line", Kind.COUNT),
                    ("from", "from"),
                    ("venue", "of"),
                    ("said", "said"),
                    ("verdict", "verdict", Kind.MARK),
                    ("why", "evidence"),
                ],
                found,
            ),
        ]
    if quoted.doubts:
        blocks += [Head("Its method"), Items(quoted.doubts)]
    words = Words(
        f"Statements of the {quoted.document} as they stand in the registry of claims, word for word. Wrong: light or glass cannot do it, "
        "the registry puts the venue elsewhere, or the measurement differs by more than a tenth. Unknown: nobody measured it."
    )
    return Section("quoted", "The earlier document, checked", (words, *blocks))
