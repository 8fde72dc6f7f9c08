"""Scenarios in TOML: a small internet, one measurement, and what an honest answer looks like."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import msgspec

from nettrace.errors import Invalid
from nettrace.measure.tracing.multipath import MultipathOptions, MultipathRun
from nettrace.measure.tracing.ping import PingOptions, PingRound
from nettrace.measure.tracing.trace import TraceOptions, TraceRun
from nettrace.model.instant import NS_PER_MS
from nettrace.model.measurement import Method, Ping
from nettrace.model.path import Label, Trace
from nettrace.testing.honesty import Ledger
from nettrace.testing.simclock import SimClock
from nettrace.testing.simdriver import EPOCH, HostFaults, Job, SimDriver
from nettrace.testing.simnet import Route, Router, SimNet, Site

Milliseconds = float


class _Strict(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A misspelt key is an error, not a test that tests nothing."""


class HopTable(_Strict, frozen=True, kw_only=True):
    """A stage of a route: one address or several `parallel` ones; the rest as in `Router`.

    A loss is given for the round trip to this hop's link.
    """

    address: str = ""
    parallel: tuple[str, ...] = ()
    delay_ms: float = 1.0
    jitter_ms: float = 0.0
    loss: float = 0.0
    silent: bool = False
    answers_per_s: float | None = None
    answer_burst: int = 6
    spent_until_ms: Milliseconds = 0.0
    unreachable: int | None = None
    mtu: int | None = None
    forwards_zero: bool = False
    labels: tuple[tuple[int, int, bool, int], ...] = ()

    def stage(self) -> tuple[Router, ...]:
        """The routers of this stage."""
        shared = msgspec.structs.asdict(self)
        addresses = self.parallel or (self.address,)
        del shared["parallel"], shared["address"]
        shared["spent_until"] = EPOCH + int(shared.pop("spent_until_ms") * NS_PER_MS)
        shared["labels"] = tuple(Label(*entry) for entry in self.labels)
        return tuple(Router(address=address, **shared) for address in addresses)


class RouteTable(_Strict, frozen=True, kw_only=True):
    """A way that is used from `at_ms` on."""

    at_ms: Milliseconds = 0.0
    hop: tuple[HopTable, ...] = ()
    loop_from: int | None = None
    black_hole: bool = False
    per_packet: bool = False

    def route(self) -> Route:
        """The route in the simulator's terms."""
        return Route(
            stages=tuple(hop.stage() for hop in self.hop),
            since=EPOCH + int(self.at_ms * NS_PER_MS),
            loop_from=self.loop_from,
            black_hole=self.black_hole,
            per_packet=self.per_packet,
        )


class DestinationTable(_Strict, frozen=True, kw_only=True):
    """The destination, as in `Site`."""

    address: str = "198.18.0.1"
    delay_ms: float = 1.0
    jitter_ms: float = 0.0
    loss: float = 0.0
    answers: tuple[Method, ...] = (Method.ICMP, Method.UDP, Method.TCP)
    answers_from: str | None = None
    closed_port: bool = False
    refuses: int | None = None
    answers_per_s: float | None = None
    answer_burst: int = 6
    doubles: float = 0.0
    straggles: float = 0.0
    straggle_ms: float = 0.0


class HostTable(_Strict, frozen=True, kw_only=True):
    """The measuring host: pauses (start, end), steps of its clock (when, by how much), interruption, faults."""

    stalls_ms: tuple[tuple[Milliseconds, Milliseconds], ...] = ()
    steps_ms: tuple[tuple[Milliseconds, Milliseconds], ...] = ()
    interrupted_at_ms: Milliseconds | None = None
    faults: HostFaults = HostFaults()


class BalanceTable(_Strict, frozen=True, kw_only=True):
    """A balanced hop that must be found."""

    ttl: int
    interfaces: int
    confidence_at_least: float = 0.95
    confidence_below: float = 1.0


class Expectation(_Strict, frozen=True, kw_only=True):
    """What must hold; what is not named is not looked at. That nothing is a lie is always looked at.

    Attributes:
        hops: the address of each hop, an empty text for a silent one, `a|b` for either.
        samples: the state of each ping sample, with its reason behind a colon when it has one.
        annotations, also, labels, mtus: by TTL.
        detail: a part of the words.
        wasted_at_most: probes with a TTL behind the true destination.
        honest: false where the host's stamps are broken on purpose, so that error bars cannot hold.
    """

    outcome: str | None = None
    reason: str | None = None
    reached: bool | None = None
    stop: str | None = None
    hops: tuple[str, ...] | None = None
    samples: tuple[str, ...] | None = None
    annotations: dict[str, str] = {}
    also: dict[str, tuple[str, ...]] = {}
    labels: dict[str, tuple[int, ...]] = {}
    mtus: dict[str, int] = {}
    answered_from: str | None = None
    path_mtu_bytes: int | None = None
    clock: str | None = None
    detail: str | None = None
    probes_at_most: int | None = None
    wasted_at_most: int | None = None
    rtt_ms: tuple[float, float] | None = None
    ends_within_ms: float | None = None
    balance: tuple[BalanceTable, ...] | None = None
    honest: bool = True


class Scenario(_Strict, frozen=True, kw_only=True):
    """One file: read it with `read_scenario`, run it with `play`."""

    title: str
    measure: Literal["ping", "trace", "multipath"]
    expect: Expectation
    seed: int = 1
    options: dict[str, object] = {}
    destination: DestinationTable = DestinationTable()
    hop: tuple[HopTable, ...] = ()
    loop_from: int | None = None
    black_hole: bool = False
    per_packet: bool = False
    reroute: tuple[RouteTable, ...] = ()
    host: HostTable = HostTable()

    def play(self, seed: int | None = None) -> "Played":
        """Run the measurement in a fresh simulated internet."""
        seed = self.seed if seed is None else seed
        first = RouteTable(
            hop=self.hop, loop_from=self.loop_from, black_hole=self.black_hole, per_packet=self.per_packet
        )
        routes = tuple(table.route() for table in (first, *self.reroute))
        site = Site(routes=routes, **msgspec.structs.asdict(self.destination))
        net = SimNet([site], seed)
        driver = SimDriver(net, clock=self._clock(), faults=self.host.faults, seed=seed)
        until = self.host.interrupted_at_ms
        machine = self._machine()
        job = driver.measure(machine, None if until is None else EPOCH + int(until * NS_PER_MS))
        return Played(self, net, job, machine)

    def _clock(self) -> SimClock:
        def instant(at_ms: Milliseconds) -> int:
            return EPOCH + int(at_ms * NS_PER_MS)

        return SimClock(
            [(instant(at), int(change * NS_PER_MS)) for at, change in self.host.steps_ms],
            [(instant(start), instant(end)) for start, end in self.host.stalls_ms],
        )

    def _machine(self) -> PingRound | TraceRun | MultipathRun:
        address = self.destination.address
        match self.measure:
            case "ping":
                return PingRound("sim", address, msgspec.convert(self.options, PingOptions))
            case "trace":
                return TraceRun("sim", address, msgspec.convert(self.options, TraceOptions))
            case "multipath":
                return MultipathRun("sim", address, msgspec.convert(self.options, MultipathOptions))


@dataclass
class Played:
    """A scenario after its run."""

    scenario: Scenario
    net: SimNet
    job: Job
    machine: PingRound | TraceRun | MultipathRun

    @property
    def measurement(self) -> Ping | Trace:
        """What the machine says."""
        return self.machine.result()

    def failures(self) -> list[str]:
        """Every expectation that does not hold, in words; empty when all is well."""
        expect, said = self.scenario.expect, self.measurement
        found = list(_compared(expect, said))
        if isinstance(said, Trace):
            found += _hop_failures(expect, said)
        elif expect.samples is not None:
            states = tuple(
                f"{sample.state}:{sample.reason}" if sample.reason else str(sample.state)
                for sample in said.samples
            )
            found += _differ("samples", expect.samples, states)
        found += self._cost()
        if expect.honest:
            found += self._lies()
        return found

    def _cost(self) -> Iterator[str]:
        expect, fates = self.scenario.expect, self.job.fates.values()
        if expect.probes_at_most is not None and len(fates) > expect.probes_at_most:
            yield f"{len(fates)} probes, {expect.probes_at_most} are enough"
        if expect.wasted_at_most is not None:
            length = self.net.length(self.scenario.destination.address, EPOCH) or 255
            wasted = sum(fate.ttl > length for fate in fates)
            if wasted > expect.wasted_at_most:
                yield f"{wasted} probes behind the destination, at most {expect.wasted_at_most} expected"
        if expect.ends_within_ms is not None:
            if self.job.finished_at is None:
                yield "never ended"
            elif self.job.finished_at - EPOCH > expect.ends_within_ms * NS_PER_MS:
                took = (self.job.finished_at - EPOCH) / NS_PER_MS
                yield f"took {took:.0f} ms, expected {expect.ends_within_ms:.0f}"

    def _lies(self) -> list[str]:
        ledger, said, machine = Ledger(), self.measurement, self.machine
        if isinstance(said, Ping) and isinstance(machine, PingRound):
            ledger.add_ping(self.job, said, machine.options.timeout_ns)
        elif isinstance(said, Trace) and isinstance(machine, TraceRun) and machine.done:
            ledger.add_trace(self.net, self.job, said, machine.flow, machine.options.timeout_ns)
        return ledger.lies


def read_scenario(text: str) -> Scenario:
    """The scenario in this TOML text; `Invalid` names the key that is wrong."""
    try:
        return msgspec.toml.decode(text, type=Scenario)
    except (msgspec.ValidationError, msgspec.DecodeError) as error:
        raise Invalid(f"not a scenario: {error}") from None


def _compared(expect: Expectation, said: Ping | Trace) -> Iterator[str]:
    """Plain fields, by name; `none` in the file is None here."""
    for name in ("outcome", "reason", "reached", "stop", "answered_from", "path_mtu_bytes", "clock"):
        wanted = getattr(expect, name)
        if wanted is not None:
            got = getattr(said, name, None)
            yield from _differ(name, None if wanted == "none" else wanted, got)
    if expect.detail is not None and expect.detail not in (said.detail or ""):
        yield f"detail {said.detail!r} does not say {expect.detail!r}"


def _hop_failures(expect: Expectation, trace: Trace) -> Iterator[str]:
    if expect.hops is not None:
        got = tuple(hop.address or "" for hop in trace.hops)
        fits = len(got) == len(expect.hops) and all(
            address in wanted.split("|") for address, wanted in zip(got, expect.hops, strict=True)
        )
        if not fits:
            yield f"hops are {list(got)}, expected {list(expect.hops)}"
    by_ttl = {str(hop.ttl): hop for hop in trace.hops}
    for ttl, note in expect.annotations.items():
        yield from _differ(f"annotation at {ttl}", note, by_ttl[ttl].annotation)
    for ttl, others in expect.also.items():
        yield from _differ(f"others at {ttl}", set(others), set(by_ttl[ttl].also))
    for ttl, labels in expect.labels.items():
        yield from _differ(f"labels at {ttl}", labels, tuple(entry.label for entry in by_ttl[ttl].labels))
    for ttl, mtu in expect.mtus.items():
        yield from _differ(f"MTU at {ttl}", mtu, by_ttl[ttl].mtu_bytes)
    if expect.rtt_ms is not None:
        low, high = expect.rtt_ms
        if trace.rtt_ns is None or not low <= trace.rtt_ns / NS_PER_MS <= high:
            yield f"round trip {trace.rtt_ns} ns, expected {low} to {high} ms"
    if expect.balance is not None:
        yield from _balance_failures(expect.balance, trace)


def _balance_failures(expected: tuple[BalanceTable, ...], trace: Trace) -> Iterator[str]:
    yield from _differ(
        "balanced hops",
        [(balance.ttl, balance.interfaces) for balance in expected],
        [(balance.ttl, len(balance.addresses)) for balance in trace.balances],
    )
    for wanted, got in zip(expected, trace.balances, strict=False):
        if not wanted.confidence_at_least <= got.confidence < wanted.confidence_below:
            yield f"confidence {got.confidence} at TTL {got.ttl}"


def _differ(name: str, wanted: object, got: object) -> Iterator[str]:
    if wanted != got:
        yield f"{name} is {got!r}, expected {wanted!r}"
