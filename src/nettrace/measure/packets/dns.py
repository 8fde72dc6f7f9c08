"""DNS messages: one question built, one answer parsed (RFC 1035, 3596, 2782, 6891 EDNS, 5001 NSID)."""

import struct
from ipaddress import IPv4Address, IPv6Address

import msgspec

from nettrace.errors import Invalid, PacketError, Truncated

TYPES = {
    "A": 1, "NS": 2, "CNAME": 5, "SOA": 6, "PTR": 12, "MX": 15, "TXT": 16, "AAAA": 28, "SRV": 33, "DS": 43,
    "DNSKEY": 48, "SVCB": 64, "HTTPS": 65, "ANY": 255, "CAA": 257,
}  # fmt: skip
_TYPE_NAMES = {number: name for name, number in TYPES.items()}
_OPT = 41
_NSID = 3
_RCODES = (
    "NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED", "YXDOMAIN", "YXRRSET", "NXRRSET", "NOTAUTH",
    "NOTZONE",
)  # fmt: skip
UDP_BYTES = 1232
"""What fits through every path without fragments (DNS flag day 2020)."""

_HEADER = struct.Struct(">HHHHHH")
_RESOURCE = struct.Struct(">HHIH")
_LABEL = frozenset(range(33, 127)) - frozenset(b'."\\')
_TEXT = frozenset(range(32, 127)) - frozenset(b'"\\')
_RESPONSE, _TRUNCATED, _RECURSION_DESIRED = 0x8000, 0x0200, 0x0100
_RECORDS_AT_MOST = 1000
_POINTERS_AT_MOST = 64


class DnsAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A parsed response.

    Attributes:
        question: (name in lower case without the last dot, type number), or None when it quotes none.
        records: (type, data as text, time to live in seconds) of the answer section, in order.
        nsid: which of an anycast server's machines answered, when it says so.
    """

    identifier: int
    truncated: bool
    rcode: str
    question: tuple[str, int] | None
    records: tuple[tuple[str, str, int], ...]
    nsid: str | None = None


def type_number(name: str) -> int:
    """The number of a record type: `AAAA` is 28; `TYPE65` works for all.

    Raises:
        Invalid: no such type.
    """
    upper = name.upper()
    if upper in TYPES:
        return TYPES[upper]
    digits = upper.removeprefix("TYPE")
    if digits != upper and digits.isdecimal() and len(digits) < 6 and int(digits) < 65_536:
        return int(digits)
    raise Invalid(f"{name!r} is not a DNS record type", f"Known are {', '.join(sorted(TYPES))}, and TYPE123")


def build_query(identifier: int, name: str, question_type: int, *, nsid: bool = False) -> bytes:
    r"""A recursive question with EDNS; `nsid` also asks which machine answers (RFC 5001).

    >>> build_query(1, "a.example", 1)[12:23]
    b'\x01a\x07example\x00'

    Raises:
        Invalid: the name has an empty label or one above 63 bytes, or is longer than 255.
    """
    option = struct.pack(">HH", _NSID, 0) if nsid else b""
    return b"".join(
        (
            _HEADER.pack(identifier, _RECURSION_DESIRED, 1, 0, 0, 1),
            _wire_name(name),
            struct.pack(">HH", question_type, 1),
            b"\0" + struct.pack(">HHIH", _OPT, UDP_BYTES, 0, len(option)),
            option,
        )
    )


def parse_answer(data: bytes) -> DnsAnswer:
    """The response in `data`.

    Raises:
        PacketError: it is not a DNS response.
    """
    if len(data) < _HEADER.size:
        raise Truncated("the DNS message is shorter than its header")
    identifier, flags, questions, answers, authorities, additions = _HEADER.unpack_from(data)
    if not flags & _RESPONSE:
        raise PacketError("a DNS question where an answer should be")
    if questions > 1 or answers + authorities + additions > _RECORDS_AT_MOST:
        raise PacketError("a DNS message with more sections than any answer has")
    offset = _HEADER.size
    question = None
    if questions:
        name, offset = _read_name(data, offset)
        if offset + 4 > len(data):
            raise Truncated("the DNS question ends early")
        question = (name.lower(), int.from_bytes(data[offset : offset + 2]))
        offset += 4
    rcode: int = flags & 0xF
    records: list[tuple[str, str, int]] = []
    nsid: str | None = None
    truncated = bool(flags & _TRUNCATED)
    try:
        for place in range(answers + authorities + additions):
            kind, life, start, offset = _read_resource(data, offset)
            if place < answers:
                name = _TYPE_NAMES.get(kind, f"TYPE{kind}")
                records.append((name, _text(data, kind, start, offset), min(life, 0x7FFFFFFF)))
            elif kind == _OPT:
                rcode |= (life >> 24) << 4
                nsid = _read_nsid(data[start:offset])
    except Truncated:
        if not truncated:
            raise
    return DnsAnswer(
        identifier=identifier,
        truncated=truncated,
        rcode=_RCODES[rcode] if rcode < len(_RCODES) else f"RCODE{rcode}",
        question=question,
        records=tuple(records),
        nsid=nsid,
    )


def _wire_name(name: str) -> bytes:
    bare = name.removesuffix(".")
    labels = [label.encode("ascii", "replace") for label in bare.split(".")] if bare else []
    wire = b"".join(bytes((len(label),)) + label if len(label) < 64 else b"" for label in labels) + b"\0"
    if len(wire) > 255 or any(not 0 < len(label) < 64 for label in labels):
        raise Invalid(f"{name!r} is not a DNS name")
    return wire


def _read_resource(data: bytes, offset: int) -> tuple[int, int, int, int]:
    """Type, time to live, and where the data starts and ends."""
    _, offset = _read_name(data, offset)
    if offset + _RESOURCE.size > len(data):
        raise Truncated("a DNS record ends early")
    kind, _, life, length = _RESOURCE.unpack_from(data, offset)
    start = offset + _RESOURCE.size
    if start + length > len(data):
        raise Truncated("a DNS record ends early")
    return kind, life, start, start + length


def _read_name(data: bytes, offset: int) -> tuple[str, int]:
    """A name with its compression undone, and where reading goes on."""
    labels: list[str] = []
    after: int | None = None
    length_left = 255
    for _ in range(_POINTERS_AT_MOST + 128):
        if offset >= len(data):
            raise Truncated("a DNS name ends early")
        length = data[offset]
        if length >= 0xC0:
            if offset + 1 >= len(data):
                raise Truncated("a DNS name ends early")
            after = after or offset + 2
            target = (length & 0x3F) << 8 | data[offset + 1]
            if target >= offset:
                raise PacketError("a DNS name points forward")
            offset = target
            continue
        if length > 63:
            raise PacketError("a DNS label of an unknown kind")
        offset += 1
        if length == 0:
            return ".".join(labels), after or offset
        length_left -= length + 1
        if length_left < 0:
            raise PacketError("a DNS name longer than 255 bytes")
        if offset + length > len(data):
            raise Truncated("a DNS name ends early")
        labels.append(_printable(data[offset : offset + length], dots=False))
        offset += length
    raise PacketError("a DNS name that never ends")


def _text(data: bytes, kind: int, start: int, end: int) -> str:
    """Record data as zone files write it; types without a reader here in the form of RFC 3597."""
    body = data[start:end]
    name = _TYPE_NAMES.get(kind)
    if name == "A" and len(body) == 4:
        return str(IPv4Address(body))
    if name == "AAAA" and len(body) == 16:
        return str(IPv6Address(body))
    if name in {"CNAME", "NS", "PTR"}:
        return f"{_read_name(data, start)[0]}."
    if name == "MX" and len(body) > 2:
        return f"{int.from_bytes(body[:2])} {_read_name(data, start + 2)[0]}."
    if name == "SRV" and len(body) > 6:
        priority, weight, port = struct.unpack_from(">HHH", body)
        return f"{priority} {weight} {port} {_read_name(data, start + 6)[0]}."
    if name == "SOA":
        return _soa(data, start)
    if name == "TXT":
        return " ".join(f'"{_printable(part, dots=True)}"' for part in _strings(body))
    return f"\\# {len(body)} {body.hex()}".rstrip()


def _soa(data: bytes, start: int) -> str:
    server, offset = _read_name(data, start)
    mailbox, offset = _read_name(data, offset)
    if offset + 20 > len(data):
        raise Truncated("a DNS SOA record ends early")
    return f"{server}. {mailbox}. {' '.join(map(str, struct.unpack_from('>5I', data, offset)))}"


def _strings(body: bytes) -> list[bytes]:
    parts: list[bytes] = []
    offset = 0
    while offset < len(body):
        length = body[offset]
        parts.append(body[offset + 1 : offset + 1 + length])
        offset += 1 + length
    return parts


def _read_nsid(options: bytes) -> str | None:
    offset = 0
    while offset + 4 <= len(options):
        code, length = struct.unpack_from(">HH", options, offset)
        value = options[offset + 4 : offset + 4 + length]
        if code == _NSID and value:
            return _printable(value, dots=True)
        offset += 4 + length
    return None


def _printable(raw: bytes, *, dots: bool) -> str:
    r"""Bytes as zone files write them: what is not plain ASCII as `\ddd`."""
    plain = _TEXT if dots else _LABEL
    return "".join(chr(byte) if byte in plain else f"\\{byte:03d}" for byte in raw)
