"""From a URL to an open channel with its stages timed: what HTTP and WebSocket measurements begin with."""

import ssl
from collections.abc import Iterable

import msgspec

from nettrace import __version__
from nettrace.errors import Invalid
from nettrace.measure.kernel.clock import read_clocks
from nettrace.measure.kernel.stamps import drift_ns
from nettrace.measure.streams.deadline import Broken, Deadline
from nettrace.measure.streams.race import Race, race
from nettrace.measure.streams.resolve import Family, Resolution, literal, resolve
from nettrace.measure.streams.stream import Arrival, Stream, connect
from nettrace.measure.streams.tls import PlainChannel, TlsChannel, client_context
from nettrace.measure.streams.url import Url
from nettrace.model.address import UNRESTRICTED, TargetPolicy
from nettrace.model.measurement import Clock, Grade, Reason, Stage, Stages

Channel = PlainChannel | TlsChannel

USER_AGENT = f"nettrace/{__version__} (+https://github.com/nettrace/nettrace)"
"""The identifying note every request carries, with a page that says who measures and how to stop it."""


class ConnectOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How a service is reached.

    Attributes:
        family: `any` races IPv6 against IPv4 when the name has both (RFC 8305).
        address: connect to this address instead of resolving the name (which still goes into SNI and Host).
        timeout_s: for everything from the first action to the last byte of one exchange.
        insecure: do not check the certificate.
        ca_file: trust exactly the certificates in this PEM file.
        policy: which addresses may be touched; for targets of other people `TargetPolicy.for_others()`.
        kernel_stamps: False takes all times from the user clock (grade U).
    """

    family: Family = Family.ANY
    address: str | None = None
    timeout_s: float = 10.0
    insecure: bool = False
    ca_file: str | None = None
    policy: TargetPolicy = UNRESTRICTED
    kernel_stamps: bool = True


class Timings:
    """The stages of one exchange while they are being measured.

    Attributes:
        started: the clocks at the first action.
    """

    def __init__(self) -> None:
        self.started = read_clocks()
        self.dns: Stage | None = None
        self.connect: Stage | None = None
        self.tls: Stage | None = None
        self.ttfb: Stage | None = None
        self.client_cpu_ns: int | None = None
        self.total_ns: int | None = None
        self.first_byte_exact: bool | None = None
        self.notes: list[str] = []

    def since_start_ns(self, arrival: Arrival) -> int:
        """From the first action to the last byte of an arrival."""
        if drift_ns(self.started, arrival.read) is None:  # the clock was set meanwhile
            return arrival.read.monotonic - self.started.monotonic
        return max(0, arrival.at_ns - self.started.realtime)

    def phase(self, *, secure: bool, reused: bool) -> str:
        """What was going on when time ran out."""
        if self.connect is None and not reused:
            return "connecting"
        if secure and self.tls is None and not reused:
            return "in the TLS handshake"
        return "waiting for the first byte" if self.ttfb is None else "reading the answer"

    def stages(self) -> Stages:
        """What was measured so far."""
        return Stages(
            dns=self.dns,
            connect=self.connect,
            tls=self.tls,
            ttfb=self.ttfb,
            tls_client_cpu_ns=self.client_cpu_ns,
            total_ns=self.total_ns,
            first_byte_exact=self.first_byte_exact,
        )

    def clock(self) -> Clock | None:
        """Who took the stamps on the wire; the name lookup, always the user clock's, does not count."""
        return clock_of(stage.grade for stage in (self.connect, self.tls, self.ttfb) if stage)


def clock_of(grades: Iterable[Grade | None]) -> Clock | None:
    """The clock of a set of grades: that of the worst; None of none."""
    seen = {grade for grade in grades if grade}
    if not seen:
        return None
    if Grade.USER in seen:
        return Clock.USER
    return Clock.MIXED if Grade.RECEPTION in seen else Clock.KERNEL


class Route:
    """Where a URL leads, found out once and then pinned: no second lookup can send a round elsewhere.

    Attributes:
        address: the pinned address, or None before the first connection (and after a failed lookup).
        resolution: what the name meant, or None when the caller gave the address.
        race: how the two families did against each other, when they were raced.
    """

    def __init__(self, url: Url, options: ConnectOptions) -> None:
        self.url = url
        self.options = options
        self.resolution: Resolution | None = None
        self.race: Race | None = None
        self.address: str | None = None
        if options.address is not None:
            self.address = literal(options.address)
            if self.address is None:
                raise Invalid(f"{options.address!r} is not an IP address")
            options.policy.check(self.address, url.host)
        self._context: ssl.SSLContext | None = (
            client_context(insecure=options.insecure, ca_file=options.ca_file) if url.secure else None
        )

    @property
    def resolved(self) -> tuple[str, ...]:
        """Every address the name had when it was looked up for this round."""
        return self.resolution.addresses if self.resolution else ()

    async def open(self, timings: Timings, deadline: Deadline) -> Channel:
        """A new connection, ready for the first request; every stage is noted in `timings`.

        Raises:
            Broken: with what went wrong on the way.
            Forbidden: the policy refuses the address.
        """
        stream = await self._reach(timings, deadline)
        try:
            timings.connect = stream.connect
            if stream.first_answered is False:
                timings.notes.append("the first connection request was lost and had to be sent again")
            if self._context is None:
                return PlainChannel(stream)
            channel = TlsChannel(stream, self._context, self.url.host.removesuffix("."))
            await channel.handshake()
        except BaseException:
            stream.close()
            raise
        timings.tls = channel.tls
        timings.client_cpu_ns = channel.client_cpu_ns
        return channel

    async def _reach(self, timings: Timings, deadline: Deadline) -> Stream:
        stamps = self.options.kernel_stamps
        if self.address is None:
            addresses = await self._resolve(timings, deadline)
            if len({":" in address for address in addresses}) == 2:
                return await self._race(addresses, deadline)
            self.address = addresses[0]
        return await connect(self.address, self.url.port, deadline, kernel_stamps=stamps)

    async def _resolve(self, timings: Timings, deadline: Deadline) -> tuple[str, ...]:
        options = self.options
        found = await resolve(self.url.host, options.family, timeout_s=deadline.left_s, policy=options.policy)
        self.resolution = found
        timings.dns = found.stage
        if found.reason is not None:
            raise Broken(found.reason, found.detail or "the name lookup failed", outcome=found.outcome)
        return found.addresses

    async def _race(self, addresses: tuple[str, ...], deadline: Deadline) -> Stream:
        self.race, stream = await race(
            addresses,
            self.url.port,
            timeout_s=deadline.left_s,
            both=False,
            kernel_stamps=self.options.kernel_stamps,
        )
        if stream is None:
            # Neither family connected: what the better one says is what a person should read.
            order = (Reason.REFUSED, Reason.TIMEOUT)
            told = sorted(self.race.attempts, key=lambda attempt: attempt.reason not in order)[0]
            self.address = told.address
            raise Broken(
                told.reason or Reason.UNREACHABLE, told.detail or "no connection", outcome=told.outcome
            )
        self.address = stream.address
        stream.deadline = deadline
        return stream
