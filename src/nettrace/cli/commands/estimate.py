"""`nettrace estimate`: what a round trip probably is where nobody measured it, with its interval and what it rests on."""

from collections.abc import Sequence
from pathlib import Path

import click

from nettrace.cli.estimating import evidence_option, evidence_with
from nettrace.cli.exits import NOTHING_MEASURED
from nettrace.cli.facts import registry_option, registry_with
from nettrace.cli.output import FORMATS, Document, Emitter


@click.command("estimate")
@click.argument("a")
@click.argument("b")
@evidence_option
@registry_option
@click.option(
    "-o", "--output", type=click.Choice(FORMATS), help="Default: table on a terminal, ndjson in a pipe."
)
def command(a: str, b: str, evidence: tuple[Path, ...], registry: Path | None, output: str | None) -> None:
    """Estimate the median round trip between A and B, with an interval and what it rests on.

    An end is a venue of the registry (binance-spot: its engine), a site (vultr:ewr), a cloud region, a city, an airport
    code or LAT,LON. Measured rows of your own (--evidence) come first, then published ones, then pairs near by.

    Exit code 5: nothing known bears on the pair.
    """
    import msgspec

    facts = registry_with(registry)
    known = evidence_with(evidence, facts)
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
    empty = dict.fromkeys(("p50_ms", "p95_ms", "low_ms", "high_ms", "evidence", "by", "n", "at", "fibre_ms"))
    document |= empty | {"basis": []} if found is None else msgspec.to_builtins(found)
    emitter.emit(document)
    emitter.close()
    if found is None:
        raise click.exceptions.Exit(NOTHING_MEASURED)


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
            made.append(f"  p95    {document['p95_ms']:g} ms")
        if document["fibre_ms"] is not None:
            made.append(f"  floor  {document['fibre_ms']:g} ms in glass on the great circle")
        return [*made, *(f"  from   {each}" for each in document["basis"])]
