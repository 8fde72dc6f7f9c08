"""Puts a server together: which hub it reads, who may do what, where its log goes."""

import logging
import time
from collections.abc import Callable, Sequence

import msgspec

from nettrace.errors import Invalid
from nettrace.hub.access import Access
from nettrace.hub.open import open_reader
from nettrace.hub.place import Data
from nettrace.hub.programs import Bind
from nettrace.hub.quota import Quota
from nettrace.hub.tiers import Tiers
from nettrace.mcp.desk import Desk
from nettrace.mcp.http import serve_http
from nettrace.mcp.remote import Remote
from nettrace.mcp.server import serve_stdio
from nettrace.mcp.stored import Stored
from nettrace.model.account import Scope
from nettrace.runtime.logs import Log, LogHandler


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What the server is to be.

    Attributes:
        data: the hub's folder; `hub`: a hub's URL; neither: the tools that need no hub.
        key: sent to the hub at `hub`.
        bind: serve streamable HTTP there instead of stdio.
        scopes: what callers without a key may do beyond reading.
    """

    data: Data | None = None
    hub: str | None = None
    key: str | None = None
    bind: Bind | None = None
    public_hosts: Sequence[str] = ()
    scopes: frozenset[Scope] = frozenset()


async def serve(wanted: Wanted, say: Callable[[str], None]) -> None:
    """Run the server until its client goes or a signal ends it.

    Args:
        wanted: which hub, where, for whom.
        say: is told the address once it answers over HTTP.

    Raises:
        StoreError: there is no hub in the folder. Invalid: HTTP without a folder, whose keys would be checked.
    """
    _log_plainly()
    if wanted.data is None:
        if wanted.bind is not None:
            raise Invalid("HTTP checks the keys of a hub's folder", "Give --data DIR")
        hub = None if wanted.hub is None else Remote(wanted.hub, wanted.key)
        await serve_stdio(Desk(hub, None, now=time.time_ns, scopes=wanted.scopes))
        return
    keys = open_reader(wanted.data)
    quota = Quota(wanted.data.quota)
    try:
        single_user = wanted.bind is None or wanted.bind.loopback
        access = Access(keys, Tiers(wanted.data.folder / "tiers.toml"), quota, single_user=single_user)
        hub = Stored(wanted.data, access, time.time_ns)
        if wanted.bind is None:
            await serve_stdio(Desk(hub, access, now=time.time_ns, scopes=wanted.scopes))
        else:
            desk = Desk(hub, access, now=time.time_ns, scopes=wanted.scopes, audited=True)
            await serve_http(desk, access, wanted.bind, say, wanted.public_hosts)
    finally:
        quota.close()
        keys.close()


def _log_plainly() -> None:
    """Warnings on stderr, each on one line: what clients send may stand in them."""
    root = logging.getLogger()
    root.handlers[:] = [LogHandler(Log("mcp"))]
    root.setLevel(logging.WARNING)
