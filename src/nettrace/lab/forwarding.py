"""The lab's data plane: one packet in, deliveries with deadlines out. No socket, no clock.

A packet's walk is arithmetic: its flow's path is compiled once, and the TTL says at which hop it ends.
"""

from collections.abc import Iterator
from itertools import count
from random import Random

from nettrace.lab import icmp
from nettrace.lab.fabric import Host, Router
from nettrace.lab.paths import Hop, Path, Paths, flow_hash
from nettrace.lab.world import RateLimit

Delivery = tuple[int, str, bytes]
"""(deadline in ns, port, packet). A port is a vantage's code, or `INTERNET`."""

INTERNET = "*internet*"
"""The port behind which all targets live."""

_TCP, _ICMP, _ICMP6 = 6, 1, 58
_ERRORS4 = {3, 4, 5, 11, 12}
_KEPT_FLOWS = 50_000
_SHORTEST = 24
_SYN, _SYN_ACK = 0x02, 0x12


class Counters:
    """What became of packets; for the lab's own truth about itself."""

    __slots__ = ("delivered", "expired", "lost", "refused", "silent", "throttled", "unroutable")

    def __init__(self) -> None:
        self.delivered = self.expired = self.lost = self.silent = 0
        self.throttled = self.unroutable = self.refused = 0


class _Verdict:
    """A compiled flow."""

    __slots__ = ("count", "hops", "path", "port", "rule", "sender_port")

    def __init__(self, path: Path, rule: str) -> None:
        self.path = path
        self.hops = path.hops
        self.count = len(path.hops)
        self.rule = rule
        self.port = port_of(path.end)
        self.sender_port = port_of(path.sender)


class Forwarder:
    """Forwards packets over the world's paths.

    Loss and jitter come from the given seed in packet order; everything else depends on the packet alone.
    """

    def __init__(self, paths: Paths, seed: int) -> None:
        self.paths = paths
        self.counters = Counters()
        self._random = Random(seed)
        self._flows: dict[bytes, _Verdict] = {}
        self._buckets: dict[tuple[Router, bytes], list[float]] = {}
        self._numbers: dict[Router, Iterator[int]] = {}

    def warm(self) -> None:
        """Walk every pair once, so that first packets find their routers' ways back computed."""
        topology = self.paths.topology
        for vantage in topology.vantages.values():
            for target in topology.targets.values():
                for here, there in ((vantage.address4, target.address4), (vantage.address6, target.address6)):
                    if here and there:
                        self.paths.forward(here, there, flow_hash(here, there, _ICMP, bytes(4)))
                        self.paths.forward(there, here, flow_hash(there, here, _ICMP, bytes(4)))

    def reroute(self, paths: Paths) -> None:
        """Forward over other paths from now on; packets under way stay under way."""
        self.paths = paths
        self._flows.clear()

    def handle(self, packet: bytes, now: int) -> list[Delivery]:
        """What one packet that enters at `now` (ns) leads to: at most a few deliveries, often none.

        What is no IP packet with a transport header, or carries IPv4 options, is dropped.
        """
        if len(packet) < _SHORTEST:
            return []
        first = packet[0]
        if first == 0x45:
            ttl = packet[8]
            key = packet[9:10] + packet[12:24]
            if packet[6] & 0x1F or packet[7]:
                key = packet[9:10] + packet[12:20]  # a later fragment shows no ports
        elif first >> 4 == 6 and len(packet) >= 48:
            ttl = packet[7]
            key = packet[6:7] + packet[8:44] + packet[1:4]
        else:
            return []
        flow = self._flows.get(key)
        if flow is None:
            flow = self._compile(packet, key)
        if ttl <= flow.count:
            return self._expire(packet, flow, flow.hops[ttl - 1], now) if ttl else []
        if flow.rule != "deliver":
            return self._refuse(packet, flow, now)
        if len(packet) > flow.path.mtu:
            return self._too_big(packet, flow, now)
        return self._deliver(packet, flow, now)

    def _compile(self, packet: bytes, key: bytes) -> _Verdict:
        four = packet[0] >> 4 == 4
        protocol = key[0]
        source, destination = (packet[12:16], packet[16:20]) if four else (packet[8:24], packet[24:40])
        label = 0 if four else int.from_bytes(packet[1:4]) & 0xFFFFF
        first4 = (key[9:13] or b"\0\0\0\0") if four else key[33:37]
        path = self.paths.forward(
            source, destination, flow_hash(source, destination, protocol, first4, label)
        )
        port = int.from_bytes(first4[2:4]) if protocol == _TCP else -1
        verdict = _Verdict(path, _rule(path, port))
        if len(self._flows) >= _KEPT_FLOWS:
            self._flows.clear()
        self._flows[key] = verdict
        return verdict

    def _deliver(self, packet: bytes, flow: _Verdict, now: int) -> list[Delivery]:
        path = flow.path
        due = now + path.delay_ns
        if path.impairments:
            late = self._impaired(path.impairments)
            if late < 0:
                return []
            due = path.due_ns = max(due + late, path.due_ns + 1)
        self.counters.delivered += 1
        return [(due, flow.port, _aged(packet, flow.count))]

    def _expire(self, packet: bytes, flow: _Verdict, hop: Hop, now: int) -> list[Delivery]:
        if hop.router.silent:
            self.counters.silent += 1
            return []
        four = packet[0] >> 4 == 4
        what = icmp.TIME_EXCEEDED if four else icmp.TIME_EXCEEDED6
        made = self._answer(icmp.as_expired(packet), flow, hop, now, what, labels=hop.labels)
        self.counters.expired += len(made)
        return made

    def _refuse(self, packet: bytes, flow: _Verdict, now: int) -> list[Delivery]:
        self.counters.refused += 1
        four = packet[0] >> 4 == 4
        if flow.rule == "reset":
            return self._reset(packet, now)
        if flow.rule == "drop" or not flow.hops:
            return []
        if flow.rule == "prohibited":
            what = icmp.PROHIBITED if four else icmp.PROHIBITED6
        else:
            self.counters.unroutable += 1
            what = icmp.NET_UNREACHABLE if four else icmp.NO_ROUTE6
        return self._answer(_aged(packet, flow.count - 1), flow, flow.hops[-1], now, what)

    def _reset(self, packet: bytes, now: int) -> list[Delivery]:
        four = packet[0] >> 4 == 4
        start = (packet[0] & 15) * 4 if four else 40
        if len(packet) < start + 20 or packet[start + 13] & _SYN_ACK != _SYN:
            return []
        made = icmp.reset4(packet) if four else icmp.reset6(packet)
        there = self._flows[
            packet[9:10] + packet[12:24] if four else packet[6:7] + packet[8:44] + packet[1:4]
        ]
        return self.handle(made, now + there.path.delay_ns)

    def _too_big(self, packet: bytes, flow: _Verdict, now: int) -> list[Delivery]:
        hop = next(hop for hop in flow.hops if hop.mtu < len(packet))
        if packet[0] >> 4 == 6:
            return self._answer(packet, flow, hop, now, icmp.TOO_BIG6, mtu=hop.mtu)
        if packet[6] & 0x40:
            return self._answer(packet, flow, hop, now, icmp.FRAGMENTATION_NEEDED, mtu=hop.mtu)
        pieces = icmp.fragments(packet, flow.path.mtu)
        return [delivery for piece in pieces for delivery in self._deliver(piece, flow, now)]

    def _answer(
        self,
        seen: bytes,
        flow: _Verdict,
        hop: Hop,
        now: int,
        what: tuple[int, int],
        *,
        labels: tuple[tuple[int, int], ...] = (),
        mtu: int = 0,
    ) -> list[Delivery]:
        way, router = hop.back, hop.router
        if way is None or not way.reaches or _is_error(seen):
            return []
        late = self._impaired(flow.path.impairments[: hop.exposed]) if hop.exposed else 0
        if late < 0:
            return []
        four = seen[0] >> 4 == 4
        asker = seen[12:16] if four else seen[8:24]
        if router.limit and not self._token(router, router.limit, asker, now + hop.forward_ns):
            self.counters.throttled += 1
            return []
        back = self._impaired(way.impairments) if way.impairments else 0
        if back < 0:
            return []
        ttl = max(1, router.reply_ttl - way.hops)
        if four:
            numbers = self._numbers.get(router)
            if numbers is None:
                numbers = self._numbers[router] = count(router.salt & 0xFFFF)
            made = icmp.error4(
                seen,
                hop.address,
                what,
                ttl=ttl,
                number=next(numbers) & 0xFFFF,
                quote_bytes=router.quote_bytes,
                labels=labels,
                mtu=mtu,
            )
        else:
            made = icmp.error6(seen, hop.address, what, hop_limit=ttl, labels=labels, mtu=mtu)
        return [(now + hop.forward_ns + way.delay_ns + late + back, flow.sender_port, made)]

    def _token(self, router: Router, limit: RateLimit, asker: bytes, now: int) -> bool:
        key = (router, asker if limit.per_peer else b"")
        bucket = self._buckets.get(key)
        if bucket is None:
            bucket = self._buckets[key] = [float(limit.burst), float(now)]
        tokens = min(limit.burst, bucket[0] + (now - bucket[1]) * limit.per_second / 1e9)
        bucket[1] = now
        bucket[0] = tokens - 1 if tokens >= 1 else tokens
        return tokens >= 1

    def _impaired(self, impairments: tuple[tuple[float, int], ...]) -> int:
        """Extra delay in ns over these links, or -1 when one of them loses the packet."""
        late = 0
        for loss, jitter_ns in impairments:
            if loss and self._random.random() < loss:
                self.counters.lost += 1
                return -1
            if jitter_ns:
                late += int(self._random.expovariate(1 / jitter_ns))
        return late


def port_of(host: Host | None) -> str:
    """Behind which port an address's owner is."""
    return host.vantage.code if host is not None and host.vantage is not None else INTERNET


def _rule(path: Path, tcp_port: int) -> str:
    if not path.reaches:
        return "no-route"
    target = path.end.target if path.end else None
    if target is None:
        return "deliver"
    if target.dark or tcp_port in target.filtered:
        return "drop"
    if target.prohibited:
        return "prohibited"
    return "reset" if tcp_port in target.closed else "deliver"


def _aged(packet: bytes, hops: int) -> bytes:
    """The packet behind so many routers: TTL and header checksum to match (RFC 1624 by arithmetic)."""
    if hops == 0:
        return packet
    if packet[0] >> 4 == 6:
        return packet[:7] + bytes((packet[7] - hops,)) + packet[8:]
    total = (packet[10] << 8 | packet[11]) + (hops << 8)
    total = (total & 0xFFFF) + (total >> 16)
    return b"".join((packet[:8], bytes((packet[8] - hops, packet[9], total >> 8, total & 0xFF)), packet[12:]))


def _is_error(packet: bytes) -> bool:
    """Errors are never answered with errors (RFC 1122 3.2.2, RFC 4443 2.4)."""
    if packet[0] >> 4 == 6:
        return packet[6] == _ICMP6 and packet[40] < 128
    if packet[9] != _ICMP:
        return bool(packet[6] & 0x1F or packet[7])
    start = (packet[0] & 15) * 4
    return packet[start] in _ERRORS4 if len(packet) > start else False
