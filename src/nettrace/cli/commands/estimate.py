"""`nettrace estimate`: what a round trip probably is where nobody measured it, with its interval and what it rests on."""

import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nettrace.cli.estimating import evidence_option, evidence_with
from nettrace.cli.exits import NOTHING_MEASURED
from nettrace.cli.facts import registry_option, registry_with
from nettrace.cli.folder import data_option
from nettrace.cli.output import FORMATS, Document, Emitter

if TYPE_CHECKING:
    from nettrace.placement.estimates.evidence import Evidence
    from nettrace.placement.registry.facts import Registry


@click.command("estimate")
@click.argument("a")
@click.argument("b")
@evidence_option
@click.option(
    "--hours",
    default=168.0,
    show_default=True,
    type=click.FloatRange(min=0, min_open=True),
    help="How far back to read what the hub keeps of other people's probes.",
)
@data_option
@registry_option
@click.option(
    "-o", "--output", type=click.Choice(FORMATS), help="Default: table on a terminal, ndjson in a pipe."
)
def command(
    a: str, b: str, *, evidence: tuple[Path, ...], hours: float, data: Path | None, registry: Path | None, output: str | None,
) -> None:  # fmt: skip
    """Estimate the median round trip between A and B, with an interval and what it rests on.

    An end is a venue of the registry (binance-spot: its engine), a site (vultr:ewr), a cloud region, a city, an airport
    code or LAT,LON. Measured rows of your own (--evidence) come first, then published ones, then pairs near by. What
    'nettrace remote --store' keeps in a hub's folder (the default one, or --data) is evidence too, by its probe's name.

    Exit code 5: nothing known bears on the pair.
    """
    import msgspec

    facts = registry_with(registry)
    known = evidence_with(evidence, facts)
    known = known.joined(*_lent(data, hours, facts))
    from nettrace.hub.estimating import end_in
    from nettrace.placement.estimates.estimate import estimate
    from nettrace.placement.estimates.evidence import Evidence
    from nettrace.placement.estimates.model import Model

    ends = [end_in(name, facts, known) for name in (a, b)]
    model = Model(known.joined(Evidence({end.name: end for end in ends})))
    found = estimate((ends[0].name, ends[1].name), model)
    emitter = Emitter(output, _View())
    document: Document = {"schema": "nettrace.estimate/1", "a": a, "b": b}
    document["ends"] = [end.name if end.placed else None for end in ends]
    empty = dict.fromkeys(
        (
            "p50_ms",
            "p95_ms",
            "p95_low_ms",
            "p95_high_ms",
            "low_ms",
            "high_ms",
            "evidence",
            "by",
            "n",
            "at",
            "fibre_ms",
        )
    )
    document |= empty | {"basis": []} if found is None else msgspec.to_builtins(found)
    emitter.emit(document)
    emitter.close()
    if found is None:
        raise click.exceptions.Exit(NOTHING_MEASURED)


def _lent(data: Path | None, hours: float, facts: "Registry") -> "Iterator[Evidence]":
    """Other people's looks kept in a hub; without --data nothing where no hub ever was."""
    from nettrace.hub.estimating import lent_evidence
    from nettrace.hub.open import folder_of, open_reader
    from nettrace.store.rows import Window

    place = folder_of(data)
    if data is None and not place.database.exists():
        return
    with closing(open_reader(place)) as reader:
        now = time.time_ns()
        yield lent_evidence(reader, Window(now - round(hours * 3600e9), now), facts)


class _View:
    """The estimate in a line; below it what it rests on."""

    fields = ("a", "b", "p50_ms", "low_ms", "high_ms", "evidence", "by", "n", "at", "fibre_ms")

    def heading(self) -> str | None:
        """Nothing."""
        return None

    def lines(self, document: Document) -> Sequence[str]:
        """What a person wants to see."""
        names = f"{document['a']} - {document['b']}"
        if document["p50_ms"] is None:
            lost = [
                name
                for name, end in zip((document["a"], document["b"]), document["ends"], strict=True)
                if not end
            ]
            why = (
                f"where {' and '.join(lost)} stands is not known, and no row speaks of it"
                if lost
                else "no evidence"
            )
            return [f"{names}: cannot tell: {why}"]
        span = (
            "no interval"
            if document["low_ms"] is None
            else f"{document['low_ms']:g} to {document['high_ms']:g}"
        )
        rows = f"{document['n']} rows" if document["evidence"] == "estimated" else f"n = {document['n']}"
        made = [
            f"{click.style(names, bold=True)}  {document['p50_ms']:g} ms ({span})  {document['evidence']} by {document['by']}, {rows}"
        ]
        if document["p95_ms"] is not None:
            ends = ("p95_low_ms", "p95_high_ms")
            reach = " to ".join(f"{document[end]:g}" for end in ends if document[end] is not None)
            made.append(f"  p95    {document['p95_ms']:g} ms ({reach or 'no interval'})")
        else:
            why = (
                "its row has none" if document["evidence"] == "measured" else "it takes 30 rows that have one"
            )
            made.append(f"  p95    unknown: {why}")
        if document["fibre_ms"] is not None:
            made.append(f"  floor  {document['fibre_ms']:g} ms in glass on the great circle")
        return [*made, *(f"  from   {each}" for each in document["basis"])]
