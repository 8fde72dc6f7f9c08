"""What a measurement is: samples with error bars, and an outcome that never confuses loss with silence of our own.

`null`, "down" and "0 ms" are three different facts; the type system keeps them apart here so that no door,
store or detector has to guess later.
"""

from enum import StrEnum

import msgspec

from nettrace.model.instant import Instant


class Outcome(StrEnum):
    """Did we learn something? `failed` is a fact about the target, `not_measured` one about ourselves."""

    MEASURED = "measured"
    FAILED = "failed"
    NOT_MEASURED = "not_measured"


class Reason(StrEnum):
    """Why an outcome is not `measured`."""

    TIMEOUT = "timeout"
    UNREACHABLE = "unreachable"
    REFUSED = "refused"
    DNS = "dns"
    TLS = "tls"
    HTTP = "http"
    BLOCKED = "blocked"
    NOT_PERMITTED = "not_permitted"
    NOT_SCHEDULED = "not_scheduled"
    VANTAGE_DOWN = "vantage_down"
    ABORTED = "aborted"


class Method(StrEnum):
    """The kind of packet a probe is."""

    ICMP = "icmp"
    UDP = "udp"
    TCP = "tcp"


class Clock(StrEnum):
    """Who took the two stamps of a round trip: the kernel both, the kernel one, or this program."""

    KERNEL = "kernel"
    MIXED = "mixed"
    USER = "user"


class Grade(StrEnum):
    """How a sample was timed: K both ends by the kernel, R reception only, U in user space.

    Grade U never feeds an alert: under load it errs by milliseconds (docs/explanation/time.md).
    """

    KERNEL = "K"
    RECEPTION = "R"
    USER = "U"


class SampleState(StrEnum):
    """What became of one probe."""

    ANSWERED = "answered"
    LOST = "lost"
    NOT_MEASURED = "not_measured"


class Sample(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One probe's result.

    `LOST` is said only when the probe was seen to leave, its answer was waited for in full and nothing on this
    host was stalled or overflowing meanwhile; else the sample is `NOT_MEASURED` and `reason` says why.

    Attributes:
        sent_at: when it left (kernel stamp where there is one).
        rtt_ns: round-trip time, or None.
        error_ns: half-width of the error bar of `rtt_ns`: truth lies within +-error_ns.
        stalled: this host was stalled while the probe was under way; its bar is widened accordingly.
    """

    state: SampleState
    sent_at: Instant | None = None
    rtt_ns: int | None = None
    error_ns: int | None = None
    grade: Grade | None = None
    stalled: bool = False
    reason: str | None = None


class Measurement(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind"):
    """What every kind of measurement says of itself.

    Attributes:
        vantage: where it was measured from; None is "here".
        target: the name or address that was asked for.
        address: the address that was measured, or None when no name could be resolved.
        at: when it began.
        detail: the outcome in words for a person, or None.
        resolved: every address the name had when it was looked up, in the order the system prefers them: for this
            measurement, or (rounds of packets by a node) at most 30 s before `at`.
    """

    target: str
    address: str | None
    at: Instant
    outcome: Outcome
    reason: Reason | None = None
    detail: str | None = None
    vantage: str | None = None
    resolved: tuple[str, ...] = ()


class Ping(Measurement, frozen=True, kw_only=True, tag="ping"):
    """A round of probes to one address: a distribution, not a mean. Samples stand in sending order."""

    method: Method
    port: int | None = None
    samples: tuple[Sample, ...] = ()
    clock: Clock | None = None


class Stage(msgspec.Struct, frozen=True, kw_only=True):
    """One timed step of an exchange.

    Attributes:
        duration_ns: that stage alone.
        error_ns: half-width of its error bar; None only of imported stages whose source states none.
    """

    duration_ns: int
    error_ns: int | None
    grade: Grade


class Stages(msgspec.Struct, frozen=True, kw_only=True):
    """The steps of a TCP conversation, each by itself; None is "did not happen or was not measured".

    Attributes:
        tls_client_cpu_ns: the part of the TLS wall time that was this client's own cryptography, not the wire.
        first_byte_exact: the first answer came in one segment, so its stamp is the first byte's.
    """

    dns: Stage | None = None
    connect: Stage | None = None
    tls: Stage | None = None
    ttfb: Stage | None = None
    tls_client_cpu_ns: int | None = None
    total_ns: int | None = None
    first_byte_exact: bool | None = None


class HttpExchange(Measurement, frozen=True, kw_only=True, tag="http"):
    """One request and its answer."""

    url: str
    stages: Stages
    status: int | None = None
    tls_version: str | None = None
    reused: bool = False
    body_bytes: int | None = None
    server_hints: dict[str, str] = {}
    clock: Clock | None = None


class WebSocketPings(Measurement, frozen=True, kw_only=True, tag="ws"):
    """A WebSocket connection's stages and the round trips of its pings."""

    url: str
    stages: Stages
    status: int | None = None
    tls_version: str | None = None
    samples: tuple[Sample, ...] = ()
    clock: Clock | None = None


class DnsLookup(Measurement, frozen=True, kw_only=True, tag="dns"):
    """One question to one resolver: here `target` is the name asked for and `address` the server's.

    Attributes:
        answers: (type, data, time to live in seconds) in the order of the answer.
        rcode: the response code in words (`NOERROR`, `NXDOMAIN`, ...), or None without an answer.
    """

    question_type: str
    rcode: str | None = None
    answers: tuple[tuple[str, str, int], ...] = ()
    sample: Sample | None = None
    clock: Clock | None = None


class TlsCertificate(Measurement, frozen=True, kw_only=True, tag="tls"):
    """The certificates a server showed in one handshake.

    Attributes:
        fingerprints: SHA-256 of each certificate's DER bytes in hexadecimal, the server's own first.
        alert: the TLS alert that ended the handshake in words, or None.
        connect_ns: the TCP connect alone.
        response_ns: from the start of the connect until the certificates had arrived.
    """

    port: int | None = None
    tls_version: str | None = None
    fingerprints: tuple[str, ...] = ()
    alert: str | None = None
    connect_ns: int | None = None
    response_ns: int | None = None
    clock: Clock | None = None


class NtpQuery(Measurement, frozen=True, kw_only=True, tag="ntp"):
    """A round of questions to one time server.

    Attributes:
        offsets_ns: the clock offset each sample gave, with the sign its source uses; None where none came.
        reference: what the server itself follows, as its reference identifier says.
    """

    samples: tuple[Sample, ...] = ()
    offsets_ns: tuple[int | None, ...] = ()
    stratum: int | None = None
    reference: str | None = None
    root_delay_ns: int | None = None
    root_dispersion_ns: int | None = None
    clock: Clock | None = None


class Way(msgspec.Struct, frozen=True, kw_only=True):
    """One direction of a STAMP test.

    Attributes:
        sent, received: packets on this way; `received` is None where the reflector keeps no count of its own.
        reordered: those that came after one sent later (RFC 4737, 4.2.1), or None likewise.
        delays_ns: the receiver's clock minus the sender's, of each answered probe in sending order: a delay only as far
            as the two clocks agree (`analysis.oneway`).
        hops: routers on this way by the TTL, or None.
    """

    sent: int
    received: int | None = None
    reordered: int | None = None
    delays_ns: tuple[int | None, ...] = ()
    hops: int | None = None


class WayTest(Measurement, frozen=True, kw_only=True, tag="way"):
    """One direction of a STAMP session as a round of its own, so that each way has its own history.

    Attributes:
        sent, received, reordered: as of `Way`; `received` None is "nobody can tell".
        delays_ns: of each answered probe; empty where the clocks cannot tell.
        error_ns: the bound of their error.
        hops: routers on this way.
    """

    sent: int = 0
    received: int | None = None
    reordered: int | None = None
    delays_ns: tuple[int, ...] = ()
    error_ns: int | None = None
    hops: int | None = None


class StampTest(Measurement, frozen=True, kw_only=True, tag="stamp"):
    """A STAMP session (RFC 8762): round trips without the time the reflector held them, and each way by itself.

    Attributes:
        authenticated: every packet was sealed with a key.
        samples: round trips; the reflector's residence is taken out.
        out, back: to the reflector and from it.
        residence_ns: how long the reflector held each answered probe.
        own_error_ns, peer_error_ns: each clock's stated error against UTC; None is a clock nobody vouches for.
        rejected: packets that came and were no answers to this session: forged, repeated, from elsewhere.
    """

    port: int
    authenticated: bool = False
    samples: tuple[Sample, ...] = ()
    out: Way = Way(sent=0)
    back: Way = Way(sent=0)
    residence_ns: tuple[int | None, ...] = ()
    own_error_ns: int | None = None
    peer_error_ns: int | None = None
    rejected: int = 0
    clock: Clock | None = None
