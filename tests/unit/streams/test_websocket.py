"""Round trips inside a WebSocket connection."""

import asyncio
import contextlib
import logging
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.frames import Frame, Opcode
from websockets.protocol import State
from websockets.server import ServerProtocol

from nettrace.errors import Forbidden, Invalid
from nettrace.measure.streams.websocket import WebSocketOptions, ws_pings
from nettrace.model.address import TargetPolicy
from nettrace.model.measurement import Clock, Grade, Outcome, Reason, SampleState, WebSocketPings

PLANTED_S = 0.25
PLANTED_NS = 250_000_000
QUICK = {"count": 3, "interval_s": 0.02}

Talk = Callable[[ServerConnection], Awaitable[None]]


async def until_closed(connection: ServerConnection) -> None:
    await connection.wait_closed()


@contextlib.asynccontextmanager
async def serving(talk: Talk = until_closed, **options: Any) -> AsyncIterator[Server]:
    silent = logging.Logger("silent", level=logging.CRITICAL + 1)
    async with serve(talk, "127.0.0.1", 0, logger=silent, ping_interval=None, **options) as server:
        yield server


@pytest.fixture
def measured(run: Callable, trust: Any) -> Callable[..., WebSocketPings]:
    """Ping a server that talks like this; `server` options are the server's, the others the client's."""

    def measured(
        talk: Talk = until_closed, server: dict[str, Any] | None = None, **options: Any
    ) -> WebSocketPings:
        async def go() -> WebSocketPings:
            async with serving(talk, **(server or {})) as running:
                port = next(iter(running.sockets)).getsockname()[1]
                scheme = "wss" if (server or {}).get("ssl") else "ws"
                chosen = WebSocketOptions(**{**QUICK, "ca_file": trust.ca_file, **options})
                return await ws_pings(f"{scheme}://127.0.0.1:{port}/stream?x=1", chosen)

        return run(go())

    return measured


class Raw:
    """A server of our own on the same protocol, for behaviour no honest server has. One connection, a thread."""

    def __init__(self, on_ping: Callable[["Raw", bytes], None]) -> None:
        self.protocol = ServerProtocol()
        self._on_ping = on_ping

    def __call__(self, connection: socket.socket) -> None:
        self.connection = connection
        while data := connection.recv(65_536):
            self.protocol.receive_data(data)
            for event in self.protocol.events_received():
                if self.protocol.state is State.CONNECTING:
                    self.protocol.send_response(self.protocol.accept(event))
                    self.flush()
                elif isinstance(event, Frame) and event.opcode is Opcode.PING:
                    self.protocol.data_to_send()  # the library's own pong is thrown away
                    self._on_ping(self, bytes(event.data))
                elif isinstance(event, Frame) and event.opcode is Opcode.CLOSE:
                    self.flush()
                    return

    def flush(self) -> None:
        self.connection.sendall(b"".join(self.protocol.data_to_send()))


def test_a_round_has_the_stages_and_a_sample_for_each_ping(measured: Callable, trust: Any) -> None:
    one = measured(server={"ssl": trust.server()})
    assert (one.outcome, one.reason, one.status, one.tls_version) == (Outcome.MEASURED, None, 101, "TLSv1.3")
    assert one.clock is Clock.KERNEL
    for stage in (one.stages.connect, one.stages.tls, one.stages.ttfb):
        assert stage is not None
        assert stage.grade is Grade.KERNEL
    assert one.stages.total_ns is not None
    assert [sample.state for sample in one.samples] == [SampleState.ANSWERED] * 3
    assert all(sample.rtt_ns and sample.error_ns and sample.sent_at for sample in one.samples)


def test_a_slow_upgrade_is_the_first_byte_s(measured: Callable) -> None:
    async def think(*_: object) -> None:
        await asyncio.sleep(PLANTED_S)

    one = measured(server={"process_request": think})
    assert one.stages.ttfb is not None
    assert one.stages.connect is not None
    assert one.stages.ttfb.duration_ns >= PLANTED_NS
    assert one.stages.connect.duration_ns < PLANTED_NS
    assert all((sample.rtt_ns or 0) < PLANTED_NS for sample in one.samples)


def test_market_data_in_between_is_passed_over(measured: Callable) -> None:
    async def flood(connection: ServerConnection) -> None:
        with contextlib.suppress(Exception):
            while True:
                await connection.send("x" * 3000)
                await connection.send(b"\0" * 200_000)
                await asyncio.sleep(0)

    one = measured(flood)
    assert one.outcome is Outcome.MEASURED
    assert [sample.state for sample in one.samples] == [SampleState.ANSWERED] * 3


def test_the_server_s_own_pings_are_answered(measured: Callable) -> None:
    answered: list[float] = []

    async def ping_back(connection: ServerConnection) -> None:
        answered.append(await (await connection.ping()))
        await connection.wait_closed()

    assert measured(ping_back, interval_s=0.1).outcome is Outcome.MEASURED
    assert len(answered) == 1


def test_a_server_that_never_pongs_loses_every_sample(serve: Callable, run: Callable) -> None:
    server = serve(Raw(lambda _raw, _payload: None))
    options = WebSocketOptions(count=3, interval_s=0.02, pong_timeout_s=0.2)
    one: WebSocketPings = run(ws_pings(server.url.replace("http", "ws"), options))
    assert (one.outcome, one.reason) == (Outcome.FAILED, Reason.TIMEOUT)
    assert {sample.state for sample in one.samples} <= {SampleState.LOST, SampleState.NOT_MEASURED}
    assert len(one.samples) == 3
    assert one.stages.ttfb is not None


def test_a_pong_that_is_not_ours_answers_nothing(serve: Callable, run: Callable) -> None:
    def forged(raw: Raw, payload: bytes) -> None:
        for wrong in (b"", payload[:-1], payload + b"x", payload[::-1]):
            raw.protocol.send_pong(wrong)
        raw.flush()

    server = serve(Raw(forged))
    options = WebSocketOptions(count=1, pong_timeout_s=0.2)
    one = run(ws_pings(server.url.replace("http", "ws"), options))
    assert one.samples[0].rtt_ns is None


def test_pongs_out_of_order_find_their_pings(serve: Callable, run: Callable) -> None:
    """The first pong is held back until the second ping came: it is the slower one, not the lost one."""
    held: list[bytes] = []

    def late(raw: Raw, payload: bytes) -> None:
        held.append(payload)
        if len(held) == 2:
            for each in reversed(held):
                raw.protocol.send_pong(each)
            raw.flush()

    server = serve(Raw(late))
    one = run(ws_pings(server.url.replace("http", "ws"), WebSocketOptions(count=2, interval_s=0.1)))
    first, second = (sample.rtt_ns or 0 for sample in one.samples)
    assert first >= 100_000_000
    assert first > second > 0


def test_a_server_that_closes_leaves_the_rest_unmeasured(serve: Callable, run: Callable) -> None:
    seen: list[bytes] = []

    def once(raw: Raw, payload: bytes) -> None:
        seen.append(payload)
        if len(seen) == 1:
            raw.protocol.send_pong(payload)
        elif len(seen) == 2:  # a third ping may cross the goodbye
            raw.protocol.send_close(1001, "maintenance")
        raw.flush()

    server = serve(Raw(once))
    one = run(ws_pings(server.url.replace("http", "ws"), WebSocketOptions(count=4, interval_s=0.02)))
    assert one.outcome is Outcome.MEASURED
    assert "1001 maintenance" in (one.detail or "")
    states = [sample.state for sample in one.samples]
    assert states == [SampleState.ANSWERED] + [SampleState.NOT_MEASURED] * 3


def test_a_server_that_closes_at_once_has_failed(measured: Callable) -> None:
    async def close(connection: ServerConnection) -> None:
        await connection.close(1008, "no pings here")

    one = measured(close)
    assert (one.outcome, one.reason, one.status) == (Outcome.FAILED, Reason.HTTP, 101)
    assert "1008 no pings here" in (one.detail or "")


def test_a_reset_in_the_middle(serve: Callable, run: Callable) -> None:
    def reset(raw: Raw, _payload: bytes) -> None:
        raw.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        raise EOFError

    one = run(ws_pings(serve(Raw(reset)).url.replace("http", "ws"), WebSocketOptions(count=2)))
    assert (one.outcome, one.reason) == (Outcome.FAILED, Reason.HTTP)
    assert "reset" in (one.detail or "")


@pytest.mark.parametrize(
    ("status", "reason"),
    [(403, Reason.BLOCKED), (451, Reason.BLOCKED), (404, Reason.HTTP), (503, Reason.HTTP)],
)
def test_a_refused_upgrade(status: int, reason: Reason, serve: Callable, run: Callable) -> None:
    def refuse(connection: socket.socket) -> None:
        connection.recv(4096)
        connection.sendall(b"HTTP/1.1 %d No\r\nContent-Length: 2\r\n\r\nno" % status)
        connection.recv(1)

    one = run(ws_pings(serve(refuse).url.replace("http", "ws"), WebSocketOptions()))
    assert (one.outcome, one.reason, one.status, one.samples) == (Outcome.FAILED, reason, status, ())
    assert one.stages.ttfb is not None


@pytest.mark.parametrize(
    "answer", [b"", b"garbage\r\n\r\n", b"HTTP/1.1 101 Switching\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\n"]
)
def test_what_is_no_upgrade(answer: bytes, serve: Callable, run: Callable) -> None:
    def handler(connection: socket.socket) -> None:
        connection.recv(4096)
        connection.sendall(answer)

    one = run(ws_pings(serve(handler).url.replace("http", "ws"), WebSocketOptions(timeout_s=2)))
    assert (one.outcome, one.reason, one.samples) == (Outcome.FAILED, Reason.HTTP, ())


def test_a_silent_upgrade_times_out(serve: Callable, run: Callable) -> None:
    server = serve(lambda connection: [connection.recv(4096) for _ in "ab"])
    one = run(ws_pings(server.url.replace("http", "ws"), WebSocketOptions(timeout_s=0.2)))
    assert (one.outcome, one.reason) == (Outcome.FAILED, Reason.TIMEOUT)


def test_refused(run: Callable, closed_port: int) -> None:
    one = run(ws_pings(f"ws://127.0.0.1:{closed_port}/", WebSocketOptions()))
    assert (one.outcome, one.reason, one.samples) == (Outcome.FAILED, Reason.REFUSED, ())


def test_the_policy_holds(run: Callable) -> None:
    with pytest.raises(Forbidden):
        run(ws_pings("ws://127.0.0.1:1/", WebSocketOptions(policy=TargetPolicy.for_others())))


@pytest.mark.parametrize("url", ["http://127.0.0.1/", "127.0.0.1", "ws://"])
def test_urls_that_are_none(url: str, run: Callable) -> None:
    with pytest.raises(Invalid):
        run(ws_pings(url))


@pytest.mark.parametrize("wrong", [{"count": 0}, {"pong_timeout_s": 0.0}, {"interval_s": -1.0}])
def test_options_that_cannot_be(wrong: dict[str, Any], run: Callable) -> None:
    with pytest.raises(Invalid):
        run(ws_pings("ws://127.0.0.1:1/", WebSocketOptions(**wrong)))
