"""Points in time: UTC nanoseconds since 1970 as plain integers.

An `Instant` has no time zone to forget and no float to round; only the doors turn it into text.
"""

from datetime import UTC, datetime

Instant = int
"""UTC nanoseconds since 1970-01-01T00:00:00Z."""

NS_PER_MS = 1_000_000
NS_PER_S = 1_000_000_000


def rfc3339(at_ns: Instant) -> str:
    """The instant as RFC 3339 text in UTC with microseconds.

    >>> rfc3339(1_767_225_600_000_000_000)
    '2026-01-01T00:00:00.000000Z'
    """
    seconds, ns = divmod(at_ns, NS_PER_S)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{ns // 1000:06d}Z"


def ms(ns: int | None) -> float | None:
    """Nanoseconds as milliseconds rounded to a tenth of a microsecond; None stays None.

    >>> ms(10_012_345)
    10.0123
    """
    return None if ns is None else round(ns / NS_PER_MS, 4)
