"""What is rented at each chosen site for what runs there, and what moving to and from sites costs."""

import msgspec

from nettrace.placement.load import Load
from nettrace.placement.loading import moving, moving_once, needs_of
from nettrace.placement.money import dollars, nanodollars
from nettrace.placement.problem import Problem, Reader, bits
from nettrace.placement.request import Site
from nettrace.placement.service import RESOURCES, Machine


class Rented(msgspec.Struct, frozen=True, kw_only=True):
    """One chosen site and its machine.

    Attributes:
        plan: name of the machine; None where the request names none.
        usd_month: site and machine together, without moving.
        services: what runs there.
        vcpu, memory_gb, disk_gb, transfer_tb: what the services need together.
    """

    site: str
    plan: str | None
    usd_month: float
    services: tuple[str, ...]
    vcpu: float
    memory_gb: float
    disk_gb: float
    transfer_tb: float


class Move(msgspec.Struct, frozen=True, kw_only=True):
    """A site that is set up, or given up.

    Attributes:
        gives_up: it is in use today and was not chosen.
        usd_once: hours and dollars together, paid once.
        usd_month: its share of a month.
    """

    site: str
    gives_up: bool
    hours: float
    usd_once: float
    usd_month: float


def rented_at(reader: Reader, problem: Problem, chosen: int) -> tuple[Rented, ...]:
    """The chosen sites in the request's order, each with the machine that carries its services at least cost."""
    load = problem.load or Load([()] * len(problem.prices), (), ())
    found = load.packing(chosen)
    if found is None:
        raise LookupError(f"sites {list(bits(chosen))} do not carry every service: a solver was wrong")
    return tuple(_rented(reader, load, at, found.stands) for at in bits(chosen))


def _rented(reader: Reader, load: Load, at: int, stands: tuple[int, ...]) -> Rented:
    services = reader.request.service
    site = reader.request.site[at]
    here = [copy.service for copy, stand in zip(load.copies, stands, strict=True) if stand == at]
    here = sorted([*here, *(number for number, each in enumerate(services) if not each.copies)])
    size = load.size(at, load.taken(at, stands)) if services else None
    machine = site.plan[size.number] if size else _cheapest(site)
    needs = zip(*(needs_of(services[number]) for number in here), strict=True)
    totals = dict(zip(RESOURCES, (sum(column) / 1000 for column in needs), strict=False))
    price = nanodollars(site.usd_month) + (nanodollars(machine.usd_month) if machine else 0)
    return Rented(
        site=site.name, plan=machine.name if machine else None, usd_month=dollars(price),
        services=tuple(services[number].name for number in here), vcpu=totals.get("vcpu", 0.0),
        memory_gb=totals.get("memory_gb", 0.0), disk_gb=totals.get("disk_gb", 0.0), transfer_tb=totals.get("transfer_tb", 0.0),
    )  # fmt: skip


def _cheapest(site: Site) -> Machine | None:
    return min(site.plan, key=lambda machine: machine.usd_month, default=None)


def moves_of(reader: Reader, chosen: int) -> tuple[Move, ...]:
    """What has to be set up and given up, where that costs anything."""
    limits = reader.request.limits
    return tuple(
        Move(
            site=site.name, gives_up=site.in_use, hours=site.move_hours,
            usd_once=dollars(moving_once(site, limits)), usd_month=dollars(moving(site, limits)),
        )
        for at, site in enumerate(reader.request.site)
        if bool(chosen >> at & 1) != site.in_use and (site.move_hours or site.move_usd)
    )  # fmt: skip
