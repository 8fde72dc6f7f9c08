"""An internet in virtual time: routers, balancers, limits, silence and loss, and the truth about all of it."""

from bisect import bisect_right
from collections.abc import Iterable, Mapping
from hashlib import blake2b
from heapq import heappush
from math import sqrt
from random import Random
from typing import NamedTuple

import msgspec

from nettrace.model.instant import NS_PER_MS, NS_PER_S, Instant
from nettrace.model.measurement import Method
from nettrace.model.path import Flow, Label, Probe, Reply, ReplyKind

_HEADER_BYTES = {Method.ICMP: 28, Method.UDP: 28, Method.TCP: 40}
_INITIAL_TTL = 64

HALF_OPEN = "half-open"
"""A connection request met one of the same flow that its host has answered and not yet seen refused (RFC 9293, 3.10.7.4:
such a segment is answered with an acknowledgement of the first one, which names no probe)."""

SYN_ACK_AFTER_S = (0, 1, 3, 7, 15, 31)
"""When a host sends its answer to a request to connect, until it hears of it (RFC 6298: after 1 s, then doubling)."""


class Router(msgspec.Struct, frozen=True, kw_only=True):
    """One router interface.

    Attributes:
        delay_ms: one way, from the hop before.
        jitter_ms: added to a round trip over this link, at most, evenly.
        loss: chance that the link loses a packet, for each direction.
        silent: forwards, but never answers.
        answers_per_s: its limit for ICMP errors (Linux: 1), None for no limit; `answer_burst` at once.
        spent_until: until this instant others use up all the answers it grants.
        unreachable: ICMP code with which it refuses to forward, or None.
        mtu: bytes it can forward, or None.
        forwards_zero: the old bug: a packet whose TTL is spent goes on, and the next hop answers for it.
    """

    address: str
    delay_ms: float = 1.0
    jitter_ms: float = 0.0
    loss: float = 0.0
    silent: bool = False
    answers_per_s: float | None = None
    answer_burst: int = 6
    spent_until: Instant = 0
    unreachable: int | None = None
    mtu: int | None = None
    forwards_zero: bool = False
    labels: tuple[Label, ...] = ()


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """A way to the destination: at each stage one router, or several among which flows are balanced.

    Attributes:
        since: the instant from which this way is used.
        loop_from: index of the stage to which packets return after the last one, instead of arriving.
        black_hole: packets vanish after the last stage.
        per_packet: balancers choose anew for every packet (never for a flow).
    """

    stages: tuple[tuple[Router, ...], ...]
    since: Instant = 0
    loop_from: int | None = None
    black_hole: bool = False
    per_packet: bool = False


class Site(msgspec.Struct, frozen=True, kw_only=True):
    """A destination and the ways that lead to it.

    Attributes:
        routes: in the order of their `since`.
        answers: methods it answers; UDP by port unreachable.
        answers_from: another address it answers from, or None.
        closed_port: TCP is answered by a reset.
        refuses: ICMP code of an unreachable it sends itself instead of answering, or None.
        answers_per_s: limit on its ICMP errors, None for no limit.
        doubles: chance that an answer comes twice (the copy up to a second later).
        straggles: chance that an answer is held up by up to `straggle_ms`.
    """

    address: str
    routes: tuple[Route, ...]
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


class Fate(NamedTuple):
    """What really became of a probe.

    Attributes:
        lost: why no answer ever came (`lost`, `silent`, `limited`, `black hole`, `HALF_OPEN`), or None.
        arrives_at: when the answer reaches this host, or None.
        arrived: the probe itself reached the destination and was answered from there.
        copy_at: when a second copy of the answer comes, or None.
        repeats: answers before that one which the network lost; their sender repeats them by itself.
    """

    sent_at: Instant
    ttl: int
    lost: str | None
    arrives_at: Instant | None
    arrived: bool = False
    copy_at: Instant | None = None
    repeats: int = 0


class _Landing(NamedTuple):
    """Where a packet of one flow with one TTL ends, worked out once."""

    router: Router | None
    kind: ReplyKind
    travelled: int
    delay_ns: int
    jitter_ns: int
    survives: float
    narrow: tuple[Router, ...]
    quoted_ttl: int


Arrival = tuple[Instant, int, int, Reply]
"""When, a serial number, the sender's token, the answer (its `received_at` is the true instant)."""


class SimNet:
    """The network: takes probes, queues answers in `arrivals` (a heap), and knows the truth.

    Everything random comes from the seed, so a run repeats exactly.
    """

    def __init__(self, sites: Iterable[Site], seed: int = 0) -> None:
        self.sites: Mapping[str, Site] = {site.address: site for site in sites}
        self.arrivals: list[Arrival] = []
        self._random = Random(seed)
        self._serial = 0
        self._landings: dict[tuple[str, int, int, int], _Landing | None] = {}
        self._limits: dict[str, float] = {}
        self._half_open: dict[tuple[str, int], tuple[Instant, Instant]] = {}

    def send(self, at: Instant, probe: Probe, token: int = 0) -> Fate:
        """Take a probe at a true instant; its answers, if any, join `arrivals`."""
        site = self.sites[probe.address]
        epoch = _epoch(site, at)
        landing = self._landing(site, epoch, probe.flow, probe.ttl)
        if landing is None:
            return Fate(at, probe.ttl, "black hole", None)
        if landing.narrow:
            landing = self._squeezed(site, epoch, probe, landing)
        if landing.router is None and _listens(site, probe):
            return self._connect(site, landing, probe, at, token)
        random = self._random
        if landing.survives < 1.0 and random.random() >= landing.survives:
            return Fate(at, probe.ttl, "lost", None)
        arrives_at = at + landing.delay_ns
        if landing.jitter_ns:
            arrives_at += int(random.random() * landing.jitter_ns)
        reply = self._answer(site, landing, probe, (at + arrives_at) // 2, arrives_at)
        if isinstance(reply, str):
            return Fate(at, probe.ttl, reply, None)
        reply = self._held_up(site, reply)
        self._deliver(reply, token)
        copy_at = self._double(site, reply, token)
        return Fate(at, probe.ttl, None, reply.received_at, landing.router is None, copy_at)

    def _connect(self, site: Site, landing: _Landing, probe: Probe, at: Instant, token: int) -> Fate:
        """A request that arrives where somebody listens: its answer comes again until our kernel has refused the connection."""
        way_ns = (landing.delay_ns + int(self._random.random() * landing.jitter_ns)) // 2
        there_at = at + way_ns
        if self._drops(landing):
            return Fate(at, probe.ttl, "lost", None)
        if self._is_half_open(probe, there_at):
            return Fate(at, probe.ttl, HALF_OPEN, None)
        until = there_at + SYN_ACK_AFTER_S[-1] * NS_PER_S
        heard: list[Instant] = []
        copy_at: Instant | None = None
        repeats = 0
        for after_s in SYN_ACK_AFTER_S:
            if self._drops(landing):
                repeats += not heard
                continue
            reply = self._answer(site, landing, probe, there_at, there_at + way_ns + after_s * NS_PER_S)
            if isinstance(reply, str):
                return Fate(at, probe.ttl, reply, None)
            reply = self._held_up(site, reply)
            heard.append(self._deliver(reply, token))
            copy_at = self._double(site, reply, token) if len(heard) == 1 else copy_at
            if not self._drops(landing):
                until = heard[-1] + way_ns
                break
        self._half_open[probe.address, _flow_key(probe.flow)] = there_at, until
        if not heard:
            return Fate(at, probe.ttl, "lost", None)
        copy_at = copy_at or (heard[1] if len(heard) > 1 else None)
        return Fate(at, probe.ttl, None, heard[0], arrived=True, copy_at=copy_at, repeats=repeats)

    def _drops(self, landing: _Landing) -> bool:
        """True when one direction of the way there loses a packet."""
        return landing.survives < 1.0 and self._random.random() >= sqrt(landing.survives)

    def _double(self, site: Site, reply: Reply, token: int) -> Instant | None:
        """Where a site doubles its answers: when the copy comes."""
        if not site.doubles or self._random.random() >= site.doubles:
            return None
        copy_at = reply.received_at + int(self._random.random() * NS_PER_S)
        self._deliver(msgspec.structs.replace(reply, received_at=copy_at), token)
        return copy_at

    def _held_up(self, site: Site, reply: Reply) -> Reply:
        random = self._random
        if not site.straggles or random.random() >= site.straggles:
            return reply
        late_ns = int(random.random() * site.straggle_ms * NS_PER_MS)
        return msgspec.structs.replace(reply, received_at=reply.received_at + late_ns)

    def owners(self, address: str, flow: Flow, ttl: int, at: Instant) -> frozenset[str]:
        """Truth: the addresses that may rightly answer for this TTL of a flow at an instant."""
        site = self.sites[address]
        route = site.routes[_epoch(site, at)]
        landing = self._landing(site, _epoch(site, at), flow, ttl)
        if landing is None:
            return frozenset()
        if landing.router is None:
            return frozenset((site.answers_from or site.address,))
        if route.per_packet:
            stage = route.stages[min(landing.travelled, len(route.stages)) - 1]
            return frozenset(router.address for router in stage)
        return frozenset((landing.router.address,))

    def length(self, address: str, at: Instant) -> int | None:
        """Truth: hops to the destination at an instant, the destination counted; None when none leads there."""
        site = self.sites[address]
        route = site.routes[_epoch(site, at)]
        refused = any(router.unreachable is not None for stage in route.stages for router in stage)
        if route.loop_from is not None or route.black_hole or refused:
            return None
        return len(route.stages) + 1

    def responds(self, address: str, flow: Flow, ttl: int, at: Instant) -> bool:
        """Truth: whether whoever owns this TTL answers at all (limits and loss aside)."""
        site = self.sites[address]
        landing = self._landing(site, _epoch(site, at), flow, ttl)
        if landing is None:
            return False
        return flow.method in site.answers if landing.router is None else not landing.router.silent

    def _is_half_open(self, probe: Probe, at: Instant) -> bool:
        since, until = self._half_open.get((probe.address, _flow_key(probe.flow)), (0, 0))
        return since <= at < until

    def _deliver(self, reply: Reply, token: int) -> Instant:
        """Queue the answer; when it first reaches this host."""
        self._serial += 1
        heappush(self.arrivals, (reply.received_at, self._serial, token, reply))
        return reply.received_at

    def _answer(
        self, site: Site, landing: _Landing, probe: Probe, at: Instant, arrives_at: Instant
    ) -> Reply | str:
        """The answer of whoever the probe ended at, or why there is none."""
        router, kind, source, code, mtu = landing.router, landing.kind, site.address, 0, None
        labels: tuple[Label, ...] = ()
        if router is not None:
            if router.silent:
                return "silent"
            if at < router.spent_until:
                return "limited"
            if self._limited(router.address, router.answers_per_s, router.answer_burst, at):
                return "limited"
            source, labels = router.address, router.labels
            code = router.unreachable or 0 if kind is ReplyKind.UNREACHABLE else 0
            mtu = router.mtu if kind is ReplyKind.PACKET_TOO_BIG else None
        else:
            if probe.flow.method not in site.answers and site.refuses is None:
                return "silent"
            kind, code = _ending(site, probe)
            source = site.answers_from or site.address
            limited = kind is ReplyKind.UNREACHABLE
            if limited and self._limited(site.address, site.answers_per_s, site.answer_burst, at):
                return "limited"
        quotes = kind in (ReplyKind.TIME_EXCEEDED, ReplyKind.UNREACHABLE, ReplyKind.PACKET_TOO_BIG)
        return Reply(
            key=probe.key,
            kind=kind,
            source=source,
            received_at=arrives_at,
            code=code,
            reply_ttl=_INITIAL_TTL - landing.travelled + 1,
            quoted_ttl=landing.quoted_ttl if quotes else None,
            mtu_bytes=mtu,
            labels=labels,
        )

    def _limited(self, name: str, per_second: float | None, burst: int, at: Instant) -> bool:
        if per_second is None:
            return False
        period = NS_PER_S / per_second
        full_at = max(self._limits.get(name, 0.0), float(at))
        if full_at - at > period * (burst - 1):
            return True
        self._limits[name] = full_at + period
        return False

    def _landing(self, site: Site, epoch: int, flow: Flow, ttl: int) -> _Landing | None:
        route = site.routes[epoch]
        if route.per_packet:
            return _walk(site, route, flow, ttl, salt=self._random.getrandbits(32))
        key = (site.address, _flow_key(flow), epoch, ttl)
        if key not in self._landings:
            self._landings[key] = _walk(site, route, flow, ttl, salt=0)
        return self._landings[key]

    def _squeezed(self, site: Site, epoch: int, probe: Probe, landing: _Landing) -> _Landing:
        """The landing at the first router on the way whose next link the packet does not fit through."""
        size = probe.payload_bytes + _HEADER_BYTES[probe.flow.method] + (20 if ":" in probe.address else 0)
        for ttl in range(1, landing.travelled):
            before = self._landing(site, epoch, probe.flow, ttl)
            if before is None or before.router not in landing.narrow:
                continue
            if size > (before.router.mtu or size):
                return before._replace(kind=ReplyKind.PACKET_TOO_BIG)
        return landing


def _flow_key(flow: Flow) -> int:
    return (
        flow.source_port << 48 | flow.destination_port << 32 | flow.icmp_identifier << 16 | flow.icmp_checksum
    )


def _epoch(site: Site, at: Instant) -> int:
    if len(site.routes) == 1:
        return 0
    return max(0, bisect_right(site.routes, at, key=lambda route: route.since) - 1)


def _listens(site: Site, probe: Probe) -> bool:
    accepts = site.refuses is None and not site.closed_port and Method.TCP in site.answers
    return accepts and probe.flow.method is Method.TCP


def _ending(site: Site, probe: Probe) -> tuple[ReplyKind, int]:
    if site.refuses is not None:
        return ReplyKind.UNREACHABLE, site.refuses
    match probe.flow.method:
        case Method.ICMP:
            return ReplyKind.ECHO_REPLY, 0
        case Method.UDP:
            return ReplyKind.UNREACHABLE, 4 if ":" in probe.address else 3
        case Method.TCP:
            return (ReplyKind.RESET if site.closed_port else ReplyKind.SYN_ACK), 0


def _pick(stage: tuple[Router, ...], index: int, flow: Flow, address: str, salt: int) -> Router:
    if len(stage) == 1:
        return stage[0]
    seed = f"{salt}|{index}|{address}|{_flow_key(flow):x}|{flow.ipv6_flow_label}".encode()
    return stage[int.from_bytes(blake2b(seed, digest_size=4).digest()) % len(stage)]


def _walk(site: Site, route: Route, flow: Flow, ttl: int, salt: int) -> _Landing | None:
    """Follow a packet until its TTL is spent, it is refused, or it arrives; None when it vanishes."""
    delay_ms = jitter_ms = 0.0
    survives = 1.0
    narrow: tuple[Router, ...] = ()
    stages, count = route.stages, len(route.stages)
    hop, left = 0, ttl
    kind = ReplyKind.TIME_EXCEEDED
    while True:
        hop += 1
        index = hop - 1
        if index >= count:
            if route.loop_from is not None:
                index = route.loop_from + (index - count) % (count - route.loop_from)
            elif route.black_hole:
                return None
            else:
                break
        router = _pick(stages[index], index, flow, site.address, salt)
        delay_ms += router.delay_ms
        jitter_ms += router.jitter_ms
        survives *= (1.0 - router.loss) ** 2
        left -= 1
        spent = left <= 0 and not (router.forwards_zero and left == 0)
        if not spent and router.unreachable is not None:
            kind, spent = ReplyKind.UNREACHABLE, True
        if spent:
            return _landing(router, kind, hop, delay_ms, jitter_ms, survives, narrow, max(left + 1, 0))
        if router.mtu is not None:
            narrow = (*narrow, router)
    delay_ms += site.delay_ms
    jitter_ms += site.jitter_ms
    survives *= (1.0 - site.loss) ** 2
    return _landing(None, ReplyKind.ECHO_REPLY, hop, delay_ms, jitter_ms, survives, narrow, left)


def _landing(
    router: Router | None,
    kind: ReplyKind,
    hop: int,
    delay_ms: float,
    jitter_ms: float,
    survives: float,
    narrow: tuple[Router, ...],
    quoted_ttl: int,
) -> _Landing:
    return _Landing(
        router,
        kind,
        hop,
        int(2 * delay_ms * NS_PER_MS),
        int(jitter_ms * NS_PER_MS),
        survives,
        narrow,
        quoted_ttl,
    )
