"""What commands that change a fleet's machines need: a yes, a hub, and what a new machine's node is told."""

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nettrace.errors import Conflict, Invalid, NotFound

if TYPE_CHECKING:
    from nettrace.outside.providers.port import Secret
    from nettrace.placement.fleet import Wanted
    from nettrace.placement.fleet_file import Fleet

TOKEN_HOURS = 1.0
"""How long the token of a machine that is being made can be used."""


def hub_here(data: Path | None) -> None:
    """Tokens of a hub that does not exist let nobody in."""
    from nettrace.hub.open import folder_of

    place = folder_of(data)
    if not place.database.exists():
        raise NotFound(
            f"there is no hub in {place.folder}", "Run it on the hub's machine, or give --data DIR"
        )


def confirmed(given: str | None, right: str, question: str, hint: str) -> None:
    """Ends here unless a person or the right token says yes."""
    if given is None and sys.stdin.isatty():
        click.confirm(question, abort=True)
    elif given is None:
        raise Invalid("nobody confirmed it", f"Give --confirm {right}")
    elif given != right:
        raise Conflict("the token is of another plan: something changed since", hint)


def node_of(fleet: "Fleet") -> "Callable[[Wanted, str], tuple[str, ...]]":
    """What a node is told beside its token: the hub and, where a region is known, where it stands."""
    from nettrace.outside.places import find

    def told(wanted: "Wanted", place: str) -> tuple[str, ...]:
        words = ["--hub", fleet.hub, *(["--insecure-http"] if fleet.insecure_http else [])]
        known = find(f"fly:{place}") if wanted.provider == "fly" else None
        if known is not None:
            words += ["--city", known.name, "--at", f"{known.latitude},{known.longitude}"]
            words += ["--country", known.country] if known.country else []
        return tuple(words)

    return told


def minted(data: Path | None) -> "Callable[[str], Secret]":
    """Gives a new one-time enrolment token for a vantage."""
    from nettrace.hub.enrolment import make_token
    from nettrace.hub.open import folder_of, writer
    from nettrace.outside.providers.port import Secret

    def token(code: str) -> "Secret":
        with writer(folder_of(data)) as store:
            return Secret(make_token(store, code, time.time_ns(), TOKEN_HOURS * 3600))

    return token
