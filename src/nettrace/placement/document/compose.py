"""The whole document from everything that is known, and what `nettrace.plan/1` carries of it."""

from typing import Any

import msgspec

from nettrace.placement import search
from nettrace.placement.document.ground import Ground
from nettrace.placement.document.sections.choice import before_after, costs, phase_plan, summary, sureness
from nettrace.placement.document.sections.free import free
from nettrace.placement.document.sections.map import topology
from nettrace.placement.document.sections.market import advice, brokers, clusters, providers
from nettrace.placement.document.sections.places import renters, sheets
from nettrace.placement.document.sections.quoted import beside
from nettrace.placement.document.sections.risk import risks
from nettrace.placement.document.sections.trial import migration, trial, watching
from nettrace.placement.document.sections.worth import returns
from nettrace.placement.document.shape import Items, PlacementDocument, Section, Words
from nettrace.placement.money import dollars
from nettrace.placement.plan import Status, plain
from nettrace.placement.problem import Reader, bits, price_of, requirements
from nettrace.placement.sheet import money


def composed(ground: Ground) -> PlacementDocument:
    """Every section, in reading order; without a plan only why there is none, and what can be done."""
    if ground.plan.status is Status.INFEASIBLE:
        return PlacementDocument(ground.brief.title, (_conflict(ground), free(ground), trial(ground)))
    made = [
        summary(ground), free(ground), brokers(ground), providers(ground), clusters(ground), sheets(ground),
        phase_plan(ground), costs(ground), before_after(ground), returns(ground), topology(ground), advice(ground),
        renters(ground), trial(ground), migration(ground), risks(ground), watching(ground), sureness(ground), beside(ground),
    ]  # fmt: skip
    kept = [section for section in made if section is not None and section.blocks]
    return PlacementDocument(ground.brief.title, (*kept, _rests(ground)))


def parts(ground: Ground) -> dict[str, Any]:
    """What the document adds to `nettrace.plan/1`: additive, the contract's fields stay as they are."""
    return {
        "brief": msgspec.to_builtins(ground.brief), "set_aside": list(ground.aside), "world": ground.world,
        "measured": [plain(seen) for seen in ground.measured.pairs.values()],
        "stages": [plain(stages) for stages in ground.measured.stages.values()],
        "document": plain(composed(ground)),
    }  # fmt: skip


def _conflict(ground: Ground) -> Section:
    smallest = (
        "This is a smallest such set, proven; there may be others."
        if ground.plan.conflict_smallest
        else f"All of them are needed for the conflict; a smaller one, of {ground.plan.conflict_at_least} or more, is not excluded."
    )
    return Section(
        "conflict",
        "What cannot hold together",
        (
            Words("There is no plan.", strong=True),
            Words(ground.plan.explanation or ""),
            Items(ground.plan.reasons),
            Words(f"{smallest} Change one of them and plan again."),
            *(
                (Words("What each change alone would bring:"), Items(eased))
                if (eased := _eased(ground))
                else ()
            ),
        ),
    )


def _eased(ground: Ground) -> tuple[str, ...]:
    """What the best plan without each requirement of the conflict is; empty where finding it would take long."""
    reader = Reader(ground.request)
    if len(ground.request.site) > search.MOST_SITES:
        return ()
    known = {each.name: each for each in requirements(ground.request)}
    told: list[str] = []
    for name in ground.plan.conflict:
        if name not in known:
            continue
        problem = reader.problem([known[name]])
        chosen = search.best(problem)
        if chosen is None:
            told.append(f"Without {name}: still no plan, something else is in conflict too.")
            continue
        sites = ", ".join(ground.request.site[at].name for at in bits(chosen))
        told.append(f"Without {name}: {sites}, {money(dollars(price_of(problem, chosen)))} a month.")
    return tuple(told)


def _rests(ground: Ground) -> Section:
    pairs = len(ground.asked.venue) * len(ground.asked.site)
    count = {
        kind: sum(row.evidence == kind for row in ground.request.latency)
        for kind in ("measured", "estimated", "given")
    }
    blind = [site.name for site in ground.asked.site if site.lat is None]
    lines = [
        f"{pairs} pairs of venue and site: {count['measured']} measured, {count['estimated']} estimated, {count['given']} given by the request"
        f"{' or the truth of the lab' if ground.world else ''}, {pairs - len(ground.request.latency)} unknown and never assigned.",
        "Only 'measured' was seen by NetTrace. 'unknown' means that nobody measured it; no number stands in its place.",
        "Latency is counted as dollars per millisecond of the median, for every venue by itself. Backups are limits, not costs.",
        f"Solved by {'exhaustive search' if ground.plan.solver == 'search' else 'HiGHS'}.",
    ]
    if blind:
        lines.append(f"{', '.join(blind)} have no coordinates: light could not be asked about them.")
    seen = [each for each in ground.measured.pairs.values() if each.since]
    if seen:
        lines.append(
            f"Measured between {min(each.since or '' for each in seen)} and {max(each.until or '' for each in seen)}."
        )
    lines += [
        f"{ground.title(venue)} from {site}: all hours count, because {why}."
        for (venue, site), why in ground.measured.unsplit.items()
    ]
    return Section("basis", "What this rests on", (Items(tuple(lines)),))
