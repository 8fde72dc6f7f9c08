"""A node's whole day in virtual time: many targets, real cadence, everything that can go wrong, every lie counted."""

import msgspec

from nettrace.measure.tracing.ping import PingOptions, PingRound
from nettrace.measure.tracing.trace import TraceOptions, TraceRun
from nettrace.model.instant import NS_PER_S, Instant
from nettrace.model.measurement import Method
from nettrace.testing.honesty import Ledger, missing_hops
from nettrace.testing.simdriver import EPOCH, HostFaults, Job, SimDriver
from nettrace.testing.simnet import SimNet, Site
from nettrace.testing.simworld import WorldShape, random_clock, random_sites

_METHODS = tuple(Method)


class Day(msgspec.Struct, frozen=True, kw_only=True):
    """What the node does and suffers.

    Attributes:
        pings_every_s, traces_every_s: cadence of each target; a round has `pings` probes a second apart.
        steps_per_day: how often the system clock is set, by a millisecond to an hour.
        stalls_per_day: pauses of 5 ms to 5 s.
    """

    hours: float = 24.0
    world: WorldShape = WorldShape()
    pings_every_s: int = 60
    pings: int = 5
    traces_every_s: int = 600
    steps_per_day: int = 200
    stalls_per_day: int = 2000
    faults: HostFaults = HostFaults(stamp_missing=0.01, stamp_late_ms=60.0, refused=0.001)


def live(day: Day, seed: int) -> Ledger:
    """Live through the day and return the ledger; its `lies` should be empty."""
    share = day.hours / 24
    world = msgspec.structs.replace(day.world, days=share)
    sites = random_sites(world, seed)
    net = SimNet(sites, seed)
    clock = random_clock(
        seed,
        hours=day.hours,
        steps=round(day.steps_per_day * share),
        stalls=round(day.stalls_per_day * share),
    )
    driver = SimDriver(net, clock=clock, faults=day.faults, seed=seed)
    node = _Node(day, net, driver)
    for number, site in enumerate(sites):
        node.take_on(site, number, len(sites))
    driver.run()
    return node.ledger


class _Node:
    def __init__(self, day: Day, net: SimNet, driver: SimDriver) -> None:
        self.day = day
        self.net = net
        self.driver = driver
        self.ledger = Ledger()
        self._ends_at = EPOCH + int(day.hours * 3600 * NS_PER_S)

    def take_on(self, site: Site, number: int, count: int) -> None:
        """Begin with a target; targets are spread over the period so that nothing bursts."""
        method = _METHODS[number % len(_METHODS)]
        phase = number * NS_PER_S // count
        self._ping(site, method, EPOCH + phase * self.day.pings_every_s)
        self._trace(site, method, EPOCH + phase * self.day.traces_every_s, 0)

    def _ping(self, site: Site, method: Method, at: Instant) -> None:
        if at >= self._ends_at:
            return
        # Rounds by TCP are connections of the kernel's, not of a machine.
        method = Method.ICMP if method is Method.TCP else method
        options = PingOptions(method=method, count=self.day.pings)
        machine = PingRound(site.address, site.address, options)

        def done(job: Job) -> None:
            self.ledger.add_ping(job, machine.result(), options.timeout_ns)
            self._ping(site, method, at + self.day.pings_every_s * NS_PER_S)

        self.driver.add(lambda: machine, at, done)

    def _trace(self, site: Site, method: Method, at: Instant, number: int) -> None:
        if at >= self._ends_at:
            return
        # The canonical flow every other time, the others in turn: diversity without forgetting.
        flow = 0 if number % 2 else number // 2 % 7 + 1
        options = TraceOptions(method=method, flow_number=flow, probes_per_hop=1 + number % 2)
        machine = TraceRun(site.address, site.address, options)

        def done(job: Job) -> None:
            self.ledger.add_trace(self.net, job, machine.result(), machine.flow, options.timeout_ns)
            self._trace(site, method, at + self.day.traces_every_s * NS_PER_S, number + 1)

        self.driver.add(lambda: machine, at, done)


class Pairs(msgspec.Struct, frozen=True, kw_only=True):
    """How many traces showed every hop that answers, exactly; and what the others missed, in words."""

    traced: int
    exact: int
    hops: int
    missing: tuple[str, ...]


def walk_pairs(count: int, seed: int, every_s: float = 1.5) -> Pairs:
    """Trace `count` destinations of one random internet, one after the other, and compare with the truth.

    Three attempts a hop: with a loss of 0.5% a round trip, one hop in eight million would stay unseen by chance.
    """
    sites = random_sites(WorldShape(sites=count, dark=0.0, changes_per_day=0.0), seed)
    net = SimNet(sites, seed)
    driver = SimDriver(net, seed=seed)
    missing: list[str] = []
    exact = hops = 0

    def begin(site: Site, number: int) -> None:
        options = TraceOptions(method=_METHODS[number % 3], flow_number=number % 5, attempts=3)
        machine = TraceRun(site.address, site.address, options)

        def done(_: Job) -> None:
            nonlocal exact, hops
            trace = machine.result()
            gaps = missing_hops(net, trace, machine.flow, EPOCH)
            length = net.length(site.address, EPOCH)
            hops += sum(hop.address is not None for hop in trace.hops)
            exact += not gaps and len(trace.hops) == length
            if gaps or len(trace.hops) != length:
                missing.append(f"{site.address}: {len(trace.hops)} of {length} hops, without {gaps}")

        driver.add(lambda: machine, EPOCH + int(number * every_s * NS_PER_S), done)

    for number, site in enumerate(sites):
        begin(site, number)
    driver.run()
    return Pairs(traced=count, exact=exact, hops=hops, missing=tuple(missing))
