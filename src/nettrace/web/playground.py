"""The playground, where the API is tried, and the page of what each tier holds. Neither needs a key."""

from typing import Any

from litestar import Response
from litestar.handlers import HTTPRouteHandler

from nettrace.hub.tiers import TEST
from nettrace.model.account import Feature
from nettrace.web.door import Visit, door
from nettrace.web.hub import Hub

FEATURES = {
    Feature.ROUTES: "Routes and their changes",
    Feature.COMPARE: "Comparisons",
    Feature.SIGNALS: "Signals and events",
    Feature.ALERTS: "Alerts",
    Feature.MEASURE: "Measurements on demand",
    Feature.EXPORT: "Exports",
    Feature.STREAM: "Live stream",
    Feature.CUSTOM_TARGETS: "Targets of your own",
}
"""Features in words, in the order of the table."""


def playground_doors(hub: Hub) -> list[HTTPRouteHandler]:
    """Both pages."""
    return [
        door(hub, "/playground", playground_page, public=True),
        door(hub, "/pricing", pricing_page, public=True),
    ]


async def playground_page(visit: Visit) -> Response[Any]:
    """A request builder over `/openapi.json`; whoever has no key sees recorded answers, marked as such."""
    needs_key = visit.caller is None or visit.caller.key is not None
    return visit.page("playground.html", {"page": "playground", "needs_key": needs_key})


async def pricing_page(visit: Visit) -> Response[Any]:
    """The tiers in force on this hub, as the operator's file has them."""
    tiers = visit.hub.access.tiers.all()
    told = {
        "page": "pricing", "tiers": [tier for tier in tiers if tier.name != TEST], "features": FEATURES,
        "test": next(tier for tier in tiers if tier.name == TEST), "mine": visit.caller.tier.name if visit.caller else "",
    }  # fmt: skip
    return visit.page("pricing.html", told)
