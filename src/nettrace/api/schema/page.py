"""What several answers share: lists, windows, values that were measured last."""

from typing import Generic, TypeVar

import msgspec

Row = TypeVar("Row")


class Page(msgspec.Struct, Generic[Row], kw_only=True):
    """A list.

    Attributes:
        next_cursor: hand it back as `cursor` for the rest; null on the last page.
    """

    data: list[Row]
    has_more: bool = False
    next_cursor: str | None = None


class LastMeasured(msgspec.Struct, kw_only=True):
    """The last round that measured anything, when the newest did not or is old; `age_s` is up to 5 s behind."""

    rtt_ms: float | None
    at: str
    age_s: float


class StagesShape(msgspec.Struct, kw_only=True, omit_defaults=True):
    """The steps of a connection, each by itself."""

    dns_ms: float | None = None
    connect_ms: float | None = None
    tls_ms: float | None = None
    ttfb_ms: float | None = None
    total_ms: float | None = None


class WindowShape(msgspec.Struct, kw_only=True):
    """The stretch an answer covers: `start` inclusive, `end` exclusive."""

    start: str
    end: str
