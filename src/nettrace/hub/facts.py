"""The registry as a hub has it: what ships, with the operator's own file where `NETTRACE_REGISTRY` names one."""

import os
from functools import cache
from pathlib import Path

from nettrace.placement.registry.claims import RegisteredClaim, built_in_claims, extended_claims
from nettrace.placement.registry.facts import Registry
from nettrace.placement.registry.load import built_in, extended
from nettrace.runtime.named_file import read_text

SETTING = "NETTRACE_REGISTRY"
"""The environment hands it on to every process of a hub, solving ones too; `nettrace up --registry` sets it."""

CLAIMS_SETTING = "NETTRACE_CLAIMS"
"""As `SETTING`, for claims; `nettrace up --claims` sets it."""


@cache
def facts() -> Registry:
    """Venues, calendars, providers and plans; read once in each process.

    Raises:
        ConfigError: the operator's file cannot be read, or states what cannot be.
    """
    own = os.environ.get(SETTING)
    return facts_with(Path(own)) if own else built_in()


def facts_with(own: Path) -> Registry:
    """What ships, with the facts of a file: they add to it, or replace those of the same name.

    Raises:
        ConfigError: as `facts`.
    """
    return extended(built_in(), read_text(own, by=f"--registry or {SETTING}"), str(own))


@cache
def claims() -> tuple[RegisteredClaim, ...]:
    """What was claimed: what ships, with the operator's own; read once in each process.

    Raises:
        ConfigError: the operator's file cannot be read, or states what cannot be.
    """
    own = os.environ.get(CLAIMS_SETTING)
    return claims_with(Path(own)) if own else built_in_claims()


def claims_with(own: Path) -> tuple[RegisteredClaim, ...]:
    """What ships, with the claims of a file: they add to it, or replace those of the same id.

    Raises:
        ConfigError: as `claims`.
    """
    return extended_claims(built_in_claims(), read_text(own, by=f"--claims or {CLAIMS_SETTING}"), own.name)
