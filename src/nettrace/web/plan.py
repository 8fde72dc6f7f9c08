"""Where servers should stand: a request in a form, its plan on a map and as trades, and the document to take away."""

import io
import zipfile
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Any
from urllib.parse import urlencode

import msgspec
from litestar import Request, Response, post
from litestar.handlers import HTTPRouteHandler
from litestar.response import Redirect

from nettrace.errors import (
    Infeasible,
    Invalid,
    MissingExtra,
    NetTraceError,
    NotAllowed,
    SolverBusy,
    SolverStopped,
)
from nettrace.hub.placements import refuse
from nettrace.hub.solving import PRICE, Job, Solved, measured_by
from nettrace.model.instant import NS_PER_S
from nettrace.placement.document.cell import milli
from nettrace.placement.sheet import flip_words, money, verdict
from nettrace.store.rows import Window
from nettrace.web.door import Visit, door, guarded, refused, visit_of
from nettrace.web.hub import Hub
from nettrace.web.map import HEIGHT, WIDTH, land
from nettrace.web.plandraw import bars, pareto, within, world
from nettrace.web.planrows import FIELDS, choices, limits_of, rows_of, with_rows
from nettrace.web.plantext import MOST_TEXT, packed, unpacked, with_limits
from nettrace.web.site import headers
from nettrace.web.tabular import table
from nettrace.web.visitor import own_form

ESTIMATES = {"registry": "of registry names", "all": "of all with coordinates", "never": "none"}
HOURS = {"": "as written", "24": "24 hours", "168": "7 days", "720": "30 days"}
_FORMS = {
    "md": ("placement.md", "text/markdown; charset=utf-8"), "html": ("placement.html", "text/html; charset=utf-8"),
    "json": ("plan.json", "application/json"), "deploy": ("deploy.zip", "application/zip"),
    "toml": ("request.toml", "application/toml"), "ask": ("request.json", "application/json"),
}  # fmt: skip
"""What can be taken away, by the button's value."""
_SHOWN = (Invalid, Infeasible, MissingExtra, SolverStopped, SolverBusy)
"""Errors that are told above the form, which keeps what was typed."""


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What the form says; an address says the same.

    Attributes:
        example: nobody typed anything yet.
    """

    text: str
    estimates: str = "registry"
    hours: str = ""
    example: bool = False

    def address(self, **more: str) -> str | None:
        """The page of this request, or None when it is too long for an address."""
        short = packed(self.text)
        said = {"e": self.estimates if self.estimates != "registry" else "", "h": self.hours}
        kept = {name: value for name, value in (said | more).items() if value}
        return None if short is None else f"/plan?{urlencode({'q': short, **kept})}"


def plan_doors(hub: Hub) -> list[HTTPRouteHandler]:
    """The page and what its form does."""

    @post("/plan", include_in_schema=False, status_code=200)
    async def solve(request: Request[Any, Any, Any]) -> Response[Any]:
        visit = visit_of(hub, request)
        try:
            form = {name: str(value) for name, value in dict(await request.form()).items()}
            if not own_form(request, hub.secret, form.get("token", "")):
                raise NotAllowed(
                    "this form was not made for your session", "Load /plan again and send it from there"
                )
            return guarded(await _sent(visit, form))
        except NetTraceError as error:
            return guarded(refused(error, visit.now))

    return [door(hub, "/plan", plan_page), solve]


async def plan_page(visit: Visit) -> Response[Any]:
    """The form with what its address holds, solved; without any, with an example."""
    asked = Asked(text=example(), example=True)
    try:
        if "q" in visit.query:
            asked = Asked(
                text=unpacked(visit.query["q"]), estimates=_among(visit.query.get("e", ""), ESTIMATES, "registry"),
                hours=_among(visit.query.get("h", ""), HOURS, ""),
            )  # fmt: skip
    except Invalid as error:
        return _page(visit, asked, None, error)
    if asked.example:
        return _page(visit, asked, None, None)
    return await _answer(visit, asked)


@cache
def example() -> str:
    """A request to begin with."""
    return files("nettrace.web").joinpath("plan.toml").read_text(encoding="utf-8")


def _among(word: str, known: Mapping[str, str], otherwise: str) -> str:
    return word if word in known else otherwise


async def _sent(visit: Visit, form: Mapping[str, str]) -> Response[Any]:
    """What a sent form leads to: a file, or the page of its address."""
    if visit.caller is None:
        raise NotAllowed("this session is over", "Sign in again at /login")
    asked = Asked(
        text=form.get("request", "").replace("\r\n", "\n")[:MOST_TEXT],
        estimates=_among(form.get("e", ""), ESTIMATES, "registry"), hours=_among(form.get("h", ""), HOURS, ""),
    )  # fmt: skip
    try:
        text = with_rows(with_limits(asked.text, _limits(form)), form)
        asked = msgspec.structs.replace(asked, text=text)
        if form.get("as") in _FORMS:
            return await _file(visit, asked, form["as"])
    except _SHOWN as error:
        return _page(visit, asked, None, error)
    address = asked.address()
    return Redirect(f"{address}#answer", status_code=303) if address else await _answer(visit, asked)


def _limits(form: Mapping[str, str]) -> dict[str, float | None]:
    """Limits that the fields beside the text set; an empty field leaves what is written."""
    found: dict[str, float | None] = {}
    fields = {
        "budget": "budget_usd_month",
        "max_sites": "max_sites",
        "redundancy": "redundancy",
        "trade": "budget_usd_month",
    }
    for field, name in fields.items():
        words = form.get(field, "").strip()
        if not words:
            continue
        try:
            found[name] = None if words == "none" else float(words)
        except ValueError:
            raise Invalid(
                f"{field.replace('_', ' ')} '{words[:40]}' is no number", "Write digits, or none"
            ) from None
    return found


async def _solved(visit: Visit, asked: Asked, forms: tuple[str, ...] = ()) -> Solved:
    """The answer, at the price the API has for it."""
    caller = visit.caller
    if caller is None:
        raise NotAllowed("this session is over", "Sign in again at /login")
    visit.hub.access.charge(caller, visit.now, PRICE)
    job = Job(request=asked.text, estimates=asked.estimates, forms=forms, hub=visit.origin)
    if asked.hours:
        reach = Window(visit.now - int(asked.hours) * 3600 * NS_PER_S, visit.now)
        window = visit.hub.access.window(caller, reach, visit.now)
        hosts = [target.host for target in visit.snapshot.visible(visit.account)]
        job = measured_by(job, visit.hub.data, hosts, window)
    return await visit.hub.solvers.run(job)


async def _file(visit: Visit, asked: Asked, form: str) -> Response[bytes]:
    """A file to take away."""
    name, kind = _FORMS[form]
    if form == "toml":
        body = asked.text.encode()
    elif form == "ask":
        hours = {"hours": int(asked.hours)} if asked.hours else {}
        body = msgspec.json.encode({"request": asked.text, "estimates": asked.estimates, **hours})
    else:
        wanted = {"deploy": ("files",), "json": ()}.get(form, (form,))
        solved = await _solved(visit, asked, wanted)
        if form == "deploy":
            refuse(solved.plan, solved.request)
        body = _body(solved, form)
    told = {**headers(), "Cache-Control": "no-store", "Content-Disposition": f'attachment; filename="{name}"'}
    return Response(body, media_type=kind, headers=told)


def _body(solved: Solved, form: str) -> bytes:
    if form == "json":
        return msgspec.json.encode(solved.plan)
    if form != "deploy":
        return (getattr(solved, form) or "").encode()
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in solved.files:
            entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            entry.external_attr = (0o755 if name.endswith(".sh") else 0o644) << 16
            archive.writestr(entry, text)
    return sink.getvalue()


async def _answer(visit: Visit, asked: Asked) -> Response[Any]:
    try:
        solved = await _solved(visit, asked)
        refuse(solved.plan, solved.request)
    except _SHOWN as error:
        return _page(visit, asked, None, error)
    if visit.query.get("format") == "csv":
        return table(_trades(solved) if visit.query.get("part") == "pareto" else _assignments(solved.plan))
    return _page(visit, asked, solved, None)


def _assignments(plan: Mapping[str, Any]) -> list[Sequence[str]]:
    names = ("venue", "site", "backup", "p50_ms", "low_ms", "high_ms", "evidence", "latency_usd_month")
    return [names, *([_cell(row[name]) for name in names] for row in plan["assignments"])]


def _trades(solved: Solved) -> list[Sequence[str]]:
    names = ("cost_usd_month", "latency_usd_month", "objective_usd_month", "within_budget")
    rows = zip(solved.plan.get("pareto", ()), solved.spread, strict=True)
    lines = [
        [" ".join(trade["sites"]), *(_cell(trade[name]) for name in names), *(_cell(end) for end in ends)]
        for trade, ends in rows
    ]
    return [("sites", *names, "latency_low_usd_month", "latency_high_usd_month"), *lines]


def _cell(value: object) -> str:
    return "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _page(visit: Visit, asked: Asked, solved: Solved | None, error: NetTraceError | None) -> Response[Any]:
    told: dict[str, Any] = {
        "page": "plan", "asked": asked, "token": visit.token, "estimates": ESTIMATES, "hours": HOURS, "error": error,
        "plan": None, "part": visit.query.get("part", ""), "address": asked.address(), "price": PRICE,
        "conflict": error.conflict if isinstance(error, Infeasible) else (),
        "rows": rows_of(asked.text), "keys": FIELDS, "choices": choices(), "limits": limits_of(asked.text),
        "example": Asked(text=example()).address(), "keyed": visit.caller is not None and visit.caller.key is not None,
    }  # fmt: skip
    if solved is not None:
        told |= _told(asked, solved)
    answer = visit.page("plan.html", told, embed=visit.embed)
    if error is not None:
        answer.status_code = 400 if isinstance(error, Invalid) else error.status
    return answer


def _told(asked: Asked, solved: Solved) -> dict[str, Any]:
    plan = solved.plan
    trades = plan.get("pareto", [])
    return {
        "plan": plan, "drawn": world(plan, solved.request), "land": land(), "width": WIDTH, "height": HEIGHT,
        "bars": bars(plan["assignments"]), "front": pareto(trades, solved.spread, plan["sites"]), "trades": trades,
        "spread": solved.spread, "verdict": verdict(plan), "money": money, "milli": milli, "within": within,
        "flips": _flips(plan),
        "csv": asked.address(format="csv"), "csv_trades": asked.address(format="csv", part="pareto"),
        "embed_map": asked.address(embed="1", part="map"), "embed_trades": asked.address(embed="1", part="pareto"),
    }  # fmt: skip


def _flips(plan: Mapping[str, Any]) -> list[tuple[str, bool]]:
    """What would change the choice, in words, and whether an interval reaches that far: those first, then the nearest."""
    found = sorted(
        plan.get("sensitivity", ()),
        key=lambda flip: (not flip["within_interval"], abs(1e9 if flip["share"] is None else flip["share"])),
    )
    return [(flip_words(flip), bool(flip["within_interval"])) for flip in found]
