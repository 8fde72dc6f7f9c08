"""`nettrace registry`: what is known of venues and sites, with source, date and confidence."""

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

import click
import msgspec

from nettrace.cli.exits import FAILED
from nettrace.cli.facts import claims_known, claims_option, registry_option, registry_with
from nettrace.cli.output import FORMATS, Document, Emitter, note, write_lines
from nettrace.errors import Invalid
from nettrace.model.path import Place

if TYPE_CHECKING:
    from nettrace.placement.registry.facts import Registry

_APART = {"schema", "name", "title", "stands", "endpoints", "blocked"}
"""Fields that are shown in their own way."""

KINDS = ("venues", "sites", "plans", "calendars")
_form_option = click.option(
    "-o", "--output", type=click.Choice(FORMATS), help="Default: table on a terminal, ndjson in a pipe."
)


@click.group("registry")
def command() -> None:
    """What is known of venues, sites, prices and trading hours: each fact with source, date and confidence."""


@command.command("list")
@click.argument("kind", type=click.Choice(KINDS), default="venues")
@registry_option
@_form_option
def show_all(kind: str, registry: Path | None, output: str | None) -> None:
    """List venues (default), sites, plans or calendars."""
    facts = registry_with(registry)
    emitter = Emitter(output, _ListView(kind))
    makers = {"venues": _venues, "sites": _sites, "plans": _plans, "calendars": _calendars}
    for document in makers[kind](facts):
        emitter.emit(document)
    emitter.close()


@command.command("show")
@click.argument("name")
@registry_option
@_form_option
def show(name: str, registry: Path | None, output: str | None) -> None:
    """Everything about one venue, site (PROVIDER:CODE), calendar, or the venues behind a host."""
    facts = registry_with(registry)
    found = list(_named(facts, name))
    if not found:
        from difflib import get_close_matches

        close = get_close_matches(name, [*facts.venues, *facts.calendars], n=3)
        hint = f"Did you mean {' or '.join(close)}?" if close else "`nettrace registry list` names all venues"
        raise Invalid(f"the registry knows no '{name}'", hint)
    emitter = Emitter(output, _FactView())
    for document in found:
        emitter.emit(document)
    emitter.close()


@command.command("check")
@registry_option
@claims_option
@_form_option
def check(registry: Path | None, claims: Path | None, output: str | None) -> None:
    """Check every fact: source, date, confidence, coordinates at the place they name, no price without date and currency.

    And every claim: its words and where they stand, its date, a venue and places that are known.

    Exit code 1: something is wrong.
    """
    from nettrace.analysis.geo.sphere import between_km
    from nettrace.outside.places import find
    from nettrace.placement.registry.lint import lint, lint_claims

    facts, said, today = (
        registry_with(registry),
        claims_known(claims),
        time.strftime("%Y-%m-%d", time.gmtime()),
    )
    wrong = [*lint(facts, find, between_km, today), *lint_claims(said, facts, find, today)]
    emitter = Emitter(output, _WrongView())
    for each in wrong:
        emitter.emit({"schema": "nettrace.registry_finding/1", "of": each.of, "what": each.what})
    emitter.close()
    counts = f"{len(facts.venues)} venues, {len(facts.calendars)} calendars, {len(facts.plans)} plans, {len(said)} claims"
    note(f"nettrace: {counts}: {len(wrong)} findings")
    if wrong:
        raise click.exceptions.Exit(FAILED)


@command.command("import-matrix")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--source", required=True, help="Whose numbers they are, for every estimate to name.")
@click.option("--at", metavar="DATE", help="When it was measured: 2025, 2025-10 or 2025-10-21.")
@click.option("--provider", default="", help="Put before its names: aws makes eu-west-2 aws:eu-west-2.")
def import_matrix(file: Path, source: str, at: str | None, provider: str) -> None:
    """Turn a published latency matrix into a table for --evidence, on stdout.

    FILE is a square CSV with names in its first row and column, {from: {to: ms}} as JSON, or rows a,b,p50_ms. Whether you
    may use it is between you and who published it. Names that are no place are told on stderr: without a place a row
    helps only pairs that share an end with many others.
    """
    from nettrace.hub.estimating import end_named
    from nettrace.placement.estimates.evidence import write_table
    from nettrace.placement.estimates.matrices import Origin, read_matrix
    from nettrace.runtime.named_file import read_text

    rows = read_matrix(read_text(file), str(file), Origin(source=source, at=at, provider=provider))
    facts = registry_with(None)
    names = dict.fromkeys(name for row in rows for name in (row.a, row.b))
    nowhere = [name for name in names if not end_named(name, facts).placed]
    write_lines(write_table(rows).encode())
    note(f"nettrace: {len(rows)} pairs of {len(names)} ends")
    if nowhere:
        note(f"nettrace: no place is known for {', '.join(nowhere)}")


def _venues(facts: "Registry") -> Iterator[Document]:
    from nettrace.outside.places import find
    from nettrace.placement.registry.facts import What
    from nettrace.placement.registry.places import held, stand_place

    for venue in facts.venues.values():
        stand = held(venue, What.ENGINE)
        yield {
            "schema": "nettrace.venue/1", "name": venue.name, "title": venue.title, "operator": venue.operator,
            "product": venue.product, "kind": venue.kind, "engine": stand.place if stand else None,
            "engine_place": _place(stand_place(stand, find)), "confidence": stand.confidence if stand else None,
            "source": stand.source if stand else None, "date": stand.date if stand else None,
            "contradicting": sum(each.standing != "held" for each in venue.stands), "calendar": venue.calendar,
        }  # fmt: skip


def _sites(facts: "Registry") -> Iterator[Document]:
    from nettrace.outside.places import find
    from nettrace.placement.registry.places import sites_of

    for site in sites_of(facts, find):
        provider = facts.providers[site.provider]
        yield {
            "schema": "nettrace.site/1", "name": site.name, "provider": site.provider, "kind": provider.kind,
            "place": _place(site.place), "egress": site.egress, "source": provider.source, "date": provider.date,
            "confidence": provider.confidence, "plans": [dict(each) for each in _offers(facts, site.provider, site.code)],
        }  # fmt: skip


def _offers(facts: "Registry", provider: str, code: str) -> Iterator[Document]:
    """Plans at a site, cheapest first; those without a price last."""
    from nettrace.placement.registry.places import plans_at

    for plan, price in plans_at(facts, provider, code):
        yield {
            "name": plan.name,
            "price": price,
            "currency": plan.currency,
            "per": plan.per,
            "date": plan.date,
        }


def _plans(facts: "Registry") -> Iterator[Document]:
    for plan in facts.plans:
        yield {"schema": "nettrace.machine_plan/1"} | msgspec.to_builtins(plan)


def _calendars(facts: "Registry") -> Iterator[Document]:
    for calendar in facts.calendars.values():
        yield {"schema": "nettrace.calendar/1", "always": calendar.always} | msgspec.to_builtins(calendar)


def _named(facts: "Registry", name: str) -> Iterator[Document]:
    """What is meant by a name: a venue, a calendar, a site, or all venues of a host."""
    from nettrace.placement.registry.places import venues_of

    if name in facts.calendars:
        yield from (each for each in _calendars(facts) if each["name"] == name)
    yield from (each for each in _sites(facts) if each["name"] == name)
    venues = [facts.venues[name]] if name in facts.venues else venues_of(facts, name)
    for venue in venues:
        yield {"schema": "nettrace.venue_facts/1"} | msgspec.to_builtins(venue)


def _place(place: Place | None) -> Document | None:
    if place is None:
        return None
    return {
        "name": place.name,
        "country": place.country,
        "lat": place.latitude,
        "lon": place.longitude,
        "radius_km": place.radius_km,
    }


class _ListView:
    """One line for each."""

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self.fields: Sequence[str] = {
            "venues": (
                "name",
                "title",
                "product",
                "kind",
                "engine",
                "confidence",
                "date",
                "source",
                "calendar",
            ),
            "sites": ("name", "kind", "egress", "confidence", "date", "source"),
            "plans": ("provider", "name", "vcpu", "memory_gb", "price", "currency", "per", "date", "source"),
            "calendars": ("name", "zone", "always", "confidence", "date", "source"),
        }[kind]

    def heading(self) -> str | None:
        """Nothing."""
        return None

    def lines(self, document: Document) -> Sequence[str]:
        """What a person wants to see at once."""
        match self._kind:
            case "venues":
                more = (
                    f"  ({document['contradicting']} other statements)" if document["contradicting"] else ""
                )
                return [
                    f"{document['name']:<22}  {document['engine']:<22}  {document['confidence']:<10}  {document['product']}{more}"
                ]
            case "sites":
                place = document["place"] or {"name": "unknown"}
                return [
                    f"{document['name']:<26}  {place['name']}, {document['egress']}  {_cheapest(document)}"
                ]
            case "plans":
                return [f"{document['provider']:<8}  {document['name']:<24}  {_price(document)}"]
            case _:
                hours = "around the clock" if document["always"] else _hours(document)
                days = "" if document["always"] else _holidays(document.get("holidays"))
                return [f"{document['name']:<16}  {document['zone']:<20}  {hours}{days}"]


def _cheapest(document: Document) -> str:
    priced = [each for each in document["plans"] if each["price"] is not None]
    if not priced:
        return "price unknown"
    first = priced[0]
    return (
        f"from {first['price']:g} {first['currency']} per {first['per']} ({first['name']}, {first['date']})"
    )


def _price(document: Document) -> str:
    shape = f"{document['vcpu']:g} vCPU, {document['memory_gb']:g} GB"
    prices = [*document["prices"].values(), *([] if document["price"] is None else [document["price"]])]
    if not prices:
        return f"{shape}: price unknown"
    span = f"{min(prices):g}" if min(prices) == max(prices) else f"{min(prices):g}-{max(prices):g}"
    return f"{shape}: {span} {document['currency']} per {document['per']} ({document['date']})"


def _hours(document: Document) -> str:
    return ", ".join(
        f"{each['opens']}-{each['closes']}" for each in document["sessions"] if each["kind"] == "main"
    )


def _holidays(holidays: Document | None) -> str:
    return (
        "; holidays missing" if holidays is None else f"; holidays {holidays['since']}..{holidays['until']}"
    )


class _FactView:
    """Everything known of one thing, a fact a line."""

    fields = ("name", "title", "product", "kind", "calendar", "source", "date", "confidence")

    def heading(self) -> str | None:
        """Nothing."""
        return None

    def lines(self, document: Document) -> Sequence[str]:
        """The name; below it one line a fact with where it comes from."""
        made = [click.style(str(document["name"]), bold=True) + f"  {document.get('title') or ''}"]
        for key, value in document.items():
            if key not in _APART and value is not None and value != ():
                made.append(f"  {key:<10}  {_words(value)}")
        for stand in document.get("stands", ()):
            more = " ".join(str(stand[key]) for key in ("zone", "building") if stand.get(key))
            made.append(
                f"  {stand['what']:<10}  {stand['place']} {more} [{stand['standing']}] {_from(stand)}"
            )
        for end in document.get("endpoints", ()):
            at = f"{end['host']}:{end['port']}{end['path']}"
            made.append(f"  {end['protocol']:<10}  {at} (edge: {end['fronted_by']}) {_from(end)}")
        if document.get("blocked"):
            made.append(
                f"  {'blocked':<10}  {', '.join(document['blocked']['countries'])} {_from(document['blocked'])}"
            )
        return made


def _words(value: object) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(_words, cast("Sequence[object]", value)))
    if isinstance(value, dict):
        return ", ".join(f"{key} {_words(each)}" for key, each in cast("Document", value).items() if each)
    return str(value)


def _from(fact: Document) -> str:
    said = f"{fact['confidence']}, {fact['date']}: {fact['source']}"
    return f"({said}; {fact['note']})" if fact.get("note") else f"({said})"


class _WrongView:
    """A finding a line."""

    fields = ("of", "what")

    def heading(self) -> str | None:
        """Nothing."""
        return None

    def lines(self, document: Document) -> Sequence[str]:
        """Of what, and what."""
        return [f"{document['of']}: {document['what']}"]
