"""The shapes of the registry's facts. Every one says where it was read, when, and how far to trust it."""

from enum import StrEnum

import msgspec

UNKNOWN = "unknown"
"""A place nobody has told: an answer, not a gap."""


class Confidence(StrEnum):
    """How far a fact may be trusted, best first."""

    OFFICIAL = "official"
    """Whoever runs the thing says so."""
    MEASURED = "measured"
    """Somebody measured it and published how."""
    PRESS = "press"
    """Newspapers and news sites."""
    REPORTED = "reported"
    """Somebody else says so."""
    INFERRED = "inferred"
    """It follows from something else that happened, such as an outage."""
    UNSOURCED = "unsourced"
    """Generally known, or so it is believed: no page is at hand."""


class Fact(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What every fact carries.

    Attributes:
        source: the page it was read on (URL), or in words where it comes from.
        date: when the source said so or was read: `2025`, `2025-10` or `2025-10-21`.
    """

    source: str
    date: str
    confidence: Confidence
    note: str | None = None


class What(StrEnum):
    """Which part of a venue stands somewhere."""

    ENGINE = "engine"
    API = "api"
    RECOVERY = "recovery"


class Standing(StrEnum):
    """Whether we go by a statement, or only keep it because others repeat it."""

    HELD = "held"
    UNCONFIRMED = "unconfirmed"
    CONTRADICTED = "contradicted"


class Stand(Fact, frozen=True, kw_only=True):
    """A statement about where a part of a venue stands.

    Attributes:
        place: a name of the gazetteer (`aws:ap-northeast-1`, `Slough, GB`), `LAT,LON`, or `unknown`.
        zone: availability zone, in the provider's words.
        building: the data centre, in its owner's words.
        latitude, longitude: of the building where known better than its town; else the place's own are meant.
    """

    what: What
    place: str
    zone: str | None = None
    building: str | None = None
    latitude: float | None = None
    longitude: float | None = None
    standing: Standing = Standing.HELD


class Protocol(StrEnum):
    """How an endpoint is spoken to."""

    REST = "rest"
    WS = "ws"
    FIX = "fix"
    GRPC = "grpc"
    OTHER = "other"


class VenueEndpoint(Fact, frozen=True, kw_only=True):
    """One way into a venue.

    Attributes:
        fronted_by: the content network whose edge answers, `none`, or `unknown`.
    """

    protocol: Protocol
    host: str
    port: int = 443
    path: str = ""
    fronted_by: str = UNKNOWN


class Blocked(Fact, frozen=True, kw_only=True):
    """Countries (ISO 3166) whose addresses or residents a venue turns away; others may be turned away too."""

    countries: tuple[str, ...]


class VenueKind(StrEnum):
    """What a venue is for."""

    EXCHANGE = "exchange"
    BROKER = "broker"
    DATA = "data"


class RegistryVenue(Fact, frozen=True, kw_only=True):
    """One product line of an exchange, broker or data provider.

    Its own source, date and confidence speak for what is traded and when.

    Attributes:
        name: unique: `binance-spot`.
        product: the product line, in its operator's words.
        calendar: the name of a calendar.
        hosts: targets of the catalogue that are this venue.
        stands: who stands where, according to whom; contradicted statements are kept.
        blocked: None when nothing is known of it.
    """

    name: str
    title: str
    operator: str
    product: str
    kind: VenueKind
    assets: tuple[str, ...]
    calendar: str
    hosts: tuple[str, ...] = ()
    stands: tuple[Stand, ...]
    endpoints: tuple[VenueEndpoint, ...] = ()
    blocked: Blocked | None = None


class Session(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A stretch of local time on some days; one that closes at or before it opens ends on the next day.

    Attributes:
        days: `mon tue ...`, separated by blanks: the days on which it opens.
        kind: `main`, `pre`, `post`.
    """

    days: str
    opens: str
    closes: str
    kind: str = "main"


class Holidays(Fact, frozen=True, kw_only=True):
    """Whole days without trading between two dates, both inclusive; outside them nothing is known.

    Attributes:
        early: days that end early, as `YYYY-MM-DD HH:MM` local time.
    """

    since: str
    until: str
    days: tuple[str, ...]
    early: tuple[str, ...] = ()


class Calendar(Fact, frozen=True, kw_only=True):
    """When a market is open.

    Attributes:
        zone: IANA time zone of the sessions; daylight saving follows from it.
        sessions: none means around the clock, every day.
        holidays: None when no source is at hand: then nobody may assume there are none.
    """

    name: str
    zone: str
    sessions: tuple[Session, ...] = ()
    holidays: Holidays | None = None

    @property
    def always(self) -> bool:
        """Open day and night, every day of the year."""
        return not self.sessions


class ProviderKind(StrEnum):
    """What is rented there."""

    CLOUD = "cloud"
    VPS = "vps"
    COLOCATION = "colocation"


class Provider(Fact, frozen=True, kw_only=True):
    """Who rents out machines or room, and where.

    Attributes:
        sites: place of each site by its code (`ewr` -> `vultr:ewr`); the site is called `PROVIDER:CODE`.
        egress: country its addresses belong to, by code of site, where it is not the country it stands in.
    """

    name: str
    title: str
    kind: ProviderKind
    sites: dict[str, str]
    egress: dict[str, str] = {}


class MachinePlan(Fact, frozen=True, kw_only=True):
    """A machine for rent: what it has and what it costs.

    Attributes:
        price: per `per`, in `currency`; None is "not known", never free.
        prices: where it differs by site's code.
        sites: codes it is offered at; empty means at all of the provider's.
    """

    provider: str
    name: str
    vcpu: float
    memory_gb: float
    disk_gb: float | None = None
    transfer_tb: float | None = None
    price: float | None = None
    prices: dict[str, float] = {}
    currency: str | None = None
    per: str = "month"
    sites: tuple[str, ...] = ()


class Registry(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that is known, by name."""

    venues: dict[str, RegistryVenue]
    calendars: dict[str, Calendar]
    providers: dict[str, Provider]
    plans: tuple[MachinePlan, ...]
