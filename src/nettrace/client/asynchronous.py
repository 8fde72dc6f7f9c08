"""`AsyncClient`: the calls of `calls` and `jobs` for asyncio."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Coroutine
from types import TracebackType
from typing import TYPE_CHECKING, Any, Concatenate, Generic, ParamSpec, TypeVar

import msgspec

from nettrace.client import alerts, calls, columns, exchange, jobs, placement, transport
from nettrace.client import fleet as fleets
from nettrace.client import forecast as forecasts
from nettrace.client.answers import Page
from nettrace.client.call import Call, Names
from nettrace.client.call import Rows as Listing
from nettrace.client.exchange import Heard, Link, Pause, Program, Request
from nettrace.client.method import Method
from nettrace.client.stream import ENDED, Follow, StreamEvent
from nettrace.client.transport import httpx2
from nettrace.errors import QuotaExceeded

if TYPE_CHECKING:
    import pandas
    import polars

P = ParamSpec("P")
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


def _one(described: Callable[P, Call[T]]) -> Method["AsyncClient", P, Coroutine[Any, Any, T]]:
    def does(client: "AsyncClient", *args: P.args, **named: P.kwargs) -> Coroutine[Any, Any, T]:
        return client.run(exchange.answered(client.link, described(*args, **named)))

    return Method(described, does)


def _rows(described: Callable[P, Listing[Row]]) -> Method["AsyncClient", P, AsyncRows[Row]]:
    def does(client: "AsyncClient", *args: P.args, **named: P.kwargs) -> AsyncRows[Row]:
        return AsyncRows(client, described(*args, **named))

    return Method(described, does)


def _job(
    described: Callable[Concatenate[Link, P], Program[T]],
) -> Method["AsyncClient", P, Coroutine[Any, Any, T]]:
    def does(client: "AsyncClient", *args: P.args, **named: P.kwargs) -> Coroutine[Any, Any, T]:
        return client.run(described(client.link, *args, **named))

    return Method(described, does)


class AsyncClient:
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

    targets = _rows(calls.targets)
    target = _one(calls.target)
    custom_targets = _one(calls.custom_targets)
    add_custom_target = _one(calls.add_custom_target)
    remove_custom_target = _one(calls.remove_custom_target)
    vantages = _rows(calls.vantages)
    vantage = _one(calls.vantage)
    latency = _one(calls.latency)
    history = _rows(calls.history)
    forecast = _one(forecasts.forecast)
    rounds = _rows(calls.rounds)
    round = _one(calls.round)
    raw = _rows(calls.raw)
    routes = _one(calls.routes)
    route_changes = _rows(calls.route_changes)
    rankings = _one(calls.rankings)
    compare = _one(calls.compare)
    signals = _rows(calls.signals)
    signal_summary = _one(calls.signal_summary)
    events = _rows(calls.events)
    event = _one(calls.event)
    mesh = _one(fleets.mesh)
    mesh_pair = _one(fleets.mesh_pair)
    fleet = _one(fleets.fleet)
    place = _one(placement.place)
    claims = _one(placement.claims)
    alert_rules = _one(alerts.alert_rules)
    alert_rule = _one(alerts.alert_rule)
    put_alert_rule = _one(alerts.put_alert_rule)
    drop_alert_rule = _one(alerts.drop_alert_rule)
    channels = _one(alerts.channels)
    put_channel = _one(alerts.put_channel)
    drop_channel = _one(alerts.drop_channel)
    test_channel = _one(alerts.test_channel)
    silences = _one(alerts.silences)
    add_silence = _one(alerts.add_silence)
    drop_silence = _one(alerts.drop_silence)
    incidents = _rows(alerts.incidents)
    incident = _one(alerts.incident)
    acknowledge = _one(alerts.acknowledge)
    close_incident = _one(alerts.close_incident)
    measure = _job(jobs.measure)
    measure_cost = _job(jobs.measure_cost)
    create_measurement = _one(calls.create_measurement)
    measurement = _one(calls.measurement)
    measurements = _rows(calls.measurements)
    export = _job(jobs.export)
    export_cost = _job(jobs.export_cost)
    create_export = _one(calls.create_export)
    export_state = _one(calls.export_state)
    exports = _rows(calls.exports)
    download = _job(jobs.download)
    limits = _one(calls.limits)
    usage = _one(calls.usage)
    keys = _one(calls.keys)
    create_key = _one(calls.create_key)
    revoke_key = _one(calls.revoke_key)

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
