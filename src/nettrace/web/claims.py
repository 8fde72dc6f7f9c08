"""Claims of documents, each beside its floor, what this hub measured, and what became of it."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

import msgspec
from litestar import Response
from litestar.handlers import HTTPRouteHandler

from nettrace.hub.claims import FINDINGS, audit_all
from nettrace.model.instant import NS_PER_S
from nettrace.store.rows import Window
from nettrace.web.chart import Tools
from nettrace.web.door import Visit, door
from nettrace.web.hub import Hub

HOURS = {"24": "24 hours", "48": "two days", "168": "7 days", "720": "30 days"}
COLUMNS = {
    "finding": "Finding", "said": "Claim", "claimed": "Claimed, ms", "floor": "Light, ms", "measured": "Measured, ms",
    "document": "Where it stands",
}  # fmt: skip
"""What can be sorted by, and its heading."""
_STATES = {
    "impossible": "failed", "contradicted": "failed", "implausible": "stale", "possible": "good", "unknown_place": "not_measured",
}  # fmt: skip


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """A claim as the table shows it.

    Attributes:
        claimed_ms: the slowest end of a round trip as claimed (or one way, where the claim is of one).
        floor_ms: light to the far end that the verdict rests on.
        bar: claimed low and high end, floor and measured in per cent of the greatest; None for a claim of location.
    """

    audit: Mapping[str, Any]
    state: str
    said: str
    claimed_ms: float | None
    floor_ms: float | None
    fibre_ms: float | None
    measured_ms: float | None
    bar: tuple[float, float, float | None, float | None] | None


def claim_doors(hub: Hub) -> list[HTTPRouteHandler]:
    """The page."""
    return [door(hub, "/claims", claims_page)]


async def claims_page(visit: Visit) -> Response[Any]:
    """Every claim; `finding=`, `venue=`, `hours=`, `sort=` (with a minus: the other way round)."""
    hours = visit.query.get("hours", "48") if visit.query.get("hours") in HOURS else "48"
    reach = Window(visit.now - int(hours) * 3600 * NS_PER_S, visit.now + 1)
    window = visit.hub.access.window(visit.caller, reach, visit.now) if visit.caller else reach
    seen = {target.host for target in visit.snapshot.visible(visit.account)}
    found = await visit.hub.readers.run(lambda reader: audit_all(reader, window, seen.__contains__))
    wanted, venue = visit.query.get("finding", ""), visit.query.get("venue", "")
    wanted = wanted if wanted in FINDINGS else ""
    chosen = [
        each for each in found if wanted in {"", each["finding"]} and venue in {"", each["venue"] or ""}
    ]
    order, back = (
        visit.query.get("sort", "finding").removeprefix("-"),
        visit.query.get("sort", "").startswith("-"),
    )
    order = order if order in COLUMNS else "finding"
    rows = sorted((_row(each) for each in chosen), key=lambda row: _rank(row, order), reverse=back)
    asked = {"finding": wanted, "venue": venue, "hours": hours if hours != "48" else ""}
    told: dict[str, Any] = {
        "page": "plan", "rows": rows, "total": len(found), "counts": [(name, sum(each["finding"] == name for each in found)) for name in FINDINGS],
        "findings": FINDINGS, "finding": wanted, "venue": venue, "venues": sorted({each["venue"] for each in found if each["venue"]}),
        "hours": HOURS, "chosen_hours": hours, "columns": COLUMNS, "order": order, "back": back, "states": _STATES,
        "sorts": {name: _at({**asked, "sort": f"-{name}" if name == order and not back else name}) for name in COLUMNS},
        "tools": _tools(asked, f"-{order}" if back else order),
    }  # fmt: skip
    return visit.page("claims.html", told, embed=visit.embed)


def _row(audit: Mapping[str, Any]) -> Row:
    judged = [
        each for each in [*audit["as_said"], audit["as_known"]] if each and each["floor_ms"] is not None
    ]
    telling = [each for each in judged if each["verdict"] == audit["verdict"]] or judged
    best = min(telling, key=lambda each: each["floor_ms"], default=None)
    trips, seen = audit["round_trips"], audit["measured"]
    measured = seen["p50_ms"] if seen else None
    low, high = (None if audit[end] is None else audit[end] / trips for end in ("low_ms", "high_ms"))
    floor = best["floor_ms"] if best else None
    return Row(
        audit=audit, state=_STATES[audit["finding"]], said=_said(audit), claimed_ms=high, floor_ms=floor,
        fibre_ms=best["fibre_ms"] if best else None, measured_ms=measured, bar=_bar(low, high, floor, measured),
    )  # fmt: skip


def _bar(
    low: float | None, high: float | None, floor: float | None, measured: float | None
) -> tuple[float, float, float | None, float | None] | None:
    if low is None or high is None:
        return None
    most = 1.05 * max(high, floor or 0.0, measured or 0.0) or 1.0
    ends = [None if value is None else round(100 * value / most, 1) for value in (floor, measured)]
    return round(100 * low / most, 1), round(100 * high / most, 1), ends[0], ends[1]


def _said(audit: Mapping[str, Any]) -> str:
    """What was claimed, in a line.

    >>> _said({"kind": "location", "venue": "kraken-spot", "said": ["London"], "from": None})
    'kraken-spot stands in London'
    """
    if audit["kind"] == "location":
        return f"{audit['venue']} stands in {', '.join(audit['said'])}"
    low, high = audit["low_ms"], audit["high_ms"]
    span = f"{high:g}" if low == high else f"{low:g} to {high:g}"
    far = audit["venue"] or ", ".join(audit["said"])
    way = " one way" if audit["direction"] == "one_way" else ""
    trips = f" for {audit['round_trips']} round trips" if audit["round_trips"] > 1 else ""
    return f"{audit['from']} to {far}: {span} ms{way}{trips}"


def _rank(row: Row, order: str) -> tuple[Any, ...]:
    """What is not known comes last in ascending order."""
    audit = row.audit
    number = {"claimed": row.claimed_ms, "floor": row.floor_ms, "measured": row.measured_ms}
    if order in number:
        value = number[order]
        return (value is None, value or 0.0, audit["id"])
    words = {
        "finding": FINDINGS.index(audit["finding"]),
        "said": row.said.lower(),
        "document": audit["document"],
    }
    return (words[order], audit["document"], audit["line"])


def _at(asked: Mapping[str, str], path: str = "/claims") -> str:
    kept = {name: value for name, value in asked.items() if value}
    return f"{path}?{urlencode(kept)}" if kept else path


def _tools(asked: Mapping[str, str], order: str) -> Tools:
    shown = {**asked, "sort": order if order != "finding" else ""}
    return Tools(
        api=_at(asked, "/api/v1/claims"), csv=_at({**asked, "format": "csv"}, "/api/v1/claims"),
        permalink=_at(shown), embed=_at({**shown, "embed": "1"}),
    )  # fmt: skip
