"""Round trips inside a WebSocket connection: ping out .. matching pong in, by kernel stamps of the segments.

Every ping has its own unguessable payload, so only its own pong answers it. Whatever else arrives (market
data) is read and dropped. A pong in a burst of segments has the burst in its error bar.
"""

import asyncio
import secrets
from collections.abc import Callable, Mapping
from typing import Final

from websockets.client import ClientProtocol
from websockets.exceptions import InvalidHandshake, InvalidStatus
from websockets.frames import Frame, Opcode
from websockets.http11 import Response
from websockets.protocol import State
from websockets.uri import parse_uri

from nettrace.errors import Invalid
from nettrace.measure.streams.conversation import (
    USER_AGENT,
    Channel,
    ConnectOptions,
    Route,
    Timings,
    clock_of,
)
from nettrace.measure.streams.deadline import Broken, Deadline
from nettrace.measure.streams.http import BLOCKED_STATUS
from nettrace.measure.streams.stream import Arrival, Mark
from nettrace.measure.streams.tls import Received
from nettrace.measure.streams.url import Url, parse_url
from nettrace.model.measurement import Outcome, Reason, Sample, SampleState, WebSocketPings

MESSAGE_BYTES: Final = 16_777_216
_NOTE = b"nettrace "


class WebSocketOptions(ConnectOptions, frozen=True, kw_only=True):
    """How many pings, on top of how the service is reached; `timeout_s` is for connecting and upgrading.

    Attributes:
        count: pings.
        interval_s: from one ping to the next; one that is still under way delays none.
        pong_timeout_s: how long each pong is waited for.
        headers: added to the upgrade request.
    """

    count: int = 5
    interval_s: float = 1.0
    pong_timeout_s: float = 5.0
    headers: Mapping[str, str] = {}


async def ws_pings(
    url: str,
    options: WebSocketOptions | None = None,
    *,
    on_abort: Callable[[WebSocketPings], None] | None = None,
) -> WebSocketPings:
    """The connection's stages (`ttfb` is the upgrade) and a sample for each ping.

    `measured` when at least one pong came. A server that never pongs is `failed`, `timeout`, with its stages;
    pings it closed the connection on, or that were never sent, are `not_measured` samples. When this is cancelled,
    `on_abort` is given what is known so far.

    Raises:
        Invalid: the URL, a header or an option cannot be.
        Forbidden: `options.policy` refuses the address.
    """
    options = options or WebSocketOptions()
    if options.count < 1 or options.interval_s < 0 or min(options.timeout_s, options.pong_timeout_s) <= 0:
        raise Invalid("The number of pings and the timeouts must be above zero")
    parsed = parse_url(url, ("ws", "wss"))
    route = Route(parsed, options)
    timings = Timings()
    channel: Channel | None = None
    talk: _Talk | None = None

    def made(broken: Broken | None) -> WebSocketPings:
        samples = talk.samples(broken) if talk and talk.upgraded else ()
        outcome, reason, detail = _verdict(samples, broken, timings, parsed)
        return WebSocketPings(
            url=url,
            target=parsed.host,
            address=route.address,
            resolved=route.resolved,
            at=timings.started.realtime,
            outcome=outcome,
            reason=reason,
            detail="; ".join([detail, *timings.notes] if detail else timings.notes) or None,
            stages=timings.stages(),
            status=talk.status if talk else None,
            tls_version=channel.tls_version if channel else None,
            samples=samples,
            clock=clock_of(sample.grade for sample in samples) or timings.clock(),
        )

    try:
        channel = await route.open(timings, Deadline(options.timeout_s))
        talk = _Talk(channel, parsed, options)
        await talk.upgrade(timings)
        await talk.ping()
        return made(None)
    except Broken as broken:
        return made(broken)
    except asyncio.CancelledError:
        if on_abort:
            on_abort(made(Broken(Reason.ABORTED, "interrupted", outcome=Outcome.NOT_MEASURED)))
        raise
    finally:
        if channel:
            await channel.close()


class _Flight:
    """One ping under way or done."""

    def __init__(self, payload: bytes, mark: Mark, deadline: Deadline) -> None:
        self.payload = payload
        self.mark = mark
        self.deadline = deadline
        self.sample: Sample | None = None


class _Talk:
    """An upgraded connection and the pings on it."""

    def __init__(self, channel: Channel, url: Url, options: WebSocketOptions) -> None:
        self._channel = channel
        self._options = options
        uri = f"{url.scheme}://{url.authority}{url.target}"
        self._protocol = ClientProtocol(parse_uri(uri), max_size=MESSAGE_BYTES)
        self._flights: list[_Flight] = []
        self._waiting: dict[bytes, _Flight] = {}
        self.status: int | None = None
        self.upgraded = False

    async def upgrade(self, timings: Timings) -> None:
        """Ask for the upgrade and time the answer.

        Raises:
            Broken: the server refused, answered something else or did not answer.
        """
        request = self._protocol.connect()
        request.headers["User-Agent"] = USER_AGENT
        for name, value in self._options.headers.items():
            if any(character in "\r\n" for character in name + value):
                raise Invalid(f"The header {name!r} has a line break in it")
            if name in request.headers:
                del request.headers[name]
            request.headers[name] = value
        self._protocol.send_request(request)
        channel = self._channel
        mark = await channel.send(b"".join(self._protocol.data_to_send()))
        answer: Arrival | None = None
        while not self.upgraded:
            received = await self._receive()
            if answer is None and received.data:
                answer = received.first
                timings.ttfb = channel.stream.until_first_byte(
                    mark, answer, only_answer=received.only_answer, leading=received.leading
                )
                timings.first_byte_exact = answer.exact
            await self._take(received)
        if answer:
            timings.total_ns = timings.since_start_ns(answer)

    async def ping(self) -> None:
        """Send the pings at their times and match the pongs, until none is under way.

        Raises:
            Broken: the connection ended before that.
        """
        loop = asyncio.get_running_loop()
        due = loop.time()
        while len(self._flights) < self._options.count or self._waiting:
            left = len(self._flights) < self._options.count
            if left and loop.time() >= due:
                await self._send_ping()
                due += self._options.interval_s
                continue
            moments = [flight.deadline.left_s for flight in self._waiting.values()]
            if left:
                moments.append(due - loop.time())
            self._channel.stream.deadline = Deadline(max(0.0, min(moments)))
            try:
                await self._take(await self._receive())
            except Broken as broken:
                if broken.reason is not Reason.TIMEOUT:
                    raise
            self._expire()
        self._protocol.send_close(1000)
        await self._flush()

    def samples(self, broken: Broken | None) -> tuple[Sample, ...]:
        """One sample for each ping that was asked for; of an aborted round only those that were sent."""
        if broken and broken.reason is Reason.ABORTED:
            unknown = Sample(state=SampleState.NOT_MEASURED, reason=Reason.ABORTED)
            return tuple(flight.sample or unknown for flight in self._flights)
        ended = Sample(state=SampleState.NOT_MEASURED, reason="the connection had ended")
        made = [flight.sample or ended for flight in self._flights]
        return tuple(made + [ended] * (self._options.count - len(made)))

    async def _send_ping(self) -> None:
        payload = _NOTE + secrets.token_hex(8).encode()
        self._protocol.send_ping(payload)
        self._channel.stream.deadline = deadline = Deadline(self._options.pong_timeout_s)
        mark = await self._channel.send(b"".join(self._protocol.data_to_send()))
        flight = _Flight(payload, mark, deadline)
        self._flights.append(flight)
        self._waiting[payload] = flight

    async def _receive(self) -> Received:
        try:
            return await self._channel.receive()
        except Broken as broken:
            if broken.reason is Reason.REFUSED:
                raise Broken(Reason.HTTP, "the peer reset the connection") from None
            raise

    async def _take(self, received: Received) -> None:
        if received.data:
            self._protocol.receive_data(received.data)
        else:
            self._protocol.receive_eof()
        for event in self._protocol.events_received():
            if isinstance(event, Response):
                self.status = event.status_code
                self.upgraded = self._protocol.handshake_exc is None
            elif isinstance(event, Frame) and event.opcode is Opcode.PONG:
                self._pong(bytes(event.data), received)
        if self._protocol.handshake_exc:
            raise self._refused(self._protocol.handshake_exc)
        await self._flush()
        if not received.data or (self.upgraded and self._protocol.state is not State.OPEN):
            raise Broken(Reason.HTTP, self._goodbye())

    def _pong(self, payload: bytes, received: Received) -> None:
        flight = self._waiting.pop(payload, None)
        if flight is None:
            return
        stage = self._channel.stream.until_first_byte(
            flight.mark, received.arrival, only_answer=False, leading=False
        )
        flight.sample = Sample(
            state=SampleState.ANSWERED,
            sent_at=self._channel.stream.left_at_ns(flight.mark),
            rtt_ns=stage.duration_ns,
            error_ns=stage.error_ns,
            grade=stage.grade,
            stalled=flight.deadline.stalled or self._channel.stream.stalled,
        )

    def _expire(self) -> None:
        """Give up pings whose time is over; called only after the socket was found empty or was read."""
        stream = self._channel.stream
        for payload, flight in list(self._waiting.items()):
            if flight.deadline.left_s > 0:
                continue
            del self._waiting[payload]
            seen = stream.seen_leaving(flight.mark)
            stalled = flight.deadline.stalled or stream.stalled
            honest = seen and not stalled
            flight.sample = Sample(
                state=SampleState.LOST if honest else SampleState.NOT_MEASURED,
                sent_at=stream.left_at_ns(flight.mark),
                stalled=stalled,
                reason=None if honest else "this host was stalled" if stalled else "not seen to leave",
            )

    async def _flush(self) -> None:
        data = b"".join(self._protocol.data_to_send())
        if data:
            await self._channel.send(data)

    def _goodbye(self) -> str:
        close = self._protocol.close_rcvd
        if close is None:
            return "the server ended the connection without a close frame"
        return f"the server closed the connection ({f'{close.code} {close.reason}'.strip()})"

    def _refused(self, error: BaseException) -> Broken:
        if isinstance(error, InvalidStatus):
            self.status = error.response.status_code
            if self.status in BLOCKED_STATUS:
                words = f"the server answered {self.status}: it does not serve this place"
                return Broken(Reason.BLOCKED, words)
            return Broken(Reason.HTTP, f"the server answered {self.status} to the upgrade")
        if isinstance(error, InvalidHandshake):
            return Broken(Reason.HTTP, f"the upgrade failed: {error}")
        return Broken(Reason.HTTP, f"the server does not speak WebSocket here: {error}")


def _verdict(
    samples: tuple[Sample, ...], broken: Broken | None, timings: Timings, url: Url
) -> tuple[Outcome, Reason | None, str | None]:
    if any(sample.state is SampleState.ANSWERED for sample in samples):
        return Outcome.MEASURED, None, broken.detail if broken else None
    if broken is None:
        if all(sample.state is SampleState.NOT_MEASURED for sample in samples):
            return Outcome.NOT_MEASURED, Reason.ABORTED, "no ping could be judged: this host was stalled"
        return Outcome.FAILED, Reason.TIMEOUT, "connected, but no pong came"
    detail = broken.detail
    if broken.reason is Reason.TIMEOUT:
        detail = f"{detail} (while {timings.phase(secure=url.secure, reused=False)})"
    return broken.outcome, broken.reason, detail
