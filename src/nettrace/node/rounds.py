"""One round from its due moment to its measurement: name, policy, budget, method, and an honest word when it cannot be."""

import asyncio
import time
from collections.abc import Callable, Mapping
from functools import lru_cache

import msgspec

from nettrace.analysis.oneway import way_tests
from nettrace.errors import Forbidden, Invalid
from nettrace.measure.probing.patience import longest_ping_s
from nettrace.measure.probing.run import Aimed
from nettrace.measure.probing.stamp_sender import Session
from nettrace.measure.probing.stamp_socket import Clockwork, kernel_wall
from nettrace.measure.streams.dns import lookup, system_servers
from nettrace.measure.streams.http import HttpOptions, exchange
from nettrace.measure.streams.resolve import Resolution
from nettrace.measure.streams.tcp import connect_ping
from nettrace.measure.streams.websocket import WebSocketOptions, ws_pings
from nettrace.measure.tracing.ping import PingOptions, PingRound
from nettrace.measure.tracing.stamp import StampOptions
from nettrace.measure.tracing.trace import TraceOptions, TraceRun
from nettrace.model.instant import NS_PER_S, Instant
from nettrace.model.measurement import (
    DnsLookup,
    HttpExchange,
    Method,
    Outcome,
    Ping,
    Reason,
    Stages,
    StampTest,
    WebSocketPings,
)
from nettrace.model.path import StopReason, Trace
from nettrace.model.target import Endpoint, Role, RoundMethod
from nettrace.node.driver import Driver
from nettrace.node.names import Names, Refused
from nettrace.node.policy import NodePolicy
from nettrace.wire.frames import Measured

PACKETS = {RoundMethod.HTTP: 12, RoundMethod.WS: 12, RoundMethod.DNS: 2}
"""What an exchange costs of the budgets: handshakes, request, answer, acknowledgements."""

STREAMS_AT_ONCE = 64
ANSWER_S = 10.0
PROBE_S = 2.0
LONGEST_TRACE_S = 300.0
MOST_REMEMBERED = 4096
"""Path lengths kept: only hints, so forgetting them all costs next to nothing."""

DNS_SCHEME = "dns:"


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """What one round is to do."""

    target: str
    endpoint: Endpoint
    method: RoundMethod
    due: Instant
    probes: int = 5
    spacing_s: float = 0.2
    request: str | None = None
    also_tcp: bool = False


class Done(msgspec.Struct, frozen=True, kw_only=True):
    """What a round brought.

    Attributes:
        method: what was really done: `tcp` where `icmp` is not permitted.
        reply_ttls: of the answers, where they tell.
        also: what it brought for other endpoints of the target, by their names.
    """

    method: RoundMethod
    measurement: Measured
    reply_ttls: tuple[int, ...] = ()
    also: tuple[tuple[str, Measured], ...] = ()


class Flight:
    """A round whose packets the engine sends, from its beginning to what it brought.

    Args:
        machine: what the engine serves.
        limit_s: after so long what is known counts.
        done: what it brought, at any moment.
    """

    __slots__ = ("done", "limit_s", "machine")

    def __init__(self, machine: Aimed, limit_s: float, done: Callable[[], Done]) -> None:
        self.machine = machine
        self.limit_s = limit_s
        self.done = done


class Rounds:
    """Makes rounds; one for all of a node, from one event loop.

    Args:
        driver: whose engine sends probe packets.
        policy: what may be touched.
        region: the vantage's code.

    Attributes:
        keys: of the nodes of the mesh, by target.
        wall: this host's clock.
    """

    def __init__(self, driver: Driver, policy: NodePolicy, region: str) -> None:
        self.driver = driver
        self.policy = policy
        self.names = Names()
        self.keys: Mapping[str, bytes] = {}
        self.wall: Clockwork = kernel_wall
        self._region = region
        self._streams = asyncio.Semaphore(STREAMS_AT_ONCE)
        self._lengths: dict[tuple[str, str], int] = {}
        self._work = {
            RoundMethod.ICMP: self._fly,
            RoundMethod.UDP: self._fly,
            RoundMethod.TCP: self._connect,
            RoundMethod.HTTP: self._http,
            RoundMethod.WS: self._ws,
            RoundMethod.DNS: self._dns,
            RoundMethod.TRACE: self._fly,
            RoundMethod.STAMP: self._stamp,
        }
        self._aims: dict[RoundMethod, Callable[[Job, str, Resolution], Flight | None]] = {
            RoundMethod.ICMP: self._aim_ping,
            RoundMethod.UDP: self._aim_ping,
            RoundMethod.TRACE: self._aim_trace,
        }

    def flight(self, job: Job) -> Flight | Done | None:
        """The round when nothing has to be waited for before its first packet; None for one that has to be made (`make`).

        What cannot be is done at once: its measurement says why.
        """
        aim = self._aims.get(job.method)
        if aim is None:
            return None
        try:
            found = self.names.fresh(job.endpoint.host, self.policy)
            return None if found is None else aim(job, *found)
        except (Refused, Forbidden, Invalid, OSError) as why:
            return self._refused(job, why)

    async def make(self, job: Job, partial: Callable[[Done], None]) -> Done:
        """The round's result, whatever happens to it; on being cancelled `partial` gets what is known so far."""

        def known(done: Done) -> None:
            partial(self._named(done))

        try:
            return self._named(await self._work[job.method](job, known))
        except (Refused, Forbidden, Invalid, OSError) as why:
            return self._refused(job, why)

    def _refused(self, job: Job, why: Exception) -> Done:
        outcome, reason = Outcome.NOT_MEASURED, Reason.ABORTED
        if isinstance(why, Refused):
            outcome, reason = why.outcome, why.reason
        elif isinstance(why, Forbidden):
            reason = Reason.NOT_PERMITTED
        return self._named(Done(method=job.method, measurement=blank(job, outcome, reason, str(why))))

    def _named(self, done: Done) -> Done:
        made = msgspec.structs.replace(done.measurement, vantage=self._region)
        also = tuple((name, msgspec.structs.replace(each, vantage=self._region)) for name, each in done.also)
        return msgspec.structs.replace(done, measurement=made, also=also)

    # -- packets -------------------------------------------------------------------------------------------

    async def _fly(self, job: Job, partial: Callable[[Done], None]) -> Done:
        """A round of packets whose name has to be looked up first, or that has to go by TCP connect."""
        flight = self._aims[job.method](job, *await self.names.pin(job.endpoint.host, self.policy))
        if flight is None:
            why = self.driver.permits(Method.ICMP, self.names.last(job.endpoint.host))
            return await self._connect(job, partial, note=f"by TCP connect, because {why}")
        try:
            await self.driver.measure(flight.machine, flight.limit_s)
        except asyncio.CancelledError:
            partial(flight.done())
            raise
        return flight.done()

    def _aim_ping(self, job: Job, address: str, found: Resolution) -> Flight | None:
        """A round of pings; None where this host may only connect."""
        options, limit_s = _ping_options(job.method, job.probes, job.spacing_s, self.driver.rate_pps)
        why = self.driver.permits(options.method, address)
        if why is not None:
            if options.method is Method.ICMP and not job.also_tcp:
                return None
            raise Refused(Outcome.NOT_MEASURED, Reason.NOT_PERMITTED, why)
        machine = PingRound(job.endpoint.host, address, options)

        def done() -> Done:
            made = msgspec.structs.replace(machine.result(), resolved=found.addresses, vantage=self._region)
            return Done(method=job.method, measurement=made, reply_ttls=machine.reply_ttls)

        return Flight(machine, limit_s, done)

    def _aim_trace(self, job: Job, address: str, found: Resolution) -> Flight:
        method = self.driver.traces_by(address)
        if method is None:
            raise Refused(
                Outcome.NOT_MEASURED,
                Reason.NOT_PERMITTED,
                self.driver.permits(Method.UDP, address) or "no way of tracing is permitted here",
            )
        place = (job.endpoint.host, address)
        options = TraceOptions(
            method=method,
            port=job.endpoint.port if method is Method.TCP else None,
            expected_ttl=self._lengths.get(place),
        )
        serial_ns = self.driver.serial_ns(method, address)
        if serial_ns:
            timeout_ns = min(options.timeout_ns, serial_ns)
            options = msgspec.structs.replace(options, timeout_ns=timeout_ns, longest_wait_ns=timeout_ns)
        machine = TraceRun(job.endpoint.host, address, options)

        def done() -> Done:
            made = msgspec.structs.replace(machine.result(), resolved=found.addresses, vantage=self._region)
            if made.reached and made.hops:
                if len(self._lengths) >= MOST_REMEMBERED:
                    self._lengths.clear()
                self._lengths[place] = made.hops[-1].ttl
            return Done(method=job.method, measurement=made)

        return Flight(machine, LONGEST_TRACE_S, done)

    async def _stamp(self, job: Job, partial: Callable[[Done], None]) -> Done:
        """A sealed session with another node: the round trip, and each way as a round of its own."""
        address, found = await self.names.pin(job.endpoint.host, self.policy)
        key = self.keys.get(job.target)
        if key is None:
            raise Refused(Outcome.NOT_MEASURED, Reason.NOT_PERMITTED, f"{job.target} is no node of this mesh")
        options = StampOptions(
            count=job.probes, interval_ns=int(job.spacing_s * NS_PER_S), timeout_ns=int(PROBE_S * NS_PER_S)
        )
        session = Session(
            (job.endpoint.host, address, job.endpoint.port), options, key=key, wall=self.wall,
            allowed=lambda: self.driver.allowed(address, 1),
        )  # fmt: skip

        def done(made: StampTest) -> Done:
            made = msgspec.structs.replace(made, resolved=found.addresses)
            out, back = way_tests(made)
            return Done(method=job.method, measurement=made, also=(("out", out), ("back", back)))

        try:
            return done(await session.run())
        except asyncio.CancelledError:
            partial(done(session.result()))
            raise

    # -- streams -------------------------------------------------------------------------------------------

    async def _connect(self, job: Job, partial: Callable[[Done], None], note: str | None = None) -> Done:
        address, found = await self.names.pin(job.endpoint.host, self.policy)

        def done(made: Ping) -> Done:
            detail = "; ".join(filter(None, (made.detail, note))) or None
            made = msgspec.structs.replace(made, resolved=found.addresses, detail=detail)
            return Done(method=RoundMethod.TCP, measurement=made)

        async with self._streams:
            await self.driver.allowed(address, job.probes)
            made = await connect_ping(
                job.endpoint.host,
                address,
                job.endpoint.port,
                job.probes,
                job.spacing_s,
                PROBE_S + 1,
                on_abort=lambda made: partial(done(made)),
            )
        return done(made)

    async def _http(self, job: Job, partial: Callable[[Done], None]) -> Done:
        url = self._url(job, ("http://", "https://"))

        def done(made: HttpExchange) -> Done:
            if made.outcome is Outcome.FAILED and made.status in job.endpoint.expect_status:
                made = msgspec.structs.replace(made, outcome=Outcome.MEASURED, reason=None)
            return Done(method=job.method, measurement=made)

        options = HttpOptions(timeout_s=ANSWER_S, policy=self.policy)
        async with self._streams:
            await self.driver.allowed(self.names.last(job.endpoint.host), PACKETS[job.method])
            exchanges = exchange(url, options, on_abort=lambda made: partial(done(made)))
            made = await anext(exchanges)
            await anext(exchanges, None)  # there is no second one: this ends it
        self.names.note(job.endpoint.host, made.address)
        return done(made)

    async def _ws(self, job: Job, partial: Callable[[Done], None]) -> Done:
        url = self._url(job, ("ws://", "wss://"))
        options = WebSocketOptions(
            count=job.probes,
            interval_s=job.spacing_s,
            pong_timeout_s=5.0,
            timeout_s=ANSWER_S,
            policy=self.policy,
        )
        async with self._streams:
            await self.driver.allowed(self.names.last(job.endpoint.host), PACKETS[job.method] + job.probes)
            made = await ws_pings(
                url, options, on_abort=lambda made: partial(Done(method=job.method, measurement=made))
            )
        self.names.note(job.endpoint.host, made.address)
        return Done(method=job.method, measurement=made)

    async def _dns(self, job: Job, _partial: Callable[[Done], None]) -> Done:
        """A resolver is asked for the name its URL says (`dns:NAME`), else for the root's servers, which all know.

        Of other endpoints this host's own resolver is asked for the name.
        """
        endpoint = job.endpoint
        async with self._streams:
            if endpoint.role is Role.RESOLVER:
                address, found = await self.names.pin(endpoint.host, self.policy)
                url = endpoint.url or ""
                question = url.removeprefix(DNS_SCHEME) if url.startswith(DNS_SCHEME) else None
                await self.driver.allowed(address, PACKETS[job.method])
                made = await lookup(question or ".", address, "A" if question else "NS", policy=self.policy)
                made = msgspec.structs.replace(made, resolved=found.addresses)
            else:
                self.policy.check_name(endpoint.host)
                made = await lookup(endpoint.host, system_servers()[0])
        return Done(method=job.method, measurement=made)

    def _url(self, job: Job, schemes: tuple[str, ...]) -> str:
        self.policy.check_name(job.endpoint.host)
        url = job.endpoint.url
        if url is None or not url.lower().startswith(schemes):
            raise Invalid(f"{job.target}/{job.endpoint.name} has no URL for {job.method} rounds")
        return url


@lru_cache(maxsize=1024)
def _ping_options(
    method: RoundMethod, probes: int, spacing_s: float, rate_pps: float
) -> tuple[PingOptions, float]:
    """How such rounds are done, and how long one may take: the same few again and again."""
    options = PingOptions(
        method=Method(method.value),
        count=probes,
        interval_ns=int(spacing_s * NS_PER_S),
        timeout_ns=int(PROBE_S * NS_PER_S),
    )
    return options, longest_ping_s(options, 1, 1, rate_pps)


def blank(job: Job, outcome: Outcome, reason: Reason, detail: str) -> Measured:
    """A measurement of the right kind that says why there is none."""
    empty = _empty(job, time.time_ns())
    return msgspec.structs.replace(empty, outcome=outcome, reason=reason, detail=detail)


def _empty(job: Job, at: Instant) -> Measured:
    target, none = job.endpoint.host, Outcome.NOT_MEASURED
    url = job.endpoint.url or ""
    if job.method is RoundMethod.HTTP:
        return HttpExchange(target=target, address=None, at=at, outcome=none, url=url, stages=Stages())
    if job.method is RoundMethod.WS:
        return WebSocketPings(target=target, address=None, at=at, outcome=none, url=url, stages=Stages())
    if job.method is RoundMethod.DNS:
        return DnsLookup(target=target, address=None, at=at, outcome=none, question_type="A")
    if job.method is RoundMethod.TRACE:
        return Trace(
            target=target,
            address=None,
            at=at,
            outcome=none,
            method=Method.TCP,
            flow=0,
            reached=False,
            stop=StopReason.ABORTED,
        )
    if job.method is RoundMethod.STAMP:
        return StampTest(target=target, address=None, at=at, outcome=none, port=job.endpoint.port)
    return Ping(target=target, address=None, at=at, outcome=none, method=Method(job.method.value))
