"""What is watched: targets, the endpoints they are reached by, and what became of them."""

from enum import StrEnum

import msgspec


class Role(StrEnum):
    """What stands behind an endpoint. Roles are never mixed in one ranking."""

    ENGINE = "engine"
    API = "api"
    DATA = "data"
    WEB = "web"
    RESOLVER = "resolver"
    NODE = "node"


class Lifecycle(StrEnum):
    """Whether a target is still what its name says. History of the retired is kept; nobody measures them."""

    ACTIVE = "active"
    RENAMED = "renamed"
    RETIRED = "retired"
    UNVERIFIED = "unverified"


class RoundMethod(StrEnum):
    """How a round reaches an endpoint: a packet's kind, or a whole exchange.

    The first three have the values of `model.measurement.Method`, the kinds of probe packets.
    """

    ICMP = "icmp"
    TCP = "tcp"
    UDP = "udp"
    HTTP = "http"
    WS = "ws"
    DNS = "dns"
    TRACE = "trace"
    STAMP = "stamp"


class Endpoint(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One way to a target.

    Attributes:
        name: unique within the target, in words a person would use: `rest`, `market-data`, `fix`, `site`.
        host: the name or address that is resolved and measured.
        role: what stands behind it.
        port: TCP port; 443 unless said.
        url: what `http` and `ws` rounds ask for, or None when neither is sensible.
        fronted_by: the CDN whose edge answers, as far as known. An edge's RTT is not the origin's.
        expect_status: HTTP status codes that mean "works" when no key is sent (401 of a closed API works).
        methods: which rounds it gets.
    """

    name: str
    host: str
    role: Role
    port: int = 443
    url: str | None = None
    fronted_by: str | None = None
    expect_status: tuple[int, ...] = (200,)
    methods: tuple[RoundMethod, ...] = (RoundMethod.TCP,)


class Target(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A venue, broker, provider or source that is watched.

    Attributes:
        host: its name in paths and tables; the host of its first endpoint.
        category: one of the catalogue's categories.
        replaced_by: the host that took over, of renamed and retired ones.
        source: where lifecycle and endpoints were learnt, with a date.
        account: whose custom target it is, or None for everybody's.
    """

    host: str
    name: str
    category: str
    endpoints: tuple[Endpoint, ...]
    lifecycle: Lifecycle = Lifecycle.ACTIVE
    replaced_by: str | None = None
    note: str = ""
    source: str = ""
    tags: tuple[str, ...] = ()
    account: str | None = None


class Series(msgspec.Struct, frozen=True, order=True):
    """The name of one row of rounds: from where, to what, by which way in, how.

    >>> str(Series("nyc", "api.example", "rest", RoundMethod.TCP))
    'nyc>api.example/rest/tcp'
    """

    vantage: str
    target: str
    endpoint: str
    method: RoundMethod

    def __str__(self) -> str:
        return f"{self.vantage}>{self.target}/{self.endpoint}/{self.method}"
