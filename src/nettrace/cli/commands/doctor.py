"""`nettrace doctor`: what this host permits, why not, and the one command that changes it."""

import platform
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from nettrace.cli.exits import NOTHING_MEASURED, OK
from nettrace.cli.output import Document, Emitter

if TYPE_CHECKING:
    from nettrace.measure.probing.capability import RungReport

SCHEMA = "nettrace.doctor/1"


class DoctorView:
    """A line a finding, its reason and its remedy below."""

    fields: Sequence[str] = (
        "check version available serves why remedy departures_stamped receptions_stamped".split()
    )

    def heading(self) -> str | None:
        """Name the machine."""
        return f"nettrace on Python {platform.python_version()}, {platform.system()} {platform.release()}\n"

    def lines(self, document: Document) -> Sequence[str]:
        """The finding."""
        mark = click.style("yes", fg="green") if document["available"] else click.style("no ", fg="yellow")
        version = f" IPv{document['version']}" if document["version"] else ""
        stamps = {(True, True): "kernel time both ways", (False, True): "kernel time on reception"}.get(
            (bool(document["departures_stamped"]), bool(document["receptions_stamped"])), ""
        )
        made = [
            f"{mark}  {document['check'] + version:<26} {document['serves']}"
            + (f"  ({stamps})" if stamps else "")
        ]
        if document["why"]:
            made.append(f"     because {document['why']}")
        if document["remedy"]:
            made.append(f"     to change it:  {document['remedy']}")
        return made


@click.command("doctor")
@click.option(
    "-o",
    "--output",
    type=click.Choice(["table", "ndjson", "json", "csv"]),
    help="Default: table on a terminal, ndjson in a pipe.",
)
def command(output: str | None) -> None:
    """Try every way of measuring on loopback and say what works here, why not, and what would change it.

    Exit code 0 when at least one way of measuring works, 5 when none does.
    """
    from nettrace.measure.probing.capability import probe_capabilities

    emitter = Emitter(output, DoctorView())
    capabilities = probe_capabilities()
    for report in capabilities.rungs:
        emitter.emit(_finding(report))
    for finding in (_python(), *_lab(), *_databases()):
        emitter.emit(finding)
    emitter.close()
    raise click.exceptions.Exit(
        OK if any(report.available for report in capabilities.rungs) else NOTHING_MEASURED
    )


def _finding(report: "RungReport") -> Document:
    return {
        "schema": SCHEMA,
        "check": report.rung,
        "version": report.version,
        "available": report.available,
        "serves": report.serves,
        "why": report.why,
        "remedy": report.remedy,
        "departures_stamped": report.sends_stamped,
        "receptions_stamped": report.receptions_stamped,
    }


def _other(
    check: str, *, available: bool, serves: str, why: str | None = None, remedy: str | None = None
) -> Document:
    return {
        "schema": SCHEMA,
        "check": check,
        "version": None,
        "available": available,
        "serves": serves,
        "why": why,
        "remedy": remedy,
        "departures_stamped": None,
        "receptions_stamped": None,
    }


def _python() -> Document:
    return _other("python", available=True, serves=f"Python {platform.python_version()} at {sys.executable}")


def _lab() -> list[Document]:
    from nettrace.lab.permission import lab_obstacle

    problem = lab_obstacle()
    return [
        _other(
            "lab",
            available=problem is None,
            serves="an internet in a box: nettrace lab",
            why=problem.detail if problem else None,
            remedy=(problem.hint or None) if problem else None,
        )
    ]


def _databases() -> list[Document]:
    from nettrace.outside.databases import KINDS, default_folder, installed

    there = {each.kind for each in installed(default_folder())}
    return [
        _other(
            f"database {kind}",
            available=kind in there,
            serves=f"{kind} of hops in traces",
            why=None if kind in there else "no such database is installed; traces work without it",
            remedy=None if kind in there else "nettrace databases --help",
        )
        for kind in KINDS
    ]
