"""What it is worth: the return of the plan as a formula with ranges, for each way of trading."""

from typing import Any

from nettrace.placement.document.brief import Scenario
from nettrace.placement.document.ground import Ground
from nettrace.placement.document.shape import File, Kind, Section, Words, table

FORMULA = """\
saved_usd_month = orders_day * days_month * usd_per_ms_order * saved_ms
net_usd_month   = saved_usd_month - added_usd_month
break_even      = added_usd_month / (days_month * usd_per_ms_order * saved_ms)   orders a day
"""


def saved_ms(ground: Ground) -> tuple[float, float, float] | None:
    """What an order saves on average over the venues served today and then: middle, least and most, in ms.

    Each venue counts by what its millisecond is worth in the request. Without an interval the ends are the middle.
    """
    now = ground.brief.now
    total = middle = least = most = 0.0
    for each in ground.plan.assignments if now else ():
        old, new = ground.row(each.venue, now or ""), ground.row(each.venue, each.site)
        weight = ground.venue(each.venue).usd_per_ms_month
        if old is None or new is None or ground.refuses(each.venue, now or ""):
            continue
        total += weight
        middle += weight * (old.p50_ms - new.p50_ms)
        least += weight * ((_or(old.low_ms, old.p50_ms)) - _or(new.high_ms, new.p50_ms))
        most += weight * (_or(old.high_ms, old.p50_ms) - _or(new.low_ms, new.p50_ms))
    return (middle / total, least / total, most / total) if total else None


def scenario_row(each: Scenario, added: float, saved: tuple[float, float, float]) -> dict[str, Any]:
    """The formula for one way of trading: from the least saving at the least worth to the most at the most.

    >>> row = scenario_row(Scenario(name="day", orders_day=20, usd_per_ms_order=(0.01, 0.02)), 70.0, (100.0, 90.0, 110.0))
    >>> row["saved"], row["net"], [round(x, 2) for x in row["break_even"]]
    ([378.0, 924.0], [308.0, 854.0], [1.52, 3.7])
    """
    low, high = each.usd_per_ms_order
    saves = [each.orders_day * each.days_month * low * max(0.0, saved[1]), each.orders_day * each.days_month * high * max(0.0, saved[2])]  # fmt: skip
    worth = [each.days_month * low * saved[1], each.days_month * high * saved[2]]
    even = [added / worth[1] if worth[1] > 0 else None, added / worth[0] if worth[0] > 0 else None]
    return {
        "name": each.name, "orders_day": each.orders_day, "usd_per_ms_order": [low, high], "basis": each.basis,
        "saved": [round(usd, 2) for usd in saves], "net": [round(usd - added, 2) for usd in saves],
        "break_even": even, "verdict": _verdict(saves, added),
    }  # fmt: skip


def returns(ground: Ground) -> Section:
    """Scenarios with ranges and break-even."""
    saved = saved_ms(ground)
    standing = ground.price(ground.brief.now) if ground.brief.now else 0.0
    kept = standing if ground.brief.now in ground.plan.sites else 0.0
    added = (ground.plan.cost_usd_month or 0.0) - kept
    if saved is None or not ground.brief.scenario:
        why = (
            "no venue is measured both today and then"
            if saved is None
            else "the request has no document.scenario"
        )
        return Section(
            "return", "What it is worth", (File("formula", "text", FORMULA), Words(f"Not worked out: {why}."))
        )
    rows = [scenario_row(each, added, saved) for each in ground.brief.scenario]
    shown = [
        {**row, "break_even": _range(row["break_even"]), "per": _range(row["usd_per_ms_order"])}
        for row in rows
    ]
    columns = [
        ("name", "way of trading"), ("orders_day", "orders a day", Kind.COUNT), ("per", "$ per ms and order"),
        ("saved", "saved a month", Kind.SPAN), ("net", "left over a month", Kind.SPAN), ("break_even", "breaks even at orders a day"),
        ("verdict", "verdict"), ("basis", "where the worth comes from"),
    ]  # fmt: skip
    words = (
        f"saved_ms is {saved[0]:.1f} ({saved[1]:.1f} to {saved[2]:.1f}): round trips from today's site less those of the plan, each "
        f"venue by its weight. added_usd_month is {added:g}: what the plan costs more than today. The cost recurs every month, so there is "
        "no 'paid back after': a month either leaves something over or not. Ranges run from the least saving at the least worth to the "
        "most at the most."
    )
    return Section(
        "return", "What it is worth", (File("formula", "text", FORMULA), Words(words), table(columns, shown))
    )


def _or(value: float | None, otherwise: float) -> float:
    return otherwise if value is None else value


def _verdict(saves: list[float], added: float) -> str:
    if saves[0] > added:
        return "pays"
    return (
        "does not pay"
        if saves[1] <= added
        else "depends on what a millisecond is worth: measure it from your fills"
    )


def _range(ends: list[float | None]) -> str:
    return " to ".join("never" if each is None else f"{each:.3g}" for each in ends)
