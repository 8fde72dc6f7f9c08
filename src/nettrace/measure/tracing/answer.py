"""What received bytes say before and after they are matched to a probe."""

from functools import lru_cache

import msgspec

from nettrace.measure.packets.ip import text
from nettrace.model.instant import Instant
from nettrace.model.measurement import Grade
from nettrace.model.path import Label, Reply, ReplyKind

_text = lru_cache(4096)(text)
"""The same routers and targets answer again and again."""


class Answer(msgspec.Struct, frozen=True, gc=False):
    """A verified answer, not yet a `Reply`: the driver knows whose `tag` it is and when it came.

    Attributes:
        tag: the probe's tag.
        source: packed address that answered.
        inferred: it quotes too little to name its probe and was given to the only one under way: anybody who knows
            the flow could have sent it.
    """

    tag: int
    kind: ReplyKind
    source: bytes
    code: int = 0
    reply_ttl: int | None = None
    quoted_ttl: int | None = None
    mtu_bytes: int | None = None
    labels: tuple[Label, ...] = ()
    rewritten: bool = False
    inferred: bool = False

    def reply(self, key: int, received_at: Instant, error_ns: int = 0, grade: Grade = Grade.KERNEL) -> Reply:
        """The answer as machines take it: to the probe `key`, received at `received_at` +- `error_ns`."""
        return Reply(
            key=key,
            kind=self.kind,
            source=_text(self.source),
            received_at=received_at,
            error_ns=error_ns,
            grade=grade,
            code=self.code,
            reply_ttl=self.reply_ttl,
            quoted_ttl=self.quoted_ttl,
            mtu_bytes=self.mtu_bytes,
            labels=self.labels,
            rewritten=self.rewritten,
        )


class QueuedError(msgspec.Struct, frozen=True, gc=False):
    """What a socket's error queue says of one ICMP error (`IP_RECVERR`, `IPV6_RECVERR`).

    Attributes:
        offender: packed address of the router or host that sent it.
        quoted: the message's data: a UDP socket gets the quoted payload, an ICMP one header and payload.
        mtu_bytes: `ee_info`.
        extensions_at: where in `quoted` RFC 4884 extensions begin (`ee_rfc4884.len`), or None.
        destination: packed address the quoted probe was sent to, or None when the kernel does not say.
    """

    offender: bytes
    icmp_type: int
    icmp_code: int
    quoted: bytes
    mtu_bytes: int = 0
    reply_ttl: int | None = None
    extensions_at: int | None = None
    destination: bytes | None = None
