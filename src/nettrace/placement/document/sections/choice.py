"""What to do: summary with priorities, phases, what it costs, before and after, and how sure all that is."""

from itertools import pairwise
from typing import Any

from nettrace.placement.document.ground import Ground, basis, triple
from nettrace.placement.document.shape import Block, Items, Kind, Section, Words, table
from nettrace.placement.sheet import flip_words, money, verdict

_MOST_FLIPS = 12


def phases(ground: Ground) -> list[dict[str, Any]]:
    """The chosen sites in the order that saves most soonest, then those not chosen; each with what it adds.

    The first are those that stand already (today's and pinned ones); when today's is given up, the first phase's gain is
    against it. A phase's gain is what latency costs less with it than before it, every venue using the nearest site it
    does not refuse.
    """
    chosen = ground.plan.sites
    have = tuple(name for name in chosen if ground.site(name).pinned or name == ground.brief.now)
    rows = [_phase(ground, (), have, "standing")] if have else []
    left = [name for name in chosen if name not in have]
    before = have or ((ground.brief.now,) if ground.brief.now else ())
    while left:
        best = min(left, key=lambda name: _worth(ground, (*have, name)))
        rows.append(_phase(ground, before, (*have, best), "rent"))
        have = before = (*have, best)
        left.remove(best)
    others = [site.name for site in ground.request.site if site.name not in chosen]
    rows += [
        _phase(ground, have, (*have, name), "not now")
        for name in sorted(others, key=lambda n: _worth(ground, (*have, n)))
    ]
    first = 0 if rows and rows[0]["what"] == "standing" else 1
    return [{"phase": at if row["what"] != "not now" else None, **row} for at, row in enumerate(rows, first)]


def _worth(ground: Ground, sites: tuple[str, ...]) -> tuple[int, float]:
    usd, lost = ground.latency_usd(sites)
    return len(lost), usd + sum(ground.price(name) for name in sites)


def _phase(ground: Ground, before: tuple[str, ...], after: tuple[str, ...], what: str) -> dict[str, Any]:
    new = [name for name in after if name not in before]
    usd, lost = ground.latency_usd(after)
    then, then_lost = ground.latency_usd(before)
    opened = [name for name in then_lost if name not in lost]
    common = sum(
        ground.venue(name).usd_per_ms_month * ground.ranked(name, after)[0].p50_ms for name in opened
    )  # a venue served for the first time saves nothing: it had no latency before
    gain = then - (usd - common) if before else None
    cost = sum(ground.price(name) for name in new)
    return {
        "sites": ", ".join(new), "what": what, "usd_month": cost, "saves_usd_month": gain,
        "net_usd_month": None if gain is None else gain - cost, "opens": ", ".join(opened) if before else "", "cut_off": ", ".join(lost),
    }  # fmt: skip


def summary(ground: Ground) -> Section:
    """What to rent, in which order, and what it brings."""
    plan = ground.plan
    kept = [name for name in plan.sites if name == ground.brief.now or ground.site(name).in_use]
    new = [name for name in plan.sites if name not in kept]
    told = [f"{verb} {', '.join(names)}" for verb, names in (("keep", kept), ("rent", new)) if names]
    does = " and ".join(told)
    blocks: list[Block] = [
        Words(
            f"{does[:1].upper()}{does[1:]}: {len(plan.sites)} of {len(ground.request.site)} sites for "
            f"{len(plan.assignments)} venues, {money(plan.cost_usd_month)} a month "
            f"({money((plan.cost_usd_month or 0) * 12)} a year).",
            strong=True,
        ),
        Words(
            f"With what latency costs ({money(plan.latency_usd_month)} a month) it comes to "
            f"{money(plan.objective_usd_month)} a month. {verdict({'status': plan.status, 'bound_usd_month': plan.bound_usd_month, 'gap': plan.gap})}"
        ),
    ]
    if ground.world:
        blocks.append(
            Words(
                f"Measured in the lab's world '{ground.world}', an internet built after public sources, not in the real one: "
                "the method is real, the milliseconds are that world's.",
                strong=True,
            )
        )
    if ground.brief.now:
        before, lost = ground.latency_usd((ground.brief.now,))
        words = f"Latency from {ground.brief.now} alone costs {money(before)} a month"
        words += f", and {', '.join(lost)} cannot be served from there" if lost else ""
        blocks.append(Words(f"{words}. Before anything is rented, do what is free: the next section."))
    if ground.aside:
        blocks.append(
            Words(
                f"Unknown and therefore not planned: {', '.join(ground.aside)}. No latency of theirs is measured, given or can be estimated."
            )
        )
    rows = [row for row in phases(ground) if row["what"] != "not now"]
    order = [("phase", "priority", Kind.COUNT), ("sites", "site"), ("what", "what"), ("usd_month", "a month", Kind.USD), ("saves_usd_month", "saves a month", Kind.USD), ("opens", "opens")]  # fmt: skip
    return Section("summary", "Summary and priorities", (*blocks, table(order, rows)))


def phase_plan(ground: Ground) -> Section:
    """In which order, and what each step adds."""
    columns = [
        ("phase", "phase", Kind.COUNT), ("sites", "site"), ("what", "what"), ("usd_month", "costs a month", Kind.USD),
        ("saves_usd_month", "latency saved a month", Kind.USD), ("net_usd_month", "left over a month", Kind.USD),
        ("opens", "venues it opens"), ("cut_off", "still cut off"),
    ]  # fmt: skip
    rows = phases(ground)
    steps: list[Block] = []
    for before, after in pairwise([row for row in rows if row["what"] != "not now"]):
        del before
        served = ", ".join(ground.title(each.venue) for each in ground.serves(after["sites"]))
        services = ", ".join(each.name for each in ground.services(after["sites"])) or "none named"
        steps.append(
            Words(
                f"Phase {after['phase']}, {after['sites']}: serves {served or 'nothing; it is a backup'}. Services: {services}."
            )
        )
    note = Words(
        "A phase's saving is against the phases before it, each venue using the nearest site it does not refuse. "
        "'not now' is what one more site would add to the finished plan: below zero it costs more than it saves."
    )
    return Section("phases", "Phases", (table(columns, rows), *steps, note))


def costs(ground: Ground) -> Section:
    """Month and year, site by site."""
    rows: list[dict[str, Any]] = []
    for name in ground.plan.sites:
        usd, transfer = ground.price(name), ground.brief.of_site(name).transfer_usd_month
        rows.append(
            {"what": name, "machine": usd - transfer, "transfer": transfer, "month": usd, "year": usd * 12}
        )
    sites, latency = ground.plan.cost_usd_month or 0.0, ground.plan.latency_usd_month or 0.0
    rows += [
        {
            "what": f"{'giving up' if move.gives_up else 'setting up'} {move.site}: {money(move.usd_once)} once, {move.hours:g} hours, over {ground.request.limits.months:g} months",
            "month": move.usd_month, "year": move.usd_month * 12,
        }
        for move in ground.plan.moves
    ]  # fmt: skip
    rows.append({"what": "all sites", "month": sites, "year": sites * 12})
    rows.append({"what": "latency, as valued in the request", "month": latency, "year": latency * 12})
    rows.append({"what": "together", "month": sites + latency, "year": (sites + latency) * 12})
    columns = [("what", ""), ("machine", "machine", Kind.USD), ("transfer", "traffic", Kind.USD), ("month", "a month", Kind.USD), ("year", "a year", Kind.USD)]  # fmt: skip
    budget = ground.request.limits.budget_usd_month
    left = (
        ()
        if budget is None
        else (Words(f"Of the budget of {money(budget)} a month {money(budget - sites)} are left."),)
    )
    return Section("costs", "Costs", (table(columns, rows), *left))


def before_after(ground: Ground) -> Section:
    """Each venue from today's site and from the plan's, with the interval of the difference."""
    now = ground.brief.now
    moved = {move.site: move for move in ground.plan.moves if not move.gives_up}
    rows: list[dict[str, Any]] = []
    for each in ground.plan.assignments:
        move = moved.get(each.site)
        old, new = ground.row(each.venue, now) if now else None, ground.row(each.venue, each.site)
        if now and ground.refuses(each.venue, now):
            old = None
        rows.append(
            {
                "venue": ground.title(each.venue), "before": triple(old), "site": each.site, "after": triple(new),
                "saved": _saved(triple(old), triple(new)), "by": ground.brief.of_venue(each.venue).by,
                "evidence": basis(new), "n": seen.n if (seen := ground.seen(each.venue, each.site)) else None,
                "move_hours": move.hours if move else None, "move_usd": move.usd_once if move else None,
            }
        )  # fmt: skip
    rows += [{"venue": ground.title(name), "site": "unknown", "evidence": "unknown"} for name in ground.aside]
    columns = [
        ("venue", "venue"), ("before", f"from {now}" if now else "before", Kind.MEDIAN), ("site", "served by"),
        ("after", "then", Kind.MEDIAN), ("saved", "saved", Kind.MEDIAN), ("by", "what is timed"), ("evidence", "evidence"),
        ("n", "n", Kind.COUNT), ("move_hours", "moving, hours once", Kind.COUNT), ("move_usd", "moving, once", Kind.USD),
    ]  # fmt: skip
    note = Words(
        "Medians in ms, in brackets the 95 % interval of the median over the answers that were counted; the interval of a "
        "saving reaches from the worst ends to the best ones. It says how well the median of those minutes is known, not what other "
        "hours bring. 'rtt' is one round trip to the host; 'request' is the first byte on an open connection, which goes through a "
        "content network's edge to the engine behind it."
    )
    return Section(
        "before-after", "Latency before and after", (table(columns, rows), note, Words(_moving(ground)))
    )


def _moving(ground: Ground) -> str:
    """What moving costs over all sites, in words."""
    moves = ground.plan.moves
    if not moves:
        return "Moving: the request names no effort (move_hours, move_usd of a site) for what the plan sets up or gives up; it counts as nothing."
    hours, usd = sum(move.hours for move in moves), sum(move.usd_once for move in moves)
    left = [move.site for move in moves if move.gives_up]
    given = f", giving up {', '.join(left)} included" if left else ""
    return (
        f"Moving: {hours:g} hours and {money(usd)} once{given}; the dollars count the hours. A site is set up once for all the "
        "venues it serves: its effort stands beside each of them and is paid once."
    )


def _saved(old: list[float | None] | None, new: list[float | None] | None) -> list[float | None] | None:
    if old is None or new is None:
        return None

    def less(a: float | None, b: float | None) -> float | None:
        return None if a is None or b is None else round(a - b, 3)

    return [less(old[0], new[0]), less(old[1], new[2]), less(old[2], new[1])]


def sureness(ground: Ground) -> Section:
    """The chance that the choice is right, what would change it, and every sensible trade."""
    blocks: list[Block] = []
    made = ground.extras.get("chance")
    if made:
        words = f"In {made['right']:.0%} of {made['draws']} draws of all latencies from their intervals no other sites were better; in {made['feasible']:.0%} every limit was kept."
        if made["regret_p95_usd_month"] is not None:
            words += f" In 95 % of the draws the best sites would have saved {money(made['regret_p95_usd_month'])} a month or less."
        if made["pairs_without_interval"]:
            words += f" {made['pairs_without_interval']} latencies have no interval and stood still, which flatters the chance."
        blocks.append(Words(words))
    flips = ground.extras.get("sensitivity")
    if flips is not None:
        lines: list[str] = []
        for flip in flips[:_MOST_FLIPS]:
            after = ", ".join(flip["sites"]) if flip["sites"] else "no plan is possible"
            share = "" if flip["share"] is None else f" ({100 * flip['share']:+.3g}%)"
            doubt = " This lies inside its interval: measure it first." if flip["within_interval"] else ""
            lines.append(f"{flip_words(flip)}{share}: then {after}.{doubt}")
        if len(flips) > _MOST_FLIPS:
            lines.append(f"{len(flips) - _MOST_FLIPS} numbers that would have to change by more.")
        blocks += [
            Words("What would change the choice, least change first:"),
            Items(tuple(lines) or ("No single number.",)),
        ]
    trades = ground.extras.get("pareto")
    if trades:
        rows = [
            {**trade, "sites": ", ".join(trade["sites"]), "mark": _mark(trade, ground.plan.sites)}
            for trade in trades
        ]
        columns = [("cost_usd_month", "sites a month", Kind.USD), ("latency_usd_month", "latency a month", Kind.USD), ("objective_usd_month", "together", Kind.USD), ("sites", "sites"), ("mark", "", Kind.MARK)]  # fmt: skip
        blocks += [
            Words("Every sensible trade between what sites and what latency cost:"),
            table(columns, rows),
        ]
    return Section("sureness", "How sure the choice is", tuple(blocks))


def _mark(trade: dict[str, Any], sites: tuple[str, ...]) -> str:
    if tuple(trade["sites"]) == sites:
        return "this plan"
    return "" if trade["within_budget"] else "over budget"
