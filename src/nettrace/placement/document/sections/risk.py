"""What may go wrong, worked out from the plan: each loss of a site, each provider, each number nobody measured."""

from datetime import date
from typing import Any

from nettrace.placement.document.ground import Ground, triple
from nettrace.placement.document.shape import Block, Head, Items, Kind, Section, Words, table
from nettrace.placement.plan import Assignment
from nettrace.placement.registry.facts import Confidence

CUT_OFF = "cut off"
_OLD_DAYS = 365
_WEAK = (Confidence.INFERRED, Confidence.UNSOURCED)


def losses(ground: Ground) -> list[dict[str, Any]]:
    """What the loss of each chosen site, and of each provider with several, does to every venue it serves."""
    made: list[dict[str, Any]] = []
    groups: dict[str, tuple[str, ...]] = {name: (name,) for name in ground.plan.sites}
    for name in ground.plan.sites:
        owner = ground.site(name).provider
        same = tuple(other for other in ground.plan.sites if ground.site(other).provider == owner)
        if owner and len(same) > 1:
            groups[f"all of {owner}"] = same
    for what, gone in groups.items():
        left = tuple(name for name in ground.plan.sites if name not in gone)
        rows = [_loss(ground, what, each, left) for each in ground.plan.assignments if each.site in gone]
        if len(gone) > 1 and rows and all(row["then"] == CUT_OFF for row in rows):
            rows = [{"lost": what, "title": f"all {len(rows)} venues it serves", "then": CUT_OFF}]
        made += rows
    return made


def _loss(ground: Ground, what: str, each: Assignment, left: tuple[str, ...]) -> dict[str, Any]:
    rows = ground.ranked(each.venue, left)
    return {
        "lost": what, "title": ground.title(each.venue), "p50": triple(ground.row(each.venue, each.site)),
        "then": rows[0].site if rows else CUT_OFF, "instead": triple(rows[0]) if rows else None,
    }  # fmt: skip


def risks(ground: Ground) -> Section:
    """Losses as a table, and everything else as sentences with what to do about it."""
    rows = losses(ground)
    columns = [("lost", "when this is lost"), ("title", "venue"), ("p50", "instead of", Kind.MEDIAN), ("then", "comes from"), ("instead", "with", Kind.MEDIAN)]  # fmt: skip
    cut = list(dict.fromkeys(row["lost"] for row in rows if row["then"] == CUT_OFF))
    blocks: list[Block] = [Head("A site or a provider is lost"), table(columns, rows)]
    if cut:
        blocks.append(
            Words(
                f"Losing {' or '.join(cut)} cuts venues off. Ask for it to be otherwise: redundancy = 1 and "
                'backup_differs = "provider" under [limits], with sites of another provider to choose from.',
                strong=True,
            )
        )
    doubts = [*_unmeasured(ground), *_weak(ground), *_prices(ground), *_close(ground), *_money(ground)]
    items = Items(tuple(doubts) or ("Nothing in doubt was found.",))
    return Section("risks", "Risks", (*blocks, Head("What the plan rests on"), items))


def _unmeasured(ground: Ground) -> list[str]:
    guessed = [each for each in ground.plan.assignments if each.evidence.value != "measured"]
    made = [
        f"{ground.title(each.venue)} from {each.site} is {each.evidence.value}, not measured: run the test plan before moving."
        for each in guessed
    ]
    made += [f"{ground.title(name)} is unknown from every site and not in the plan." for name in ground.aside]
    pairs = len(ground.request.venue) * len(ground.request.site)
    if missing := pairs - len(ground.request.latency):
        made.append(
            f"{missing} of {pairs} pairs of venue and site are unknown; a better site may hide among them."
        )
    few = [each for each in ground.plan.assignments if each.low_ms is None]
    if few:
        made.append(
            f"{', '.join(ground.title(each.venue) for each in few)}: no interval; nobody knows how sure the number is."
        )
    return made


def _weak(ground: Ground) -> list[str]:
    weak = [
        ground.title(venue.name)
        for venue in ground.request.venue
        if (stand := ground.engine(venue.name)) is None
        or stand.confidence in _WEAK
        or stand.place == "unknown"
    ]
    if not weak:
        return []
    return [
        f"Where the engines of {', '.join(weak)} stand is not known or only inferred; the measurements decide, not the address."
    ]


def _prices(ground: Ground) -> list[str]:
    old: list[str] = []
    for name in ground.plan.sites:
        wanted = ground.brief.of_site(name).machine
        provider = name.partition(":")[0]
        plan = next(
            (each for each in ground.registry.plans if (each.provider, each.name) == (provider, wanted)), None
        )
        if plan is not None and (ground.today - _day(plan.date)).days > _OLD_DAYS:
            old.append(f"{name} ({plan.date})")
    return [f"Prices are old: {', '.join(old)}. Look them up before renting."] if old else []


def _close(ground: Ground) -> list[str]:
    flips = [flip for flip in ground.extras.get("sensitivity", ()) if flip["within_interval"]]
    return [
        f"The choice changes when {flip['venue']} from {flip['site']} takes {flip['flips_at']:g} ms, which lies inside its interval."
        for flip in flips
    ]


def _money(ground: Ground) -> list[str]:
    weights = [venue.name for venue in ground.request.venue if venue.usd_per_ms_month > 0]
    if not weights:
        return ["No venue says what a millisecond is worth: the plan minimises price alone."]
    return [
        "What a millisecond is worth is the request's word. Slippage measured from your own fills replaces it; until then read the sensitivity."
    ]


def _day(text: str) -> date:
    parts = [int(part) for part in text.split("-")]
    return date(*[*parts, 1, 1][:3])
