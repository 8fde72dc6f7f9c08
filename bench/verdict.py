"""What a tool reported against what the device saw: errors, false losses, bars that hold, hops that are right."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache

from bench.capture import UDP, Probe
from bench.figure import nearest_rank
from bench.net import SOURCE4, SOURCE6, Net
from bench.rivals import Key, Report


@dataclass
class Verdict:
    """Reported round trips beside true ones, microseconds.

    Attributes:
        errors: reported minus true, one for each probe both know.
        false_losses: probes reported lost whose answer reached the device.
        outside: samples whose stated bar does not contain the truth; `bars` counts the stated bars.
        unmatched: probes on the wire that the tool said nothing about.
    """

    errors: list[float] = field(default_factory=list)
    false_losses: int = 0
    bars: int = 0
    outside: int = 0
    unmatched: int = 0

    def error(self, fraction: float) -> float | None:
        """The quantile of |error|, nearest rank."""
        return nearest_rank([abs(error) for error in self.errors], fraction)

    @property
    def bar_holds(self) -> float | None:
        """Share of stated bars that contain the truth, in percent."""
        return 100 * (1 - self.outside / self.bars) if self.bars else None


def truth_by_key(probes: Iterable[Probe], *, by_ttl: bool) -> dict[Key, list[Probe]]:
    """Probes on the wire by target and TTL (or by target alone, TTL 0) in sending order.

    By TTL, what reached the target is left out: tools send it with any TTL that is high enough and report it
    at the one they deem its place, so the value cannot be traced back to its probe.
    """
    found: defaultdict[Key, list[Probe]] = defaultdict(list)
    for probe in probes:
        if not by_ttl or probe.answered_by != probe.target:
            found[(probe.target, probe.ttl if by_ttl else 0)].append(probe)
    return found


def judge(report: Report, truth: dict[Key, list[Probe]], resolution_us: float = 0.0) -> Verdict:
    """Errors, false losses and bars, probe by probe: the n-th value reported for a key is the n-th probe sent to it.

    Args:
        report: what the tool said.
        truth: what the device saw.
        resolution_us: half of the last digit the tool prints; granted to stated bars, not to errors.
    """
    verdict = Verdict()
    for key, sent in truth.items():
        said = report.rtts.get(key, [])
        bars = report.bars.get(key, [])
        verdict.unmatched += max(0, len(sent) - len(said))
        for number, (value, probe) in enumerate(zip(said, sent, strict=False)):
            if value is None:
                verdict.false_losses += probe.rtt is not None
            elif probe.rtt is not None:
                error = value - probe.rtt / 1000
                verdict.errors.append(error)
                bar = bars[number] if number < len(bars) else None
                if bar is not None:
                    verdict.bars += 1
                    verdict.outside += abs(error) > bar + resolution_us
    return verdict


@dataclass(frozen=True)
class Hops:
    """How many of the hops that can be seen were reported, and how many reported ones cannot stand there.

    Attributes:
        right: (target, TTL) cells with the address that the tool's flow meets there.
        wrong: cells with any other.
        visible: cells where something answers that flow.
        routes: targets whose every visible hop is right and which have no wrong one.
    """

    right: int
    wrong: int
    visible: int
    routes: int

    @property
    def share(self) -> float:
        """Percent of visible cells that were reported right."""
        return 100 * self.right / self.visible if self.visible else 0.0


def judge_hops(report: Report, net: Net, targets: Sequence[str]) -> Hops:
    """Compare hop lists with the path of the very flow the tool says it used, every TTL up to the target.

    A tool that changes its flow within one trace therefore reports wrong hops wherever paths part (Augustin et
    al., "Avoiding traceroute anomalies with Paris traceroute", IMC 2006).
    """
    right = wrong = visible = routes = 0
    for target in targets:
        expected = path_of(net, target, *report.flows.get(target, (UDP, 0)))
        before = (right, wrong, visible)
        for ttl, address in enumerate(expected, 1):
            said = report.hops.get((target, ttl), set())
            visible += address is not None
            right += address in said
            wrong += bool(said - {address})
        routes += wrong == before[1] and right - before[0] == visible - before[2]
    return Hops(right, wrong, visible, routes)


@cache
def path_of(net: Net, target: str, proto: int, word: int) -> tuple[str | None, ...]:
    """The path of one flow from the emulator's prober."""
    return tuple(net.path(SOURCE6 if ":" in target else SOURCE4, target, proto, word))
