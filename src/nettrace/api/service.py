"""What handlers work with: readers, the newest rounds, access, the way to the writer. Given to them, never global."""

import asyncio
import os
import secrets
import socket
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

from nettrace.api.kept import Answers
from nettrace.api.metrics import Histogram
from nettrace.api.reader import Readers
from nettrace.hub.access import Access
from nettrace.hub.feed import Feed
from nettrace.hub.latest import Newest, Snapshot
from nettrace.hub.link import HubWriter
from nettrace.hub.place import Data
from nettrace.hub.quota import Quota
from nettrace.hub.solving import Solvers
from nettrace.hub.tiers import Tiers
from nettrace.model.instant import NS_PER_S, Instant
from nettrace.outside.notify.channel import deliver
from nettrace.store.port import StoreReader

R = TypeVar("R")
P = ParamSpec("P")
POLL_S = 0.05
_RESOLVE_S = 5.0


class Writer(Protocol):
    """The way to the writer: `hub.link.WriterLink`, or a writer in this process."""

    async def call(
        self, method: Callable[Concatenate[HubWriter, P], R], *args: P.args, **keywords: P.kwargs
    ) -> R:
        """What the writer's method answers."""
        ...

    async def close(self) -> None:
        """Let go of the connection."""
        ...


class Service:
    """The hub as its doors see it.

    Args:
        open_reader: makes a reader of the store.
        writer: the way to the one writer; `await service.writer.call(HubWriter.put_key, key)`.
        now: the clock.
        single_user: callers without a key are the owner while no key was ever made.

    Attributes:
        readers: for what callers ask.
        resolve: addresses of a name, as the hub sees it.
        deliver: carries one message to a channel, blocking.
        feed: what live listeners of this process are served from, once they are mounted.
        solvers: placements, solved where they hold up nobody.
        following: a reader of its own for the live log, which long questions must not delay.
    """

    def __init__(
        self,
        data: Data,
        open_reader: Callable[[], StoreReader],
        writer: Writer,
        *,
        now: Callable[[], Instant],
        single_user: bool,
        public_hosts: Sequence[str] = (),
        loopback: bool = True,
    ) -> None:
        self.data = data
        self.now = now
        self.public_hosts = tuple(public_hosts)
        self.loopback = loopback
        self.readers = Readers(open_reader)
        self.following = Readers(open_reader, 1)
        self.tiers = Tiers(data.folder / "tiers.toml")
        self.quota = Quota(data.quota)
        self._keys = open_reader()
        self.access = Access(self._keys, self.tiers, self.quota, single_user=single_user)
        self.secret = _secret(data.folder / "cursor.key")
        self.resolve = addresses_of
        self.deliver = deliver
        self.answers = Answers()
        self.solvers = Solvers()
        self.histogram = Histogram()
        self.newest = Newest(now(), self.histogram.take)
        self.documents: dict[str, bytes] = {}
        self.operations: tuple[Any, ...] = ()
        self.started_at = now()
        self.writer = writer
        self.feed: Feed | None = None
        self.exporter: Callable[[Service], None] = _nobody
        self._counted_at: Instant = 0
        self._calls = 0
        self._begins: list[Callable[[], Coroutine[object, object, None]]] = []
        self._ends: list[Callable[[], Awaitable[None]]] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self.problem: str | None = None

    @property
    def snapshot(self) -> Snapshot:
        """The newest rounds there are."""
        return self.newest.snapshot

    async def start(self) -> None:
        """Read what there is and keep following it."""
        await self.refresh()
        self.keep(self._follow())
        for work in self._begins:
            self.keep(work())

    def keep(self, work: Coroutine[object, object, None]) -> None:
        """Run a coroutine until the service stops."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def calls_today(self) -> int:
        """Calls of all keys today, at most ten seconds old: counting them reads the whole quota file."""
        now = self.now()
        if now - self._counted_at > 10 * NS_PER_S:
            self._counted_at = now
            self._calls = await asyncio.to_thread(self.quota.calls_today, now)
        return self._calls

    def begin(self, work: Callable[[], Coroutine[object, object, None]]) -> None:
        """Run this from the start of the service to its end."""
        self._begins.append(work)

    def at_end(self, close: Callable[[], Awaitable[None]]) -> None:
        """Call this when the service stops."""
        self._ends.append(close)

    async def refresh(self) -> bool:
        """Look for news; True when there were any."""
        try:
            changed = await self.following.run(lambda reader: self.newest.refresh(reader, self.now()))
        except Exception as error:
            self.problem = str(error)
            raise
        self.problem = None
        return changed

    async def _follow(self) -> None:
        while True:
            await asyncio.sleep(POLL_S)
            with suppress(Exception):  # said by /readyz; the next look may succeed
                await self.refresh()

    async def stop(self) -> None:
        """End the background work and let go of everything."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for close in self._ends:
            await close()
        for readers in (self.readers, self.following):
            await asyncio.get_running_loop().run_in_executor(None, readers.close)
        await self.writer.close()
        self._keys.close()
        self.quota.close()


async def addresses_of(host: str) -> list[str]:
    """What the hub's own resolver says of a name; nothing when it says nothing, for a node may know more."""
    try:
        async with asyncio.timeout(_RESOLVE_S):
            found = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError, TimeoutError):
        return []
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def _nobody(_: Service) -> None:
    """Exports stay queued until somebody works them off."""


def _secret(path: Path) -> bytes:
    """The key cursors are signed with: one for all workers of a hub, made by whoever comes first."""
    while True:
        with suppress(FileNotFoundError):
            found = path.read_bytes()
            if len(found) == 32:
                return found
        made = path.with_suffix(f".{os.getpid()}")
        made.write_bytes(secrets.token_bytes(32))
        made.chmod(0o600)
        with suppress(FileExistsError):
            os.link(made, path)
        made.unlink()
