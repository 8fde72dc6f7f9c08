"""What a placement document needs beside the request: the `[document]` table of the same file."""

import tomllib
from typing import Any

import msgspec

from nettrace.errors import Invalid
from nettrace.placement.request import Request

HOW = ("cold", "kept-alive", "websocket")


class VenueNote(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a venue is spoken to, and what is to be measured of it.

    Attributes:
        host: whose round trips count (the engine's own address, or the API's).
        url: asked for by HTTPS; with `by = "request"` its first byte on a kept-alive connection is the latency that
            counts, because a content network answers the round trip.
        ws: a WebSocket of it.
        nearer: other hosts that lead to the same venue.
        today: `cold` (a new connection each time), `kept-alive` or `websocket`.
        hours: `trading` (measurements count while the venue's calendar in the registry is open) or `all`.
    """

    name: str
    host: str | None = None
    url: str | None = None
    ws: str | None = None
    by: str = "rtt"
    nearer: tuple[str, ...] = ()
    today: str = "cold"
    hours: str = "trading"


class SiteNote(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What stands at a site.

    Attributes:
        vantage: code of the own node there, or of the lab's.
        machine: the rented plan by its name at the provider.
        transfer_usd_month: part of `usd_month` that is paid for traffic.
    """

    name: str
    vantage: str | None = None
    machine: str | None = None
    transfer_usd_month: float = 0.0


class Service(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Something to run: beside its venues, or at one site whatever they are."""

    name: str
    venues: tuple[str, ...] = ()
    site: str | None = None
    vcpu: float = 1.0
    memory_gb: float = 1.0
    disk_gb: float = 10.0


class Scenario(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A way of trading, and what a millisecond of an order costs it.

    Attributes:
        usd_per_ms_order: low and high end, in dollars a millisecond and order.
        basis: where that comes from: own fills, a paper, or somebody's word.
    """

    name: str
    orders_day: float
    usd_per_ms_order: tuple[float, float]
    days_month: float = 21.0
    basis: str = "given"


class QuotedCost(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A sum an earlier document names."""

    what: str
    usd_month: float


class Quoted(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An earlier document, to be held against this one.

    Attributes:
        document: its name in the registry of claims, whose claims are judged.
        sites: what it recommends, in its order.
        costs: sums it names.
        doubts: what is known to be wrong in its method, in words, with the reason.
    """

    document: str
    sites: tuple[str, ...] = ()
    costs: tuple[QuotedCost, ...] = ()
    doubts: tuple[str, ...] = ()


class Brief(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The `[document]` table.

    Attributes:
        now: the site everything runs at today.
        unmeasured: `refuse` (a venue without any latency makes the request impossible, as without this table) or
            `set aside` (it is left out of the plan and said to be unknown).
    """

    title: str = "Placement plan"
    now: str | None = None
    unmeasured: str = "refuse"
    venue: tuple[VenueNote, ...] = ()
    site: tuple[SiteNote, ...] = ()
    service: tuple[Service, ...] = ()
    scenario: tuple[Scenario, ...] = ()
    quoted: Quoted | None = None

    def of_venue(self, name: str) -> VenueNote:
        """The note of a venue; an empty one where the file says nothing."""
        return next((each for each in self.venue if each.name == name), VenueNote(name=name))

    def of_site(self, name: str) -> SiteNote:
        """The note of a site; an empty one where the file says nothing."""
        return next((each for each in self.site if each.name == name), SiteNote(name=name))


def brief_of(raw: Any) -> Brief:
    """The brief that a `[document]` table, or the same in JSON, makes.

    Raises:
        Invalid: it is not what it should be.
    """
    try:
        return msgspec.convert(raw, Brief)
    except msgspec.ValidationError as error:
        raise Invalid(
            f"the [document] table cannot be read: {error}", "docs/guides/placement-document.md"
        ) from None


def split(text: str) -> tuple[str, Brief]:
    r"""The request's own text, and the brief that stood in it; line numbers of the former stay true.

    Raises:
        Invalid: the `[document]` table is not what it should be.

    >>> own, brief = split("[document]\ntitle = 'Mine'\n[limits]\nmax_sites = 2")
    >>> own.splitlines(), brief.title
    (['', '', '[limits]', 'max_sites = 2'], 'Mine')
    """
    try:
        raw: Any = tomllib.loads(text).get("document", {})
    except tomllib.TOMLDecodeError:
        return text, Brief()  # the request's reader says what is wrong with it
    brief = brief_of(raw)
    kept: list[str] = []
    mine = False
    for line in text.splitlines(keepends=True):
        head = line.strip().lstrip("[").lstrip()
        if line.lstrip().startswith("["):
            mine = head.startswith("document") and head[len("document") :].lstrip()[:1] in {"]", "."}
        kept.append("\n" if mine else line)
    return "".join(kept), brief


def check(brief: Brief, request: Request) -> None:
    """Return when every name in the brief is one of the request's.

    Raises:
        Invalid: with the first that is not.
    """
    sites = {site.name for site in request.site}
    venues = {venue.name for venue in request.venue}
    named = [("document.site", each.name, sites) for each in brief.site]
    named += [("document.now", brief.now, sites)] if brief.now else []
    named += [("document.venue", each.name, venues) for each in brief.venue]
    for service in brief.service:
        named += [(f"document.service {service.name!r}", name, venues) for name in service.venues]
        named += [(f"document.service {service.name!r}", service.site, sites)] if service.site else []
    named += [("document.quoted.sites", name, sites) for name in (brief.quoted.sites if brief.quoted else ())]
    for where, name, known in named:
        if name not in known:
            raise Invalid(
                f"{where}: '{name}' is no venue or site of the request",
                f"There are {', '.join(sorted(known))}",
            )
    if brief.unmeasured not in {"refuse", "set aside"}:
        raise Invalid(f"document.unmeasured is '{brief.unmeasured}'", 'Write "refuse" or "set aside"')
    for venue in brief.venue:
        if venue.today not in HOW or venue.by not in {"rtt", "request"}:
            raise Invalid(
                f"document.venue '{venue.name}': today = '{venue.today}', by = '{venue.by}'",
                f"today is one of {', '.join(HOW)}; by is rtt or request",
            )
        if venue.hours not in {"trading", "all"}:
            raise Invalid(
                f"document.venue '{venue.name}': hours = '{venue.hours}'", 'Write "trading" or "all"'
            )
