"""The shape of the emulated net as pure functions: what router.c answers, said in Python.

A `Net` is the whole configuration; with a seed it fixes every path, silence and limit. The functions here are
those of router.c line for line (tests/unit/bench/test_net.py compares the two), so a benchmark knows the
expected hop of every probe without asking anything.
"""

from dataclasses import dataclass, fields
from ipaddress import IPv4Address, IPv6Address, ip_address

MASK = (1 << 64) - 1
GOLDEN = 0x9E3779B97F4A7C15
SOURCE4 = "10.200.0.1"
SOURCE6 = "fd00:200::1"
TARGETS4 = int(IPv4Address("10.201.0.0"))
TARGETS6 = int(IPv6Address("fd00:201::"))
ROUTERS4 = int(IPv4Address("11.0.0.0"))
ROUTERS6 = int(IPv6Address("fd00:202::"))


@dataclass(frozen=True)
class Net:
    """Parameters of the emulated net.

    Attributes:
        hops_min, hops_max: path lengths, the target counted; drawn evenly for each target.
        hop_us: round-trip time each hop adds.
        ecmp: ways a flow may take through each diamond (hops 2-3, 7-8, 12-13 ...); 1 is none.
        fan_bits: the tree of routers splits in 2^fan_bits at each hop; 15 and more gives every target its own.
        silent_routers, silent_targets: share that never answers.
        loss: share of probes that are dropped.
        limit_per_s, limit_burst: ICMP errors each router (and target) may send; 0 is without limit.
    """

    seed: int = 1
    hops_min: int = 12
    hops_max: int = 12
    hop_us: float = 2000.0
    ecmp: int = 1
    fan_bits: int = 2
    silent_routers: float = 0.0
    silent_targets: float = 0.0
    loss: float = 0.0
    jitter_us: float = 0.0
    limit_per_s: float = 0.0
    limit_burst: float = 6.0

    def parameters(self) -> list[str]:
        """The words router.c reads."""
        return [f"{field.name}={getattr(self, field.name)}" for field in fields(self)]

    def target(self, number: int, family: int = 4) -> str:
        """Address of target `number` (0-65535)."""
        return str(IPv4Address(TARGETS4 + number) if family == 4 else IPv6Address(TARGETS6 + number))

    def targets(self, count: int, family: int = 4) -> list[str]:
        """The first `count` targets, 10.201.0.1 onwards."""
        return [self.target(number, family) for number in range(1, count + 1)]

    def _draw(self, purpose: int, what: int) -> int:
        return mix(mix(self.seed, purpose), what)

    def _chance(self, purpose: int, what: int, share: float) -> bool:
        return (self._draw(purpose, what) >> 11) / (1 << 53) < share

    def length(self, address: str) -> int:
        """Hops to the target, itself counted."""
        return self.hops_min + self._draw(1, _number(address)) % (self.hops_max - self.hops_min + 1)

    def answers(self, address: str) -> bool:
        """True when the target is not one of the silent ones."""
        return not self._chance(5, _number(address), self.silent_targets)

    def router(self, hop: int, address: str, flow: int) -> int:
        """Number of the router at `hop` for a flow, whether it answers or not."""
        target = _number(address)
        group = self._draw(2, target) & ((1 << min(hop * self.fan_bits, 30)) - 1)
        balanced = self.ecmp > 1 and hop % 5 in (2, 3)
        branch = mix(flow, hop // 5) % self.ecmp if balanced else 0
        return hop << 19 | (self._draw(3, hop << 48 | group << 8 | branch) & 0x7FFFF)

    def flow(self, source: str, address: str, proto: int, word: int, label: int = 0) -> int:
        """What the net hashes: addresses, protocol, the first four transport bytes and the IPv6 flow label."""
        mixed = mix(mix(self.seed, _word(source)), _word(address))
        return mix(mixed, proto << 52 | label << 32 | word)

    def silent(self, router: int) -> bool:
        """True when the router never answers."""
        return self._chance(4, router, self.silent_routers)

    def path(self, source: str, address: str, proto: int, word: int, label: int = 0) -> list[str | None]:
        """The addresses that answer at TTL 1, 2 ... up to the target; None where nothing ever does."""
        flow = self.flow(source, address, proto, word, label)
        routers = [self.router(hop, address, flow) for hop in range(1, self.length(address))]
        six = ":" in address
        hops = [None if self.silent(router) else router_address(router, six=six) for router in routers]
        return [*hops, address if self.answers(address) else None]

    def branches(self, address: str, hop: int) -> list[str | None]:
        """What answers at `hop` for each way through its diamond (one way where there is none)."""
        six = ":" in address
        group = self._draw(2, _number(address)) & ((1 << min(hop * self.fan_bits, 30)) - 1)
        ways = self.ecmp if hop % 5 in (2, 3) else 1
        numbers = [
            hop << 19 | (self._draw(3, hop << 48 | group << 8 | branch) & 0x7FFFF) for branch in range(ways)
        ]
        return [None if self.silent(number) else router_address(number, six=six) for number in numbers]

    def choices(self, address: str) -> list[set[str]]:
        """For each TTL before the target, every address any flow may see there; empty when all are silent."""
        return [
            {branch for branch in self.branches(address, hop) if branch}
            for hop in range(1, self.length(address))
        ]


def mix(a: int, b: int) -> int:
    """splitmix64 of two words (Steele, Lea, Flood, OOPSLA 2014)."""
    z = ((a ^ (b * GOLDEN & MASK)) + GOLDEN) & MASK
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 & MASK
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB & MASK
    return z ^ (z >> 31)


def router_address(number: int, *, six: bool = False) -> str:
    """The address a router answers from."""
    return str(IPv6Address(ROUTERS6 + number) if six else IPv4Address(ROUTERS4 + number))


def _number(address: str) -> int:
    return int(ip_address(address)) & 0xFFFF


def _word(address: str) -> int:
    packed = int(ip_address(address))
    return mix(packed >> 64, packed & MASK) if ":" in address else packed
