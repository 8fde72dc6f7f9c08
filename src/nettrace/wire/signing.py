"""How a node proves that a request is its own: HMAC-SHA256 (RFC 2104) over method, path, time and body.

Both sides derive the key from the node's secret, so the hub keeps no secret in the clear. The body is signed as it
goes over the wire, compressed: a forged one is refused before it is unpacked. The path is the door's own, such as
`/api/v1/nodes/report`, whatever a proxy puts before it.
"""

import hashlib
import hmac
from collections.abc import Mapping

from nettrace.model.instant import NS_PER_S, Instant

NODE_HEADER = "NetTrace-Node"
TIME_HEADER = "NetTrace-Time"
SIGNATURE_HEADER = "NetTrace-Signature"
SCHEME = "v1="

LEEWAY_NS = 300 * NS_PER_S
"""How far a request's time may be from the hub's: a recorded request is worth nothing afterwards."""


def key_of(secret: str) -> bytes:
    """The signing key that belongs to a node's secret: its SHA-256, 32 bytes."""
    return hashlib.sha256(secret.encode()).digest()


def signature(key: bytes, method: str, path: str, time_ns: Instant, body: bytes = b"") -> str:
    """The signature's text for one request.

    >>> signature(key_of("s"), "GET", "/api/v1/nodes/work", 1)[:11]
    'v1=5aea3712'
    """
    text = f"{method.upper()}\n{path}\n{time_ns}\n{hashlib.sha256(body).hexdigest()}"
    return SCHEME + hmac.new(key, text.encode(), hashlib.sha256).hexdigest()


def signed(
    node: str, key: bytes, request: tuple[str, str], time_ns: Instant, body: bytes = b""
) -> dict[str, str]:
    """The three headers of a signed request.

    Args:
        node: the node's id.
        key: of `key_of`.
        request: method and path.
        time_ns: now, by the hub's clock as far as the node knows it.
        body: as it goes over the wire.
    """
    return {
        NODE_HEADER: node,
        TIME_HEADER: str(time_ns),
        SIGNATURE_HEADER: signature(key, *request, time_ns, body),
    }


def genuine(key: bytes, request: tuple[str, str], headers: Mapping[str, str], body: bytes = b"") -> bool:
    """True when the headers sign this request with this key; compared in constant time. Their time is not judged.

    >>> headers = signed("n", key_of("s"), ("POST", "/x"), 5, b"body")
    >>> genuine(key_of("s"), ("POST", "/x"), headers, b"body"), genuine(key_of("s"), ("POST", "/x"), headers, b"else")
    (True, False)
    """
    given = {name.lower(): value for name, value in headers.items()}
    stamp = given.get(TIME_HEADER.lower(), "")
    if not (stamp.isascii() and stamp.isdigit() and len(stamp) < 20):
        return False
    said = given.get(SIGNATURE_HEADER.lower(), "").encode("utf-8", "replace")
    return hmac.compare_digest(said, signature(key, *request, int(stamp), body).encode())


def timely(headers: Mapping[str, str], now: Instant) -> bool:
    """True when the request's time is within `LEEWAY_NS` of `now`."""
    stamp = {name.lower(): value for name, value in headers.items()}.get(TIME_HEADER.lower(), "")
    return stamp.isascii() and stamp.isdigit() and len(stamp) < 20 and abs(int(stamp) - now) <= LEEWAY_NS
