"""`nettrace claim`: what physics, the registry and a hub's measurements say of latency claims."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import click

from nettrace.cli.facts import claims_known, claims_option, registry_option, registry_with
from nettrace.cli.folder import data_option
from nettrace.cli.output import FORMATS, Document, Emitter, milliseconds

if TYPE_CHECKING:
    from nettrace.placement.registry.claims import RegisteredClaim

_COLOURS = {"possible": "green", "implausible": "yellow", "impossible": "red", "unknown_place": "magenta"}


class _Claims(click.Command):
    """A command whose arguments may begin with a minus: `-33.9,151.2 -> SIN 40ms` is no option."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Keep southern latitudes from being read as options."""
        return super().parse_args(
            ctx, [f" {arg}" if arg[:1] == "-" and arg[1:2].isdigit() else arg for arg in args]
        )


@click.group("claim")
def command() -> None:
    """Judge latency claims against the speed of light."""


@command.command("check", cls=_Claims)
@click.argument("texts", nargs=-1, metavar="TEXT...")
@click.option("-f", "--file", type=click.File(), help="Claims one a line; '-' is stdin; '#' begins a remark.")
@click.option(
    "-o", "--output", type=click.Choice(FORMATS), help="Default: table on a terminal, ndjson in a pipe."
)
def check(texts: Sequence[str], file: TextIO | None, output: str | None) -> None:
    """Judge each claim such as "EWR -> SIN 40ms".

    A place is an IATA code (the city its network sites stand in), a city ("Tokyo", "Portland, OR"), a cloud
    region (aws:ap-northeast-1) or LAT,LON. A time is a round trip unless the text says one-way; a range counts by
    its slowest end.

    possible: a fibre on the great circle could do it. implausible: only microwave or hollow fibre could.
    impossible: faster than light.
    """
    from nettrace.analysis.geo.claim import claim_document, judge, parse_claim
    from nettrace.outside.places import find
    from nettrace.runtime.named_file import lines_of

    lines = [line.strip() for line in lines_of(file, file.name)] if file else []
    claims = [*texts, *(line for line in lines if line and not line.startswith("#"))]
    if not claims:
        raise click.UsageError("Missing argument 'TEXT...' (or -f FILE).")
    emitter = Emitter(output, _ClaimView())
    for text in claims:
        emitter.emit(claim_document(judge(parse_claim(text.strip()), find)))
    emitter.close()


_file_option = click.option(
    "-f",
    "--file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The claims of this file alone (TOML), none of those that ship.",
)
_form_option = click.option(
    "-o", "--output", type=click.Choice(FORMATS), help="Default: table on a terminal, ndjson in a pipe."
)


@command.command("list")
@_file_option
@claims_option
@_form_option
def show(file: Path | None, claims: Path | None, output: str | None) -> None:
    """The registry of claims, word for word, with document and line."""
    import msgspec

    emitter = Emitter(output, _ListView())
    for claim in _claims(file, claims):
        emitter.emit({"schema": "nettrace.registered_claim/1"} | msgspec.to_builtins(claim))
    emitter.close()


@command.command("audit")
@_file_option
@claims_option
@registry_option
@click.option(
    "--hours",
    default=48.0,
    show_default=True,
    type=click.FloatRange(min=0, min_open=True),
    help="How far back to look into a hub's measurements.",
)
@_form_option
@data_option
def audit(
    file: Path | None, claims: Path | None, registry: Path | None, hours: float, output: str | None, data: Path | None,
) -> None:  # fmt: skip
    """Judge every claim of the registry: by light, by what is known of the venue, and by measurement.

    The verdict is the worse of two: to the place the document names (the best of several), and to where the registry
    puts the venue. With --data, the hub's measurements from near the claimed place say within or contradicted.
    """
    from nettrace.hub.claims import audit as audited
    from nettrace.hub.claims import audit_document, measured
    from nettrace.hub.open import folder_of, open_reader
    from nettrace.outside.places import find
    from nettrace.store.rows import Window

    facts, now = registry_with(registry), time.time_ns()
    reader = open_reader(folder_of(data)) if data is not None else None
    try:
        window = Window(now - round(hours * 3600e9), now)
        emitter = Emitter(output, _AuditView())
        for claim in _claims(file, claims):
            evidence = measured(claim, facts, reader, window, find) if reader else None
            emitter.emit(audit_document(audited(claim, facts, find), evidence))
        emitter.close()
    finally:
        if reader is not None:
            reader.close()


def _claims(file: Path | None, more: Path | None) -> "tuple[RegisteredClaim, ...]":
    """The claims of `file` alone, else those that ship with those of `more`."""
    from nettrace.placement.registry.claims import extended_claims
    from nettrace.runtime.named_file import read_text

    return claims_known(more) if file is None else extended_claims((), read_text(file), str(file))


def _said(document: Document) -> str:
    """What was claimed, in one line."""
    if document["kind"] == "location":
        return f"{document['venue']} stands in {', '.join(document['said'])}"
    low, high = document["low_ms"], document["high_ms"]
    span = f"{high:g}" if low == high else f"{low:g}-{high:g}"
    far = document["venue"] or ", ".join(document["said"])
    way = " one way" if document.get("one_way") or document.get("direction") == "one_way" else ""
    trips = f" for {document['round_trips']} round trips" if document["round_trips"] > 1 else ""
    return f"{document.get('origin') or document.get('from')} -> {far} {span} ms{way}{trips}"


class _ListView:
    """A claim and where it stands written."""

    fields = ("id", "kind", "origin", "venue", "said", "low_ms", "high_ms", "document", "line", "quote")

    def heading(self) -> str | None:
        """Nothing."""
        return None

    def lines(self, document: Document) -> Sequence[str]:
        """The claim; below it the words."""
        where = f"{document['document']}, line {document['line']}"
        return [f"{document['id']:<28}  {_said(document)}", f'{"":<28}  "{document["quote"]}" ({where})']


class _AuditView:
    """A verdict, the claim and the reasons."""

    fields = (
        "id", "verdict", "registry", "kind", "from", "venue", "low_ms", "high_ms", "document", "line", "quote", "why",
    )  # fmt: skip

    def heading(self) -> str | None:
        """Nothing: each claim stands for itself."""
        return None

    def lines(self, document: Document) -> Sequence[str]:
        """Verdict and claim; below them document and reasons."""
        verdict = document["verdict"] or f"registry {document['registry']}"
        said = click.style(f"{verdict.replace('_', ' '):<20}", fg=_COLOURS.get(verdict, "white"), bold=True)
        seen = document["measured"]
        told = f" [measured: {seen['verdict'].replace('_', ' ')}]" if seen else ""
        return [
            f"{said}  {_said(document)}{told}",
            f"{'':<20}  {document['document']}, line {document['line']}. {document['why']}",
        ]


class _ClaimView:
    """A verdict and the figures it rests on."""

    fields = ("claim", "verdict", "claimed_ms", "floor_ms", "fibre_ms", "distance_km", "direction")

    def heading(self) -> str | None:
        """Nothing: each claim stands for itself."""
        return None

    def lines(self, document: Document) -> Sequence[str]:
        """Verdict and claim, the places understood, the floors."""
        verdict: str = document["verdict"]
        said = click.style(verdict.replace("_", " "), fg=_COLOURS[verdict], bold=True)
        made = [f"{said}  {document['claim']}", f"  {_end(document['from'])} -> {_end(document['to'])}"]
        if document["distance_km"] is not None:
            way = document["direction"].replace("_", " ")
            light, fibre = (milliseconds(document[name], 0) for name in ("floor_ms", "fibre_ms"))
            made.append(f"  {document['distance_km']:g} km: light {light} ms, fibre {fibre} ms {way}")
        return made


def _end(end: Document) -> str:
    if end["name"] is None:
        return f"{end['asked']} (unknown)"
    return f"{end['name']}, {end['country']}" if end["country"] else str(end["name"])
