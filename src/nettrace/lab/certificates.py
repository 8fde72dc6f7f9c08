"""Certificates for the lab's TLS services: one throw-away authority a start, one leaf a name.

Python's `ssl` can use certificates but not make them, and the lab may need neither the `openssl` program nor a
cryptography package. So here is just enough: ECDSA on P-256 (FIPS 186-5) and X.509 in DER (RFC 5280). Not
constant-time and not for secrets: the keys protect nothing but simulated hosts and die with the lab.
"""

import base64
import secrets
from collections.abc import Sequence
from hashlib import sha1, sha256
from ipaddress import ip_address

import msgspec

_P = 2**256 - 2**224 + 2**192 + 2**96 - 1
_N = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
_G = (
    0x6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296,
    0x4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5,
)
_WINDOW = 4

_Point = tuple[int, int]
_Jacobian = tuple[int, int, int]


class Identity(msgspec.Struct, frozen=True):
    """A certificate and its key, as PEM."""

    certificate: str
    key: str


class Authority:
    """Signs certificates that clients trust when they trust `certificate`."""

    def __init__(self, name: str) -> None:
        self._curve = _FixedBase()
        self._secret = 1 + secrets.randbelow(_N - 1)
        self._public = self._curve.times(self._secret)
        self._name = _name(name)
        self._leaf_secret = 1 + secrets.randbelow(_N - 1)
        self._leaf_public = self._curve.times(self._leaf_secret)
        extensions = [
            _extension("2.5.29.19", _sequence(_BOOLEAN_TRUE), critical=True),
            _extension("2.5.29.15", _bits(b"\x06", 1), critical=True),
            _extension("2.5.29.14", _tlv(0x04, _key_identifier(self._public))),
            _extension("2.5.29.35", _sequence(_tlv(0x80, _key_identifier(self._public)))),
        ]
        self.certificate = _pem("CERTIFICATE", self._certificate(self._name, self._public, extensions))

    def issue(self, names: Sequence[str]) -> Identity:
        """A certificate for host names and addresses; all leaves of an authority share one key."""
        alternatives = b"".join(_alternative(name) for name in names)
        extensions = [
            _extension("2.5.29.17", _sequence(alternatives)),
            _extension("2.5.29.15", _bits(b"\x80", 7), critical=True),
            _extension("2.5.29.37", _sequence(_identifier("1.3.6.1.5.5.7.3.1"))),
            _extension("2.5.29.14", _tlv(0x04, _key_identifier(self._leaf_public))),
            _extension("2.5.29.35", _sequence(_tlv(0x80, _key_identifier(self._public)))),
        ]
        made = self._certificate(_name(names[0][:64]), self._leaf_public, extensions)
        key = _sequence(
            _integer(1),
            _tlv(0x04, self._leaf_secret.to_bytes(32)),
            _tlv(0xA0, _identifier("1.2.840.10045.3.1.7")),
            _tlv(0xA1, _bits(_encoded(self._leaf_public))),
        )
        return Identity(_pem("CERTIFICATE", made), _pem("EC PRIVATE KEY", key))

    def _certificate(self, subject: bytes, public: _Point, extensions: list[bytes]) -> bytes:
        body = _sequence(
            _tlv(0xA0, _integer(2)),
            _integer(secrets.randbits(120) | 1),
            _ECDSA_SHA256,
            self._name,
            _sequence(_tlv(0x17, b"200101000000Z"), _tlv(0x17, b"491231235959Z")),
            subject,
            _sequence(
                _sequence(_identifier("1.2.840.10045.2.1"), _identifier("1.2.840.10045.3.1.7")),
                _bits(_encoded(public)),
            ),
            _tlv(0xA3, _sequence(*extensions)),
        )
        return _sequence(body, _ECDSA_SHA256, _bits(self._signature(body)))

    def _signature(self, message: bytes) -> bytes:
        digest = int.from_bytes(sha256(message).digest())
        while True:
            nonce = 1 + secrets.randbelow(_N - 1)
            r = self._curve.times(nonce)[0] % _N
            s = pow(nonce, -1, _N) * (digest + r * self._secret) % _N
            if r and s:
                return _sequence(_integer(r), _integer(s))


class _FixedBase:
    """Multiples of the base point by table lookup: one addition for each four bits."""

    def __init__(self) -> None:
        self._table: list[list[_Point]] = []
        base = _G
        for _ in range(256 // _WINDOW):
            row = [base]
            for _ in range(2**_WINDOW - 2):
                row.append(_affine(_add((row[-1][0], row[-1][1], 1), base)))
            self._table.append(row)
            base = _affine(_add((row[-1][0], row[-1][1], 1), base))

    def times(self, scalar: int) -> _Point:
        total: _Jacobian = (0, 1, 0)
        for row in self._table:
            digit = scalar & (2**_WINDOW - 1)
            scalar >>= _WINDOW
            if digit:
                total = _add(total, row[digit - 1])
        return _affine(total)


def _add(one: _Jacobian, other: _Point) -> _Jacobian:
    """A Jacobian and an affine point (madd-2007-bl; doubling dbl-2001-b where they are the same)."""
    x1, y1, z1 = one
    if not z1:
        return (*other, 1)
    x2, y2 = other
    z_squared = z1 * z1 % _P
    h = (x2 * z_squared - x1) % _P
    r = (y2 * z1 * z_squared - y1) % _P
    if not h:
        return (0, 1, 0) if r else _double(one)
    h_squared = h * h % _P
    h_cubed = h * h_squared % _P
    v = x1 * h_squared % _P
    x3 = (r * r - h_cubed - 2 * v) % _P
    return x3, (r * (v - x3) - y1 * h_cubed) % _P, z1 * h % _P


def _double(point: _Jacobian) -> _Jacobian:
    x, y, z = point
    delta = z * z % _P
    gamma = y * y % _P
    beta = x * gamma % _P
    alpha = 3 * (x - delta) * (x + delta) % _P
    x3 = (alpha * alpha - 8 * beta) % _P
    return x3, (alpha * (4 * beta - x3) - 8 * gamma * gamma) % _P, ((y + z) ** 2 - gamma - delta) % _P


def _affine(point: _Jacobian) -> _Point:
    x, y, z = point
    inverse = pow(z, -1, _P)
    squared = inverse * inverse % _P
    return x * squared % _P, y * squared * inverse % _P


def _tlv(tag: int, value: bytes) -> bytes:
    size = len(value)
    if size < 0x80:
        return bytes((tag, size)) + value
    length = size.to_bytes((size.bit_length() + 7) // 8)
    return bytes((tag, 0x80 | len(length))) + length + value


def _sequence(*parts: bytes) -> bytes:
    return _tlv(0x30, b"".join(parts))


def _integer(value: int) -> bytes:
    return _tlv(0x02, value.to_bytes(value.bit_length() // 8 + 1))


def _bits(value: bytes, unused: int = 0) -> bytes:
    return _tlv(0x03, bytes((unused,)) + value)


def _identifier(dotted: str) -> bytes:
    first, second, *rest = map(int, dotted.split("."))
    encoded = bytearray((first * 40 + second,))
    for arc in rest:
        digits = [arc & 0x7F]
        while arc := arc >> 7:
            digits.append(arc & 0x7F | 0x80)
        encoded += bytes(reversed(digits))
    return _tlv(0x06, bytes(encoded))


_BOOLEAN_TRUE = _tlv(0x01, b"\xff")
_ECDSA_SHA256 = _sequence(_identifier("1.2.840.10045.4.3.2"))


def _extension(identifier: str, value: bytes, *, critical: bool = False) -> bytes:
    return _sequence(_identifier(identifier), _BOOLEAN_TRUE if critical else b"", _tlv(0x04, value))


def _name(common: str) -> bytes:
    return _sequence(_tlv(0x31, _sequence(_identifier("2.5.4.3"), _tlv(0x0C, common.encode()))))


def _alternative(name: str) -> bytes:
    try:
        return _tlv(0x87, ip_address(name).packed)
    except ValueError:
        return _tlv(0x82, name.encode())


def _encoded(point: _Point) -> bytes:
    return b"\x04" + point[0].to_bytes(32) + point[1].to_bytes(32)


def _key_identifier(point: _Point) -> bytes:
    """RFC 5280 4.2.1.2, method 1: a name for the key, not a protection."""
    return sha1(_encoded(point), usedforsecurity=False).digest()


def _pem(kind: str, der: bytes) -> str:
    text = base64.b64encode(der).decode()
    lines = "\n".join(text[start : start + 64] for start in range(0, len(text), 64))
    return f"-----BEGIN {kind}-----\n{lines}\n-----END {kind}-----\n"
