"""`AsyncClient`: the calls of `calls` and `jobs` for asyncio."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from types import TracebackType
from typing import TYPE_CHECKING, Generic, TypeVar

import msgspec

from nettrace.client import columns, exchange, transport
from nettrace.client.answers import Page
from nettrace.client.call import Names
from nettrace.client.call import Rows as Listing
from nettrace.client.exchange import Heard, Link, Pause, Program, Request
from nettrace.client.offered import Offered
from nettrace.client.stream import ENDED, Follow, StreamEvent
from nettrace.client.transport import httpx2
from nettrace.errors import QuotaExceeded

if TYPE_CHECKING:
    import pandas
    import polars

T = TypeVar("T")
Row = TypeVar("Row", bound=msgspec.Struct)


class AsyncRows(Generic[Row]):
    """A list of the API: iterate over it with `async for`, and pages are fetched as they are needed.

    A used-up quota is waited for up to the client's `wait_s`; then `QuotaExceeded` is raised, whose `resume` is the
    cursor that the same call with `cursor=` goes on from. Every row before it has been given.
    """

    def __init__(self, client: "AsyncClient", listing: Listing[Row]) -> None:
        self._client = client
        self._listing = listing

    async def pages(self) -> AsyncIterator[Page[Row]]:
        """Page by page; each `next_cursor` may be kept to go on later."""
        cursor, more = self._listing.cursor, True
        while more:
            try:
                page = await self._client.run(
                    exchange.answered(self._client.link, self._listing.page(cursor))
                )
            except QuotaExceeded as used_up:
                used_up.resume = cursor
                raise
            yield page
            cursor, more = page.next_cursor, page.has_more and page.next_cursor is not None

    async def __aiter__(self) -> AsyncIterator[Row]:
        """Row by row."""
        async for page in self.pages():
            for row in page.data:
                yield row

    async def to_pandas(self) -> "pandas.DataFrame":
        """All rows as a DataFrame with pandas' nullable types; `pd.NA` is "not measured".

        Raises:
            MissingLibrary: pandas is not installed.
        """
        return columns.to_pandas([row async for row in self], self._listing.row)

    async def to_polars(self) -> "polars.DataFrame":
        """All rows as a DataFrame of polars; null is "not measured".

        Raises:
            MissingLibrary: polars is not installed.
        """
        return columns.to_polars([row async for row in self], self._listing.row)


class AsyncClient(Offered):
    """A hub, asked from asyncio: as `Client`, with `await` before what returns and `async for` over what iterates.

    Args:
        url: the hub's address, `https://hub.example`.
        key: an API key; a hub of one user on loopback needs none.
        timeout_s: how long each wait for the hub may last.
        retries: how often what may be repeated is, after broken connections and 502, 503, 504.
        wait_s: how long a call may wait in all for a used-up quota before `QuotaExceeded` is raised; 0 never waits.
        transport: of httpx2, instead of the network.
        pause: called to wait so many seconds, instead of `asyncio.sleep`.
    """

    def __init__(
        self, url: str, key: str | None = None, *, timeout_s: float = 30.0, retries: int = 3, wait_s: float = 60.0,
        transport: httpx2.AsyncBaseTransport | None = None, pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:  # fmt: skip
        self.link = Link(url=url, key=key, retries=retries, wait_s=wait_s)
        self._pause = pause
        self._timeout_s = timeout_s
        self._http = httpx2.AsyncClient(transport=transport, timeout=httpx2.Timeout(timeout_s))

    async def stream(
        self, *, topics: Names | None = None, host: Names | None = None, region: Names | None = None,
        after: int | None = None, give_up_s: float = 300.0,
    ) -> AsyncGenerator[StreamEvent]:  # fmt: skip
        """Everything that happens, as it happens, for as long as you iterate; each event once and in order.

        Broken connections are opened again and go on behind the last event; what can no longer be had is a `Gap`.
        Without `after` it begins with a `Snapshot`. `topics`: `round`, `trace`, `route_change`, `signal`, `vantage`,
        `target`, `gap`, `measurement`; all when left out.

        Raises:
            NetTraceError: the hub refused; Unreachable when it was away for longer than `give_up_s`.
        """
        follow = Follow(self.link, topics=topics, host=host, region=region, after=after, give_up_s=give_up_s)
        while True:
            heard: Heard = ENDED
            request = follow.request()
            try:
                async with self._http.stream(
                    request.method, request.url, headers=dict(request.headers),
                    timeout=transport.stream_timeouts(self._timeout_s),
                ) as answer:  # fmt: skip
                    if answer.status_code != 200:
                        await answer.aread()
                        heard = transport.reply(answer)
                    else:
                        async for piece in answer.aiter_bytes():
                            for event in follow.feed(piece):
                                yield event
            except httpx2.HTTPError as error:
                heard = transport.broken(error)
            await self._pause(follow.broken(heard))

    def listed(self, listing: Listing[Row]) -> AsyncRows[Row]:
        """The rows of a list, fetched as they are iterated over."""
        return AsyncRows(self, listing)

    async def run(self, program: Program[T]) -> T:
        """What a program comes to."""
        heard: Heard = None
        while True:
            try:
                step = program.send(heard)
            except StopIteration as end:
                return end.value
            heard = await self._wait(step) if isinstance(step, Pause) else await self._send(step)

    async def _wait(self, pause: Pause) -> None:
        await self._pause(pause.seconds)

    async def _send(self, request: Request) -> Heard:
        try:
            async with self._http.stream(
                request.method, request.url, headers=dict(request.headers), content=request.body
            ) as answer:
                sink = transport.sink_of(request, answer.status_code)
                if sink is None:
                    await answer.aread()
                    return transport.reply(answer)
                sink.begin(partial=answer.status_code == 206)
                async for piece in answer.aiter_bytes():
                    await asyncio.to_thread(sink.write, piece)
                return exchange.Reply(answer.status_code, transport.headers(answer), b"")
        except httpx2.HTTPError as error:
            return transport.broken(error)

    async def aclose(self) -> None:
        """Close all connections."""
        await self._http.aclose()

    async def __aenter__(self) -> "AsyncClient":
        """The client."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close all connections."""
        await self.aclose()

    def __repr__(self) -> str:
        """Without the key."""
        return f"AsyncClient({self.link.url!r})"
