"""Paths: what is sent to discover them, what comes back, and what is concluded."""

from enum import StrEnum

import msgspec

from nettrace.model.instant import Instant
from nettrace.model.measurement import Clock, Grade, Measurement, Method, Sample


class Flow(msgspec.Struct, frozen=True, kw_only=True):
    """What a load balancer hashes, and so what must not change during one trace (Paris traceroute).

    Augustin et al., "Avoiding traceroute anomalies with Paris traceroute", IMC 2006. UDP and TCP flows are
    their two ports; an ICMP flow is its identifier and checksum; IPv6 adds the flow label (RFC 6438).

    Attributes:
        number: which flow of the endpoint: 0 is the canonical one and never changes.
        icmp_checksum: the constant ICMP checksum, held by two payload bytes.
        ipv6_flow_label: 20 bits; 0 on IPv4.
    """

    number: int
    method: Method
    source_port: int
    destination_port: int
    icmp_identifier: int
    icmp_checksum: int
    ipv6_flow_label: int


class Probe(msgspec.Struct, frozen=True, gc=False):
    """One packet a machine asks for.

    Attributes:
        key: the machine's own name for it, unique within the machine.
        ttl: IPv4 time to live or IPv6 hop limit.
        payload_bytes: bytes behind the transport header; 56 has room for the note that says who probes.
    """

    key: int
    address: str
    flow: Flow
    ttl: int
    payload_bytes: int = 56


class Departure(msgspec.Struct, frozen=True, gc=False):
    """A probe was seen to leave (or, with `sent_at` None, could not be sent and `reason` says why).

    Attributes:
        error_ns: half-width of the bar around `sent_at`.
    """

    key: int
    sent_at: Instant | None
    error_ns: int
    grade: Grade
    reason: str | None = None


class ReplyKind(StrEnum):
    """What an answer says."""

    ECHO_REPLY = "echo_reply"
    TIME_EXCEEDED = "time_exceeded"
    UNREACHABLE = "unreachable"
    PACKET_TOO_BIG = "packet_too_big"
    SYN_ACK = "syn_ack"
    RESET = "reset"
    UDP_ANSWER = "udp_answer"


class Label(msgspec.Struct, frozen=True):
    """One MPLS label stack entry of a time-exceeded message (RFC 4950)."""

    label: int
    traffic_class: int
    bottom: bool
    ttl: int


class Reply(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """An answer that was matched to a probe and verified to be one.

    Attributes:
        source: the address that answered.
        code: the ICMP code (of `UNREACHABLE`: 0 net, 1 host, 3 port, 9/10/13 prohibited; IPv6 differs), else 0.
        error_ns: half-width of the stamp: 0 from the kernel.
        reply_ttl: TTL the answer arrived with, or None: tells the return path's length.
        quoted_ttl: TTL left in the quoted probe, or None: tells the forward path's length.
        mtu_bytes: next-hop MTU of "packet too big"/"fragmentation needed", else None.
        rewritten: the quote differs from what was sent where only a NAT would write.
    """

    key: int
    kind: ReplyKind
    source: str
    received_at: Instant
    error_ns: int = 0
    grade: Grade = Grade.KERNEL
    code: int = 0
    reply_ttl: int | None = None
    quoted_ttl: int | None = None
    mtu_bytes: int | None = None
    labels: tuple[Label, ...] = ()
    rewritten: bool = False


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Where something probably stands, and why we think so.

    Attributes:
        radius_km: error radius around the coordinates.
        evidence: `rdns`, `ixp`, `database`, `registry` or `given`, with what it was read from.
    """

    name: str
    latitude: float
    longitude: float
    country: str | None = None
    radius_km: float
    evidence: str


class Hop(msgspec.Struct, frozen=True, kw_only=True):
    """What answered at one TTL; `address` is None when nothing did.

    Attributes:
        samples: one per probe, in sending order.
        also: other addresses that answered at this TTL.
        annotation: `!H`, `!N`, `!X` ... as traceroute prints unreachable codes, or None.
        inferred_from: 0 for a hop that was observed; else nobody asked here on this flow, and this many other flows
            of the same group, all that were sampled, met this address (decision 0042).
        asn, as_name, place: filled in by annotation after the trace, None without a database.
    """

    ttl: int
    address: str | None
    samples: tuple[Sample, ...] = ()
    also: tuple[str, ...] = ()
    labels: tuple[Label, ...] = ()
    annotation: str | None = None
    inferred_from: int = 0
    reply_ttl: int | None = None
    quoted_ttl: int | None = None
    mtu_bytes: int | None = None
    name: str | None = None
    asn: int | None = None
    as_name: str | None = None
    place: Place | None = None


class Balance(msgspec.Struct, frozen=True, kw_only=True):
    """A hop where several next hops share the traffic, found by bounded multipath discovery (MDA).

    Attributes:
        addresses: the interfaces seen at this TTL over all flows tried.
        flows_probed: how many flows were tried here.
        confidence: chance that no further interface was missed, under the MDA's assumptions.
    """

    ttl: int
    addresses: tuple[str, ...]
    flows_probed: int
    confidence: float


class StopReason(StrEnum):
    """Why a trace ended."""

    REACHED = "reached"
    UNREACHABLE = "unreachable"
    LOOP = "loop"
    GAP = "gap"
    MAX_TTL = "max_ttl"
    ABORTED = "aborted"


class Trace(Measurement, frozen=True, kw_only=True, tag="trace"):
    """One observed path. The hop list ends at the destination when `reached`.

    Attributes:
        answered_from: the address that answered as destination when it is not `address`.
        balances: load-balanced hops, when multipath discovery was asked for.
        path_mtu_bytes: smallest MTU quoted on the way, or None.
    """

    method: Method
    flow: int
    port: int | None = None
    reached: bool
    stop: StopReason
    rtt_ns: int | None = None
    hops: tuple[Hop, ...] = ()
    answered_from: str | None = None
    balances: tuple[Balance, ...] = ()
    path_mtu_bytes: int | None = None
    clock: Clock | None = None
