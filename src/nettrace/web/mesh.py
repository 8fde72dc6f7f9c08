"""The mesh as a page: every pair of vantages, the way there beside the way back, and one pair with its routes."""

from typing import Any

from litestar import Response
from litestar.handlers import HTTPRouteHandler

from nettrace.errors import NotFound
from nettrace.hub.mesh import Leg, Pair, mesh_target, pairs
from nettrace.hub.query import RouteNow, routes_now
from nettrace.model.account import Feature
from nettrace.model.instant import NS_PER_S
from nettrace.model.target import RoundMethod
from nettrace.store.port import Choice
from nettrace.store.rows import Window
from nettrace.web.door import Visit, door
from nettrace.web.hub import Hub
from nettrace.web.site import milliseconds

_DAY_NS = 86_400 * NS_PER_S


def mesh_doors(hub: Hub) -> list[HTTPRouteHandler]:
    """Both pages."""
    return [
        door(hub, "/mesh", mesh_page, feature=Feature.ROUTES),
        door(hub, "/mesh/{one:str}/{other:str}", pair_page, feature=Feature.ROUTES),
    ]


async def mesh_page(visit: Visit) -> Response[Any]:
    """A line a pair, and the matrix of one-way delays: rows send, columns receive."""
    found = pairs(visit.snapshot)
    codes = sorted({code for pair in found for code in (pair.one, pair.other)})
    legs = {
        (leg.origin, leg.target): leg for pair in found for leg in (pair.there, pair.back) if leg is not None
    }
    told = {"page": "fleet", "pairs": found, "codes": codes, "legs": legs, "words": words, "short": short}
    return visit.page("mesh.html", told)


async def pair_page(visit: Visit) -> Response[Any]:
    """One pair: both directions, and the newest route each way."""
    one, other = sorted((visit.path["one"], visit.path["other"]))
    pair = next((each for each in pairs(visit.snapshot) if (each.one, each.other) == (one, other)), None)
    if pair is None:
        raise NotFound(f"{one[:50]} and {other[:50]} do not measure each other", "The mesh shows who does")
    choice = Choice(
        targets=(mesh_target(one), mesh_target(other)),
        vantages=(one, other),
        methods=(RoundMethod.TRACE.value,),
    )
    window = Window(visit.now - _DAY_NS, visit.now + 1)
    found = await visit.hub.readers.run(lambda reader: routes_now(reader, choice, window))
    ways = [(origin, goal, _route(found, origin, goal)) for origin, goal in ((one, other), (other, one))]
    return visit.page(
        "mesh_pair.html", {"page": "fleet", "pair": pair, "ways": ways, "words": words, "legs": _legs(pair)}
    )


def _legs(pair: Pair) -> list[Leg]:
    return [leg for leg in (pair.there, pair.back) if leg is not None]


def _route(found: list[RouteNow], origin: str, goal: str) -> RouteNow | None:
    wanted = (origin, mesh_target(goal))
    return next((each for each in found if (each.series.vantage, each.series.target) == wanted), None)


def short(leg: Leg | None) -> str:
    """A direction in a cell: its delay, or that the clocks cannot tell it."""
    if leg is None:
        return "—"
    return milliseconds(leg.delay_ns) if leg.delay_ns is not None else "not resolvable"


def words(leg: Leg | None) -> str:
    """A direction in a sentence."""
    if leg is None:
        return "not measured"
    bound = "by clocks nobody vouches for" if leg.error_ns is None else f"±{milliseconds(leg.error_ns)} ms"
    delay = (
        f"{milliseconds(leg.delay_ns)} ms {bound}"
        if leg.delay_ns is not None
        else f"not resolvable ({bound})"
    )
    lost = "losses unknown" if leg.lost is None else f"{leg.lost} of {leg.sent} lost"
    late = "" if leg.reordered is None else f", {leg.reordered} out of order"
    hops = "" if leg.hops is None else f", {leg.hops} hops"
    return f"{delay}; {lost}{late}{hops}"
