"""`nettrace import`: other people's measurements in NetTrace's shape."""

from collections import Counter
from collections.abc import Sequence

import click

from nettrace.cli.exits import FAILED, OK, SOME_FAILED
from nettrace.cli.output import FORMATS, Document, Emitter, note, page_width, verdict
from nettrace.cli.view import cut


class ImportView:
    """One line a result, whatever its kind."""

    fields: Sequence[str] = (
        "schema vantage target address method outcome reason rtt_ms min_ms p50_ms reached at".split()
    )

    def heading(self) -> str | None:
        """The columns' names."""
        return f"{'KIND':<7}{'VANTAGE':<14}{'TARGET':<{self._target_width()}} {'AT':<21}RESULT"

    def _target_width(self) -> int:
        return max(20, min(40, (page_width() or 120) - 56))

    def lines(self, document: Document) -> Sequence[str]:
        """The result's line."""
        kind = document["schema"].split(".")[1].split("/")[0]
        target = str(document.get("target") or document.get("name") or document.get("url") or "-")
        rtt = document.get("p50_ms") or document.get("rtt_ms") or document.get("ttfb_ms")
        shown = f"{rtt} ms" if isinstance(rtt, float) else verdict(document) or "measured"
        at = document["at"][:19] + "Z"
        return [
            f"{kind:<7}{document['vantage'] or '-':<14}{cut(target, self._target_width())} {at:<21}{shown}"
        ]


@click.group("import")
def command() -> None:
    """Read other people's measurements into NetTrace's shape."""


@command.command("atlas")
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.option(
    "-o", "--output", type=click.Choice(FORMATS), help="Default: table on a terminal, ndjson in a pipe."
)
def atlas(files: Sequence[str], output: str | None) -> None:
    """RIPE Atlas results (ping, traceroute, dns, http, sslcert, ntp; any firmware) as public documents.

    FILE is JSON lines, a JSON array or a result page with metadata, plain or gzip; `-` is stdin. A line that is not
    a result is reported on stderr with its number and skipped. Exit 0 when all was read, 6 when some lines were not,
    1 when none was.
    """
    from nettrace.outside.atlas import import_atlas
    from nettrace.wire.atlas import Malformed
    from nettrace.wire.documents import document

    emitter = Emitter(output, ImportView())
    counts: Counter[str] = Counter()
    for file in files:
        for item in import_atlas(file):
            if isinstance(item, Malformed):
                counts["malformed"] += 1
                note(f"{file}:{item.line}: skipped: {item.why}")
            else:
                counts["imported"] += 1
                emitter.emit(document(item.measurement))
    emitter.close()
    note(f"imported {counts['imported']}, skipped {counts['malformed']}")
    if counts["malformed"]:
        raise click.exceptions.Exit(SOME_FAILED if counts["imported"] else FAILED)
    raise click.exceptions.Exit(OK if counts["imported"] else FAILED)
