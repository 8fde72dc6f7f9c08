"""`nettrace plan verify`: what a plan promised against what was measured since."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import click
import msgspec

from nettrace.cli.exits import exit_code
from nettrace.cli.output import FORMATS, Document, Emitter, milliseconds, note
from nettrace.errors import Invalid

if TYPE_CHECKING:
    from nettrace.placement.request import Request

_OUTCOMES = {"kept": "measured", "broken": "failed", "not_measured": "not_measured"}
_COLOURS = {"kept": "green", "broken": "red", "not_measured": "yellow"}


@click.command("verify")
@click.argument("plan_file", metavar="PLAN.json", type=click.File("rb", lazy=True))
@click.option(
    "--results",
    multiple=True,
    metavar="[SITE=]FILE",
    help="Results of the test plan's jobs (-o ndjson). Repeatable.",
)
@click.option(
    "--data",
    type=click.Path(path_type=Path, file_okay=False),
    help="A hub's folder: what its own nodes measured.",
)
@click.option(
    "--hours",
    type=click.FloatRange(min=0, min_open=True),
    default=168.0,
    show_default=True,
    help="How far back to look into the hub.",
)
@click.option(
    "-o", "--output", type=click.Choice(FORMATS), help="Default: table on a terminal, ndjson in a pipe."
)
def command(
    plan_file: BinaryIO, results: tuple[str, ...], data: Path | None, hours: float, output: str | None
) -> None:
    """Score what a plan promised: kept, broken, or not measured, for each venue.

    PLAN.json is what `nettrace plan REQUEST.toml -o json` wrote. A promise is kept when the new median is at most the
    promised interval's end, or a tenth (2 ms at least) more than the promised median.

    Exit code 0: all kept. 6: some kept. 1: none kept. 5: nothing measured.
    """
    from nettrace.cli.planning import history, read_results
    from nettrace.hub.facts import facts
    from nettrace.hub.trading_hours import sessions
    from nettrace.placement.document.promise import promised, verdict_document, verified
    from nettrace.placement.document.seen import gathered

    if not results and data is None:
        raise Invalid(
            "nothing to verify against",
            "Give the results of the probe jobs (--results SITE=FILE) or a hub's folder (--data DIR)",
        )
    wanted, brief = promised(_read(plan_file))
    request = _pairs([(each.venue, each.site) for each in wanted])
    pairs = gathered(read_results(results, brief), request, brief, sessions(facts())).pairs
    if data is not None:
        pairs = {**history(data, hours, request, brief), **pairs}
    made = [verdict_document(each) for each in verified(wanted, pairs)]
    emitter = Emitter(output, _View())
    for each in made:
        emitter.emit(each)
    emitter.close()
    tally = Counter(str(each["verdict"]) for each in made)
    note(f"nettrace: {tally['kept']} kept, {tally['broken']} broken, {tally['not_measured']} not measured")
    if code := exit_code(_OUTCOMES[str(each["verdict"])] for each in made):
        raise click.exceptions.Exit(code)


def _read(file: BinaryIO) -> dict[str, Any]:
    try:
        document: Any = msgspec.json.decode(file.read())
    except msgspec.DecodeError as error:
        raise Invalid(
            f"{file.name}: no JSON ({error})", "Make it: nettrace plan REQUEST.toml -o json > plan.json"
        ) from None
    if not isinstance(document, dict) or "brief" not in document:
        raise Invalid(
            f"{file.name} does not say which hosts were measured",
            "Make it with -o json: nettrace plan REQUEST.toml -o json > plan.json",
        )
    return document  # pyright: ignore[reportUnknownVariableType]


def _pairs(wanted: Sequence[tuple[str, str]]) -> "Request":
    """A request that has just these venues and sites."""
    from nettrace.placement.request import Request, Site, Venue

    return Request(
        venue=tuple(Venue(name=name, usd_per_ms_month=0) for name, _ in wanted),
        site=tuple(Site(name=name, usd_month=0) for name in dict.fromkeys(site for _, site in wanted)),
    )


class _View:
    """A promise, and what became of it."""

    fields = (
        "venue",
        "site",
        "verdict",
        "sure",
        "promised_ms",
        "most_ms",
        "p50_ms",
        "low_ms",
        "high_ms",
        "p95_ms",
        "n",
        "lost",
        "host",
    )

    def heading(self) -> str | None:
        """The columns."""
        return click.style(
            f"{'VERDICT':<14}{'VENUE':<24}{'SITE':<24}{'PROMISED':>9}{'AT MOST':>9}{'MEASURED':>10}  INTERVAL",
            bold=True,
        )

    def lines(self, document: Document) -> Sequence[str]:
        """One line a venue."""
        verdict = str(document["verdict"])
        said = click.style(f"{verdict.replace('_', ' '):<14}", fg=_COLOURS[verdict], bold=True)
        low, high = milliseconds(document["low_ms"], 0), milliseconds(document["high_ms"], 0)
        doubt = "" if document["sure"] is not False else "  (within its interval: measure longer)"
        times = f"{milliseconds(document['promised_ms'])}{milliseconds(document['most_ms'])}{milliseconds(document['p50_ms'], 10)}"
        return [f"{said}{document['venue']:<24}{document['site']:<24}{times}  {low} to {high}{doubt}"]
