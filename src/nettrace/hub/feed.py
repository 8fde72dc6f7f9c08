"""Live fan-out: one reader of the live log in each process, any number of subscribers, nothing lost and nothing twice.

History and live meet without a hole: a subscriber reads the log from where it left off until it stands where the feed
stands, and joins there, between two ticks. Each event is encoded once for all who want it. Who reads too slowly is told
so and let go; resuming brings back what was missed, as far as the log reaches.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress

import msgspec

from nettrace.errors import Invalid
from nettrace.model.vantage import third_party
from nettrace.store.port import StoreReader
from nettrace.store.rows import Live, LiveKind, LivePage

TICK_S = 0.025
PAGE = 1000
SLICE = 100
"""Subscribers that are served before others have a turn of the loop: a millisecond or two."""
AT_ONCE = 16
"""Subscribers that read the log at the same time; the others of a thousand that come back together wait their turn."""
MOST_WAITING = 20_000
"""Events that may wait for one subscriber; a quarter of an hour of a busy hub."""

Ask = Callable[[Callable[[StoreReader], LivePage]], Awaitable[LivePage]]
Pack = Callable[[Sequence[Live]], bytes]
Straight = tuple[Pack, Callable[[bytes], bool]]
"""How events become bytes, and what puts them to a connection at once, or says False and does nothing."""


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """Which events a subscriber wants; empty is "all", of vantages all of our own."""

    kinds: frozenset[LiveKind] = frozenset()
    targets: frozenset[str] = frozenset()
    vantages: frozenset[str] = frozenset()
    account: str = ""

    def fits(self, event: Live) -> bool:
        """Whether an event is wanted, and may be seen."""
        return (
            event.account in {None, self.account}
            and (not self.kinds or event.kind in self.kinds)
            and (not self.targets or event.target is None or event.target in self.targets)
            and (event.vantage is None or self._of(event.vantage))
        )

    def _of(self, vantage: str) -> bool:
        return vantage in self.vantages if self.vantages else not third_party(vantage)


def wanted_from(query: Mapping[str, str], account: str) -> Wanted:
    """What a stream's URL asks for: `topics=round,route_change`, `host=`, `region=`, each a list with commas.

    >>> sorted(wanted_from({"topics": "round,trace", "region": "nyc"}, "acme").kinds)
    [<LiveKind.ROUND: 'round'>, <LiveKind.TRACE: 'trace'>]

    Raises:
        Invalid: there is no such topic.
    """

    def listed(*names: str) -> list[str]:
        return [each.strip() for name in names for each in query.get(name, "").split(",") if each.strip()]

    topics = listed("topics", "topic")
    unknown = [topic for topic in topics if topic not in set(LiveKind)]
    if unknown:
        raise Invalid(f"no topic '{unknown[0][:40]}'", f"There are: {', '.join(LiveKind)}")
    return Wanted(
        kinds=frozenset(LiveKind(topic) for topic in topics), targets=frozenset(listed("host", "hosts")),
        vantages=frozenset(listed("region", "regions")), account=account,
    )  # fmt: skip


class Batch:
    """Events that came together and are wanted alike; their bytes are made once for each kind of stream."""

    __slots__ = ("_packed", "events")

    def __init__(self, events: Sequence[Live]) -> None:
        self.events = events
        self._packed: dict[Pack, bytes] = {}

    def packed(self, pack: Pack) -> bytes:
        """The events as `pack` puts them."""
        made = self._packed.get(pack)
        if made is None:
            made = self._packed[pack] = pack(self.events)
        return made


class Subscriber:
    """One who listens.

    News goes straight to its connection while it keeps up (`straight`); else it waits here for whoever awaits `news`.

    Attributes:
        waiting: events not yet taken, oldest first.
        last: the number of the last event it was given; it can resume after it.
        behind: it was let go because too many waited.
    """

    __slots__ = ("_idle", "_straight", "behind", "last", "waiting", "wake", "wanted")

    def __init__(self, wanted: Wanted, last: int = 0, straight: Straight | None = None) -> None:
        self.wanted = wanted
        self.waiting: deque[Live] = deque()
        self.wake = asyncio.Event()
        self.behind = False
        self.last = last
        self._straight = straight
        self._idle = False

    async def news(self, patience_s: float) -> list[Live]:
        """What could not go straight, when there is any; nothing after the patience. `last` is the taker's to set."""
        self._idle = not self.waiting
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(patience_s):
                    await self.wake.wait()
        finally:
            self._idle = False  # until it is awaited again nothing may overtake what the taker sends
        taken = [event for event in self.waiting if event.seq > self.last]
        self.waiting.clear()
        self.wake.clear()
        return taken

    def offer(self, batch: Batch) -> None:
        """Send a batch straight, or keep it."""
        if self._straight is not None and self._idle and batch.events[0].seq > self.last:
            pack, write = self._straight
            if write(batch.packed(pack)):
                self.last = batch.events[-1].seq
                return
        self._idle = False
        self.waiting.extend(batch.events)
        self.wake.set()


class Feed:
    """Follows the live log of a store for all subscribers of this process.

    Attributes:
        position: up to where the log was read for those who listen.
        handed: up to where every one of them has it.
        let_go: subscribers that read too slowly, since the start.
    """

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self.position = self.handed = -1
        self._groups: dict[Wanted, set[Subscriber]] = {}
        self._ready = asyncio.Event()
        self._turns = asyncio.Semaphore(AT_ONCE)
        self.let_go = 0

    @property
    def listening(self) -> int:
        """How many subscribers there are."""
        return sum(map(len, self._groups.values()))

    @property
    def longest(self) -> int:
        """The most events that wait for one subscriber."""
        return max((len(each.waiting) for group in self._groups.values() for each in group), default=0)

    async def follow(self) -> None:
        """Run until cancelled: look for news forty times a second."""
        while True:
            with suppress(Exception):  # said by /readyz; the next look may succeed, and nothing is skipped
                await self.look()
            await asyncio.sleep(TICK_S)

    async def look(self) -> None:
        """Read what is new and hand it out."""
        if self.position < 0:
            self.position = (
                await self._ask(lambda reader: LivePage(events=(), head=reader.head(), oldest=0))
            ).head
            self.handed = self.position
            self._ready.set()
            return
        after = self.position
        page = await self._ask(lambda reader: _news(reader, after))
        if page.events:
            self.position = page.events[-1].seq  # who joins from here on has read this far
            await self._hand_out(page.events)
        elif page.oldest > after + 1:  # everything behind our place has left the log already
            self.position = page.oldest - 1
        self.handed = self.position

    async def _hand_out(self, events: Sequence[Live]) -> None:
        served = 0
        for wanted, group, everyone in [
            (wanted, group, list(group)) for wanted, group in self._groups.items()
        ]:
            fitting = [event for event in events if wanted.fits(event)]
            if not fitting:
                continue
            batch = Batch(fitting)
            for subscriber in everyone:
                if subscriber not in group:
                    continue
                if len(subscriber.waiting) + len(fitting) > MOST_WAITING:
                    self._let_go(subscriber)
                    continue
                subscriber.offer(batch)
                served += 1
                if served % SLICE == 0:
                    await asyncio.sleep(0)

    def _let_go(self, subscriber: Subscriber) -> None:
        self.let_go += 1
        subscriber.behind = True
        subscriber.waiting.clear()
        self.leave(subscriber)
        subscriber.wake.set()

    async def ready(self) -> int:
        """Where the feed stands, once it stands anywhere."""
        await self._ready.wait()
        return self.position

    def join(self, wanted: Wanted, last: int = 0, straight: Straight | None = None) -> Subscriber:
        """A subscriber of everything behind `position`, who has had everything up to `last`."""
        subscriber = Subscriber(wanted, last, straight)
        self._groups.setdefault(wanted, set()).add(subscriber)
        return subscriber

    def leave(self, subscriber: Subscriber) -> None:
        """Listen no more."""
        group = self._groups.get(subscriber.wanted, set())
        group.discard(subscriber)
        if not group:
            self._groups.pop(subscriber.wanted, None)

    async def page(self, after: int, gone: asyncio.Event | None = None) -> LivePage:
        """A page of the log behind a number, for those who catch up; nothing is read for one who has gone meanwhile."""
        await self._ready.wait()
        async with self._turns:
            if gone is not None and gone.is_set():
                return LivePage(events=(), head=self.position, oldest=0)
            return await self._ask(lambda reader: reader.live(after, PAGE))


def _news(reader: StoreReader, after: int) -> LivePage:
    head = reader.head()
    return reader.live(after, PAGE) if head != after else LivePage(events=(), head=head, oldest=0)
