"""`nettrace plan`: which sites to rent so that venues are near enough for the money, proven."""

import random
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, BinaryIO

import click
import msgspec

from nettrace.cli.exits import FAILED
from nettrace.cli.output import Document, fold, note, page_width, say, write_line, write_lines
from nettrace.errors import Invalid

if TYPE_CHECKING:
    from nettrace.placement.request import Request

_FORMS = ("table", "ndjson", "json", "md")


class _Asked(msgspec.Struct, frozen=True):
    """What is wanted beside the plan itself, and how long it may take."""

    pareto: bool
    sensitivity: bool
    chance: int | None
    seed: int
    solver: str
    seconds: float


@click.command("plan")
@click.argument("request_file", metavar="REQUEST.toml", type=click.File("rb"))
@click.option(
    "-o", "--output", type=click.Choice(_FORMS), help="Default: table on a terminal, ndjson in a pipe."
)
@click.option(
    "--pareto", is_flag=True, help="Also every sensible trade between cost of sites and of latency."
)
@click.option("--sensitivity", is_flag=True, help="Also how far each number is from changing the choice.")
@click.option(
    "--chance",
    type=click.IntRange(min=1),
    metavar="N",
    help="Also the chance that the choice is right, by N draws.",
)
@click.option("--seed", type=int, default=1, show_default=True, help="Where the draws of --chance begin.")
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
def command(
    request_file: BinaryIO,
    output: str | None,
    pareto: bool,
    sensitivity: bool,
    chance: int | None,
    seed: int,
    solver: str,
    time_limit: float,
) -> None:
    """Choose sites for a request: least cost of sites and latency together, with the proof.

    REQUEST.toml ('-' is stdin) names venues (what a millisecond costs a month, hard limits), sites (price, provider,
    country), the latency of each pair, and limits: budget, number of sites, redundancy. Venues and sites called by
    their names in the registry (`nettrace registry list`) get their coordinates, provider and country from there.

    Exit code 1: no plan is possible; a smallest set of requirements that cannot hold together says why.
    """
    from nettrace.placement.plan import Solver, make_plan, plan_document
    from nettrace.placement.request import parse_request
    from nettrace.placement.sheet import sheet

    request = parse_request(_text(request_file), _complete)
    _check_physics(request)
    asked = _Asked(pareto, sensitivity, chance, seed, solver, time_limit)
    plan = make_plan(request, Solver(solver), time_limit)
    document = plan_document(plan)
    if plan.status == "optimal":
        document |= _extras(request, plan.sites, asked)
    elif pareto or sensitivity or chance:
        note("nettrace: --pareto, --sensitivity and --chance speak about an optimal plan; there is none")
    match output or ("table" if sys.stdout.isatty() else "ndjson"):
        case "ndjson" | "json":
            write_line(msgspec.json.encode(document))
        case "md":
            write_lines(sheet(request, document).encode())
        case _:
            for line in _lines(document):
                say(fold(line, page_width(sys.stdout)))
    if plan.status == "infeasible":
        raise click.exceptions.Exit(FAILED)


def _text(file: BinaryIO) -> str:
    try:
        return file.read().decode()
    except UnicodeDecodeError as error:
        raise Invalid(f"{file.name}: not UTF-8 text ({error.reason} at byte {error.start})") from None


def _complete(request: "Request") -> "Request":
    """What the request leaves out of venues and sites that it calls by their names in the registry."""
    from nettrace.outside.places import find
    from nettrace.placement.registry.load import built_in
    from nettrace.placement.registry.naming import completed

    return completed(request, built_in(), find)


def _check_physics(request: "Request") -> None:
    from nettrace.analysis.geo.floor import floor_between
    from nettrace.model.path import Place
    from nettrace.placement.physics import check_physics

    def place(latitude: float, longitude: float) -> Place:
        return Place(name="", latitude=latitude, longitude=longitude, radius_km=0, evidence="given")

    def floor_ms(*ends: float) -> float:
        return floor_between(place(*ends[:2]), place(*ends[2:])).vacuum_ns / 1e6

    check_physics(request, floor_ms)


def _extras(request: "Request", sites: tuple[str, ...], asked: _Asked) -> Document:
    """The optional parts of the document that were asked for."""
    from nettrace.placement.chance import chance
    from nettrace.placement.front import front
    from nettrace.placement.plan import Solver, plain
    from nettrace.placement.sensitivity import flips

    solver, made = Solver(asked.solver), Document()
    if asked.pareto:
        made["pareto"] = plain(front(request, solver, asked.seconds))
    if asked.sensitivity:
        made["sensitivity"] = plain(flips(request, sites, solver, asked.seconds))
    if asked.chance:
        draw = random.Random(asked.seed).random
        made["chance"] = plain(chance(request, sites, asked.chance, draw, solver, asked.seconds))
    return made


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
