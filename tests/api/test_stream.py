"""The live stream over both transports: a snapshot, every event once, resume without hole or repeat, nothing to strangers."""

import asyncio
import json
import shutil
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest
import uvicorn
from tests.api.conftest import NOW, Hub, ping
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from nettrace.api import stream
from nettrace.api.app import make_app
from nettrace.api.connection import DirectSocket, PatientProtocol
from nettrace.api.stream import stream_door
from nettrace.errors import StoreBusy
from nettrace.hub import feed as feeding
from nettrace.hub.feed import Batch, Feed, Subscriber
from nettrace.model.instant import NS_PER_S

PATIENCE_S = 60
"""No test waits for this long: it only turns a hang into a failure."""


@dataclass
class Served:
    """A hub that streams on a real socket."""

    hub: Hub
    feed: Feed
    port: int
    count: int = 0

    @property
    def url(self) -> str:
        return f"127.0.0.1:{self.port}/api/v1/stream"

    def measure(self, times: int = 1, host: str = "api.example.com", region: str = "nyc") -> None:
        """New rounds in the store, as the writer would put them there."""
        dues = [NOW + (self.count + number) * NS_PER_S for number in range(1, times + 1)]
        self.count += times
        self.hub.report(region, [(due, host, ping(host, 5.0, due)) for due in dues])

    @asynccontextmanager
    async def socket(self, query: str = "", **headers: str) -> AsyncIterator[ClientConnection]:
        async with connect(
            f"ws://{self.url}{query}", additional_headers=headers, open_timeout=PATIENCE_S
        ) as made:
            yield made


@asynccontextmanager
async def streaming(folder: Path, **more: Any) -> AsyncIterator[Served]:
    hub = Hub(folder, **more)
    feed = Feed(hub.service.readers.run)
    hub.service.begin(feed.follow)
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16_384)  # so that a slow reader is soon felt
    app = make_app(hub.service, [stream_door(hub.service, feed)])
    config = uvicorn.Config(
        app,
        http=PatientProtocol,
        ws=DirectSocket,
        ws_per_message_deflate=False,
        log_config=None,
        timeout_graceful_shutdown=1,
    )
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        async with asyncio.timeout(PATIENCE_S):
            while not server.started:  # noqa: ASYNC110 - the server has no event to wait for
                await asyncio.sleep(0.01)
        yield Served(hub, feed, listener.getsockname()[1])
    finally:
        server.should_exit = True
        await serving
        await hub.client.aclose()


@pytest.fixture
async def served(filled: Path, tmp_path: Path) -> AsyncIterator[Served]:
    async with streaming(shutil.copytree(filled, tmp_path / "hub")) as made:
        yield made


async def frame(client: ClientConnection) -> dict[str, Any]:
    async with asyncio.timeout(PATIENCE_S):
        return json.loads(await client.recv())


async def rounds(client: ClientConnection, count: int) -> list[int]:
    """The numbers of the next rounds; other frames are passed over."""
    found: list[int] = []
    while len(found) < count:
        got = await frame(client)
        if got["type"] == "round":
            found.append(got["seq"])
    return found


@asynccontextmanager
async def events(
    served: Served, query: str = "", **headers: str
) -> AsyncIterator[AsyncIterator[dict[str, str]]]:
    async with (
        httpx2.AsyncClient(timeout=PATIENCE_S) as client,
        client.stream("GET", f"http://{served.url}{query}", headers=headers) as answer,
    ):
        assert answer.status_code == 200, await answer.aread()
        assert answer.headers["content-type"].startswith("text/event-stream")
        yield parsed(answer)


async def parsed(answer: httpx2.Response) -> AsyncIterator[dict[str, str]]:
    event: dict[str, str] = {}
    async for line in answer.aiter_lines():
        name, _, value = line.partition(": ")
        if not line and "data" in event:
            yield event
        if line:
            event[name] = value
        else:
            event = {}


async def test_a_websocket_begins_with_what_is_and_goes_on_with_what_comes(served: Served) -> None:
    async with served.socket() as client:
        first = await frame(client)
        assert first["type"] == "snapshot"
        assert {row["region"] for row in first["data"]} == {"fra", "nyc", "sin"}
        served.measure(3)
        got = [await frame(client) for _ in range(3)]
        assert [each["type"] for each in got] == ["round"] * 3
        assert [each["seq"] for each in got] == [first["seq"] + number for number in (1, 2, 3)]
        assert got[0]["data"]["host"] == "api.example.com"
        assert got[0]["data"]["rtt_ms"] == pytest.approx(5.02)


async def test_a_round_is_the_same_document_in_the_stream_and_by_its_id(served: Served) -> None:
    async with served.socket() as client:
        first = await frame(client)
        by_id = {row["id"]: row for row in first["data"]}
        for identity in list(by_id)[:3]:
            assert await served.hub.json(f"/api/v1/rounds/{identity}") == by_id[identity]


async def test_server_sent_events_say_the_same_and_resume_after_the_last_id(served: Served) -> None:
    async with events(served) as one:
        snapshot = await anext(one)
        assert snapshot["event"] == "snapshot"
        served.measure(2)
        seen = [await anext(one), await anext(one)]
    served.measure(3)
    async with events(served, **{"Last-Event-ID": seen[-1]["id"]}) as again:
        missed = [await anext(again) for _ in range(3)]
        served.measure()
        missed.append(await anext(again))
    numbers = [int(each["id"]) for each in (*seen, *missed)]
    assert numbers == list(range(numbers[0], numbers[0] + 6))
    assert json.loads(missed[0]["data"])["object"] == "round"


async def test_a_hundred_forced_disconnects_lose_and_repeat_nothing(served: Served) -> None:
    start = await served.feed.ready()
    after, seen = start, list[int]()
    for turn in range(100):
        served.measure(3)
        async with served.socket(f"?after={after}") as client:
            for number in await rounds(client, 1 + turn % 3):
                seen.append(number)
                after = number
            client.transport.abort()
    async with served.socket(f"?after={after}") as client:
        seen += await rounds(client, start + 300 - after)
    assert seen == list(range(start + 1, start + 301))


async def test_all_who_come_back_at_once_go_on_where_they_were(served: Served) -> None:
    start = await served.feed.ready()
    served.measure(3)

    async def back() -> list[int]:
        async with served.socket(f"?after={start}") as client:
            return await rounds(client, 3)

    got = await asyncio.gather(*(back() for _ in range(300)))
    assert got == [[start + 1, start + 2, start + 3]] * 300


async def test_a_store_that_cannot_be_read_ends_a_stream_that_can_be_resumed(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = await served.feed.ready()

    async def busy(*_: object) -> None:
        raise StoreBusy("too many questions")

    monkeypatch.setattr(served.feed, "page", busy)
    async with served.socket(f"?after={start}") as client:
        with pytest.raises(ConnectionClosed) as ended:
            await frame(client)
        assert ended.value.rcvd is not None
        assert ended.value.rcvd.code == 1013
    async with events(served, f"?after={start}") as one:
        assert [each async for each in one] == []


async def test_filters_hold_for_snapshot_and_events(served: Served) -> None:
    async with served.socket("?host=b.example.com&region=sin&topics=round") as client:
        snapshot = await frame(client)
        assert {(row["host"], row["region"]) for row in snapshot["data"]} == {("b.example.com", "sin")}
        served.measure(1, "api.example.com", "sin")
        served.measure(1, "b.example.com", "sin")
        got = await frame(client)
        assert (got["type"], got["data"]["host"]) == ("round", "b.example.com")


async def test_what_can_no_longer_be_had_is_called_a_gap(served: Served) -> None:
    head = await served.feed.ready()
    async with served.socket(f"?after={head + 500}") as client:
        got = await frame(client)
        assert (got["type"], got["data"]["reason"]) == ("gap", "unknown")
        served.measure()
        assert await rounds(client, 1) == [head + 1]


async def narrow_socket(served: Served) -> socket.socket:
    """A connection whose client takes next to nothing off the wire before it is asked to."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.setblocking(False)
    await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", served.port))
    return sock


@asynccontextmanager
async def narrow(served: Served, query: str) -> AsyncIterator[ClientConnection]:
    """A WebSocket over it."""
    sock = await narrow_socket(served)
    async with connect(f"ws://{served.url}{query}", sock=sock, max_queue=1, open_timeout=PATIENCE_S) as made:
        yield made
        made.transport.abort()  # what it has not read would hold up its farewell


Take = Callable[[int], Awaitable[list[int]]]


@asynccontextmanager
async def narrow_frames(served: Served, query: str) -> AsyncIterator[Take]:
    async with narrow(served, query) as client:
        yield lambda count: rounds(client, count)


@asynccontextmanager
async def narrow_events(served: Served, query: str) -> AsyncIterator[Take]:
    """The same as Server-Sent Events, read line by line."""
    reader, writer = await asyncio.open_connection(sock=await narrow_socket(served), limit=4096)
    writer.write(f"GET /api/v1/stream{query} HTTP/1.1\r\nhost: localhost\r\n\r\n".encode())

    async def take(count: int) -> list[int]:
        found: list[int] = []
        async with asyncio.timeout(PATIENCE_S):
            while len(found) < count:
                line = await reader.readline()
                assert line, "it ended"
                if line.startswith(b"id: "):
                    number = int(line[4:])
                elif line == b"event: round\n":
                    found.append(number)
        return found

    yield take
    writer.transport.abort()


async def test_who_reads_too_slowly_is_told_and_can_go_on(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feeding, "MOST_WAITING", 50)
    head = await served.feed.ready()
    async with narrow(served, f"?after={head}") as client:
        while served.feed.let_go == 0:
            served.measure(20)
            await eventually(lambda: served.feed.handed == head + served.count)
        assert served.feed.listening == 0
        frames = []
        with pytest.raises(ConnectionClosed) as closed:
            while True:
                frames.append(await frame(client))
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 4008
    told = frames.pop()
    assert told["type"] == "slow_consumer"
    last = told["data"]["resume_after"]
    assert [each["seq"] for each in frames] == list(range(head + 1, last + 1))
    assert last < head + served.count
    async with served.socket(f"?after={last}") as client:
        assert await rounds(client, head + served.count - last) == list(
            range(last + 1, head + served.count + 1)
        )


@pytest.mark.parametrize("kind", [narrow_frames, narrow_events])
@pytest.mark.parametrize("straight", [True, False])
async def test_bursts_keep_their_order_for_who_stops_reading_now_and_then(
    served: Served, monkeypatch: pytest.MonkeyPatch, straight: bool, kind: Any
) -> None:
    ways: list[bool] = []
    offer = Subscriber.offer

    def noted(self: Subscriber, batch: Batch) -> None:
        if not straight:
            self._straight = None  # as behind a server that only speaks ASGI
        offer(self, batch)
        ways.append(not self.waiting)

    monkeypatch.setattr(Subscriber, "offer", noted)
    head = await served.feed.ready()
    async with kind(served, f"?after={head}") as take:
        seen: list[int] = []
        await eventually(lambda: served.feed.listening == 1)
        while len(seen) < 400:
            served.measure(150)
            await eventually(lambda: served.feed.handed == head + served.count)
            seen += await take(served.count - len(seen) - 120)  # many are always left behind
    assert seen == list(range(head + 1, head + 1 + len(seen)))
    assert set(ways) == (
        {True, False} if straight else {False}
    )  # straight, and kept where it could not go straight


async def eventually(holds: Any) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not holds():  # noqa: ASYNC110 - looks at what others change
            await asyncio.sleep(0.01)


async def test_heartbeats_come_when_nothing_else_does(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "HEARTBEAT_S", 0.05)
    monkeypatch.setattr(stream, "CHECK_S", 0.05)
    async with served.socket("?host=engine.example.com") as client:
        assert (await frame(client))["type"] == "snapshot"
        assert (await frame(client))["type"] == "heartbeat"


@pytest.fixture
async def guarded(filled: Path, tmp_path: Path) -> AsyncIterator[Served]:
    async with streaming(shutil.copytree(filled, tmp_path / "hub")) as made:
        made.hub.key("free")
        yield made


@pytest.mark.parametrize(("tier", "status"), [(None, 401), ("free", 403), ("pro", 403)])
async def test_strangers_and_small_tiers_get_a_problem_and_no_event(
    guarded: Served, tier: str | None, status: int
) -> None:
    headers = guarded.hub.key(tier) if tier else {}
    async with httpx2.AsyncClient(timeout=PATIENCE_S) as client:
        answer = await client.get(f"http://{guarded.url}", headers=headers)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    with pytest.raises(InvalidStatus) as refused:
        async with guarded.socket("", **headers):
            raise AssertionError("it opened")
    assert refused.value.response.status_code == status


async def test_a_revoked_key_ends_its_streams(guarded: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "CHECK_S", 0.05)
    headers = guarded.hub.key("enterprise", "acme")
    async with guarded.socket("", **headers) as client:
        assert (await frame(client))["type"] == "snapshot"
        with guarded.hub.reading() as reader:
            from nettrace.hub import keyring

            for key in reader.keys("acme"):
                keyring.revoke(guarded.hub.store, reader, key.id, NOW)
        with pytest.raises(ConnectionClosed) as closed:
            while True:
                await frame(client)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 4401


async def test_a_tiers_streams_are_counted(guarded: Served) -> None:
    (guarded.hub.data.folder / "tiers.toml").write_text(
        'tier = [{name="test", title="T"}, {name="enterprise", title="E", features=["stream"], streams=1}]'
    )
    headers = guarded.hub.key("enterprise")
    async with guarded.socket("", **headers) as client:
        await frame(client)
        with pytest.raises(InvalidStatus) as refused:
            async with guarded.socket("", **headers):
                raise AssertionError("it opened")
        assert refused.value.response.status_code == 429
    await eventually(lambda: guarded.feed.listening == 0)
    async with guarded.socket("", **headers) as client:
        assert (await frame(client))["type"] == "snapshot"


@pytest.mark.parametrize("query", ["?topics=nonsense", "?after=x", "?after=-1", "?colour=red"])
async def test_what_cannot_be_asked_is_said(served: Served, query: str) -> None:
    async with httpx2.AsyncClient(timeout=PATIENCE_S) as client:
        answer = await client.get(f"http://{served.url}{query}")
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid")


async def test_another_accounts_targets_are_never_streamed(guarded: Served) -> None:
    stranger, owner = guarded.hub.key("enterprise", "stranger"), guarded.hub.key("enterprise_pro", "acct-pro")
    async with guarded.socket("", **stranger) as one, guarded.socket("", **owner) as other:
        assert "own.example.com" not in str(await frame(one))
        await frame(other)
        guarded.measure(1, "own.example.com")
        guarded.measure(1, "api.example.com")
        assert (await frame(other))["data"]["host"] == "own.example.com"
        assert (await frame(one))["data"]["host"] == "api.example.com"
