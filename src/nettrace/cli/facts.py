"""`--registry FILE` and `--claims FILE`: a user's own facts and claims on top of those that ship, the same on every command that uses them."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nettrace.errors import ConfigError

if TYPE_CHECKING:
    from nettrace.placement.registry.claims import RegisteredClaim
    from nettrace.placement.registry.facts import Registry


def registry_option(command: Callable[..., object]) -> Callable[..., object]:
    """Adds `--registry FILE`."""
    return _own_file("--registry", "facts", "name", envvar="NETTRACE_REGISTRY")(command)


def registry_with(file: Path | None) -> "Registry":
    """What ships, with a user's facts.

    Raises:
        ConfigError: the file cannot be read or states what cannot be.
    """
    from nettrace.hub.facts import facts_with
    from nettrace.placement.registry.load import built_in

    return built_in() if file is None else facts_with(file)


def claims_option(command: Callable[..., object]) -> Callable[..., object]:
    """Adds `--claims FILE`."""
    return _own_file("--claims", "claims", "id", envvar="NETTRACE_CLAIMS")(command)


def _own_file(
    option: str, what: str, known_by: str, *, envvar: str
) -> Callable[[Callable[..., object]], Callable[..., object]]:
    """An option for a user's file of what also ships."""
    words = f"Your own {what} (TOML): they add to those that ship, or replace those of the same {known_by}."
    return click.option(option, type=click.Path(path_type=Path, dir_okay=False), envvar=envvar, help=words)


def claims_known(file: Path | None) -> "tuple[RegisteredClaim, ...]":
    """What ships, with a user's claims.

    Raises:
        ConfigError: the file cannot be read or states what cannot be.
    """
    from nettrace.hub.facts import claims_with
    from nettrace.placement.registry.claims import built_in_claims

    return built_in_claims() if file is None else claims_with(file)


def refuse_unsound(claims: "Iterable[RegisteredClaim]", registry: "Registry") -> None:
    """Return when every claim of a user's is one that can be judged.

    Raises:
        ConfigError: with the first finding of the linter.
    """
    import time

    from nettrace.outside.places import find
    from nettrace.placement.registry.claims import SHIPPED
    from nettrace.placement.registry.lint import lint_claims

    own = [claim for claim in claims if claim.source != SHIPPED]
    for each in lint_claims(own, registry, find, time.strftime("%Y-%m-%d", time.gmtime())):
        raise ConfigError(
            f"{own[0].source}: {each.of} {each.what}",
            "`nettrace registry check --claims FILE` names all findings",
        )
