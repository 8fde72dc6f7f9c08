"""Doors of other kinds that live in the same application: nodes' reports and streams."""

from collections.abc import Callable

from litestar.types import ControllerRouterHandler

from nettrace.api.nodes import nodes_router
from nettrace.api.service import Service
from nettrace.api.stream import stream_door
from nettrace.hub.feed import Feed
from nettrace.hub.ingest import NodeDoors
from nettrace.hub.link import WriterLink
from nettrace.hub.tiers import Tiers
from nettrace.store.port import StoreReader


def doors(
    service: Service, open_reader: Callable[[], StoreReader], link: WriterLink
) -> list[ControllerRouterHandler]:
    """What is mounted beside the table of operations. The service ends it with itself."""
    nodes = NodeDoors(open_reader, link, Tiers(service.tiers.own), service.now)
    service.at_end(nodes.close)
    feed = Feed(service.following.run)
    service.begin(feed.follow)
    service.feed = feed
    return [nodes_router(nodes), stream_door(service, feed)]
