"""`nettrace where`: where a host stands, edge and origin, by light from many places."""

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TextIO

import click

from nettrace.cli.facts import registry_option, registry_with
from nettrace.cli.folder import data_option
from nettrace.cli.output import FORMATS, Document, Emitter, milliseconds

_COLOURS = {"located": "green", "ambiguous": "yellow", "anycast": "magenta", "cannot_tell": "white"}

_RELAYED = {
    True: "an edge stands before the origin, or several machines share the name",
    False: "nothing says that an edge stands before the origin",
    None: "nothing tells",
}


@click.command("where")
@click.argument("host")
@click.option(
    "--rtt",
    type=click.File(encoding="utf-8"),
    help="PLACE,MIN_RTT_MS[,FIRST_BYTE_MS] a line, instead of any hub's data; '-' is stdin.",
)
@click.option(
    "--header",
    "headers",
    multiple=True,
    metavar="'NAME: VALUE'",
    help="A response header that may name the edge's airport (cf-ray, x-amz-cf-pop, x-served-by).",
)
@click.option(
    "--hours",
    default=168.0,
    show_default=True,
    type=click.FloatRange(min=0, min_open=True),
    help="How far back to look for minima.",
)
@registry_option
@click.option(
    "-o", "--output", type=click.Choice(FORMATS), help="Default: table on a terminal, ndjson in a pipe."
)
@data_option
def command(
    host: str,
    rtt: TextIO | None,
    headers: Sequence[str],
    hours: float,
    registry: Path | None,
    output: str | None,
    data: Path | None,
) -> None:
    """Where HOST stands, as far as light and many least round trips tell: its edge, and the origin behind it.

    located: one area explains the answers. ambiguous: a few do. anycast: no one place can have given all answers.
    cannot tell: too many areas, or none. Nothing is measured by this command; it reads what a hub has, or a file.
    """
    from nettrace.hub.open import folder_of, open_reader
    from nettrace.hub.whereabouts import seen_by_hub, seen_in_file, whereabouts, whereabouts_document
    from nettrace.outside.places import find
    from nettrace.runtime.named_file import lines_of
    from nettrace.store.rows import Window

    facts = registry_with(registry)
    if rtt is not None:
        seen = seen_in_file(lines_of(rtt, rtt.name), find)
    else:
        reader, now = open_reader(folder_of(data)), time.time_ns()
        try:
            seen = seen_by_hub(reader, host, Window(now - round(hours * 3600e9), now))
        finally:
            reader.close()
    emitter = Emitter(output, _View())
    emitter.emit(whereabouts_document(whereabouts(host, seen, facts, find, headers)))
    emitter.close()


class _View:
    """Edge, origin, and what headers and the registry say."""

    fields = ("host", "vantages", "relayed", "behind_ms")

    def heading(self) -> str | None:
        """Nothing."""
        return None

    def lines(self, document: Document) -> Sequence[str]:
        """One block each for edge and origin."""
        made = [f"{document['host']}, seen from {document['vantages']} places"]
        for part in ("edge", "origin"):
            made += _part(part, document[part])
        if document["behind_ms"] is not None:
            more = f"answers take {milliseconds(document['behind_ms'], 0)} ms more than handshakes where that is least"
            made.append(f"  {more}: {_RELAYED[document['relayed']]}")
        for hint in document["hints"]:
            made.append(f"  {hint['header']}: {hint['place']['name']}{_light(hint['allowed'])}")
        for venue in document["venues"]:
            place = venue["place"]["name"] if venue["place"] else "unknown"
            made.append(f"  registry: {venue['venue']} in {place}{_light(venue['allowed'])}")
        return made


def _part(part: str, region: Document | None) -> Iterator[str]:
    if region is None:
        yield f"  {part:<7} not measured"
        return
    found: str = region["found"]
    said = click.style(found.replace("_", " "), fg=_COLOURS[found], bold=True)
    near = region["nearest"]
    yield f"  {part:<7} {said}: {region['why']}"
    yield f"  {'':<7} nearest: {milliseconds(near['rtt_ms'], 0)} ms from {near['place']['name']}"
    for each in region["regions"]:
        stretch = "" if each["stretch"] is None else f", {each['stretch']:g}x fibre from the nearest vantage"
        at = f"{each['name']}, {each['country']}" if each["country"] else each["name"]
        yield f"  {'':<7} {at}: residual {milliseconds(each['residual_ms'], 0)} ms{stretch}"
    for site in region["sites"]:
        yield f"  {'':<7} one within {milliseconds(site['rtt_ms'], 0)} ms of {site['near']['name']}"


def _light(allowed: bool | None) -> str:
    return "" if allowed is None else " (light allows it)" if allowed else " (light forbids it)"
