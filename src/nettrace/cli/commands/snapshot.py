"""`nettrace` alone: a dozen venues from here, ranked, in ten seconds, with what physics says of each."""

import asyncio
import tomllib
from collections.abc import Sequence
from importlib.resources import files
from typing import Any

import click
import msgspec

from nettrace.analysis.edge import EdgeVerdict, Stands, judge_edge
from nettrace.cli.output import Document, milliseconds, output_options, verdict
from nettrace.measure.streams.http import HttpOptions, exchange
from nettrace.model.instant import ms, rfc3339
from nettrace.model.measurement import HttpExchange, Outcome
from nettrace.model.path import Place

REQUESTS = 5
TIMEOUT_S = 4.0
BUDGET_S = 9.5


class Venue(msgspec.Struct, frozen=True):
    """One row of `venues.toml`."""

    name: str
    url: str
    engine: str
    source: str


def venues() -> list[Venue]:
    """The dozen venues, checked."""
    text = files("nettrace.cli").joinpath("venues.toml").read_text(encoding="utf-8")
    return msgspec.convert(tomllib.loads(text)["venue"], list[Venue])


class SnapshotView:
    """The ranking's line."""

    fields: Sequence[str] = (
        "venue target address outcome reason connect_ms ttfb_ms answered sent floor_ms fibre_ms stands why at"
    ).split()

    def heading(self) -> str | None:
        """The columns' names."""
        return f"{'VENUE':<20}{'connect':>10}{'answer':>10}{'floor':>9}   VERDICT"

    def lines(self, document: Document) -> Sequence[str]:
        """The venue's line."""
        start = f"{document['venue']:<20}" + "".join(
            milliseconds(document[name], width)
            for name, width in (("connect_ms", 10), ("ttfb_ms", 10), ("floor_ms", 9))
        )
        words = document["why"] or verdict(document)
        colour = {"failed": "red", "not_measured": "yellow"}.get(document["outcome"])
        return [click.style(f"{start}   {words}", fg=colour)]


@click.command("snapshot")
@click.option(
    "--from",
    "here",
    metavar="PLACE",
    envvar="NETTRACE_PLACE",
    help="Where this machine stands: city, IATA code, cloud region or LAT,LON.",
)
@output_options
def command(here: str | None = None, output: str | None = None, fail_if: str | None = None) -> None:
    """Rank a dozen venues from here: handshake, first byte on an open connection, floor, verdict."""
    from nettrace.cli.output import note
    from nettrace.cli.report import Report

    origin = _place(here)
    with Report(output, SnapshotView(), fail_if) as report:
        rows = asyncio.run(measure(venues(), origin))
        for row in sorted(rows, key=lambda row: (row["connect_ms"] is None, row["connect_ms"] or 0.0)):
            report.add(row)
        if report.form == "table":
            _footer(note, rows, origin)


def _place(here: str | None) -> Place | None:
    if here is None:
        return None
    from nettrace.errors import Invalid
    from nettrace.outside.places import find

    found = find(here)
    if found is None:
        raise Invalid(
            f"the place '{here}' is not known", "Use a city, an IATA code, a cloud region or LAT,LON"
        )
    return found


async def measure(chosen: Sequence[Venue], origin: Place | None) -> list[Document]:
    """Every venue's row; those that do not end within the budget say so."""
    tasks = [asyncio.create_task(_venue(venue, origin)) for venue in chosen]
    _, late = await asyncio.wait(tasks, timeout=BUDGET_S)
    for task in late:
        task.cancel()
    await asyncio.gather(*late, return_exceptions=True)
    return [
        _row(venue, [], None, origin) if task in late else task.result()
        for venue, task in zip(chosen, tasks, strict=True)
    ]


async def _venue(venue: Venue, origin: Place | None) -> Document:
    options = HttpOptions(count=REQUESTS, keepalive=True, interval_s=0.1, timeout_s=TIMEOUT_S)
    exchanges: list[HttpExchange] = []
    async for result in exchange(venue.url, options):
        exchanges.append(result)
        if result.stages.connect is None and not result.reused:
            break  # nobody answers there: asking four more times would only be slow
    return _row(venue, exchanges, _floor(venue, origin), origin)


def _floor(venue: Venue, origin: Place | None) -> tuple[Place, Any] | None:
    if venue.engine == "unknown" or origin is None:
        return None
    from nettrace.analysis.geo.floor import floor_between
    from nettrace.outside.places import find

    place = find(venue.engine)
    return (place, floor_between(origin, place)) if place else None


def _row(
    venue: Venue, exchanges: list[HttpExchange], floor: tuple[Place, Any] | None, origin: Place | None
) -> Document:
    connects = [e.stages.connect.duration_ns for e in exchanges if e.stages.connect]
    answers = [e.stages.ttfb.duration_ns for e in exchanges if e.stages.ttfb]
    # `failed: blocked` is an answer too: the way there was measured, the venue just does not want us.
    connect_ns, ttfb_ns = min(connects, default=None), min(answers, default=None)
    judged: EdgeVerdict | None = None
    if connect_ns is not None:
        known = None if venue.engine == "unknown" else venue.engine
        judged = judge_edge(
            connect_ns,
            ttfb_ns,
            place=known,
            hard_floor_ns=floor[1].vacuum_ns if floor else None,
            fibre_floor_ns=floor[1].fibre_ns if floor else None,
        )
    first = exchanges[0] if exchanges else None
    last = exchanges[-1] if exchanges else None
    return {
        "schema": "nettrace.snapshot/1",
        "venue": venue.name,
        "target": first.target if first else venue.url.split("/")[2],
        "address": first.address if first else None,
        "from": origin.name if origin else None,
        "engine": None if venue.engine == "unknown" else venue.engine,
        "engine_source": venue.source,
        "outcome": Outcome.MEASURED if connects else (last.outcome if last else Outcome.NOT_MEASURED),
        "reason": None if connects else (last.reason if last else "aborted"),
        "detail": None if connects else (last.detail if last else f"not finished within {BUDGET_S} s"),
        "connect_ms": ms(connect_ns),
        "ttfb_ms": ms(ttfb_ns),
        "sent": REQUESTS,
        "answered": len(answers),
        "status": last.status if last else None,
        "floor_ms": ms(floor[1].vacuum_ns) if floor else None,
        "fibre_ms": ms(floor[1].fibre_ns) if floor else None,
        "stands": judged.stands if judged else Stands.UNKNOWN,
        "why": judged.why if judged else None,
        "at": rfc3339(first.at) if first else None,
    }


def _footer(note: Any, rows: Sequence[Document], origin: Place | None) -> None:
    measured = [row for row in rows if row["connect_ms"] is not None]
    note("")
    note(
        f"connect: best SYN to SYN-ACK; answer: best first byte of {REQUESTS} requests on one connection; times in ms."
    )
    if not measured:
        note(
            "Nothing was reached from here. `nettrace doctor` says what this host permits; `nettrace lab demo` needs no internet."
        )
        return
    nearest = min(measured, key=lambda row: row["connect_ms"])
    if origin is None:
        note(
            "Say where you are and physics joins in:  nettrace --from Frankfurt  (or NETTRACE_PLACE=Frankfurt)"
        )
    note(
        f"Next:  nettrace trace {nearest['target']}   nettrace http https://{nearest['target']}/ -n 10 --keepalive"
    )
