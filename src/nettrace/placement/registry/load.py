"""Reads the registry that ships, and a user's additions to it."""

import tomllib
from collections.abc import Iterable
from functools import cache
from importlib.resources import files
from typing import Any

import msgspec

from nettrace.errors import ConfigError
from nettrace.placement.registry.facts import Calendar, MachinePlan, Provider, Registry, RegistryVenue

FILES = (
    "calendars.toml",
    "sites.toml",
    "plans.toml",
    "venues/crypto.toml",
    "venues/brokers.toml",
    "venues/exchanges.toml",
    "venues/data.toml",
)
"""What ships, in reading order."""


class _File(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    venue: tuple[RegistryVenue, ...] = ()
    calendar: tuple[Calendar, ...] = ()
    provider: tuple[Provider, ...] = ()
    plan: tuple[MachinePlan, ...] = ()


@cache
def built_in() -> Registry:
    """The registry that ships."""
    return made([read(shipped(name), name) for name in FILES])


def shipped(name: str) -> str:
    """The text of a file of the registry that ships."""
    return files("nettrace.placement.registry").joinpath(name).read_text(encoding="utf-8")


def read(text: str, where: str) -> _File:
    """The facts that a TOML text states.

    Raises:
        ConfigError: it is no TOML, or a fact has an unknown field, lacks one or holds what cannot be.

    >>> read('''
    ... [[calendar]]
    ... name = "always"
    ... zone = "UTC"
    ... source = "the exchange's rule book"
    ... date = "2026-11"
    ... confidence = "official"
    ... ''', "mine.toml").calendar[0].always
    True
    """
    try:
        raw: dict[str, Any] = tomllib.loads(text)
        return msgspec.convert(raw, _File)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise ConfigError(f"{where}: {error}", "See docs/guides/registry.md for the form") from None


def extended(registry: Registry, text: str, where: str) -> Registry:
    """The registry with a user's facts: a venue, calendar, provider or plan of a known name replaces the shipped one.

    Raises:
        ConfigError: as `read`.
    """
    more = read(text, where)
    one = _File(
        venue=(*registry.venues.values(), *more.venue),
        calendar=(*registry.calendars.values(), *more.calendar),
        provider=(*registry.providers.values(), *more.provider),
        plan=(*registry.plans, *more.plan),
    )
    _single(more, where)
    return made([one])


def made(parts: Iterable[_File]) -> Registry:
    """One registry of several files; the later fact of a name counts."""
    parts = list(parts)
    plans = {(plan.provider, plan.name): plan for part in parts for plan in part.plan}
    return Registry(
        venues={venue.name: venue for part in parts for venue in part.venue},
        calendars={calendar.name: calendar for part in parts for calendar in part.calendar},
        providers={provider.name: provider for part in parts for provider in part.provider},
        plans=tuple(plans.values()),
    )


def _single(part: _File, where: str) -> None:
    """Within one file a name means one thing."""
    for kind in ("venue", "calendar", "provider"):
        names = [each.name for each in getattr(part, kind)]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise ConfigError(f"{where}: {kind} '{twice}' stands there twice", "Keep one of them")
