"""Holds what machines said against what the simulator knows: every false loss, hop, end and error bar."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from nettrace.measure.tracing.flight import NO_ANSWER
from nettrace.model.instant import Instant
from nettrace.model.measurement import Ping, Sample, SampleState
from nettrace.model.path import Flow, Trace
from nettrace.testing.simdriver import Job
from nettrace.testing.simnet import HALF_OPEN, SimNet


@dataclass
class Ledger:
    """Counts over many measurements; `lies` holds each untruth in words."""

    probes: int = 0
    samples: int = 0
    answered: int = 0
    lost: int = 0
    not_measured: int = 0
    hops: int = 0
    silent_hops: int = 0
    traces: int = 0
    reached: int = 0
    pings: int = 0
    lies: list[str] = field(default_factory=list[str])

    def add_ping(self, job: Job, ping: Ping, timeout_ns: int) -> None:
        """Check a finished round."""
        self.pings += 1
        self.probes += len(job.fates)
        self._count(ping.samples)
        by_departure = sorted(job.fates.items())
        sent = [fate for _, fate in by_departure]
        keys = [key for key, _ in by_departure]
        flying = [sample for sample in ping.samples if sample.reason not in ("queue full", "not_permitted")]
        if len(flying) != len(sent):
            self.lies.append(f"{ping.address}: {len(flying)} samples of {len(sent)} packets")
            return
        for key, sample in zip(keys, flying, strict=True):
            self.lies += (
                f"{ping.address} #{key}: {lie}" for lie in sample_lies(job, key, sample, timeout_ns)
            )

    def add_trace(self, net: SimNet, job: Job, trace: Trace, flow: Flow, timeout_ns: int) -> None:
        """Check a finished trace: each sample, each hop's address, and where the path ends."""
        self.traces += 1
        self.reached += trace.reached
        self.probes += len(job.fates)
        self.hops += sum(hop.address is not None for hop in trace.hops)
        self.silent_hops += sum(hop.address is None for hop in trace.hops)
        for hop in trace.hops:
            self._count(hop.samples)
            keys = sorted(key for key, fate in job.fates.items() if fate.ttl == hop.ttl)
            flown = [sample for sample in hop.samples if sample.reason not in ("queue full", "not_permitted")]
            for key, sample in zip(keys, flown, strict=False):
                self.lies += (
                    f"{trace.address} TTL {hop.ttl} #{key}: {lie}"
                    for lie in sample_lies(job, key, sample, timeout_ns)
                )
        self.lies += (f"{trace.address}: {lie}" for lie in path_lies(net, job, trace, flow))

    def _count(self, samples: tuple[Sample, ...]) -> None:
        self.samples += len(samples)
        for sample in samples:
            self.answered += sample.state is SampleState.ANSWERED
            self.lost += sample.state is SampleState.LOST
            self.not_measured += sample.state is SampleState.NOT_MEASURED


def sample_lies(job: Job, key: int, sample: Sample, timeout_ns: int) -> Iterator[str]:
    """A loss that was none, an answer that never came, a round trip outside its own error bar."""
    fate = job.fates[key]
    in_time = fate.arrives_at is not None and fate.arrives_at < fate.sent_at + timeout_ns
    denied = sample.reason != NO_ANSWER and not fate.arrived
    if sample.state is SampleState.LOST and in_time and not denied:
        where = "dropped by this host" if key in job.dropped_here else "answered in time"
        yield f"false loss ({where})"
    if sample.state is SampleState.LOST and fate.lost == HALF_OPEN:
        yield "false loss (our own half-open connection was in the way)"
    if sample.state is not SampleState.ANSWERED or sample.rtt_ns is None:
        return
    if fate.arrives_at is None:
        yield "an answer nobody sent"
        return
    if fate.repeats:
        yield f"the round trip of an answer that came {fate.repeats} times before"
    arrivals = [fate.arrives_at, *([fate.copy_at] if key in job.dropped_here and fate.copy_at else [])]
    error = min(abs(sample.rtt_ns - (at - fate.sent_at)) for at in arrivals)
    if error > (sample.error_ns or 0):
        yield f"round trip off by {error} ns, bar says {sample.error_ns}"


def path_lies(net: SimNet, job: Job, trace: Trace, flow: Flow) -> Iterator[str]:
    """Hops that were not on the flow's path while it was traced, and ends that were not its end."""
    address = trace.address or ""
    instants = sorted({fate.sent_at for fate in job.fates.values()})
    for hop in trace.hops:
        if hop.address is None:
            continue
        answered = any(sample.state is SampleState.ANSWERED for sample in hop.samples)
        # A destination known only by a quoted TTL is claimed for the moment of that quote.
        sent = [fate.sent_at for fate in job.fates.values() if fate.ttl == hop.ttl or not answered]
        true = _owners(net, address, flow, hop.ttl, sent)
        for claimed in (hop.address, *hop.also):
            if claimed not in true:
                yield f"false hop {claimed} at TTL {hop.ttl}, true {sorted(true)}"
    if [hop.ttl for hop in trace.hops] != list(range(1, len(trace.hops) + 1)):
        yield f"TTLs {[hop.ttl for hop in trace.hops]} have gaps"
    if trace.reached:
        # A path that changes under the trace may be seen half old, half new, so in between, never outside.
        lengths = {net.length(address, at) or 0 for at in instants}
        if not min(lengths) <= len(trace.hops) <= max(lengths):
            yield f"{len(trace.hops)} hops to the destination, true {lengths}"


def missing_hops(net: SimNet, trace: Trace, flow: Flow, at: Instant) -> list[int]:
    """TTLs whose owner would have answered, yet the trace shows nobody or somebody else there."""
    address = trace.address or ""
    length = net.length(address, at) or 0
    shown = {hop.ttl: hop.address for hop in trace.hops}
    return [
        ttl
        for ttl in range(1, length + 1)
        if net.responds(address, flow, ttl, at) and shown.get(ttl) not in net.owners(address, flow, ttl, at)
    ]


def _owners(net: SimNet, address: str, flow: Flow, ttl: int, instants: list[Instant]) -> set[str]:
    return {owner for at in instants for owner in net.owners(address, flow, ttl, at)}
