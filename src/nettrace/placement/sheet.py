"""The plan as a document for a person, in Markdown: what to rent, what it brings, what is unsure, what would change it."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from nettrace.placement.request import Request, Site

Document = Mapping[str, Any]
_ALIKE = 1e-9
_MOST_FLIPS = 20


def sheet(request: Request, plan: Document) -> str:
    """The document of a plan: `plan` is `nettrace.plan/1`, with or without its optional parts."""
    parts = [["# Placement plan", ""]]
    if plan["status"] == "infeasible":
        parts.append(_conflict(plan))
    else:
        parts += [_summary(request, plan), _sites(request, plan), _venues(request, plan), _backups(plan)]
        parts += [_costs(request, plan), _chance(plan), _changes(plan), _front(plan)]
    parts.append(_basis(request, plan))
    return "\n".join(line for part in parts for line in part).rstrip() + "\n"


def money(usd: float | None) -> str:
    """Dollars for a person: cents only where there are any.

    >>> money(60.0), money(1234.5), money(0.004), money(None)
    ('$60', '$1,234.50', '$0.004', '-')
    """
    if usd is None:
        return "-"
    if 0 < abs(usd) < 0.01:
        return f"${usd:.3g}"
    return f"${usd:,.0f}" if abs(usd - round(usd)) < _ALIKE else f"${usd:,.2f}"


def latency(p50: float | None, low: float | None, high: float | None) -> str:
    """A latency with its interval.

    >>> latency(2.4, 2.1, 3.0), latency(2.4, None, None), latency(None, None, None)
    ('2.4 ms (2.1 to 3)', '2.4 ms (no interval)', '-')
    """
    if p50 is None:
        return "-"
    if low is None and high is None:
        return f"{p50:g} ms (no interval)"
    return f"{p50:g} ms ({'?' if low is None else f'{low:g}'} to {'?' if high is None else f'{high:g}'})"


def verdict(plan: Document) -> str:
    """How sure it is that nothing is better, in a sentence."""
    if plan["status"] == "optimal":
        return "Proven: no choice of sites costs less."
    bound, gap = money(plan["bound_usd_month"]), 100 * plan["gap"]
    return f"Not proven: time ran out. No choice costs less than {bound} a month, so at most {gap:.2g}% could be saved."


def flip_words(flip: Document) -> str:
    """One number that can change the choice, as a sentence's beginning."""
    number, now, then = flip["number"], flip["now"], flip["flips_at"]
    if number == "site_price":
        return f"{flip['site']} costs {money(then)} instead of {money(now)} a month"
    if number == "venue_weight":
        return f"a millisecond to {flip['venue']} is worth {money(then)} instead of {money(now)} a month"
    return f"{flip['site']} to {flip['venue']} takes {then:g} ms instead of {now:g} ms"


def _summary(request: Request, plan: Document) -> list[str]:
    count, total = len(plan["sites"]), len(request.site)
    lines = [
        f"Rent **{', '.join(_cell(name) for name in plan['sites'])}**: {count} of {total} sites, "
        f"{money(plan['cost_usd_month'])} a month ({money(plan['cost_usd_month'] * 12)} a year), "
        f"for {len(plan['assignments'])} venues.",
        "",
        f"With what latency costs ({money(plan['latency_usd_month'])} a month) the plan comes to "
        f"{money(plan['objective_usd_month'])} a month. {verdict(plan)}",
        "",
    ]
    return lines


def _sites(request: Request, plan: Document) -> list[str]:
    known = {site.name: site for site in request.site}
    served = {
        name: [row["venue"] for row in plan["assignments"] if row["site"] == name] for name in plan["sites"]
    }
    covers = {
        name: [row["venue"] for row in plan["assignments"] if row["backup"] == name] for name in plan["sites"]
    }
    rows = [
        (
            name,
            known[name].provider or "-",
            known[name].country or "-",
            money(known[name].usd_month),
            "yes" if known[name].pinned else "",
            ", ".join(served[name]) or "none",
            ", ".join(covers[name]) or "none",
        )
        for name in plan["sites"]
    ]
    heads = ("site", "provider", "country", "a month", "pinned", "serves", "backup of")
    return ["## Sites to rent", "", *_table(heads, rows), ""]


def _venues(request: Request, plan: Document) -> list[str]:
    venues = {venue.name: venue for venue in request.venue}
    rows = [
        (
            row["venue"],
            row["site"],
            latency(row["p50_ms"], row["low_ms"], row["high_ms"]),
            row["evidence"],
            _limit(venues[row["venue"]].max_ms),
            money(venues[row["venue"]].usd_per_ms_month),
            money(row["latency_usd_month"]),
        )
        for row in sorted(plan["assignments"], key=lambda row: -row["latency_usd_month"])
    ]
    heads = (
        "venue",
        "site",
        "median round trip (interval)",
        "evidence",
        "limit",
        "per ms",
        "latency a month",
    )
    return ["## Venues, dearest latency first", "", *_table(heads, rows), ""]


def _backups(plan: Document) -> list[str]:
    rows = [
        (
            row["venue"],
            row["site"],
            row["backup"],
            latency(row["backup_p50_ms"], row["backup_low_ms"], row["backup_high_ms"]),
            f"+{row['backup_p50_ms'] - row['p50_ms']:g} ms",
        )
        for row in plan["assignments"]
        if row["backup"] is not None
    ]
    if not rows:
        return ["## Backups", "", "None were asked for: losing a site cuts its venues off.", ""]
    heads = ("venue", "site", "backup", "median round trip (interval)", "change")
    return ["## Backups", "", *_table(heads, rows), ""]


def _costs(request: Request, plan: Document) -> list[str]:
    month = [
        ("sites", plan["cost_usd_month"]),
        ("latency", plan["latency_usd_month"]),
        ("together", plan["objective_usd_month"]),
    ]
    rows = [(name, money(usd), money(usd * 12)) for name, usd in month]
    lines = ["## Costs", "", *_table(("", "a month", "a year"), rows), ""]
    budget = request.limits.budget_usd_month
    if budget is not None:
        left = money(budget - plan["cost_usd_month"])
        lines += [f"Of the budget of {money(budget)} a month {left} are left.", ""]
    return lines


def _chance(plan: Document) -> list[str]:
    made = plan.get("chance")
    if made is None:
        return []
    lines = [
        "## How sure the choice is",
        "",
        f"In {100 * made['right']:.0f}% of {made['draws']} draws of all latencies from their intervals no other sites "
        f"were better; in {100 * made['feasible']:.0f}% every limit was kept.",
    ]
    if made["regret_p95_usd_month"] is not None:
        lines.append(
            f"In 95% of the draws the best sites would have saved {money(made['regret_p95_usd_month'])} a month or less."
        )
    if made["pairs_without_interval"]:
        lines.append(
            f"{made['pairs_without_interval']} latencies have no interval and stood still: the chance is flattered by them."
        )
    return [*lines, ""]


def _changes(plan: Document) -> list[str]:
    flips: Sequence[Document] | None = plan.get("sensitivity")
    if flips is None:
        return []
    lines = ["## What would change the choice", ""]
    if not flips:
        return [*lines, "No single number of the request.", ""]
    chosen = set(plan["sites"])
    for flip in flips[:_MOST_FLIPS]:
        share = "" if flip["share"] is None else f" ({100 * flip['share']:+.3g}%)"
        doubt = " **This lies inside its interval: measure it first.**" if flip["within_interval"] else ""
        lines.append(f"- {_cell(flip_words(flip))}{share}: {_after(flip['sites'], chosen)}.{doubt}")
    if len(flips) > _MOST_FLIPS:
        lines.append(f"- {len(flips) - _MOST_FLIPS} numbers that would have to change by more.")
    return [*lines, ""]


def _after(sites: Sequence[str], chosen: set[str]) -> str:
    if not sites:
        return "then no plan is possible"
    if set(sites) == chosen:
        return "then another of the same sites serves it"
    return f"then {', '.join(_cell(name) for name in sites)}"


def _front(plan: Document) -> list[str]:
    trades: Sequence[Document] | None = plan.get("pareto")
    if trades is None:
        return []
    rows = [
        (
            money(trade["cost_usd_month"]),
            money(trade["latency_usd_month"]),
            money(trade["objective_usd_month"]),
            ", ".join(trade["sites"]),
            "**this plan**"
            if trade["sites"] == plan["sites"]
            else ""
            if trade["within_budget"]
            else "over budget",
        )
        for trade in trades
    ]
    heads = ("sites a month", "latency a month", "together", "sites", "")
    return ["## Every sensible trade", "", *_table(heads, rows), ""]


def _conflict(plan: Document) -> list[str]:
    return [
        "**There is no plan.** " + _cell(plan["explanation"]),
        "",
        "## What cannot hold together",
        "",
        *(f"- {_cell(reason)}" for reason in plan["reasons"]),
        "",
        (
            "This is a smallest such set; there may be others."
            if plan["conflict_smallest"]
            else "All of them are needed for the conflict; a smaller one may exist."
        )
        + " Change one of them and plan again.",
        "",
    ]


def _basis(request: Request, plan: Document) -> list[str]:
    pairs = len(request.venue) * len(request.site)
    bare = sum(row.low_ms is None and row.high_ms is None for row in request.latency)
    lines = [
        "## What this rests on",
        "",
        f"- {len(request.latency)} of {pairs} pairs of venue and site have a latency; the others cannot be assigned.",
    ]
    if bare:
        lines.append(f"- {bare} latencies have no interval: nobody knows how sure they are.")
    if blind := [site.name for site in request.site if _placeless(site)]:
        lines.append(
            f"- {len(blind)} of {len(request.site)} sites have no coordinates: light could not be asked about them."
        )
    lines += [
        "- `given` is what the request says; only `measured` was seen by NetTrace.",
        "- Latency is counted as dollars per millisecond of the median, for every venue by itself. Backups are limits, not costs.",
        f"- Solved by {'exhaustive search' if plan['solver'] == 'search' else 'HiGHS'}.",
    ]
    return lines


def _placeless(site: Site) -> bool:
    return site.lat is None


def _limit(most: float | None) -> str:
    return "-" if most is None else f"{most:g} ms"


def _cell(text: str) -> str:
    """Text that no Markdown table or emphasis breaks on."""
    return "".join(f"\\{letter}" if letter in "|*_`<[]" else letter for letter in text.replace("\n", " "))


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    return [
        f"| {' | '.join(heads)} |",
        f"|{'---|' * len(heads)}",
        *(
            f"| {' | '.join(cell if cell.startswith('**') else _cell(cell) for cell in row)} |"
            for row in rows
        ),
    ]
