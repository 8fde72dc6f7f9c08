"""`nettrace claim check`: what physics says of a latency claim."""

from collections.abc import Sequence
from typing import TextIO

import click

from nettrace.cli.output import FORMATS, Document, Emitter, milliseconds

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

    lines = [line.strip() for line in file] if file else []
    claims = [*texts, *(line for line in lines if line and not line.startswith("#"))]
    if not claims:
        raise click.UsageError("Missing argument 'TEXT...' (or -f FILE).")
    emitter = Emitter(output, _ClaimView())
    for text in claims:
        emitter.emit(claim_document(judge(parse_claim(text.strip()), find)))
    emitter.close()


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
