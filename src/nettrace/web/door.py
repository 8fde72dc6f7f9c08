"""The way of every page: who looks, what is shown, and errors as pages a person can read."""

from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import msgspec
from litestar import Request, Response, get
from litestar.handlers import HTTPRouteHandler
from litestar.response import Redirect

from nettrace.errors import NetTraceError, NotAllowed
from nettrace.hub.access import Caller
from nettrace.hub.latest import Snapshot
from nettrace.hub.session import COOKIE
from nettrace.model.account import Feature
from nettrace.model.instant import NS_PER_S, Instant
from nettrace.store.rows import Window
from nettrace.web.chart import Zoom, zoom
from nettrace.web.hub import Hub
from nettrace.web.sign_in import seen
from nettrace.web.site import headers, packed, page
from nettrace.web.visitor import form_token, visitor

WINDOWS = {
    "15m": 900,
    "1h": 3600,
    "3h": 3 * 3600,
    "24h": 86_400,
    "7d": 7 * 86_400,
    "30d": 30 * 86_400,
    "90d": 90 * 86_400,
    "1y": 365 * 86_400,
}
"""Stretches of time a page may show, in seconds."""

_SHORTEST_NS = 60 * NS_PER_S


class Visit(msgspec.Struct, frozen=True):
    """One look at a page.

    Attributes:
        caller: None is a stranger, who sees public pages only.
        query: the URL's parameters; all state of a page is there.
        path: the parameters in its path.
        session: the visitor's session as its cookie has it; forms carry a token made from it.
        origin: scheme and host under which the visitor found this hub.
    """

    hub: Hub
    caller: Caller | None
    query: Mapping[str, str]
    path: Mapping[str, str]
    now: Instant
    snapshot: Snapshot
    url: str
    session: str = ""
    origin: str = ""

    @property
    def token(self) -> str:
        """What a form of this visitor must bring back (CSRF)."""
        return form_token(self.session, self.hub.secret)

    @property
    def live(self) -> bool:
        """Whether this visitor may follow the stream."""
        return self.caller is not None and Feature.STREAM in self.caller.tier.features

    @property
    def embed(self) -> bool:
        """Whether only the page's chart is wanted, for a frame in somebody else's page."""
        return "embed" in self.query

    def page(self, template: str, told: Mapping[str, Any], *, embed: bool = False) -> Response[bytes]:
        """A rendered page that knows who looks; with `embed` its block `chart` alone, without script and form."""
        known = {"live": self.live, "signed_in": self.caller is not None and self.caller.key is not None}
        known |= {"seq": max(0, self.snapshot.seq), "origin": self.origin, "embedded": embed}
        return page(template, self.now, {**known, **told}, embed=embed)

    @property
    def account(self) -> str:
        """Whose custom targets are visible."""
        return self.caller.account if self.caller else ""

    def window(self, default: str = "24h") -> tuple[str, Window]:
        """The stretch asked for by `w=`, else by `start=` and `end=` (then without a name); as far as the tier reaches."""
        name, wanted = self._asked(default)
        return name, self.hub.access.window(self.caller, wanted, self.now) if self.caller else wanted

    def _asked(self, default: str) -> tuple[str, Window]:
        name = self.query.get("w", "")
        start, end = _moment(self.query.get("start", "")), _moment(self.query.get("end", ""))
        if name not in WINDOWS and start is not None and end is not None:
            end = min(self.now, end)
            if end - start >= _SHORTEST_NS:
                return "", Window(max(start, end - WINDOWS["1y"] * NS_PER_S), end)
        name = name if name in WINDOWS else self._filled(default)
        return name, Window(self.now - WINDOWS[name] * NS_PER_S, self.now)

    def _filled(self, most: str) -> str:
        """The shortest stretch that holds all there is, and no longer one than `most`: no page begins with hatching."""
        begun = [known.enrolled_at for known in self.snapshot.vantages.values()]
        age_s = (self.now - min(begun)) / NS_PER_S if begun else float("inf")
        return next((name for name, length_s in WINDOWS.items() if age_s <= length_s <= WINDOWS[most]), most)

    def zoom(self, window: Window) -> Zoom:
        """Addresses of this page over other stretches."""
        kept = {
            name: value for name, value in self.query.items() if name not in {"w", "start", "end"} and value
        }
        return zoom(quote(self.url), kept, window, self.now)


def _moment(words: str) -> Instant | None:
    """An instant of an address, or None when it is none."""
    try:
        read = datetime.fromisoformat(words)
        return int(read.replace(tzinfo=read.tzinfo or UTC).timestamp()) * NS_PER_S
    except (ValueError, OverflowError):
        return None


Show = Callable[[Visit], Awaitable[Response[Any]]]


def door(
    hub: Hub, path: str, show: Show, *, public: bool = False, feature: Feature | None = None
) -> HTTPRouteHandler:
    """A page at a path. One that is not public asks strangers for a key; one with a feature needs a tier that holds it."""

    async def handler(request: Request[Any, Any, Any]) -> Response[Any]:
        now = hub.now()
        visit = visit_of(hub, request)
        caller, now = visit.caller, visit.now
        if caller is None and not public:
            asked = f"?{request.url.query}" if request.url.query else ""
            return guarded(Redirect(f"/login?next={quote(request.url.path + asked)}"))
        try:
            if feature is not None and caller is not None:
                hub.access.require(caller, feature)
            if caller is not None and caller.key is not None:
                await seen(hub, visit.session, now)
            shown = await show(visit)
        except NetTraceError as error:
            shown = refused(error, now)
        return packed(guarded(shown), request.headers.get("accept-encoding", ""))

    handler.__name__ = "page_" + "".join(sign if sign.isalnum() else "_" for sign in path)
    return get(path, name=handler.__name__, include_in_schema=False)(handler)


def visit_of(hub: Hub, request: Request[Any, Any, Any]) -> Visit:
    """Who looks at what, now."""
    now = hub.now()
    return Visit(
        hub=hub, caller=visitor(hub.access, hub.secret, request, now), query=dict(request.query_params), now=now,
        path={name: str(value) for name, value in request.path_params.items()}, url=str(request.url.path),
        snapshot=hub.snapshot, session=request.cookies.get(COOKIE, ""),
        origin=str(request.base_url).rstrip("/"),
    )  # fmt: skip


def guarded(answer: Response[Any]) -> Response[Any]:
    """The answer with the headers of every page, unless it brings its own policy."""
    if "Content-Security-Policy" not in answer.headers:
        answer.headers.update(headers())
    return answer


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
