"""`nettrace blame`: which leg got worse, from recorded traces."""

from collections.abc import Sequence

import click

from nettrace.cli.exits import FAILED, OK, SOME_FAILED
from nettrace.cli.output import FORMATS, Document, Emitter, milliseconds, note

_SAID = {
    "leg": ("at fault", "red"),
    "cannot_tell": ("cannot tell which", "yellow"),
    "none": ("nothing got worse", "green"),
}


@click.command("blame")
@click.argument("file", metavar="FILE")
@click.option("--since", required=True, metavar="TIME", help="RFC 3339 or seconds since 1970.")
@click.option(
    "-o", "--output", type=click.Choice(FORMATS), help="Default: table on a terminal, ndjson in a pipe."
)
def command(file: str, since: str, output: str | None) -> None:
    """Name the leg whose added delay or loss since TIME explains what got worse.

    FILE is nettrace.trace/1 lines (or RIPE Atlas traceroutes) of many vantages to many targets, several scans before
    and after TIME, plain or gzip; `-` is stdin. Verdict: leg; cannot_tell, with the set of legs that remains; none,
    when nothing got worse. Exit 0 when all was read, 6 when some lines were not, 1 when none was.
    """
    from nettrace.analysis.routes.blame import blame
    from nettrace.model.path import Trace
    from nettrace.outside.traces import import_traces
    from nettrace.wire.atlas import Malformed
    from nettrace.wire.route_documents import blame_document
    from nettrace.wire.traces import instant_of

    instant = instant_of(since)
    traces: list[Trace] = []
    malformed = 0
    for item in import_traces(file):
        if isinstance(item, Malformed):
            malformed += 1
            note(f"{file}:{item.line}: skipped: {item.why}")
        else:
            traces.append(item)
    found = blame(traces, instant)
    emitter = Emitter(output, BlameView())
    emitter.emit(blame_document(found))
    emitter.close()
    early = sum(trace.at < instant for trace in traces)
    note(
        f"{early} traces before, {len(traces) - early} after; {found.paths} pairs compared, {malformed} lines skipped"
    )
    if malformed:
        raise click.exceptions.Exit(SOME_FAILED if traces else FAILED)
    raise click.exceptions.Exit(OK if traces else FAILED)


class BlameView:
    """The verdict, the legs, and whom it concerns."""

    fields: Sequence[str] = "schema since verdict scope paths".split()

    def heading(self) -> str | None:
        """Nothing: there is one answer."""
        return None

    def lines(self, document: Document) -> Sequence[str]:
        """A line for the verdict, one a leg, and one for the pairs affected."""
        words, colour = _SAID[document["verdict"]]
        made = [click.style(words, fg=colour, bold=True)]
        made += [_leg(leg) for leg in document["legs"]]
        if document["affected"]:
            shown = [f"{vantage or 'here'} to {target}" for vantage, target in document["affected"]]
            more = f" and {len(shown) - 6} more" if len(shown) > 6 else ""
            made.append(f"  affected: {', '.join(shown[:6])}{more} (of {document['paths']} pairs)")
        return made


def _leg(leg: Document) -> str:
    added = "" if leg["added_ms"] is None else f"  +{milliseconds(leg['added_ms'], 0)} ms"
    loss = "" if leg["loss"] is None else f"  {100 * leg['loss']:.0f}% lost"
    tied = f"  (or {len(leg['tied'])} more)" if leg["tied"] else ""
    return f"  {leg['a']} - {leg['b']}{added}{loss}  confidence {leg['confidence']:.2f}{tied}"
