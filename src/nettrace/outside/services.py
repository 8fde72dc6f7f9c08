"""The services that lend their vantages, by name."""

import os

from nettrace.errors import Invalid
from nettrace.outside.allowance import Allowance
from nettrace.outside.globalping import Globalping
from nettrace.outside.remote import RemoteService, World, ledger_file
from nettrace.outside.ripeatlas import RipeAtlas

SERVICES = ("globalping", "atlas")


def service(name: str, world: World | None = None) -> RemoteService:
    """The service of that name, with the tokens and limits of the environment and this user's one ledger.

    Raises:
        Invalid: no such service.
        Unauthenticated: it wants a key, and there is none.
    """
    here = world or World(Allowance(ledger_file()))
    match name:
        case "globalping":
            return Globalping(here, os.environ)
        case "atlas":
            return RipeAtlas(here, os.environ)
        case _:
            raise Invalid(f"there is no service {name!r}", f"Known: {', '.join(SERVICES)}")
