"""STAMP test packets (RFC 8762) with the optional TLVs of RFC 8972: built, read and authenticated.

Unauthenticated packets are 44 octets, authenticated ones 112; a reflector answers with as many as it got. In
authenticated mode the last 16 of the 112 are HMAC-SHA-256 over the first 96, cut to 128 bits (RFC 8762, 4.4).
"""

import hashlib
import hmac
import struct
from collections.abc import Iterable, Sequence

import msgspec

from nettrace.errors import BadSeal, Truncated
from nettrace.model.instant import NS_PER_S, Instant

PORT = 862
"""Where reflectors listen by default (RFC 8762, 4.1; IANA `twamp-test`)."""

PLAIN_BYTES = 44
SEALED_BYTES = 112
_COVERED = 96
_SEAL_BYTES = 16

NTP_UNIX_S = 2_208_988_800
"""From 1900, where NTP counts from, to 1970 (RFC 5905, 6)."""
_ERA_S = 1 << 32
_HALF_ERA_S = 1 << 31

TLV_PADDING = 1
TLV_FOLLOW_UP = 7
TLV_SEAL = 8
UNRECOGNISED, MALFORMED, UNSEALED = 0x80, 0x40, 0x20
"""Flags of a TLV (RFC 8972, 4): the reflector does not know it; it cannot be read; its HMAC does not hold."""

_SOFTWARE_LOCAL = 2
"""Timestamping method of a Follow-Up Telemetry TLV: software, local (RFC 8972, table 4)."""

_PLAIN_REQUEST = struct.Struct("!IQHH28x")
_SEALED_REQUEST = struct.Struct("!I12xQHH68x")
_PLAIN_REPLY = struct.Struct("!IQHHQIQH2xB3x")
_SEALED_REPLY = struct.Struct("!I12xQHH4xQ8xI12xQH6xB15x")
_TLV = struct.Struct("!BBH")
_FOLLOW_UP = struct.Struct("!IQB3x")


class ErrorEstimate(msgspec.Struct, frozen=True):
    """What a clock says of itself in 16 bits (RFC 4656, 4.1.2; Z by RFC 8186).

    Attributes:
        error_ns: half-width of its error bar, or None where the field says nothing (a multiplier of 0).
        synchronised: S: it follows UTC by something outside.
        ptp: Z: time stamps beside it are PTPv2's truncated form, not NTP's.
    """

    error_ns: int | None
    synchronised: bool
    ptp: bool = False


class Tlv(msgspec.Struct, frozen=True):
    """One optional extension."""

    flags: int
    kind: int
    value: bytes


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What a session-sender sends.

    Attributes:
        number: counts the packets of a session from 0.
        sent: its time stamp as it stands in the packet (64 bits): `instant_of` makes UTC of it.
        session: STAMP Session Identifier, 0 for none (RFC 8972, 3).
    """

    number: int
    sent: int
    estimate: ErrorEstimate
    session: int = 0
    tlvs: tuple[Tlv, ...] = ()


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """What a session-reflector answers.

    Attributes:
        number: the reflector's own count; a stateless one repeats the sender's.
        left, arrived: when this left and when the request had come, by the reflector's clock.
        request_number, request_sent, request_estimate: as they came.
        request_ttl: what was left of the request's TTL when it arrived; 0 when the reflector cannot tell.
    """

    number: int
    left: int
    estimate: ErrorEstimate
    arrived: int
    request_number: int
    request_sent: int
    request_estimate: ErrorEstimate
    request_ttl: int = 0
    session: int = 0
    tlvs: tuple[Tlv, ...] = ()


class FollowUp(msgspec.Struct, frozen=True):
    """When an earlier reply really left, by the stamp of the kernel or card (RFC 8972, 4.7)."""

    number: int
    left: int


def ntp_stamp(at: Instant) -> int:
    """UTC ns as a 64-bit NTP time stamp, rounded to its 0.23 ns.

    >>> hex(ntp_stamp(0)), hex(ntp_stamp(500_000_000))
    ('0x83aa7e8000000000', '0x83aa7e8080000000')
    """
    seconds, ns = divmod(at, NS_PER_S)
    return ((seconds + NTP_UNIX_S) % _ERA_S << 32) + (
        (ns << 32) + NS_PER_S // 2
    ) // NS_PER_S & 0xFFFFFFFFFFFFFFFF


def instant_of(stamp: int, near: Instant, *, ptp: bool = False) -> Instant:
    """UTC ns of a time stamp; of all the moments it may mean (seconds wrap after 136 years) the one nearest `near`.

    >>> instant_of(ntp_stamp(1_800_000_000_123_456_789), near=1_700_000_000_000_000_000)
    1800000000123456789
    >>> instant_of(5 << 32 | 7, near=0, ptp=True)
    5000000007
    """
    seconds, fraction = stamp >> 32, stamp & 0xFFFFFFFF
    ns = fraction if ptp else (fraction * NS_PER_S + (1 << 31)) >> 32
    unix_s = seconds if ptp else seconds - NTP_UNIX_S
    eras = (near // NS_PER_S - unix_s + _HALF_ERA_S) // _ERA_S
    return (unix_s + eras * _ERA_S) * NS_PER_S + ns


def pack_estimate(estimate: ErrorEstimate) -> int:
    """The 16 bits: S, Z, 6 of scale, 8 of multiplier; never less than the error, and at most 1 % more from a microsecond on.

    >>> hex(pack_estimate(ErrorEstimate(1_000_000, synchronised=True)))
    '0x8f84'
    """
    bits = estimate.synchronised << 15 | estimate.ptp << 14
    if estimate.error_ns is None:
        return bits
    units = -((-max(1, estimate.error_ns) << 32) // NS_PER_S)  # in 2**-32 s, rounded up
    scale = max(0, units.bit_length() - 8)
    multiplier = -(-units >> scale)
    if multiplier > 255:
        scale, multiplier = scale + 1, (multiplier + 1) >> 1
    return bits | min(scale, 63) << 8 | multiplier


def unpack_estimate(bits: int) -> ErrorEstimate:
    """What the 16 bits say.

    >>> unpack_estimate(pack_estimate(ErrorEstimate(1_000_000, synchronised=True))).error_ns
    1007080
    """
    scale, multiplier = bits >> 8 & 63, bits & 255
    error_ns = max(1, (multiplier << scale) * NS_PER_S >> 32) if multiplier else None
    return ErrorEstimate(error_ns, synchronised=bool(bits & 0x8000), ptp=bool(bits & 0x4000))


def build_request(request: Request, key: bytes | None = None) -> bytes:
    """The octets of a request; sealed when there is a key."""
    form = _PLAIN_REQUEST if key is None else _SEALED_REQUEST
    head = form.pack(request.number, request.sent, pack_estimate(request.estimate), request.session)
    return _sealed(head, key) + _extensions(request.number, request.tlvs, key)


def parse_request(data: bytes, key: bytes | None = None) -> Request:
    """The request in these octets.

    Raises:
        Truncated: fewer than the mode's. BadSeal: not made with this key.
    """
    _check(data, key)
    form = _PLAIN_REQUEST if key is None else _SEALED_REQUEST
    number, sent, estimate, session = form.unpack_from(data)
    return Request(
        number=number, sent=sent, estimate=unpack_estimate(estimate), session=session, tlvs=_behind(data, key)
    )  # fmt: skip


def build_reply(reply: Reply, key: bytes | None = None) -> bytes:
    """The octets of a reply; sealed when there is a key."""
    form = _PLAIN_REPLY if key is None else _SEALED_REPLY
    head = form.pack(
        reply.number, reply.left, pack_estimate(reply.estimate), reply.session, reply.arrived,
        reply.request_number, reply.request_sent, pack_estimate(reply.request_estimate), reply.request_ttl,
    )  # fmt: skip
    return _sealed(head, key) + _extensions(reply.number, reply.tlvs, key)


def parse_reply(data: bytes, key: bytes | None = None) -> Reply:
    """The reply in these octets.

    Raises:
        Truncated: fewer than the mode's. BadSeal: not made with this key.
    """
    _check(data, key)
    form = _PLAIN_REPLY if key is None else _SEALED_REPLY
    number, left, estimate, session, arrived, request, sent, its_estimate, ttl = form.unpack_from(data)
    return Reply(
        number=number, left=left, estimate=unpack_estimate(estimate), arrived=arrived, request_number=request,
        request_sent=sent, request_estimate=unpack_estimate(its_estimate), request_ttl=ttl, session=session,
        tlvs=_behind(data, key),
    )  # fmt: skip


def build_tlvs(tlvs: Iterable[Tlv]) -> bytes:
    """The octets of extensions; one that could not be read has neither kind nor length, only what came."""
    return b"".join(
        each.value
        if each.flags & MALFORMED
        else _TLV.pack(each.flags, each.kind, len(each.value)) + each.value
        for each in tlvs
    )


def parse_tlvs(data: bytes) -> tuple[Tlv, ...]:
    r"""The extensions behind a packet. What cannot be read is one last `MALFORMED` one with all that is left.

    >>> parse_tlvs(bytes([0x80, 1, 0, 2, 7, 7, 1]))
    (Tlv(flags=128, kind=1, value=b'\x07\x07'), Tlv(flags=64, kind=0, value=b'\x01'))
    """
    found: list[Tlv] = []
    at = 0
    while at < len(data):
        if len(data) - at < _TLV.size:
            return (*found, Tlv(MALFORMED, 0, data[at:]))
        flags, kind, length = _TLV.unpack_from(data, at)
        value = data[at + _TLV.size : at + _TLV.size + length]
        if len(value) < length or flags & MALFORMED:
            return (*found, Tlv(MALFORMED, kind, data[at:]))
        found.append(Tlv(flags, kind, value))
        at += _TLV.size + length
    return tuple(found)


def asked_follow_up() -> Tlv:
    """What a sender adds to hear when the reply before really left."""
    return Tlv(UNRECOGNISED, TLV_FOLLOW_UP, bytes(_FOLLOW_UP.size))


def answered_follow_up(known: FollowUp | None) -> Tlv:
    """The same as the reflector answers it; all zero where there was no reply before."""
    value = (
        bytes(_FOLLOW_UP.size)
        if known is None
        else _FOLLOW_UP.pack(known.number, known.left, _SOFTWARE_LOCAL)
    )
    return Tlv(0, TLV_FOLLOW_UP, value)


def follow_up_in(tlvs: Sequence[Tlv]) -> FollowUp | None:
    """When an earlier reply left, as this one tells; None when it does not."""
    for each in tlvs:
        if each.kind == TLV_FOLLOW_UP and not each.flags and len(each.value) == _FOLLOW_UP.size:
            number, left, method = _FOLLOW_UP.unpack(each.value)
            return FollowUp(number, left) if method else None
    return None


def _extensions(number: int, tlvs: Sequence[Tlv], key: bytes | None) -> bytes:
    """The extensions with, in authenticated mode, the one that seals them together with the packet's number (4.8)."""
    body = build_tlvs(tlvs)
    if key is None or not tlvs or any(each.flags & (MALFORMED | UNSEALED) for each in tlvs):
        return body
    return body + build_tlvs((Tlv(0, TLV_SEAL, _digest(number.to_bytes(4) + body, key)),))


def _behind(data: bytes, key: bytes | None) -> tuple[Tlv, ...]:
    """The extensions behind a packet; in authenticated mode those under a seal that holds, else each says `UNSEALED`."""
    rest = data[PLAIN_BYTES if key is None else SEALED_BYTES :]
    tlvs = parse_tlvs(rest)
    if key is None or not tlvs:
        return tlvs
    before: list[Tlv] = []
    for each in tlvs:
        if each.kind == TLV_SEAL and not each.flags & MALFORMED:
            covered = data[:4] + build_tlvs(before)
            if hmac.compare_digest(each.value, _digest(covered, key)):
                return (*before, *(other for other in tlvs[len(before) + 1 :] if other.kind == TLV_PADDING))
            break
        before.append(each)
    return tuple(Tlv(each.flags | UNSEALED, each.kind, each.value) for each in tlvs)


def _sealed(head: bytes, key: bytes | None) -> bytes:
    return head if key is None else head + _seal(head, key)


def _seal(head: bytes, key: bytes) -> bytes:
    return _digest(head[:_COVERED], key)


def _digest(data: bytes, key: bytes) -> bytes:
    return hmac.new(key, data, hashlib.sha256).digest()[:_SEAL_BYTES]


def _check(data: bytes, key: bytes | None) -> None:
    least = PLAIN_BYTES if key is None else SEALED_BYTES
    if len(data) < least:
        raise Truncated(f"a STAMP packet of {len(data)} octets where {least} are needed")
    if key is not None and not hmac.compare_digest(data[_COVERED:SEALED_BYTES], _seal(data, key)):
        raise BadSeal("a STAMP packet that was not sealed with this key", "Give both ends the same key")
