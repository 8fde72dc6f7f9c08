"""What pages need of the hub: the newest rounds, questions to the store, the time."""

from collections.abc import Callable
from typing import Protocol, TypeVar

from nettrace.hub.access import Access
from nettrace.hub.latest import Snapshot
from nettrace.model.instant import Instant
from nettrace.store.port import StoreReader

T = TypeVar("T")


class Questions(Protocol):
    """Blocking reads, asked where they hold up nobody."""

    async def run(self, question: Callable[[StoreReader], T]) -> T:
        """What the question finds."""
        ...


class Hub(Protocol):
    """The hub as pages see it; `nettrace.hub.service.Service` is one."""

    now: Callable[[], Instant]
    access: Access
    secret: bytes

    @property
    def snapshot(self) -> Snapshot:
        """The newest rounds there are."""
        ...

    @property
    def readers(self) -> Questions:
        """The way to the store."""
        ...
