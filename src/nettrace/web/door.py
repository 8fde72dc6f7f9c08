"""The way of every page: who looks, what is shown, and errors as pages a person can read."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec
from litestar import Request, Response, get
from litestar.handlers import HTTPRouteHandler
from litestar.response import Redirect

from nettrace.errors import NetTraceError, NotAllowed
from nettrace.hub.access import Caller
from nettrace.hub.latest import Snapshot
from nettrace.model.account import Feature
from nettrace.model.instant import NS_PER_S, Instant
from nettrace.store.rows import Window
from nettrace.web.hub import Hub
from nettrace.web.site import page
from nettrace.web.visitor import visitor

WINDOWS = {
    "3h": 3 * 3600,
    "24h": 86_400,
    "7d": 7 * 86_400,
    "30d": 30 * 86_400,
    "90d": 90 * 86_400,
    "1y": 365 * 86_400,
}
"""Stretches of time a page may show, in seconds."""


class Visit(msgspec.Struct, frozen=True):
    """One look at a page.

    Attributes:
        caller: None is a stranger, who sees public pages only.
        query: the URL's parameters; all state of a page is there.
        path: the parameters in its path.
    """

    hub: Hub
    caller: Caller | None
    query: Mapping[str, str]
    path: Mapping[str, str]
    now: Instant
    snapshot: Snapshot
    url: str

    @property
    def account(self) -> str:
        """Whose custom targets are visible."""
        return self.caller.account if self.caller else ""

    def window(self, default: str = "24h") -> tuple[str, Window]:
        """The stretch asked for by `w=`, and how far the visitor may look into it."""
        name = self.query.get("w", default)
        name = name if name in WINDOWS else default
        wanted = Window(self.now - WINDOWS[name] * NS_PER_S, self.now)
        return name, self.hub.access.window(self.caller, wanted, self.now) if self.caller else wanted


Show = Callable[[Visit], Awaitable[Response[Any]]]


def door(
    hub: Hub, path: str, show: Show, *, public: bool = False, feature: Feature | None = None
) -> HTTPRouteHandler:
    """A page at a path. One that is not public asks strangers for a key; one with a feature needs a tier that holds it."""

    async def handler(request: Request[Any, Any, Any]) -> Response[Any]:
        now = hub.now()
        caller = visitor(hub.access, hub.secret, request, now)
        visit = Visit(
            hub=hub, caller=caller, query=dict(request.query_params), now=now, snapshot=hub.snapshot,
            path={name: str(value) for name, value in request.path_params.items()}, url=str(request.url.path),
        )  # fmt: skip
        if caller is None and not public:
            return Redirect(f"/login?next={request.url.path}")
        try:
            if feature is not None and caller is not None:
                hub.access.require(caller, feature)
            return await show(visit)
        except NetTraceError as error:
            return refused(error, now)

    handler.__name__ = "page_" + "".join(sign if sign.isalnum() else "_" for sign in path)
    return get(path, name=handler.__name__, include_in_schema=False)(handler)


def refused(error: NetTraceError, now: Instant) -> Response[bytes]:
    """An error as a page."""
    told = {
        "page": "",
        "status": error.status,
        "detail": error.detail,
        "hint": error.hint,
        "upgrade": isinstance(error, NotAllowed),
    }
    return page("error.html", now, told, status=error.status)
