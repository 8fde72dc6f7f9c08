"""Every error NetTrace raises on purpose: what happened, to what, and what to do next.

A failed probe is never one of these: it is data (`model.measurement.Outcome`). Exceptions are for broken
requests and broken programs only.
"""


class NetTraceError(Exception):
    """The root of the family.

    Attributes:
        slug: stable name; one slug is one problem type, one docs heading and one exit code.
        exit_code: what the command line ends with.
        status: what an HTTP door answers with (RFC 9457 problem).
        detail: what happened, to what.
        hint: what to do next, or an empty string.
        request_id: the hub's name for the request that failed, or an empty string: what its operator asks for.
    """

    slug = "error"
    exit_code = 1
    status = 500
    request_id = ""

    def __init__(self, detail: str, hint: str = "") -> None:
        super().__init__(detail)
        self.detail = detail
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.detail}. {self.hint}" if self.hint else self.detail


class Invalid(NetTraceError):
    """The request itself is wrong: an option, a host name, a line of a file."""

    slug = "invalid"
    exit_code = 2
    status = 400


class InvalidField(Invalid):
    """One field of a request is wrong.

    Attributes:
        field: its name; doors point at it.
    """

    def __init__(self, field: str, detail: str, hint: str = "") -> None:
        super().__init__(detail, hint)
        self.field = field


class ConfigError(Invalid):
    """A setting is unknown or has an impossible value."""

    slug = "config"


class MissingExtra(NetTraceError):
    """An optional part of NetTrace is needed and not installed."""

    slug = "missing-extra"
    exit_code = 2
    status = 501

    def __init__(self, extra: str, needed_for: str) -> None:
        super().__init__(
            f"{needed_for} needs the optional part '{extra}'", f"Install it: pip install 'nettrace[{extra}]'"
        )
        self.extra = extra


class PacketError(NetTraceError):
    """Bytes that are not the packet they should be. Parsers raise this and nothing else."""

    slug = "packet"


class Truncated(PacketError):
    """The bytes end before the header or body they announce."""

    slug = "packet-truncated"


class BadChecksum(PacketError):
    """The checksum in the packet does not match its bytes."""

    slug = "packet-checksum"


class BadSeal(PacketError):
    """The packet was not made with this key, or was changed on its way."""

    slug = "packet-seal"


class Unmeasurable(NetTraceError):
    """This host may not, or cannot, do the measurement that was asked for."""

    slug = "unmeasurable"
    exit_code = 5
    status = 409


class Forbidden(NetTraceError):
    """A target that other people asked for and that policy does not let this node touch."""

    slug = "forbidden-target"
    exit_code = 4
    status = 403


class LabError(NetTraceError):
    """The lab could not be brought up, changed or torn down."""

    slug = "lab"


class SourceError(NetTraceError):
    """A file or database from outside cannot be read as what it should be."""

    slug = "source"


class AccessError(NetTraceError):
    """Somebody asks for what they may not have."""

    slug = "access"
    exit_code = 4
    status = 403


class Unauthenticated(AccessError):
    """No key, or one that is unknown, expired or revoked."""

    slug = "unauthenticated"
    status = 401


class NotAllowed(AccessError):
    """The key is good, but its tier or scopes do not hold this."""

    slug = "not-allowed"


class QuotaExceeded(AccessError):
    """The key's calls are used up for now.

    Attributes:
        retry_after_s: when the next call is allowed.
        policies: names of the quota policies that were violated.
        resume: the cursor an iteration may go on from later, or None when nothing was read yet.
    """

    slug = "quota-exceeded"
    exit_code = 7
    status = 429
    resume: str | None = None

    def __init__(self, detail: str, hint: str = "", *, retry_after_s: int, policies: tuple[str, ...]) -> None:
        super().__init__(detail, hint)
        self.retry_after_s = retry_after_s
        self.policies = policies


class NotFound(NetTraceError):
    """There is nothing by that name."""

    slug = "not-found"
    status = 404


class Conflict(NetTraceError):
    """The request does not fit what is there: already used, already different."""

    slug = "conflict"
    status = 409


class StoreError(NetTraceError):
    """The store cannot be opened, read or written."""

    slug = "store"
    status = 503


class StoreBusy(StoreError):
    """Another process writes this store, or holds it for longer than one may wait."""

    slug = "store-busy"


class StoreCorrupt(StoreError):
    """The store's files are damaged; `nettrace store check` says where."""

    slug = "store-corrupt"


class StoreFull(StoreError):
    """The disk has no room. What was acknowledged is safe; nodes keep the rest."""

    slug = "store-full"
    status = 507


class WireError(NetTraceError):
    """A frame between node and hub that is not what it should be."""

    slug = "wire"
    status = 400


class Unreachable(NetTraceError):
    """The hub or a service does not answer."""

    slug = "unreachable"
    status = 502


class SolverStopped(NetTraceError):
    """Time ran out before a solver could say anything of use."""

    slug = "solver-stopped"
    status = 503


class SolverBusy(NetTraceError):
    """As many placements are being solved as this server solves at once, and enough wait."""

    slug = "solver-busy"
    status = 503


class Infeasible(NetTraceError):
    """No plan can keep all that a request demands; what cannot hold together is named.

    Attributes:
        conflict: a smallest set of requirements that cannot hold together, each as (name, in words).
    """

    slug = "infeasible"
    status = 422

    def __init__(self, detail: str, hint: str = "", *, conflict: tuple[tuple[str, str], ...] = ()) -> None:
        super().__init__(detail, hint)
        self.conflict = conflict


class WrongMethod(NetTraceError):
    """The path is there, but not for this HTTP method."""

    slug = "wrong-method"
    status = 405


class NotAcceptable(NetTraceError):
    """The answer has no such format."""

    slug = "not-acceptable"
    status = 406


class BodyTooSlow(NetTraceError):
    """A request's body did not arrive in time."""

    slug = "body-too-slow"
    status = 408


class BodyTooLarge(NetTraceError):
    """A request's body is larger than the door takes."""

    slug = "body-too-large"
    status = 413


class RangeOutside(NetTraceError):
    """The bytes asked for lie behind the end of the file."""

    slug = "range"
    status = 416


class MisdirectedRequest(NetTraceError):
    """The request is for a host name that is not this hub's (DNS rebinding looks like this)."""

    slug = "misdirected"
    status = 421


class IdempotencyMismatch(NetTraceError):
    """An Idempotency-Key came again with another request."""

    slug = "idempotency-mismatch"
    status = 422


class HeadersTooLarge(NetTraceError):
    """A request has more headers than any client needs."""

    slug = "headers-too-large"
    status = 431


class OriginRefused(NetTraceError):
    """A page of another site tries to use this hub through its visitor's browser."""

    slug = "origin"
    status = 403


class QueryError(NetTraceError):
    """A query in SQL that cannot be answered: not understood, not allowed, too large or too slow."""

    slug = "query"
    status = 400
