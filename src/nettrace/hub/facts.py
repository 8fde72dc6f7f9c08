"""The registry as a hub has it: what ships, with the operator's own file where `NETTRACE_REGISTRY` names one."""

import os
from functools import cache
from pathlib import Path

from nettrace.errors import ConfigError
from nettrace.placement.registry.facts import Registry
from nettrace.placement.registry.load import built_in, extended

SETTING = "NETTRACE_REGISTRY"
"""The environment hands it on to every process of a hub, solving ones too; `nettrace up --registry` sets it."""


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
    try:
        text = own.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read {own}: {error}") from error
    return extended(built_in(), text, str(own))
