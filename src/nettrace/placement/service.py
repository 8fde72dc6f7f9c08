"""What runs at the sites: services with their needs, and the machines that carry them, as a request says it."""

from collections.abc import Iterable, Sequence
from enum import StrEnum
from math import isfinite
from typing import Protocol

import msgspec

from nettrace.errors import Invalid

RESOURCES = ("vcpu", "memory_gb", "disk_gb", "transfer_tb")
"""What services need and machines have."""

MOST_COPIES = 12
"""Copies of all services together that are placed exactly in reasonable time, whatever their sizes."""


class Differs(StrEnum):
    """In what a venue's backup must differ from its site."""

    SITE = "site"
    PROVIDER = "provider"
    COUNTRY = "country"


class Machine(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A size of machine for rent at a site: one is rented at each chosen site that has any.

    Attributes:
        transfer_tb: traffic a month; None, as for the others, is no limit.
    """

    name: str
    usd_month: float
    vcpu: float | None = None
    memory_gb: float | None = None
    disk_gb: float | None = None
    transfer_tb: float | None = None


class Service(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Something to run, and what it needs of the machine it runs on.

    Attributes:
        copies: how many of it, each at another place; 0 is one at every chosen site.
        apart: other services that must stand at another place.
        apart_by: in what places of copies, and of services kept apart, differ.
        venues, max_ms: it stands no further than this from each of these venues.
        forbid_countries: countries in which it may not stand.
    """

    name: str
    vcpu: float = 0.0
    memory_gb: float = 0.0
    disk_gb: float = 0.0
    transfer_tb: float = 0.0
    copies: int = 1
    apart: tuple[str, ...] = ()
    apart_by: Differs = Differs.SITE
    venues: tuple[str, ...] = ()
    max_ms: float | None = None
    forbid_countries: tuple[str, ...] = ()


class Where(Protocol):
    """Says where in a text an entry stands."""

    def of(self, table: str, number: int, key: str | None = None) -> str:
        """`service 'db' (line 12)`."""
        ...


class Named(Protocol):
    """A venue."""

    @property
    def name(self) -> str:
        """Its name."""
        ...


class Rented(Protocol):
    """A site."""

    @property
    def name(self) -> str:
        """Its name."""
        ...

    @property
    def plan(self) -> tuple[Machine, ...]:
        """The machines for rent there."""
        ...


class Asked(Protocol):
    """A request."""

    @property
    def venue(self) -> Sequence[Named]:
        """Its venues."""
        ...

    @property
    def site(self) -> Sequence[Rented]:
        """Its sites."""
        ...

    @property
    def service(self) -> Sequence[Service]:
        """Its services."""
        ...


def check_machines(sites: Iterable[Rented], where: Where) -> None:
    """Return when each machine has a name of its own at its site and numbers that can be.

    Raises:
        Invalid: with the first that has not.
    """
    for number, site in enumerate(sites):
        names = [machine.name for machine in site.plan]
        if len(set(names)) < len(names) or not all(name.strip() for name in names):
            raise Invalid(f"{where.of('site', number, 'plan')}: a plan's name is empty or stands there twice")
        for machine in site.plan:
            _check_numbers(
                machine, (*RESOURCES, "usd_month"), f"{where.of('site', number, 'plan')}: {machine.name}"
            )


def check_services(request: Asked, where: Where) -> None:
    """Return when every service can be, and every name it mentions is known.

    Raises:
        Invalid: with the first that cannot.
    """
    venues = {venue.name for venue in request.venue}
    known = [service.name for service in request.service]
    for number, service in enumerate(request.service):
        place = where.of("service", number)
        if not service.name.strip() or known.count(service.name) > 1:
            raise Invalid(f"{place}: its name is empty, or another service has it", "Names must be unique")
        _check_numbers(service, (*RESOURCES, "max_ms"), place)
        if service.copies < 0:
            raise Invalid(f"{place}: copies is {service.copies}; 0 means one at every chosen site")
        placed = {each.name for each in request.service if each.copies}
        for key, names, there in (("apart", service.apart, placed), ("venues", service.venues, venues)):
            for name in names:
                if name not in there or name == service.name:
                    raise Invalid(
                        f"{place}: {key} names '{name}'",
                        f"There are {', '.join(sorted(there - {service.name})) or 'none'}",
                    )
        if bool(service.venues) != (service.max_ms is not None):
            raise Invalid(f"{place}: venues and max_ms go together; one is missing")
        if not service.copies and (service.venues or service.apart or service.forbid_countries):
            raise Invalid(
                f"{place}: it stands at every chosen site (copies = 0), so nothing else may say where"
            )
    _check_machines_given(request, where)


def _check_machines_given(request: Asked, where: Where) -> None:
    if not request.service:
        return
    total = sum(service.copies for service in request.service)
    if total > MOST_COPIES:
        raise Invalid(
            f"the services have {total} copies together; {MOST_COPIES} are placed exactly at most",
            "Put services that always stand together into one",
        )
    for number, site in enumerate(request.site):
        if not site.plan:
            raise Invalid(
                f"{where.of('site', number)}: what can be rented there is not given, but services need machines",
                "Add plan = [{name = ..., usd_month = ..., vcpu = ..., memory_gb = ..., disk_gb = ...}], or call it by its name in the registry",
            )


def _check_numbers(entry: msgspec.Struct, keys: Iterable[str], place: str) -> None:
    for key in keys:
        value: float | None = getattr(entry, key)
        if value is not None and not (isfinite(value) and 0 <= value <= 1e9):
            raise Invalid(f"{place}: {key} is {value:g}, which cannot be")
