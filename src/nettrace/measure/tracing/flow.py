"""Flows that never change: the same endpoint and number give the same flow for ever.

Load balancers pick a path by hashing the flow (RFC 2992, RFC 6438). A trace whose flow is a pure function of
what it measures can be compared with last year's trace; one that draws ports at random cannot.
"""

from functools import lru_cache

try:
    # What hashlib hands out, without OpenSSL (3.5 MB and 3 ms) that comes with it.
    from _blake2 import blake2b
except ImportError:
    from hashlib import blake2b

from nettrace.model.measurement import Method
from nettrace.model.path import Flow

DEFAULT_PORT = {Method.ICMP: None, Method.UDP: 33434, Method.TCP: 443}
"""Destination port when nobody names one: traceroute's first, and the one API traffic really takes."""

FIRST_SOURCE_PORT = 61_000
"""Source ports lie above Linux's ephemeral range (32768-60999), so no local connection is ever in the way."""


@lru_cache(maxsize=4096)
def flow_for(address: str, method: Method, number: int = 0, port: int | None = None) -> Flow:
    """Flow `number` of an endpoint: 0 is the canonical one.

    The mapping is part of stored history: changing it makes every route look changed.

    >>> flow_for("198.18.0.1", Method.UDP) == flow_for("198.18.0.1", Method.UDP, 0)
    True
    >>> flow_for("198.18.0.1", Method.TCP).destination_port
    443
    """
    destination_port = port if port is not None else DEFAULT_PORT[method] or 0
    source_port, identifier, check, label = flow_words(address, method.value, destination_port, number)
    return Flow(
        number=number,
        method=method,
        source_port=source_port,
        destination_port=destination_port,
        icmp_identifier=identifier,
        icmp_checksum=check,
        ipv6_flow_label=label if ":" in address else 0,
    )


def flow_words(address: str, method: str, destination_port: int, number: int) -> tuple[int, int, int, int]:
    """The numbers `flow_for` puts into a flow, without making one: a sweep needs them for thousands of targets.

    Source port, ICMP identifier, ICMP checksum, IPv6 flow label (to be used on IPv6 only).
    """
    digest = flow_digest(address, method, destination_port, number)
    word = int.from_bytes(digest)
    return (
        source_port(digest),
        (word >> 16 & 0xFFFF) or 1,
        # 0x0000 and 0xFFFF are the same number in one's complement; keep clear of both.
        (word >> 32 & 0xFFFF) % 0xFFFE + 1,
        (word >> 48 & 0xFFFFF) or 1,
    )


def flow_digest(address: str, method: str, destination_port: int, number: int) -> bytes:
    """The 16 bytes all numbers of a flow are drawn from."""
    seed = f"nettrace-flow-1|{address}|{method}|{destination_port}|{number}".encode()
    return blake2b(seed, digest_size=16).digest()


def source_port(digest: bytes) -> int:
    """The source port of a flow."""
    return FIRST_SOURCE_PORT + (digest[14] << 8 | digest[15]) % (65_536 - FIRST_SOURCE_PORT)
