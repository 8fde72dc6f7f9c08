"""`--registry FILE`: a user's own facts on top of those that ship, the same on every command that uses them."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nettrace.errors import ConfigError

if TYPE_CHECKING:
    from nettrace.placement.registry.facts import Registry


def registry_option(command: Callable[..., object]) -> Callable[..., object]:
    """Adds `--registry FILE`."""
    return click.option(
        "--registry",
        type=click.Path(path_type=Path, dir_okay=False),
        envvar="NETTRACE_REGISTRY",
        help="Your own facts (TOML): they add to those that ship, or replace those of the same name.",
    )(command)


def registry_with(file: Path | None) -> "Registry":
    """What ships, with a user's facts.

    Raises:
        ConfigError: the file cannot be read or states what cannot be.
    """
    from nettrace.hub.facts import facts_with
    from nettrace.placement.registry.load import built_in

    return built_in() if file is None else facts_with(file)


def read_text(file: Path) -> str:
    """A user's file.

    Raises:
        ConfigError: it cannot be read.
    """
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read {file}: {error}") from error
