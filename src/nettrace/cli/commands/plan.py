"""`nettrace plan`: which sites to rent so that venues are near enough for the money, proven, as a plan or a document."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import click
import msgspec

from nettrace.cli.commands.plan_verify import command as verify
from nettrace.cli.estimating import estimates_option, evidence_option
from nettrace.cli.estimating import tables as evidence_tables
from nettrace.cli.exits import FAILED
from nettrace.cli.facts import registry_option, registry_with
from nettrace.cli.output import Document, fold, note, page_width, say, write_line, write_lines
from nettrace.errors import Invalid

if TYPE_CHECKING:
    from nettrace.hub.placements import Wanted
    from nettrace.placement.document.brief import Brief
    from nettrace.placement.document.ground import Ground
    from nettrace.placement.document.seen import Measured
    from nettrace.placement.registry.facts import Registry
    from nettrace.placement.request import Request

_FORMS = ("table", "ndjson", "json", "md", "html")
_FULL = ("json", "md", "html")
"""Forms that carry the document: they get pareto, sensitivity and chance unasked where these take no time."""


class _Sources(msgspec.Struct, frozen=True):
    """Where latencies come from beside the request."""

    results: tuple[str, ...]
    data: Path | None
    hours: float
    lab: str | None
    evidence: tuple[Path, ...] = ()
    estimates: str = "registry"


class _Plan(click.Group):
    """`nettrace plan REQUEST.toml`, and below it `verify`: a word that is no subcommand is the request."""

    allow_extra_args = False
    allow_interspersed_args = True

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        """The context of the subcommand named first, or of the plan itself."""
        child = self.commands.get(args[0]) if args else None
        if child is None:
            return super().make_context(info_name, args, parent, **extra)
        return child.make_context(f"{info_name} {args[0]}", args[1:], parent, **extra)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """As a plain command's."""
        return click.Command.parse_args(self, ctx, args)

    def invoke(self, ctx: click.Context) -> object:
        """As a plain command's."""
        return click.Command.invoke(self, ctx)

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        """As a plain command's."""
        return click.Command.collect_usage_pieces(self, ctx)


def _evidence_options(command: Callable[..., object]) -> Callable[..., object]:
    for option in (
        click.option("--lab", metavar="WORLD", help="Measure in the lab's WORLD: the test plan's jobs, run at its vantages."),
        click.option("--hours", type=click.FloatRange(min=0, min_open=True), default=168.0, show_default=True, help="How far back to look into the hub of --data."),
        click.option("--data", type=click.Path(path_type=Path, file_okay=False), help="A hub's folder: what its own nodes measured."),
        click.option("--results", multiple=True, metavar="[SITE=]FILE", help="Results (-o ndjson) taken at SITE, or rows that name their vantage. Repeatable."),
    ):  # fmt: skip
        command = option(command)
    return command


def _doubt_options(command: Callable[..., object]) -> Callable[..., object]:
    for option in (
        click.option("--seed", type=int, default=1, show_default=True, help="Where the draws of --chance begin."),
        click.option("--chance", type=click.IntRange(min=1), metavar="N", help="Also the chance that the choice is right, by N draws."),
        click.option("--sensitivity", is_flag=True, help="Also how far each number is from changing the choice."),
        click.option("--pareto", is_flag=True, help="Also every sensible trade between cost of sites and of latency."),
    ):  # fmt: skip
        command = option(command)
    return command


@click.command("plan", cls=_Plan, invoke_without_command=True)
@click.argument("request_file", metavar="REQUEST.toml", type=click.File("rb", lazy=True))
@click.option(
    "-o",
    "--output",
    type=click.Choice(_FORMS),
    help="Default: table on a terminal, ndjson in a pipe. md, html and json carry the document.",
)
@_doubt_options
@click.option(
    "--solver",
    type=click.Choice(["auto", "search", "highs"]),
    default="auto",
    show_default=True,
    help="search: built in, up to 15 sites; highs: any number. Both give the same plan.",
)
@click.option(
    "--time-limit",
    type=click.FloatRange(min=0, min_open=True),
    metavar="SECONDS",
    default=120.0,
    show_default=True,
    help="Time for each answer of highs; then the best plan found, with its gap.",
)
@_evidence_options
@registry_option
@evidence_option
@estimates_option
@click.option(
    "--deploy",
    metavar="DIR",
    type=click.Path(path_type=Path, file_okay=False),
    help="Also write a node's unit, probes and rules for each chosen site into DIR.",
)
@click.option(
    "--hub",
    metavar="URL",
    default="https://hub.example.net",
    show_default=True,
    help="The hub that --deploy's nodes report to.",
)
def command(
    request_file: BinaryIO,
    output: str | None,
    pareto: bool,
    sensitivity: bool,
    chance: int | None,
    seed: int,
    solver: str,
    time_limit: float,
    evidence: tuple[Path, ...],
    estimates: str,
    results: tuple[str, ...],
    data: Path | None,
    hours: float,
    lab: str | None,
    registry: Path | None,
    deploy: Path | None,
    hub: str,
) -> None:
    """Choose sites for a request: least cost of sites and latency together, with the proof.

    REQUEST.toml ('-' is stdin) names venues (what a millisecond costs a month, hard limits), sites (price, provider,
    country), the latency of each pair, and limits: budget, number of sites, redundancy. Venues and sites called by
    their names in the registry (`nettrace registry list`) get their coordinates, provider and country from there.
    Latencies may be measured instead: --results, --data, --lab. Its [document] table says what the document needs.

    Exit code 1: no plan is possible; a smallest set of requirements that cannot hold together says why.
    """
    from nettrace.hub.placements import Wanted, bare_document
    from nettrace.placement.plan import Solver

    form = output or ("table" if sys.stdout.isatty() else "ndjson")
    wanted = Wanted(
        pareto=pareto, sensitivity=sensitivity, chance=chance, seed=seed, solver=Solver(solver), seconds=time_limit,
        generous=form in _FULL,
    )  # fmt: skip
    own = _Sources(results, data, hours, lab, evidence, estimates)
    ground = _ground(_text(request_file), registry_with(registry), own, wanted)
    _show(ground, bare_document(ground), form)
    if deploy is not None:
        _deploy(ground, hub, deploy)
    if ground.plan.status == "infeasible":
        raise click.exceptions.Exit(FAILED)


def _ground(text: str, facts: "Registry", own: _Sources, wanted: "Wanted") -> "Ground":
    """The request read, measured and solved."""
    from nettrace.hub.placements import Sources, ground_of

    def measure(request: "Request", brief: "Brief") -> "Measured":
        return _measured(request, brief, own, facts)

    # what holds of the real internet does not of the lab's
    whose = "never" if own.lab else own.estimates
    tables = tuple(evidence_tables(own.evidence))
    sources = Sources(facts=facts, measure=measure, estimates=whose, tables=tables, world=own.lab)
    ground = ground_of(text, sources, wanted)
    if ground.plan.status != "optimal" and (wanted.pareto or wanted.sensitivity or wanted.chance):
        note("nettrace: --pareto, --sensitivity and --chance speak about an optimal plan; there is none")
    return ground


def _measured(request: "Request", brief: "Brief", sources: _Sources, facts: "Registry") -> "Measured":
    from nettrace.cli.planning import from_lab, history, read_results
    from nettrace.hub.trading_hours import sessions
    from nettrace.placement.document.seen import gathered

    found = list(read_results(sources.results, brief))
    if sources.lab is not None:
        found += from_lab(sources.lab, request, brief)
    measured = gathered(found, request, brief, sessions(facts))
    if sources.data is not None:
        measured.pairs.update(
            {
                pair: seen
                for pair, seen in history(sources.data, sources.hours, request, brief).items()
                if pair not in measured.pairs
            }
        )
    return measured


def _show(ground: "Ground", document: Document, form: str) -> None:
    from nettrace.placement.document.compose import composed, parts
    from nettrace.placement.document.markdown import markdown
    from nettrace.placement.document.page import page

    match form:
        case "ndjson":
            write_line(msgspec.json.encode(document))
        case "json":
            write_line(msgspec.json.encode(document | parts(ground)))
        case "md":
            write_lines(markdown(composed(ground)).encode())
        case "html":
            write_lines(page(composed(ground)).encode())
        case _:
            for line in _lines(document):
                say(fold(line, page_width(sys.stdout)))


def _deploy(ground: "Ground", hub: str, folder: Path) -> None:
    from nettrace.cli.planning import write_files
    from nettrace.placement.document.deploy import deployment

    made = write_files(deployment(ground, hub), folder)
    note(f"nettrace: {len(made)} files in {folder}; begin with {folder / 'INSTALL.md'}")


def _text(file: BinaryIO) -> str:
    try:
        return file.read().decode()
    except UnicodeDecodeError as error:
        raise Invalid(f"{file.name}: not UTF-8 text ({error.reason} at byte {error.start})") from None


def _lines(document: Document) -> Iterator[str]:
    """The plan for a terminal."""
    from nettrace.placement.sheet import flip_words, latency, money, verdict

    if document["status"] == "infeasible":
        yield click.style("no plan is possible", fg="red", bold=True)
        yield from (f"  {reason}" for reason in document["reasons"])
        yield str(document["explanation"])
        return
    colour = "green" if document["status"] == "optimal" else "yellow"
    yield f"{click.style(document['status'], fg=colour, bold=True)}  {', '.join(document['sites'])}"
    yield (
        f"  sites {money(document['cost_usd_month'])} + latency {money(document['latency_usd_month'])}"
        f" = {money(document['objective_usd_month'])} a month. {verdict(document)}"
    )
    rows = [
        (
            row["venue"],
            row["site"],
            latency(row["p50_ms"], row["low_ms"], row["high_ms"]),
            row["evidence"],
            _backup(row),
        )
        for row in document["assignments"]
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    for row in rows:
        yield "  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
    if "chance" in document:
        yield f"right in {document['chance']['right']:.0%} of {document['chance']['draws']} draws"
    for trade in document.get("pareto", ()):
        mark = "*" if trade["sites"] == document["sites"] else " " if trade["within_budget"] else "!"
        costs = f"{money(trade['cost_usd_month']):>10} + {money(trade['latency_usd_month']):>10}"
        yield f"{mark} {costs}  {', '.join(trade['sites'])}"
    for flip in document.get("sensitivity", ()):
        yield f"changes when {flip_words(flip)}{' (inside its interval)' if flip['within_interval'] else ''}"


def _backup(row: Document) -> str:
    from nettrace.placement.sheet import latency

    if row["backup"] is None:
        return ""
    return (
        f"backup {row['backup']} {latency(row['backup_p50_ms'], row['backup_low_ms'], row['backup_high_ms'])}"
    )


command.add_command(verify)
