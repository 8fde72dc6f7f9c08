"""`nettrace routes`: how the routes of recorded traces changed."""

from collections.abc import Sequence
from pathlib import Path

import click

from nettrace.cli.exits import FAILED, OK, SOME_FAILED
from nettrace.cli.output import FORMATS, Document, Emitter, milliseconds, note
from nettrace.cli.view import cut

_COLOURS = {"as_path": "red", "ip_path": "yellow", "destination": "cyan", "load_balancing": "white"}


@click.group("routes")
def command() -> None:
    """Follow routes and say when they changed."""


@command.command("replay")
@click.argument("file", metavar="FILE")
@click.option(
    "--asn",
    "prefixes",
    type=click.Path(path_type=Path),
    metavar="PREFIXES",
    help="CSV of prefix,asn, or any AS table 'nettrace databases add' takes.",
)
@click.option(
    "-o", "--output", type=click.Choice(FORMATS), help="Default: table on a terminal, ndjson in a pipe."
)
def replay(file: str, prefixes: Path | None, output: str | None) -> None:
    """Run recorded traces through the hub's route trackers; one event a change.

    FILE is RIPE Atlas traceroute results or nettrace.trace/1 lines, plain or gzip; `-` is stdin. Traces are grouped
    by vantage, target and method and taken in order of time. Without an AS table (and without ASes in the traces)
    no change is called as_path. Exit 0 when all was read, 6 when some lines were not, 1 when none was.
    """
    from nettrace.analysis.routes.replay import Recording
    from nettrace.outside.traces import import_traces
    from nettrace.wire.atlas import Malformed
    from nettrace.wire.route_documents import route_change_document

    emitter = Emitter(output, RouteView())
    asn_of = _asn_of(prefixes) if prefixes else None
    recording, read, malformed = Recording(), 0, 0
    for item in import_traces(file):
        if isinstance(item, Malformed):
            malformed += 1
            note(f"{file}:{item.line}: skipped: {item.why}")
        else:
            read += 1
            recording.add(item)
    for change in recording.changes(asn_of):
        emitter.emit(route_change_document(change))
    emitter.close()
    note(f"{read} traces of {recording.pairs} pairs, {malformed} lines skipped")
    if malformed:
        raise click.exceptions.Exit(SOME_FAILED if read else FAILED)
    raise click.exceptions.Exit(OK if read else FAILED)


def _asn_of(prefixes: Path):
    from functools import lru_cache

    from nettrace.outside.asn import network_lookup

    look_up = network_lookup(prefixes)

    @lru_cache(maxsize=65_536)
    def number(address: str) -> int | None:
        found = look_up(address)
        return None if found is None else found.asn

    return number


class RouteView:
    """When, whose route, what changed, and whether the round trip followed."""

    fields: Sequence[str] = (
        "schema vantage target method at class from to from_route to_route rtt_delta_ms confidence reverted".split()
    )

    def heading(self) -> str | None:
        """The columns' names."""
        return f"{'AT':<21}{'VANTAGE':<16}{'TARGET':<26}{'CLASS':<16}{'RTT':>9}  CONFIDENCE"

    def lines(self, document: Document) -> Sequence[str]:
        """The change, and below it the hops that went and came."""
        kind: str = document["class"]
        styled = click.style(f"{kind.replace('_', ' '):<16}", fg=_COLOURS[kind])
        back = "  back on a former route" if document["reverted"] else ""
        head = (
            f"{document['at'][:19]}Z {cut(document['vantage'] or 'here', 15):<16}{cut(document['target'], 25):<26}"
            f"{styled}{_delta(document)}  {document['confidence']:.2f}{back}"
        )
        gone, come = _difference(document["from"], document["to"])
        return [head, f"  - {gone}", f"  + {come}"]


def _delta(document: Document) -> str:
    delta = document["rtt_delta_ms"]
    if delta is None:
        return milliseconds(None)
    return (
        (("+" if delta > 0 else "") + milliseconds(delta, 0)).rjust(9)
        if document["rtt_moved"]
        else "same".rjust(9)
    )


def _difference(before: Sequence[str | None], after: Sequence[str | None]) -> tuple[str, str]:
    gone = [hop for hop in before if hop is not None and hop not in after]
    come = [hop for hop in after if hop is not None and hop not in before]
    return " ".join(gone) or "(nothing)", " ".join(come) or "(nothing)"
