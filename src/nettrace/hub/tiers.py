"""What every tier holds: the operator's file, read again when it changes."""

import os
import tomllib
from difflib import get_close_matches
from pathlib import Path

import msgspec

from nettrace.errors import ConfigError
from nettrace.model.account import Feature, Tier

BUILT_IN = Path(__file__).with_name("tiers.toml")
TEST = "test"
SELF = Tier(
    name="self",
    title="Self-hosted, single user",
    features=frozenset(Feature),
    streams=1000,
    custom_targets=10_000,
)
"""Whoever runs NetTrace for themselves has everything."""


class _File(msgspec.Struct, forbid_unknown_fields=True):
    tier: tuple[Tier, ...]


def read_tiers(text: str, where: str) -> dict[str, Tier]:
    """The tiers of a file, by name.

    >>> read_tiers("tier = [{name = 'test', title = 'Test', calls_per_day = 5}]", "example")["test"].calls_per_day
    5

    Raises:
        ConfigError: it is not TOML, has unknown or impossible values, a tier twice, or no tier `test`.
    """
    try:
        tiers = msgspec.convert(tomllib.loads(text), _File, strict=True).tier
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise ConfigError(f"{where}: {error}", "See docs/guides/keys.md for a tier's fields") from error
    named = {tier.name: tier for tier in tiers}
    if len(named) != len(tiers):
        raise ConfigError(f"{where}: a tier stands there twice")
    if TEST not in named:
        raise ConfigError(
            f"{where}: there is no tier '{TEST}'", "It is what nt_test_ keys get; copy the built-in one"
        )
    return named


class Tiers:
    """The tiers in force, looked up by name at every call so that a change holds for existing keys at once.

    Args:
        own: the operator's file; the built-in tiers hold while it does not exist.
    """

    def __init__(self, own: Path) -> None:
        self.own = own
        self._stamp: tuple[int, int] | None = None
        self._tiers: dict[str, Tier] = {}
        self.refresh()

    def refresh(self) -> None:
        """Read the file if it is another one than last time."""
        try:
            found = os.stat(self.own)  # noqa: PTH116 - called often; pathlib is ten times slower
            stamp = (found.st_mtime_ns, found.st_ino)
        except FileNotFoundError:
            stamp = (0, 0)
        if stamp == self._stamp:
            return
        path = self.own if any(stamp) else BUILT_IN
        self._tiers = read_tiers(path.read_text(encoding="utf-8"), str(path))
        self._stamp = stamp

    def all(self) -> list[Tier]:
        """Every tier, in the file's order."""
        self.refresh()
        return list(self._tiers.values())

    def named(self, name: str) -> Tier:
        """The tier of that name.

        Raises:
            ConfigError: there is none; the nearest name is the hint.
        """
        self.refresh()
        tier = self._tiers.get(name)
        if tier is None:
            close = get_close_matches(name, self._tiers, n=1)
            hint = f"Did you mean '{close[0]}'?" if close else f"There are: {', '.join(self._tiers)}"
            raise ConfigError(f"there is no tier '{name}'", hint)
        return tier
