"""One request as a handler sees it."""

from typing import Any

import msgspec

from nettrace.api.given import Format
from nettrace.api.service import Service
from nettrace.hub.access import Caller
from nettrace.hub.latest import Snapshot
from nettrace.model.instant import Instant


class Call(msgspec.Struct, kw_only=True):
    """A request that was let in and understood.

    Attributes:
        query, body: decoded into the operation's shapes.
        path: the path's variables.
        snapshot: the newest rounds, the same ones for the whole call.
        url: path and query as they came, for links.
    """

    service: Service
    caller: Caller
    query: Any
    body: Any
    path: dict[str, str]
    now: Instant
    snapshot: Snapshot
    url: str
    raw_query: str
    headers: dict[str, str]
    form: Format
    operation_id: str
