"""What pages need of the hub: the newest rounds, questions to the store, the time."""

from collections.abc import Callable
from typing import Concatenate, ParamSpec, Protocol, TypeVar

from nettrace.hub.access import Access
from nettrace.hub.latest import Snapshot
from nettrace.hub.link import HubWriter
from nettrace.hub.place import Data
from nettrace.hub.solving import Solvers
from nettrace.model.instant import Instant
from nettrace.store.port import StoreReader

T = TypeVar("T")
R = TypeVar("R")
P = ParamSpec("P")


class Questions(Protocol):
    """Blocking reads, asked where they hold up nobody."""

    async def run(self, question: Callable[[StoreReader], T]) -> T:
        """What the question finds."""
        ...


class Orders(Protocol):
    """The way to the one writer."""

    async def call(
        self, method: Callable[Concatenate[HubWriter, P], R], *args: P.args, **keywords: P.kwargs
    ) -> R:
        """What the writer's method answers."""
        ...


class Hub(Protocol):
    """The hub as pages see it; `nettrace.api.service.Service` is one."""

    now: Callable[[], Instant]
    access: Access
    secret: bytes
    data: Data
    solvers: Solvers

    @property
    def snapshot(self) -> Snapshot:
        """The newest rounds there are."""
        ...

    @property
    def writer(self) -> Orders:
        """The way to the writer."""
        ...

    @property
    def readers(self) -> Questions:
        """The way to the store."""
        ...
