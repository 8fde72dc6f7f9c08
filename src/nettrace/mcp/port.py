"""What tools ask of a hub, wherever it is. Rows have the field names of the REST API (docs/reference)."""

from collections.abc import Sequence
from typing import Protocol

from nettrace.hub.access import Caller
from nettrace.mcp.plain import Document
from nettrace.model.account import Scope
from nettrace.model.instant import Instant
from nettrace.store.rows import Window

SIGNALS = ("anomaly", "shift", "trend", "loss", "divergence", "rank", "route_change_shared", "degraded_leg")


class Hub(Protocol):
    """A hub's answers. Every method raises the errors of `nettrace.errors` for what is not there or not allowed."""

    async def scopes(self, caller: Caller) -> frozenset[Scope]:
        """What the caller may do at this hub."""
        ...

    async def targets(self, caller: Caller, region: str | None) -> list[Document]:
        """Every visible target with its newest round, from one vantage or the nearest."""
        ...

    async def latency(self, caller: Caller, host: str, region: str | None) -> list[Document]:
        """The newest round of each series of a target."""
        ...

    async def history(
        self, caller: Caller, host: str, region: str | None, window: Window, most: int
    ) -> Document:
        """`resolution` and `data`: at most so many buckets of what speaks for the target."""
        ...

    async def compare(
        self, caller: Caller, hosts: Sequence[str], regions: Sequence[str], window: Window
    ) -> Document:
        """`data`, `differences`, `fastest`."""
        ...

    async def rankings(
        self, caller: Caller, category: str | None, region: str | None, window: Window
    ) -> Document:
        """`data`, `region`, `unranked`."""
        ...

    async def routes(
        self, caller: Caller, host: str, region: str | None, at: Instant | None
    ) -> list[Document]:
        """The route of each traced series that held at an instant, None for now."""
        ...

    async def events(
        self,
        caller: Caller,
        kinds: Sequence[str],
        about: tuple[str | None, str | None],
        window: Window,
        most: int,
    ) -> tuple[list[Document], bool]:
        """Events about (host, region), newest first, and whether there are more."""
        ...

    async def vantages(self, caller: Caller) -> list[Document]:
        """The vantages and how they are."""
        ...

    async def limits(self, caller: Caller) -> Document:
        """What the caller may do and has used."""
        ...

    async def measure(self, caller: Caller, wanted: Document, *, dry_run: bool) -> Document:
        """A measurement asked for, or what it would cost."""
        ...

    async def measurement(self, caller: Caller, identity: str) -> Document:
        """A measurement with its results so far."""
        ...

    async def close(self) -> None:
        """Let go."""
        ...
