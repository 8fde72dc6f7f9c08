"""What a node and its hub say to each other: msgpack bodies of HTTPS requests the node makes.

A node numbers its records 1, 2, 3 ... within an *epoch* (one life of its spool file). The hub keeps, per node and
epoch, the number up to which everything is stored; a report begins right behind it, so repeating one changes
nothing and skipping one shows. What a spool had to drop is stated as a `Gap` that takes the dropped numbers' place.
"""

import msgspec

from nettrace.model.instant import Instant
from nettrace.model.measurement import DnsLookup, HttpExchange, Ping, StampTest, WayTest, WebSocketPings
from nettrace.model.path import Trace
from nettrace.model.target import Endpoint, RoundMethod
from nettrace.model.vantage import Clock, Load

Measured = Ping | HttpExchange | WebSocketPings | DnsLookup | Trace | StampTest | WayTest
"""The kinds of measurement that travel."""

PROTOCOL = 1
"""Version of these frames. A hub answers a newer or older one it cannot read with 409 and its own number."""


class Record(msgspec.Struct, frozen=True, kw_only=True, tag="record", omit_defaults=True):
    """One round's result on its way to the hub.

    Attributes:
        due: when the schedule wanted it; with the series it is the round's identity, so a repeat is the same round.
        request: the on-demand request it answers, or None.
    """

    seq: int
    target: str
    endpoint: str
    method: RoundMethod
    due: Instant
    measurement: Measured
    request: str | None = None


NEVER_MADE = frozenset({"paused", "stopped", "drained", "replaced", "unassigned"})
"""Reasons of gaps in which nothing was measured, so that no record is lost."""


class Gap(msgspec.Struct, frozen=True, kw_only=True, tag="gap", omit_defaults=True):
    """Records `seq` to `last_seq` were dropped because the spool was full, or never made because nobody measured.

    Attributes:
        reason: `spool_full`, `disk_full`, `spool_corrupt`; `refused` by the hub for good; `hub_restored`: the hub has lost
            what it had acknowledged. Nothing was measured: `paused`, `stopped`, `drained`; `replaced`: what the vantage's
            earlier node had not handed over, and until this one began; `unassigned`: the hub did not want `target`.
        since, until: the time they covered.
        target: the only target it is of; empty: all of the vantage.
    """

    seq: int
    last_seq: int
    reason: str
    since: Instant
    until: Instant
    target: str = ""

    @property
    def lost(self) -> int:
        """How many records there were that nobody has any more.

        >>> Gap(seq=3, last_seq=5, reason="spool_full", since=0, until=9).lost
        3
        >>> Gap(seq=3, last_seq=3, reason="stopped", since=0, until=9).lost
        0
        """
        return 0 if self.reason in NEVER_MADE else self.last_seq - self.seq + 1


class Report(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A batch of a node's records, in the order of their numbers, without holes.

    Attributes:
        entries: at most 1,000. Empty is a heartbeat.
        oldest_at: when the oldest record still in the spool was due: the hub's measure of backlog.
        reflector: ADDRESS:PORT where other nodes reach this one's STAMP reflector; empty for none.
        assignment: version of the assignment the node works by, 0 for none.
        load: how the node's machine is.
        resting: it measures nothing, by the hub's word: what waits in its spool is all there will be.
    """

    node: str
    epoch: str
    first_seq: int
    entries: tuple[Record | Gap, ...] = ()
    sent_at: Instant
    assignment: int = 0
    clock: Clock | None = None
    version: str = ""
    methods: dict[str, str] = {}
    problems: tuple[str, ...] = ()
    backlog: int = 0
    oldest_at: Instant | None = None
    reflector: str = ""
    protocol: int = PROTOCOL
    load: Load | None = None
    resting: bool = False


class Cadence(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How often each kind of round is due, in seconds; see docs/guides/scheduling.md.

    Attributes:
        rtt_s: ping rounds (icmp, tcp, udp).
        exchange_s: http, ws and dns rounds.
        trace_s: traces; one more at once when path length or RTT moves.
        probes: probes of a ping round.
        spacing_s: between two of them.
    """

    rtt_s: float = 60.0
    exchange_s: float = 900.0
    trace_s: float = 900.0
    probes: int = 5
    spacing_s: float = 0.2


class Task(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An endpoint a node is to measure, with the methods and, where it differs, the cadence."""

    target: str
    endpoint: Endpoint
    methods: tuple[RoundMethod, ...]
    cadence: Cadence | None = None


class MeshPeer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Another node, as the two know each other.

    Attributes:
        target: what rounds to it are stored under.
        key: seals the packets between these two, both ways; no other pair has it.
    """

    target: str
    key: bytes


class Assignment(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a node measures until it hears otherwise; it is kept on its disk, so it goes on without the hub.

    Attributes:
        rate_pps: most packets a second, all rounds together.
        open_networks: networks that policy would close to nodes but this operator opens, such as a lab's.
        opted_out: networks and names nobody measures.
        peers: nodes this one answers, and the keys of its own `stamp` tasks.
    """

    version: int
    tasks: tuple[Task, ...]
    cadence: Cadence = Cadence()
    rate_pps: float = 200.0
    open_networks: tuple[str, ...] = ()
    opted_out: tuple[str, ...] = ()
    drained: bool = False
    peers: tuple[MeshPeer, ...] = ()


class Work(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A round somebody asked for now."""

    request: str
    target: str
    endpoint: Endpoint
    method: RoundMethod
    probes: int = 5
    deadline: Instant


class Ack(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The hub's answer to a report: everything up to `upto_seq` is on its disk.

    Attributes:
        received_at, answered_at: the hub's clock when the report had arrived and when this left: with the node's own
            two stamps they give offset and error (RFC 5905, 8).
        assignment: the new one when the node's version is not current.
        wait_s: send no sooner; back-pressure.
    """

    upto_seq: int
    received_at: Instant
    answered_at: Instant
    assignment: Assignment | None = None
    work: tuple[Work, ...] = ()
    wait_s: float = 0.0


class Enrol(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A machine with a one-time token wants to be a node."""

    token: str
    region: str
    version: str
    city: str | None = None
    country: str | None = None
    latitude: float | None = None
    longitude: float | None = None
    protocol: int = PROTOCOL


class Enrolled(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Who it is from now on. `secret` is shown once; both sides derive the signing key from it (docs/guides/nodes.md).

    Attributes:
        silent_since: due of the newest round the hub has of the vantage's earlier node; 0 when there was none.
    """

    node: str
    secret: str
    assignment: Assignment
    silent_since: Instant = 0
