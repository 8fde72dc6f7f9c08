"""One round from its due moment to its measurement: name, policy, budget, method, and an honest word when it cannot be."""

import asyncio
import time
from collections.abc import Callable, Mapping

import msgspec

from nettrace.analysis.oneway import way_tests
from nettrace.errors import Forbidden, Invalid
from nettrace.measure.probing.patience import longest_ping_s
from nettrace.measure.probing.stamp_sender import Session
from nettrace.measure.probing.stamp_socket import Clockwork, kernel_wall
from nettrace.measure.streams.dns import lookup, system_servers
from nettrace.measure.streams.http import HttpOptions, exchange
from nettrace.measure.streams.resolve import Resolution, resolve
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
from nettrace.node.policy import NodePolicy
from nettrace.wire.frames import Measured

PACKETS = {RoundMethod.HTTP: 12, RoundMethod.WS: 12, RoundMethod.DNS: 2}
"""What an exchange costs of the budgets: handshakes, request, answer, acknowledgements."""

STREAMS_AT_ONCE = 64
ANSWER_S = 10.0
PROBE_S = 2.0
LONGEST_TRACE_S = 300.0
MOST_REMEMBERED = 4096
"""Names' addresses and path lengths kept: only hints, so forgetting them all costs next to nothing."""

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


class _Refused(Exception):
    """The round cannot be; it carries the measurement that says so."""

    def __init__(self, outcome: Outcome, reason: Reason, detail: str, resolved: tuple[str, ...] = ()) -> None:
        super().__init__(detail)
        self.outcome, self.reason, self.detail, self.resolved = outcome, reason, detail, resolved


class Names:
    """Names to addresses once a round, with the address of the last round for as long as the name still has it."""

    def __init__(self) -> None:
        self._pinned: dict[str, str] = {}

    async def pin(self, host: str, policy: NodePolicy) -> tuple[str, Resolution]:
        """The address to measure, and what the name meant.

        Raises:
            Forbidden: the policy refuses the name or one of its addresses.
            _Refused: the name has no address.
        """
        policy.check_name(host)
        found = await resolve(host, policy=policy)
        if found.reason is not None or not found.addresses:
            reason = found.reason or Reason.DNS
            outcome = found.outcome if found.outcome is not Outcome.MEASURED else Outcome.FAILED
            raise _Refused(outcome, reason, found.detail or "the name has no address")
        before = self._pinned.get(host)
        address = before if before in found.addresses else found.addresses[0]
        if len(self._pinned) >= MOST_REMEMBERED:  # names asked for once are never told apart from the others
            self._pinned.clear()
        self._pinned[host] = address
        return address, found

    def last(self, host: str) -> str:
        """The address a name was last measured at, else the name: what budgets are counted by."""
        return self._pinned.get(host, host)

    def note(self, host: str, address: str | None) -> None:
        """An exchange has found its own way to this address."""
        if address is not None:
            self._pinned.setdefault(host, address)

    def keep(self, hosts: set[str]) -> None:
        """Forget names that are no longer measured."""
        for gone in self._pinned.keys() - hosts:
            del self._pinned[gone]


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
            RoundMethod.ICMP: self._ping,
            RoundMethod.UDP: self._ping,
            RoundMethod.TCP: self._connect,
            RoundMethod.HTTP: self._http,
            RoundMethod.WS: self._ws,
            RoundMethod.DNS: self._dns,
            RoundMethod.TRACE: self._trace,
            RoundMethod.STAMP: self._stamp,
        }

    async def make(self, job: Job, partial: Callable[[Done], None]) -> Done:
        """The round's result, whatever happens to it; on being cancelled `partial` gets what is known so far."""
        work = self._work[job.method]

        def known(done: Done) -> None:
            partial(self._named(done))

        try:
            done = await work(job, known)
        except _Refused as why:
            done = Done(method=job.method, measurement=blank(job, why.outcome, why.reason, why.detail))
        except Forbidden as why:
            done = Done(
                method=job.method,
                measurement=blank(job, Outcome.NOT_MEASURED, Reason.NOT_PERMITTED, str(why)),
            )
        except (Invalid, OSError) as why:
            done = Done(
                method=job.method, measurement=blank(job, Outcome.NOT_MEASURED, Reason.ABORTED, str(why))
            )
        return self._named(done)

    def _named(self, done: Done) -> Done:
        made = msgspec.structs.replace(done.measurement, vantage=self._region)
        also = tuple((name, msgspec.structs.replace(each, vantage=self._region)) for name, each in done.also)
        return msgspec.structs.replace(done, measurement=made, also=also)

    # -- packets -------------------------------------------------------------------------------------------

    async def _ping(self, job: Job, partial: Callable[[Done], None]) -> Done:
        method = Method(job.method.value)
        address, found = await self.names.pin(job.endpoint.host, self.policy)
        why = self.driver.permits(method, address)
        if why is not None:
            if method is Method.ICMP and not job.also_tcp:
                return await self._connect(job, partial, note=f"by TCP connect, because {why}")
            raise _Refused(Outcome.NOT_MEASURED, Reason.NOT_PERMITTED, why)
        options = PingOptions(
            method=method,
            count=job.probes,
            interval_ns=int(job.spacing_s * NS_PER_S),
            timeout_ns=int(PROBE_S * NS_PER_S),
        )
        machine = PingRound(job.endpoint.host, address, options)

        def done() -> Done:
            made = msgspec.structs.replace(machine.result(), resolved=found.addresses)
            return Done(method=job.method, measurement=made, reply_ttls=machine.reply_ttls)

        limit_s = longest_ping_s(options, 1, 1, self.driver.rate_pps)
        try:
            async with asyncio.timeout(limit_s):
                await self.driver.measure(machine)
        except TimeoutError:  # budgets were spent for so long; what is known counts
            return done()
        except asyncio.CancelledError:
            partial(done())
            raise
        return done()

    async def _trace(self, job: Job, partial: Callable[[Done], None]) -> Done:
        address, found = await self.names.pin(job.endpoint.host, self.policy)
        method = self.driver.traces_by(address)
        if method is None:
            raise _Refused(
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
            made = msgspec.structs.replace(machine.result(), resolved=found.addresses)
            if made.reached and made.hops:
                if len(self._lengths) >= MOST_REMEMBERED:
                    self._lengths.clear()
                self._lengths[place] = made.hops[-1].ttl
            return Done(method=job.method, measurement=made)

        try:
            async with asyncio.timeout(LONGEST_TRACE_S):
                await self.driver.measure(machine)
        except TimeoutError:
            return done()
        except asyncio.CancelledError:
            partial(done())
            raise
        return done()

    async def _stamp(self, job: Job, partial: Callable[[Done], None]) -> Done:
        """A sealed session with another node: the round trip, and each way as a round of its own."""
        address, found = await self.names.pin(job.endpoint.host, self.policy)
        key = self.keys.get(job.target)
        if key is None:
            raise _Refused(
                Outcome.NOT_MEASURED, Reason.NOT_PERMITTED, f"{job.target} is no node of this mesh"
            )
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
