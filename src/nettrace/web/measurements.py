"""Measurements people ask for on the overview: a form, and a page that fills as the vantages answer."""

from typing import Any

from litestar import Request, Response, post
from litestar.handlers import HTTPRouteHandler
from litestar.response import Redirect

from nettrace.errors import NetTraceError, NotAllowed, NotFound
from nettrace.hub.link import HubWriter
from nettrace.hub.query import known_regions
from nettrace.hub.request import Wish, request_of
from nettrace.model.account import Feature, Scope
from nettrace.store.rows import MeasurementRequest, MeasurementState, Round
from nettrace.web.door import Visit, door, guarded, refused, visit_of
from nettrace.web.hub import Hub
from nettrace.web.visitor import own_form

METHODS = ("", "icmp", "tcp", "http", "dns")
"""What the form offers; empty is the one the target is measured by anyway."""

_OPEN = {MeasurementState.QUEUED, MeasurementState.RUNNING}
_LISTED, _PRICE = 1000, 1
_LONGEST = 253


def measurement_doors(hub: Hub) -> list[HTTPRouteHandler]:
    """The form's address and the page of its answer."""

    @post("/measurements", include_in_schema=False, status_code=303)
    async def ask(request: Request[Any, Any, Any]) -> Response[Any]:
        visit = visit_of(hub, request)
        try:
            form = {name: str(value) for name, value in dict(await request.form()).items()}
            if not own_form(request, hub.secret, form.get("token", "")):
                raise NotAllowed("this form was not made for your session", "Load the overview again and send it from there")  # fmt: skip
            wanted = await _asked(visit, form)
        except NetTraceError as error:
            return guarded(refused(error, visit.now))
        return guarded(Redirect(f"/measurements/{wanted.id}", status_code=303))

    return [ask, door(hub, "/measurements/{id:str}", measurement_page, feature=Feature.MEASURE)]


def may_measure(visit: Visit) -> bool:
    """Whether this visitor may have something measured now."""
    caller = visit.caller
    return caller is not None and Feature.MEASURE in caller.tier.features and (caller.key is None or Scope.MEASURE in caller.scopes)  # fmt: skip


async def _asked(visit: Visit, form: dict[str, str]) -> MeasurementRequest:
    """Put what the form wants into the queue, at the price the API has for it."""
    caller = visit.caller
    if caller is None:
        raise NotAllowed("this session is over", "Sign in again at /login")
    visit.hub.access.require(caller, Feature.MEASURE)
    if caller.key is not None:
        visit.hub.access.require(caller, scope=Scope.MEASURE)
    region = form.get("region", "")
    wish = Wish(
        target=form.get("target", "").strip()[:_LONGEST], method=form.get("method") or None,
        regions=(region,) if region else None,
    )  # fmt: skip
    request = request_of(visit.snapshot, caller.account, wish, visit.now)
    visit.hub.access.charge(caller, visit.now, _PRICE)
    await visit.hub.writer.call(HubWriter.put_request, request)
    return request


async def measurement_page(visit: Visit) -> Response[Any]:
    """What was asked, and what each vantage has answered so far."""
    wanted = visit.path["id"]
    found, rounds = await visit.hub.readers.run(
        lambda reader: (
            next((each for each in reader.requests(account=visit.account, limit=_LISTED) if each.id == wanted), None),
            reader.request_rounds(wanted),
        )
    )  # fmt: skip
    if found is None:
        raise NotFound(f"no measurement '{wanted[:60]}' of yours", "Ask for one on the overview")
    by_vantage: dict[str, list[Round]] = {}
    for each in rounds:
        by_vantage.setdefault(each.series.vantage, []).append(each)
    rows = [(vantage, by_vantage.get(vantage, [])) for vantage in found.wanted]
    told = {
        "page": "measurement",
        "asked": found,
        "rows": rows,
        "open": found.state in _OPEN,
        **box(visit, found.target),
    }
    return visit.page("measurement.html", told)


def box(visit: Visit, target: str = "") -> dict[str, Any]:
    """What the form needs."""
    return {
        "may_measure": may_measure(visit), "token": visit.token, "methods_to_ask": METHODS, "asked_target": target,
        "regions": known_regions(visit.snapshot), "hosts": [each.host for each in visit.snapshot.visible(visit.account)],
    }  # fmt: skip
