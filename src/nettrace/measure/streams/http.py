"""One HTTP/1.1 request and its answer, every stage timed by itself.

`connect` is SYN .. SYN-ACK, `tls` the ClientHello's last byte out .. the last byte of the handshake in, `ttfb`
the request's last byte out .. the answer's first byte in, all by kernel stamps; `total` runs from the first
action to the last byte of the body. Redirects are reported, not followed. Proxies of the environment are
ignored: they would be measured instead of the target.

What counts as `failed`: no complete answer (reasons `timeout refused unreachable dns tls http`), a server
error 5xx (`http`), and 403 or 451 (`blocked`: by policy). Other answers, also 404 or 429, are `measured`: the
exchange happened, and `status` says how it ended. Stages that were measured stay in a failed exchange.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import suppress
from functools import lru_cache

import h11

from nettrace.errors import Invalid
from nettrace.measure.streams.conversation import USER_AGENT, Channel, ConnectOptions, Route, Timings
from nettrace.measure.streams.deadline import Broken, Deadline
from nettrace.measure.streams.stream import Arrival, Mark
from nettrace.measure.streams.tls import Received
from nettrace.measure.streams.url import parse_url
from nettrace.model.measurement import HttpExchange, Outcome, Reason

HINTS = (
    "server", "via", "cf-ray", "x-amz-cf-pop", "x-amz-cf-id", "x-served-by", "x-cache", "alt-svc", "date", "age",
    "location", "retry-after",
)  # fmt: skip
"""Response headers that tell which machine answered, and where it stands."""

BLOCKED_STATUS = frozenset({403, 451})
_HINT_CHARACTERS = 200
_HEADER_BYTES = 131_072


class HttpOptions(ConnectOptions, frozen=True, kw_only=True):
    """What to ask and how often, on top of how the service is reached.

    Attributes:
        count: exchanges, one after the other.
        interval_s: pause between them.
        keepalive: ask all of them on one connection: the later ones have `reused` and only `ttfb`.
        headers: added to the request; they replace ours of the same name.
        max_body_bytes: longer answers are cut, and `total` is not measured then.
    """

    count: int = 1
    interval_s: float = 0.2
    keepalive: bool = False
    method: str = "GET"
    headers: Mapping[str, str] = {}
    max_body_bytes: int = 16_777_216


async def exchange(
    url: str,
    options: HttpOptions | None = None,
    *,
    on_abort: Callable[[HttpExchange], None] | None = None,
) -> AsyncIterator[HttpExchange]:
    """Each of `options.count` exchanges as it ends. The name is resolved once, for the first of them.

    When this is cancelled, `on_abort` is given the exchange under way as far as it came.

    Raises:
        Invalid: the URL, a header or an option cannot be.
        Forbidden: `options.policy` refuses the address.
    """
    options = options or HttpOptions()
    session = _Session(url, options, on_abort)
    try:
        for number in range(options.count):
            if number:
                await asyncio.sleep(options.interval_s)
            yield await session.exchange()
    finally:
        await session.close()


class _Gone(Exception):
    """The kept connection ended between two requests, as any server may do."""


class _Answer:
    """What has arrived of an answer so far."""

    def __init__(self) -> None:
        self.status: int | None = None
        self.hints: dict[str, str] = {}
        self.body_bytes: int | None = None
        self.last: Arrival | None = None


class _Session:
    """The exchanges of one URL, and the connection between them when it is kept."""

    def __init__(
        self, url: str, options: HttpOptions, on_abort: Callable[[HttpExchange], None] | None
    ) -> None:
        self._on_abort = on_abort
        self._url = parse_url(url)
        self._options = options
        self._route = Route(self._url, options)
        self._request = _request(self._url.authority, self._url.target, options)
        self._kept: tuple[Channel, h11.Connection] | None = None

    async def exchange(self) -> HttpExchange:
        kept, self._kept = self._kept, None
        if kept:
            with suppress(_Gone):  # closed while nothing was asked: this request gets a new connection
                return await self._once(kept)
        return await self._once(None)

    async def close(self) -> None:
        kept, self._kept = self._kept, None
        if kept:
            await kept[0].close()

    async def _once(self, kept: tuple[Channel, h11.Connection] | None) -> HttpExchange:
        """One exchange.

        Raises:
            _Gone: the server had closed the kept connection before it was asked again.
        """
        timings, deadline, answer = Timings(), Deadline(self._options.timeout_s), _Answer()
        channel: Channel | None = None
        broken: Broken | None = None
        reusable: tuple[Channel, h11.Connection] | None = None
        try:
            if kept:
                channel, connection = kept
                channel.stream.deadline = deadline
                connection.start_next_cycle()
            else:
                channel = await self._route.open(timings, deadline)
                connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=_HEADER_BYTES)
            await self._converse(channel, connection, timings, answer)
            if self._options.keepalive and connection.our_state is connection.their_state is h11.DONE:
                reusable = (channel, connection)
        except Broken as problem:
            broken = problem
        except asyncio.CancelledError:
            if self._on_abort:
                broken = Broken(Reason.ABORTED, "interrupted", outcome=Outcome.NOT_MEASURED)
                self._on_abort(self._result(timings, answer, broken, channel, reused=kept is not None))
            raise
        finally:
            if channel and not reusable:
                await channel.close()
        self._kept = reusable
        if kept and broken and answer.last is None and broken.reason in {Reason.HTTP, Reason.REFUSED}:
            raise _Gone
        return self._result(timings, answer, broken, channel, reused=kept is not None)

    async def _converse(
        self, channel: Channel, connection: h11.Connection, timings: Timings, answer: _Answer
    ) -> None:
        request = connection.send(self._request) or b""
        request += connection.send(h11.EndOfMessage()) or b""
        try:
            mark = await channel.send(request)
            while not self._complete(connection, answer):
                received = await channel.receive()
                if received.data:
                    if answer.last is None:
                        _first_byte(channel, mark, received, timings)
                    answer.last = received.arrival
                connection.receive_data(received.data)
        except Broken as broken:
            raise _as_http(broken, answer) from None
        except h11.RemoteProtocolError as error:
            raise Broken(Reason.HTTP, _in_words(error, answer)) from None
        if channel.stream.sent_again(mark):
            timings.notes.append("part of the request was lost and had to be sent again")
        if answer.last and connection.their_state is not h11.SEND_BODY:
            timings.total_ns = timings.since_start_ns(answer.last)

    def _complete(self, connection: h11.Connection, answer: _Answer) -> bool:
        """Take the events that are there; True when there is nothing more to wait for."""
        while True:
            event = connection.next_event()
            if event is h11.NEED_DATA:
                return False
            if isinstance(event, h11.Response):
                answer.status = event.status_code
                answer.hints = _hints(event.headers)
                answer.body_bytes = 0
            elif isinstance(event, h11.Data):
                answer.body_bytes = (answer.body_bytes or 0) + len(event.data)
                if answer.body_bytes > self._options.max_body_bytes:
                    return True
            elif isinstance(event, h11.InformationalResponse):
                continue
            else:
                return True

    def _result(
        self,
        timings: Timings,
        answer: _Answer,
        broken: Broken | None,
        channel: Channel | None,
        *,
        reused: bool,
    ) -> HttpExchange:
        outcome, reason, detail = _verdict(answer, broken, timings, secure=self._url.secure, reused=reused)
        if broken is None and timings.total_ns is None:
            timings.notes.append(f"the body was cut after {self._options.max_body_bytes} bytes")
        words = [detail, *timings.notes] if detail else timings.notes
        return HttpExchange(
            url=self._url.text,
            target=self._url.host,
            address=self._route.address,
            resolved=self._route.resolved,
            at=timings.started.realtime,
            outcome=outcome,
            reason=reason,
            detail="; ".join(words) or None,
            stages=timings.stages(),
            status=answer.status,
            tls_version=channel.tls_version if channel else None,
            reused=reused,
            body_bytes=answer.body_bytes,
            server_hints=answer.hints,
            clock=timings.clock(),
        )


def _request(authority: str, target: str, options: HttpOptions) -> h11.Request:
    if options.count < 1 or options.timeout_s <= 0 or options.interval_s < 0:
        raise Invalid("The number of requests and the timeout must be above zero")
    return _built(options.method.upper(), authority, target, tuple(options.headers.items()))


@lru_cache(maxsize=1024)
def _built(method: str, authority: str, target: str, given: tuple[tuple[str, str], ...]) -> h11.Request:
    """The request, checked once: a node asks the same thing every few seconds."""
    headers = {"Host": authority, "User-Agent": USER_AGENT, "Accept": "*/*", "Accept-Encoding": "identity"}
    replaced = {name.lower() for name, _ in given}
    kept = [(name, value) for name, value in headers.items() if name.lower() not in replaced]
    if method == "CONNECT":
        raise Invalid("CONNECT is not a request that can be measured")
    try:
        return h11.Request(method=method, target=target, headers=[*kept, *given])
    except (h11.LocalProtocolError, UnicodeError) as error:
        raise Invalid(f"The request cannot be sent: {error}") from None


def _first_byte(channel: Channel, mark: Mark, received: Received, timings: Timings) -> None:
    first = received.first
    timings.ttfb = channel.stream.until_first_byte(
        mark, first, only_answer=received.only_answer, leading=received.leading
    )
    timings.first_byte_exact = first.exact


def _hints(headers: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    found: dict[str, str] = {}
    for raw_name, raw_value in headers:
        name = raw_name.decode("ascii", "replace").lower()
        if name in HINTS:
            found[name] = raw_value.decode("latin-1")[:_HINT_CHARACTERS]
    return found


def _as_http(broken: Broken, answer: _Answer) -> Broken:
    if broken.reason is not Reason.REFUSED:
        return broken
    when = "before it answered" if answer.last is None else "in the middle of its answer"
    return Broken(Reason.HTTP, f"the peer reset the connection {when}")


def _in_words(error: h11.RemoteProtocolError, answer: _Answer) -> str:
    if answer.last is None:
        return "the peer closed the connection without an answer"
    if answer.status is None:
        return f"the answer is not HTTP/1.1: {error}"
    return f"the answer is broken: {error}"


def _verdict(
    answer: _Answer, broken: Broken | None, timings: Timings, *, secure: bool, reused: bool
) -> tuple[Outcome, Reason | None, str | None]:
    if broken:
        detail = broken.detail
        if broken.reason is Reason.TIMEOUT:
            detail = f"{detail} (while {timings.phase(secure=secure, reused=reused)})"
        return broken.outcome, broken.reason, detail
    status = answer.status or 0
    if status in BLOCKED_STATUS:
        return Outcome.FAILED, Reason.BLOCKED, f"the server answered {status}: it does not serve this place"
    if status >= 500:
        return Outcome.FAILED, Reason.HTTP, f"the server answered {status}"
    return Outcome.MEASURED, None, None
