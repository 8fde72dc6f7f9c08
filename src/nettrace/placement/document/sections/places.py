"""What is rented: a sheet for each site, and who rents out machines there."""

from typing import Any

from nettrace.placement.document.ground import Ground, basis, triple
from nettrace.placement.document.sections.market import hours
from nettrace.placement.document.shape import Block, Head, Kind, Section, Words, table
from nettrace.placement.registry.facts import MachinePlan
from nettrace.placement.registry.places import HOURS_A_MONTH, plans_at
from nettrace.placement.service import RESOURCES
from nettrace.placement.sheet import money

_MOST_MACHINES = 3


def sheets(ground: Ground) -> Section:
    """Each chosen site: services, what they need, what to rent, what it serves and backs up."""
    blocks: list[Block] = []
    for name in ground.plan.sites:
        site = ground.site(name)
        pinned = " It must be kept: the request pins it." if site.pinned else ""
        blocks += [
            Head(name),
            Words(
                f"{site.provider or 'provider unknown'}, {site.country or 'country unknown'}, {money(ground.price(name))} a month.{pinned}"
            ),
        ]
        blocks += _rented(ground, name)
        services = ground.services(name)
        if services:
            rows = [{"name": s.name, "venues": ", ".join(v for v in s.venues if _mine(ground, v, name)), "vcpu": s.vcpu, "memory": s.memory_gb, "disk": s.disk_gb} for s in services]  # fmt: skip
            blocks.append(
                table(
                    [
                        ("name", "service"),
                        ("venues", "for"),
                        ("vcpu", "vCPU", Kind.COUNT),
                        ("memory", "memory GB", Kind.COUNT),
                        ("disk", "disk GB", Kind.COUNT),
                    ],
                    rows,
                )
            )
            vcpu, memory, disk = ground.needs(name)
            blocks.append(
                Words(
                    f"Together {vcpu:g} vCPU, {memory:g} GB of memory, {disk:g} GB of disk: {_machine(ground, name)}"
                )
            )
        elif not ground.request.service:
            blocks.append(Words("The request names no services for it."))
        blocks.append(_venues(ground, name))
    return Section("sites", "Sites to rent", tuple(blocks))


def _rented(ground: Ground, site: str) -> list[Block]:
    """What the plan itself rents here: the machine, and the services placed on it."""
    found = next(each for each in ground.plan.rented if each.site == site)
    machine = next((each for each in ground.site(site).plan if each.name == found.plan), None)
    if machine is None:
        return []
    columns = [("name", "resource"), ("need", "needed", Kind.COUNT), ("has", "of the machine", Kind.COUNT)]
    words = f"{', '.join(found.services) or 'No placed service'} on {machine.name}, {money(found.usd_month)} a month with the site."
    rows = [{"name": name, "need": getattr(found, name), "has": getattr(machine, name)} for name in RESOURCES]
    return [Words(words), table(columns, rows)] if found.services else [Words(words)]


def _mine(ground: Ground, venue: str, site: str) -> bool:
    served = ground.assignment(venue)
    return served is not None and served.site == site


def _machine(ground: Ground, site: str) -> str:
    wanted = ground.brief.of_site(site).machine
    found = ground.machines(site)
    if wanted is not None:
        fits = next((plan for plan, _ in found if plan.name == wanted), None)
        if fits is None:
            return f"the request's {wanted} is too small for them, or the registry does not know it."
        return f"{_specs(fits)} holds them."
    if not found:
        return "the registry knows no plan here that holds them."
    return f"the cheapest known that holds them is {_specs(found[0][0])}."


def _specs(plan: MachinePlan) -> str:
    parts = [f"{plan.vcpu:g} vCPU", f"{plan.memory_gb:g} GB"]
    parts += [f"{plan.disk_gb:g} GB disk"] if plan.disk_gb else []
    parts += [f"{plan.transfer_tb:g} TB traffic"] if plan.transfer_tb else []
    return f"{plan.name} ({', '.join(parts)})"


def _venues(ground: Ground, site: str) -> Block:
    rows: list[dict[str, Any]] = []
    for each in ground.plan.assignments:
        if site not in {each.site, each.backup}:
            continue
        row, seen = ground.row(each.venue, site), ground.seen(each.venue, site)
        rows.append({
            "title": ground.title(each.venue), "role": "serves" if each.site == site else "backup", "p50": triple(row),
            "p95": [row.p95_ms, row.p95_low_ms, row.p95_high_ms] if row and row.p95_ms is not None else None, "evidence": basis(row), "n": seen.n if seen else None,
            "by": row.by if row else None, "closed": [seen.closed_p50_ms, None, None] if seen and seen.closed_p50_ms is not None else None,
            "closed_p95": seen.closed_p95_ms if seen else None, "hours": hours(ground, each.venue),
        })  # fmt: skip
    if not rows:
        return Words("It serves no venue.")
    columns = [("title", "venue"), ("role", "role"), ("p50", "median", Kind.MEDIAN), ("p95", "p95", Kind.MEDIAN), ("evidence", "evidence"), ("by", "known by"), ("n", "n", Kind.COUNT), ("closed", "median while closed", Kind.MEDIAN), ("closed_p95", "p95 while closed", Kind.MS), ("hours", "open (local time)")]  # fmt: skip
    return table(columns, rows)


def renters(ground: Ground) -> Section:
    """Who rents out machines where the plan wants some, and for how much, as of when."""
    blocks: list[Block] = []
    for name in ground.plan.sites:
        own = ground.site(name)
        rows = [
            {**row, "site": other}
            for other in _beside(ground, name)
            for row in _offers(ground, other, own.name)
        ]
        if rows:
            columns = [("site", "site"), ("name", "plan"), ("vcpu", "vCPU", Kind.COUNT), ("memory", "memory GB", Kind.COUNT), ("usd", "a month", Kind.USD), ("date", "price of"), ("confidence", "confidence")]  # fmt: skip
            blocks += [Head(f"Where {name} stands"), table(columns, rows)]
    if not blocks:
        blocks.append(Words("The registry knows no plan for any of the chosen sites."))
    blocks.append(
        Words(
            "Prices are those of their date, not offers; two providers in one town are two buildings, so measure each."
        )
    )
    return Section("providers", "Providers", tuple(blocks))


def _beside(ground: Ground, site: str) -> list[str]:
    """The registry's sites in the same place (by its own name of the place), the site itself first."""
    provider, _, code = site.partition(":")
    owner = ground.registry.providers.get(provider)
    place = owner.sites.get(code) if owner else None
    others = [
        f"{each.name}:{their}"
        for each in ground.registry.providers.values()
        for their, where in each.sites.items()
        if place is not None and where == place and f"{each.name}:{their}" != site
    ]
    return [site, *others]


def _offers(ground: Ground, site: str, own: str) -> list[dict[str, Any]]:
    provider, _, code = site.partition(":")
    vcpu, memory, disk = ground.needs(own)
    fitting = [
        (plan, price)
        for plan, price in plans_at(ground.registry, provider, code)
        if plan.vcpu >= vcpu and plan.memory_gb >= memory and (plan.disk_gb is None or plan.disk_gb >= disk)
    ]
    return [
        {
            "name": plan.name, "vcpu": plan.vcpu, "memory": plan.memory_gb, "date": plan.date, "confidence": plan.confidence.value,
            "usd": None if price is None or plan.currency != "USD" else price * HOURS_A_MONTH[plan.per],
        }
        for plan, price in fitting[:_MOST_MACHINES]
    ]  # fmt: skip
