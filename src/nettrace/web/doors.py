"""Every page's handler: what the server mounts."""

from typing import Any
from urllib.parse import quote

import msgspec
from litestar import Request, Response, get, post
from litestar.handlers import HTTPRouteHandler
from litestar.response import Redirect

from nettrace.errors import NetTraceError, NotFound, Unauthenticated
from nettrace.hub.access import Caller
from nettrace.hub.query import known_regions
from nettrace.web.account import account_doors
from nettrace.web.badges import badge_doors
from nettrace.web.claims import claim_doors
from nettrace.web.door import Visit, door, guarded, refused
from nettrace.web.events import event_doors
from nettrace.web.hub import Hub
from nettrace.web.map import map_doors
from nettrace.web.measurements import measurement_doors
from nettrace.web.mesh import mesh_doors
from nettrace.web.overview import overview_doors
from nettrace.web.path import path_doors
from nettrace.web.plan import plan_doors
from nettrace.web.playground import playground_doors
from nettrace.web.rankings import ranking_doors
from nettrace.web.sign_in import begun, end_own
from nettrace.web.signals import signal_doors
from nettrace.web.site import asset, digest, headers, page, serve_static
from nettrace.web.status import status_doors
from nettrace.web.suspected import suspected_doors
from nettrace.web.targets import target_doors
from nettrace.web.visitor import cookie, same_origin


def page_doors(hub: Hub) -> list[HTTPRouteHandler]:
    """All pages on a hub."""
    return [
        *overview_doors(hub),
        *target_doors(hub),
        *ranking_doors(hub),
        *event_doors(hub),
        *suspected_doors(hub),
        *signal_doors(hub),
        *map_doors(hub),
        *path_doors(hub),
        *measurement_doors(hub),
        *mesh_doors(hub),
        *plan_doors(hub),
        *claim_doors(hub),
        *status_doors(hub),
        *badge_doors(hub),
        *playground_doors(hub),
        *account_doors(hub),
        *_session_doors(hub),
        door(hub, "/palette.json", _palette, public=True),
        _static_door(hub),
        _icon_door(),
    ]


def _static_door(hub: Hub) -> HTTPRouteHandler:
    @get("/static/{stamp:str}/{name:path}", include_in_schema=False)
    async def static(request: Request[Any, Any, Any]) -> Response[bytes]:
        stamp, name = (str(request.path_params[each]) for each in ("stamp", "name"))
        try:
            if stamp != digest():
                raise NotFound("this file is of another version of NetTrace", "Load the page again")
            return serve_static(name.lstrip("/"), request.headers.get("accept-encoding", ""))
        except NetTraceError as error:
            return refused(error, hub.now())

    return static


def _icon_door() -> HTTPRouteHandler:
    @get("/favicon.ico", include_in_schema=False)
    async def icon() -> Response[bytes]:
        """For pages that name no icon, such as the API's own: browsers ask for this path unbidden."""
        body, _ = asset("icon.svg")
        told = {**headers(), "Cache-Control": "public, max-age=86400"}
        return Response(body, media_type="image/svg+xml", headers=told)

    return icon


_OTHER_PAGES = (
    ("Claims, and what became of them", "/claims"),
    ("Test a target now", "/#test"), ("What changed against the stretch before (matrix)", "/matrix?diff=1"),
    ("Account, keys and usage", "/account"), ("What each tier holds", "/pricing"), ("API reference", "/docs"),
    ("Status as JSON", "/status/feed.json"), ("Sign in", "/login"),
)  # fmt: skip
"""Pages the bar at the top does not name."""


async def _palette(visit: Visit) -> Response[Any]:
    """What the palette finds, as far as this visitor may know of it."""
    targets = visit.snapshot.visible(visit.account)
    prefix = "/t/" if visit.caller else "/status/"
    rows = [{"words": target.name, "hint": target.host, "href": prefix + target.host} for target in targets]
    if visit.caller:
        rows += [
            {"words": code, "hint": "vantage", "href": f"/fleet#{code}"}
            for code in known_regions(visit.snapshot)
        ]
        rows += [
            {"words": f"Paths to {target.name}", "hint": target.host, "href": f"/t/{target.host}/path"}
            for target in targets
        ]
        rows += [
            {
                "words": f"Leaderboard: {category}",
                "hint": "page",
                "href": f"/leaderboard/{quote(category, safe='')}",
            }
            for category in sorted({target.category for target in targets})
        ]
    rows += [{"words": words, "hint": "page", "href": href} for words, href in _OTHER_PAGES]
    return Response(
        msgspec.json.encode(rows),
        media_type="application/json",
        headers={
            "Cache-Control": "private, no-cache"
        },  # who signs in next must not find another account's targets
    )


def _session_doors(hub: Hub) -> list[HTTPRouteHandler]:
    @get("/login", include_in_schema=False)
    async def form(request: Request[Any, Any, Any]) -> Response[bytes]:
        return _login_page(hub, _inside(str(request.query_params.get("next", "/"))), "")

    @post("/login", include_in_schema=False, status_code=303)
    async def login(request: Request[Any, Any, Any]) -> Response[Any]:
        sent = dict(await request.form())
        onward = _inside(str(sent.get("next", "/")))
        now = hub.now()
        try:
            if not same_origin(request):
                raise Unauthenticated("this form was sent from another site")
            caller: Caller = hub.access.caller(f"Bearer {str(sent.get('key', ''))[:200]}", None, now)
        except Unauthenticated as error:
            return _login_page(hub, onward, str(error), status=401)
        secure = request.url.scheme == "https"
        session = cookie(await begun(hub, request, caller.key or ""), secure=secure)
        return guarded(Redirect(onward, status_code=303, cookies=[session]))

    @post("/logout", include_in_schema=False, status_code=303)
    async def logout(request: Request[Any, Any, Any]) -> Response[Any]:
        if not same_origin(request):
            return _login_page(hub, "/", "this form was sent from another site", status=401)
        await end_own(hub, request)
        gone = cookie("", secure=request.url.scheme == "https")
        return guarded(Redirect("/", status_code=303, cookies=[gone]))

    return [form, login, logout]


def _login_page(hub: Hub, onward: str, problem: str, *, status: int = 200) -> Response[bytes]:
    return page("login.html", hub.now(), {"page": "", "next": onward, "problem": problem}, status=status)


def _inside(path: str) -> str:
    """A path of ours to go on to; anything that could lead elsewhere is the first page."""
    ours = path.startswith("/") and not path.startswith(("//", "/\\")) and path.isprintable()
    return path if ours and len(path) < 500 else "/"
