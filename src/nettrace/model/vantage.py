"""Places we measure from, and what is known of them."""

from enum import StrEnum

import msgspec

from nettrace.model.instant import Instant


class VantageState(StrEnum):
    """What becomes of a vantage's reports."""

    ACTIVE = "active"
    DRAINED = "drained"
    REVOKED = "revoked"


class Clock(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How far a node's clock is from the hub's, by the round trip of one report (RFC 5905, 8: theta and delta/2).

    Attributes:
        offset_ns: hub minus node.
        error_ns: half the round trip: truth lies within +-error_ns.
        drift_ppm: how much faster the hub's clock runs, once enough time has passed to tell.
        synchronised: what the node's kernel says of its own clock, or None when it does not tell.
    """

    offset_ns: int
    error_ns: int
    synchronised: bool | None = None
    drift_ppm: float | None = None


class Vantage(msgspec.Struct, frozen=True, kw_only=True):
    """A place we measure from.

    Attributes:
        code: its name everywhere; the seeds call it region.
        city, country, latitude, longitude: where it says it stands, or None.
        last_seen: when the hub last heard of it; None is never.
        methods: what its host permits, by its own report, with how (`raw`, `datagram`, `connect` ...).
        problems: what its host does not permit, in words.
        reflector: ADDRESS:PORT of its STAMP reflector, by its own report; empty for none.
        lost_records: records its spool had to drop, all in all; each drop is a stated gap.
    """

    code: str
    node: str
    state: VantageState = VantageState.ACTIVE
    city: str | None = None
    country: str | None = None
    latitude: float | None = None
    longitude: float | None = None
    enrolled_at: Instant = 0
    last_seen: Instant | None = None
    version: str = ""
    methods: dict[str, str] = {}
    problems: tuple[str, ...] = ()
    clock: Clock | None = None
    lost_records: int = 0
    reflector: str = ""
