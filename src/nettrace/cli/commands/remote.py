"""`nettrace remote`: a target measured from other people's vantages, for those who have no server there."""

import sys
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import click

from nettrace.cli.facts import registry_option
from nettrace.cli.folder import data_option
from nettrace.cli.output import Document, note, output_options, verdict
from nettrace.errors import Unreachable

_Function = Callable[..., object]


class RemoteView:
    """One line a vantage: where it stands, in whose network, and what it found."""

    fields: Sequence[str] = (
        "schema vantage service city country asn network target address method outcome reason sent received min_ms "
        "p50_ms rtt_ms status ttfb_ms total_ms clock at"
    ).split()

    def heading(self) -> str | None:
        """The columns' names."""
        return f"{'VANTAGE (not ours)':<34}{'NETWORK':<28}RESULT"

    def lines(self, document: Document) -> Sequence[str]:
        """The vantage's line, and a line a hop of a trace."""
        place = ", ".join(str(document[name]) for name in ("city", "country") if document[name])
        network = f"AS{document['asn']} {document['network'] or ''}" if document["asn"] else "-"
        made = [f"{place or document['vantage']:<34.33}{network:<28.27}{_found(document)}"]
        hops: list[Document] = document.get("hops") or []
        for hop in hops:
            rtts: list[float | None] = hop["rtt_ms"]
            times = " ".join("*" if rtt is None else f"{rtt} ms" for rtt in rtts)
            made.append(f"  {hop['ttl']:>3}  {hop['address'] or '*':<40}{times}")
        return made


def _found(document: Document) -> str:
    words = verdict(document)
    if document["outcome"] != "measured":
        return words
    if "min_ms" in document:
        loss = f"  {document['received']} of {document['sent']} answered"
        return f"min {document['min_ms']} ms  p50 {document['p50_ms']} ms{loss}"
    if "hops" in document:
        return f"{document['rtt_ms']} ms, {len(document['hops'])} hops" if document["reached"] else words
    stages = ("dns_ms", "connect_ms", "tls_ms", "ttfb_ms", "total_ms")
    return f"{document['status']}  " + "  ".join(f"{name[:-3]} {document[name]} ms" for name in stages)


def _shared(command: _Function) -> _Function:
    """The options every kind has."""
    for decorate in (
        output_options,
        registry_option,
        data_option,
        click.option("--store", is_flag=True,
                     help="Keep the rounds in the running hub, as a third party's: in no ranking, alert or signal."),
        click.option("--evidence-file", type=click.Path(path_type=Path, dir_okay=False),
                     help="Append rows for 'estimate' and 'plan' (--evidence FILE), marked as not your own."),
        click.option("--rtt-file", type=click.Path(path_type=Path, dir_okay=False),
                     help="Append PLACE,MIN_RTT_MS rows for 'nettrace where --rtt FILE'."),
        click.option("-y", "--yes", is_flag=True, help="Spend what it costs without asking."),
        click.option("--probes", type=click.IntRange(1, 200), default=1, show_default=True, help="Probes at each place."),
        click.option("--via", type=click.Choice(["globalping", "atlas"]), default="globalping", show_default=True,
                     help="Whose vantages. Globalping needs no account; RIPE Atlas needs NETTRACE_ATLAS_KEY."),
        click.option("--from", "places", multiple=True, required=True, metavar="PLACE",
                     help="Tokyo, JP, AS16509, aws:ap-northeast-1; Globalping also Tokyo+AWS. Repeat, or part by commas."),
        click.option("-6", "family", flag_value=6, type=int, help="IPv6 only."),
        click.option("-4", "family", flag_value=4, type=int, help="IPv4 only."),
    ):  # fmt: skip
        command = decorate(command)
    return command


@click.group("remote")
def command() -> None:
    """Measure a target from other people's vantages: Globalping's or RIPE Atlas' probes. No server of your own needed.

    What it takes of the service's allowance is shown first and must be confirmed (--yes). One ledger counts for all
    processes of this user and is never overdrawn. Probes stamp in user space: `clock` is `user`, grade U.
    """


@command.command("ping")
@click.argument("host")
@click.option("-n", "--count", type=click.IntRange(1, 16), default=5, show_default=True, help="Packets.")
@click.option("--method", type=click.Choice(["icmp", "tcp"]), default="icmp", show_default=True)
@click.option("--port", type=click.IntRange(1, 65535), help="Port for tcp (443).")
@_shared
def remote_ping(host: str, count: int, method: str, port: int | None, **shared: Any) -> None:
    """Round trips to HOST from each probe."""
    _run("ping", host, shared, packets=count, method=method, port=port)


@command.command("trace")
@click.argument("host")
@click.option("--method", type=click.Choice(["icmp", "udp", "tcp"]), default="icmp", show_default=True)
@click.option("--port", type=click.IntRange(1, 65535), help="Port for tcp (443).")
@_shared
def remote_trace(host: str, method: str, port: int | None, **shared: Any) -> None:
    """The path to HOST from each probe; its flow is not pinned on every service."""
    _run("trace", host, shared, method=method, port=port)


@command.command("http")
@click.argument("url")
@_shared
def remote_http(url: str, **shared: Any) -> None:
    """DNS, connect, TLS and first byte of a GET of URL from each probe, in whole milliseconds (Globalping only)."""
    from urllib.parse import urlsplit

    whole = url if "://" in url else f"https://{url}"
    _run("http", urlsplit(whole).hostname or url, shared, url=whole)


@command.command("limits")
@click.option("--via", type=click.Choice(["globalping", "atlas"]), default="globalping", show_default=True)
def remote_limits(via: str) -> None:
    """What is left of a service's allowance, by the ledger of this user and by the service's own word. Asking is free."""
    from nettrace.cli.output import say
    from nettrace.outside.services import service

    there = service(via).standing()
    say(f"{there.service}: {there.left} of {there.limit} {there.unit} are left this {_span(there.window_s)}")


def _span(seconds: int) -> str:
    return "hour" if seconds == 3600 else "day"


def _run(kind: Any, target: str, shared: dict[str, Any], **asked: Any) -> None:
    """Cost, confirmation, errand, results."""
    from nettrace.cli.report import Report
    from nettrace.model.measurement import Method
    from nettrace.model.remote import Errand
    from nettrace.outside.services import service
    from nettrace.wire.remote import remote_document

    places = tuple(part.strip() for text in shared["places"] for part in text.split(",") if part.strip())
    if not places:
        raise click.UsageError("--from names no place")
    if "method" in asked:
        asked["method"] = Method(asked["method"])
    errand = Errand(
        kind=kind, target=target, places=places, probes=shared["probes"], family=shared["family"], **asked
    )
    there = service(shared["via"])
    shelf = _shelf(shared["data"], errand) if shared["store"] else None
    _confirm(there.cost(errand), yes=shared["yes"])
    found = there.run(errand)
    with Report(shared["output"], RemoteView(), shared["fail_if"]) as report:
        for result in found.results:
            report.add(remote_document(result, found.number))
        for text in found.notes:
            note(f"nettrace: {text}")
        _written(shared, found.results)
        if shelf is not None:
            shelf(found)


def _shelf(data: Path | None, errand: Any) -> Callable[[Any], None]:
    """How results get into the hub; that there is one and it watches the target is found out before anything is spent."""
    import time

    from nettrace.hub.open import folder_of
    from nettrace.hub.third_party import keep, meant

    place = folder_of(data)

    def store(found: Any) -> None:
        with closing(_hub(place)) as writer:
            codes = keep(writer, where, found.results, found.number, time.time_ns())
        note(
            f"nettrace: stored under {where.target}/{where.endpoint} from {', '.join(codes) or 'no vantage'}"
        )

    with closing(_hub(place)) as writer:
        where = meant(writer.known_targets(), errand)
    return store


def _hub(place: Any) -> Any:
    from nettrace.hub.link import blocking_link

    try:
        return blocking_link(place.socket)
    except Unreachable as error:
        raise Unreachable(
            f"no hub runs on {place.folder}: nothing was stored", "Start it: nettrace up --no-node"
        ) from error


def _confirm(cost: Any, *, yes: bool) -> None:
    """What it costs, said always; asked about unless --yes."""
    note(
        f"budget: this uses up to {cost.amount} {cost.unit} of {cost.service}; {cost.left} of {cost.limit} are left this {_span(cost.window_s)}"
    )
    if yes:
        return
    if not (sys.stdin and sys.stdin.isatty() and sys.stderr.isatty()):
        raise click.UsageError("Nothing was sent: add --yes to spend that")
    click.confirm("Measure?", abort=True, err=True)


def _written(shared: dict[str, Any], results: Sequence[Any]) -> None:
    """Rows for `where` and `estimate`, appended to the files asked for."""
    from nettrace.analysis.geo.floor import floor_between
    from nettrace.cli.facts import registry_with
    from nettrace.outside.places import find
    from nettrace.placement.estimates.evidence import write_table
    from nettrace.placement.estimates.lent import lent_rows, looks_of
    from nettrace.wire.remote import rtt_rows

    if shared["rtt_file"] is not None:
        _append(shared["rtt_file"], rtt_rows(results), heads=0)
    if shared["evidence_file"] is not None:
        facts = registry_with(shared["registry"])
        lent = lent_rows(looks_of(results), facts, find, lambda a, b: floor_between(a, b).vacuum_ns)
        for why in lent.refused:
            note(f"nettrace: {why}")
        if lent.rows:
            _append(shared["evidence_file"], write_table(lent.rows).splitlines(), heads=1)


def _append(file: Path, lines: Sequence[str], *, heads: int) -> None:
    """Lines at the end of a file; the first `heads` only where the file begins."""
    begun = file.exists() and file.stat().st_size > 0
    with file.open("a", encoding="utf-8") as there:
        there.writelines(f"{line}\n" for line in lines[heads if begun else 0 :])
