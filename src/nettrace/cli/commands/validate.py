"""`nettrace validate`: what was expected, held against what was measured and against light."""

import time
from collections.abc import Sequence
from pathlib import Path

import click

from nettrace.cli.folder import data_option
from nettrace.cli.output import FORMATS, Document, Emitter

_COLOURS = {
    "within": "green",
    "outside": "yellow",
    "impossible": "red",
    "edge_not_origin": "magenta",
    "no_data": "white",
}


@click.command("validate")
@click.option(
    "--hours",
    default=48.0,
    show_default=True,
    type=click.FloatRange(min=0, min_open=True),
    help="How far back to look.",
)
@click.option(
    "-f",
    "--file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Expectations (TOML). Default: the built-in ones.",
)
@click.option("--vantage", help="Judge what this vantage measured, wherever the expectation was meant from.")
@click.option(
    "-o", "--output", type=click.Choice(FORMATS), help="Default: table on a terminal, ndjson in a pipe."
)
@data_option
def command(
    hours: float, file: Path | None, vantage: str | None, output: str | None, data: Path | None
) -> None:
    """Judge each expectation: within, outside, impossible, an edge's answer, or no data.

    An expectation "from EWR" is judged by vantages that stand within 100 km of there; --vantage overrides that.
    """
    from nettrace.hub.open import folder_of, open_reader
    from nettrace.hub.validation import read_expectations, validate_all, validation_document
    from nettrace.outside.places import find
    from nettrace.store.rows import Window

    expectations = read_expectations(file)
    now = time.time_ns()
    reader = open_reader(folder_of(data))
    try:
        window = Window(now - round(hours * 3600e9), now)
        judged = validate_all(reader, expectations, window, find, vantage)
    finally:
        reader.close()
    emitter = Emitter(output, _View())
    for each in judged:
        emitter.emit(validation_document(each))
    emitter.close()


class _View:
    """A verdict, what was expected and why it is judged so."""

    fields = (
        "target",
        "vantage",
        "verdict",
        "expected_low_ms",
        "expected_high_ms",
        "p50_ms",
        "min_ms",
        "floor_ms",
        "rounds",
        "why",
    )

    def heading(self) -> str | None:
        """Nothing: each line stands for itself."""
        return None

    def lines(self, document: Document) -> Sequence[str]:
        """Verdict, pair, expectation; the reason below."""
        verdict: str = document["verdict"]
        said = click.style(f"{verdict.replace('_', ' '):<16}", fg=_COLOURS[verdict], bold=True)
        expected = f"{document['expected_low_ms']:g}-{document['expected_high_ms']:g} ms"
        return [
            f"{said} {document['vantage'] or 'here'} -> {document['target']}  expected {expected}",
            f"{'':<16} {document['why']}",
        ]
