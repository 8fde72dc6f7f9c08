"""Secrets by reference: a file of rules says where one stands, never what it is."""

import os
from pathlib import Path

from nettrace.errors import ConfigError


def secret(reference: str, what: str) -> str:
    """What `env:NAME` or `file:PATH` holds, without the line end.

    Raises:
        ConfigError: it is no reference, or nothing stands there. The text never holds the secret.
    """
    kind, colon, where = reference.partition(":")
    if not colon or kind not in {"env", "file"} or not where:
        raise ConfigError(
            f"{what} is no reference to a secret", "Write env:NAME or file:PATH; the secret goes there"
        )
    if kind == "env":
        found = os.environ.get(where, "")
    else:
        try:
            found = Path(where).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"{what}: {where} cannot be read", "Check the file and its rights") from error
    if not found.strip():
        raise ConfigError(f"{what}: {reference} is empty or not set", "Set it where the hub is started")
    return found.strip()


def address_of(text: str, what: str) -> str:
    """A URL as written, or what its reference holds: chat services put the secret into the address.

    Raises:
        ConfigError: the reference leads nowhere.
    """
    return secret(text, what) if text.startswith(("env:", "file:")) else text
